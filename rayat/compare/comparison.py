"""What a comparison holds: an arm's row, and all rows with what they were compared by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rayat.compare.accuracy import MeanSd
from rayat.compare.bootstrap import ONCE, Estimate
from rayat.ledger.status import Status
from rayat.measurement import Values, key
from rayat.resampling import RESAMPLES, RESAMPLING_SEED


@dataclass(frozen=True)
class ArmRow:
    """One arm's figures; accuracies are fractions, `speed_up` is above 1 where the arm is sooner.

    Attributes:
        arm, is_baseline: which arm.
        config_id, tried, tuned: the configuration that represents it, of how many, chosen values.
        trial_ids: its trials by seed.
        statuses: its trials by status.
        robust, clean: by checkpoint, `best` (chosen on validation) and `last`.
        baseline: the arm it is compared with: the named one, or its equal where both were measured
            alike. target: the value whose cost is compared; None where nothing is.
        measured: by what its trials were validated (`measured.measurement`).
        differs: settings measured otherwise than for `baseline`, this arm's value first; not empty:
            nothing is compared.
        fates: its trials by what became of the target (`speedup.Cost.fate`).
        reached: trials that reached the target.
        costs: to the target by axis, None unless every trial reached it: survivors alone mislead.
        speed_up: by axis, against the baseline; None for the baseline itself.
        robust_difference: best checkpoint's robust accuracy minus the baseline's, paired.
        verdict, sentence: what may be said.
    """

    arm: str
    is_baseline: bool
    config_id: str
    tried: int
    tuned: Mapping[str, Any]
    trial_ids: Mapping[int, str]
    statuses: Mapping[Status, int]
    robust: Mapping[str, MeanSd | None]
    clean: Mapping[str, MeanSd | None]
    baseline: str
    target: float | None
    measured: Values
    differs: Mapping[str, tuple[Any, Any]]
    fates: Mapping[str, int]
    reached: int
    costs: Mapping[str, MeanSd | None]
    speed_up: Mapping[str, Estimate | None]
    robust_difference: Estimate | None
    verdict: str
    sentence: str


@dataclass(frozen=True)
class Line:
    """One configuration: what the search said of it, and what fresh seeds say.

    Attributes:
        arm: its label in the confirmation. was: its label in the search.
        found_speed, speed: speed-up over the baseline in the search and on fresh seeds; None where
            not every seed of both reached the target.
        found_value, value: mean best value of the metric on validation, a fraction.
        verdict: on fresh seeds.
    """

    arm: str
    was: str
    found_speed: float | None
    speed: float | None
    found_value: float | None
    value: float | None
    verdict: str

    @property
    def shrinkage(self) -> float | None:
        """Return which share of the found speed-up is left; None where one is not known."""
        if self.found_speed is None or self.speed is None:
            return None
        return self.speed / self.found_speed


@dataclass(frozen=True)
class Figures:
    """Every arm of a run against its baseline: the baseline first, then by speed-up.

    Arms that were measured otherwise than the named baseline follow, in groups of equal
    measurement, each with a baseline and a target of its own (`measured.grouped`).

    Attributes:
        study, metric, protocol: of the run.
        target: value of the metric whose cost is compared; None when there is none to choose.
        target_origin, target_fixed: where it comes from; whether it was fixed before the runs.
        baseline, baseline_origin: the arm compared with, and who named it.
        apart: the settings that split the arms into groups, with their values; empty for one group.
        accuracy_source, tested: where accuracies come from; whether that is the test set.
        asked: whether the study asks how robust trials end, or for their cost alone.
        level: of each interval: 0.95, in a confirmation higher, so that all hold together.
        method: how the intervals are made.
        headline: the verdict in one sentence.
        notes: what a reader must know before believing the table.
        rows: the arms.
        confirmed: of a confirmation what the search found, beside what fresh seeds say.
    """

    study: str
    metric: str
    protocol: str
    target: float | None
    target_origin: str
    target_fixed: bool
    baseline: str
    baseline_origin: str
    apart: Mapping[str, tuple[Any, ...]]
    accuracy_source: str
    tested: bool
    asked: bool
    level: float
    method: str
    headline: str
    notes: tuple[str, ...]
    rows: tuple[ArmRow, ...]
    confirmed: tuple[Line, ...] = ()

    def groups(self) -> list[tuple[ArmRow, ...]]:
        """Return the rows by what was measured: only those of one group share an axis."""
        found: dict[str, list[ArmRow]] = {}
        for row in self.rows:
            found.setdefault(key(row.measured), []).append(row)
        return [tuple(rows) for rows in found.values()]

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json.dumps(..., allow_nan=False)` takes; null for unknown."""
        tree: dict[str, Any] = plain(asdict(self))
        by: dict[str, Any] = {"resamples": RESAMPLES, "seed": RESAMPLING_SEED}
        by = by if self.method == ONCE.method else {"method": self.method}
        tree["interval"] = {"level": self.level, **by}
        del tree["method"]
        return tree


def plain(value: Any) -> Any:
    """Return what JSON holds: NumPy scalars as numbers, what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "item"):  # a NumPy scalar from a table
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
