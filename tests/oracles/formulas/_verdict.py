"""When no verdict depends on the rest of a trial, as the card `docs/methods/policy-verdict.md` has
it: for three seeds, where one seed that was not sooner keeps an arm from ever being called faster.

A trial has, besides what `_peers` names, its `arm`; the baseline is the arm `base`.
"""

from __future__ import annotations

from typing import Any

from formulas._peers import Answer, Rule, Trial, Value


class Verdict(Rule):
    """Stops at the target where that is all that is asked, and what no verdict depends on."""

    def __init__(self, trials: list[Trial], target: Value, at_target: bool) -> None:
        self.target, self.at_target = target, at_target
        self.place = {(t["arm"], t["seed"]): t["id"] for t in trials}
        self.seeds = sorted({t["seed"] for t in trials})
        self.paid: dict[int, int] = dict.fromkeys(self.place.values(), 0)
        self.reached: dict[int, int] = {}
        self.over: set[int] = set()
        self.cut: set[int] = set()

    def report(self, trial: Trial, epoch: int, value: Value, row: dict[str, Any]) -> Answer:
        me, arm = trial["id"], trial["arm"]
        self.paid[me] += row["passes"]
        if value is not None and value >= self.target and me not in self.reached:
            self.reached[me] = self.paid[me]
        if epoch == trial["epochs"]:
            self.over.add(me)
            return None
        rule = self.rule(me, arm) if value is not None else None
        if rule is None:
            return None
        self.cut.add(me)
        return "stop", rule, {"passes": self.paid[me]}

    def rule(self, me: int, arm: str) -> str | None:
        if me in self.reached and self.at_target:
            return "at-target"
        if arm == "base":
            return None
        pairs = [(self.place["base", s], self.place[arm, s]) for s in self.seeds]
        if any(self.short(own) and self.counts(base) for base, own in pairs):
            return "not-reached"
        if me not in self.reached:
            return None
        if any(self.short(base) and self.counts(own) for base, own in pairs):
            return "not-faster"
        left = [p for p in pairs if not any(map(self.short, p))]
        late = any(
            base in self.reached and self.reached.get(own, self.paid[own]) >= self.reached[base]
            for base, own in left
        )
        return "not-faster" if len(left) < 3 or late else None

    def short(self, trial: int) -> bool:
        return trial in self.over and trial not in self.reached

    def counts(self, trial: int) -> bool:
        return trial in self.over | self.cut or trial in self.reached
