"""A run's log as another process writes it: what `rayat watch` shows."""

from __future__ import annotations

from pathlib import Path

from rayat.errors import LedgerError, quoted
from rayat.ledger.files import located
from rayat.ledger.held import LedgerState
from rayat.ledger.info import read_info
from rayat.ledger.log import LOG, Record, read_log
from rayat.ledger.state import State


class Tail(LedgerState):
    """Reads a log again and again, each time only what was appended since. It changes nothing.

    Attributes:
        folder: the run's folder. state: the fold of the records so far.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = located(folder)
        read_info(self.folder)
        if not (self.folder / LOG).exists():
            raise LedgerError(
                f"{self.folder}: has no log to follow, only tables; "
                f"`rayat status {quoted(self.folder)}` shows them"
            )
        self.state = State()
        self._end = 0
        self._doubted = -1

    def advance(self) -> list[Record]:
        """Take and return the records that were appended since the last time.

        A torn one at the end is left for the next time: it may be half written.

        Raises:
            LedgerError: the log is damaged, was repaired to a shorter one, or cannot be read.
        """
        path, new = self.folder / LOG, list[Record]()
        if self._end and path.stat().st_size < self._end:
            raise LedgerError(f"{path}: has become shorter, so it was repaired; watch it again")

        def take(record: Record) -> None:
            self.state.apply(record)
            new.append(record)

        extent = read_log(path, take, self._end)
        if extent.damage and self._doubted == extent.bytes:
            raise LedgerError(
                f"{extent.damage}; stop its driver, then `rayat repair {quoted(self.folder)}`"
            )
        # What looks damaged once may be half written; it is damage when it stays so.
        self._doubted = extent.bytes if extent.damage else -1
        self._end = extent.bytes
        return new
