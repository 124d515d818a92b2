"""The pruning contract: which images to train on, with which weights, and what the choice cost."""

from __future__ import annotations

import dataclasses
import math
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from rayat.attacks.base import Attack
from rayat.columns import RANDOM_FILL, Column
from rayat.data.base import Prepared
from rayat.errors import ConfigError
from rayat.models.base import Normalised
from rayat.objectives.base import Objective
from rayat.registry import Part

Phase = Literal["full", "skip", "select", "subset"]
"""What an epoch does: train on everything; nothing; select and train on that; train on the last."""


@dataclass(frozen=True)
class Selection:
    """A weighted subset of the training split and what it cost to find.

    Attributes:
        indices: int64 (k,), rows of the training split, ascending, each once; on the CPU.
        weights: float32 (k,), positive, of the same rows; on the CPU.
        forward, backward: passes summed over the images attacked or looked at.
        random_fill: share of the images that were drawn at random because the solver stopped short.
        seconds: of the whole selection; set by `Pruner.select`.
        info: further numbers, by the names that the pruner's `columns` declare; they stand in the
            report of the epoch that selected.
    """

    indices: Tensor
    weights: Tensor
    forward: int = 0
    backward: int = 0
    random_fill: float = 0.0
    seconds: float = 0.0
    info: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def sort(cls, indices: Tensor, weights: Tensor | None = None, **costs: Any) -> Self:
        """Return the selection of `indices` in any order; weights 1 if not given."""
        if weights is None:
            weights = torch.ones(len(indices))
        order = indices.cpu().argsort()
        return cls(indices.cpu()[order], weights.cpu().float()[order], **costs)

    def row_weights(self, size: int) -> Tensor:
        """Return float32 (size,): the weight of each row of the training split, 0 if left out."""
        dense = torch.zeros(size)
        dense[self.indices] = self.weights
        return dense


@dataclass(frozen=True)
class SelectionContext:
    """What a selector may look at: never the test split, never an augmented image.

    Attributes:
        model: the bare network as it is now; left exactly as found.
        prepared: training and validation images. device: of the network.
        attack, objective: those of the training.
        generator: on the CPU, for choices. noise: on `device`, for the attack's random starts.
        batch_size: images per optimiser step; also those of one selection batch.
        lr: the trial's peak learning rate, scaled to its batch: the same in every selection.
    """

    model: Normalised
    prepared: Prepared
    attack: Attack
    objective: Objective
    generator: torch.Generator
    noise: torch.Generator
    batch_size: int
    lr: float
    device: torch.device | str = "cpu"


class Pruner(Part):
    """Choose the images that the next epochs train on (Less is More; docs/papers.md 5).

    Subclasses write `choose`; `select` adds the time it took.
    """

    columns: ClassVar[tuple[Column, ...]] = (RANDOM_FILL,)
    """Report columns that `Selection.info` may hold, besides those of the base classes."""
    reads_labels: ClassVar[bool] = True
    """Whether it chooses by the training images' labels: then all must have one."""

    fraction: float = Field(0.5, gt=0, le=1, description="share of the training images kept")
    every: int = Field(20, ge=1, description="epochs between selections")
    warm_start: float = Field(
        0.0, ge=0, lt=1, description="share of the epochs before the first selection (ACS)"
    )

    def first(self, epochs: int) -> int:
        """Return how many epochs come before the first selection: floor(warm_start * epochs)."""
        # A product such as 0.29 * 100 must not lose an epoch to its last bit.
        return min(math.floor(self.warm_start * epochs + 1e-9), epochs - 1)

    def schedule(self, epoch: int, epochs: int) -> Phase:
        """Return what a training of `epochs` does in `epoch` (1-based): a pure function.

        Of the W = floor(warm_start * epochs) epochs before the first selection round(fraction * W)
        train on everything and the rest are skipped, so that a training visits about
        `fraction * epochs` times the data whatever the warm start (ACS; docs/papers.md 5.6). The
        epoch's number goes on while it is skipped: a learning rate keeps its places. Then there is
        a selection at once, and again after each `every` epochs.
        """
        if self.fraction == 1:
            return "full"
        done, first = epoch - 1, self.first(epochs)
        if done < round(self.fraction * first):
            return "full"
        if done < first:
            return "skip"
        return "subset" if (done - first) % self.every else "select"

    def budget(self, size: int) -> int:
        """Return how many of `size` images are kept, at least one."""
        return max(1, round(self.fraction * size))

    def check(self, config: Any) -> None:
        """Refuse images without a label, and a warm start of no epoch."""
        if config.unlabelled and self.reads_labels:
            raise ConfigError(
                f"pruning {self.kind!r} chooses by labels, and data.labelled="
                f"{config.data.labelled:g} takes some away; give teacher.epochs for pseudo-labels, "
                "or use pruning random or none"
            )
        if self.warm_start == 0 or self.fraction == 1:
            return
        first = self.first(config.epochs)
        if round(self.fraction * first) == 0:
            raise ConfigError(
                f"pruning.warm_start={self.warm_start:g} of epochs={config.epochs} trains "
                f"round({self.fraction:g} * {first}) = 0 epochs before the first selection; "
                "raise it, or give 0 for no warm start"
            )

    def fits(self, prepared: Prepared) -> None:
        """Refuse data that this selector cannot work with, before anything is trained.

        Raises:
            DataError: the text says what is missing.
        """

    def select(self, epoch: int, context: SelectionContext) -> Selection:
        """Choose, and say how many seconds that took.

        Args:
            epoch: 1-based, the one that is about to be trained.

        Raises:
            DataError: see `fits`.
        """
        self.fits(context.prepared)
        began = time.perf_counter()
        selection = self.choose(epoch, context)
        return dataclasses.replace(selection, seconds=time.perf_counter() - began)

    @abstractmethod
    def choose(self, epoch: int, context: SelectionContext) -> Selection:
        """Return the selection; the same for the same network and generators."""
