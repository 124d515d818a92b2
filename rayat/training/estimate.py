"""What a trial will cost, from a few real steps of it: exact passes, measured seconds."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import Any

from rayat.config import TrialConfig
from rayat.data.base import Arrays, Prepared
from rayat.distributed.exchange import Exchange
from rayat.training.epoch import train_epoch
from rayat.training.process import prepare_process
from rayat.training.run import validate
from rayat.training.setup import Training, begin

SLOW_STEP_SECONDS = 2.0
"""A first step that takes this long is the measure itself: warming up no longer matters."""
VALIDATION_BUDGET = 0.25
"""Largest share of a trial's passes that validation may take without a warning: full PGD-20 at
every epoch would cost more than the training."""


@dataclass(frozen=True)
class Estimate:
    """The cost of one configuration, alone on this machine.

    Passes are exact where every sample costs the same; an attack that lets finished samples go
    costs what it cost at the untrained network, and adversarial weight perturbation counts from
    the first step on. Seconds of several workers are those of one with
    its share of the batch: the exchange of gradients is not in them.

    Attributes:
        train_seconds: of one epoch's training. eval_seconds: of one validation.
        forward_passes, backward_passes: of one epoch's training, all workers.
        eval_forward_passes, eval_backward_passes: of one validation.
        teacher_passes: of a teacher's training and labelling, whose seconds are those passes at the
            speed of the training.
    """

    train_seconds: float
    eval_seconds: float
    forward_passes: int
    backward_passes: int
    eval_forward_passes: int
    eval_backward_passes: int
    teacher_passes: int = 0

    @property
    def seconds_per_epoch(self) -> float:
        """Return the seconds of an epoch that ends with a validation."""
        return self.train_seconds + self.eval_seconds

    def trial_seconds(self, config: TrialConfig) -> float:
        """Return the seconds of the whole training, validations included."""
        passes = self.forward_passes + self.backward_passes
        epochs = config.epochs + self.teacher_passes / passes
        return epochs * self.train_seconds + validations(config) * self.eval_seconds

    def trial_passes(self, config: TrialConfig) -> int:
        """Return the forward and backward passes of the whole training, validations included."""
        training = self.forward_passes + self.backward_passes
        validation = self.eval_forward_passes + self.eval_backward_passes
        return config.epochs * training + validations(config) * validation + self.teacher_passes

    def validation_share(self, config: TrialConfig) -> float:
        """Return the share of the whole training's passes that validations take."""
        validation = self.eval_forward_passes + self.eval_backward_passes
        return validations(config) * validation / self.trial_passes(config)

    def remedies(self, config: TrialConfig) -> dict[str, int]:
        """Return the keys that bring validation within its budget, with the value nearest to now.

        Each is enough alone; a key that no value of is enough is left out.
        """
        training = config.epochs * (self.forward_passes + self.backward_passes)
        allowed = training * VALIDATION_BUDGET / (1 - VALIDATION_BUDGET)
        image = 2 + 2 * config.eval.steps  # passes: clean, attacked, and there and back a step
        images = (self.eval_forward_passes + self.eval_backward_passes) // image
        each = allowed / validations(config)
        rarer = (
            every
            for every in range(1, config.epochs + 1)
            if validations(config, every) * images * image <= allowed
        )
        found = {
            "eval.every": next(rarer, 0),
            "eval.size": int(each / image),
            "eval.steps": int((each / images - 2) / 2),
        }
        return {key: value for key, value in found.items() if value >= 1}


def validations(config: TrialConfig, every: int | None = None) -> int:
    """Return how often a whole training validates: every `eval.every` epochs and at the end.

    Args:
        every: in place of the configuration's own.
    """
    return math.ceil(config.epochs / (every or config.eval.every))


def estimate(
    config: TrialConfig, prepared: Prepared, steps: int = 3, device: str = "cpu"
) -> Estimate:
    """Train a few steps and validate one batch with the trial's own parts, and scale up.

    Sets this process' torch threads and determinism as a trial does.

    Args:
        prepared: the configuration's data. steps: optimiser steps timed after a first one that is
            not, unless that one is slow. device: torch device.

    Raises:
        ConfigError, DataError: the configuration and the data do not fit.
    """
    prepare_process(config.threads)
    size, batch = len(prepared.train), min(config.batch_size, len(prepared.train))
    share = max(1, batch // config.workers)
    # One worker's part; everything else is the trial's own.
    part = config.replace({"workers": 1, "batch_size": share, "weights.awp_start": 0})
    training = _training(part, prepared, share, device)
    seconds, row = _timed(training)
    if seconds < SLOW_STEP_SECONDS:
        training = _training(part, prepared, share * min(steps, max(1, size // share)), device)
        seconds, row = _timed(training)
    images = size // (share * config.workers) * share  # one worker's, of one epoch
    scale = images / row["samples"]

    teacher_passes = 0
    if config.teacher.epochs:
        known = int((prepared.train.y >= 0).sum())
        whole = known // min(batch, known) * min(batch, known)
        teacher_passes = 2 * config.teacher.epochs * whole + size - known

    val = len(prepared.val) if config.eval.size is None else config.eval.size
    val = min(val, len(prepared.val))
    some = min(val, config.eval.batch_size)
    training.config = part.replace({"eval.size": some})
    began = time.perf_counter()
    checked = validate(training, prepared.val)
    eval_seconds = (time.perf_counter() - began) * val / some / config.workers
    return Estimate(
        train_seconds=seconds * scale,
        eval_seconds=eval_seconds,
        forward_passes=row["fwd_passes"] * images * config.workers // row["samples"],
        backward_passes=row["bwd_passes"] * images * config.workers // row["samples"],
        eval_forward_passes=checked["eval_fwd_passes"] * val // some,
        eval_backward_passes=checked["eval_bwd_passes"] * val // some,
        teacher_passes=teacher_passes,
    )


def _training(config: TrialConfig, prepared: Prepared, images: int, device: str) -> Training:
    """Return a training on the first `images` rows of the training split."""
    y = prepared.train.y[:images]
    if config.teacher.epochs:
        y = y.clip(min=0)  # any label costs what the teacher's does
    rows = Arrays(prepared.train.x[:images], y)
    windows = None if prepared.windows is None else prepared.windows[:images]
    short = dataclasses.replace(prepared, train=rows, windows=windows)
    return begin(config, short, Exchange(device=device))


def _timed(training: Training) -> tuple[float, dict[str, Any]]:
    """Return the seconds and the report of one epoch; the report's numbers wait for the device."""
    began = time.perf_counter()
    row = train_epoch(training, 1)
    return time.perf_counter() - began, row
