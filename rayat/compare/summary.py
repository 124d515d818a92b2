"""A comparison in sentences: the headline, and what must be known before relying on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from rayat.columns import SHARED_FROM
from rayat.compare import intervals
from rayat.compare.accuracy import Accuracies, measured_on
from rayat.compare.answer import answer
from rayat.compare.comparison import ArmRow
from rayat.compare.confirmed import confirms, level
from rayat.compare.measured import Group, differing, shown
from rayat.compare.speedup import CUT
from rayat.compare.text import percent, plural, printable
from rayat.errors import quoted
from rayat.evaluation.masking import said, signs
from rayat.ledger.merging import merged
from rayat.ledger.reader import Run
from rayat.ledger.status import Status
from rayat.measurement import too_easy
from rayat.policies.host import BUDGET
from rayat.policies.spending import NEVER_BUDGET
from rayat.resampling import LEVEL
from rayat.search.axes import SEARCHED, control


def apart(groups: Sequence[Group]) -> dict[str, tuple[Any, ...]]:
    """Return the settings in which groups differ, with each group's value."""
    names = {name for group in groups for name in differing(groups[0].measured, group.measured)}
    order = [name for group in groups for name in group.measured if name in names]
    return {n: tuple(group.measured.get(n) for group in groups) for n in dict.fromkeys(order)}


def headline(
    rows: Sequence[ArmRow],
    groups: Sequence[Group],
    named: str,
    metric: str,
    asked: bool = True,
    fixed: bool = True,
) -> str:
    """Return what may be said: of each group that was measured alike, its answer.

    Args:
        named: the baseline. metric, asked, fixed: see `answer`.
    """
    rest = (metric, asked, fixed)
    if len(groups) == 1:
        return answer(rows, named, *rest)
    split = apart(groups)
    parts = []
    for at, group in enumerate(groups):
        own = [row for row in rows if row.arm in group.arms]
        where = ", ".join(f"{printable(k)} {shown(v[at])}" for k, v in split.items())
        parts.append(f"At {where}: {answer(own, group.baseline or named, *rest)}")
    head = (
        f"Arms were measured differently ({', '.join(printable(k) for k in split)}) and are "
        "compared only among those measured alike."
    )
    return " ".join([head, *parts])


def notes(
    run: Run,
    rows: Sequence[ArmRow],
    quality: Accuracies,
    groups: Sequence[Group],
    target: float | None,
) -> list[str]:
    """Return what a reader must know before relying on the table."""
    study, found = run.info["study"], []
    found += _too_easy(run, target)
    if len(groups) > 1:
        found.append(
            f"Evaluations differ in {', '.join(printable(k) for k in apart(groups))}: accuracies "
            "of different groups measure different things. `eval.eps` gives all arms one radius."
        )
    if not quality.asked:
        found.append(
            'The study asks for the cost to its target alone (ends="at-target"): trials may end '
            "there, and nothing is said of how robust they would have become."
        )
    statuses = [Status(status) for status in run.trials["status"]]
    imported = run.info.get("imported")
    if imported:
        found.append(
            f"Imported ({imported['from']}): accuracies were measured on "
            f"{measured_on(imported)}, and an arm's best epoch was chosen by the same figures, "
            "which flatters it; costs are as recorded."
        )
    elif study.get("protocol") == "as-published":
        found.append("Protocol as-published: decisions may have seen the test set.")
    parts = merged(run.info)
    if parts:
        each = ", ".join(f"{printable(part['run'])} ({len(part['trials'])})" for part in parts)
        found.append(
            f"Merged from {each}, in brackets the trials; each run was judged by its own policy."
        )
        if apart_ := run.info["origin"].get("machines"):
            found.append(
                f"Seconds are of different machines or versions ({printable(apart_)}) and are not "
                "comparable between them; passes are."
            )
    together = run.info.get("beside") or {}
    if together:
        each = "; ".join(f"{printable(k)} ({printable(v)})" for k, v in together["runs"].items())
        found.append(f"Runs side by side: {each}. Each was judged by its own policy alone.")
    if together.get("machines"):
        found.append(
            f"Seconds are of different machines or versions ({printable(together['machines'])}) "
            "and are not comparable between the runs; passes are."
        )
    for extension in run.info.get("extensions") or ():
        if extension.get("note"):
            found.append(f"Extended on {extension['time'][:10]}: {extension['note']}.")
    found += intervals.notes(run.info)
    taken = 0 if SHARED_FROM not in run.epochs else int(run.epochs[SHARED_FROM].notna().sum())
    if taken:
        found.append(
            f"Of {len(run.epochs):,} epochs {len(run.epochs) - taken:,} were trained, the others "
            "with another trial that was the same until then; costs are those of a trial alone."
        )
    going = sum(not status.is_final for status in statuses)
    if going:
        found.append(f"The run is not over: {going} of {len(statuses)} trials have no end yet.")
    ends = Counter(statuses)
    broken = [f"{ends[s]} {s}" for s in Status if s.is_broken and ends[s]]
    if broken:
        n = sum(status.is_broken for status in statuses)
        found.append(
            f"{plural(n, 'trial')} broke ({', '.join(broken)}): without the target, in no pair; "
            "their accuracies are in no mean."
        )
    among = sum(row.statuses.get(Status.STOPPED, 0) for row in rows)
    spent = _spent(run)
    if ends[Status.STOPPED] > spent:
        found.append(
            f"The policy stopped {plural(ends[Status.STOPPED] - spent, 'trial')} of the run's "
            f"{len(statuses)} early, {among} of them compared above: without the target such a "
            f"trial counts as {CUT}, and its accuracy is in no mean with finished ones."
        )
    if spent:
        found.append(
            f"The spent budget ended {plural(spent, 'trial')} of the run's {len(statuses)}, those "
            "that never began included."
        )
    for row in rows if quality.asked else ():
        mixed = [s for s in row.statuses if s.is_final and s is not Status.FINISHED]
        if len(row.statuses) > 1 and Status.FINISHED in row.statuses and mixed:
            found.append(
                f"{printable(row.arm)}: means hold its {row.statuses[Status.FINISHED]} finished of "
                f"{plural(len(row.trial_ids), 'trial')}, apart from "
                f"{' and '.join(f'{row.statuses[name]} {name}' for name in mixed)}."
            )
    found += _masked(run, rows)
    tried = sorted({row.tried for row in rows})
    if tried[-1] > 1:
        alike = len(tried) == 1
        many = str(tried[0]) if alike else f"{tried[0]} to {tried[-1]}"
        flattered = (
            "slightly optimistic for all"
            if alike
            else "optimistic, and the more so the more an arm had"
        )
        cost = run.info["study"].get("objective") == "cost" and target is not None
        by = "cost to the target" if cost else f"mean best {run.info['metric']} over the same seeds"
        found.append(
            f"Each arm is represented by the best of its {many} configurations, chosen by the "
            f"{by}: {flattered}."
        )
        found += [
            f"{printable(row.arm)} is {row.config_id}: {_settings(row)}."
            for row in rows
            if row.tuned
        ]
        if any(row.arm == control(SEARCHED) for row in rows):
            place = quoted(run.folder)
            found.append(
                f"This is a search: `rayat best {place}` ranks its configurations, and `rayat "
                f"confirm {place}` trains the best on fresh seeds."
            )
    if not quality.tested and not imported and quality.asked:
        found.append(
            "No test evaluation is recorded: accuracies are those of the validation split that "
            "chose the best epoch, which flatters them."
        )
    compared = sum(_has_interval(row) for row in rows)
    if confirms(run.info):
        several = len(confirms(run.info)) - 1
        found.append(
            f"Fresh seeds, no early stopping: one comparison, its intervals at {percent(LEVEL)}."
            if several == 1
            else f"Fresh seeds, no early stopping: the intervals hold for all {several} "
            f"comparisons together (Bonferroni: each at {percent(level(run.info))})."
        )
    elif compared > 2:
        found.append(
            f"{compared} arms are compared with a baseline: each interval is for one "
            "comparison, not corrected for their number."
        )
    return found


def _spent(run: Run) -> int:
    """Return how many trials ended because the search's budget was spent."""
    if "budget" not in run.info["study"]:
        return 0
    last = run.decisions.sort_values("position").groupby("trial_id")["rule"].last()
    stopped = run.trials[run.trials["status"] == Status.STOPPED]
    # One that never began was judged by nobody: it has a reason, and no decision.
    unbegun = stopped["stop_reason"].astype(str).str.startswith(NEVER_BUDGET)
    return int(((stopped["trial_id"].map(last) == BUDGET) | unbegun).sum())


def _settings(row: ArmRow) -> str:
    """Return what was chosen for an arm: `lr.peak=0.1, attack=fgsm-rs(eps=0.1)`."""
    return printable(", ".join(f"{key}={shown(value)}" for key, value in row.tuned.items()))


def _has_interval(row: ArmRow) -> bool:
    """Return whether any figure of the row's comparison is shown with an interval."""
    figures = (*row.speed_up.values(), row.robust_difference)
    return any(figure is not None and figure.low is not None for figure in figures)


def _masked(run: Run, rows: Sequence[ArmRow]) -> list[str]:
    """Return a sentence for each arm and sign of a robust accuracy that is too high."""
    tests, found = run.evals[run.evals["split"] == "test"], []
    for row in rows:
        own = tests[tests["trial_id"].isin(list(row.trial_ids.values()))]
        seen: dict[str, tuple[str, set[str]]] = {}
        for record in own.to_dict("records"):
            each = {str(key): value for key, value in record.items()}
            for name, sentence in zip(signs(each), said(each), strict=True):
                text = f"{each['suite']} at {each['eps']:g} on {each['checkpoint']}: {sentence}"
                seen.setdefault(name, (text, set()))[1].add(str(each["trial_id"]))
        found += [
            f"{printable(row.arm)}: robust accuracy may be too high, as "
            f"{plural(len(trials), 'trial')} gave a warning; the first is {printable(text)}."
            for text, trials in seen.values()
        ]
    return found


def _too_easy(run: Run, target: float | None) -> list[str]:
    """Return a note where a network that says one class for every image may reach the target."""
    data = [d for d in run.info.get("data") or () if d.get("classes") and d.get("val")]
    sizes = run.trials.get("cfg.eval.size", pd.Series(dtype=float)).dropna()
    measured = [(int(d["classes"]), int(min([*sizes, d["val"]]))) for d in data]
    said_ = too_easy(str(run.info["metric"]), target, measured)
    return [said_] if said_ else []
