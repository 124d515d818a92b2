"""O5: what the launchers of trials with several workers cost."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from pathlib import Path

import psutil

from rayat.api import sweep
from rayat.bench.machine import load
from rayat.bench.rows import BenchRow, measured
from rayat.bench.timing import Settings
from rayat.bench.trials import study_of
from rayat.config import TrialConfig
from rayat.ledger.status import Status
from rayat.orchestration.cluster import cluster
from rayat.orchestration.execute import Options

WORKERS = 2
CONFIG = {
    "data": {"name": "digits", "train_size": 256, "val_size": 64},
    "model": {"name": "cnn"},
    "epochs": 2,
    "batch_size": 64,
    "attack": {"name": "fgsm", "eps": 0.2},
    "eval": {"steps": 1},
    "workers": WORKERS,
}
"""Trials of a fraction of a second: what is left is the launcher's."""
LAUNCHERS = {
    "a": ("actors that serve trial after trial", Options(launcher="ranks")),
    "b": ("actors of each trial's own", Options(launcher="ranks", fresh_processes=True)),
    "c": ("a TorchTrainer for each trial", Options(launcher="trainer")),
}

EVERY = 0.05
"""Seconds between two looks at the processes' CPU time."""


def o5(settings: Settings) -> list[BenchRow]:
    """Measure the CPU seconds of all processes that a trial of two workers costs."""
    trials = settings.pick(5, 1)
    return [_measure(f"O5.{key}", *LAUNCHERS[key], trials, settings) for key in LAUNCHERS]


def _measure(name: str, what: str, options: Options, trials: int, settings: Settings) -> BenchRow:
    study = study_of(TrialConfig.parse(CONFIG), trials)
    with tempfile.TemporaryDirectory() as folder, cluster(cpus=WORKERS):
        began = time.perf_counter()
        with CpuMeter() as meter:
            summary = sweep.run(study, Path(folder) / "run", options=options)
        wall = time.perf_counter() - began
    if set(summary.statuses) != {Status.FINISHED}:
        raise RuntimeError(f"trials of the benchmark did not finish: {summary.statuses}")
    context = {"trials": trials, "wall_seconds": round(wall, 2), "load": load()}
    what = f"CPU seconds of a trial of {WORKERS} workers: {what}"
    return measured(
        name, what, [meter.seconds / trials], unit="s", judged=not settings.quick, context=context
    )


class CpuMeter:
    """Counts the CPU seconds that this process and its descendants spend inside the context.

    Linux only. A process that ended keeps what it had when it was last looked at: asking parents
    for their ended children misses those whose parent never waits for them, as Ray's does not.
    So up to `EVERY` seconds of each ended process are missed. The meter's own time is left out.

    Attributes:
        seconds: the count; final once the context ended.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._first: dict[tuple[int, float], float] = {}
        self._last: dict[tuple[int, float], float] = {}
        self._own = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> CpuMeter:
        """Begin to count."""
        self._first = _descendants_seconds(os.getpid())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look a last time, and add up."""
        self._ended.set()
        self._thread.join()
        self._last.update(_descendants_seconds(os.getpid()))
        spent = sum(now - self._first.get(key, 0.0) for key, now in self._last.items())
        self.seconds = spent - self._own

    def _watch(self) -> None:
        while not self._ended.wait(EVERY):
            self._last.update(_descendants_seconds(os.getpid()))
        self._own = time.thread_time()


def _descendants_seconds(pid: int) -> dict[tuple[int, float], float]:
    """Return the CPU seconds of a process and its descendants by process id and start."""
    found = {}
    top = psutil.Process(pid)
    for process in (top, *top.children(recursive=True)):
        with contextlib.suppress(psutil.Error):  # ended just now
            spent = process.cpu_times()
            found[process.pid, process.create_time()] = spent.user + spent.system
    return found
