"""Durable file operations: what is written here is on disk, whole, or not there at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from rayat.errors import LedgerError

FILE_MODE, FOLDER_MODE = 0o600, 0o700
NEW = os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def checkpoint_folder(run: Path, trial_id: str) -> Path:
    """Return where a trial keeps its checkpoints inside its run's folder."""
    return run / "checkpoints" / trial_id


def located(path: str | Path) -> Path:
    """Return a path as every part of a run means it: absolute, `~` as the user's folder.

    Workers have working folders of their own, and Ray reads a relative path as a URI.
    """
    return Path(os.path.abspath(Path(path).expanduser()))


def seen_from(folder: Path, path: Path) -> str:
    """Return where `path` is as seen from `folder`: it holds where both are moved or copied."""
    return Path(os.path.relpath(path, folder)).as_posix()


@contextlib.contextmanager
def naming(path: Path, doing: str) -> Iterator[None]:
    """Turn an `OSError` into a `LedgerError` that names the file and says what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        cure = "free some space and resume" if full else "check the disk and the permissions"
        raise LedgerError(
            f"{path}: cannot {doing}: {error.strerror or error}; {cure} "
            "(everything acknowledged so far is kept)"
        ) from error


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte; a short write is continued. Raises `OSError`."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_file(path: Path, data: bytes) -> None:
    """Write a whole file, mode 0600, and flush it; no symbolic link is followed.

    The name itself is durable only after `sync_folder`. Raises `LedgerError`; a file that could not
    be written whole is removed where that is possible.
    """
    with naming(path, "write"):
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | NEW, FILE_MODE)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            # A half file would hold the space that a full disk lacks.
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        finally:
            os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flush a folder, so that names created or replaced in it survive a power loss."""
    with naming(folder, "flush"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder with mode 0700, its parents as needed; an existing one is left as it is."""
    with naming(folder, "create"):
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
            sync_folder(folder.parent)


def create_file(path: Path, data: bytes) -> bool:
    """Create a whole file if the name is free; return False, changing nothing, if it is taken."""
    temporary = path.with_name(path.name + ".new")
    write_file(temporary, data)
    with naming(path, "create"):
        try:
            os.link(temporary, path)
            created = True
        except FileExistsError:
            created = False
        os.unlink(temporary)
    sync_folder(path.parent)
    return created


def replace_file(path: Path, data: bytes) -> None:
    """Replace a whole file atomically: readers see the old one or the new one."""
    temporary = path.with_name(path.name + ".new")
    write_file(temporary, data)
    with naming(path, "replace"):
        os.replace(temporary, path)
    sync_folder(path.parent)
