"""G1-G8: the same questions on one GPU; wall time, the device waited for."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator

import torch

from rayat.bench import cases, peers
from rayat.bench.cases import Engine
from rayat.bench.peak import useful_flop
from rayat.bench.processes import together, workers
from rayat.bench.rows import Bar, BenchRow, measured, ratios
from rayat.bench.timing import Settings, clock_of, interleave
from rayat.training.process import prepare_process

NO_GPU = "not run: no GPU"
EPOCH_IMAGES = 50_000
"""CIFAR-10's training set; epochs timed on fewer images are scaled to it."""
GEMM = 8192
PACKED = 8


def gpu(settings: Settings, device: str = "cuda") -> list[BenchRow]:
    """Measure every row on `device`.

    Args:
        device: another one only in tests, whose numbers mean nothing.
    """
    prepare_process(threads=1, device=device)
    with _tf32(False):
        return [
            *epochs(settings, device),
            *against_peers(settings, device),
            *packed(settings, device),
        ]


def epochs(settings: Settings, device: str) -> list[BenchRow]:
    """Measure PGD-10 and FGSM-RS epochs of PreActResNet-18 at batch 512, and the GEMM rate."""
    batch = settings.pick(512, 2)
    model = cases.PREACT18 if not settings.quick else cases.PREACT18_W16
    case = cases.cifar("PreActResNet-18", model, batch, settings.pick(EPOCH_IMAGES, 2))
    case = case.variant(precision="bf16")
    pgd = Engine(case, device)
    size = settings.pick(GEMM, 64)
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    repeats = settings.pick(20, 1)

    def gemm() -> None:
        for _ in range(repeats):
            torch.mm(a, b)

    fgsm_rs = Engine(case.variant(attack={"name": "fgsm-rs", "eps": 8 / 255}), device)
    bodies: dict[str, Callable[[], object]] = {"pgd": pgd, "rs": fgsm_rs, "gemm": gemm}
    seconds = interleave(bodies, settings.rounds, clock_of(device))
    flop, gemm_flop = useful_flop(pgd.training.model, case), 2 * size**3 * repeats
    shares = [
        (flop / mine) / (gemm_flop / peak)
        for mine, peak in zip(seconds["pgd"], seconds["gemm"], strict=True)
    ]
    gemm_rate = gemm_flop / statistics.median(seconds["gemm"]) / 1e12
    context = {"batch": batch, "images": case.images, "gemm_tflops": round(gemm_rate, 2)}
    scale = EPOCH_IMAGES / case.images
    common = {"judged": not settings.quick, "context": context}
    net = f"{case.name}, batch {batch}, bf16"
    return [
        measured(
            "G1",
            f"PGD-10, {net}: useful rate / GEMM rate",
            shares,
            unit="share",
            bar=Bar(0.25),
            **common,
        ),
        measured(
            "G2",
            f"PGD-10 epoch of 50,000 images, {net}",
            [s * scale for s in seconds["pgd"]],
            unit="s",
            bar=Bar(6.5, "<="),
            **common,
        ),
        measured(
            "G3",
            f"FGSM-RS epoch of 50,000 images, {net}",
            [s * scale for s in seconds["rs"]],
            unit="s",
            bar=Bar(1.4, "<="),
            **common,
        ),
    ]


def against_peers(settings: Settings, device: str) -> list[BenchRow]:
    """Compare PGD-10 training to the two loops, with TF32 off and on."""
    batch = settings.pick(512, 2)
    model = cases.PREACT18 if not settings.quick else cases.PREACT18_W16
    case = cases.cifar("PreActResNet-18", model, batch, settings.pick(10, 1) * batch)
    bodies: dict[str, Callable[[], object]] = {
        "engine": Engine(case.variant(precision="bf16"), device),
        "robust_overfitting": peers.RobustOverfitting(case, device),
    }
    if peers.has_torchattacks():
        theirs = peers.Torchattacks(case, device)
        bodies |= {"torchattacks": theirs, "torchattacks, TF32": lambda: _with_tf32(theirs)}
    seconds = interleave(bodies, settings.rounds, clock_of(device))
    asked = [
        ("G4", "torchattacks", "torchattacks loop, TF32 off", Bar(6)),
        ("G5", "torchattacks, TF32", "torchattacks loop, TF32 on", Bar(3)),
        ("G6", "robust_overfitting", "backward() loop, TF32 off", Bar(9)),
    ]
    rows = []
    for name, peer, title, bar in asked:
        what = f"PGD-10 epoch, {case.name}, batch {batch}: {title} / engine bf16"
        if peer not in seconds:
            rows.append(BenchRow(name, what, bar=bar, reason=peers.INSTALL))
            continue
        samples = ratios(seconds[peer], seconds["engine"])
        context = {"images": case.images}
        judged = not settings.quick
        rows.append(measured(name, what, samples, bar=bar, judged=judged, context=context))
    return rows


def packed(settings: Settings, device: str) -> list[BenchRow]:
    """Compare eight small trials on one GPU at once to the same one after another."""
    count = settings.pick(PACKED, 2)
    steps = {
        "batch": settings.pick(128, 8),
        "images": settings.pick(4096, 8),
        "threads": 1,
        "device": device,
        "precision": "bf16",
    }
    with workers(count) as group:
        together(group, {"steps": steps})
        go = {"go": settings.pick(3, 1)}
        samples = []
        for _ in range(settings.rounds):
            at_once = together(group, go)
            samples.append(sum(together([one], go) for one in group) / at_once)
    what = f"{count} trials of the Fashion net, PGD-10: one after another / at once"
    return [measured("G8", what, samples, bar=Bar(3), judged=not settings.quick)]


def _with_tf32(peer: Callable[[], object]) -> None:
    with _tf32(True):
        peer()


@contextlib.contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """Run the block with TF32 in matrix products and convolutions, or without."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
