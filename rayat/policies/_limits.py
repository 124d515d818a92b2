"""When a trial is past its own peak: the forecast of its reach, patience that knows the schedule,
and catastrophic overfitting. Other trials lend their curves to the forecast; ranks play no part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rayat.collapse import CleanWatch
from rayat.policies._reach import ReachModel
from rayat.policies.base import Decision, TrialView
from rayat.policies.schedule import (
    FEATURES,
    SAME,
    WARM,
    Array,
    Schedule,
    known_rates,
    planned_rates,
    schedule,
)

GRID = 64
"""A training is judged about this often: of longer ones the epochs are averaged in blocks."""
FIRST = 4
"""Blocks measured before a forecast may stop a trial."""
SPAN = 3
"""Blocks ahead over which slopes are taken, and in which the walk's doubt grows to its full."""
GROWTH = np.arange(1, SPAN + 1) / SPAN
"""Share of the walk's variance that counts one, two, ... blocks ahead."""
FALLING = -0.001
"""Robust accuracy per block: a steeper fall with rising clean accuracy is robust overfitting."""
DOUBT = 0.5
"""Standard deviations of a block by which the blocks since the best must lie below it, on mean."""
HOT = 0.2
"""Share of training that patience takes at a rate that is not annealed."""
STEP = 0.954
"""Median absolute difference of two equal normal values, in their standard deviations."""
OVERFITTING = "catastrophic-overfitting"
"""The rule of a stop after two reports in a row that look like it."""


@dataclass(frozen=True)
class Constants:
    """What the user may set: standard deviations added, accuracies as fractions, blocks."""

    kappa: float
    gain: float
    tau: float
    patience: int
    cut_first: bool = False


@dataclass
class Track:
    """One trial so far; `ends` and `robust` have an entry per measured block.

    `path` is the rate at the end of each epoch of an adaptive schedule, its future as if accuracy
    stayed flat; `warned` is the epoch at which a limit first waited for a cut of it, 0 for none.
    """

    trial: TrialView
    row: int
    stride: int
    adaptive: bool
    plan: Schedule | None
    ends: list[int] = field(default_factory=list)
    robust: list[float] = field(default_factory=list)
    block: list[tuple[float, float | None]] = field(default_factory=list)
    path: tuple[float, ...] = ()
    warned: int = 0
    history: list[float] = field(default_factory=list)
    rates: list[float | None] = field(default_factory=list)
    watch: CleanWatch = field(default_factory=CleanWatch)

    @classmethod
    def of(cls, trial: TrialView, row: int) -> Track:
        """Return the track of a trial before its first report."""
        rates = known_rates(trial, (), ())
        adaptive = rates is not None and planned_rates(trial) is None
        stride = max(1, round(trial.epochs / GRID))
        return cls(trial, row, stride, adaptive, None if rates is None else schedule(rates))


class Limits:
    """Judges each trial of a run against itself.

    A trial whose learning-rate schedule is not known is watched for a collapse only: a plateau says
    nothing without knowing whether the rate will still drop.
    """

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self.model = ReachModel()
        self._tracks: dict[str, Track] = {}
        self._live: set[str] = set()
        self._since_fit = 0

    def observe(
        self, trial: TrialView, epoch: int, robust: float, clean: float | None, rate: float | None
    ) -> tuple[bool, Decision | None]:
        """Take one measured report.

        Returns:
            Whether the report is sound (no sign of a collapse), and the stop it calls for, if any.
        """
        track = self._tracks.get(trial.trial_id)
        if track is None:
            track = self._tracks[trial.trial_id] = Track.of(trial, len(self._tracks))
        self._live.add(trial.trial_id)
        if track.adaptive:
            self._follow(track, epoch, robust, rate)
        if track.watch.fell(robust, clean):
            return False, self._collapse(track, epoch, robust, clean)
        track.block.append((robust, clean))
        if track.plan is None or epoch % track.stride:
            return True, None
        self._close_block(track, epoch)
        last = epoch + track.stride > trial.epochs
        decision = None if last else self._judge(track, epoch)
        if last:
            self.ended(trial.trial_id)
        return True, decision

    def ended(self, trial_id: str) -> None:
        """Learn that a trial reports no more; the model is refitted once per live trial."""
        self._live.discard(trial_id)

    def _follow(self, track: Track, epoch: int, robust: float, rate: float | None) -> None:
        """Extend a feedback shape's past; an epoch without accuracy is NaN, as in the training."""
        missing = epoch - len(track.history) - 1
        track.history += [math.nan] * missing + [robust]
        track.rates += [None] * missing + [rate]
        rates = known_rates(track.trial, track.history, track.rates)
        track.plan = None if rates is None else schedule(rates)
        track.path = rates or ()

    def _close_block(self, track: Track, epoch: int) -> None:
        assert track.plan is not None
        cleans = [clean for _, clean in track.block if clean is not None]
        robust = sum(value for value, _ in track.block) / len(track.block)
        clean = sum(cleans) / len(cleans) if cleans else None
        track.block = []
        track.ends.append(epoch)
        track.robust.append(robust)
        self.model.add(track.row, track.plan.phi[epoch - 1], robust, clean)
        self._since_fit += 1
        if self._since_fit >= len(self._live):
            self.model.refit()
            self._since_fit = 0

    def _collapse(
        self, track: Track, epoch: int, robust: float, clean: float | None
    ) -> Decision | None:
        watch = track.watch
        if watch.suspect < 2:
            return None
        return Decision(
            "stop",
            OVERFITTING,
            f"catastrophic overfitting: robust accuracy {percent(robust)} at epoch {epoch} after "
            f"{percent(watch.top)}, for the second time in a row, clean accuracy "
            f"{percent(clean or 0.0)}",
            {"best": watch.top, "value": robust, "clean": clean, "suspect": watch.suspect},
        )

    def _judge(self, track: Track, epoch: int) -> Decision | None:
        if len(track.ends) < FIRST:
            return None
        stop = self._reach(track, epoch) or self._patience(track, epoch)
        if stop is None or not (self.constants.cut_first and track.adaptive):
            return stop
        return self._cut_first(track, epoch, stop)

    def _cut_first(self, track: Track, epoch: int, stop: Decision) -> Decision | None:
        """Return the stop only if no cut of the rate is left to wait for, or one brought nothing.

        The trial's own shape makes the cut, from the trial's own rows: nothing is sent to it.
        """
        best_before = max(
            (r for r, end in zip(track.robust, track.ends, strict=True) if end <= track.warned),
            default=0.0,
        )
        cut = _next_cut(track.path, track.warned or epoch)
        if track.warned and cut is not None and cut <= epoch:
            after = [r for r, end in zip(track.robust, track.ends, strict=True) if end >= cut]
            if len(after) < self.constants.patience:
                return None
            if max(after) <= best_before + self.constants.gain:
                return Decision(
                    "stop",
                    stop.rule,
                    f"{stop.sentence}; the cut of the rate at epoch {cut} brought "
                    f"{percent(max(after))} after {percent(best_before)}",
                    {
                        **stop.evidence,
                        "cut_epoch": cut,
                        "before_cut": best_before,
                        "after_cut": max(after),
                    },
                )
            cut = _next_cut(track.path, epoch)
            track.warned = 0
        if cut is None:
            return stop
        track.warned = track.warned or epoch
        return None

    def _reach(self, track: Track, epoch: int) -> Decision | None:
        assert track.plan is not None
        phi, set_ = track.plan.phi, self.constants
        mean, covariance = self.model.posterior(track.row)
        seen = phi[np.asarray(track.ends) - 1] @ mean[:FEATURES]
        rows = phi[epoch + track.stride - 1 : track.trial.epochs : track.stride]
        spread = covariance[:FEATURES, :FEATURES]
        doubt = np.full(len(rows), set_.tau**2)
        doubt[:SPAN] *= GROWTH[: len(rows)]
        sd = np.sqrt(np.maximum(((rows @ spread) * rows).sum(axis=1), 0.0) + doubt)
        highest = rows @ mean[:FEATURES] + set_.kappa * sd
        best, reach = float(seen.max()), float(highest.max())
        if reach >= best + set_.gain:
            return None
        ahead = min(SPAN, len(rows))
        step = (rows[ahead - 1] - phi[epoch - 1]) / ahead
        robust, robust_se = _slope(step, mean[:FEATURES], spread)
        clean, clean_se = _slope(step, mean[FEATURES:], covariance[FEATURES:, FEATURES:])
        falls = robust < FALLING and clean > 0
        at = track.ends[int(np.argmax(seen))]
        return Decision(
            "stop",
            "robust-overfitting" if falls else "plateau",
            f"{'past its peak' if falls else 'at its plateau'}: robust accuracy can reach "
            f"{percent(reach)} before epoch {track.trial.epochs}, has had {percent(best)} at epoch "
            f"{at}; clean {'still rising' if clean > 0 else 'not rising'}",
            {
                "best": best,
                "best_epoch": at,
                "reach": reach,
                "robust_slope": robust,
                "robust_slope_se": robust_se,
                "clean_slope": clean,
                "clean_slope_se": clean_se,
                "block_epochs": track.stride,
            },
        )

    def _patience(self, track: Track, epoch: int) -> Decision | None:
        assert track.plan is not None
        start = track.plan.phase[epoch - 1]
        if start < 0:
            return None
        first = next(i for i, end in enumerate(track.ends) if end > start)
        at = int(np.argmax(track.robust))
        waited = len(track.ends) - 1 - max(first, at)
        wait = self.constants.patience
        if track.plan.phi[epoch - 1, 4] < WARM:
            # At a hot rate accuracy creeps on for long, and falls for good only once it is cold.
            wait = max(wait, math.ceil(HOT * track.trial.epochs / track.stride))
        if waited < wait:
            return None
        best = track.robust[at]
        recent = sum(track.robust[-waited:]) / waited
        # The highest of noisy values lies above them all: a slow rise has no new best for a while.
        noise = float(np.median(np.abs(np.diff(track.robust[first:])))) / STEP
        if recent > best - DOUBT * noise:
            return None
        return Decision(
            "stop",
            "patience",
            f"no new best for {waited * track.stride} epochs and no change of the learning rate is "
            f"planned: robust accuracy {percent(track.robust[-1])} at epoch {epoch}, best "
            f"{percent(best)} at epoch {track.ends[at]}",
            {
                "best": best,
                "best_epoch": track.ends[at],
                "waited": waited,
                "phase_epoch": start + 1,
                "block_epochs": track.stride,
            },
        )


def _next_cut(path: Sequence[float], epoch: int) -> int | None:
    """Return the first epoch after `epoch` (1-based) with a lower rate than the one before it."""
    for later in range(epoch + 1, len(path) + 1):
        if path[later - 1] < path[later - 2] * (1 - SAME):
            return later
    return None


def _slope(step: Array, mean: Array, spread: Array) -> tuple[float, float]:
    """Return the change along `step` and its standard error."""
    return float(step @ mean), math.sqrt(max(float(step @ spread @ step), 0.0))


def percent(value: float) -> str:
    """Return a fraction as `48.1 %`."""
    return f"{100 * value:.1f} %"
