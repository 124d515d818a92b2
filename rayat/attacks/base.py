"""The attack contract: what goes in is left as found; what comes out is within reach."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, Self

import torch
from pydantic import Field, PrivateAttr, model_validator
from torch import Tensor, nn

from rayat.attacks.ball import Norm
from rayat.columns import GRAD_L1, Column
from rayat.errors import ConfigError
from rayat.fractions import Number, pixels
from rayat.registry import Part


@dataclass
class Adversarial:
    """Adversarial images and what they cost.

    Attributes:
        x: images like the input, within the attack's reach and the pixel box; no graph attached.
        forward: forward passes, summed over the samples of the batch.
        backward: backward passes, summed over the samples of the batch.
        info: per-sample statistics (shape (B,)), such as `fosc`, by the names that the attack's
            `columns` declare; the report holds their means.
        steps: gradient steps taken, summed over the samples; None: one for each backward pass.
    """

    x: Tensor
    forward: int
    backward: int
    info: dict[str, Tensor] = field(default_factory=dict)
    steps: int | None = None


@dataclass
class Outcome:
    """Per-sample losses with their graph, the logits of the adversarial pass, and the cost.

    Attributes:
        loss: shape (B,).
        adv_logits: shape (B, classes), for the training robust accuracy.
        clean_logits: shape (B, classes) if the objective made a clean pass, else None.
        forward, backward: passes summed over the samples (the backward is the loop's `backward()`).
        info: per-sample statistics (shape (B,)) by the names that the objective's `columns`
            declare; the report holds their means.
    """

    loss: Tensor
    adv_logits: Tensor
    clean_logits: Tensor | None
    forward: int
    backward: int
    info: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Moment:
    """How far a training is.

    Attributes:
        epoch: 1-based. epochs: of the whole training.
        progress: share of all steps done when the present one ends, in (0, 1].
        step: 0-based within the epoch; None outside of a training step, as in a selection.
    """

    epoch: int
    epochs: int
    progress: float
    step: int | None = None


@dataclass(frozen=True)
class Setting:
    """What an attack with a memory must know of the trial.

    Attributes:
        shape: (C, H, W) of the images. classes: number of labels. batch: this worker's images per
            step. seed: of the memory's first values, the same on every worker.
        device: torch device. average: makes tensors the mean over the workers, in place.
    """

    shape: tuple[int, int, int]
    classes: int
    batch: int
    seed: int
    device: torch.device | str = "cpu"
    average: Callable[[list[Tensor]], None] = lambda tensors: None


class Memory(Protocol):
    """What an attack keeps from step to step of a trial; saved and loaded with its checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """Return tensors, numbers and containers of them (`torch.load(weights_only=True)`)."""

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Take back what `state_dict` gave."""


class Learner(Protocol):
    """The training loop, as an attack that runs the steps of a batch itself sees it."""

    model: nn.Module

    def attack(self, attack: Attack, x: Tensor, y: Tensor) -> Adversarial:
        """Return the attack's images of the present network, made in the trial's precision."""

    def learn(self, x: Tensor, adv: Adversarial, y: Tensor) -> Outcome:
        """Update the weights once on the objective's loss and count what it cost.

        Where `adv.x` requires a gradient, the same backward pass fills `adv.x.grad`.
        """


class Attack(Part):
    """Maximise the loss inside the ball around x.

    Subclasses write `perturb`; calling the attack adds the contract: the model's mode, its
    parameters' `requires_grad` and `.grad`, and its BatchNorm buffers are exactly as found.

    An attack that changes with the training reads `self._moment`; one that learns keeps a memory
    (`remember`) and reads `self._memory`. Both are None where it is called by itself, and it must
    work then too.
    """

    eps: Number = Field(8 / 255, ge=0, description="radius: pixel scale [0, 1], or l2 length")
    norm: Norm = Field("linf", description="the ball's norm")
    bn_mode: Literal["eval", "batch"] = Field(
        "eval", description="BatchNorm statistics during the attack (docs/papers.md 1.7)"
    )

    columns: ClassVar[tuple[Column, ...]] = (GRAD_L1,)  # what `ascend` measures
    """Report columns that `Adversarial.info` may hold, besides those of the base classes."""
    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    """The norms that the method is defined in; others are refused."""

    _moment: Moment | None = PrivateAttr(None)
    _memory: Any = PrivateAttr(None)

    @model_validator(mode="after")
    def _in_a_norm_it_has(self) -> Self:
        if self.norm not in self.norms:
            raise ValueError(
                f"attack {self.kind!r} has no norm={self.norm!r}; use {' or '.join(self.norms)}, "
                "or another attack"
            )
        return self

    @property
    def reach(self) -> float:
        """Return how far from x the images may be, in the norm: eps, unless the method says so."""
        return self.eps

    @model_validator(mode="after")
    def _in_pixel_scale(self) -> Self:
        if self.norm == "linf" and self.eps > 1:
            raise ValueError(f"eps must be at most 1, got {self.eps:g}{pixels(self.eps)}")
        for name in ("step_size", "robust_step_size"):
            length = getattr(self, name, None)
            if self.norm == "linf" and length is not None and length > 1:
                raise ValueError(f"{name} must be at most 1, got {length:g}{pixels(length)}")
        return self

    @abstractmethod
    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Return adversarial images; the model is already in the attack's mode.

        Args:
            model: maps pixels in [0, 1], shape (B, C, H, W), to logits (B, classes).
            x: clean images. y: labels (B,).
            generator: the only source of randomness, on x's device.
        """

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator
    ) -> Adversarial:
        """Run the attack under the contract. `eps = 0` returns `x` itself at no cost."""
        if self.eps == 0:
            return Adversarial(x, 0, 0)
        with self.view(model) as frozen:
            return self.perturb(frozen, x, y, generator)

    def view(self, model: nn.Module) -> AbstractContextManager[nn.Module]:
        """Return the context that gives the module to attack and leaves `model` as it was.

        An attack that differentiates a gradient overrides it with
        `attacked(model, self.bn_mode, fast=False)`.
        """
        from rayat.attacks.view import attacked

        return attacked(model, self.bn_mode)

    def suited(self, loss: str) -> Attack:
        """Return the attack with the loss that the objective asks for, if it leaves that open."""
        return self

    def check_once(self, config: Any) -> None:
        """Refuse `attack_refresh=once` where the images must follow the training.

        Raises:
            ConfigError: with what needs them fresh.
        """
        own = type(self)
        if self.kind == "none":
            raise _fresh("attack 'none' attacks none")
        if own.step is not Attack.step or own.remember is not Attack.remember:
            raise _fresh(f"attack {self.kind!r} learns as the training goes on")
        if config.attack_schedule.kind != "none":
            raise _fresh(f"attack_schedule {config.attack_schedule.kind!r} changes the attack")
        if config.pruning.kind not in ("none", "random"):
            raise _fresh(f"pruning {config.pruning.kind!r} attacks the images to select them")
        if config.data.augment != "none":
            raise _fresh(f"data.augment={config.data.augment} shows other images every epoch")
        if config.workers > 1:
            raise _fresh(f"one worker makes the images, and workers={config.workers}")

    def remember(self, setting: Setting) -> Memory | None:
        """Return a fresh memory for a trial, None for an attack that needs none."""
        return None

    @property
    def reads_length(self) -> bool:
        """Return whether it reads a moment's `epochs` or `progress`, and not its epoch alone.

        Then trials of different lengths have no epoch in common (docs/sharing.md).
        """
        return False

    @property
    def moment(self) -> Moment | None:
        """Return when in a training this is the attack; None outside of one."""
        return self._moment

    def at(self, moment: Moment, memory: Memory | None = None) -> Self:
        """Return the attack as it is at a moment of a training, with the trial's memory of it."""
        now = self.model_copy()
        now._moment, now._memory = moment, memory
        return now

    def step(self, learner: Learner, x: Tensor, y: Tensor) -> None:
        """Train on one batch: attack it, then update the weights once.

        A method that merges the inner and the outer loop overrides this.
        """
        learner.learn(x, learner.attack(self, x, y), y)


def _fresh(why: str) -> ConfigError:
    return ConfigError(
        f"attack_refresh=once attacks every image once, before the training, but {why}; "
        "use attack_refresh=online, or change that"
    )
