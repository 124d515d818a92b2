"""What `accel` learns from trials that ended, as docs/methods/policy-accel.md has it."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from formulas._peers import Answer, Peers, Trial, Value
from scipy import stats


def to_come(rates: list[float], epoch: int) -> float:
    """Decades between the highest and the lowest rate from an epoch on, above 1/1000 of the top."""
    left = [max(rate / max(rates), 1e-3) for rate in rates[epoch - 1 :]]
    return math.log10(max(left) / min(left))


class Evidence(Peers):
    """Asks a filter, and then what ended trials gained that had as much to come."""

    def __init__(
        self, filter: Peers, chance: float = 0.1, doubt: float = 0.01, **given: Any
    ) -> None:
        super().__init__(**given)
        self.filter, self.chance, self.doubt = filter, chance, doubt
        self.curves: dict[int, tuple[Trial, dict[int, float]]] = {}
        self.full: list[int] = []
        self.near = math.inf

    def rank(self, trial: Trial, epoch: int, value: Value) -> Answer:
        answer, name = self.filter.rank(trial, epoch, value), trial["id"]
        _, curve = self.curves.setdefault(name, (trial, {}))
        if value is not None:
            curve[epoch] = float(value)
        if epoch == trial["epochs"]:
            self.peaked(trial)
        rates, known = trial["rates"], trial["rates"] is not None and not trial.get("accelat")
        if value is None or (known and max(rates[:epoch]) < max(rates)):
            return None
        if answer is not None or not known or epoch == trial["epochs"]:
            return answer
        mine = (self.group(trial), trial["epochs"])
        alike = {n: c for n, (t, c) in self.curves.items() if (self.group(t), t["epochs"]) == mine}
        best, top = max(curve.values()), max(v for c in alike.values() for v in c.values())
        if epoch < (self.grace or math.ceil(Fraction(trial["epochs"], 12))) or best >= top:
            return None
        gains = []
        for n in self.full:
            theirs = self.curves[n][0]["rates"]
            early = [v for e, v in alike.get(n, {}).items() if e <= epoch]
            if not early or theirs is None or self.curves[n][0].get("accelat"):
                continue
            if to_come(theirs, epoch) >= to_come(rates, epoch) - 0.15:
                gains.append(max(alike[n].values()) - max(early))
        if len(gains) < 3:
            return None
        n, mean = len(gains), sum(gains) / len(gains)
        variance = sum((g - mean) ** 2 for g in gains) / (n - 1) + self.doubt**2
        spread = math.sqrt(variance + variance / n)
        reach = best + mean + stats.t.ppf(1 - self.chance, n - 1) * spread
        self.near = min(self.near, abs(reach - top))
        if reach >= top:
            return None
        by = {"best": best, "top": top, "reach": reach, "gain": mean, "spread": spread, "ended": n}
        return "stop", "evidence", by

    def peaked(self, trial: Trial) -> None:
        """The trial has had all it could gain."""
        if trial["id"] in self.curves and trial["id"] not in self.full:
            self.full.append(trial["id"])
