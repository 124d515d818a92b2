"""B11: orthogonal matching pursuit, the published solver against ours on inner products."""

from __future__ import annotations

import torch
from torch import Tensor

from rayat.bench.machine import load
from rayat.bench.rows import Bar, BenchRow, measured, ratios
from rayat.bench.timing import Settings, interleave
from rayat.pruning.lastlayer import Factors
from rayat.pruning.omp import match

CLASSES, LABEL = 10, 0


def b11(settings: Settings) -> list[BenchRow]:
    """Compare 200 picks among the 5,000 images of one class, 512 features wide.

    First on the gradients of the whole last layer, 5,130 wide, which the published solver needs and
    ours never forms; then on the row of the class alone, 513 wide, where little is left to save.
    """
    images, features = settings.pick(5000, 200), settings.pick(512, 32)
    whole = one_class(images, features)
    return [
        _row("B11.a", "all rows of the layer", whole, Bar(20), settings),
        _row("B11.b", "the class' row", whole.row(LABEL), None, settings),
    ]


def _row(name: str, rows: str, part: Factors, bar: Bar | None, settings: Settings) -> BenchRow:
    picks = settings.pick(200, 8)
    atoms, target = dense(part), part.total().flatten()
    chosen: dict[str, list[int]] = {}

    def published() -> None:
        chosen["published"] = cords(atoms, target, picks)

    def ours() -> None:
        total = part.total()
        energy = float(total.square().sum())
        found = match(part.columns, part.dot(total), energy, picks)
        chosen["ours"] = found.chosen.tolist()

    seconds = interleave({"published": published, "ours": ours}, settings.rounds)
    return measured(
        name,
        f"OMP, one class of {len(part)}, {picks} picks, {rows}: CORDS style / on inner products",
        ratios(seconds["published"], seconds["ours"]),
        bar=bar,
        judged=not settings.quick,
        context={
            "same_picks": chosen["published"] == chosen["ours"],
            "picks": len(chosen["ours"]),
            "load": load(),
        },
    )


def one_class(images: int, features: int) -> Factors:
    """Return the last layer's gradients of as many made-up images of one class.

    Features are rectified noise around a mean, logits a random linear map of them: what matters to
    the solvers' time is the shape, and to their picks that atoms are not alike.
    """
    generator = torch.Generator().manual_seed(0)
    h = (torch.randn(images, features, generator=generator) + 0.5).relu_()
    logits = h @ torch.randn(features, CLASSES, generator=generator) / features**0.5
    error = logits.softmax(1)
    error[:, LABEL] -= 1
    return Factors((error,), (h,))


def dense(part: Factors) -> Tensor:
    """Return the gradients themselves, (N, dimension): what the published solver works on."""
    ((error,), (feature,)) = part.errors, part.features
    wide = torch.cat([feature, torch.ones(len(feature), 1)], 1)
    return (error[:, :, None] * wide[:, None, :]).flatten(1)


def cords(atoms: Tensor, target: Tensor, budget: int) -> list[int]:
    """Choose atoms as published: Gram matrix and least squares afresh at each pick.

    Written from the description in docs/papers.md 5.3.

    Args:
        atoms: (N, d). target: (d,). budget: number of picks.
    """
    chosen: list[int] = []
    residual = target
    while len(chosen) < budget:
        best = int((atoms @ residual).argmax())
        if best in chosen:
            break
        chosen.append(best)
        while True:
            some = atoms[chosen]
            weights = torch.linalg.lstsq(some @ some.T, (some @ target)[:, None]).solution[:, 0]
            if float(weights.min()) >= 0:
                break
            chosen.pop(int(weights.argmin()))
        residual = target - some.T @ weights
    return chosen
