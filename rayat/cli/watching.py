"""`rayat watch`: a living run as its own driver shows it, from another terminal."""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from rayat.cli import options
from rayat.compare.text import plural
from rayat.errors import LedgerError, quoted
from rayat.ledger.held import LedgerState
from rayat.ledger.lock import holder
from rayat.ledger.tail import Tail
from rayat.policies.base import TrialView
from rayat.policies.spending import Spending

LOOK_SECONDS = 0.5
"""Between two looks at the log."""
SILENT_SECONDS = 10.0, 60.0
"""Where no trial has reported: when this is said first, and how often then."""
CHANGES = {"attempt": "start", "report": "report", "end": "end", "evaluation": "evaluated"}
"""What an observer calls a kind of record; a decision may pause a trial, or let it go on."""
DECIDED = "decided"
Once = Annotated[bool, typer.Option("--once", help="Show what there is now, and end.")]


class Watched:
    """A run as its log says it; the same to a display as its driver."""

    def __init__(self, folder: Path) -> None:
        self.tail = Tail(folder)
        self.trials: dict[str, TrialView] = {}
        self.metric = ""
        self.spending: Spending | None = None

    @property
    def ledger(self) -> LedgerState:
        """Every number."""
        return self.tail

    def advance(self) -> list[tuple[str, str]]:
        """Take what was written since; return (trial id, what changed) in order."""
        changes = []
        for record in self.tail.advance():
            if record["kind"] == "run":
                self.metric = self.tail.info["metric"]
                self.spending = Spending.of(self.tail.info)
            changes += [(each, what) for each, what in _changes(record)]
        for trial_id, declared in self.tail.trials().items():
            if trial_id not in self.trials:
                config = jsonlib.loads(declared["config_json"])
                self.trials[trial_id] = TrialView(
                    trial_id, config, config["epochs"], declared["arm"]
                )
        if self.spending is not None and changes:
            self._pay()
        return changes

    def _pay(self) -> None:
        """Count what was spent anew: an epoch that was trained twice is reported twice."""
        self.spending = Spending.of(self.tail.info)
        assert self.spending is not None
        for trial_id, _, row in self.tail.observations():
            self.spending.pay(self.trials[trial_id].arm, row)

    def living(self) -> bool:
        """Return whether a driver writes it; of a copy none does."""
        try:
            return holder(self.tail.folder) is not None
        except FileNotFoundError:
            return False
        except OSError:  # it cannot be told here: the user says when to end
            return True


class Silence:
    """What is said of a living run none of whose trials is heard of: a start is not in the log."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._since = time.monotonic()
        self._said = 0

    def text(self, now: bool) -> str | None:
        """Return a sentence when it is time, or `now`; empty when it is over; else None."""
        states = self._watched.tail.state.trials.values()
        if not states or any(each.attempts and not each.status.is_final for each in states):
            over, self._since, self._said = bool(self._said), time.monotonic(), 0
            return "" if over else None
        if all(each.status.is_final for each in states):
            return None
        silent = time.monotonic() - self._since
        if not now and silent < SILENT_SECONDS[0] + self._said * SILENT_SECONDS[1]:
            return None
        self._said += 1
        return "its driver lives; its next trials are starting and have not reported yet"


def _changes(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kind = record["kind"]
    if kind == "decision":
        yield record["decision"]["trial_id"], DECIDED
    elif kind == "evaluation":
        yield record["row"]["trial_id"], CHANGES[kind]
    elif kind in CHANGES:
        yield record["trial_id"], CHANGES[kind]


def watch(run: options.Run, once: Once = False) -> None:
    """Show a living run from another terminal.

    Shows what its own driver shows, until it ends, from any terminal that sees its folder,
    and changes nothing: Ctrl-C ends the watching, not the run.
    """
    import sys

    from rayat.cli.live import observer

    watched = Watched(run)
    shown = observer(sys.stdout)
    living = watched.living()  # asked before the log is read: what its driver wrote last is there
    changes = watched.advance()
    shown.begin(watched, 0)
    silence = Silence(watched)
    try:
        while True:
            for trial_id, what in changes:
                shown.changed(trial_id, what)
            shown.tick()
            if living and (text := silence.text(once)) is not None:
                shown.phase(text)
            if once or not living:
                break
            time.sleep(LOOK_SECONDS)
            living = watched.living()
            changes = watched.advance()
    except KeyboardInterrupt:
        shown.finish()
        typer.echo("no longer watched; the run goes on", err=True)
        return
    finally:
        shown.finish()
    left = watched.ledger.unfinished()
    if living or not left:
        return
    name = quoted(watched.tail.folder)
    raise LedgerError(
        f"no process writes {watched.tail.folder} any more, and {plural(len(left), 'trial')} of it "
        f"{'has' if len(left) == 1 else 'have'} no end; go on with: rayat resume {name}"
    )
