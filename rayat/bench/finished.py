"""B9: what it saves, and costs, that samples with a low enough FOSC leave the batch."""

from __future__ import annotations

from typing import Any

from rayat.bench import cases
from rayat.bench.cases import Engine
from rayat.bench.machine import fast_bf16, load
from rayat.bench.rows import Bar, BenchRow, measured, ratios
from rayat.bench.timing import Settings, interleave

STEPS = 10
SETTLING = 10
"""Epochs until BatchNorm's running statistics, and FOSC with them, move no more."""
EARLY, LATE = 1.5, 1.2
"""Thresholds in mean FOSCs after one step: nearly all samples stop there; half go on."""


def b9(settings: Settings) -> list[BenchRow]:
    """Compare training steps of the Fashion net with dynamic PGD-10 to those with PGD-10.

    First with thresholds at which samples take less than two steps on average, then with one that
    none reaches: the price of asking.
    """
    batch = settings.pick(256, 16)
    precision = "bf16" if fast_bf16() else "fp32"
    case = cases.fashion(batch, settings.pick(4, 2) * batch)
    # No rate: FOSC, and with it the number of steps, stays the same in all rounds.
    case = case.variant(precision=precision, lr__peak=1e-9)
    attack: dict[str, Any] = {"name": "dynamic", "eps": 0.2}
    once = Engine(case.variant(attack={**attack, "steps": 1, "threshold": 0.0}))
    for _ in range(settings.pick(SETTLING, 1)):
        once()
    attack["steps"] = STEPS
    mean = once.row["fosc"]
    attacks = {
        "PGD": {"name": "pgd", "eps": 0.2, "steps": STEPS},
        "early": {**attack, "threshold": EARLY * mean},
        "late": {**attack, "threshold": LATE * mean},
        "never": {**attack, "threshold": -1.0, "measure_last": False},
    }
    bodies = {name: Engine(case.variant(attack=value)) for name, value in attacks.items()}
    for body in bodies.values():
        body.training.model.load_state_dict(once.training.model.state_dict())
    seconds = interleave(bodies, settings.rounds)
    asked = [
        ("a", "early", "nearly all samples leave after a step", Bar(0.45, "<=")),
        ("b", "late", "half of the samples leave after a step", None),
        ("c", "never", "FOSC of every step, none leaves", Bar(1.05, "<=")),
    ]
    return [
        measured(
            f"B9.{letter}",
            f"training step, {case.name}, {precision}: {what} / PGD-{STEPS}",
            ratios(seconds[name], seconds["PGD"]),
            bar=bar,
            judged=not settings.quick,
            context={
                "batch": batch,
                "attack_steps": round(bodies[name].row["attack_steps"], 3),
                "load": load(),
            },
        )
        for letter, name, what, bar in asked
    ]
