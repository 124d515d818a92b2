"""What a configuration would do that nobody means: said before the start, by `plan` and `run`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rayat.attacks.base import Attack, Moment
from rayat.config import TrialConfig
from rayat.measurement import too_easy

LITTLE = 0.1
"""A training whose largest rate is below this share of the peak does not use its shape."""
GREY = 0.5
"""From this l-infinity radius on every image can be made grey."""


def advise(
    trials: Iterable[tuple[str, TrialConfig, int]], native_bf16: bool | None = None
) -> list[str]:
    """Return the warnings of several trials, each said once, with how many arms it is true of.

    Args:
        trials: arm, configuration, and the number of training images.
        native_bf16: whether the CPU has a unit for bf16 (`host.machine`); None: not known.
    """
    found: dict[str, dict[str, None]] = {}
    for arm, config, images in trials:
        for text in (
            *rates(config, images),
            *attacked(config, images),
            *lengths(config),
            *idle(config),
            *emulated(config, native_bf16),
        ):
            found.setdefault(text, {})[arm] = None
    return [f"{_arms(list(arms))}: {text}" for text, arms in found.items()]


def easy(
    metric: str, target: float | None, trials: Iterable[tuple[TrialConfig, int, int]]
) -> list[str]:
    """Warn of a target that is no more than chance.

    Args:
        trials: configuration, classes of its data, and validation images.
    """
    measured = [
        (classes, min(images, config.eval.size or images))
        for config, classes, images in trials
        if classes and images
    ]
    return [text for text in [too_easy(metric, target, measured)] if text]


def steps_per_epoch(config: TrialConfig, images: int) -> int:
    """Return the optimiser steps of an epoch on all images (see `Training.steps`)."""
    share = max(1, min(config.batch_size, images) // config.workers)
    return max(1, images // (share * config.workers))


def rates(config: TrialConfig, images: int) -> Iterator[str]:
    """Warn where every step has the rate 0, or none comes near the peak."""
    if config.lr.feedback:
        return  # begins at the peak
    steps = config.epochs * steps_per_epoch(config, images)
    enough = LITTLE * config.lr.peak * config.optimizer.scale(config.batch_size)
    largest = 0.0
    for step in range(1, steps + 1):
        largest = max(largest, config.rate(step / steps))
        if largest >= enough:
            return
    what = "every step has the learning rate 0, so nothing is trained" if largest == 0 else ""
    what = what or f"the largest learning rate is {largest:.3g}, of lr.peak={config.lr.peak:g}"
    yield (
        f"{what}: step i of n has the rate at progress i/n of lr.shape={config.lr.kind}, and n is "
        f"{steps}; train longer, with smaller batches, or with lr.shape=constant"
    )


def attacked(config: TrialConfig, images: int) -> Iterator[str]:
    """Warn where an attack schedule never comes to attack."""
    if config.attack_schedule.kind == "none" or config.attack.kind == "none":
        return
    steps = steps_per_epoch(config, images)
    total = config.epochs * steps
    for number in range(total):
        epoch, step = divmod(number, steps)
        moment = Moment(epoch + 1, config.epochs, (number + 1) / total, step)
        now = config.attack_schedule.attack(config.attack, moment)
        if now.kind != "none" and now.eps > 0:
            return
    yield (
        f"attack_schedule={config.attack_schedule.kind} attacks in none of the {total} steps, so "
        "this is standard training; train for more epochs, or use another schedule"
    )


def lengths(config: TrialConfig) -> Iterator[str]:
    """Warn of step sizes above twice the radius, and of radii at which every image is lost."""
    schedule = config.attack_schedule
    for attack in schedule.attacks(config.attack):
        where = "attack" if attack == config.attack else "attack_schedule"
        for name in ("step_size", "robust_step_size"):
            yield from _too_long(f"{where}.{name}", getattr(attack, name, None), attack)
    ramped = getattr(schedule, "step_size", None)
    yield from _too_long("attack_schedule.step_size", ramped, config.attack)
    if config.attack.norm == "linf":
        for key, eps in (("attack.eps", config.attack.eps), ("eval.eps", config.eval.eps)):
            if eps is not None and eps >= GREY:
                yield (
                    f"{key}={eps:g} lets every image become grey, and no network is right then; "
                    "pixels are in [0, 1], and 8/255 is 0.0314"
                )


def idle(config: TrialConfig) -> Iterator[str]:
    """Warn of intervals in epochs that are longer than the training: nothing comes of them."""
    epochs = config.epochs
    if config.eval.every > epochs:
        yield (
            f"eval.every={config.eval.every} is above epochs={epochs}, so only the last epoch is "
            "validated: none is chosen as the best, and no policy can act"
        )
    if config.checkpoint_every > epochs:
        yield (
            f"checkpoint_every={config.checkpoint_every} is above epochs={epochs}, so a trial that "
            "is interrupted begins again from its first epoch"
        )
    window = getattr(config.lr, "window", None)
    if config.lr.feedback and window is not None and window + 2 >= epochs:
        yield (
            f"lr.window={window} needs {window + 3} epochs for its first cut to be seen and "
            f"epochs={epochs}, so the learning rate is constant"
        )
    rest = epochs - config.pruning.first(epochs)
    if (
        config.pruning.fraction < 1
        and config.pruning.kind != "none"
        and config.pruning.every > rest
    ):
        yield (
            f"pruning.every={config.pruning.every} is above the {rest} epochs from the first "
            "selection on, so images are selected once"
        )


def emulated(config: TrialConfig, native_bf16: bool | None) -> Iterator[str]:
    """Warn of bf16 on a CPU that has no unit for it: nothing is wrong but the time it takes."""
    if config.precision == "bf16" and config.gpus_per_worker == 0 and native_bf16 is False:
        yield (
            "precision=bf16 is emulated on this machine's CPU, which has no unit for it, and is "
            "several times slower than fp32 there; set precision=fp32"
        )


def _too_long(key: str, length: float | None, attack: Attack) -> Iterator[str]:
    # An ulp of 2 * eps is no mistake.
    if length is not None and attack.eps > 0 and length > 2 * attack.eps * (1 + 1e-9):
        scale = "pixels are in [0, 1]: 2/255 is 0.00784"
        units = scale if attack.norm == "linf" else "both are l2 lengths"
        yield (
            f"{key}={length:g} is above 2 eps = {2 * attack.eps:g}, so every step crosses the "
            f"whole ball and ends on its edge; {units}"
        )


def _arms(arms: list[str]) -> str:
    return arms[0] if len(arms) == 1 else f"{arms[0]} and {len(arms) - 1} more arms"
