"""A run's arms against its baseline: who reaches the target at which cost, and how robust."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rayat.compare import render
from rayat.compare.accuracy import CHECKPOINTS, Accuracies, MeanSd, accuracies
from rayat.compare.bootstrap import LEVEL, RESAMPLES, RESAMPLING_SEED, Estimate
from rayat.compare.measured import Group, against, differing, grouped, of_trials, said
from rayat.compare.select import Choice, arms, choose, match_arm, match_arms
from rayat.compare.speedup import (
    AXES,
    TARGET_SHARE,
    Cost,
    costs,
    default_target,
    paired,
    speed_up,
)
from rayat.compare.summary import apart, headline, notes
from rayat.compare.text import plural, printable
from rayat.compare.verdict import HEADLINE, sentence, word
from rayat.ledger.reader import Run, require_reports
from rayat.ledger.status import Status
from rayat.measurement import Values, key, refuse_target


@dataclass(frozen=True)
class Row:
    """One arm's figures; accuracies are fractions, `speed_up` is above 1 where the arm is sooner.

    Attributes:
        arm, is_baseline: which arm.
        config_id, tried, tuned: the configuration that speaks for it, of how many, chosen values.
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
class Comparison:
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
    apart: Mapping[str, tuple[Any, ...]]
    accuracy_source: str
    tested: bool
    headline: str
    notes: tuple[str, ...]
    rows: tuple[Row, ...]

    def groups(self) -> list[tuple[Row, ...]]:
        """Return the rows by what was measured: only those of one group share an axis."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(key(row.measured), []).append(row)
        return [tuple(rows) for rows in found.values()]

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
        StudyError: no arm or more than one matches the baseline; the target is impossible.
    """
    require_reports(run)
    study = run.info["study"]
    if target is not None:
        refuse_target(run.info["metric"], target)
    choices = choose(run)
    name, name_origin = _baseline(run, baseline, choices)
    quality = accuracies(run, suite)
    groups = grouped(run, _firsts(choices), name)
    rows, main = [], None
    for group in groups:
        goal = _target(run, choices[group.baseline or name], target)
        main = main or goal
        rows += _group_rows(run, group, name, choices, goal[0], quality)
    assert main is not None
    return Comparison(
        study=str(study["name"]),
        metric=str(run.info["metric"]),
        protocol=str(study.get("protocol", "honest")),
        target=main[0],
        target_origin=main[1],
        target_fixed=main[2],
        baseline=name,
        baseline_origin=name_origin,
        apart=apart(groups),
        accuracy_source=quality.source,
        tested=quality.tested,
        headline=headline(rows, groups, name),
        notes=tuple(notes(run, rows, quality, groups, main[0])),
        rows=tuple(rows),
    )


def _firsts(choices: Mapping[str, Choice]) -> dict[str, str]:
    return {arm: next(iter(choice.trial_ids.values())) for arm, choice in choices.items()}


def _baseline(run: Run, given: str | None, choices: Mapping[str, Choice]) -> tuple[str, str]:
    """Return the arm compared with; a text may name one arm in each of several measurements."""
    fixed = run.info["study"].get("baseline")
    if given is None and fixed is None:
        return arms(run)[0], "the study's first arm, as none was named"
    origin = "named by the study" if given is None else "named at the comparison"
    text = str(fixed if given is None else given)
    found = match_arms(run, text)
    measured = list(of_trials(run, (_firsts(choices)[arm] for arm in found)).values())
    apart = all(differing(one, other) for at, one in enumerate(measured) for other in measured[:at])
    return (found[0] if apart else match_arm(run, text)), origin


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


def _group_rows(
    run: Run,
    group: Group,
    named: str,
    choices: Mapping[str, Choice],
    target: float | None,
    quality: Accuracies,
) -> list[Row]:
    """Return the rows of arms that were measured alike: compared if one is their baseline."""
    base = choices[group.baseline or named]
    goal = math.inf if target is None else target
    rows = []
    for arm in group.arms:
        theirs = costs(run, base.trial_ids.values(), goal)
        own = costs(run, choices[arm].trial_ids.values(), goal)
        differs: Mapping[str, tuple[Any, Any]] = {}
        if group.baseline is None:
            other = next(iter(of_trials(run, [next(iter(base.trial_ids.values()))]).values()))
            differs = differing(group.measured, other) or {"baseline": ("none", named)}
        elif arm != group.baseline:
            differs = quality.differing(choices[arm].trial_ids, base.trial_ids)
        rows.append(_row(choices[arm], base, group.measured, differs, own, theirs, quality, target))
    return sorted(rows, key=_order)


def _row(
    choice: Choice,
    baseline: Choice,
    measured: Values,
    differs: Mapping[str, tuple[Any, Any]],
    own: list[Cost],
    theirs: list[Cost],
    quality: Accuracies,
    target: float | None,
) -> Row:
    ids, is_baseline = choice.trial_ids, choice.arm == baseline.arm
    pairs = [] if differs else paired(theirs, own)
    alone = is_baseline or bool(differs)
    speeds = {axis: None if alone else speed_up(pairs, axis) for axis in AXES}
    outcomes = _sound(own, ids), _sound(theirs, baseline.trial_ids)
    robust = None if alone else quality.difference(*outcomes)
    everyone = not differs and all(cost.reached for cost in own)
    goal = math.nan if target is None else target
    if is_baseline:
        verdict, text = "baseline", ""
    elif differs:
        verdict = f"no verdict ({against(differs)})"
        text = (
            f"{printable(choice.arm)} is not compared with {printable(baseline.arm)}: they were "
            f"measured differently ({said(differs)})."
        )
    else:
        verdict = word(pairs, speeds[HEADLINE], robust)
        text = sentence(choice.arm, baseline.arm, goal, pairs, speeds, robust) + _accidents(own)
    shown_ids = alike(own, ids)
    return Row(
        arm=choice.arm,
        is_baseline=is_baseline,
        config_id=choice.config_id,
        tried=choice.tried,
        tuned=choice.tuned,
        trial_ids=ids,
        statuses=dict(Counter(cost.status for cost in own)),
        robust={c: MeanSd.of(quality.of(shown_ids, c, "robust").values()) for c in CHECKPOINTS},
        clean={c: MeanSd.of(quality.of(shown_ids, c, "clean").values()) for c in CHECKPOINTS},
        baseline=baseline.arm,
        target=None if differs else target,
        measured=measured,
        differs=differs,
        fates={} if differs else dict(Counter(cost.fate for cost in own)),
        reached=0 if differs else sum(cost.reached for cost in own),
        costs={a: MeanSd.of(c.costs[a] for c in own) if everyone else None for a in AXES},
        speed_up=speeds,
        robust_difference=robust,
        verdict=verdict,
        sentence=text,
    )


def alike(own: Iterable[Cost], trial_ids: Mapping[int, str]) -> dict[int, str]:
    """Return the trials whose accuracies one mean may hold: those that finished.

    Without one, all trials if they share a status; else none. A trial that was cut short has
    accuracies of another kind, which the table shows apart by its status.
    """
    statuses = {cost.seed: cost.status for cost in own}
    if Status.FINISHED not in statuses.values():
        return dict(trial_ids) if len(set(statuses.values())) == 1 else {}
    return {seed: name for seed, name in trial_ids.items() if statuses[seed] is Status.FINISHED}


def _sound(own: Iterable[Cost], trial_ids: Mapping[int, str]) -> dict[int, str]:
    """Return the trials whose robustness is their method's own doing, collapses included.

    Left out: what the policy stopped, what failed or was lost. Leaving out collapses too would
    flatter an arm by its survivors. Trials that still run count as far as they are.
    """
    out = {cost.seed for cost in own if cost.status.is_broken or cost.status is Status.STOPPED}
    return {seed: name for seed, name in trial_ids.items() if seed not in out}


def _accidents(own: list[Cost]) -> str:
    """Return what a reader of a speed-up must hear of its trials, after the verdict."""
    bad = [cost.status for cost in own if cost.status in (Status.DIVERGED, Status.COLLAPSED)]
    counts = [f"{bad.count(status)} {status}" for status in dict.fromkeys(bad)]
    return f" Of its {plural(len(own), 'trial')}, {' and '.join(counts)}." if bad else ""


def _order(row: Row) -> tuple[bool, bool, float]:
    speed = row.speed_up[HEADLINE]
    whole = speed is not None and not speed.bound
    return (not row.is_baseline, not whole, -speed.value if speed is not None else math.inf)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item"):  # a NumPy scalar from a table
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
