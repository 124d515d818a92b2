"""B1-B5, B8: adversarial training, the engine against the loops that people write today."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rayat.bench import cases, peers
from rayat.bench.cases import Case, Engine
from rayat.bench.machine import fast_bf16, load
from rayat.bench.rows import Bar, BenchRow, measured, ratios
from rayat.bench.timing import Settings, interleave

Pair = tuple[float, float]


@dataclass(frozen=True)
class Bars:
    """What the engine must reach, by whether the processor has a unit for bf16.

    Attributes:
        torchattacks, backward: (with bf16, fp32 only) against each loop. The first numbers are
            what it was designed to; the second are its fp32 measurements less a tenth.
    """

    torchattacks: Pair
    backward: Pair | None = None

    def of(self, peer: Literal["torchattacks", "backward"], bf16: bool) -> Bar | None:
        """Return the bar against a peer for an engine that computes in bf16, or in fp32."""
        pair = getattr(self, peer)
        return None if pair is None else Bar(pair[0] if bf16 else pair[1])


B1 = Bars((2.0, 1.1), (3.2, 1.7))
B2 = Bars((2.1, 1.25), (3.2, 1.9))
B3 = Bars((1.9, 1.05), (2.9, 1.5))
B4 = Bars((1.4, 1.15), (2.1, 1.7))
B4_FGSM_RS = Bars((1.4, 1.15))
B5 = Bars((1.15, 1.05), (1.7, 1.6))
B5_FGSM_RS = Bars((1.3, 1.15))
B8 = Bar(1.3)
"""In equal precision."""


def b1(settings: Settings) -> list[BenchRow]:
    """Compare a PGD-10 step of the plain CNN."""
    batch = settings.pick(128, 8)
    return compare("B1", cases.cifar("CNN", cases.CNN, batch, batch), B1, settings)


def b2(settings: Settings) -> list[BenchRow]:
    """Compare a PGD-10 step of PreActResNet-18 at a quarter of its width."""
    batch = settings.pick(128, 8)
    case = cases.cifar("PreActResNet-18 width 16", cases.PREACT18_W16, batch, batch)
    return compare("B2", case, B2, settings)


def b3(settings: Settings) -> list[BenchRow]:
    """Compare a PGD-10 step of PreActResNet-18."""
    batch = settings.pick(16, 1)
    case = cases.cifar("PreActResNet-18 width 64", cases.PREACT18, batch, batch)
    return compare("B3", case, B3, settings)


def b4(settings: Settings) -> list[BenchRow]:
    """Compare an epoch of the Fashion net: PGD-10, then FGSM-RS."""
    case = cases.fashion(settings.pick(128, 16), settings.pick(1024, 32))
    rows = compare("B4", case, B4, settings, "epoch")
    return rows + compare("B4", fgsm_rs(case), B4_FGSM_RS, settings, "epoch", first="d")


def b5(settings: Settings) -> list[BenchRow]:
    """Compare an epoch of the digits net: PGD-5, then FGSM-RS."""
    case = cases.digits(settings.pick(cases.DIGITS_IMAGES, 64))
    rows = compare("B5", case, B5, settings, "epoch")
    return rows + compare("B5", fgsm_rs(case), B5_FGSM_RS, settings, "epoch", first="d")


def b8(settings: Settings) -> list[BenchRow]:
    """Compare a TRADES-10 step of PreActResNet-18 at a quarter of its width, in equal precision.

    On a machine with bf16 units that is bf16 for both, then fp32 for both.
    """
    batch = settings.pick(128, 8)
    case = cases.cifar("PreActResNet-18 width 16", cases.PREACT18_W16, batch, batch).variant(
        objective="trades",
        attack={
            "name": "pgd",
            "eps": 0.031,
            "steps": 10,
            "step_size": 0.007,
            "random_start": "gaussian",
        },
    )
    precisions: tuple[Literal["bf16", "fp32"], ...] = ("bf16", "fp32") if fast_bf16() else ("fp32",)
    rows = []
    for letter, precision in zip("ab", precisions, strict=False):
        bodies: dict[str, Callable[[], object]] = {
            precision: Engine(case.variant(precision=precision)),
            "trades": peers.Trades(case, precision=precision),
        }
        seconds = interleave(bodies, settings.rounds)
        rows.append(
            measured(
                f"B8.{letter}",
                f"TRADES-10 step, {case.name}, {precision}: published loop / engine",
                ratios(seconds["trades"], seconds[precision]),
                bar=B8,
                judged=not settings.quick,
                context=_context(case, seconds),
            )
        )
    return rows


def fgsm_rs(case: Case) -> Case:
    """Return the case with FGSM-RS for its attack."""
    return case.variant(attack={"name": "fgsm-rs", "eps": case.config.attack.eps})


def compare(
    name: str,
    case: Case,
    bars: Bars,
    settings: Settings,
    unit: Literal["step", "epoch"] = "step",
    first: str = "a",
) -> list[BenchRow]:
    """Return the ratios of a case: by `first` the engine at its best against torchattacks.

    The rows after it: against the `backward()` loop (for PGD), and on a machine with bf16 units the
    engine in fp32, their own precision, against torchattacks.
    """
    bf16, pgd = fast_bf16(), bars.backward is not None
    bodies: dict[str, Callable[[], object]] = {"fp32": Engine(case.variant(precision="fp32"))}
    if bf16:
        bodies["bf16"] = Engine(case.variant(precision="bf16"))
    if peers.has_torchattacks():
        bodies["torchattacks"] = peers.Torchattacks(case)
    if pgd:
        bodies["backward"] = peers.RobustOverfitting(case)
    seconds = interleave(bodies, settings.rounds)
    context = _context(case, seconds)
    attack = _attack_name(case)
    best = "bf16" if bf16 else "fp32"
    asked: list[tuple[Literal["torchattacks", "backward"], str]] = [("torchattacks", best)]
    asked += [("backward", best)] if pgd else []
    asked += [("torchattacks", "fp32")] if bf16 else []
    rows = []
    for offset, (peer, precision) in enumerate(asked):
        title = {"torchattacks": "torchattacks loop", "backward": "backward() loop"}[peer]
        label = f"{name}.{chr(ord(first) + offset)}"
        what = f"{attack} {unit}, {case.name}: {title} / engine {precision}"
        bar = bars.of(peer, precision == "bf16")
        common: dict[str, Any] = {"bar": bar, "judged": not settings.quick, "context": context}
        if peer in seconds:
            rows.append(measured(label, what, ratios(seconds[peer], seconds[precision]), **common))
        else:
            rows.append(BenchRow(label, what, reason=peers.INSTALL, **common))
    return rows


def _attack_name(case: Case) -> str:
    attack = case.config.attack
    steps = attack.model_dump().get("steps")
    return f"PGD-{steps}" if steps else "FGSM-RS"


def _context(case: Case, seconds: Mapping[str, list[float]]) -> dict[str, Any]:
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "batch": case.config.batch_size,
        "images": case.images,
        "images_per_second": {k: round(case.images / s, 2) for k, s in medians.items()},
        "load": load(),
    }
