"""Keys of epochs: two trials whose keys are equal up to an epoch are in the same state after it.

An epoch is a function of the state before it and of the settings in force during it. Its key is a
hash of the key before it and of these settings. The first one is of everything that a configuration
says, as it stands; only what is known to act epoch by epoch is left out there and enters each epoch
by what it comes to: the rate of every step, the attack of every step, whether all images are
trained on, whether the epoch is validated. Where anything else may act, the whole configuration is
in every key, and the trial shares nothing (docs/sharing.md).
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Self

import torch

from rayat.attacks.base import Moment
from rayat.config import TrialConfig
from rayat.data.identity import source_key
from rayat.training.pace import progress_of, share_of, steps_of
from rayat.training.validate import evaluation_eps

ENGINE = 1
"""Raised by every change after which a training does not give the same bits as before."""

BY_EPOCH = ("lr", "attack", "attack_schedule", "pruning", "epochs")
"""Keys of a configuration that act epoch by epoch."""
TIMED = ("lr", "attack", "attack_schedule", "objective", "pruning")
"""Keys whose methods are told how far the training is."""
OURS = "rayat."
"""Modules of methods of which it is known what they read (`tests/training/test_keys.py`)."""


def chain(config: TrialConfig, data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the key of each epoch 1 to `config.epochs`: 64 hex digits.

    Args:
        data: what the data set is (`data.identity.describe`).
    """
    whole = {"config": config.tree()}
    opaque = why_whole(config)
    key = _hash("", {"engine": ENGINE, "torch": torch.__version__, **_data(data)})
    key = _hash(key, whole if opaque else _beginning(config))
    settings = itertools.repeat({}) if opaque else _settings(config, data["train"])
    keys, full = [], True
    for epoch, setting in zip(range(1, config.epochs + 1), settings, strict=False):
        # A selection acts on all epochs behind it, and in a probe on the epoch before it.
        full = full and (
            bool(opaque) or all(_full(config, e) for e in (epoch, *ahead(config, epoch)))
        )
        key = _hash(key, {"epoch": epoch, **(setting if full else whole)})
        keys.append(key)
    return tuple(keys)


def chains(
    configs: Mapping[str, TrialConfig], data: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[str, ...]]:
    """Return the keys of trials, by their ids; of those whose data is known.

    Args:
        data: what each data set is, by its source (`data.identity.source_key`).
    """
    known = {trial_id: data.get(source_key(c.data)) for trial_id, c in configs.items()}
    return {t: chain(configs[t], entry) for t, entry in known.items() if entry is not None}


def why_whole(config: TrialConfig) -> str:
    """Return why no epoch of a trial is told by less than its whole configuration; empty: none."""
    for name in TIMED:
        part = getattr(config, name)
        if not type(part).__module__.startswith(OURS):
            return f"{name} {part.kind!r} is no method of rayat's own"
    for attack in config.attack_schedule.attacks(config.attack):
        if attack.reads_length:
            return f"attack {attack.kind!r} changes with the length of the training"
    if config.objective.reads_length:
        return f"objective {config.objective.kind!r} changes with the length of the training"
    if config.weights.average != "none":
        return f"weights.average={config.weights.average} begins at a share of the training"
    if config.weights.awp and config.weights.awp_start:
        return "weights.awp_start is a share of the training"
    if config.teacher.epochs:
        return "the teacher is trained with the trial's learning rates"
    return ""


def _beginning(config: TrialConfig) -> dict[str, Any]:
    """Return what holds for all epochs."""
    return {
        "config": {k: v for k, v in config.tree().items() if k not in BY_EPOCH},
        # The optimiser is made with it, and a selection weighs by it.
        "peak": [config.lr.peak, config.peak_rate],
        # Of the attack that the configuration names, whatever its schedule makes of it.
        "evaluation": [evaluation_eps(config), config.attack.norm],
        "columns": [each.record() for each in config.declared_columns().values()],
    }


def _settings(config: TrialConfig, images: int) -> Iterator[dict[str, Any]]:
    """Yield what is in force during each epoch that trains on all images."""
    share = share_of(images, config.batch_size, config.workers)
    if share == 0:  # refused when it is trained
        return
    steps = steps_of(images, share, config.workers)
    last = config.epochs
    acting = _acting(Acting.of(config, steps))
    for epoch, (rates, attacks) in enumerate(acting, 1):
        validated = epoch == last or epoch % config.eval.every == 0
        setting = {"rates": rates, "attacks": attacks, "validated": validated}
        # Its rate follows from the epoch's own, its attacks are those of the epochs to come.
        probe = [acting[later - 1][1] for later in ahead(config, epoch)]
        yield {**setting, "probe": probe} if probe else setting


def ahead(config: TrialConfig, epoch: int) -> range:
    """Return the epochs whose images and attacks a probe after `epoch` takes; empty without one."""
    length = config.probe.epochs if epoch in config.probe.at else 0
    return range(epoch + 1, epoch + length + 1)


def _full(config: TrialConfig, epoch: int) -> bool:
    return config.pruning.schedule(epoch, config.epochs) == "full"


@dataclass(frozen=True)
class Acting:
    """What the rates and attacks of all steps follow from; the seeds of a configuration share it.

    Attributes:
        text: learning rate, attack, schedule, optimiser, epochs and batch size. steps: per epoch.
    """

    text: str
    steps: int
    config: TrialConfig = field(compare=False)

    @classmethod
    def of(cls, config: TrialConfig, steps: int) -> Self:
        """Return it of a configuration."""
        parts = (config.lr, config.attack, config.attack_schedule, config.optimizer)
        text = json.dumps([*(p.spec() for p in parts), config.epochs, config.batch_size])
        return cls(text, steps, config)


@lru_cache(maxsize=4096)
def _acting(acting: Acting) -> tuple[tuple[str, str], ...]:
    """Return, of each epoch, the hash of all its rates and that of all its attacks."""
    config, steps = acting.config, acting.steps
    epochs, plain, found = config.epochs, _spec(config.attack), []
    for epoch in range(1, epochs + 1):
        done = [progress_of(epoch, number, steps, epochs) for number in range(steps)]
        if epoch <= config.lr.foreseen(epochs):
            rates: Any = [config.rate(progress) for progress in done]
        else:  # what was validated follows from the keys before, and the rate from it by the rule
            rates = {"rule": config.lr.spec(), "ramp": [config.lr.ramp(p) for p in done]}
        moments = [Moment(epoch, epochs, p, number) for number, p in enumerate(done)]
        moments.append(Moment(epoch, epochs, epoch / epochs))  # the radius that is reported
        attacks = (config.attack_schedule.attack(config.attack, moment) for moment in moments)
        specs = (plain if attack is config.attack else _spec(attack) for attack in attacks)
        runs = [(spec, len(list(same))) for spec, same in itertools.groupby(specs)]
        found.append((_hash("", rates), _hash("", runs)))
    return tuple(found)


def _spec(part: Any) -> str:
    return json.dumps(part.spec(), sort_keys=True)


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in ("checksum", "split_hash", "train")}


def _hash(before: str, what: Any) -> str:
    text = json.dumps(what, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()
