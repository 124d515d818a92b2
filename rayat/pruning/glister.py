"""Adv-GLISTER, a subset that helps the validation images most; docs/papers.md 5.4."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from rayat.data.base import Prepared
from rayat.errors import ConfigError, DataError
from rayat.pruning._gather import gather
from rayat.pruning._logits import logit_loss
from rayat.pruning.base import Pruner, Selection, SelectionContext
from rayat.pruning.lastlayer import Factors, LastLayer
from rayat.registry import PRUNERS

Mode = Literal["stochastic", "r-greedy", "naive"]

MIN_VALIDATION = 32
"""Validation images below which their mean gradient is mostly noise; ours."""


@PRUNERS.register("glister")
class Glister(Pruner):
    """The subset whose gradient step lowers the validation split's robust loss most, greedily.

    Costs one attack and one forward pass for every training and validation image; weights are 1.
    """

    mode: Mode = Field("stochastic", description="how many candidates are scored before each pick")
    rounds: int = Field(15, ge=1, description="r-greedy: rounds of equal size")
    last_layer: Literal["bias", "all"] = Field(
        "bias", description="weights whose gradient is compared"
    )
    eta: float | None = Field(
        None, gt=0, description="step that a picked image is assumed to make; null: the peak rate"
    )

    def check(self, config: Any) -> None:
        """Refuse too small a validation split and an objective that gives no gradient of logits."""
        super().check(config)
        logit_loss(config.objective, self.kind)
        size = config.data.val_size
        if size is not None and size < MIN_VALIDATION:
            raise ConfigError(
                "pruning 'glister' chooses by the validation images: data.val_size must be at "
                f"least {MIN_VALIDATION}, got {size}"
            )

    def fits(self, prepared: Prepared) -> None:
        """Refuse fewer than 32 validation images."""
        size = len(prepared.val)
        if size < MIN_VALIDATION:
            raise DataError(
                f"pruning 'glister' chooses by the validation images: {MIN_VALIDATION} are needed, "
                f"got {size}; raise data.val_fraction or give data.val_size"
            )

    def choose(self, epoch: int, context: SelectionContext) -> Selection:
        """Return the greedy subset."""
        train = gather(context, context.prepared.train)
        val = gather(context, context.prepared.val)
        chosen = greedy(
            train.factors() if self.last_layer == "all" else train.factors().bias(),
            val if self.last_layer == "all" else val.bias(),
            self.budget(len(train.y)),
            context.lr if self.eta is None else self.eta,
            self.mode,
            self.rounds,
            context.generator,
        )
        return Selection.sort(
            chosen, forward=train.forward + val.forward, backward=train.backward + val.backward
        )


def greedy(
    train: Factors,
    val: LastLayer,
    budget: int,
    eta: float,
    mode: Mode,
    rounds: int,
    generator: torch.Generator,
) -> Tensor:
    """Pick images by `gain(i | S) = <g_i, g_V(theta - eta sum_{j in S} g_j)>`.

    g_V is the validation images' mean gradient. It is computed again after each pick, from the
    validation logits shifted by the step, not from the network.

    Args:
        train: gradients of the training images. val: the last layer for the validation images.
        budget: picks. eta: step size. generator: on the CPU; used by `stochastic`.
        mode: what is scored before each pick. `naive`: all that are left. `stochastic`: a random
            `(N / budget) ln 100` of them, drawn with replacement, which holds one of the best
            `budget` with probability 0.99. `r-greedy`: all, and the best `budget / rounds` at once.

    Returns:
        int64 (budget,) in the order of choice, on the CPU.
    """
    size = len(train)
    left = torch.arange(size)
    taken = torch.zeros_like(train.total())
    order: list[int] = []
    sample = math.ceil(size / budget * math.log(100))
    while len(order) < budget:
        gradient = val.moved(-eta * taken).factors().total() / len(val.y)
        # Places in `left`, of which the first `size - len(order)` are still to be had.
        live = size - len(order)
        places = torch.arange(live)
        if mode == "stochastic" and sample < live:
            places = torch.randint(live, (sample,), generator=generator)
        batch = 1
        if mode == "r-greedy":
            batch = min(math.ceil(budget / rounds), budget - len(order))
        gains = train.take(left[places]).dot(gradient)
        best = gains.topk(batch).indices.cpu()
        picked = left[places[best]]
        order += picked.tolist()
        taken = taken + train.take(picked).total()
        if mode == "stochastic":
            # The last live image takes the place of the picked one: no list is copied.
            left[int(places[best])] = left[live - 1].clone()
        else:
            keep = torch.ones(live, dtype=torch.bool)
            keep[places[best]] = False
            left = left[keep]
    return torch.tensor(order)
