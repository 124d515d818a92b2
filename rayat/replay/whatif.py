"""What a recorded search would have found with less: cut short, or under another policy."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rayat.compare.comparison import plain
from rayat.compare.ranking import Found, comparable, ranked, ranking
from rayat.compare.speedup import counts_passes
from rayat.compare.table import compare
from rayat.compare.text import count, fraction, percent, plural, printable
from rayat.errors import LedgerError, RayatError, StudyError
from rayat.ledger.reader import Run, require_reports
from rayat.ledger.status import Status
from rayat.policies.question import Question
from rayat.policies.spending import Budget
from rayat.registry import POLICIES
from rayat.replay.curves import Curve, run_curves
from rayat.replay.simulate import simulate

SHIPPED = (
    "median",
    "asha",
    "patience",
    "verdict",
    "hyperband",
    "first-look",
    "accel:none",
    "accel:median",
    "accel:asha",
    "accel:first-look",
)
"""The stopping policies that are replayed; Ray Tune's own are asked for by name (`ray:asha`)."""
CUT = "cut short"
DRAWN = ("random", "grid")
"""Searchers whose proposals do not depend on what trials report."""


@dataclass(frozen=True)
class Less:
    """The search with less than it had.

    Attributes:
        how: `cut short`, or a policy's name. passes, share: of single images, of the recorded ones.
        begun, whole: trials that it would have begun, and trained as far as the record goes.
        arm, config_id: the configuration that would have won; None where none had a value.
        same: whether the whole record's winner is the same configuration.
        known: its mean best value of the metric as it would have been known then.
        verdicts: arms whose verdict would have been the whole record's; None: it has none.
        value, cost: its value and its cost to the target in the whole record; None: not reached in
            every seed.
    """

    how: str
    passes: float
    share: float
    begun: int
    whole: int
    arm: str | None
    config_id: str | None
    same: bool
    known: float | None
    value: float | None
    cost: float | None
    verdicts: int | None


@dataclass(frozen=True)
class WhatIf:
    """What less would have found; `rows` begins with the search cut short.

    Attributes:
        study, metric, target, target_origin: what configurations are ranked by.
        ends: what trials are for, `at-end` or `at-target` (`Question.ends`).
        budget, passes: passes asked for and recorded. trials: of the record.
        verdicts: arms that the whole record compares with the baseline; None: it cannot.
        arm, config_id, value, cost: the whole record's winner.
        at_once: trials that ran at once in the record, and do so in the replay.
        unknown: what no record can tell.
    """

    study: str
    metric: str
    target: float | None
    target_origin: str
    ends: str
    budget: float
    passes: float
    trials: int
    verdicts: int | None
    at_once: int
    arm: str
    config_id: str
    value: float
    cost: float | None
    rows: tuple[Less, ...]
    unknown: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json.dumps(..., allow_nan=False)` takes; null for unknown."""
        tree: dict[str, Any] = plain(asdict(self))
        return tree

    def answer(self) -> str:
        """Return in sentences what the search would have found, cut short at the budget."""
        cut = self.rows[0]
        head = (
            f"Cut after {count(cut.passes)} of {count(self.passes)} passes "
            f"({percent(cut.share)}), the run would have begun {cut.begun} of "
            f"{plural(self.trials, 'trial')}"
        )
        if cut.arm is None:
            return f"{head}, none of which had a value yet."
        if cut.same:
            return f"{head} and found the same best configuration: {printable(cut.arm)}."
        cost = f"{count(cut.cost)} passes to the target against {count(self.cost)}"
        worse = cost if cut.cost and self.cost else "not known to reach the target in every seed"
        return (
            f"{head} and found {printable(cut.arm)} ({cut.config_id}), where the whole run found "
            f"{printable(self.arm)} ({self.config_id}). In the whole record it has "
            f"{fraction(cut.value)} against {fraction(self.value)}; {worse}."
        )


def what_if(
    run: Run,
    budget: float | str = 0.5,
    policies: Sequence[str] = SHIPPED,
    ends: Literal["at-end", "at-target"] | None = None,
) -> WhatIf:
    """Replay a finished run with less: cut after a budget, and under other stopping policies.

    Args:
        budget: a share of the recorded passes in (0, 1], or a number of passes above 1; as a text
            also `50%` or `20 Mpasses`, as in a study.
        policies: replayed on the recorded curves in the recorded order of trials, each to its end.
        ends: what the trials are for; default: what the study says.

    Raises:
        StudyError: a budget that is none. ConfigError: no such policy.
        LedgerError: no reports, or passes that were not recorded.
    """
    require_reports(run)
    counted = counts_passes(run)
    if not counted:
        raise LedgerError(f"{run.folder}: no passes were recorded, so there is no budget to cut")
    built = {name: POLICIES.build(name) for name in policies}
    by = ranking(run)
    goal = math.inf if by.target is None else by.target
    run = asking(run, ends or Question.of(run.info).ends)
    question = replace(Question.of(run.info), target=by.target)
    words = verdicts(run, by.target)
    alike = {each.config_id: each for each in by.order if comparable(each, by.baseline)}
    winner = next(iter(alike.values()))
    reports = _reports(run)
    total = float(reports["paid"].sum())
    limit = passes_of(budget, total)

    curves, at_once = _by_passes(run, reports), _at_once(run.trials)
    # Those that broke before they had a value: no replay holds them, and every verdict counts them.
    held = {curve.view.trial_id for curve in curves}
    lengths = run.trials.set_index("trial_id")["epochs_run"].to_dict()
    unseen = {str(name): int(n) for name, n in lengths.items() if name not in held}

    def less(how: str, epochs: Mapping[str, int], passes: float, end: Status) -> Less:
        left = shortened(run, epochs, end)
        compared = left if how == CUT else shortened(run, {**unseen, **epochs}, end)
        order = [f for f in ranked(left, goal) if f.config_id in alike]
        first: Found | None = order[0] if order else None
        full = alike[first.config_id] if first else None
        whole = run.trials.set_index("trial_id")["epochs_run"]
        return Less(
            how,
            passes,
            passes / total,
            sum(n > 0 for n in epochs.values()),
            sum(n > 0 and n >= whole[name] for name, n in epochs.items()),
            first.arm if first else None,
            first.config_id if first else None,
            first is not None and first.config_id == winner.config_id,
            first.value if first else None,
            full.value if full else None,
            full.cost if full and full.whole else None,
            None
            if words is None
            else len(words.items() & (verdicts(compared, by.target) or {}).items()),
        )

    kept = reports[reports["paid"].cumsum() <= limit * (1 + 1e-9)]
    cut = Counter(map(str, kept["trial_id"]))
    rows = [less(CUT, cut, float(kept["paid"].sum()), Status.INTERRUPTED)]
    for name, policy in built.items():
        outcome = simulate(policy, curves, at_once, 0.0, question=question)
        rows.append(less(name, outcome.epochs, outcome.compute, Status.STOPPED))
    return WhatIf(
        study=str(run.info["study"]["name"]),
        metric=str(run.info["metric"]),
        target=by.target,
        target_origin=by.origin,
        ends=question.ends,
        budget=limit,
        passes=total,
        trials=len(run.trials),
        verdicts=None if words is None else len(words),
        at_once=at_once,
        arm=winner.arm,
        config_id=winner.config_id,
        value=winner.value,
        cost=winner.cost if winner.whole else None,
        rows=tuple(rows),
        unknown=tuple(_unknown(run, len(curves), by.origin)),
    )


def asking(run: Run, ends: str) -> Run:
    """Return a run as if its study had asked for that of its trials (`Question.ends`)."""
    return replace(run, info={**run.info, "study": {**run.info["study"], "ends": ends}})


def verdicts(run: Run, target: float | None) -> dict[str, str] | None:
    """Return the verdict on each arm that has one; None where none has."""
    try:
        rows = compare(run, target=target).rows
    except RayatError:  # arms of several measurements, or a baseline that has no report
        return None
    found = {row.arm: row.verdict for row in rows if not row.is_baseline}
    return {arm: said for arm, said in found.items() if not said.startswith("no verdict")} or None


def passes_of(budget: float | str, total: float) -> float:
    """Return a budget as a number of passes, at most `total`.

    Raises: StudyError: it is no share in (0, 1] and no number of passes, which is 2 at least.
    """
    text = str(budget).strip()
    value = math.nan
    with contextlib.suppress(ValueError):
        value = math.nan if isinstance(budget, bool) else float(text.removesuffix("%"))
    if text.endswith("%"):
        value = value / 100 if value <= 100 else math.nan
    elif math.isnan(value) and not isinstance(budget, bool):
        with contextlib.suppress(StudyError):
            asked = Budget.parse(text)
            value = max(asked.amount, math.nextafter(1, 2)) if asked.what == "passes" else math.nan
    if not value > 0 or not math.isfinite(value) or 1 < value < 2:
        raise StudyError(
            "a budget is a share of the passes such as 0.5 or 50%, or a number of passes such as "
            f"2e6 or '20 Mpasses', got {text!r}"
        )
    return total * value if value <= 1 else min(value, total)


def shortened(run: Run, epochs: Mapping[str, int], end: Status) -> Run:
    """Return a run as if each trial had reported only so many epochs.

    Args:
        epochs: by trial; one that is not named never began.
        end: the status of those that the record goes on with.
    """
    metric = run.info["metric"]
    reports = run.epochs[run.epochs["epoch"].to_numpy() <= _lengths(run.epochs, epochs)]
    valued = reports[np.isfinite(reports[metric].to_numpy(float, na_value=math.nan))]
    best = valued.groupby("trial_id")[metric].max()
    trials = run.trials[_lengths(run.trials, epochs) > 0].copy()
    n = _lengths(trials, epochs)
    trials["best_value"] = [float(best.get(name, math.nan)) for name in trials["trial_id"]]
    trials["status"] = trials["status"].where(n >= trials["epochs_run"].to_numpy(), str(end))
    trials["epochs_run"] = n
    return replace(run, trials=trials, epochs=reports)


def _lengths(table: pd.DataFrame, epochs: Mapping[str, int]) -> NDArray[np.int64]:
    return np.array([epochs.get(str(name), 0) for name in table["trial_id"]], np.int64)


def _reports(run: Run) -> pd.DataFrame:
    """Return the reports in the order in which they came, each with the passes that it cost."""
    reports = run.epochs.sort_values(["trial_id", "epoch"], kind="stable")
    index = run.trials.set_index("trial_id")["trial_index"]
    paid = reports.groupby("trial_id")["passes_cum"].diff().fillna(reports["passes_cum"])
    reports = reports.assign(paid=paid.astype(float), index=reports["trial_id"].map(index))
    known = bool(reports["reported_at"].notna().all())
    order = ["reported_at", "index", "epoch"] if known else ["index", "epoch"]
    # Of one trial the epochs stay in order, whatever a clock said that was set back.
    if known:
        reports["reported_at"] = reports.groupby("trial_id")["reported_at"].cummax()
    return reports.sort_values(order, kind="stable")


def _by_passes(run: Run, reports: pd.DataFrame) -> list[Curve]:
    """Return the run's curves with passes for their cost."""
    paid = {
        str(trial): part.sort_values("epoch")["paid"].to_numpy(float)
        for trial, part in reports.groupby("trial_id")
    }
    return [replace(c, seconds=paid[c.view.trial_id]) for c in run_curves(run)]


def _at_once(trials: pd.DataFrame) -> int:
    """Return how many trials ran at the same time at most; 1 where no times were recorded."""
    times = trials[["started_at", "ended_at"]].dropna()
    steps = [(at, 1) for at in times["started_at"]] + [(at, -1) for at in times["ended_at"]]
    running = most = 0
    for _, step in sorted(steps):  # at one moment an end comes before a start
        running += step
        most = max(most, running)
    return max(1, most)


def _unknown(run: Run, curves: int, origin: str) -> list[str]:
    """Return what no record can tell, in sentences."""
    study, found = run.info["study"], []
    statuses = [Status(status) for status in run.trials["status"]]
    stopped = sum(status is Status.STOPPED for status in statuses)
    if stopped:
        found.append(
            f"{stopped} of {plural(len(statuses), 'trial')} were stopped in the record: their "
            "later epochs do not exist, so a policy that would have gone on with them is shown "
            "too cheap, and what they would have reached is not known."
        )
    going = sum(not status.is_final for status in statuses)
    if going:
        found.append(f"{plural(going, 'trial')} had no end yet when this was read.")
    searcher = (study.get("search") or {}).get("name", "random")
    if searcher not in DRAWN:
        found.append(
            f"Its configurations were proposed by {searcher} from what trials had reported: with "
            "trials stopped earlier it would have proposed others, which nobody has trained."
        )
    if len(run.trials) > curves:
        left = len(run.trials) - curves
        found.append(f"{plural(left, 'trial')} without a value cost nothing in the replays.")
    if not origin.startswith("fixed"):
        found.append(
            "The target comes from the whole record; with less of it, it would have been another."
        )
    found.append(
        "This is one run in one order: which configuration wins is partly luck, and the same "
        "search with another seed may say otherwise."
    )
    return found
