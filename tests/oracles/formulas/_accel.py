"""The limits of `accel`, as docs/methods/policy-accel.md has them; there is no paper.

One Gaussian model for all trials, by the textbook: a trial's coefficients are conditioned on its
own reports through the gain, one after another trial, and the prior's mean, spread and noise are
moved by one step of MAP-EM.
"""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import fmean, median
from typing import Any

import numpy as np
from formulas._evidence import Evidence
from formulas._peers import Answer, Rule, Trial, Value
from formulas.shapes import accelat

MEAN = np.array(
    [
        [0.10, 0.12, 0.10, 0.05, 0.04, 0.01, -0.03, 0.0],
        [0.15, 0.20, 0.15, 0.10, 0.05, 0.02, 0.02, 0],
    ]
).ravel()
SD = np.array(
    [
        [0.03, 0.08, 0.08, 0.06, 0.025, 0.015, 0.08, 0.05],
        [0.05, 0.15, 0.15, 0.10, 0.04, 0.025, 0.08, 0.05],
    ]
).ravel()
NOISE = [0.01, 0.015]
WORTH = np.array(([300.0] + [3.0] * 7) * 2)
"""Trials that the prior's mean is worth; its spread is worth 12, its noise 40 reports."""


def coordinates(rates: list[float]) -> np.ndarray:
    """Each epoch by its rates so far: level, three gains, annealed, decades, cold, drift."""
    top, n, rows = max(rates) or 1.0, len(rates), []
    area = cold = peak = 0.0
    for epoch, rate in enumerate(rates, 1):
        m = max(rate / top, 1e-12)
        peak, area = max(peak, m), area + m / n
        annealed = 1 - m / peak
        cold += max(0.0, (annealed - 0.6) / 0.4) / n
        decades = min(1.0, math.log10(peak / m) / 2)
        gains = [1 - math.exp(-area / a) for a in (0.03, 0.12, 0.5)]
        rows.append([1.0, *gains, annealed, decades, cold, epoch / n])
    return np.array(rows)


def settled(rates: list[float], epoch: int) -> int | None:
    """The first epoch (1-based) since which no change of the rate by 2 has been ahead.

    A fall counts while the rate is above a hundredth of its peak; None: a change is still ahead.
    """
    top, since = max(rates), None
    for e in range(1, epoch + 1):
        m, later = rates[e - 1] / top, [rate / top for rate in rates[e:]]
        cold = 0.01 * max(rates[:e]) / top
        falls = bool(later) and m >= cold and min(later) * 2 <= m
        rises = bool(later) and max(later) >= 2 * max(m, cold)
        since = None if falls or rises else since or e
    return since


class Model:
    """Robust and clean accuracy of every trial, linear in the coordinates."""

    def __init__(self) -> None:
        self.mean, self.spread = MEAN.copy(), np.diag(SD**2)
        self.noise = [s * s for s in NOISE]
        self.reports: dict[int, list[tuple[np.ndarray, float, int]]] = {}
        self.rows = 0

    def add(self, row: int, phi: np.ndarray, robust: float, clean: float | None) -> None:
        self.rows = max(self.rows, row + 1)
        for which, value in enumerate((robust, clean)):
            if value is not None:
                wide = np.zeros(16)
                wide[8 * which : 8 * which + 8] = phi
                self.reports.setdefault(row, []).append((wide, value, which))

    def posterior(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Condition on one report after another."""
        mean, spread = self.mean.copy(), self.spread.copy()
        for wide, value, which in self.reports.get(row, []):
            gain = spread @ wide / (wide @ spread @ wide + self.noise[which])
            mean = mean + gain * (value - wide @ mean)
            spread = spread - np.outer(gain, wide @ spread)
        return mean, spread

    def refit(self) -> None:
        posts = [self.posterior(row) for row in range(self.rows)]
        mean = (WORTH * MEAN + sum(m for m, _ in posts)) / (WORTH + self.rows)
        total = 12 * np.diag(SD**2) + sum(v + np.outer(m - mean, m - mean) for m, v in posts)
        shift = np.sqrt(WORTH) * (mean - MEAN)
        error, count = [40 * s * s for s in NOISE], [40, 40]
        for row, reports in self.reports.items():
            m, v = posts[row]
            for wide, value, which in reports:
                error[which] += (value - wide @ m) ** 2 + wide @ v @ wide
                count[which] += 1
        self.noise = [e / c for e, c in zip(error, count, strict=True)]
        self.mean, self.spread = mean, (total + np.outer(shift, shift)) / (12 + self.rows)


class Accel(Rule):
    """Limits judge a trial against itself, then a filter compares it."""

    def __init__(
        self, trials: list[Trial], filter: Any = None, patience: int | None = None,
        kappa: float = 1.3, gain: float = 0.003, tau: float = 0.006, cut_first: bool = False,
        keep_best: bool = False,
    ) -> None:  # fmt: skip
        self.filter, self.kappa, self.gain, self.tau = filter, kappa, gain, tau
        self.cut_first, self.keep_best = cut_first, keep_best
        self.bests: dict[int, dict[int, float]] = {}
        self.patience = patience or (5 if filter else 3)
        self.model, self.tracks, self.live, self.since = Model(), {}, set(), 0
        self.seen: dict[int, dict[int, tuple[Fraction, float]]] = {}
        self.trials = {trial["id"]: trial for trial in trials}
        self.near = math.inf
        """How close a decision ever was to the other one, in accuracy: vectors must not be."""

    def report(self, trial: Trial, epoch: int, value: Value, row: dict[str, Any]) -> Answer:
        stop = None
        if value is not None:
            if trial.get("accelat"):
                trial = self.followed(trial, epoch, value, row["lr"])
            sound, stop = self.limit(trial, epoch, float(value), row.get("clean"))
            if not sound and stop is None:
                return None
            if self.leads(trial, float(value), stop):
                stop = None
        if stop is not None:
            self.lost(trial)
        if self.filter is None:
            return stop
        # Asked in any case: the values of a trial that a limit stops are bars for later ones.
        answer = self.filter.report(trial, epoch, value, row)
        if answer is not None and answer[0] == "stop":
            self.live.discard(trial["id"])
        if isinstance(self.filter, Evidence):
            self.near = min(self.near, self.filter.near)
            if stop is not None and stop[1] != "catastrophic-overfitting":
                self.filter.peaked(trial)
        return stop or answer

    def leads(self, trial: Trial, value: float, stop: Answer) -> bool:
        bests = self.bests.setdefault(trial["group"], {})
        bests[trial["id"]] = max(value, bests.get(trial["id"], value))
        others = [best for name, best in bests.items() if name != trial["id"]]
        if not (self.keep_best and stop and others) or stop[1] == "catastrophic-overfitting":
            return False
        margin = bests[trial["id"]] + self.gain - max(others)
        if abs(margin) > 1e-9:  # accuracies may lie exactly `gain` apart, which counts as within
            self.near = min(self.near, abs(margin))
        return margin >= -1e-9

    def lost(self, trial: Trial) -> None:
        self.live.discard(trial["id"])
        if self.filter is not None:
            self.filter.lost(trial)

    def verdicts(self) -> dict[int, str]:
        due = self.filter.verdicts() if self.filter is not None else {}
        self.live -= {name for name, action in due.items() if action == "stop"}
        return due

    def limit(
        self, trial: Trial, epoch: int, robust: float, clean: float | None
    ) -> tuple[bool, Answer]:
        name, total = trial["id"], trial["epochs"]
        stride = max(1, round(total / 64))
        new = {"row": len(self.tracks), "ends": [], "robust": [], "block": [], "top": 0.0,
               "clean": 0.0, "suspect": 0}  # fmt: skip
        track = self.tracks.setdefault(name, new)
        self.live.add(name)
        fell = track["top"] > 0.12 and robust < 0.4 * track["top"]
        fell = fell and clean is not None and clean > 0.8 * track["clean"]
        track["suspect"] = track["suspect"] + 1 if fell else 0
        track["top"], track["clean"] = max(track["top"], robust), max(track["clean"], clean or 0)
        if fell:
            by = {"best": track["top"], "value": robust}
            return False, (
                None if track["suspect"] < 2 else ("stop", "catastrophic-overfitting", by)
            )
        track["block"].append((robust, clean))
        if trial["rates"] is None or epoch % stride:
            return True, None
        cleans = [c for _, c in track["block"] if c is not None]
        track["ends"].append(epoch)
        track["robust"].append(fmean(r for r, _ in track["block"]))
        phi = coordinates(trial["rates"])
        mean_clean = fmean(cleans) if cleans else None
        self.model.add(track["row"], phi[epoch - 1], track["robust"][-1], mean_clean)
        track["block"] = []
        self.since += 1
        if self.since >= len(self.live):
            self.model.refit()
            self.since = 0
        if epoch + stride > total:
            self.live.discard(name)
            return True, None
        if len(track["ends"]) < 4:
            return True, None
        stop = self.reach(trial, track, phi, stride) or self.wait(trial, track, phi, stride)
        if stop is not None and self.cut_first and trial.get("accelat"):
            stop = self.after_a_cut(trial, track, stop)
        return True, stop

    def followed(self, trial: Trial, epoch: int, value: Fraction, lr: float) -> Trial:
        """The rates so far as reported, then as if accuracy stayed flat, in the reported unit."""
        seen = self.seen.setdefault(trial["id"], {})
        seen[epoch] = (value, lr)
        history = [seen[e][0] if e in seen else None for e in range(1, epoch + 1)]
        path = accelat(history, trial["epochs"], **trial["accelat"])["rates"]
        past = [seen[e][1] if e in seen else path[e - 1] for e in range(1, epoch + 1)]
        unit = past[-1] / path[epoch - 1]
        return {**trial, "rates": past + [rate * unit for rate in path[epoch:]]}

    def after_a_cut(self, trial: Trial, track: dict[str, Any], stop: Answer) -> Answer:
        """A limit waits for the shape's own next cut, and for `patience` blocks from it on."""
        now, rates = track["ends"][-1], trial["rates"]
        cuts = [e for e in range(2, len(rates) + 1) if rates[e - 1] < rates[e - 2] * (1 - 1e-6)]
        blocks = list(zip(track["ends"], track["robust"], strict=True))
        if (warned := track.get("warned")) is not None:
            cut = next((e for e in cuts if e > warned), None)
            if cut is None:
                return stop
            if cut > now:
                return None
            after = [r for end, r in blocks if end >= cut]
            if len(after) < self.patience:
                return None
            before = max(r for end, r in blocks if end <= warned)
            self.near = min(self.near, abs(max(after) - before - self.gain))
            if max(after) <= before + self.gain:
                by = {"cut_epoch": cut, "before_cut": before, "after_cut": max(after)}
                return stop[0], stop[1], {**stop[2], **by}
            track["warned"] = None
        if not any(e > now for e in cuts):
            return stop
        track["warned"] = now
        return None

    def reach(self, trial: Trial, track: dict[str, Any], phi: np.ndarray, stride: int) -> Answer:
        """The optimistic forecast of what is left, against the best so far and `gain`."""
        now, total = track["ends"][-1], trial["epochs"]
        mean, spread = self.model.posterior(track["row"])
        had = [float(phi[e - 1] @ mean[:8]) for e in track["ends"]]
        later, highest = range(now + stride, total + 1, stride), []
        for e in later:
            doubt = min(1.0, (e - now) / (3 * stride)) * self.tau**2
            variance = phi[e - 1] @ spread[:8, :8] @ phi[e - 1] + doubt
            highest.append(float(phi[e - 1] @ mean[:8]) + self.kappa * math.sqrt(variance))
        best, reach = max(had), max(highest)
        self.near = min(self.near, abs(reach - best - self.gain))
        if reach >= best + self.gain:
            return None
        ahead = min(3, len(later))
        step = (phi[later[ahead - 1] - 1] - phi[now - 1]) / ahead
        robust, clean = float(step @ mean[:8]), float(step @ mean[8:])
        self.near = min(self.near, abs(robust + 0.001), abs(clean))
        rule = "robust-overfitting" if robust < -0.001 and clean > 0 else "plateau"
        at = track["ends"][had.index(best)]
        return "stop", rule, {"best": best, "best_epoch": at, "reach": reach}

    def wait(self, trial: Trial, track: dict[str, Any], phi: np.ndarray, stride: int) -> Answer:
        """Blocks without a new best while no change of the rate is planned."""
        ends, robust = track["ends"], track["robust"]
        since = settled(trial["rates"], ends[-1])
        if since is None:
            return None
        first = next(i for i, end in enumerate(ends) if end >= since)
        at = robust.index(max(robust))
        waited = len(ends) - 1 - max(first, at)
        least = self.patience
        if phi[ends[-1] - 1, 4] < 0.6:
            least = max(least, math.ceil(Fraction(trial["epochs"], 5 * stride)))
        if waited < least:
            return None
        noise = median(
            abs(b - a) for a, b in zip(robust[first:], robust[first + 1 :], strict=False)
        )
        recent, bar = fmean(robust[-waited:]), robust[at] - 0.5 * noise / 0.954
        self.near = min(self.near, abs(recent - bar))
        if recent > bar:
            return None
        return "stop", "patience", {"best": robust[at], "best_epoch": ends[at], "waited": waited}
