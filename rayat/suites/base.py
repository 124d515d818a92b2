"""The suite contract: which images of a batch stay rightly classified, and what asking cost."""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import Self

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks._ball import Norm
from rayat.attacks._view import attacked
from rayat.errors import ConfigError
from rayat.registry import SUITES, Part

_TITLE = re.compile(r"(pgd|cw)-(\d+)(?:x(\d+))?|square-(\d+)")


@dataclass
class Passes:
    """Passes made so far, summed over images; an image that left the batch costs nothing more."""

    forward: int = 0
    backward: int = 0


@dataclass(frozen=True)
class Verdict:
    """What a suite says of one batch.

    Attributes:
        clean, robust: bool (B,): rightly classified as it is, and whatever the suite tried.
        passes: what finding out cost.
    """

    clean: Tensor
    robust: Tensor
    passes: Passes


class Suite(Part):
    """Attacks that decide which images count as robust.

    An image counts if it is rightly classified as it is and at every point that the suite looked
    at. Attacks run one after the other, each only on the images that still resist.
    """

    norm: Norm | None = Field(None, description="the ball's norm; null: the training attack's")

    @property
    @abstractmethod
    def label(self) -> str:
        """Return the suite's name with its parameters, such as `pgd-50x3`."""

    @property
    def title(self) -> str:
        """Return what the ledger's column `suite` says: the label, and `-l2` in that norm."""
        return f"{self.label}-l2" if self.norm == "l2" else self.label

    def within(self, norm: Norm) -> Self:
        """Return the suite in `norm` if it names none itself."""
        return self if self.norm is not None else self.replace(norm=norm)

    @abstractmethod
    def survivors(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        eps: float,
        generator: torch.Generator,
        passes: Passes,
    ) -> Tensor:
        """Return bool (B,): the images that the suite finds no adversarial image of.

        Args:
            model: frozen (`attacked`), without gradients around. x: images (B, C, H, W) in [0, 1]
                that it classifies rightly, at least one. y: labels (B,).
            eps: radius above 0. generator: the only source of randomness, on x's device.
            passes: what is added to.
        """

    def attack(
        self, model: nn.Module, x: Tensor, y: Tensor, eps: float, generator: torch.Generator
    ) -> Verdict:
        """Run the suite on one batch; the model is left as found (`attacked`).

        Args:
            model: maps pixels in [0, 1], shape (B, C, H, W), to logits (B, classes).
            x: clean images. y: labels (B,). eps: radius; with 0 nothing is attacked.
            generator: as in `survivors`.

        Raises:
            ConfigError: the suite cannot attack images or logits of this kind.
        """
        if self.norm != "l2" and eps > 1:
            raise ConfigError(
                f"eps must be at most 1, got {eps:g}; pixels are in [0, 1], so 8/255 is 0.0314"
            )
        passes = Passes(forward=len(y))
        with attacked(model) as frozen, torch.no_grad():
            clean = frozen(x).argmax(1) == y
            robust, rows = clean.clone(), clean.nonzero().squeeze(1)
            if eps > 0 and len(rows):
                robust[rows] = self.survivors(frozen, x[rows], y[rows], eps, generator, passes)
        return Verdict(clean, robust, passes)


def suite(value: object) -> Suite:
    """Make a suite from a suite, a name (`autoattack`, `pgd:50`), a title or a mapping.

    A title is what the ledger holds: `pgd-50x3`, `cw-20`, `square-1000`.

    Raises:
        ConfigError: unknown name, unknown parameter or a wrong value.
    """
    built: Suite = SUITES.build(_from_title(value) if isinstance(value, str) else value)
    return built


def _from_title(text: str) -> object:
    norm = {"norm": "l2"} if text.endswith("-l2") else {}
    text = text.removesuffix("-l2")
    found = _TITLE.fullmatch(text)
    if found is None:
        return {"name": text, **norm}
    name, steps, restarts, queries = found.groups()
    if queries is not None:
        return {"name": "square", "queries": queries, **norm}
    return {"name": name, "steps": steps, "restarts": restarts or 1, **norm}
