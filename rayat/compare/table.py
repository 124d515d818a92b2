"""A run's arms against its baseline: who reaches the target at which cost, and how robust."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rayat.compare import render
from rayat.compare.accuracy import CHECKPOINTS, Accuracies, MeanSd, accuracies
from rayat.compare.bootstrap import LEVEL, RESAMPLES, RESAMPLING_SEED, Estimate
from rayat.compare.select import Choice, arms, choose, match_arm
from rayat.compare.speedup import (
    AXES,
    ENDED,
    TARGET_SHARE,
    Cost,
    costs,
    default_target,
    paired,
    speed_up,
)
from rayat.compare.text import plural, printable
from rayat.compare.verdict import HEADLINE, sentence, word
from rayat.errors import StudyError
from rayat.ledger.reader import Run, require_reports
from rayat.ledger.state import UNFINISHED


@dataclass(frozen=True)
class Row:
    """One arm's figures; accuracies are fractions, `speed_up` is above 1 where the arm is sooner.

    Attributes:
        arm, is_baseline: which arm.
        config_id, tried, tuned: the configuration that speaks for it, of how many, chosen values.
        trial_ids: its trials by seed.
        statuses: its trials by status.
        robust, clean: by checkpoint, `best` (chosen on validation) and `last`.
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
    statuses: Mapping[str, int]
    robust: Mapping[str, MeanSd | None]
    clean: Mapping[str, MeanSd | None]
    reached: int
    costs: Mapping[str, MeanSd | None]
    speed_up: Mapping[str, Estimate | None]
    robust_difference: Estimate | None
    verdict: str
    sentence: str


@dataclass(frozen=True)
class Comparison:
    """Every arm of a run against its baseline: the baseline first, then by speed-up.

    Attributes:
        study, metric, protocol: of the run.
        target: value of the metric whose cost is compared; None when there is none to choose.
        target_origin, target_fixed: where it comes from; whether it was fixed before the runs.
        baseline, baseline_origin: the arm compared with, and who named it.
        accuracy_source, tested: where accuracies come from; whether that is the test set.
        headline: the verdict in one sentence.
        notes: what a reader must know before believing the table.
        rows: the arms.
    """

    study: str
    metric: str
    protocol: str
    target: float | None
    target_origin: str
    target_fixed: bool
    baseline: str
    baseline_origin: str
    accuracy_source: str
    tested: bool
    headline: str
    notes: tuple[str, ...]
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json.dumps(..., allow_nan=False)` takes; null for unknown."""
        tree: dict[str, Any] = _plain(asdict(self))
        tree["interval"] = {"level": LEVEL, "resamples": RESAMPLES, "seed": RESAMPLING_SEED}
        return tree

    def render(self) -> str:
        """Return the comparison as plain text for a terminal."""
        return render.plain(self)

    def markdown(self) -> str:
        """Return the table as Markdown with the target and the notes below it."""
        return render.markdown(self)


def compare(
    run: Run,
    baseline: str | None = None,
    target: float | None = None,
    suite: str | None = None,
) -> Comparison:
    """Compare a run's arms with its baseline.

    Args:
        baseline: `key=value[,key=value]`; the study's, else its first arm, if left out.
        target: value of the study's metric; the study's, else 98 % of the best value of the
            baseline's worst seed, if left out.
        suite: whose test accuracies are shown (`accuracy.accuracies`).

    Raises:
        LedgerError: the run holds no report.
        StudyError: no arm or more than one matches the baseline; the target is not finite.
    """
    require_reports(run)
    study = run.info["study"]
    if target is not None and not math.isfinite(target):
        raise StudyError(f"a target is a finite value of {run.info['metric']}, got {target}")
    choices = choose(run)
    name, name_origin = _baseline(run, baseline)
    goal, origin, fixed = _target(run, choices[name], target)
    quality = accuracies(run, suite)
    paid = {
        arm: costs(run, choice.trial_ids.values(), math.inf if goal is None else goal)
        for arm, choice in choices.items()
    }
    rows = [_row(run, choices[arm], choices[name], paid, quality, goal) for arm in choices]
    rows.sort(key=_order)
    return Comparison(
        study=str(study["name"]),
        metric=str(run.info["metric"]),
        protocol=str(study.get("protocol", "honest")),
        target=goal,
        target_origin=origin,
        target_fixed=fixed,
        baseline=name,
        baseline_origin=name_origin,
        accuracy_source=quality.source,
        tested=quality.tested,
        headline=_headline(rows, name, goal),
        notes=tuple(_notes(run, rows, quality)),
        rows=tuple(rows),
    )


def _baseline(run: Run, given: str | None) -> tuple[str, str]:
    fixed = run.info["study"].get("baseline")
    if given is not None:
        return match_arm(run, given), "named at the comparison"
    if fixed is not None:
        return match_arm(run, fixed), "named by the study"
    return arms(run)[0], "the study's first arm, as none was named"


def _target(run: Run, baseline: Choice, given: float | None) -> tuple[float | None, str, bool]:
    fixed = run.info["study"].get("target")
    if fixed is not None and given in (None, fixed):
        return float(fixed), "fixed before the runs", True
    if given is not None:
        return float(given), "chosen after the runs: given at the comparison", False
    found = default_target(run, baseline.trial_ids.values())
    if found is None:
        return None, f"none: the baseline has no value of {run.info['metric']}", False
    share = f"{TARGET_SHARE:.0%}".replace("%", " %")
    return found, f"chosen after the runs: {share} of the best of the baseline's worst seed", False


def _row(
    run: Run,
    choice: Choice,
    baseline: Choice,
    paid: Mapping[str, list[Cost]],
    quality: Accuracies,
    target: float | None,
) -> Row:
    own, ids, is_baseline = paid[choice.arm], choice.trial_ids, choice.arm == baseline.arm
    pairs = paired(paid[baseline.arm], own)
    speeds = {axis: None if is_baseline else speed_up(pairs, axis) for axis in AXES}
    robust = None if is_baseline else quality.difference(ids, baseline.trial_ids)
    statuses: dict[str, int] = {}
    for cost in own:
        statuses[cost.status] = statuses.get(cost.status, 0) + 1
    everyone = all(cost.reached for cost in own)
    goal = math.nan if target is None else target
    return Row(
        arm=choice.arm,
        is_baseline=is_baseline,
        config_id=choice.config_id,
        tried=choice.tried,
        tuned=choice.tuned,
        trial_ids=ids,
        statuses=statuses,
        robust={c: MeanSd.of(quality.of(ids, c, "robust").values()) for c in CHECKPOINTS},
        clean={c: MeanSd.of(quality.of(ids, c, "clean").values()) for c in CHECKPOINTS},
        reached=sum(cost.reached for cost in own),
        costs={a: MeanSd.of(c.costs[a] for c in own) if everyone else None for a in AXES},
        speed_up=speeds,
        robust_difference=robust,
        verdict="baseline" if is_baseline else word(pairs, speeds[HEADLINE], robust),
        sentence=""
        if is_baseline
        else sentence(choice.arm, baseline.arm, goal, pairs, speeds, robust) + _accidents(own),
    )


def _accidents(own: list[Cost]) -> str:
    """Return what a reader of a speed-up must hear of its trials, after the verdict."""
    bad = [cost.status for cost in own if cost.status in ("diverged", "collapsed")]
    counts = [f"{bad.count(status)} {status}" for status in dict.fromkeys(bad)]
    return f" Of its {plural(len(own), 'trial')}, {' and '.join(counts)}." if bad else ""


def _order(row: Row) -> tuple[bool, bool, float]:
    speed = row.speed_up[HEADLINE]
    whole = speed is not None and not speed.bound
    return (not row.is_baseline, not whole, -speed.value if speed is not None else math.inf)


def _headline(rows: list[Row], baseline: str, target: float | None) -> str:
    for row in rows:  # by speed-up, the largest first
        if row.verdict == "faster":
            return row.sentence
    others = [row.verdict for row in rows if not row.is_baseline]
    if not others:
        return f"{printable(baseline)} is the only arm: there is nothing to compare it with."
    goal = "the target" if target is None else f"{target:.3f}"
    counts = {verdict: others.count(verdict) for verdict in dict.fromkeys(others)}
    said = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    return (
        f"No arm is shown to reach {goal} sooner than {printable(baseline)} "
        f"at matched robustness ({said})."
    )


def _notes(run: Run, rows: list[Row], quality: Accuracies) -> list[str]:
    study, notes = run.info["study"], []
    statuses = run.trials["status"]
    imported = run.info.get("imported")
    if imported:
        where = " and ".join(imported["measured_on"])
        notes.append(
            f"Imported ({imported['from']}): accuracies were measured on {where} data; costs are "
            "as recorded."
        )
    elif study.get("protocol") == "as-published":
        notes.append("Protocol as-published: decisions may have seen the test set.")
    going = int(statuses.isin(UNFINISHED).sum())
    if going:
        notes.append(f"The run is not over: {going} of {len(statuses)} trials have no end yet.")
    broken = int((~statuses.isin([*ENDED, *UNFINISHED])).sum())
    if broken:
        notes.append(f"{plural(broken, 'trial')} failed or lost: without the target, in no pair.")
    stopped = int((statuses == "stopped").sum())
    if stopped:
        notes.append(
            f"The policy stopped {plural(stopped, 'trial')} early: below the target, it counts as "
            "not having reached it."
        )
    tried = max(row.tried for row in rows)
    if tried > 1:
        notes.append(
            f"Each arm speaks through the best of its {tried} configurations, chosen by the mean "
            f"best {run.info['metric']} over the same seeds: slightly optimistic for all alike."
        )
    if not quality.tested:
        notes.append(
            "No test evaluation is recorded: accuracies are those of the validation split that "
            "chose the best epoch, which flatters them."
        )
    if len(rows) > 3:
        notes.append(
            f"{len(rows) - 1} arms are compared with one baseline: each interval is for one "
            "comparison, not corrected for their number."
        )
    return notes


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item"):  # a NumPy scalar from a table
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
