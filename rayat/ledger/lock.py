"""One writer per run: an advisory file lock, and a fence number that only grows.

The kernel drops the lock when its process dies, so a stale lock file blocks no one. The fence is
the number of the driver since the run began; it stands in every record, and a record whose fence is
lower than an earlier one's was written by a driver that had lost the run: the fold ignores it.
The file system must honour `flock` between the hosts that write to it (local disks and NFSv4 do).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any, Self

from rayat.errors import LedgerError, LockedError
from rayat.ledger.files import FILE_MODE, NEW, naming

LOCK = "lock"
SIZE = 512
"""Bytes of the file, padded: it is written in one call, within one disk sector."""


class RunLock:
    """A held lock. Attributes: `folder` (the run), `fence` (this driver's number, from 1)."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.folder, self.fence = folder, 0
        self._path = folder / LOCK
        self._descriptor: int | None = descriptor
        self._text = b""

    @classmethod
    def acquire(cls, folder: Path) -> Self:
        """Take the lock of the run in `folder`, at once or not at all.

        Raises:
            LockedError: another driver holds it; names its host, process and age.
            LedgerError: the file system cannot lock, or the lock file cannot be written.
        """
        path = folder / LOCK
        with naming(path, "open"):
            descriptor = os.open(path, os.O_RDWR | NEW, FILE_MODE)
        lock = cls(folder, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.raise_fence(int(_holder(descriptor).get("fence", 0)) + 1)
        except BlockingIOError:
            holder = _describe(_holder(descriptor))
            lock.release()
            raise LockedError(
                f"{folder} is being written by {holder}; wait for it to end or stop it "
                "(two drivers on one run are refused)"
            ) from None
        except OSError as error:
            lock.release()
            raise LedgerError(
                f"{path}: this file system cannot lock ({error.strerror}); "
                "put the run on a local disk or NFSv4"
            ) from error
        except BaseException:
            lock.release()
            raise
        return lock

    def raise_fence(self, fence: int) -> None:
        """Announce `fence` as this driver's number, if it is above the present one."""
        if fence <= self.fence:
            return
        holder = {
            "fence": fence,
            "host": socket.gethostname()[:128],
            "pid": os.getpid(),
            "boot_id": _boot_id(),
            "started": time.time(),  # for the message alone; nothing is decided by it
        }
        text = json.dumps(holder).encode().ljust(SIZE)
        with naming(self._path, "write"):
            os.pwrite(self._held(), text, 0)
            os.fsync(self._held())
        self.fence, self._text = fence, text

    def check(self) -> None:
        """Make sure that this driver still owns the run.

        Raises:
            LockedError: the lock file was removed or another driver has taken the run over.
        """
        descriptor = self._held()
        mine = False
        with contextlib.suppress(OSError):
            mine = os.stat(self._path).st_ino == os.fstat(descriptor).st_ino
        if not mine or os.pread(descriptor, SIZE, 0) != self._text:
            raise LockedError(
                f"{self._path}: this driver (fence {self.fence}) has lost the run to another one; "
                "nothing more is written by it"
            )

    def _held(self) -> int:
        if self._descriptor is None:
            raise LockedError(f"{self._path}: the lock was released; open the run again")
        return self._descriptor

    def release(self) -> None:
        """Let the next driver in; the file stays, for its fence."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder(folder: Path) -> dict[str, Any] | None:
    """Return what the lock file says of the driver that holds a run, None if no one does.

    The kernel is asked, not the file's text: that one outlives its writer. The question is a shared
    lock for some microseconds; a driver that starts within them is told to try again.

    Raises:
        OSError: it cannot be told: there is no lock file (a copy), or nothing can be locked here.
    """
    with open(folder / LOCK, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            found = _holder(file.fileno())
            return {key: found.get(key) for key in ("pid", "host", "started", "fence")}
        return None


def _holder(descriptor: int) -> dict[str, Any]:
    """Return what the lock file says; an empty or torn one says nothing, and the log knows more."""
    try:
        holder = json.loads(os.pread(descriptor, SIZE, 0))
    except ValueError:
        return {}
    fence = holder.get("fence") if isinstance(holder, dict) else None
    return holder if isinstance(fence, int) else {}


def _describe(holder: dict[str, Any]) -> str:
    here = holder.get("host") == socket.gethostname() and holder.get("boot_id") == _boot_id()
    pid = holder.get("pid")
    if not pid or (here and not _alive(pid)):
        return "another driver that is just starting"
    age = max(0, round(time.time() - holder.get("started", time.time())))
    return f"process {pid} on {holder.get('host')} for {age} s"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
