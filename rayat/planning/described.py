"""A plan for a machine that is described and not here: passes are counted, seconds are unknown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rayat.config import TrialConfig
from rayat.data.base import Arrays, Prepared
from rayat.data.identity import describe
from rayat.planning.estimate import cost_key, estimate
from rayat.planning.overheads import final_passes
from rayat.planning.placement import Capacity
from rayat.planning.plan import Group, facts
from rayat.planning.refusal import named
from rayat.search.plan import Trial
from rayat.study import Study

SHAPES = {
    "digits": ((8, 8, 1), 1_297, 500, 10),
    "fashion-mnist": ((28, 28, 1), 60_000, 10_000, 10),
    "cifar10": ((32, 32, 3), 50_000, 10_000, 10),
    "cifar100": ((32, 32, 3), 50_000, 10_000, 100),
}
"""Of known data sets: an image's height, width and channels, training and test images, classes."""
STAND_IN = {"name": "cnn", "norm": "batch", "width": 4, "hidden": 16}
"""The network that passes are counted with: they do not depend on which one it is."""
VALIDATED = 16
"""Images of the validation that is counted and scaled up."""
IMAGES = 512
"""Distinct images of a stand-in, repeated."""
UNKNOWN = ("trial_seconds", "final_seconds", "ray_seconds", "wall_seconds")
MEMORY = ("memory_bytes_per_process", "memory_bytes", "memory_free_bytes")


def described(
    study: Study,
    trials: Sequence[Trial],
    capacity: Capacity,
    slots: dict[str, int],
    tell: Callable[[str], object] = lambda line: None,
) -> dict[str, Any]:
    """Return what `facts` does of a study whose data and GPUs are not here.

    Every configuration trains a few real steps with its own attack, objective, pruner and sizes, on
    images of noise and with a small network in place of its own: passes are those of the plan on
    the machine itself, but for attacks that let finished samples go. Seconds and memory are None.

    Args:
        capacity: of the described machine. slots: from `plan.slots`.

    Raises:
        ConfigError, DataError: a configuration whose first steps fail.
    """
    by_cost: dict[str, list[Trial]] = {}
    for trial in trials:
        by_cost.setdefault(cost_key(trial.config), []).append(trial)
    prepared: dict[str, Prepared] = {}
    groups = []
    for number, group in enumerate(by_cost.values(), 1):
        config = stood_in(group[0].config)
        tell(f"counting {number}/{len(by_cost)}: {group[0].arm}")
        with named(group[0]):
            key = config.data.model_dump_json()
            if key not in prepared:
                prepared[key] = stand_in(group[0].config)
            data = prepared[key]
            cost = estimate(config, data)
        final = final_passes(config, data)
        groups.append(
            Group(
                tuple(group),
                cost,
                len(data.train),
                final,
                data.name,
                data.classes,
                about=describe(data),
            )
        )
    found = facts(study, trials, groups, capacity, slots, local=True)
    for key in (*UNKNOWN, *MEMORY):
        found[key] = None
    for entry in found["configurations"]:
        entry["seconds_per_epoch"] = None
    return found


def stood_in(config: TrialConfig) -> TrialConfig:
    """Return a configuration of equal passes that one CPU core can try: another network."""
    return config.replace(
        {
            "model": STAND_IN,
            "precision": "fp32",
            "gpus_per_worker": 0,
            "cpus_per_worker": 1,
            "data.augment": "none",
            "eval.batch_size": VALIDATED,
        }
    )


def stand_in(config: TrialConfig) -> Prepared:
    """Return noise of the form of a configuration's data, split as it would be.

    A folder of images, whose form is not known before it is read, is taken for CIFAR-10.
    """
    source = config.data
    shape, size, test, classes = SHAPES.get(source.kind, SHAPES["cifar10"])
    held = source.val_size or round(source.val_fraction * size)
    train = min(source.train_size or size - held, size - held)
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (IMAGES, *shape), dtype=np.uint8)

    def split(count: int) -> Arrays:
        rows = np.arange(count)
        return Arrays(x[rows % IMAGES], rows % classes)

    mean = (0.5,) * shape[2]
    names = tuple(map(str, range(classes)))
    held_out, rest = split(held), split(train)
    return Prepared(source.kind, rest, held_out, split(test), mean, mean, names, "noise", "none")
