"""What a trial's accuracies are measured by, from its configuration: like is ranked with like."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from rayat.errors import StudyError, nearest

Values = Mapping[str, Any]
"""What was measured, by the name of each setting."""

TRAINING_DATA = ("augment", "padding", "download", "train_size", "labelled")
"""Keys of `data` that leave the validation and the test images as they are."""
PLAIN = {
    "norm": "attack.norm",
    "PGD steps": "eval.steps",
    "validation images": "eval.size",
    "epochs between validations": "eval.every",
}
METRICS = ("val_robust_acc", "val_clean_acc")
"""What a study may be judged by: shares of the validation images, of which more is better."""
RADIUS = ("eval.eps", "attack.eps")
"""The radius of an evaluation: the first of these that has a value."""


def measurement(config: Values) -> dict[str, Any]:
    """Return what the validation of a trial measured; None where it is not known or not set.

    Args:
        config: the trial's configuration by dotted keys.
    """
    radius = (config.get(key) for key in RADIUS)
    found = {"eps": next((value for value in radius if value is not None), None)}
    found.update({name: config.get(key) for name, key in PLAIN.items()})
    for name in sorted(config):
        head, _, rest = name.partition(".")
        # A fixed number of images makes their share idle.
        idle = name == "data.val_fraction" and config.get("data.val_size") is not None
        if head == "data" and rest not in TRAINING_DATA and not idle:
            found[name] = config[name]
    return found


def flat(tree: Values, above: str = "") -> dict[str, Any]:
    """Return a configuration tree by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f"{above}{key}."))
        else:
            found[f"{above}{key}"] = value
    return found


def key(values: Values) -> str:
    """Return a text that equal measurements share."""
    rounded = {k: f"{v:.9g}" if isinstance(v, int | float) else v for k, v in values.items()}
    return json.dumps(rounded, sort_keys=True, default=str)


def measures(key: str) -> bool:
    """Return whether a key of the configuration is (also) a setting of what is measured."""
    head, _, rest = key.partition(".")
    if head in ("eval", "data"):
        return rest not in TRAINING_DATA
    return key in (*RADIUS, *PLAIN.values())


def unlike(arms: Mapping[str, Values]) -> str:
    """Return a sentence where arms are measured differently; empty where all are alike.

    Args:
        arms: one configuration of each, by dotted keys.
    """
    values: dict[str, dict[str, None]] = {}
    for config in arms.values():
        for name, value in measurement(config).items():
            text = f"{value:g}" if isinstance(value, float) else str(value)
            values.setdefault(name, {})[text] = None
    apart = {name: list(found) for name, found in values.items() if len(found) > 1}
    if not apart:
        return ""
    said = "; ".join(f"{name} {', '.join(found)}" for name, found in apart.items())
    cure = "; eval.eps gives all arms one radius" if "eps" in apart else ""
    return (
        f"arms are measured by different settings ({said}), so verdicts are made only between "
        f"arms of the same{cure}"
    )


def refuse_metric(metric: str) -> None:
    """Refuse to judge trials by what is no validation accuracy, such as a loss or a rate.

    The larger value would win, whatever it means.

    Raises:
        StudyError: with those that there are.
    """
    if metric not in METRICS:
        raise StudyError(
            f"unknown metric {metric!r}{nearest(metric, METRICS)}; a study is judged by an "
            f"accuracy on the validation images: {' or '.join(METRICS)}"
        )


def refuse_target(metric: str, target: float) -> None:
    """Refuse a target that no training can reach, or that all of them have.

    Raises:
        StudyError: it is not finite, or an accuracy outside (0, 1].
    """
    if not math.isfinite(target):
        raise StudyError(f"a target is a finite value of {metric}, got {target}")
    if metric.endswith("_acc") and not 0 < target <= 1:
        meant = f", {target / 100:g} if {target:g} percent are meant" if 1 < target < 100 else ""
        raise StudyError(
            f"a target of {metric} is a share of the images above 0 and at most 1{meant}, "
            f"got {target:g}"
        )


def chance(classes: int, images: int) -> float:
    """Return the accuracy that a network may have which says one class for every image.

    Args:
        classes: of the data. images: on which the accuracy is measured.

    Returns:
        One over the classes and three standard errors: what that share is at most on these images.
    """
    share = 1 / classes
    return share + 3 * math.sqrt(share * (1 - share) / images)


def too_easy(metric: str, target: float | None, measured: Iterable[tuple[int, int]]) -> str:
    """Return a warning where a network that says one class for every image may reach a target.

    Args:
        measured: classes and validation images of each trial; the most classes and the fewest
            images count.
    """
    known = list(measured)
    if target is None or not metric.endswith("_acc") or not known:
        return ""
    size = min(images for _, images in known)
    limit = chance(max(classes for classes, _ in known), size)
    if target > limit:
        return ""
    return (
        f"The target of {target:.3f} is no more than chance: saying one class for every one of "
        f"{size} images gives up to {limit:.3f}. Costs to it and speed-ups mean nothing."
    )
