"""B10: images from memory to float batches, cropped and flipped."""

from __future__ import annotations

import torch

from rayat.bench import cases, peers
from rayat.bench.cases import Case
from rayat.bench.machine import load
from rayat.bench.rows import Bar, BenchRow, measured, ratios
from rayat.bench.timing import Settings, interleave
from rayat.data.loader import TrainLoader

REPEATS = 10
"""Epochs of ours in one timing: one alone is too short for the clock."""


def b10(settings: Settings) -> list[BenchRow]:
    """Compare an epoch of batches: torchvision's transforms in a DataLoader, and ours."""
    batch = settings.pick(128, 16)
    case = cases.cifar("loading", cases.CNN, batch, settings.pick(2560, 64))
    loader = TrainLoader(case.prepared, case.config.data)
    bodies = {
        "torchvision": lambda: _torchvision(case),
        "ours": lambda: _ours(loader, case, REPEATS),
    }
    seconds = interleave(bodies, settings.rounds)
    ours = [s / REPEATS for s in seconds["ours"]]
    rate = {"torchvision": seconds["torchvision"], "ours": ours}
    return [
        measured(
            "B10",
            "loading 32x32x3, crop and flip: torchvision DataLoader / window view",
            ratios(seconds["torchvision"], ours),
            bar=Bar(20),
            judged=not settings.quick,
            context={
                "batch": batch,
                "images": case.images,
                "images_per_second": {k: round(case.images / min(s)) for k, s in rate.items()},
                "load": load(),
            },
        )
    ]


def _ours(loader: TrainLoader, case: Case, epochs: int) -> None:
    for epoch in range(epochs):
        plan = loader.plan(torch.Generator().manual_seed(epoch))
        for start in range(0, case.images, case.config.batch_size):
            loader.batch(plan, start, start + case.config.batch_size)


def _torchvision(case: Case) -> None:
    with peers.defaults():
        for _batch in peers.torchvision_batches(case):
            pass
