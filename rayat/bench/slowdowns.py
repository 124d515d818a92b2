"""S1-S3: what sounds fast and is not always: compilation, bf16 on tiny networks, masks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rayat.bench import cases
from rayat.bench.cases import Case, Engine
from rayat.bench.machine import fast_bf16, load
from rayat.bench.rows import BenchRow, measured, ratios
from rayat.bench.timing import Settings, interleave
from rayat.registry import ATTACKS
from rayat.training.network import build_model


def s1(settings: Settings) -> list[BenchRow]:
    """Compare an attack step compiled and not; the first call's wait is in the context."""
    batch = settings.pick(128, 2)
    nets = [cases.fashion(batch, batch)]
    if not settings.quick:
        nets.append(cases.cifar("PreActResNet-18 width 16", cases.PREACT18_W16, batch, batch))
    return [_compiled(f"S1.{letter}", case, settings) for letter, case in zip("ab", nets)]  # noqa: B905


def s2(settings: Settings) -> list[BenchRow]:
    """Compare bf16 to fp32 on networks too small to profit."""
    nets = [
        cases.digits(settings.pick(cases.DIGITS_IMAGES, 64)),
        cases.fashion(*[settings.pick(128, 8)] * 2),
    ]
    if not fast_bf16():
        what = "training in bf16: engine fp32 / engine bf16"
        return [BenchRow("S2", what, reason="this processor has no unit for bf16")]
    rows = []
    for letter, case in zip("ab", nets, strict=True):
        bodies = {p: Engine(case.variant(precision=p)) for p in ("fp32", "bf16")}
        seconds = interleave(bodies, settings.rounds)
        rows.append(
            measured(
                f"S2.{letter}",
                f"training in bf16, {case.name}: engine fp32 / engine bf16",
                ratios(seconds["fp32"], seconds["bf16"]),
                judged=not settings.quick,
                context={"batch": case.config.batch_size, "load": load()},
            )
        )
    return rows


def s3(settings: Settings) -> list[BenchRow]:
    """Compare an attack whose finished samples leave the batch to one that computes them all.

    That is also the least that a mask would cost: it computes all of them too.
    """
    case = cases.digits(settings.pick(cases.DIGITS_IMAGES, 64))
    case = case.variant(precision="bf16" if fast_bf16() else "fp32")
    engine = Engine(case)
    # Two epochs old: some samples are wrong at once, others hold out for all steps.
    for _ in range(2):
        engine()
    training = engine.training
    x, y = training.loader.batch(training.loader.plan(torch.Generator()), 0, case.images)
    passes: dict[str, int] = {}

    def attack(name: str) -> None:
        found = ATTACKS.build({"name": name, "eps": case.config.attack.eps, "steps": 10})
        bf16 = case.config.precision == "bf16"
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            adversarial = found(training.model, x, y, torch.Generator().manual_seed(0))
        passes[name] = adversarial.forward + adversarial.backward

    bodies = {name: partial(attack, name) for name in ("pgd", "pgd-early")}
    seconds = interleave(bodies, settings.rounds)
    return [
        measured(
            "S3",
            "PGD-10, digits net: every sample to the end / finished ones leave the batch",
            ratios(seconds["pgd"], seconds["pgd-early"]),
            judged=not settings.quick,
            context={
                "batch": case.images,
                "passes_ratio": round(passes["pgd"] / passes["pgd-early"], 3),
                "load": load(),
            },
        )
    ]


def _compiled(name: str, case: Case, settings: Settings) -> BenchRow:
    model = build_model(case.config, case.prepared).eval()
    model.requires_grad_(False)
    x = torch.rand(case.config.batch_size, *case.prepared.shape)
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.zeros(len(x), dtype=torch.long)
    compiled: Any = torch.compile(model)
    began = time.perf_counter()
    _attack_step(compiled, x, y)
    first = time.perf_counter() - began
    bodies: dict[str, Callable[[], object]] = {
        "eager": lambda: _attack_step(model, x, y),
        "compiled": lambda: _attack_step(compiled, x, y),
    }
    seconds = interleave(bodies, settings.rounds)
    gain = statistics.median(seconds["eager"]) - statistics.median(seconds["compiled"])
    return measured(
        name,
        f"attack step, {case.name}: eager / torch.compile",
        ratios(seconds["eager"], seconds["compiled"]),
        judged=not settings.quick,
        context={
            "first_call_seconds": round(first, 1),
            "steps_until_paid_back": round(first / gain) if gain > 0 else None,
            "load": load(),
        },
    )


def _attack_step(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = x.detach().requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16, enabled=fast_bf16()):
        loss = F.cross_entropy(model(x), y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x)
    return gradient
