"""O1 and O4: a whole run through Ray, against two processes that train the same trials bare."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rayat.api import sweep
from rayat.bench.machine import load
from rayat.bench.processes import workers
from rayat.bench.rows import Bar, BenchRow, measured
from rayat.bench.timing import Settings
from rayat.config import TrialConfig
from rayat.data.prepare import prepare
from rayat.ledger.status import Status
from rayat.orchestration.cluster import cluster
from rayat.planning.estimate import estimate
from rayat.study import Study

CORES = 2
STEPS_TRIED = (1, 2, 3, 5, 7, 10, 15, 20)


def o1(settings: Settings) -> list[BenchRow]:
    """Compare 40 trials of 10 epochs of at least 0.2 s, from the first process to the last."""
    trials, epochs = settings.pick(40, 2), settings.pick(10, 2)
    config = lasting(0.2 if not settings.quick else 0.0, epochs)
    rounds = 3 if not settings.quick else 1
    what = f"{trials} trials of {epochs} epochs on {CORES} cores: through Ray / bare processes"
    return [_compare("O1", what, config, trials, rounds, Bar(1.25, "<="), settings)]


def o4(settings: Settings) -> list[BenchRow]:
    """Compare 200 trials of about one second, for which starting is the larger part."""
    trials = settings.pick(200, 2)
    config = lasting(0.2 if not settings.quick else 0.0, settings.pick(5, 1))
    what = f"{trials} trials of about a second on {CORES} cores: through Ray / bare processes"
    return [_compare("O4", what, config, trials, 1, None, settings)]


def lasting(seconds: float, epochs: int) -> TrialConfig:
    """Return a digits trial with the fewest attack steps that make an epoch last `seconds`.

    A real trial and no loop that burns time: it reports, validates and writes checkpoints. Epochs
    of the largest number of steps may still be shorter on a fast machine.
    """
    base = {
        "data": {"name": "digits", "train_size": 1024, "val_size": 128},
        "model": {"name": "preactresnet", "width": 16, "blocks": [1, 1]},
        "epochs": epochs,
        "batch_size": 64,
        "eval": {"steps": 2},
    }
    prepared = prepare(TrialConfig.parse(base).data)
    for steps in STEPS_TRIED:
        attack = {"name": "pgd", "eps": 0.3, "steps": steps}
        config = TrialConfig.parse({**base, "attack": attack})
        if estimate(config, prepared).seconds_per_epoch >= seconds:
            break
    return config


def study_of(config: TrialConfig, trials: int, policy: object = "none") -> Study:
    """Return a study of the configuration under as many seeds, in which nothing ends early."""
    tree = {key: value for key, value in config.tree().items() if key != "seed"}
    return Study(
        name="bench",
        base=tree,
        seeds=tuple(range(trials)),
        policy=policy,
        stop_collapsed=False,
        final_eval=False,
    )


def _compare(
    name: str,
    what: str,
    config: TrialConfig,
    trials: int,
    rounds: int,
    bar: Bar | None,
    settings: Settings,
) -> BenchRow:
    # A real policy that judges every report, with a grace that it never leaves.
    study = study_of(config, trials, {"name": "median", "grace": config.epochs + 1})
    bare, ray, start = [], [], []
    for _ in range(rounds):
        bare.append(bare_seconds([trial.config for trial in study.trials()]))
        whole, starting = ray_seconds(study)
        ray.append(whole)
        start.append(starting)
    context = {
        "trials": trials,
        "epochs": config.epochs,
        "bare_seconds": [round(s, 2) for s in bare],
        "ray_seconds": [round(s, 2) for s in ray],
        "ray_start_seconds": round(statistics.median(start), 2),
        "epoch_seconds": round(statistics.median(bare) * CORES / trials / config.epochs, 3),
        "load": load(),
    }
    samples = [r / b for r, b in zip(ray, bare, strict=True)]
    return measured(name, what, samples, bar=bar, judged=not settings.quick, context=context)


def bare_seconds(configs: Sequence[TrialConfig]) -> float:
    """Return the wall seconds of the ideal: a process per core, each with its share of the trials.

    From starting the processes to the last checkpoint, as for a run.
    """
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with workers(CORES) as group:
            for number, worker in enumerate(group):
                share = [config.canonical() for config in configs[number::CORES]]
                worker.ask({"trials": share, "folder": str(Path(folder) / str(number))})
            for worker in group:
                worker.answer()
            return time.perf_counter() - began


def ray_seconds(study: Study) -> tuple[float, float]:
    """Return the wall seconds of `rayat run` on a local Ray, and those of starting that Ray.

    Raises:
        RuntimeError: a trial did not finish, so the work is not the same.
    """
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with cluster(cpus=CORES):
            started = time.perf_counter() - began
            summary = sweep.run(study, Path(folder) / "run")
        seconds = time.perf_counter() - began
    if set(summary.statuses) != {Status.FINISHED}:
        raise RuntimeError(f"trials of the benchmark did not finish: {summary.statuses}")
    return seconds, started
