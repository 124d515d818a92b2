"""The answer of a comparison in plain words: what to train with, or what would decide it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from rayat.compare.bootstrap import Estimate, stretch
from rayat.compare.comparison import ArmRow
from rayat.compare.confirmed import chosen
from rayat.compare.speedup import CUT
from rayat.compare.text import fraction, plural, printable
from rayat.compare.verdict import HEADLINE, MARGIN, SOONER, interval, robust_interval
from rayat.resampling import MIN_PAIRS

METRICS = {
    "val_robust_acc": "robust accuracy on validation",
    "val_clean_acc": "clean accuracy on validation",
}
COSTS = {
    "faster": ", and is sooner too",
    "slower": ", and is slower",
    "no difference shown": ", and is not shown to be sooner",
    "not reached": ", and missed the target in some seed",
    "baseline not reached": ", and reached the target in every seed, as the baseline did not",
    CUT: ", and was stopped before the target in some seed",
}
"""What is added of the cost of an arm that ends more robust."""
MOST_SEEDS = 50
"""Of an estimate: so many seeds nobody trains, and so far no few seeds can see."""
MOST_NAMED = 3
"""Further arms that are named."""


def answer(
    rows: Sequence[ArmRow], baseline: str, metric: str, asked: bool = True, fixed: bool = True
) -> str:
    """Return the answer of arms that were measured alike.

    Args:
        rows: the arms, the baseline among them.
        asked: whether the study asks for final robustness.
        fixed: whether the number of seeds is: then it can be told how many would decide.
    """
    others = [row for row in rows if not row.is_baseline]
    if not others:
        return f"{name(baseline)} is the only arm: there is nothing to compare it with."
    if all(row.differs for row in others):
        return " ".join(row.sentence for row in others)
    target = next(row.target for row in others if not row.differs)
    goal = "the target" if target is None else f"{fraction(target)} {METRICS.get(metric, metric)}"
    best = chosen(others, ("faster", SOONER))
    said = (
        _train_with(best, others, goal, asked)
        if best is not None
        else _undecided(others, baseline, goal, asked, fixed)
    )
    cut = sum(row.fates.get(CUT, 0) for row in rows)
    among = plural(sum(len(row.trial_ids) for row in rows), "trial")
    first = f"Of the {among} compared, the policy stopped {cut} before the target. " if cut else ""
    return first + said


def name(arm: str) -> str:
    """Return an arm as one speaks of it: one that a study names goes by that name."""
    return printable(arm.removeprefix("arm="))


def seeds_to_decide(estimate: Estimate | None, ratio: bool = True) -> int | None:
    """Return about how many pairs of seeds would show a difference that has an interval now.

    It takes the estimate and the spread of these few seeds for the truth: a size to plan with.

    Args:
        estimate: of a ratio, which no difference would make 1, or of a difference (0).

    Returns:
        At most `MOST_SEEDS`; None where more would be needed, where there is no interval, or where
        it shows a difference already.
    """
    if estimate is None or estimate.low is None or estimate.high is None:
        return None
    low, value, high = (
        (math.log(x) if ratio else x) for x in (estimate.low, estimate.value, estimate.high)
    )
    half, n = (value - low if value > 0 else high - value), estimate.pairs
    if half < abs(value):
        return None
    for more in range(n + 1, MOST_SEEDS + 1):
        if half * stretch(more) / stretch(n) * math.sqrt(n / more) < abs(value):
            return more
    return None


def _train_with(best: ArmRow, others: Sequence[ArmRow], goal: str, asked: bool) -> str:
    said = (
        f"Train with {name(best.arm)}: it reaches {goal} {interval(best.speed_up[HEADLINE])} times "
        f"sooner than {name(best.baseline)} in passes, {plural(len(best.trial_ids), 'seed')}; "
        f"{_at_the_end(best.robust_difference, asked)}."
    )
    also = [row.arm for row in others if row.verdict in ("faster", SOONER) and row is not best]
    if also:
        shown = ", ".join(map(name, also[:MOST_NAMED]))
        rest = f" and {len(also) - MOST_NAMED} more" if len(also) > MOST_NAMED else ""
        said += f" Also sooner: {shown}{rest}."
    return said + _stronger([row for row in others if row is not best])


def _at_the_end(robust: Estimate | None, asked: bool) -> str:
    """Return how robust the arm ends."""
    if not asked:
        return "final robustness was not asked"
    if robust is None:
        return "robust accuracy was not compared"
    if robust.low is not None and robust.low > 0:
        return f"it ends more robust, by {robust_interval(robust)}"
    return f"no loss of robust accuracy is shown, {robust_interval(robust)}"


def _stronger(others: Sequence[ArmRow]) -> str:
    """Return which arm is shown to end more robust, if any is, whatever its cost."""
    found = [
        (row.robust_difference, row)
        for row in others
        if (each := row.robust_difference) is not None and each.low is not None and each.low > 0
    ]
    if not found:
        return ""
    gain, row = max(found, key=lambda each: each[0].value if each[0] else 0)
    return (
        f" {name(row.arm)} ends more robust than {name(row.baseline)}, by "
        f"{robust_interval(gain)}{COSTS.get(row.verdict, '')}."
    )


def _undecided(others: Sequence[ArmRow], baseline: str, goal: str, asked: bool, fixed: bool) -> str:
    counts = Counter(row.verdict for row in others)
    each = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    matched = " at matched robustness" if asked else ""
    said = f"No arm is shown to reach {goal} sooner than {name(baseline)}{matched} ({each})."
    return said + _what_would(others, fixed) + _stronger(others)


def _what_would(others: Sequence[ArmRow], fixed: bool) -> str:
    """Return what would decide about the arm that promises most, as a sentence; "" if nothing."""
    few = [row for row in others if row.verdict.startswith("no verdict (") and not row.differs]
    if few and all(not row.verdict.startswith("no verdict (costs") for row in few):
        return f" Not decided: a verdict takes {MIN_PAIRS} seeds of both."
    if any(row.verdict.startswith("baseline ") for row in others):
        return (
            " Not decided: the baseline itself missed the target; a lower one, or more epochs, "
            "would decide it."
        )
    unclear = [row for row in others if row.verdict == "faster, robustness unclear"]
    may = [
        row
        for row in others
        if row.verdict == "no difference shown"
        and (speed := row.speed_up[HEADLINE]) is not None
        and speed.value > 1
    ]
    for rows, ratio in ((unclear, False), (may, True)):
        if rows:
            row = max(rows, key=lambda each: each.speed_up[HEADLINE].value)  # type: ignore[union-attr]
            figure = row.speed_up[HEADLINE] if ratio else row.robust_difference
            what = "sooner" if ratio else "less robust"
            return f" Not decided: {_promise(row)}{_seeds(figure, ratio, what) if fixed else ''}."
    if any(row.verdict == CUT for row in others):
        return (
            " Not decided: what the policy stopped might have got there; --policy verdict stops "
            "nothing that a verdict needs."
        )
    return ""


def _promise(row: ArmRow) -> str:
    times = f"{interval(row.speed_up[HEADLINE])} times sooner"
    if row.verdict != "faster, robustness unclear":
        return f"{name(row.arm)} may be {times}"
    return (
        f"{name(row.arm)} is {times} and may have lost robust accuracy, "
        f"{robust_interval(row.robust_difference)} (a mean loss above {MARGIN:g} is no match)"
    )


def _seeds(figure: Estimate | None, ratio: bool, what: str) -> str:
    if figure is None or figure.low is None:
        return ""
    n = seeds_to_decide(figure, ratio)
    if n is None:
        return f"; even {MOST_SEEDS} seeds that spread as these do would not show that it is {what}"
    return f"; about {n} seeds in all would show that it is {what}, if they spread as these do"
