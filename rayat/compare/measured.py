"""What a trial's accuracies were measured by: only like is compared with like.

Two settings decide. The validation of every epoch gives the cost to the target; the final
evaluation gives the robustness that a verdict asks for. Both belong to a trial's configuration, so
an axis such as `attack.eps` changes what is measured together with what is trained.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rayat.compare.text import printable, split_arm
from rayat.ledger.reader import Run

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


def of_trials(run: Run, trial_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return what each trial's validation measured, by trial."""
    trials = run.trials.set_index("trial_id")
    return {name: measurement(_config(trials, name)) for name in trial_ids}


def _config(trials: pd.DataFrame, trial_id: str) -> dict[str, Any]:
    """Return a trial's configuration by dotted keys, from the table's `cfg.` columns."""
    row = trials.loc[trial_id]
    return {
        str(key).removeprefix("cfg."): _plain(row[key])
        for key in trials.columns
        if str(key).startswith("cfg.")
    }


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    return None if isinstance(value, float) and math.isnan(value) else value


def differing(one: Values, other: Values) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two measurements differ, with both values."""
    return {
        key: (one.get(key), other.get(key))
        for key in dict.fromkeys([*one, *other])
        if not _equal(one.get(key), other.get(key))
    }


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)


def said(differs: Mapping[str, tuple[Any, Any]]) -> str:
    """Return `eps 0.1 here, 0.3 there` of what `differing` found."""
    return "; ".join(
        f"{printable(key)} {shown(mine)} here, {shown(theirs)} there"
        for key, (mine, theirs) in differs.items()
    )


def against(differs: Mapping[str, tuple[Any, Any]]) -> str:
    """Return `eps 0.1 against 0.3` of what `differing` found."""
    return "; ".join(
        f"{printable(name)} {shown(mine)} against {shown(theirs)}"
        for name, (mine, theirs) in differs.items()
    )


def shown(value: Any) -> str:
    """Return a setting's value for a person."""
    if value is None:
        return "not set"
    return f"{value:.4g}" if isinstance(value, float) else printable(value)


@dataclass(frozen=True)
class Group:
    """Arms that were measured alike.

    Attributes:
        arms: their labels, in the study's order. measured: by what.
        baseline: the arm that they are compared with; None if none of them stands for it.
    """

    arms: tuple[str, ...]
    measured: Values
    baseline: str | None


def grouped(run: Run, firsts: Mapping[str, str], baseline: str) -> list[Group]:
    """Return the arms in groups of equal measurement, the named baseline's group first.

    The baseline of another group is the arm that equals the named one in all but what is measured:
    `pgd-10` at each radius. A group of one arm, or without such an arm, has none.

    Args:
        firsts: a trial that speaks for each arm, in the study's order.
        baseline: the named arm.
    """
    measured = of_trials(run, firsts.values())
    members: dict[str, list[str]] = {}
    for arm, trial_id in firsts.items():
        members.setdefault(key(measured[trial_id]), []).append(arm)
    groups: list[Group] = []
    for arms in members.values():
        own = measured[firsts[arms[0]]]
        if baseline in arms:
            groups.insert(0, Group(tuple(arms), own, baseline))
        else:
            found = _counterpart(run, firsts, baseline, arms) if len(arms) > 1 else None
            groups.append(Group(tuple(arms), own, found))
    return groups


def key(values: Values) -> str:
    """Return a text that equal measurements share."""
    rounded = {k: f"{v:.9g}" if isinstance(v, int | float) else v for k, v in values.items()}
    return json.dumps(rounded, sort_keys=True, default=str)


def _counterpart(run: Run, firsts: Mapping[str, str], baseline: str, arms: list[str]) -> str | None:
    """Return the one arm that equals the baseline but for what is measured, by label or by tree."""
    wanted = _named(baseline)
    alike = [arm for arm in arms if _named(arm) == wanted]
    if len(alike) != 1:
        rest = _trained(run, firsts[baseline])
        alike = [arm for arm in arms if _trained(run, firsts[arm]) == rest]
    return alike[0] if len(alike) == 1 else None


def _named(arm: str) -> dict[str, str]:
    return {key: value for key, value in split_arm(arm).items() if not _measures(key)}


def _trained(run: Run, trial_id: str) -> dict[str, Any]:
    """Return a trial's configuration without its seed, what it tuned and what was measured."""
    row = run.trials.set_index("trial_id").loc[trial_id]
    config = flat(json.loads(str(row["config_json"])))
    free = {"seed", *(run.info["study"].get("nuisance") or ())}
    return {k: v for k, v in config.items() if k not in free and not _measures(k)}


def _measures(key: str) -> bool:
    """Return whether a key of the configuration is (also) a setting of what is measured."""
    head, _, rest = key.partition(".")
    if head in ("eval", "data"):
        return rest not in TRAINING_DATA
    return key in (*RADIUS, *PLAIN.values())
