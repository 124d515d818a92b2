"""A run's arms against its baseline: who reaches the target at which cost, and how robust."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rayat.compare import export, render
from rayat.compare.accuracy import CHECKPOINTS, Accuracies, MeanSd, accuracies
from rayat.compare.bootstrap import ONCE, Intervals
from rayat.compare.comparison import ArmRow, Figures
from rayat.compare.confirmed import (
    BASELINE,
    answer,
    confirms,
    final_suite,
    label,
    lines,
)
from rayat.compare.intervals import intervals
from rayat.compare.measured import Group, against, differing, grouped, of_trials, said
from rayat.compare.ranking import by_cost
from rayat.compare.select import Choice, arms, choose, match_arm, match_arms, several_arms
from rayat.compare.speedup import (
    AXES,
    Cost,
    costs,
    goal,
    paired,
    speed_up,
)
from rayat.compare.summary import apart, headline, notes
from rayat.compare.text import plural, printable
from rayat.compare.verdict import HEADLINE, sentence, word
from rayat.ledger.reader import Run, require_reports
from rayat.ledger.status import Status
from rayat.measurement import Values, refuse_target


class Comparison(Figures):
    """A comparison that can be printed."""

    def render(self) -> str:
        """Return the comparison as plain text for a terminal."""
        return render.plain(self)

    def markdown(self) -> str:
        """Return the table as Markdown with the target and the notes below it."""
        return render.markdown(self)

    def csv(self) -> str:
        """Return a line for each arm with every figure in full (`export.csv_text`)."""
        return export.csv_text(self)

    def latex(self) -> str:
        """Return a table by booktabs (`export.latex`)."""
        return export.latex(self)


def compare(
    run: Run,
    baseline: str | None = None,
    target: float | None = None,
    suite: str | None = None,
    only: Sequence[str] = (),
) -> Comparison:
    """Compare a run's arms with its baseline.

    Args:
        baseline: `key=value[,key=value]`; the study's, else its first arm, if left out.
        target: value of the study's metric; the study's, else 98 % of the best value of the
            baseline's worst seed, if left out.
        suite: whose test accuracies are shown (`accuracy.accuracies`).
        only: show these arms alone, beside their baselines (`select.several_arms`); default: all.

    Raises:
        LedgerError: the run holds no report.
        StudyError: no arm or more than one matches the baseline; the target is impossible.
    """
    require_reports(run)
    study = run.info["study"]
    if target is not None:
        refuse_target(run.info["metric"], target)
    choices = choose(run, by_cost(run, target))
    name, name_origin = _baseline(run, baseline, choices)
    quality = accuracies(run, suite or final_suite(run))
    by = intervals(run.info)
    groups = grouped(run, _firsts(choices), name)
    rows, main = [], None
    for group in groups:
        found = goal(run, choices[group.baseline or name].trial_ids.values(), target)
        main = main or found
        rows += _group_rows(run, group, name, choices, found[0], quality, by)
    assert main is not None
    everyone, left_out = rows, []
    if only:
        rows, groups = _shown(rows, groups, {name, *several_arms(run, only)})
    if len(rows) < len(everyone):
        left_out = [
            f"Shown are {len(rows)} of the run's {len(everyone)} arms, as asked for: of one that "
            "was picked for its figures these are partly luck."
        ]
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
        asked=quality.asked,
        level=by.level,
        method=by.method,
        headline=answer(run, everyone, main[0])
        if confirms(run.info) and name == label(BASELINE) and target in (None, study.get("target"))
        else headline(
            rows, groups, name, str(run.info["metric"]), quality.asked, by.method == ONCE.method
        ),
        notes=(*left_out, *notes(run, rows, quality, groups, main[0])),
        rows=tuple(rows),
        confirmed=tuple(lines(run, rows)),
    )


def _shown(
    rows: list[ArmRow], groups: list[Group], arms: set[str]
) -> tuple[list[ArmRow], list[Group]]:
    """Return the rows and groups of some arms; a baseline that one is compared with stays."""
    needed = arms | {row.baseline for row in rows if row.arm in arms}
    left = [replace(g, arms=tuple(arm for arm in g.arms if arm in needed)) for g in groups]
    return [row for row in rows if row.arm in needed], [group for group in left if group.arms]


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


def _group_rows(
    run: Run,
    group: Group,
    named: str,
    choices: Mapping[str, Choice],
    target: float | None,
    quality: Accuracies,
    by: Intervals,
) -> list[ArmRow]:
    """Return the rows of arms that were measured alike: compared if one is their baseline."""
    base = choices[group.baseline or named]
    least = math.inf if target is None else target
    theirs = costs(run, base.trial_ids.values(), least)
    rows = []
    for arm in group.arms:
        own = costs(run, choices[arm].trial_ids.values(), least)
        differs: Mapping[str, tuple[Any, Any]] = {}
        if group.baseline is None:
            other = next(iter(of_trials(run, [next(iter(base.trial_ids.values()))]).values()))
            differs = differing(group.measured, other) or {"baseline": ("none", named)}
        elif arm != group.baseline:
            differs = quality.differing(choices[arm].trial_ids, base.trial_ids)
        rows.append(
            _row(choices[arm], base, group.measured, differs, own, theirs, quality, target, by)
        )
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
    by: Intervals,
) -> ArmRow:
    ids, is_baseline = choice.trial_ids, choice.arm == baseline.arm
    pairs = [] if differs else paired(theirs, own)
    alone = is_baseline or bool(differs)
    speeds = {axis: None if alone else speed_up(pairs, axis, by) for axis in AXES}
    outcomes = sound(own, ids), sound(theirs, baseline.trial_ids)
    compared = quality.asked and not alone
    robust = quality.difference(*outcomes, by=by) if compared else None
    everyone = not differs and all(cost.reached for cost in own)
    shown = math.nan if target is None else target
    if is_baseline:
        verdict, text = "baseline", ""
    elif differs:
        verdict = f"no verdict ({against(differs)})"
        text = (
            f"{printable(choice.arm)} is not compared with {printable(baseline.arm)}: they were "
            f"measured differently ({said(differs)})."
        )
    else:
        rest = (by.least, quality.asked)
        verdict = word(pairs, speeds[HEADLINE], robust, *rest)
        text = sentence(choice.arm, baseline.arm, shown, pairs, speeds, robust, *rest)
        text += _accidents(own)
    shown_ids = alike(own, ids)
    return ArmRow(
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


def sound(own: Iterable[Cost], trial_ids: Mapping[int, str]) -> dict[int, str]:
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


def _order(row: ArmRow) -> tuple[bool, bool, float]:
    speed = row.speed_up[HEADLINE]
    whole = speed is not None and not speed.bound
    return (not row.is_baseline, not whole, -speed.value if speed is not None else math.inf)
