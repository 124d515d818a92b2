"""`rayat repair RUN`: the log is the truth, everything else is made from it again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayat.errors import LedgerError, quoted
from rayat.ledger.files import located, make_folder, naming, replace_file, sync_folder, write_file
from rayat.ledger.info import RUN, read_info, run_json
from rayat.ledger.lock import RunLock
from rayat.ledger.log import LOG, MAGIC, read_log
from rayat.ledger.publish import MANIFEST, publish, settle
from rayat.ledger.reach import reach, restore_log
from rayat.ledger.state import State
from rayat.ledger.tables import build


@dataclass(frozen=True)
class RepairReport:
    """What a repair found and did.

    Attributes:
        folder: the run. records: whole records the log holds now.
        torn_bytes: bytes of an unfinished record behind them that no table counts, cut off.
        lost_bytes: bytes from the first damaged or cut record on, taken out of the log.
        set_aside: the damaged log as it was, None if the log was whole.
        cut: what the tables held that the log does not, None if it holds it all.
        kept: the folder with the tables as they were, None if nothing of them was lost.
        rebuilt: files that were missing or other than the log says.
    """

    folder: Path
    records: int
    torn_bytes: int
    lost_bytes: int
    set_aside: Path | None
    cut: str | None
    kept: Path | None
    rebuilt: tuple[str, ...]

    def __str__(self) -> str:
        """Return the report as sentences for a person."""
        lines = [f"{self.folder}: the log holds {self.records} whole records."]
        if self.torn_bytes:
            lines.append(
                f"Cut {self.torn_bytes} bytes of a record that is not whole: a crash leaves one "
                "before it is acknowledged."
            )
        if self.set_aside:
            lines.append(
                f"The log was damaged: {self.lost_bytes} bytes from the damage on were taken out "
                f"(the log as it was: {self.set_aside}); resuming reports what checkpoints hold "
                "and trains the rest again."
            )
        if self.kept:
            lines.append(
                f"Before the repair: {self.cut}. The tables as they were: {self.kept} (`rayat "
                f"compare {quoted(self.kept)}` reads them); if the log is whole elsewhere, "
                f"{restore_log(self.folder)} and repair again."
            )
        if self.rebuilt:
            lines.append(f"Rebuilt from the log: {', '.join(self.rebuilt)}.")
        else:
            lines.append("All tables were as the log says.")
        return "\n".join(lines)


def repair(folder: str | Path) -> RepairReport:
    """Make a run's tables from its log again, and the log valid if it is not.

    A damaged log keeps the whole records before the damage: an earlier state of the run, which a
    resumed run goes on from. The log as it was is set aside, nothing is deleted. Tables that hold
    more than the log, which was then damaged or cut, are set aside too, as a run to be read.

    Raises:
        LockedError: a driver is writing the run.
        LedgerError: no log, or neither it nor `run.json` says what the run is; nothing was changed.
    """
    folder = located(folder)
    path = folder / LOG
    if not path.is_file():
        raise LedgerError(f"{path}: missing; without its log a run cannot be repaired")
    lock = RunLock.acquire(folder)
    try:
        settle(folder)
        before, tables = _contents(folder), reach(folder)
        state = State()
        extent, data = read_log(path, state.apply), path.read_bytes()
        if extent.damage and extent.records == 0 and data[: len(MAGIC)] != MAGIC:
            # The records may be whole behind a damaged header.
            whole = path.with_name(path.name + ".new")
            write_file(whole, MAGIC + data[len(MAGIC) :])
            extent = read_log(whole, state.apply)
            os.unlink(whole)
        state.info = state.info or _info(folder)
        if state.info is None:
            raise LedgerError(
                f"{path}: holds no whole record, and {RUN} cannot be read; restore one from a copy"
            )
        cut, kept, aside = tables.beyond(extent, state), None, None
        if cut:
            kept = _keep(folder, {**before, RUN: before[RUN] or run_json(state.info)})
        if extent.damage or data[: len(MAGIC)] != MAGIC or (cut and extent.torn):
            aside = _set_aside(path, data)
        if len(data) != extent.bytes or aside:
            replace_file(path, MAGIC + data[len(MAGIC) : extent.bytes])
        publish(folder, state.info, build(state), extent.records, extent.bytes)
        after = _contents(folder)
    finally:
        lock.release()
    return RepairReport(
        folder,
        extent.records,
        0 if aside else extent.torn,
        len(data) - extent.bytes if aside else 0,
        aside,
        cut,
        kept,
        tuple(name for name in after if after[name] != before[name]),
    )


def _info(folder: Path) -> dict[str, Any] | None:
    try:
        return read_info(folder)
    except LedgerError:
        return None


def _contents(folder: Path) -> dict[str, bytes | None]:
    names = [
        RUN,
        "trials.parquet",
        "epochs.parquet",
        "decisions.parquet",
        "evals.parquet",
        MANIFEST,
    ]
    found: dict[str, bytes | None] = {}
    for name in names:
        path = folder / name
        with naming(path, "read"):
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def _keep(folder: Path, files: dict[str, bytes | None]) -> Path:
    """Copy the tables into a folder of their own, which reads like a run."""
    number = 1
    while (kept := folder / f"tables.kept-{number}").exists():
        number += 1
    make_folder(kept)
    for name, data in files.items():
        if data is not None:
            write_file(kept / name, data)
    sync_folder(kept)
    return kept


def _set_aside(path: Path, data: bytes) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    write_file(aside, data)
    sync_folder(path.parent)
    return aside
