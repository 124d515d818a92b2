"""The rules that compare trials, as the cards `docs/methods/policy-*` and their papers have them.

A trial is a dictionary with `id`, `epochs`, `group` (whom it is compared with), `configuration` and
`seed`; a value is a fraction, None where it was not measured. An answer is (action, rule, what it
was decided by), None to go on.
"""

from __future__ import annotations

import math
from fractions import Fraction
from statistics import median as middle
from typing import Any

Trial = dict[str, Any]
Value = Fraction | None
Answer = tuple[str, str, dict[str, Any]] | None


class Rule:
    """Goes on, always: the policy `none`."""

    def report(self, trial: Trial, epoch: int, value: Value, row: dict[str, Any]) -> Answer:
        return None

    def lost(self, trial: Trial) -> None:
        """The trial ended without this rule."""

    def verdicts(self) -> dict[int, str]:
        """What becomes of trials that wait."""
        return {}


class Patience(Rule):
    """No new best for so many epochs; by default for a third of them, rounded up."""

    def __init__(self, epochs: int | None = None) -> None:
        self.epochs, self.curves = epochs, {}

    def report(self, trial: Trial, epoch: int, value: Value, row: dict[str, Any]) -> Answer:
        curve = self.curves.setdefault(trial["id"], {})
        if value is None:
            return None
        curve[epoch] = value
        best = max(curve.values())
        first = min(e for e, v in curve.items() if v == best)
        wait = self.epochs or -(-trial["epochs"] // 3)
        if epoch - first < wait or epoch == trial["epochs"]:
            return None
        return "stop", "patience", {"best": best, "best_epoch": first, "waited": epoch - first}


class Peers(Rule):
    """Seeds of one configuration: who reports first leads, the others do as it did."""

    def __init__(self, grace: int | None = None, by: str = "configurations") -> None:
        self.grace, self.by = grace, by
        self.leader: dict[Any, Trial] = {}
        self.ended: dict[Any, Answer] = {}
        self.safe: set[Any] = set()
        self.gone: set[int] = set()

    def rank(self, trial: Trial, epoch: int, value: Value) -> Answer:
        raise NotImplementedError

    def group(self, trial: Trial) -> Any:
        return (trial["group"], trial["seed"]) if self.by == "seeds" else trial["group"]

    def first(self, trial: Trial) -> int:
        """Epochs before a trial may be stopped: a sixth, rounded up."""
        return self.grace or -(-trial["epochs"] // 6)

    def report(self, trial: Trial, epoch: int, value: Value, row: dict[str, Any]) -> Answer:
        if self.by == "seeds" or trial["id"] in self.gone:
            return self.rank(trial, epoch, value)
        name = trial["configuration"]
        if self.leader.setdefault(name, trial)["id"] == trial["id"]:
            answer = self.rank(trial, epoch, value)
            if answer is not None:
                self.ended[name] = answer
            elif epoch == trial["epochs"]:
                self.safe.add(name)
            return answer
        if name in self.ended and epoch < trial["epochs"] and value is not None:
            action, rule, by = self.ended[name]
            return action, rule, {**by, "leader": f"t{self.leader[name]['id']}"}
        return None

    def lost(self, trial: Trial) -> None:
        self.gone.add(trial["id"])
        name = trial["configuration"]
        if name in self.safe or name in self.ended:
            return
        if self.leader.get(name, {}).get("id") == trial["id"]:
            del self.leader[name]


class Asha(Peers):
    """Rungs at grace * eta^k; stopped below the 1 - 1/eta quantile of what the rung holds."""

    name = "asha"

    def __init__(self, eta: int = 3, **given: Any) -> None:
        super().__init__(**given)
        self.eta, self.rungs, self.entered = eta, {}, set()

    def rank(self, trial: Trial, epoch: int, value: Value) -> Answer:
        reached = [k for k in range(64) if self.first(trial) * self.eta**k <= epoch]
        if value is None or not reached or epoch == trial["epochs"]:
            return None
        return self.enter(trial, self.first(trial) * self.eta ** reached[-1], value)

    def enter(self, trial: Trial, rung: int, value: Fraction) -> Answer:
        if (trial["id"], rung) in self.entered:
            return None
        self.entered.add((trial["id"], rung))
        held = self.rungs.setdefault((self.group(trial), rung), [])
        bar = quantile(held, 1 - Fraction(1, self.eta)) if held else value
        compared = len(held)
        held.append(value)
        if value >= bar:
            return None
        by = {"value": value, "cutoff": bar, "rung": rung, "compared": compared}
        return "stop", self.name, by


class Probe(Asha):
    """The same with what a probe after an epoch has reached; every probe is a rung of its own."""

    name = "probe"

    def report(self, trial: Trial, epoch: int, value: Value, row: dict[str, Any]) -> Answer:
        self.probe = row.get("probe")
        return super().report(trial, epoch, value, row)

    def rank(self, trial: Trial, epoch: int, value: Value) -> Answer:
        if self.probe is None or epoch < (self.grace or 1) or epoch == trial["epochs"]:
            return None
        return self.enter(trial, epoch, self.probe)


def quantile(values: list[Fraction], share: Fraction) -> Fraction:
    """The straight line between the two order statistics that the place lies between."""
    ordered, place = sorted(values), share * (len(values) - 1)
    low = math.floor(place)
    if low == place:
        return ordered[low]
    return ordered[low] + (place - low) * (ordered[low + 1] - ordered[low])


class Median(Peers):
    """The best so far against the median of the others' means over epochs grace..e."""

    def __init__(self, min_samples: int = 3, **given: Any) -> None:
        super().__init__(**given)
        self.least, self.curves = min_samples, {}

    def rank(self, trial: Trial, epoch: int, value: Value) -> Answer:
        own = self.curves.setdefault(trial["id"], (self.group(trial), {}))
        own[1][epoch] = value
        start = self.first(trial)
        if value is None or epoch < start or epoch == trial["epochs"]:
            return None
        means = []
        for name, (group, curve) in self.curves.items():
            seen = [curve[e] for e in range(start, epoch + 1) if curve.get(e) is not None]
            if name != trial["id"] and group == own[0] and max(curve) >= epoch and seen:
                means.append(sum(seen) / len(seen))
        if len(means) < self.least:
            return None
        best, bar = max(v for v in own[1].values() if v is not None), middle(means)
        if best >= bar:
            return None
        return "stop", "median", {"best": best, "median": bar, "compared": len(means)}


class Hyperband(Peers):
    """Brackets s = s_max..0 of ASHA from epoch ceil(T / eta^s); shares as in Li et al., table 1."""

    def __init__(self, eta: int = 3, **given: Any) -> None:
        super().__init__(**given)
        self.eta, self.brackets, self.mine = eta, {}, {}

    def rank(self, trial: Trial, epoch: int, value: Value) -> Answer:
        if trial["id"] not in self.mine:
            self.mine[trial["id"]] = self.deal(trial)
        return self.mine[trial["id"]].rank(trial, epoch, value)

    def deal(self, trial: Trial) -> Asha:
        """The bracket that is furthest below its share, the boldest of those that are equal."""
        epochs, top = trial["epochs"], 0
        while self.eta ** (top + 1) <= epochs:
            top += 1
        brackets = self.brackets.setdefault((self.group(trial), epochs), {})
        if not brackets:
            for s in range(top, -1, -1):
                rung = max(self.grace or 1, math.ceil(Fraction(epochs, self.eta**s)))
                brackets[s] = [0, Asha(self.eta, grace=rung, by=self.by)]
        s = min(brackets, key=lambda s: Fraction((brackets[s][0] + 1) * (s + 1), self.eta**s))
        brackets[s][0] += 1
        return brackets[s][1]


class FirstLook(Peers):
    """Every trial waits after its first fiftieth; of each group the best 1/eta go on."""

    def __init__(self, trials: list[Trial], eta: int = 3, **given: Any) -> None:
        super().__init__(**given)
        self.eta, self.due = eta, {}
        self.groups: dict[Any, list[Trial]] = {}
        for trial in trials:
            self.groups.setdefault(self.group(trial), []).append(trial)
        self.looks: dict[int, Value] = {}

    def ranked(self, trial: Trial) -> Any:
        return trial["id"] if self.by == "seeds" else trial["configuration"]

    def members(self, trial: Trial) -> list[Trial]:
        """The trial's group; nobody where too few are ranked."""
        group = self.groups[self.group(trial)]
        return group if len({self.ranked(t) for t in group}) >= self.eta else []

    def report(self, trial: Trial, epoch: int, value: Value, row: dict[str, Any]) -> Answer:
        look = self.grace or math.ceil(Fraction(trial["epochs"], 50))
        if epoch < look or trial["id"] in self.looks or not self.members(trial):
            return None
        looked = self.looks[trial["id"]] = None if epoch == trial["epochs"] else value
        self.settle(trial)
        return None if looked is None else ("pause", "first-look", {"value": value})

    def lost(self, trial: Trial) -> None:
        if self.members(trial) and trial["id"] not in self.looks:
            self.looks[trial["id"]] = None
            self.settle(trial)

    def settle(self, trial: Trial) -> None:
        """Once all have had their look: the mean of each configuration's seeds, best first."""
        members = self.members(trial)
        if any(t["id"] not in self.looks for t in members):
            return
        held = [t for t in members if self.looks[t["id"]] is not None]
        names = list(dict.fromkeys(self.ranked(t) for t in held))
        means = {}
        for name in names:
            values = [self.looks[t["id"]] for t in held if self.ranked(t) == name]
            means[name] = sum(values) / len(values)
        best = sorted(names, key=lambda n: (-means[n], names.index(n)))
        go = best[: math.ceil(Fraction(len(best), self.eta))]
        self.due = {t["id"]: "continue" if self.ranked(t) in go else "stop" for t in held}

    def verdicts(self) -> dict[int, str]:
        due, self.due = self.due, {}
        return due
