"""One run's folder out of several: their records behind each other under new trial ids.

Nothing is computed here: what stands in the new log stood in the old ones, times included.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rayat.errors import LedgerError, LockedError, quoted
from rayat.ledger.files import located, make_folder, naming, sync_folder, write_file
from rayat.ledger.info import RUN, read_info, run_json
from rayat.ledger.keys import SCHEMA_VERSION
from rayat.ledger.lock import holder
from rayat.ledger.log import LOG, MAGIC, Record, encode, read_log
from rayat.ledger.publish import publish
from rayat.ledger.reach import reach, restore_log
from rayat.ledger.rows import plain
from rayat.ledger.state import RETRY, State
from rayat.ledger.tables import build

MERGED = "merged"
"""The key of a run's `origin` that lists the runs it was merged from."""
PASSING = (".evaluating-", ".best.new-", ".last.new-", ".teacher.new-")
"""How files of a trial's folder begin that some process had not finished."""


def merged(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a run says of those it was merged from; nothing of any other run."""
    return list((info.get("origin") or {}).get(MERGED) or ())


@dataclass(frozen=True)
class Held:
    """A run as its log has it.

    Attributes:
        records: those that count, in their order. state: what they mean.
    """

    folder: Path
    info: dict[str, Any]
    records: tuple[Record, ...]
    state: State

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read a run that nobody writes.

        Raises:
            LockedError: a driver writes it.
            LedgerError: no run, no log, a damaged one, or one that holds less than the tables.
        """
        folder = located(folder)
        info, path = read_info(folder), folder / LOG
        writer = None
        if (folder / "lock").exists():
            with naming(folder / "lock", "read"):
                writer = holder(folder)
        if writer is not None:
            raise LockedError(f"{folder} is being written; merge it when its driver has ended")
        if not path.is_file():
            raise LedgerError(f"{path}: missing; runs are merged from their logs")
        tables, state, records = reach(folder), State(), list[Record]()

        def take(record: Record) -> None:
            ignored = state.ignored
            state.apply(record)
            if state.ignored == ignored:
                records.append(record)

        extent = read_log(path, take)
        if extent.damage:
            raise LedgerError(
                f"{extent.damage}; `rayat repair {quoted(folder)}` keeps what is before it"
            )
        said = tables.beyond(extent, state)
        if said:
            raise LedgerError(f"{folder}: {said}; {restore_log(folder)}")
        return cls(folder, state.info or info, tuple(records), state)


@dataclass(frozen=True)
class Part:
    """What of a run goes into the new one.

    Attributes:
        ids: the new id of each of its trials. indices: the new place of those that are taken from
            this run; the others stand in the new run as another's.
    """

    held: Held
    ids: Mapping[str, str]
    indices: Mapping[str, int]

    def records(self) -> Iterator[Record]:
        """Yield the records of the taken trials under their new ids; the driver's are left out."""
        renamed = _Renaming(self.ids)
        for record in self.held.records:
            kind = record["kind"]
            if kind == "run":
                for trial in record.get("trials", ()):
                    yield from self._one({"kind": "trial", "at": record["at"], **trial}, renamed)
            elif kind == "event":
                yield from self._event(record)
            else:
                yield from self._one(record, renamed)

    def _one(self, record: Record, renamed: _Renaming) -> Iterator[Record]:
        kind, rest = record["kind"], {k: v for k, v in record.items() if k not in ("fence", "kind")}
        trial_id = _trial_of(record)
        if trial_id not in self.indices:
            return
        if kind == "trial":
            place = {"trial_id": self.ids[trial_id], "trial_index": self.indices[trial_id]}
            rest["trial"] = {**record["trial"], **place}
        else:  # decisions and reasons name the trials that they rest on
            rest = renamed(rest)
        yield {"fence": 1, "kind": kind, **rest}

    def _event(self, record: Record) -> Iterator[Record]:
        payload = dict(record["payload"])
        if record["name"] == RETRY:
            taken = [name for name in payload["trial_ids"] if name in self.indices]
            payload["trial_ids"] = [self.ids[name] for name in taken]
            wanted = bool(taken)
        else:
            wanted = payload.get("trial_id") in self.indices
            payload["trial_id"] = self.ids.get(payload.get("trial_id", ""))
        if wanted:
            head = {"fence": 1, "kind": "event", "at": record["at"]}
            yield {**head, "name": record["name"], "payload": payload}


def _trial_of(record: Record) -> str:
    inner = {"trial": "trial", "decision": "decision", "evaluation": "row"}.get(record["kind"])
    return str((record[inner] if inner else record)["trial_id"])


class _Renaming:
    """Replaces trial ids wherever they stand in plain values."""

    def __init__(self, ids: Mapping[str, str]) -> None:
        self.ids = {old: new for old, new in ids.items() if old != new}
        self._found = re.compile(
            "|".join(rf"(?<![\w.-]){re.escape(old)}(?![\w-])" for old in self.ids) or r"(?!)"
        )

    def __call__(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._found.sub(lambda match: self.ids[match[0]], value)
        if isinstance(value, Mapping):
            return {key: self(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self(inner) for inner in value]
        return value


def write_merged(folder: Path, info: Mapping[str, Any], parts: Sequence[Part]) -> None:
    """Write a run's folder of several runs' records, checkpoints and code; all of it or nothing.

    It is made beside its place and renamed; checkpoints are linked where the file system can, so
    that they take no room twice.

    Args:
        folder: where nothing is, or an empty folder. info: what `run.json` says, without times.

    Raises:
        LedgerError: the disk refuses.
    """
    draft = folder.with_name(f".{folder.name}.merging")
    if draft.exists():  # of a command that was killed
        shutil.rmtree(draft)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    info = {"schema_version": SCHEMA_VERSION, "created_at": now, **plain(info)}
    first = {"fence": 1, "kind": "run", "at": time.time_ns() // 1000, "info": info}
    records = [first, *(record for part in parts for record in part.records())]
    state = State()
    for record in records:
        state.apply(record)
    data = MAGIC + b"".join(map(encode, records))
    make_folder(draft)
    make_folder(draft / LOG.parent)
    write_file(draft / RUN, run_json(info))
    write_file(draft / LOG, data)
    sync_folder((draft / LOG).parent)
    for part in parts:
        for old in part.indices:
            places = [run / "checkpoints" for run in (part.held.folder, draft)]
            _carry(places[0] / old, places[1] / part.ids[old])
        _carry(part.held.folder / "code", draft / "code")
    publish(draft, info, build(state), len(records), len(data))
    with naming(folder, "create"):
        os.rename(draft, folder)
    sync_folder(folder.parent)


def _carry(source: Path, target: Path) -> None:
    """Link a folder's files, or copy them where they cannot be linked."""
    for path in sorted(source.rglob("*")) if source.is_dir() else ():
        name = path.relative_to(source)
        if path.is_dir() or any(step.startswith(PASSING) for step in name.parts):
            continue
        if path.suffix == ".pyc" or (target / name).exists():
            continue
        make_folder((target / name).parent)
        with naming(target / name, "write"):
            try:
                os.link(path, target / name, follow_symlinks=False)
            except OSError:
                shutil.copyfile(path, target / name)
