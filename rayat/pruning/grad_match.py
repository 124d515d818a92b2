"""Adv-GRAD-MATCH, a subset whose weighted gradient is the full one; docs/papers.md 5.3."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from rayat.pruning._gather import gather
from rayat.pruning._logits import logit_loss
from rayat.pruning.base import Pruner, Selection, SelectionContext
from rayat.pruning.lastlayer import Factors
from rayat.pruning.omp import fill, match
from rayat.registry import PRUNERS

PICKS = 16
"""Atoms per refit inside a class: a matrix product each, where one by one is a vector's."""

MUCH_RANDOM = 0.05
"""Share of random images above which a selection is not what its name says; ours."""


@PRUNERS.register("grad-match")
class GradMatch(Pruner):
    """The weighted subset whose last-layer gradient is nearest to that of the whole training set.

    Costs one attack and one forward pass for every training image. `per-batch` chooses whole
    mini-batches in the order of the training split (nearly free), `per-class` single images, class
    by class.
    """

    variant: Literal["per-batch", "per-class"] = Field("per-batch", description="what is chosen")
    rows: Literal["class", "all"] = Field(
        "class", description="per-class: rows of the last layer's gradient that are matched"
    )
    block: int = Field(1000, ge=2, description="per-class: images that are matched together")
    picks: int | None = Field(
        None, ge=1, description="atoms per refit; null: 1 per-batch, 16 per-class"
    )
    ridge: float | None = Field(
        None, ge=0, description="penalty on the weights; null: 0 per-batch, 0.5 per-class"
    )
    tolerance: float = Field(0.0, ge=0, lt=1, description="relative residual that is good enough")

    def check(self, config: Any) -> None:
        """Refuse an objective that gives no gradient of logits."""
        super().check(config)
        logit_loss(config.objective, self.kind)

    def choose(self, epoch: int, context: SelectionContext) -> Selection:
        """Return the matched images, random ones where the solver stopped short.

        Warns when more than 5 % are random: without a ridge no more gradients than they have
        dimensions can be matched.
        """
        layer = gather(context, context.prepared.train)
        factors, picked = layer.factors(), self._per_class
        if self.variant == "per-batch":
            picked = self._per_batch
        rows, weights, filled = picked(factors, layer.y, context)
        return Selection.sort(
            rows,
            weights,
            forward=layer.forward,
            backward=layer.backward,
            random_fill=filled / len(rows),
        )

    def _per_batch(
        self, factors: Factors, y: Tensor, context: SelectionContext
    ) -> tuple[Tensor, Tensor, int]:
        """Match batch means; a sample's weight is its batch's over the batch's size.

        Batches are consecutive rows: an order that no loader can change.
        """
        size = len(factors)
        batches = torch.split(torch.arange(size), context.batch_size)
        means = torch.stack([factors.take(rows).total().flatten() / len(rows) for rows in batches])
        atoms = means.double()
        sizes = torch.tensor([len(rows) for rows in batches], dtype=torch.float64)
        target = sizes.to(atoms.device) @ atoms
        budget = -(-self.budget(size) // context.batch_size)
        found = match(
            lambda chosen: atoms @ atoms[chosen].T,
            atoms @ target,
            float(target @ target),
            budget,
            self.ridge or 0.0,
            self.picks or 1,
            self.tolerance,
        )
        chosen, weights, filled = fill(found, len(batches), budget, context.generator)
        _warn(filled, budget, "batches", factors.dimension)
        rows = torch.cat([batches[i] for i in chosen.tolist()])
        counts = sizes[chosen]
        weights[: budget - filled] /= counts[: budget - filled]
        random = sum(len(batches[i]) for i in chosen[budget - filled :].tolist())
        return rows, weights.repeat_interleave(counts.long()), random

    def _per_class(
        self, factors: Factors, y: Tensor, context: SelectionContext
    ) -> tuple[Tensor, Tensor, int]:
        """Match blocks of each class on its own, with a budget in proportion to their size."""
        blocks: list[tuple[int, Tensor]] = []
        for label in y.bincount().nonzero().flatten().tolist():
            members = (y == label).nonzero().flatten()
            shuffled = members[torch.randperm(len(members), generator=context.generator)]
            parts = -(-len(members) // self.block)
            blocks += [(label, rows) for rows in shuffled.tensor_split(parts)]
        budgets = apportion([len(rows) for _, rows in blocks], self.budget(len(factors)))
        found = [
            self._block(factors.take(rows), rows, label, budget, context)
            for (label, rows), budget in zip(blocks, budgets, strict=True)
        ]
        filled = sum(part[2] for part in found)
        dimension = factors.dimension if self.rows == "all" else factors.row(0).dimension
        _warn(filled, sum(budgets), "images", dimension)
        return torch.cat([part[0] for part in found]), torch.cat([p[1] for p in found]), filled

    def _block(
        self, part: Factors, rows: Tensor, label: int, budget: int, context: SelectionContext
    ) -> tuple[Tensor, Tensor, int]:
        if self.rows == "class":
            part = part.row(label)
        total = part.total()
        found = match(
            part.columns,
            part.dot(total),
            float(total.square().sum()),
            budget,
            0.5 if self.ridge is None else self.ridge,
            self.picks or PICKS,
            self.tolerance,
        )
        chosen, weights, filled = fill(found, len(part), budget, context.generator)
        return rows.cpu()[chosen], weights, filled


def apportion(sizes: list[int], total: int) -> list[int]:
    """Return how many of each group to take, in proportion to its size: Hamilton's method.

    Args:
        sizes: of the groups. total: the sum of what is returned, at most that of the sizes.
    """
    whole = sum(sizes)
    shares = [size * total // whole for size in sizes]
    by_rest = sorted(range(len(sizes)), key=lambda i: -(sizes[i] * total % whole))
    for i in by_rest[: total - sum(shares)]:
        shares[i] += 1
    return shares


def _warn(filled: int, budget: int, what: str, dimension: int) -> None:
    if filled > MUCH_RANDOM * budget:
        warnings.warn(
            f"grad-match: {filled} of {budget} {what} ({filled / budget:.0%}) were drawn at "
            "random, because no other helped (gradients that are matched together have "
            f"{dimension} dimensions); use a smaller pruning.fraction or pruning.block, a larger "
            "pruning.ridge, or pruning.rows=all",
            stacklevel=4,
        )
