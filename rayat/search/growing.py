"""What a study cannot ask of its search: objectives, budgets and axes that it cannot follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rayat.errors import StudyError
from rayat.policies.spending import Budget
from rayat.search.domains import is_function

if TYPE_CHECKING:
    from rayat.study import Study

DRIVER_AXES = ("data", "workers", "cpus_per_worker", "gpus_per_worker")
"""What the driver must know before the first trial: no axes of a search that grows."""


def refuse_unsearchable(study: Study) -> None:
    """Refuse what a study's search cannot do.

    Raises:
        StudyError: an objective that nothing learns from, a budget that is none, or what a search
            cannot do that proposes trials while the run lives.
    """
    _objective(study)
    if study.budget is not None:
        _budget(study, study.budget)
    if study.search.adaptive or study.budget is not None:
        _growing(study)


def _objective(study: Study) -> None:
    if study.objective == "cost" and study.target is None:
        raise StudyError("objective='cost' is the cost to a target: give the study target=...")
    if study.objective != "accuracy" and not study.search.adaptive:
        raise StudyError(
            f"search {study.search.kind!r} learns from no result, so objective="
            f"{study.objective!r} has no effect; use search='optuna', or leave it out "
            "(`rayat confirm` ranks by cost to the target in any case)"
        )


def _budget(study: Study, budget: str) -> None:
    Budget.parse(budget)
    if study.search.kind == "grid":
        raise StudyError("search 'grid' tries every point, whatever it costs: leave budget out")
    if study.draws == 1:
        raise StudyError(
            "with a budget, draws is the most points of an arm, got draws=1; give more than the "
            "budget can pay for, such as draws=400"
        )
    for axis in study.axes()[1]:
        if is_function(study.space[axis]):
            raise StudyError(
                f"axis {axis!r} is a sample_from, which a search with a budget cannot keep in "
                "run.json; use another domain, or draws without a budget"
            )


def _growing(study: Study) -> None:
    name, axes = study.search.kind, study.axes()[1]
    what = f"search {name!r}" + (" with a budget" if study.budget is not None else "")
    if study.order_seed is not None:
        raise StudyError(
            f"{what} proposes trials in its own order, so order_seed has no place; "
            f"leave it out, got {study.order_seed}"
        )
    if not axes:
        raise StudyError(f"{what} has no axis to tune: none of the space is nuisance")
    for axis in axes:
        if axis.partition(".")[0] in DRIVER_AXES:
            raise StudyError(
                f"{what} cannot tune {axis!r}, which must be known before the first trial; make "
                "it a grid_search, or draw it with search='random' and no budget"
            )
    if study.policy.pauses:
        raise StudyError(
            f"policy {study.policy.kind!r} waits for all trials, and {what} proposes the later "
            "ones only after the earlier ones ended; change one of them"
        )
