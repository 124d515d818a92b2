"""The policy contract: one report in, one decision out; no Ray, no clock, no randomness."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from rayat.registry import Part

Action = Literal["continue", "stop", "pause"]


@dataclass(frozen=True)
class TrialView:
    """What a policy may know of a trial: its name, its configuration tree and its length."""

    trial_id: str
    config: Mapping[str, Any]
    epochs: int
    arm: str = ""


@dataclass(frozen=True)
class Decision:
    """A verdict with the rule that gave it, a sentence for a person, and the numbers behind it."""

    action: Action = "continue"
    rule: str = ""
    sentence: str = ""
    evidence: Mapping[str, float | int | str | None] = field(default_factory=dict)


CONTINUE = Decision()


class Policy(Part):
    """Decides after each report whether a trial goes on.

    The parameters are frozen; the state lives in private attributes and is a function of the
    `observe` calls in order, so that replaying the ledger rebuilds it exactly.
    """

    def fresh(self) -> Self:
        """Return a policy with the same parameters and no state."""
        return type(self)(**self.model_dump())

    @abstractmethod
    def observe(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Take one durable report and decide.

        Args:
            trial: the trial that reported.
            epoch: its epoch, 1-based; each (trial, epoch) is observed once, in the ledger's order.
            metrics: the report's row; a value may be None where it was not measured.
            metric: the key of `metrics` to judge by; larger is better. A missing or non-finite
                value never enters a comparison and gives `continue`.
        """
