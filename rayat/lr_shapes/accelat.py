"""AccelAT: the next epoch's rate from the accuracy gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from rayat.errors import ConfigError
from rayat.lr_shapes.base import EDGE, LRShape
from rayat.registry import SHAPES

if TYPE_CHECKING:
    from rayat.config import TrialConfig

TIE = 1e-9
"""Accuracies are multiples of 1/n: a gain of exactly the threshold must not be cut by rounding."""


@SHAPES.register("accelat")
class AccelAT(LRShape):
    """The rate is cut by a constant factor each time validation robust accuracy stops climbing.

    After epoch e (0-based), with the gradient `G_e = (a_e - a_{e-W}) / W` of the W-epoch moving
    average of accuracy: cut if `e >= W + 1`, the last cut is at least Q epochs ago and
    `G_e < threshold`. The rate is constant inside an epoch, never rises, and never stops a trial.
    The warm-up ramp multiplies it and hides nothing from the rule. Where `a_e` or
    `a_{e-W}` was not measured or is not finite the gradient is unknown, and nothing is cut.

    Source: docs/papers.md 2.2 [farzadnikfam/AccelAT:function_callback.py].
    """

    floor: float = Field(1e-6, ge=0, description="smallest rate (fi_lr)")
    window: int = Field(5, ge=1, description="W: epochs of the moving average (ft_ep)")
    quiet: int = Field(5, ge=1, description="Q: epochs between two cuts, at least (sd_ep)")
    threshold: float = Field(
        0.005, description="tau: gain per epoch, as a fraction, below which the rate is cut (pw)"
    )
    factor: float = Field(0.8, gt=0, lt=1, description="kappa: what a cut multiplies by (pa_lr)")

    feedback: ClassVar[bool] = True

    def check(self, config: TrialConfig) -> None:
        """Refuse validations that skip epochs: the rule needs an accuracy after every epoch."""
        if config.eval.every != 1:
            raise ConfigError(
                "lr 'accelat' needs the validation accuracy of every epoch: "
                f"eval.every must be 1, got {config.eval.every}"
            )

    def foreseen(self, epochs: int) -> int:
        """Return how many epochs precede the first one that a cut can reach: W + 2."""
        return min(epochs, self.window + 2)

    def multiplier(self, progress: float) -> float:
        """Return 1: progress alone never cuts the rate; `lr` and `curve` know the history."""
        return 1.0

    def gradient(self, history: Sequence[float], epoch: int) -> float | None:
        """Return the accuracy gained per epoch up to 0-based `epoch`; None before epoch W + 1."""
        if epoch < self.window + 1:
            return None
        return (history[epoch] - history[epoch - self.window]) / self.window

    def rates(self, epochs: int, history: Sequence[float] = ()) -> list[float]:
        """Return the rate of each epoch 1..epochs before the warm-up ramp, flat accuracy assumed.

        Args:
            epochs: how many rates.
            history: validation robust accuracy, a fraction, after each finished epoch, NaN where
                none was measured; those to come are taken to repeat the last one.
        """
        known = list(history[:epochs])
        measured = [value for value in known if math.isfinite(value)]
        known += [measured[-1] if measured else 0.0] * (epochs - len(known))
        rate, last_cut, rates = self.peak, -math.inf, []
        for epoch in range(epochs):
            rates.append(rate)
            gradient = self.gradient(known, epoch)
            if (
                gradient is not None
                and epoch - last_cut >= self.quiet
                and gradient < self.threshold - TIE
            ):
                rate, last_cut = max(self.factor * rate, self.floor), epoch
        return rates

    def lr(self, progress: float, epochs: int = 1, history: Sequence[float] = ()) -> float:
        """Return the rate of the epoch that `progress` lies in, times the warm-up ramp.

        Only the accuracies of earlier epochs matter: a longer `history` changes nothing.
        """
        epoch = max(1, math.ceil(progress * epochs - EDGE))
        return self.rates(epoch, history)[-1] * self.ramp(progress)

    def curve(self, epochs: int, history: Sequence[float] = ()) -> tuple[float, ...]:
        """Return the rate at each epoch's end: past by `history`, future as if accuracy is flat."""
        rates = self.rates(epochs, history)
        return tuple(rate * self.ramp(i / epochs) for i, rate in enumerate(rates, 1))
