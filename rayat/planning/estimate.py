"""What a trial will cost, from a few real steps of it: exact passes, measured seconds."""

from __future__ import annotations

import dataclasses
import json
import math
import time
import warnings
from dataclasses import dataclass
from typing import Any

from rayat.config import TrialConfig
from rayat.data.base import Arrays, Prepared
from rayat.distributed.exchange import Exchange
from rayat.planning.budget import VALIDATION_BUDGET
from rayat.pruning.base import Phase
from rayat.training.epoch import select, train_epoch
from rayat.training.process import prepare_process
from rayat.training.run import validate
from rayat.training.setup import Training, begin

FEWEST = 64
"""Validation images that a scaled selection has at least; a selector may refuse fewer."""
SLOW_STEP_SECONDS = 2.0
"""A first step that takes this long is the measure itself: warming up no longer matters."""

COST_FREE = ("seed", "lr", "epochs", "checkpoint_every", "optimizer.weight_decay")
"""Keys that change neither the passes nor the seconds of an epoch."""


def cost_key(config: TrialConfig) -> str:
    """Return the text that configurations share whose epochs cost the same."""
    kept = {
        key: value
        for key, value in config.flat().items()
        if key not in COST_FREE and key.partition(".")[0] not in COST_FREE
    }
    return json.dumps(kept, sort_keys=True)


@dataclass(frozen=True)
class Cost:
    """Seconds and passes of what is not done in every epoch."""

    seconds: float = 0.0
    forward: int = 0
    backward: int = 0


NOTHING = Cost()


@dataclass(frozen=True)
class Estimate:
    """The cost of one configuration, alone on this machine.

    Passes are exact where every sample costs the same; an attack that lets finished samples go
    costs what it cost at the untrained network, one with a schedule what it costs in the middle
    epoch, and adversarial weight perturbation counts from the first step on. A selection's seconds
    are taken to grow as its images do. Seconds of several workers are those of one with its share
    of the batch: the exchange of gradients is not in them.

    Attributes:
        train_seconds: of one epoch's training on all images. eval_seconds: of one validation.
        forward_passes, backward_passes: of one such epoch, all workers.
        eval_forward_passes, eval_backward_passes: of one validation.
        subset: images of an epoch on a selection, as a share of those of one on all images.
        selection: of one selection. start: of images attacked once, before the first step.
        teacher_passes: of a teacher's training and labelling, whose seconds are those passes at the
            speed of the training.
    """

    train_seconds: float
    eval_seconds: float
    forward_passes: int
    backward_passes: int
    eval_forward_passes: int
    eval_backward_passes: int
    subset: float = 1.0
    selection: Cost = NOTHING
    start: Cost = NOTHING
    teacher_passes: int = 0

    @property
    def seconds_per_epoch(self) -> float:
        """Return the seconds of an epoch on all images that ends with a validation."""
        return self.train_seconds + self.eval_seconds

    def trial_seconds(self, config: TrialConfig) -> float:
        """Return the seconds of the whole training, selections and validations included."""
        selections = phases(config).count("select") * self.selection.seconds
        passes = self.forward_passes + self.backward_passes
        epochs = self._epochs(config) + self.teacher_passes / passes
        training = epochs * self.train_seconds
        return self.start.seconds + training + selections + validations(config) * self.eval_seconds

    def trial_passes(self, config: TrialConfig) -> int:
        """Return the passes of the whole training, selections and validations included."""
        validation = self.eval_forward_passes + self.eval_backward_passes
        return self._training_passes(config) + validations(config) * validation

    def _training_passes(self, config: TrialConfig) -> int:
        epoch = self.forward_passes + self.backward_passes
        selection = self.selection.forward + self.selection.backward
        selections = phases(config).count("select") * selection
        start = self.start.forward + self.start.backward
        trained = round(self._epochs(config) * epoch)
        return start + self.teacher_passes + trained + selections

    def _epochs(self, config: TrialConfig) -> float:
        """Return how many epochs on all images show as many images as the training does."""
        found = phases(config)
        return found.count("full") + self.subset * (found.count("select") + found.count("subset"))

    def validation_share(self, config: TrialConfig) -> float:
        """Return the share of the whole training's passes that validations take."""
        validation = self.eval_forward_passes + self.eval_backward_passes
        return validations(config) * validation / self.trial_passes(config)

    def remedies(self, config: TrialConfig) -> dict[str, int]:
        """Return the keys that bring validation within its budget, with the value nearest to now.

        Each is enough alone; a key that no value of is enough is left out.
        """
        training = self._training_passes(config)
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

    Epochs that a warm start skips are not validated. With one validation of each probe.

    Args:
        every: in place of the configuration's own.
    """
    every = every or config.eval.every
    own = phases(config)[: config.epochs]
    skipped = {epoch for epoch, phase in enumerate(own, 1) if phase == "skip"}
    validated = math.ceil(config.epochs / every) - sum(epoch % every == 0 for epoch in skipped)
    return validated + sum(epoch not in skipped for epoch in config.probe.at)


def phases(config: TrialConfig) -> list[Phase]:
    """Return what each epoch of a training does (`Pruner.schedule`), then each of its probes."""
    length, last = config.probe.epochs, config.epochs
    probes = [epoch for at in config.probe.at for epoch in range(at + 1, at + length + 1)]
    return [config.pruning.schedule(e, last) for e in (*range(1, last + 1), *probes)]


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
    if share == 1 and config.workers > 1 and config.batch_norm == "sync":
        share = 2  # alone, a layer would see one image
    # One worker's part; everything else is the trial's own.
    part = config.replace({"workers": 1, "batch_size": share, "weights.awp_start": 0})
    whole = part.replace({"pruning": {"name": "none"}})
    epoch = 1 if config.attack_schedule.kind == "none" else config.epochs // 2 + 1
    training = training_on(whole, prepared, share, device)
    start = _start(training, size)
    seconds, row = _timed(training, epoch)
    if seconds < SLOW_STEP_SECONDS:
        training = training_on(whole, prepared, share * min(steps, max(1, size // share)), device)
        start = _start(training, size)
        seconds, row = _timed(training, epoch)
    images = size // (share * config.workers) * share  # one worker's, of one epoch
    scale = images / row["samples"]

    teacher_passes = 0
    if config.teacher.epochs:
        known = int((prepared.train.y >= 0).sum())
        shown = known // min(batch, known) * min(batch, known)
        teacher_passes = 2 * config.teacher.epochs * shown + size - known

    val = len(prepared.val) if config.eval.size is None else config.eval.size
    val = min(val, len(prepared.val))
    some = min(val, config.eval.batch_size)
    training.config = whole.replace({"eval.size": some})
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
        subset=_shown(config.pruning.budget(size), config) / (images * config.workers),
        selection=selection(part, prepared, training.size, device),
        start=start,
        teacher_passes=teacher_passes,
    )


def _shown(images: int, config: TrialConfig) -> int:
    """Return how many of the images an epoch shows: whole batches, equal over the workers."""
    step = max(1, min(config.batch_size, images) // config.workers) * config.workers
    return images // step * step


def _start(training: Training, size: int) -> Cost:
    """Return what it costs to attack all `size` images once, if the configuration does that."""
    fixed = training.fixed
    if fixed is None:
        return NOTHING
    scale = size / training.size
    seconds = training.clock.take()["attack"] * scale
    return Cost(seconds, round(fixed.forward * scale), round(fixed.backward * scale))


def selection(config: TrialConfig, prepared: Prepared, images: int, device: str) -> Cost:
    """Return the cost of one selection, scaled from one among the first `images` rows.

    Among more, where their share of the validation split would be too few images.
    """
    if "select" not in phases(config):
        return NOTHING
    size, held = len(prepared.train), len(prepared.val)
    share = min(1.0, max(images / size, FEWEST / max(1, held)))
    some = round(held * share)
    val = Arrays(prepared.val.x[:some], prepared.val.y[:some])
    short = dataclasses.replace(prepared, val=val)
    training = training_on(config, short, round(size * share), device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so few images say nothing about the selection
        found = select(training, config.pruning.first(config.epochs) + 1)
    return Cost(found.seconds / share, round(found.forward / share), round(found.backward / share))


def training_on(config: TrialConfig, prepared: Prepared, images: int, device: str) -> Training:
    """Return a training on the first `images` rows of the training split."""
    y = prepared.train.y[:images]
    if config.teacher.epochs:
        y = y.clip(min=0)  # any label costs what the teacher's does
    rows = Arrays(prepared.train.x[:images], y)
    windows = None if prepared.windows is None else prepared.windows[:images]
    short = dataclasses.replace(prepared, train=rows, windows=windows)
    return begin(config, short, Exchange(device=device))


def _timed(training: Training, epoch: int) -> tuple[float, dict[str, Any]]:
    """Return the seconds and the report of one epoch; the report's numbers wait for the device.

    Images that were attacked before the first step are not in them.
    """
    began = time.perf_counter()
    row = train_epoch(training, epoch)
    if training.fixed is not None and epoch == 1:
        row["fwd_passes"] -= training.fixed.forward
        row["bwd_passes"] -= training.fixed.backward
    return time.perf_counter() - began, row
