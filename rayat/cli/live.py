"""What a living run shows: a table that is redrawn on a terminal, plain lines anywhere else.

Both read the driver's ledger and write to standard error; standard output is for the result.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rayat.cli.progress import Progress, TrialLine
from rayat.cli.text import duration
from rayat.compare.text import fraction, printable
from rayat.ledger.status import Status
from rayat.runs.driver import Observer

if TYPE_CHECKING:
    from rayat.runs.driver import Driver

REFRESH_SECONDS = 0.25
PROGRESS_SECONDS = 10.0
STARTING_SECONDS = 60.0
"""Where nothing but a start goes on, it is said after 10 s and then so often."""
FRAME_LINES = 7
"""Lines that are no trial: three borders, the header, the two below, the cursor's."""
STYLES = {
    Status.RUNNING: "cyan",
    Status.FINISHED: "green",
    Status.FAILED: "red",
    Status.LOST: "red",
}


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

    def begin(self, driver: Driver, concurrency: int) -> None:
        """Say how many trials run at once."""
        self._progress.begin(driver, concurrency)
        left = len(driver.ledger.unfinished())
        self._say(f"{left} of {len(driver.trials)} trials to run, {concurrency} at once")

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
        """Say what the run does now."""
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
        self._drawn = float("-inf")
        self._live = Live(
            console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

    def begin(self, driver: Driver, concurrency: int) -> None:
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

    def render(self) -> Group:
        """Return the table and the line below it, as high as the terminal at most."""
        room = max(1, self._console.size.height - FRAME_LINES)
        shown = list(self._progress.running)[:room]
        if len(shown) < room:
            shown += self._progress.ended[::-1][: room - len(shown)]
        table = Table(expand=True, pad_edge=False)
        for name in ("trial", "arm"):
            table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=3)
        for name in ("seed", "epoch", "LR", "robust", "clean"):
            table.add_column(name, no_wrap=True, justify="right")
        table.add_column("state", no_wrap=True, overflow="ellipsis", ratio=4)
        table.add_column("ETA", no_wrap=True, justify="right")
        for trial_id in shown:
            table.add_row(*cells(self._progress.line(trial_id)))
        below = [Text(printable(self._progress.summary()))]
        if self._phase:
            below.append(Text(printable(self._phase)))
        for line in below:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(table, *below)


class Guarded(Observer):
    """Passes everything on to another observer until that one fails: no display ends a run."""

    def __init__(self, observer: Observer) -> None:
        self._observer: Observer = observer

    def begin(self, driver: Driver, concurrency: int) -> None:
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


def observer() -> Observer:
    """Return what standard error can show: the table on a terminal, lines elsewhere."""
    console = Console(stderr=True)
    return Guarded(LiveTable(console) if console.is_terminal else PlainLines())


def ending(line: TrialLine) -> str:
    """Return one sentence on a trial that ended."""
    reason = f": {line.reason}" if line.reason else ""
    return (
        f"{line.trial_id} ({line.arm}, seed {line.seed}) {line.status} at epoch "
        f"{line.epoch}/{line.epochs}, robust {fraction(line.robust)}, "
        f"clean {fraction(line.clean)}{reason}"
    )


def cells(line: TrialLine) -> list[Text]:
    """Return a trial's cells; as `Text`, so that no name is read as markup."""
    texts = [
        line.trial_id,
        line.arm,
        str(line.seed),
        f"{line.epoch}/{line.epochs}",
        "-" if line.lr is None else f"{line.lr:.3g}",
        fraction(line.robust),
        fraction(line.clean),
        line.state,
        "" if line.status.is_final else duration(line.eta_seconds),
    ]
    result = [Text(printable(text)) for text in texts]
    result[7].stylize(STYLES.get(line.status, "yellow"))
    return result
