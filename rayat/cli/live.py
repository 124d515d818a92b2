"""What a living run shows: a table that is redrawn on a terminal, plain lines anywhere else.

Both read the driver's ledger and write to standard error; standard output is for the result.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rayat.arms import split_arm
from rayat.cli.progress import Progress, TrialLine
from rayat.cli.text import duration
from rayat.compare.text import fraction, printable
from rayat.ledger.status import Status
from rayat.runs.driver import Observer

if TYPE_CHECKING:
    from rayat.cli.progress import Shown

REFRESH_SECONDS = 0.25
PROGRESS_SECONDS = 10.0
STARTING_SECONDS = 60.0
"""Where nothing but a start goes on, it is said after 10 s and then so often."""
FRAME_LINES = 9
"""Lines that are no trial: the header with its rules, two texts of two lines, the cursor's, one."""
BAR = 6
"""Characters of the bar of epochs."""
WIDE = 100
"""Columns from which on there is room for reasons and clean accuracy."""
STYLES = {
    Status.RUNNING: "cyan",
    Status.FINISHED: "green",
    Status.FAILED: "red",
    Status.LOST: "red",
}


@dataclass(frozen=True)
class Column:
    """One column: its name, what stands in a trial's cell, and at which widths it is shown."""

    name: str
    cell: Callable[[TrialLine], Text]
    options: dict[str, Any]
    least: int = 0
    below: int = sys.maxsize


class PlainLines(Observer):
    """One line per trial that ends, and at most one line of progress every 10 s.

    Args:
        stream: where lines go; standard error by default. clock: monotonic seconds.
    """

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._said = clock()
        self._starting = False
        self._progress = Progress(clock)

    def begin(self, driver: Shown, concurrency: int) -> None:
        """Say how many trials run at once."""
        self._progress.begin(driver, concurrency)
        left = len(driver.ledger.unfinished())
        at_once = f", {concurrency} at once" if concurrency else ""  # unknown to who only watches
        self._say(f"{left} of {len(driver.trials)} trials to run{at_once}")

    def changed(self, trial_id: str, what: str) -> None:
        """Say how a trial ended, or how far the run is when it is time."""
        self._progress.changed(trial_id, what)
        if what == "launched":
            return
        self._starting = False
        if what == "lost":
            self._say(f"{trial_id} lost its process; it goes on from its last checkpoint")
        elif what == "end":
            self._say(ending(self._progress.line(trial_id)))
        elif self._clock() - self._said >= PROGRESS_SECONDS:
            self._said = self._clock()
            self._say(self._progress.summary())

    def tick(self) -> None:
        """Say how far the run is where its trials are starting and say nothing."""
        again = STARTING_SECONDS if self._starting else PROGRESS_SECONDS
        if self._progress.waiting and self._clock() - self._said >= again:
            self._starting, self._said = True, self._clock()
            self._say(self._progress.summary())

    def phase(self, text: str) -> None:
        """Say what the run does now, if that is anything."""
        if text:
            self._say(text)

    def finish(self) -> None:
        """Say how far the run came."""
        if self._progress.driver is not None:
            self._say(self._progress.summary())

    def _say(self, text: str) -> None:
        print(printable(text), file=self._stream, flush=True)


class LiveTable(Observer):
    """A table of the trials that run and of those that ended last, drawn at most 4 times a second.

    It is drawn by the driver's own thread when something changes, so that no other thread reads
    the ledger while it is written.

    Args:
        console: the terminal. clock: monotonic seconds.
    """

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._progress = Progress(clock)
        self._phase = ""
        self._known, self._told = 0, short_names([])
        self._drawn = float("-inf")
        self._live = Live(
            console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

    def begin(self, driver: Shown, concurrency: int) -> None:
        """Start drawing."""
        self._progress.begin(driver, concurrency)
        if not self._live.is_started:
            self._live.start()
        self._draw(now=True)

    def changed(self, trial_id: str, what: str) -> None:
        """Take a change; draw if it is time."""
        self._progress.changed(trial_id, what)
        self._draw()

    def tick(self) -> None:
        """Draw how long trials have been starting, once a second."""
        if self._progress.waiting and self._clock() - self._drawn >= 1:
            self._draw(now=True)

    def phase(self, text: str) -> None:
        """Show what the run does now."""
        self._phase = text
        self._draw(now=True)

    def finish(self) -> None:
        """Draw the last state and leave it on the screen."""
        if self._live.is_started:
            try:
                self._draw(now=True)
            finally:
                self._live.stop()

    def _draw(self, now: bool = False) -> None:
        if self._live.is_started and (now or self._clock() - self._drawn >= REFRESH_SECONDS):
            self._drawn = self._clock()
            self._live.update(self.render(), refresh=True)

    def _names(self) -> tuple[str, dict[str, str]]:
        """Return `short_names` of the arms, made again when there are more trials."""
        driver = self._progress.driver
        trials = {} if driver is None else driver.trials
        if len(trials) != self._known:
            self._known, self._told = len(trials), short_names([t.arm for t in trials.values()])
        return self._told

    def render(self) -> Group:
        """Return the table and the line below it, as high as the terminal at most."""
        room = max(1, self._console.size.height - FRAME_LINES)
        shown = list(self._progress.running)[:room]
        if len(shown) < room:
            shown += self._progress.ended[::-1][: room - len(shown)]
        width = self._console.size.width
        lines = [self._progress.line(trial_id) for trial_id in shown]
        heading, names = self._names()
        table = Table(expand=True, padding=(0, 1, 0, 0), pad_edge=False, box=SIMPLE_HEAD)
        columns = [column for column in COLUMNS if column.least <= width < column.below]
        for column in columns:
            name = heading if column.name == "arm" else column.name
            table.add_column(name, no_wrap=True, overflow="ellipsis", **column.options)
        for line in lines:
            table.add_row(*(column.cell(replace(line, arm=names[line.arm])) for column in columns))
        below = [Text(printable(self._progress.summary()))]
        if self._phase:
            below.append(Text(printable(self._phase)))
        for text in below:
            text.truncate(2 * width, overflow="ellipsis")
        return Group(table, *below)


class Guarded(Observer):
    """Passes everything on to another observer until that one fails: no display ends a run."""

    def __init__(self, observer: Observer) -> None:
        self._observer: Observer = observer

    def begin(self, driver: Any, concurrency: int) -> None:
        """Pass it on."""
        self._try(lambda observer: observer.begin(driver, concurrency))

    def changed(self, trial_id: str, what: str) -> None:
        """Pass it on."""
        self._try(lambda observer: observer.changed(trial_id, what))

    def tick(self) -> None:
        """Pass it on."""
        self._try(lambda observer: observer.tick())

    def phase(self, text: str) -> None:
        """Pass it on."""
        self._try(lambda observer: observer.phase(text))

    def finish(self) -> None:
        """Pass it on."""
        self._try(lambda observer: observer.finish())

    def _try(self, tell: Callable[[Observer], None]) -> None:
        try:
            tell(self._observer)
        except Exception as error:
            broken, self._observer = self._observer, Observer()
            with contextlib.suppress(Exception):
                broken.finish()  # gives the terminal's cursor back
            with contextlib.suppress(Exception):
                print(
                    printable(f"the display failed ({error!r}); the run goes on"), file=sys.stderr
                )


def observer(stream: TextIO | None = None) -> Guarded:
    """Return what a stream can show (standard error): a table on a terminal, lines elsewhere."""
    console = Console(file=stream or sys.stderr)
    return Guarded(LiveTable(console) if console.is_terminal else PlainLines(stream))


def ending(line: TrialLine) -> str:
    """Return one sentence on a trial that ended."""
    reason = f": {line.reason}" if line.reason else ""
    return (
        f"{line.trial_id} ({line.arm}, seed {line.seed}) {line.status} at epoch "
        f"{line.epoch}/{line.epochs}, robust {fraction(line.robust)}, "
        f"clean {fraction(line.clean)}{reason}"
    )


def short_names(arms: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return a heading and a short name by arm: of an axis that all have alike nothing is said."""
    split = {arm: split_arm(arm) for arm in arms}
    axes = list(dict.fromkeys(a for each in split.values() for a in each))
    axes = [a for a in axes if len({each.get(a) for each in split.values()}) > 1]
    names = {arm: ", ".join(each[a] or a for a in axes if a in each) for arm, each in split.items()}
    if not all(names.values()) or len(set(names.values())) < len(names):
        return "arm", {arm: arm for arm in arms}
    same = all(set(axes) <= set(each) for each in split.values())
    return ", ".join(axes) if same else "arm", names


def bar(line: TrialLine) -> Text:
    """Return how much of its epochs a trial has, drawn and in numbers."""
    full = round(BAR * line.epoch / max(line.epochs, 1))
    numbers = f"{line.epoch}/{line.epochs}"
    return Text.assemble(
        ("\u2501" * full, "green"), ("\u2501" * (BAR - full), "dim"), f" {numbers}"
    )


def state(line: TrialLine) -> Text:
    """Return what a trial is at, coloured."""
    return Text(printable(line.state), style=STYLES.get(line.status, "yellow"))


def brief(line: TrialLine) -> Text:
    """Return it in one word."""
    word = "starting" if line.waits is not None and not line.status.is_final else line.status
    return Text(word, style=STYLES.get(line.status, "yellow"))


def plain(get: Callable[[TrialLine], str]) -> Callable[[TrialLine], Text]:
    """Return a cell of a text; as `Text`, so that no name is read as markup."""
    return lambda line: Text(printable(get(line)))


RIGHT: dict[str, Any] = {"justify": "right"}
COLUMNS = (
    Column("trial", plain(lambda line: line.trial_id), {"ratio": 3}, 120),
    Column("arm", plain(lambda line: line.arm), {"ratio": 4}),
    Column("seed", plain(lambda line: str(line.seed)), RIGHT),
    Column("epoch", bar, RIGHT),
    Column("LR", plain(lambda line: "-" if line.lr is None else f"{line.lr:.3g}"), RIGHT),
    Column("robust", plain(lambda line: fraction(line.robust)), RIGHT),
    Column("clean", plain(lambda line: fraction(line.clean)), RIGHT, WIDE),
    Column("state", brief, {}, 0, WIDE),
    Column("state", state, {"ratio": 3}, WIDE),
    Column(
        "ETA",
        plain(lambda line: "" if line.status.is_final else duration(line.eta_seconds)),
        RIGHT,
    ),
)
"""Of the table, from left to right."""
