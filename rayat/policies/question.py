"""What a study asks of its trials: the comparison that they are trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rayat.arms import matching
from rayat.errors import StudyError
from rayat.measurement import flat

if TYPE_CHECKING:
    from rayat.study import Study

VERDICT = "verdict"
"""The policy that stops only what no verdict depends on (`policies.verdict`)."""
AT_END: Final = "at-end"
AT_TARGET: Final = "at-target"
"""What a trial is trained for: its final robustness too, or its cost to the target alone."""


@dataclass(frozen=True)
class Question:
    """The comparison that the trials of a run are for.

    Attributes:
        target: value of the metric whose cost is compared; None: chosen after the runs.
        baseline: the arm compared with, as the study names it; None: the study's first.
        ends: `AT_END`, or `AT_TARGET`: nothing is asked of a trial that has reached the target.
    """

    target: float | None = None
    baseline: str | None = None
    ends: str = AT_END

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Question:
        """Return what the study of a run asks, from `run.json`."""
        study = info["study"]
        return cls(study.get("target"), study.get("baseline"), str(study.get("ends", AT_END)))

    def baseline_of(self, arms: Mapping[str, Sequence[Mapping[str, Any]]]) -> str | None:
        """Return the one arm that is the baseline, as `compare` finds it; None where none or more.

        Args:
            arms: the configurations of each arm's trials, in the study's order.
        """
        if self.baseline is None:
            return next(iter(arms), None)
        configs = {arm: [flat(config) for config in own] for arm, own in arms.items()}
        keys = {key for own in configs.values() for config in own for key in config}

        def held(arm: str, key: str) -> list[Any]:
            values = [config.get(key) for config in configs[arm]] if key in keys else []
            return [value for at, value in enumerate(values) if value not in values[:at]]

        found = matching(self.baseline, configs, held)
        return found[0] if len(found) == 1 else None


def refuse_unasked(study: Study) -> None:
    """Refuse a study that asks for the cost to no target, or for verdicts that no trial makes.

    Raises:
        StudyError: `ends="at-target"` or this policy without what they rest on, or with a search.
    """
    verdict, at_target = study.policy.kind == VERDICT, study.ends == AT_TARGET
    who = "policy 'verdict'" if verdict else 'ends="at-target"'
    if not (verdict or at_target):
        return
    from rayat.resampling import MIN_PAIRS  # loads numpy, which a study needs for this alone

    if study.target is None:
        raise StudyError(
            f"{who} rests on a target that is fixed before the run: give the study target=..., a "
            f"value of {study.metric}"
        )
    if study.axes()[1] or study.budget is not None:
        tuned = ", ".join(study.axes()[1])
        raise StudyError(
            f"{who} does not go with a search ({tuned}): the configuration that stands for an arm "
            "is chosen by how good its trials end, so none of them may stop; fix the values, or "
            "search first and compare the winners"
        )
    if verdict and study.baseline is None:
        raise StudyError(
            "policy 'verdict' must know the arm that the others are compared with: give the study "
            "baseline=..., a name or key=value"
        )
    if verdict and len(study.seeds) < MIN_PAIRS:
        raise StudyError(
            f"policy 'verdict' keeps verdicts, and fewer than {MIN_PAIRS} seeds give none: got "
            f"seeds {', '.join(map(str, study.seeds))}; add seeds, or use another policy"
        )


def trains_past(study: Study) -> str:
    """Return that a study's policy trains past a target beyond which nothing is asked; or empty."""
    if study.ends != AT_TARGET or study.policy.kind == VERDICT:
        return ""
    return (
        f'ends="at-target" asks for the cost to the target alone, and policy '
        f"{study.policy.kind!r} trains on all the same; policy 'verdict' ends trials there"
    )
