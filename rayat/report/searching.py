"""What a search varied, beside what came of it: lines through the axes, and a measure of each.

The measure is permutation importance (Breiman 2001): a random forest learns the best value from
the axes, and an axis counts as much as the forest's R² on configurations that it has not seen falls
when that axis alone is shuffled among them. It is of this forest and these configurations: no
effect, and where the forest foretells nothing it says nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rayat.compare.front import Front
from rayat.compare.measured import shown
from rayat.compare.naming import at_axes
from rayat.compare.text import plural, printable
from rayat.ledger.reader import Run

LEAST_CONFIGURATIONS = 15
"""Fewer teach a forest nothing."""
FOLDS, TREES, SHUFFLES = 5, 60, 10
FORETELLS = 0.3
"""R² on unseen configurations below which the measure means little."""
MOST_AXES = 12
MOST_LINES = 400
WIDE = 20.0
"""Positive numbers that span more than this factor are placed by their logarithm."""


@dataclass(frozen=True)
class Importance:
    """How much each axis tells of the best value.

    Attributes:
        r2: of the forest on configurations that it has not seen, at most 1, mean over folds.
        loss: by axis the fall of R² when it is shuffled, mean and sd over folds, largest first.
        configurations: how many there were.
    """

    r2: float
    loss: Mapping[str, tuple[float, float]]
    configurations: int

    @property
    def warning(self) -> str:
        """What a reader must know before relying on it."""
        worth = (
            f"R² on unseen configurations is {self.r2:.2f}: below {FORETELLS:g}, so this means "
            "little."
            if self.r2 < FORETELLS
            else f"R² on unseen configurations is {self.r2:.2f}."
        )
        return (
            f"A random forest learned the best value of "
            f"{plural(self.configurations, 'configuration')} from the axes; "
            f"an axis counts by what R² loses when it alone is shuffled. {worth} "
            "Stopped configurations count with what they had, a guided search tries more of what "
            "looks good, and axes that go together share what they tell."
        )


def varied(run: Run, found: Front) -> dict[str, dict[str, Any]]:
    """Return what each configuration of a front has at each axis that varies, by configuration."""
    study = run.info["study"]
    axes = [*(study.get("scientific") or ()), *(study.get("nuisance") or ())]
    first = run.trials.drop_duplicates("config_id").set_index("config_id")["config_json"]
    known = {p.config_id for p in found.points}
    trees = {str(c): json.loads(text) for c, text in first.items() if str(c) in known}
    held = {each: at_axes(tree, axes) for each, tree in trees.items()}
    for axis in axes:  # a method by its name, where names tell configurations apart
        names = {each: _method(row.get(axis)) for each, row in held.items()}
        if len(set(map(shown, names.values()))) > 1:
            for each, row in held.items():
                row[axis] = names[each]
    several = [a for a in axes if len({shown(row.get(a)) for row in held.values()}) > 1]
    return {each: {a: row.get(a) for a in several} for each, row in held.items()}


def importance(
    values: Mapping[str, float], held: Mapping[str, Mapping[str, Any]]
) -> Importance | None:
    """Return how much each axis tells of the values; None where there is too little to learn from.

    Args:
        values: best value by configuration. held: of `varied`.
    """
    keys = [key for key in values if key in held]
    axes = list(next(iter(held.values()), {}))
    if len(keys) < LEAST_CONFIGURATIONS or len(axes) < 2:
        return None
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import KFold

    x = np.column_stack([_codes([held[key][axis] for key in keys]) for axis in axes])
    y = np.array([values[key] for key in keys])
    scores, losses = [], []
    for train, test in KFold(FOLDS, shuffle=True, random_state=0).split(x):
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=0).fit(
            x[train], y[train]
        )
        scores.append(forest.score(x[test], y[test]))
        found = permutation_importance(forest, x[test], y[test], n_repeats=SHUFFLES, random_state=0)
        losses.append(found.importances_mean)
    mean, sd = np.mean(losses, axis=0), np.std(losses, axis=0, ddof=1)
    order = sorted(range(len(axes)), key=lambda at: -mean[at])[:MOST_AXES]
    return Importance(
        float(np.mean(scores)),
        {axes[at]: (float(mean[at]), float(sd[at])) for at in order},
        len(keys),
    )


def lines(
    found: Front, held: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the axes, each configuration's place on each (0 to 1), and the names of places."""
    axes = list(next(iter(held.values()), {}))[:MOST_AXES]
    points = [p for p in found.points if p.config_id in held][:MOST_LINES]
    rows, ticks = [], []
    for axis in axes:
        given = [held[p.config_id][axis] for p in points]
        places = _places(given)
        rows += [
            {
                "config": p.config_id,
                "place": p.place,
                "what": p.name,
                "value": p.value,
                "axis": printable(axis),
                "at": at,
            }
            for p, at in zip(points, places, strict=True)
        ]
        named = dict(zip(places, given, strict=True))
        ends = sorted(named) if len(named) <= 8 else [min(named), max(named)]
        ticks += [{"axis": printable(axis), "at": at, "label": _brief(named[at])} for at in ends]
    return [printable(axis) for axis in axes], rows, ticks


def _method(value: Any) -> Any:
    return value.partition("(")[0] if isinstance(value, str) else value


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _codes(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Return numbers as they are and texts by their order; what acts in no place is below all."""
    if all(_number(v) or v is None for v in values):
        least = min((float(v) for v in values if v is not None), default=0.0)
        return np.array([least - 1 if v is None else float(v) for v in values])
    order = {text: at for at, text in enumerate(sorted({shown(v) for v in values}))}
    return np.array([float(order[shown(v)]) for v in values])


def _places(values: Sequence[Any]) -> list[float]:
    """Return places from 0 to 1: numbers to scale, texts in order at equal steps."""
    numbers = [float(v) for v in values if _number(v)]
    if len(numbers) < len(values) or len(set(numbers)) < 3:
        known = sorted({shown(v) for v in values}, key=lambda text: (text == shown(None), text))
        step = 1 / max(1, len(known) - 1)
        return [known.index(shown(v)) * step for v in values]
    if min(numbers) > 0 and max(numbers) / min(numbers) > WIDE:
        numbers = [math.log(v) for v in numbers]
    low, high = min(numbers), max(numbers)
    return [(v - low) / (high - low) for v in numbers]


def _brief(value: Any) -> str:
    text = "none" if value is None else shown(value)
    return text if len(text) <= 22 else text[:21] + "…"
