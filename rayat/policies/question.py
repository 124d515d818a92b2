"""What a study asks of its trials: the comparison that they are trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rayat.arms import matching
from rayat.measurement import flat

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
