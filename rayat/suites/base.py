"""The suite contract: which images of a batch stay rightly classified, and what asking cost."""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import Self

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.attacks.ball import Norm
from rayat.attacks.view import attacked
from rayat.errors import ConfigError
from rayat.registry import SUITES, Part

_TITLE = re.compile(r"(pgd|cw)[-:](\d+)(?:x(\d+))?|square-(\d+)")


@dataclass
class Passes:
    """Passes made so far, summed over images; an image that left the batch costs nothing more."""

    forward: int = 0
    backward: int = 0


@dataclass(frozen=True)
class Survey:
    """What a suite saw of the images that it attacked, all of one batch.

    Attributes:
        robust: bool (B,): no point that it looked at was misclassified.
        broken: bool (B,): logits or a gradient that were not finite, at a point of this image.
        flat: bool (B,): no gradient where the attack began: zero, or a cross-entropy whose
            gradient float32 cannot hold (`vanishes`); None: the suite uses no gradient.
    """

    robust: Tensor
    broken: Tensor
    flat: Tensor | None = None


@dataclass(frozen=True)
class Ends:
    """How a batch's images crowd at the widest spread of its logits, largest less smallest.

    Behind a squashing function (tanh, a sigmoid of any scale, a clamp) the spread of sure images
    piles up where the function saturates; without one it has a tail that few images reach. Adding a
    number to an image's logits, as log-softmax does, changes no spread.

    Attributes:
        widest: spread, of the images whose logits are finite; 0 without any.
        near: images within `NEAR` of it. classes: how many classes these are taken for.
    """

    widest: float
    near: int
    classes: int


NEAR = 0.01
"""How far below the widest spread counts as at it, a share of it."""


def ends(logits: Tensor) -> Ends:
    """Return how the rows of logits (B, classes) crowd at the widest spread."""
    known = logits.detach()[finite(logits)].float()
    if not len(known):
        return Ends(0.0, 0, 0)
    spread = known.amax(1) - known.amin(1)
    widest = float(spread.max())
    near = spread >= (1 - NEAR) * widest
    return Ends(widest, int(near.sum()), len(set(known.argmax(1)[near].tolist())))


@dataclass(frozen=True)
class Verdict:
    """What a suite says of one batch.

    Attributes:
        clean, robust: bool (B,): rightly classified as it is, and whatever the suite tried.
        passes: what finding out cost.
        unknown: bool (B,): neither right nor wrong, as the image's own logits are not finite.
        unmeasured: bool (B,): of those, and of the images that nothing fooled, those at which
            the attack met logits or gradients that are not finite: neither robust nor not.
        flat: bool (B,): attacked from where there is no gradient (`Survey`); None: without one.
        bounded: whether all logits of the images as they are lie in [0, 1].
        ends: how many of the images as they are reach the end of the logits' range.
    """

    clean: Tensor
    robust: Tensor
    passes: Passes
    unknown: Tensor
    unmeasured: Tensor
    flat: Tensor | None
    bounded: bool
    ends: Ends


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
    ) -> Survey:
        """Return the images that the suite finds no adversarial image of, and what it met.

        A point whose logits are not finite is neither right nor adversarial.

        Args:
            model: frozen (`attacked`), without gradients around. x: images (B, C, H, W) in [0, 1]
                that it classifies rightly, at least one. y: labels (B,).
            eps: radius above 0. generator: the only source of randomness, on x's device.
            passes: what is added to.
        """

    @abstractmethod
    def most(self, classes: int) -> tuple[int, int]:
        """Return the most forward and backward passes of an image that resists all attacks.

        The look at the clean image is in them. An image that is misclassified costs less.
        """

    def fits(self, shape: tuple[int, int, int], classes: int) -> None:
        """Refuse images or classes that the suite cannot attack, before anything starts.

        Args:
            shape: (C, H, W) of the images. classes: logits of the network.

        Raises:
            ConfigError: with what does.
        """

    def sized(self, eps: float) -> None:
        """Refuse a radius that is none. Raises `ConfigError`."""
        if self.norm != "l2" and eps > 1:
            raise ConfigError(
                f"eps must be at most 1, got {eps:g}; pixels are in [0, 1], so 8/255 is 0.0314"
            )

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
        self.sized(eps)
        passes = Passes(forward=len(y))
        flat = None
        with attacked(model) as frozen, torch.no_grad():
            logits = frozen(x)
            self.fits((x.shape[1], x.shape[2], x.shape[3]), logits.shape[1])
            unknown = ~finite(logits)
            clean = (logits.argmax(1) == y) & ~unknown
            robust, unmeasured, rows = clean.clone(), unknown.clone(), clean.nonzero().squeeze(1)
            if eps > 0 and len(rows):
                found = self.survivors(frozen, x[rows], y[rows], eps, generator, passes)
                robust[rows] = found.robust & ~found.broken
                unmeasured[rows] = found.robust & found.broken
                if found.flat is not None:
                    flat = torch.zeros_like(clean)
                    flat[rows] = found.flat
        bounded = bool(((logits >= 0) & (logits <= 1)).all())
        return Verdict(clean, robust, passes, unknown, unmeasured, flat, bounded, ends(logits))


def finite(values: Tensor) -> Tensor:
    """Return bool (B,): whether all of a row's values are finite."""
    return values.isfinite().flatten(1).all(1)


def vanishes(logits: Tensor, y: Tensor) -> Tensor:
    """Return bool (B,): whether float32 cannot hold the gradient of the cross-entropy.

    The label's probability rounds to 1, so the label's part of the gradient, p_y - 1, is exactly
    zero: its logit is about 17 above all others.
    """
    share = logits.float().softmax(1).gather(1, y[:, None]).squeeze(1)
    return share == 1


def suite(value: object) -> Suite:
    """Make a suite from a suite, a name (`autoattack`, `pgd:50`), a title or a mapping.

    A title is what the ledger holds: `pgd-50x3`, `cw-20`, `square-1000`, `apgd-ce+apgd-t`.

    Raises:
        ConfigError: unknown name, unknown parameter or a wrong value.
    """
    built: Suite = SUITES.build(_from_title(value) if isinstance(value, str) else value)
    return built


def _from_title(text: str) -> object:
    norm = {"norm": "l2"} if text.endswith("-l2") else {}
    text = text.strip().removesuffix("-l2")
    if text.startswith(("apgd-", "fab")):  # a subset of AutoAttack is named by its attacks
        return {"name": "autoattack", "attacks": text.replace("+", ","), **norm}
    found = _TITLE.fullmatch(text)
    if found is None:
        return {"name": text, **norm}
    name, steps, restarts, queries = found.groups()
    if queries is not None:
        return {"name": "square", "queries": queries, **norm}
    return {"name": name, "steps": steps, "restarts": restarts or 1, **norm}
