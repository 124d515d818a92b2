"""Optuna's tree-structured Parzen estimator, asked in rounds."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from rayat.errors import StudyError
from rayat.registry import SEARCHERS
from rayat.search.base import Fit, Point, Searcher, Told, whole
from rayat.search.domains import Domain, as_json, from_tick, ticks, written

TRIES = 50
"""Asks for one new point, before the space counts as exhausted."""
WORST = 0.0
"""What a point without a value counts as: no accuracy."""


@SEARCHERS.register("optuna")
class Optuna(Searcher):
    """Later points go where earlier ones of the same arm did well (Optuna's TPE).

    Points are proposed in rounds: the next round begins when every trial of the one before has its
    end, so what is proposed depends on results and not on who reports first. Each round asks a new
    sampler, seeded by `draw_seed` and the number of points so far, that was told all of them. The
    first `startup` points are random, and the first round is equal for all arms. A point that was
    proposed before, or is excluded, is asked again; a space that has no new ones left ends early.
    Each axis is modelled by itself, a parameter that only some methods have from the points that
    had it. With two objectives (`objective="front"`) it is the multi-objective form, which seeks
    the front between them.

    Needs the extra `optuna`. Source: Bergstra et al. 2011; Ozaki et al. 2020 (several objectives);
    Akiba et al. 2019 (Optuna).
    """

    batch: int = Field(4, ge=1, description="points of a round, for each arm")
    startup: int = Field(10, ge=0, description="random points before the model is used")

    adaptive: ClassVar[bool] = True

    def propose(
        self,
        space: Mapping[str, Any],
        draws: int,
        seed: int,
        told: Sequence[Told],
        fit: Fit = whole,
    ) -> list[Point]:
        """Return the points of the next round."""
        count = min(self.batch, draws - len(told))
        if count <= 0:
            return []
        optuna = _library()
        forms = {axis: as_json(axis, domain) for axis, domain in space.items()}
        laws = {axis: _distribution(optuna, form) for axis, form in forms.items()}
        with warnings.catch_warnings():
            # `constant_liar` is marked experimental; points of one round must keep apart.
            warnings.simplefilter("ignore")
            sampler = optuna.samplers.TPESampler(
                seed=seed + len(told), n_startup_trials=self.startup, constant_liar=True
            )
        several = any(earlier.second is not None for earlier in told)
        study = optuna.create_study(directions=["maximize"] * (1 + several), sampler=sampler)
        worst = _worst(told)
        for earlier in told:
            # An axis that does not apply to a point is no part of what is learned from it.
            known = {axis: forms[axis] for axis in forms if axis in earlier.point}
            study.add_trial(
                optuna.trial.create_trial(
                    params={
                        axis: _coded(form, earlier.point[axis]) for axis, form in known.items()
                    },
                    distributions={axis: laws[axis] for axis in known},
                    values=_values(earlier, worst)[: 1 + several],
                )
            )
        taken, points = [dict(earlier.point) for earlier in told], list[Point]()
        for _ in range(TRIES * count):
            if len(points) == count:
                break
            trial = study.ask(laws)
            point = fit({axis: _decoded(forms[axis], trial.params[axis]) for axis in forms})
            if point is None or point in taken:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            taken.append(point)
            points.append(point)
        return points


def _worst(told: Sequence[Told]) -> float:
    """Return what a point without the second value counts as: the worst that is known."""
    return min((each.second for each in told if each.second is not None), default=WORST)


def _values(told: Told, worst: float) -> list[float]:
    value = WORST if told.value is None else told.value
    return [value, worst if told.second is None else told.second]


def _library() -> Any:
    try:
        optuna = importlib.import_module("optuna")
    except ImportError:
        raise StudyError(
            "search 'optuna' needs the package optuna: pip install 'rayat[optuna]', "
            "or use search='random'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _distribution(optuna: Any, form: Domain) -> Any:
    laws = optuna.distributions
    if form["kind"] == "choice":
        # By number: Optuna's categories must be scalars, ours may be whole parts.
        return laws.CategoricalDistribution(range(len(form["values"])))
    low, high, step, log = form["low"], form["high"], form["step"], form["log"]
    if _by_tick(form):
        return laws.IntDistribution(*ticks(form), log=True)
    if step is not None:
        low, high = (from_tick(form, tick) for tick in ticks(form))
    if form["kind"] == "int":
        return laws.IntDistribution(low, high, log=log, step=step)
    return laws.FloatDistribution(low, high, log=log, step=step)


def _by_tick(form: Domain) -> bool:
    """Return whether a range is asked for in steps: Optuna has none on a logarithmic scale."""
    return bool(form["kind"] != "choice" and form["log"] and form["step"] not in (None, 1))


def _coded(form: Domain, value: Any) -> Any:
    """Return a value as Optuna holds it."""
    if form["kind"] == "choice":
        return _place(form["values"], value)
    if form["step"] is None:
        return value
    first, last = ticks(form)
    tick = min(max(round(value / form["step"]), first), last)
    return tick if _by_tick(form) else from_tick(form, tick)


def _place(values: list[Any], value: Any) -> int:
    """Return the number of a value among several: 1, 1.0 and true are three."""
    alike = [i for i, known in enumerate(values) if known == value]
    exact = [i for i in alike if type(values[i]) is type(value)]
    return (exact or alike)[0]


def _decoded(form: Domain, value: Any) -> Any:
    """Return what Optuna proposed as one of the values that Tune could draw."""
    if form["kind"] == "choice":
        return form["values"][value]
    if _by_tick(form):
        return from_tick(form, value)
    if form["kind"] == "int":
        return value
    if form["step"] is not None:
        return written(value)
    # Tune leaves the upper end out.
    return min(value, math.nextafter(form["high"], form["low"]))
