"""What a search found, all of it: the front of cost against robustness, and each axis by itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rayat.arms import split_arm
from rayat.compare.comparison import plain
from rayat.compare.measured import shown
from rayat.compare.ranking import Found, comparable, ranking
from rayat.compare.select import SOUND
from rayat.compare.speedup import counts_passes
from rayat.compare.text import plural, printable
from rayat.errors import LedgerError, quoted
from rayat.layers import flatten
from rayat.ledger.reader import Run, require_reports
from rayat.ledger.status import Status

MOST_VALUES = 8
"""Numbers of an axis that are told one by one; more become three groups of equal size."""
NAMES = ("name", "shape")
"""The keys of a part that say which method it is."""


@dataclass(frozen=True)
class Point:
    """One configuration of a search; figures are means over its sound trials.

    Attributes:
        place: in the rank of `ranking.ranked`, 1 is the best.
        config_id, arm, name: of it; the name is its searched axes where they differ from the
            baseline's.
        is_baseline, seeds: whether others are compared with it; how many trials it has.
        stopped: whether a policy stopped one of them: it might have become better.
        value: best value of the metric. cost: passes of single images until that value.
        reached, to_target: in how many seeds it reached the target; passes to it, None unless all.
        on_front: whether none is as good for fewer passes (`cost` against `value`).
        on_target_front: the same by `to_target`.
    """

    place: int
    config_id: str
    arm: str
    name: str
    is_baseline: bool
    seeds: int
    stopped: bool
    value: float
    cost: float
    reached: int
    to_target: float | None
    on_front: bool
    on_target_front: bool


@dataclass(frozen=True)
class AxisValue:
    """One value of a searched axis, over all configurations that have it.

    Attributes:
        axis, value: which. configurations, stopped, reached: how many there are, how many of them
            a policy stopped, and how many reached the target in every seed.
        to_target: median passes to it of those that reached it. best: median best value of all.
    """

    axis: str
    value: str
    configurations: int
    stopped: int
    reached: int
    to_target: float | None
    best: float


@dataclass(frozen=True)
class Front:
    """All configurations of a run that were measured as its baseline, best first, and its axes.

    Attributes:
        study, metric, target, target_origin, baseline: as in `best.Best`.
        points: the configurations in the order of their rank. axes: marginal figures.
        warning: why none of it is a verdict.
    """

    study: str
    metric: str
    target: float | None
    target_origin: str
    baseline: str
    points: tuple[Point, ...]
    axes: tuple[AxisValue, ...]
    warning: str

    @property
    def front(self) -> list[Point]:
        """The configurations that none beats in both cost and value, the cheapest first."""
        return sorted((p for p in self.points if p.on_front), key=lambda p: p.cost)

    @property
    def target_front(self) -> list[Point]:
        """The same by passes to the target, of those that reached it in every seed."""
        kept = [p for p in self.points if p.on_target_front]
        return sorted(kept, key=lambda p: p.to_target or 0.0)

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json.dumps(..., allow_nan=False)` takes; null for unknown."""
        tree: dict[str, Any] = plain(asdict(self))
        return tree


def searched(run: Run) -> bool:
    """Return whether some arm has several configurations and passes were recorded."""
    several = run.trials.groupby("arm")["config_id"].nunique().max() > 1
    return bool(several) and bool(counts_passes(run)) and not run.epochs.empty


def front(run: Run, baseline: str | None = None, target: float | None = None) -> Front:
    """Return all configurations of a run by cost and robustness, and its axes one by one.

    Only sound trials count; what was measured otherwise than the baseline is left out.

    Args:
        baseline, target: as in `ranking.ranking`.

    Raises:
        LedgerError: no report, no value of the baseline, or no passes were recorded.
        StudyError: no such baseline, or an impossible target.
    """
    require_reports(run)
    found = ranking(run, baseline, target)
    spent = _spent(run)
    alike = [
        each
        for each in found.order
        if comparable(each, found.baseline) and all(t in spent for t in each.trial_ids.values())
    ]
    if not alike:
        raise LedgerError(f"{run.folder}: no passes were recorded, so that there is no cost")
    cost = {each.config_id: _mean(spent[t] for t in each.trial_ids.values()) for each in alike}
    there = {each.config_id: each.cost for each in alike if each.whole and found.target is not None}
    value = {each.config_id: each.value for each in alike}
    fronts = pareto(cost, value), pareto(there, value)
    stopped = set(run.trials.loc[run.trials["status"] == Status.STOPPED, "trial_id"])
    names = _Names(run, alike, found.baseline)
    points = tuple(
        Point(
            place,
            each.config_id,
            each.arm,
            names.of(each),
            each.config_id == found.baseline.config_id,
            len(each.trial_ids),
            not stopped.isdisjoint(each.trial_ids.values()),
            each.value,
            cost[each.config_id],
            each.reached if found.target is not None else 0,
            there.get(each.config_id),
            each.config_id in fronts[0],
            each.config_id in fronts[1],
        )
        for place, each in enumerate(alike, 1)
    )
    return Front(
        str(run.info["study"]["name"]),
        str(run.info["metric"]),
        found.target,
        found.origin,
        found.baseline.arm,
        points,
        tuple(_marginals(names, dict(zip((f.config_id for f in alike), points, strict=True)))),
        _warning(run, len(points)),
    )


def pareto(cost: Mapping[str, float], value: Mapping[str, float]) -> set[str]:
    """Return the keys of `cost` that none other beats: cheaper at no less value, or better at no
    more cost. Equals are kept together.
    """
    kept, best, at = set[str](), -math.inf, -math.inf
    for key in sorted(cost, key=lambda k: (cost[k], -value[k])):
        if value[key] > best or (value[key] == best and cost[key] == at):
            kept.add(key)
            best, at = value[key], cost[key]
    return kept


def _spent(run: Run) -> dict[str, float]:
    """Return each sound trial's passes until its best value, where they were recorded."""
    trials = run.trials[run.trials["status"].isin(SOUND) & run.trials["best_epoch"].notna()]
    at = {(str(t), int(e)) for t, e in zip(trials["trial_id"], trials["best_epoch"], strict=True)}
    counted, rows = counts_passes(run), run.epochs
    return {
        str(trial): float(passes)
        for trial, epoch, passes in zip(
            rows["trial_id"], rows["epoch"], rows["passes_cum"], strict=True
        )
        if (str(trial), int(epoch)) in at and trial in counted
    }


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


class _Names:
    """The searched axes of a run, and what each configuration has there."""

    def __init__(self, run: Run, found: Sequence[Found], baseline: Found) -> None:
        study = run.info["study"]
        self.axes = [*(study.get("scientific") or ()), *(study.get("nuisance") or ())]
        controls = {f"arm={name}" for name in study.get("controls") or ()}
        self.found = [each for each in found if each.arm not in controls]
        self.alone = len({each.arm for each in self.found}) == 1 and bool(controls)
        self.baseline = baseline
        self.flat = {each.config_id: flatten(each.config) for each in [*found, baseline]}

    def value(self, each: Found, axis: str) -> Any:
        """Return a configuration's value of an axis as it is told; None where it has none."""
        part, _, parameter = axis.partition(".")
        flat = self.flat[each.config_id]
        method = self._method(flat, part)
        if parameter in ("", *NAMES):
            if method is None:
                return flat.get(axis)
            return method + ("" if parameter else self._parameters(each, part, method))
        # `none` may keep a parameter that does nothing in it.
        return None if method == "none" else flat.get(axis)

    def of(self, each: Found) -> str:
        """Return the axes of a configuration that differ from the baseline's."""
        if each.config_id == self.baseline.config_id:
            return printable(each.arm)
        # An arm's label names the axes that made it.
        labelled = () if self.alone else split_arm(each.arm)
        own = [(axis, self.value(each, axis)) for axis in self.axes if axis not in labelled]
        parts = [
            f"{axis}={shown(value)}"
            for axis, value in own
            if value is not None and value != self.value(self.baseline, axis)
        ]
        named = [] if self.alone or not self.axes else [each.arm]
        return printable(", ".join([*named, *parts]) or each.arm)

    @staticmethod
    def _method(flat: Mapping[str, Any], part: str) -> str | None:
        return next((str(flat[f"{part}.{k}"]) for k in NAMES if f"{part}.{k}" in flat), None)

    def _parameters(self, each: Found, part: str, method: str) -> str:
        """Return the parameters that tell configurations of one method of a part apart."""
        flats = [f for f in self.flat.values() if self._method(f, part) == method]
        keys = [
            key
            for key in self.flat[each.config_id]
            if key.startswith(f"{part}.")
            and key not in self.axes
            and len({repr(flat.get(key)) for flat in flats}) > 1
        ]
        said = [
            f"{k.removeprefix(part + '.')}={shown(self.flat[each.config_id][k])}"
            for k in keys
            if self.flat[each.config_id][k] is not None
        ]
        return f"({', '.join(said)})" if said else ""


def _marginals(names: _Names, points: Mapping[str, Point]) -> list[AxisValue]:
    """Return the figures of each value of each axis; controls are at no point of any axis."""
    rows = []
    for axis in names.axes:
        at = {f.config_id: names.value(f, axis) for f in names.found}
        at = {key: value for key, value in at.items() if value is not None}
        labels = _labels(at)
        for label in dict.fromkeys(labels[key] for key in sorted(at, key=lambda k: _order(at[k]))):
            own = [points[key] for key in at if labels[key] == label]
            there = [p.to_target for p in own if p.to_target is not None]
            rows.append(
                AxisValue(
                    axis,
                    label,
                    len(own),
                    sum(p.stopped for p in own),
                    len(there),
                    median(there) if there else None,
                    median(p.value for p in own),
                )
            )
    return rows


def _labels(at: Mapping[str, Any]) -> dict[str, str]:
    """Return the text of each configuration's value; of many numbers the group of it."""
    values = sorted(set(at.values()), key=_order)
    if len(values) <= MOST_VALUES or not all(_order(value)[0] == 0 for value in values):
        return {key: shown(value) for key, value in at.items()}
    every = sorted(at.values())
    ends = [every[-(-len(every) * third // 3) - 1] for third in (1, 2, 3)]
    group = {value: sum(value > end for end in ends) for value in values}
    spans = {g: [v for v in values if group[v] == g] for g in range(3)}
    return {
        key: f"{shown(spans[group[value]][0])} to {shown(spans[group[value]][-1])}"
        for key, value in at.items()
    }


def _order(value: Any) -> tuple[int, float, str]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (0, float(value), "") if number else (1, 0.0, str(value))


def _warning(run: Run, configurations: int) -> str:
    again = "" if "imported" in run.info else f"; `rayat confirm {quoted(run.folder)}` trains anew"
    return (
        f"These are validation values of a search of {plural(configurations, 'configuration')}: "
        f"luck flatters the best of them, and a front is made of such{again}."
    )
