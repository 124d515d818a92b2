"""Any two methods are a valid trial together, or are refused with a reason before it starts."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from rayat.config import TrialConfig
from rayat.errors import ConfigError
from rayat.registry import ATTACKS, OBJECTIVES, PRUNERS, SCHEDULES, SHAPES
from rayat.training.run import run

ROOMS = {
    "attack": ATTACKS,
    "objective": OBJECTIVES,
    "pruning": PRUNERS,
    "attack_schedule": SCHEDULES,
}
GIVEN: dict[str, dict[str, Any]] = {
    "pruning": {"fraction": 0.5, "every": 1},
}
"""Parameters that make a method do something in two epochs, where it has them."""
NEEDED: dict[tuple[str, str], dict[str, Any]] = {
    ("attack_schedule", "ramp"): {"eps": 0.0},
    ("attack_schedule", "stages"): {"stages": [[0.5, {"eps": 0.05}]]},
}
"""Parameters that a method does not work without."""
SINGLE_STEP = ("fgsm", "fgsm-ckpt", "fgsm-rs", "fgsm-sdi", "free", "n-fgsm", "none")
REFUSED: set[tuple[str, str]] = {
    *((f"attack:{name}", "attack_schedule:curriculum") for name in SINGLE_STEP),
    ("objective:gradalign", "pruning:glister"),
    ("objective:gradalign", "pruning:grad-match"),
}
"""Pairs that make no sense, as (room:name, room:name): the list that the documentation gives."""

BASE = {
    "data": {"name": "digits", "train_size": 64, "val_size": 60},
    "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
    "epochs": 2,
    "batch_size": 32,
    "lr.peak": 0.05,
    "eval": {"steps": 1, "size": 32},
}
Value = tuple[str, str]  # room, name


def part(room: str, name: str) -> dict[str, Any]:
    cls = ROOMS[room].get(name)
    spec = {"name": name, **GIVEN.get(room, {}), **NEEDED.get((room, name), {})}
    if room == "attack":
        spec |= {"eps": 0.1, "steps": 2}
    return {k: v for k, v in spec.items() if k == "name" or k in cls.model_fields}


def configured(row: dict[str, str], shape: str) -> TrialConfig:
    parts = {room: part(room, name) for room, name in row.items()}
    return TrialConfig.parse({**BASE, **parts, "lr.shape": shape})


def covering() -> tuple[list[TrialConfig], dict[tuple[Value, Value], str]]:
    """Return trials in which every pair meets that may, and why each other pair is refused."""
    names = {room: registry.names() for room, registry in ROOMS.items()}
    left = {
        ((one, a), (two, b))
        for one, two in itertools.combinations(ROOMS, 2)
        for a, b in itertools.product(names[one], names[two])
    }
    shapes = itertools.cycle(SHAPES.names())
    trials, refused = [], {}
    while left:
        first, second = min(left)
        row = dict((first, second))
        for room in ROOMS:  # the others as they cover most pairs that are left
            if room not in row:
                row[room] = max(names[room], key=lambda n, r=room: gain(row, r, n, left))
        plain = {
            room: row[room] if room in dict((first, second)) else DEFAULT[room] for room in row
        }
        shape = next(shapes)
        for candidate in (row, plain):
            try:
                trials.append(configured(candidate, shape))
            except ConfigError as error:
                reason = str(error)
            else:
                left -= set(itertools.combinations(candidate.items(), 2))
                break
        else:
            refused[first, second] = reason
            left.discard((first, second))
    return trials, refused


DEFAULT = {"attack": "pgd", "objective": "madry", "pruning": "none", "attack_schedule": "none"}


def gain(row: dict[str, str], room: str, name: str, left: set[Any]) -> int:
    pairs = [((r, n), (room, name)) for r, n in row.items()]
    return sum(pair in left or pair[::-1] in left for pair in pairs)


TRIALS, REASONS = covering()


def test_exactly_the_documented_pairs_are_refused():
    found = {tuple(f"{room}:{name}" for room, name in pair) for pair in REASONS}
    assert found == REFUSED, REASONS


@pytest.mark.parametrize("pair", REASONS, ids=str)
def test_a_refusal_names_both_methods(pair):
    for _, name in pair:
        assert name in REASONS[pair]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:grad-match")
@pytest.mark.parametrize(
    "config",
    TRIALS,
    ids=lambda c: f"{c.attack.kind}+{c.objective.kind}+{c.pruning.kind}+{c.attack_schedule.kind}",
)
def test_every_other_pair_trains(config, launch):
    context = launch()
    run(config, context)
    assert [row["epoch"] for row in context.rows] == [1, 2]
    assert all("outcome" not in row for row in context.rows)
    assert math.isfinite(context.rows[-1]["train_loss"])
    assert context.rows[-1]["fwd_passes"] > 0
