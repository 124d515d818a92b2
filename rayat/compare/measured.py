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

from rayat.arms import split_arm
from rayat.compare.text import printable
from rayat.ledger.reader import Run
from rayat.measurement import Values, flat, key, measurement, measures


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
        firsts: a trial of each arm, in the study's order.
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


def _counterpart(run: Run, firsts: Mapping[str, str], baseline: str, arms: list[str]) -> str | None:
    """Return the one arm that equals the baseline but for what is measured, by label or by tree."""
    wanted = _named(baseline)
    alike = [arm for arm in arms if _named(arm) == wanted]
    if len(alike) != 1:
        rest = _trained(run, firsts[baseline])
        alike = [arm for arm in arms if _trained(run, firsts[arm]) == rest]
    return alike[0] if len(alike) == 1 else None


def _named(arm: str) -> dict[str, str]:
    return {key: value for key, value in split_arm(arm).items() if not measures(key)}


def _trained(run: Run, trial_id: str) -> dict[str, Any]:
    """Return a trial's configuration without its seed, what it tuned and what was measured."""
    row = run.trials.set_index("trial_id").loc[trial_id]
    config = flat(json.loads(str(row["config_json"])))
    free = {"seed", *(run.info["study"].get("nuisance") or ())}
    return {k: v for k, v in config.items() if k not in free and not measures(k)}
