"""The append-only record log: the only state of a living run.

Layout of `log/000001.rlog`, all integers little-endian:

    header   8 bytes   b"RAYATLG1"
    record   4 bytes   length of the payload
             4 bytes   CRC-32 of the length field and the payload
             n bytes   payload: one JSON object, ASCII, `fence` and `kind` first

`append` returns after the record is on disk. What a crash leaves behind the last whole record is a
torn tail: it was never acknowledged, and opening the log for writing cuts it off. A record that was
whole once and is wrong now is damage, which no one repairs in silence.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rayat.errors import LedgerError, quoted
from rayat.ledger.files import FILE_MODE, NEW, make_folder, naming, sync_folder, write_all

LOG = Path("log") / "000001.rlog"
MAGIC = b"RAYATLG1"
HEAD = struct.Struct("<II")
PREFIX = b'{"fence":'
"""What every payload starts with; a damaged log is searched for it."""
MAX_RECORD = 16 * 2**20
"""Bytes; a longer length field is damage, and a longer record is refused."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Extent:
    """What a log file holds.

    Attributes:
        records: whole records from the start.
        bytes: where the last of them ends, header included; 0 for a log without a whole header.
        torn: bytes behind that, left by a crash and never acknowledged.
        damage: why the rest cannot be read, or None; `torn` is then 0.
    """

    records: int
    bytes: int
    torn: int = 0
    damage: str | None = None


def encode(record: Mapping[str, Any]) -> bytes:
    """Return a record's bytes. `record` starts with `fence` and holds JSON values only."""
    payload = json.dumps(record, separators=(",", ":"), allow_nan=False).encode("ascii")
    if not payload.startswith(PREFIX):
        raise ValueError("a record starts with its fence")
    length = struct.pack("<I", len(payload))
    return length + struct.pack("<I", zlib.crc32(payload, zlib.crc32(length))) + payload


def read_log(path: Path, visit: Callable[[Record], object], start: int = 0) -> Extent:
    """Call `visit` with every whole record in order, and return what the file holds.

    The file is not changed.

    Args:
        start: where an earlier reading ended (`Extent.bytes`); records before it are passed over
            and not counted.

    Raises:
        LedgerError: it cannot be read at all.
    """
    with naming(path, "read"), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < len(MAGIC):
            whole = MAGIC.startswith(file.read())
            return Extent(0, 0, size) if whole else Extent(0, 0, damage=_foreign(path))
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[: len(MAGIC)] != MAGIC:
                return Extent(0, 0, damage=_foreign(path))
            return _walk(path, data, size, visit, max(start, len(MAGIC)))


def _walk(
    path: Path, data: mmap.mmap, size: int, visit: Callable[[Record], object], offset: int
) -> Extent:
    count, loads = 0, json.loads
    while offset < size:
        payload = _payload(data, offset, size)
        if payload is None:
            break
        visit(loads(payload))
        offset += HEAD.size + len(payload)
        count += 1
    if offset == size or _is_torn(data, offset, size):
        return Extent(count, offset, size - offset)
    where = f"{path}: record {count + 1} at byte {offset} is damaged"
    return Extent(count, offset, damage=where)


def _payload(data: mmap.mmap, offset: int, size: int) -> bytes | None:
    """Return the payload of the whole, right record at `offset`, or None."""
    start = offset + HEAD.size
    if start > size:
        return None
    length, crc = HEAD.unpack(data[offset:start])
    if length > MAX_RECORD or start + length > size:
        return None
    payload = data[start : start + length]
    return payload if zlib.crc32(payload, zlib.crc32(data[offset : offset + 4])) == crc else None


def _is_torn(data: mmap.mmap, offset: int, size: int) -> bool:
    """Tell what a crash leaves at the end from damage to a record that was whole once."""
    found = data.find(PREFIX, offset)
    while found >= 0:
        if _payload(data, found - HEAD.size, size) is not None:
            return False
        found = data.find(PREFIX, found + 1)
    rest = data[offset:size]
    if len(rest) <= HEAD.size:
        return True
    if rest.endswith(b"\0") or b"\0\0" in rest[HEAD.size :]:
        return True  # blocks that were allocated and never written; JSON holds no zero byte
    (length,) = struct.unpack("<I", rest[:4])
    if HEAD.size + length <= len(rest):
        return False
    try:
        json.loads(rest[HEAD.size :])
    except ValueError:
        return True  # cut short
    return False  # a whole object behind a wrong length


def _foreign(path: Path) -> str:
    return f"{path}: not a rayat log (its first bytes are not {MAGIC.decode()})"


class Log:
    """The log open for appending; the caller holds the run's lock.

    Attributes:
        records: how many records it holds. bytes: where the last one ends.
        torn: bytes of a torn tail that opening cut off.
    """

    def __init__(self, path: Path, descriptor: int, extent: Extent) -> None:
        self.path, self.torn = path, extent.torn
        self.records, self.bytes = extent.records, extent.bytes
        self._descriptor: int | None = descriptor
        self._clean = extent.torn == 0

    @classmethod
    def open(
        cls,
        folder: Path,
        visit: Callable[[Record], object],
        check: Callable[[Extent], object] = lambda extent: None,
    ) -> Self:
        """Open or create the log of a run, show every record to `visit`, cut a torn tail.

        Args:
            check: called with what the file holds before anything is changed; it may refuse it.

        Raises:
            LedgerError: a damaged or foreign file, with the place and the cure.
        """
        path = folder / LOG
        make_folder(path.parent)
        extent = read_log(path, visit) if path.exists() else Extent(0, 0)
        if extent.damage:
            raise LedgerError(
                f"{extent.damage}; `rayat repair {quoted(folder)}` keeps the {extent.records} "
                "records before it and sets the damaged file aside"
            )
        check(extent)
        with naming(path, "open"):
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | NEW, FILE_MODE)
        log = cls(path, descriptor, extent)
        try:
            log._repair()
            if log.bytes == 0:
                log._write(MAGIC)
                sync_folder(path.parent)
        except BaseException:
            log.close()
            raise
        return log

    def append(self, record: Mapping[str, Any]) -> int:
        """Write one record, flush it, and return its number (1-based).

        Raises:
            LedgerError: not written (disk full, closed); the log is as before and stays usable.
        """
        data = encode(record)
        if len(data) > MAX_RECORD:
            raise LedgerError(
                f"{self.path}: a record of {len(data)} bytes is too long, at most {MAX_RECORD}"
            )
        self._repair()
        self._write(data)
        self.records += 1
        return self.records

    def _write(self, data: bytes) -> None:
        descriptor = self._open_descriptor()
        with naming(self.path, "append"):
            try:
                write_all(descriptor, data)
                os.fdatasync(descriptor)
            except OSError:
                self._clean = False
                # If this fails too, the next append tries again before it writes.
                with suppress(LedgerError):
                    self._repair()
                raise
        self.bytes += len(data)

    def _repair(self) -> None:
        """Cut off what stands behind the last whole record."""
        if not self._clean:
            with naming(self.path, "truncate"):
                os.ftruncate(self._open_descriptor(), self.bytes)
                os.fdatasync(self._open_descriptor())
            self._clean = True

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise LedgerError(f"{self.path}: the log is closed; open the run again")
        return self._descriptor

    def close(self) -> None:
        """Close the file; every appended record is on disk already."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
