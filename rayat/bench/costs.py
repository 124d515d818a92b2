"""B7: what an attack costs, in training steps without one."""

from __future__ import annotations

from rayat.bench import cases
from rayat.bench.cases import Engine
from rayat.bench.machine import fast_bf16, load
from rayat.bench.rows import Bar, BenchRow, measured, ratios
from rayat.bench.timing import Settings, interleave


def b7(settings: Settings) -> list[BenchRow]:
    """Compare training steps of the Fashion net with FGSM-RS and PGD-10 to clean ones."""
    batch = settings.pick(256, 16)
    # Several steps a timing: a clean one is short.
    precision = "bf16" if fast_bf16() else "fp32"
    case = cases.fashion(batch, settings.pick(4, 2) * batch).variant(precision=precision)
    attacks = {
        "clean": {"name": "none"},
        "FGSM-RS": {"name": "fgsm-rs", "eps": 0.2},
        "PGD-10": {"name": "pgd", "eps": 0.2, "steps": 10},
    }
    bodies = {name: Engine(case.variant(attack=attack)) for name, attack in attacks.items()}
    seconds = interleave(bodies, settings.rounds)
    bars = {"FGSM-RS": Bar(2.0, "<="), "PGD-10": Bar(8.8, "<=")}
    forwards = {"FGSM-RS": 5 / 3, "PGD-10": 23 / 3}
    return [
        measured(
            f"B7.{letter}",
            f"training step, {case.name}, {precision}: {name} / clean",
            ratios(seconds[name], seconds["clean"]),
            bar=bar,
            judged=not settings.quick,
            context={"batch": batch, "passes": round(forwards[name], 2), "load": load()},
        )
        for letter, (name, bar) in zip("ab", bars.items(), strict=True)
    ]
