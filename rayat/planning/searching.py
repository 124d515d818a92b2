"""What a plan says of a search: what it may propose, what is left out, how far its budget goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rayat.policies.spending import Budget
from rayat.search.domains import is_function
from rayat.search.plan import Trial
from rayat.study import Study

RARE = 0.002
"""Share of a space below which an exclusion is likely to be a slip."""


def weights(
    study: Study, trials: Sequence[Trial], spent: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """Return for how many trials each of them stands, by trial id: of a budget's they are a sample.

    Args:
        trials: `Study.foreseen`. spent: passes and seconds of each whole trial, by trial id.
    """
    found = dict.fromkeys((trial.trial_id for trial in trials), 1.0)
    if study.budget is None:
        return found
    plan, budget = study.plan(), Budget.parse(study.budget)
    searched = [arm for arm in plan.arms if arm not in plan.controls]
    for arm in searched:
        own = [trial.trial_id for trial in trials if trial.arm == arm]
        cost = sum(spent[trial_id][budget.what] for trial_id in own)
        most = plan.draws * len(plan.seeds) / max(1, len(own))
        for trial_id in own:
            found[trial_id] = min(budget.amount / len(searched) / cost, most) if cost else most
    return found


def searching(study: Study) -> dict[str, Any] | None:
    """Return what is said of a study's search, as plain values; None where nothing is drawn.

    Raises:
        StudyError: a point of its space, that no exclusion names, is no configuration.
    """
    plan = study.plan()
    if not plan.space or not (plan.grows or plan.exclude):
        return None
    searched = [arm for arm in plan.arms if arm not in plan.controls]
    arm = searched[0] if searched else ""
    found: dict[str, Any] = {
        "searcher": plan.searcher.kind,
        "objective": study.objective,
        "budget": study.budget,
        "controls": list(plan.controls),
        "axes": list(plan.space),
        "excluded": {},
    }
    if searched and not any(map(is_function, plan.space.values())):
        survey = plan.survey(arm)
        found["kept"] = survey.kept / survey.drawn
        found["excluded"] = {why: n / survey.drawn for why, n in survey.reasons.items()}
    return found


def notes(found: Mapping[str, Any] | None) -> list[str]:
    """Return a sentence for each exclusion that left out next to nothing of the space."""
    shares = (found or {}).get("excluded", {})
    return [
        f"exclusion {why!r} leaves out none of the random points that were tried: look for a slip "
        "in its conditions"
        for why, share in shares.items()
        if share < RARE
    ]
