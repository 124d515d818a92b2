"""What the ledger's tests share: small runs, a full row, and a broken operating system."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rayat.ledger.writer import Ledger

INFO = {"metric": "val_robust_acc", "study": {"name": "tiny"}}
CALLS = ("open", "mkdir", "write", "pwrite", "fsync", "fdatasync", "replace", "link", "unlink")
CALLS = (*CALLS, "ftruncate")


class Crash(BaseException):
    """The process is dead: no handler of the code under test may save anything."""


class FaultyOs:
    """Counts the file calls and breaks the n-th one.

    `crash`: the process dies there; a write is done by half, what was never flushed is lost, and
    every later call fails. Otherwise the call fails once with `code`, as a full disk does.
    """

    def __init__(self, patch: pytest.MonkeyPatch, at: int | None, crash: bool, code: int) -> None:
        self.at, self.crash, self.code = at, crash, code
        self.calls, self.dead = 0, False
        self.real = {name: getattr(os, name) for name in CALLS}
        self._paths: dict[int, str] = {}
        self._flushed: dict[str, int] = {}
        for name in CALLS:
            patch.setattr(os, name, self._wrap(name))

    def _wrap(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.dead:
                raise Crash(name)
            if self.calls == self.at:
                self._break(name, args)
            result = self.real[name](*args, **kwargs)
            self._follow(name, args, result)
            return result

        return call

    def _break(self, name: str, args: tuple[Any, ...]) -> None:
        if name == "write":
            half = bytes(args[1])[: len(args[1]) // 2]
            self.real["write"](args[0], half)
        if not self.crash:
            raise OSError(self.code, os.strerror(self.code))
        self.dead = True
        for path, size in self._flushed.items():
            if os.path.exists(path) and os.path.getsize(path) > size:
                # Half of what was not flushed reached the disk.
                os.truncate(path, (size + os.path.getsize(path)) // 2)
        raise Crash(name)

    def _follow(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        if name == "open" and not args[1] & os.O_DIRECTORY:
            path = os.path.abspath(args[0])
            self._paths[result] = path
            self._flushed[path] = os.path.getsize(path)
        elif name in ("fsync", "fdatasync") and args[0] in self._paths:
            path = self._paths[args[0]]
            if os.path.exists(path):
                self._flushed[path] = os.path.getsize(path)
        elif name in ("replace", "link"):
            source, target = map(os.path.abspath, args)
            if source in self._flushed:
                self._flushed[target] = self._flushed.pop(source)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """Return a folder in memory where there is one: thousands of flushes cost nothing there."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def faulty_os() -> Callable[..., Any]:
    """Return `with faulty_os(at, crash=True, code=ENOSPC) as calls:`."""

    @contextlib.contextmanager
    def use(at: int | None, crash: bool = True, code: int = errno.ENOSPC) -> Iterator[FaultyOs]:
        with pytest.MonkeyPatch.context() as patch:
            yield FaultyOs(patch, at, crash, code)

    return use


@pytest.fixture
def crash() -> type[BaseException]:
    return Crash


@pytest.fixture
def info() -> dict[str, Any]:
    return dict(INFO)


@pytest.fixture
def make_row() -> Callable[..., dict[str, Any]]:
    """Return `make_row(epoch, **changes)`: a whole, plausible report."""

    def make(epoch: int, **changes: Any) -> dict[str, Any]:
        row = {
            "epoch": epoch,
            "lr": 0.1 / epoch,
            "attack_steps": 5.0,
            "eps": 8 / 255,
            "data_fraction": 1.0,
            "train_loss": 2.0 / epoch,
            "train_robust_acc": 0.2,
            "val_clean_acc": 0.5,
            "val_robust_acc": 0.1 * epoch,
            "samples": 100,
            "fwd_passes": 600,
            "bwd_passes": 600,
            "eval_fwd_passes": 11,
            "eval_bwd_passes": 10,
            "comm_bytes": 0,
            "attack_seconds": 1.0,
            "train_seconds": 0.5,
            "eval_seconds": 0.25,
        }
        return row | changes

    return make


@pytest.fixture
def declare() -> Callable[..., None]:
    """Return `declare(ledger, trial_id, index=0, config=None, **changes)`."""

    def call(ledger: Ledger, trial_id: str, index: int = 0, **changes: Any) -> None:
        fields = {
            "arm": "lr.shape=cosine",
            "config_id": "abcdef012345",
            "config_sha256": "00" * 32,
            "config_json": '{"epochs":3,"lr":{"peak":0.1,"shape":"cosine"}}',
            "seed": 0,
            "epochs": 3,
            "workers": 1,
        }
        ledger.trial(trial_id, index, **(fields | changes))

    return call


@pytest.fixture
def ledger(tmp_path: Path, info: dict[str, Any], declare: Callable[..., None]) -> Iterator[Ledger]:
    """Return the open ledger of a new run with the started trial `t`."""
    with Ledger.create(tmp_path / "run", info) as ledger:
        declare(ledger, "t")
        ledger.attempt("t", device="cpu", host="node-a")
        yield ledger


@pytest.fixture
def finished(ledger: Ledger, make_row: Callable[..., dict[str, Any]]) -> Path:
    """Return the folder of a closed run with three epochs, a decision and an evaluation."""
    for epoch in (1, 2, 3):
        ledger.report("t", 1, make_row(epoch))
    ledger.decision("t", 2, "continue", "asha", "best of its rung", {"rank": 1, "of": 3})
    ledger.evaluation(
        {"trial_id": "t", "checkpoint": "best", "suite": "pgd-20", "split": "test", "n": 10}
    )
    ledger.end("t", "finished")
    ledger.close()
    return ledger.folder
