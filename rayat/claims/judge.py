"""Verdicts on claims. Without its controls a claim has none, whatever its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rayat.claims.claim import Claim, Reading
from rayat.claims.measure import NEVER, Figure, Measured
from rayat.compare.accuracy import MeanSd
from rayat.compare.speedup import costs
from rayat.compare.text import factor, fraction, printable
from rayat.compare.verdict import interval, robust_interval
from rayat.ledger.reader import Run

HELD, REFUTED, OPEN, UNRUN = "held", "did not hold", "not shown", "not measured"
WORDS = (HELD, REFUTED, OPEN, UNRUN)
"""All verdicts there are; the last with what was not run."""


@dataclass(frozen=True)
class Judged:
    """A claim with what a run says of it.

    Attributes:
        faithful: None where the claim has no such reading, or nothing may be said.
        honest, also, premises: empty where nothing may be said.
        passes, seconds: of a whole training of the claim's arm and of its honest control, with
            validation and without the final test.
        verdict: one of `WORDS`. missing: why it is `UNRUN`. why: a sentence with the figures.
    """

    claim: Claim
    faithful: Figure | None
    honest: Figure | None
    also: tuple[Figure, ...]
    premises: tuple[Figure, ...]
    passes: tuple[MeanSd | None, MeanSd | None]
    seconds: tuple[MeanSd | None, MeanSd | None]
    verdict: str
    missing: str
    why: str

    @property
    def difference(self) -> float | None:
        """Return the honest figure minus the published one; None where one is not known."""
        found = None if self.honest is None else self.honest.estimate
        if found is None or found.bound or self.claim.published.value is None:
            return None
        return found.value - self.claim.published.value

    @property
    def said(self) -> str:
        """Return the verdict as the table has it: with its reason where there is none."""
        return f"{self.verdict}: {self.missing}" if self.missing else self.verdict


def judge(run: Run, claims: Sequence[Claim]) -> tuple[Measured, list[Judged]]:
    """Return what a run allows to say of claims.

    Raises:
        LedgerError: it holds no report. StudyError: its arms have no names.
    """
    measured = Measured.of(run)
    return measured, [_judged(measured, claim) for claim in claims]


def _judged(measured: Measured, claim: Claim) -> Judged:
    sides = (claim.honest.arm, claim.honest.control)
    passes, seconds = (_costs(measured, sides, axis) for axis in ("passes", "seconds"))
    missing = unrun(measured, claim)
    if missing:
        why = f"{claim.says}: {UNRUN}, {missing}."
        return Judged(claim, None, None, (), (), passes, seconds, UNRUN, missing, why)
    faithful = None if claim.faithful is None else measured.figure(claim.faithful)
    honest = measured.figure(claim.honest)
    also = tuple(measured.figure(reading) for reading in claim.also)
    premises = tuple(measured.figure(reading) for reading in claim.premises)
    words = [word(figure) for figure in (honest, *also)]
    verdict = REFUTED if REFUTED in words else OPEN if OPEN in words else HELD
    without = [figure for figure in premises if word(figure) != HELD]
    if without:
        verdict = OPEN
    parts = [
        *(f"its premise does not hold, {said(figure)}" for figure in without),
        *([f"as published {said(faithful)}"] if faithful else []),
        *(said(figure) for figure in (honest, *also)),
        *([claim.fails] if claim.fails and verdict == REFUTED else []),
    ]
    why = f"{claim.says}: {verdict}; {'; '.join(parts)}."
    return Judged(claim, faithful, honest, also, premises, passes, seconds, verdict, "", why)


def unrun(measured: Measured, claim: Claim) -> str:
    """Return why a claim cannot be judged: an arm of it has not run; empty where all have.

    An arm has run in the seeds that trained to an end of their own; of these all arms of the claim
    must share as many as an interval needs.
    """
    shared: set[int] | None = None
    for arm in claim.needed:
        what = f"its control {printable(arm)}" if claim.is_control(arm) else printable(arm)
        if arm not in measured.trials:
            return f"{what} was not run"
        seeds = measured.seeds(arm)
        if len(seeds) < measured.by.least:
            return (
                f"{what} has run in {len(seeds)} of the {measured.by.least} seeds that an interval "
                "needs"
            )
        shared = seeds if shared is None else shared & seeds
        if len(shared) < measured.by.least:
            return f"{what} shares {len(shared)} seeds with the others, too few for an interval"
    return ""


def word(figure: Figure) -> str:
    """Return what one figure says of its reading: held, did not hold, or not shown."""
    reading, found = figure.reading, figure.estimate
    if figure.broke:
        return REFUTED
    if found is None:
        return OPEN
    if found.bound == ">":  # the control never got there: the truth lies above
        above = reading.least is None or found.value >= reading.least
        return HELD if above and reading.most is None else OPEN
    if found.low is None or found.high is None:
        return OPEN
    least = -float("inf") if reading.least is None else reading.least
    most = float("inf") if reading.most is None else reading.most
    if found.low >= least and found.high <= most:
        return HELD
    return REFUTED if found.high < least or found.low > most else OPEN


def said(figure: Figure) -> str:
    """Return a figure in words, such as `3.31 [3.20, 3.42] in passes of pgd-10 over sdi`."""
    reading = figure.reading
    arm, control = printable(reading.arm), printable(reading.control)
    if reading.quantity == "robust":
        of = f"robust accuracy of {arm} minus {control}'s"
        of += " on the images that chose the checkpoint" if reading.chosen_by == "itself" else ""
        of += " at the last epoch" if reading.checkpoint == "last" else ""
    elif reading.quantity == "sooner":
        of = f"passes of {control} to the target over {arm}'s"
    else:
        what = reading.counted.replace("_", " ")
        of = f"{what} of {control} over {arm}'s"
    why = f" ({figure.why})" if figure.why else ""
    return f"{shown(figure)} {of}, {asked(reading)}{why}"


def asked(reading: Reading) -> str:
    """Return the range that a reading asks for: `at least 1.20`."""
    unit = _unit(reading)
    if reading.least is not None and reading.most is not None:
        return f"asked {unit(reading.least)} to {unit(reading.most)}"
    if reading.least is not None:
        return f"asked {unit(reading.least)} at least"
    assert reading.most is not None
    return f"asked {unit(reading.most)} at most"


def shown(figure: Figure | None) -> str:
    """Return a figure with its interval, `-` without one."""
    if figure is None:
        return "-"
    kind = robust_interval if figure.reading.quantity == "robust" else interval
    return kind(figure.estimate)


def _unit(reading: Reading) -> Callable[[float | None], str]:
    if reading.quantity == "robust":
        return lambda value: fraction(value, sign=True)
    return factor


def _costs(
    measured: Measured, sides: tuple[str, str], axis: str
) -> tuple[MeanSd | None, MeanSd | None]:
    return _cost(measured, sides[0], axis), _cost(measured, sides[1], axis)


def _cost(measured: Measured, arm: str, axis: str) -> MeanSd | None:
    """Return what whole trainings of an arm cost; None where it has none that finished."""
    if arm not in measured.trials:
        return None
    never = costs(measured.run, measured.trials[arm].values(), NEVER)
    return MeanSd.of(cost.costs[axis] for cost in never if cost.status == "finished")
