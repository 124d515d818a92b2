"""Train everything to the end: the control of every study of policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayat.policies.base import CONTINUE, Decision, Policy, TrialView
from rayat.registry import POLICIES


@POLICIES.register("none")
class NoPolicy(Policy):
    """Every trial trains to its end: nothing is saved, and nothing is stopped by mistake."""

    alone = True

    def idle(self, epochs: int, every: int) -> str:
        """Return nothing: it is meant never to act."""
        return ""

    def observe(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Return `continue`."""
        return CONTINUE
