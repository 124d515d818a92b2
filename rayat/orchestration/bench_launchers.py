"""O5: what the launchers of trials with several workers cost."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from rayat.bench.machine import load
from rayat.bench.rows import Row, measured
from rayat.bench.timing import Settings
from rayat.config import TrialConfig
from rayat.orchestration import sweep
from rayat.orchestration.bench_trials import study_of
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


def o5(settings: Settings) -> list[Row]:
    """Measure the CPU seconds of all processes that a trial of two workers costs."""
    trials = settings.pick(5, 1)
    return [_measure(f"O5.{key}", *LAUNCHERS[key], trials, settings) for key in LAUNCHERS]


def _measure(name: str, what: str, options: Options, trials: int, settings: Settings) -> Row:
    study = study_of(TrialConfig.parse(CONFIG), trials)
    with tempfile.TemporaryDirectory() as folder, cluster(cpus=WORKERS):
        cpu, wall = tree_cpu_seconds(os.getpid()), time.perf_counter()
        summary = sweep.run(study, Path(folder) / "run", options=options)
        cpu, wall = tree_cpu_seconds(os.getpid()) - cpu, time.perf_counter() - wall
    if set(summary.statuses) != {"finished"}:
        raise RuntimeError(f"trials of the benchmark did not finish: {summary.statuses}")
    context = {"trials": trials, "wall_seconds": round(wall, 2), "load": load()}
    what = f"CPU seconds of a trial of {WORKERS} workers: {what}"
    return measured(
        name, what, [cpu / trials], unit="s", judged=not settings.quick, context=context
    )


def tree_cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and its descendants, the ended ones included.

    Linux only. A process that ended counts from the moment in which its parent waited for it.
    """
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name, in brackets, may hold spaces. Fields: man 5 proc, stat.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # ended just now
            parents[int(entry.name)] = int(fields[1])
            ticks[int(entry.name)] = sum(int(field) for field in fields[11:15])
    return sum(ticks[found] for found in _descendants(pid, parents)) / os.sysconf("SC_CLK_TCK")


def _descendants(pid: int, parents: dict[int, int]) -> Iterable[int]:
    yield pid
    for child, parent in parents.items():
        if parent == pid:
            yield from _descendants(child, parents)
