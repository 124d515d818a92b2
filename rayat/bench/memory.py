"""O3: the memory of a trial's process, and whether trials share their data."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray

from rayat.api import sweep
from rayat.bench.rows import Bar, BenchRow, measured
from rayat.bench.timing import Settings
from rayat.bench.trials import study_of
from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.data.prepare import prepare
from rayat.errors import DataError
from rayat.orchestration.cluster import cluster
from rayat.runs.driver import Driver, Observer

CORES = 2
MB = 1e6
EPOCHS = 100_000
"""A trial lives until it was looked at, however late the last of them starts."""
TITLE = "ray::ImplicitFunc"
"""How Ray 2.60 calls the process of a Tune function."""
STUDY_NET = {"name": "preactresnet", "width": 16, "blocks": [1, 1, 1], "stem_stride": 2}
SMALLEST_NET = {"name": "preactresnet", "width": 2, "blocks": [1], "stem_stride": 4}


@dataclass(frozen=True)
class Memory:
    """What one process or several hold, in bytes.

    Attributes:
        rss: resident, shared pages included. pss: resident, a page shared by n counted 1/n times.
        uss: pages that no other process has.
    """

    rss: int = 0
    pss: int = 0
    uss: int = 0

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.rss + other.rss, self.pss + other.pss, self.uss + other.uss)


def o3(settings: Settings) -> list[BenchRow]:
    """Measure the trial's process, then what the data cost eight trials beyond two."""
    judged = not settings.quick
    what_rss = "Fashion-MNIST trial's process less one that imported torch, RSS"
    what_uss = "Fashion-MNIST trial's process less one that imported torch, USS"
    what_data = "data memory that eight trials hold beyond two, in copies of the data"
    what_ray = "of O3.a, what Ray Tune's process holds before any code of ours, RSS"
    bars = {"a": Bar(200, "<="), "b": Bar(200, "<="), "c": Bar(1.2, "<="), "d": None}
    problem = _problem()
    if problem:
        return [
            BenchRow(f"O3.{k}", what, bar=bars[k], judged=judged, reason=problem)
            for k, what in zip("abcd", (what_rss, what_uss, what_data, what_ray), strict=True)
        ]
    size = settings.pick(8000, 256)
    trial = _config(STUDY_NET, {"train_size": size}, 1.0, {"name": "fgsm-rs", "eps": 0.1})
    many, few = settings.pick(8, 2), settings.pick(2, 1)
    base = torch_process()
    with cluster(cpus=CORES):
        bare = ray_process()
        held = live_trials(trial, 1)
        copies, growth = data_growth(few, many, settings.pick(54_000, 2_000))
    context = {
        "torch_mb": _megabytes(base),
        "ray_mb": _megabytes(bare),
        "trial_mb": _megabytes(held),
        "data_mb": round(data_bytes(prepare(trial.data)) / MB, 1),
    }
    values = {
        "a": (what_rss, (held.rss - base.rss) / MB, "MB", context),
        "b": (what_uss, (held.uss - base.uss) / MB, "MB", context),
        "c": (what_data, copies, "copies", growth),
        "d": (what_ray, (bare.rss - base.rss) / MB, "MB", context),
    }
    return [
        measured(f"O3.{k}", what, [value], unit=unit, bar=bars[k], judged=judged, context=said)
        for k, (what, value, unit, said) in values.items()
    ]


def data_growth(few: int, many: int, images: int) -> tuple[float, dict[str, Any]]:
    """Return the data memory that `many` trials hold beyond `few`, in copies of the data.

    A process has memory of its own without any data, so the growth of the summed PSS is taken with
    `images` and with a hundredth of them, and the difference is that of the data.
    """
    sums: dict[str, list[float]] = {}
    sizes = []
    for kind, size in (("large", images), ("small", max(images // 100, 64))):
        config = _config(
            SMALLEST_NET,
            {"train_size": size, "augment": "crop-flip"},
            CORES / many,
            {"name": "none"},
        )
        sizes.append(data_bytes(prepare(config.data)))
        sums[kind] = [live_trials(config, count).pss for count in (few, many)]
    data = sizes[0] - sizes[1]
    growth = {kind: last - first for kind, (first, last) in sums.items()}
    context = {
        "data_mb": round(data / MB, 1),
        "trials": [few, many],
        "summed_pss_mb": {k: [round(v / MB) for v in pair] for k, pair in sums.items()},
    }
    return (growth["large"] - growth["small"]) / data, context


class MemoryObserver(Observer):
    """Sums the memory of the trials' processes when all have reported, and ends the run."""

    def __init__(self, trials: int) -> None:
        self.waiting = trials
        self.seen: set[str] = set()
        self.held = Memory()
        self.driver: Driver | None = None

    def begin(self, driver: Driver, concurrency: int) -> None:
        """Keep the driver, which can be told to stop."""
        self.driver = driver

    def changed(self, trial_id: str, what: str) -> None:
        """Look once every trial has trained at least two epochs."""
        if self.driver is None or what != "report" or self.driver.interrupted:
            return
        if self.driver.ledger.reported(trial_id) >= 2:
            self.seen.add(trial_id)
        found = list(trial_processes()) if len(self.seen) == self.waiting else []
        if len(found) == self.waiting:
            self.held = sum(map(memory, found), Memory())
            self.driver.interrupted = True


def live_trials(config: TrialConfig, count: int) -> Memory:
    """Return the memory of the processes of `count` trials that run at once on the Ray joined.

    Raises:
        RuntimeError: they never did.
    """
    look = MemoryObserver(count)
    with tempfile.TemporaryDirectory() as folder:
        sweep.run(study_of(config, count), Path(folder) / "run", observer=look)
    if not look.held.rss:
        raise RuntimeError(f"{count} trials never ran at the same time, so nothing was measured")
    return look.held


def torch_process() -> Memory:
    """Return the memory of a process that has imported torch and nothing else."""
    code = "import sys, torch; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        held = memory(process.pid)
        process.stdin.close()
    return held


def ray_process() -> Memory:
    """Return the memory of a process of the Ray joined that has imported Ray Tune and torch."""

    class Bare:  # in here, so that its process need not import this module
        def pid(self) -> int:
            import torch  # noqa: F401
            from ray import tune  # noqa: F401

            return os.getpid()

    actor = ray.remote(Bare).remote()
    held = memory(ray.get(actor.pid.remote()))
    ray.kill(actor)
    return held


def memory(pid: int) -> Memory:
    """Return the memory of a process, from the kernel's own sums; nothing if it is gone."""
    try:
        held = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return Memory()
    return Memory(held.rss, held.pss, held.uss)


def trial_processes() -> Iterator[int]:
    """Yield the processes below this one that hold a Ray actor, which here is a trial."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # ended just now
            # Ray writes what a worker does into its title; other processes of Ray have titles too.
            if "".join(process.cmdline()[:1]).startswith(TITLE):
                yield process.pid


def data_bytes(prepared: Prepared) -> int:
    """Return the bytes of all arrays of a prepared data set."""
    splits = (prepared.train, prepared.val, prepared.test)
    windows = 0 if prepared.windows is None else prepared.windows.nbytes
    return windows + sum(split.x.nbytes + split.y.nbytes for split in splits)


def _config(
    model: dict[str, Any], data: dict[str, Any], cpus: float, attack: dict[str, Any]
) -> TrialConfig:
    return TrialConfig.parse(
        {
            "data": {"name": "fashion-mnist", **data},
            "model": model,
            "attack": attack,
            "epochs": EPOCHS,
            "batch_size": 128,
            "cpus_per_worker": cpus,
            "checkpoint_every": EPOCHS,
            "eval": {"size": 500, "steps": 1},
        }
    )


def _problem() -> str:
    """Return why memory cannot be measured here, empty if it can."""
    if not Path("/proc/self/smaps_rollup").exists():
        return "this system does not tell the memory that processes share"
    try:
        TrialConfig.parse({"data": "fashion-mnist"}).data.read()
    except DataError as error:
        return str(error)
    return ""


def _megabytes(held: Memory) -> dict[str, int]:
    return {name: round(size / MB) for name, size in vars(held).items()}
