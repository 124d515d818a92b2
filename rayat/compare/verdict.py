"""What the numbers allow to say, in one word and in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rayat.compare.bootstrap import Estimate
from rayat.compare.speedup import CUT, Cost
from rayat.compare.text import factor, fraction, plural, printable
from rayat.resampling import MIN_PAIRS

HEADLINE = "passes"
"""The axis that decides: exact and repeatable on a noisy machine; seconds stand next to it."""
MARGIN = 0.01
"""Robust accuracy (a fraction) that an arm may lose on average and still count as matched when the
interval shows no loss; docs/papers.md 9.2 uses one point for "as good as"."""
SOONER = "faster, robustness not asked"
"""Sooner at the target in a study that asks for nothing else: no word on how robust it ends."""


def word(
    pairs: Sequence[tuple[Cost, Cost]],
    speed: Estimate | None,
    robust: Estimate | None,
    least: int = MIN_PAIRS,
    asked: bool = True,
) -> str:
    """Return the verdict on an arm.

    Args:
        pairs: trials of baseline and arm by seed.
        speed: speed-up on the headline axis.
        robust: robust accuracy above the baseline's.
        least: pairs without which there is no verdict.
        asked: whether the study asks for it.

    Returns:
        `faster`, `faster but less robust`, `faster, robustness unclear`, `SOONER`, `slower`,
        `no difference shown`, `not reached`, `stopped before the target`, the same two of the
        baseline, or `no verdict (2 seeds)`.
    """
    if len(pairs) < least:
        return f"no verdict ({plural(len(pairs), 'seed')})"
    for who, side in (("", [arm for _, arm in pairs]), ("baseline ", [base for base, _ in pairs])):
        short = [cost.fate for cost in side if not cost.reached]
        if short:
            return who + (CUT if all(fate == CUT for fate in short) else "not reached")
    if speed is None or speed.low is None or speed.high is None:
        return "no verdict (costs not recorded)"
    if speed.high < 1:
        return "slower"
    if speed.low <= 1:
        return "no difference shown"
    if not asked:
        return SOONER
    if robust is None or robust.high is None:
        return "faster, robustness unclear"
    if robust.high < 0:
        return "faster but less robust"
    return "faster" if robust.value >= -MARGIN else "faster, robustness unclear"


def sentence(
    arm: str,
    baseline: str,
    target: float,
    pairs: Sequence[tuple[Cost, Cost]],
    speeds: Mapping[str, Estimate | None],
    robust: Estimate | None,
    least: int = MIN_PAIRS,
    asked: bool = True,
) -> str:
    """Return the verdict with the numbers behind it."""
    verdict = word(pairs, speeds[HEADLINE], robust, least, asked)
    name, other, goal = printable(arm), printable(baseline), fraction(target)
    n, speed, seconds = len(pairs), speeds[HEADLINE], speeds["seconds"]
    reached = sum(cost.reached for _, cost in pairs)
    theirs = sum(cost.reached for cost, _ in pairs)
    if verdict in ("not reached", CUT):
        limit = f"; its speed-up in passes is below {factor(speed.value)}" if speed else ""
        cut = _cut(arm for _, arm in pairs)
        said = f"{name} reached {goal} in {reached} of {plural(n, 'seed')}{cut}{limit}"
    elif verdict in ("baseline not reached", f"baseline {CUT}"):
        limit = f"; its speed-up in passes is above {factor(speed.value)}" if speed else ""
        cut = _cut(baseline for baseline, _ in pairs)
        said = f"{name} reached {goal} in {plural(n, 'seed')}, {other} in {theirs}{cut}{limit}"
    elif speed is None:
        said = f"{name}: {verdict}"
    elif verdict.startswith("no verdict"):
        said = f"{name}: {verdict}, at least {least} are needed; " + (
            f"passes of {other} over its own: {limited(speed)}"
        )
    else:
        verb = "is not shown to reach" if verdict == "no difference shown" else "reaches"
        way = "later" if verdict == "slower" else "sooner"
        said = f"{name} {verb} {goal} {way} than {other}"
        said += f": speed-up {interval(speed)} in passes, {interval(seconds)} in seconds"
        said += f", {plural(n, 'seed')}"
        if verdict != "no difference shown" and _opposed(speed, seconds):
            said += "; in seconds it is the other way round"
    return f"{said}; {_matched(robust, verdict) if asked else 'final robustness was not asked'}."


def limited(estimate: Estimate | None) -> str:
    """Return a speed-up without its interval: `1.82`, `<0.70` or `-`."""
    return factor(None) if estimate is None else estimate.bound + factor(estimate.value)


def interval(estimate: Estimate | None) -> str:
    """Return a speed-up with its interval, where it has one: `1.82 [1.50, 2.20]`."""
    if estimate is None or estimate.low is None:
        return limited(estimate)
    return f"{factor(estimate.value)} [{factor(estimate.low)}, {factor(estimate.high)}]"


def robust_interval(estimate: Estimate | None) -> str:
    """Return a difference of accuracies: `+0.012 [-0.004, +0.028]`."""
    if estimate is None or estimate.low is None:
        return fraction(None if estimate is None else estimate.value, sign=True)
    low, high = fraction(estimate.low, sign=True), fraction(estimate.high, sign=True)
    return f"{fraction(estimate.value, sign=True)} [{low}, {high}]"


def _matched(robust: Estimate | None, verdict: str) -> str:
    if robust is None:
        return "robust accuracy was not compared"
    said = f"robust accuracy differs by {robust_interval(robust)}"
    if verdict == "faster":
        return f"{said}, no loss shown"
    if verdict == "faster but less robust":
        return f"{said}, a loss"
    if verdict == "faster, robustness unclear":
        return f"{said}, too uncertain to call it matched"
    return said


def _cut(side: Iterable[Cost]) -> str:
    """Return how many trials the policy stopped below the target, as a part of a sentence."""
    cut = sum(cost.fate == CUT for cost in side)
    return f", {cut} {CUT} by the policy" if cut else ""


def _opposed(passes: Estimate, seconds: Estimate | None) -> bool:
    if seconds is None or seconds.low is None or seconds.high is None:
        return False
    return seconds.high < 1 if passes.value > 1 else seconds.low > 1
