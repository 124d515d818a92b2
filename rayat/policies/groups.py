"""What policies that compare trials share: comparison groups, grace, and values worth comparing."""

from __future__ import annotations

import json
import math
from abc import ABC
from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from rayat.config import TrialConfig
from rayat.errors import nearest
from rayat.policies.base import Policy, TrialView


class PeerPolicy(Policy, ABC):
    """A policy that judges a trial by its peers: the trials of the same comparison group.

    Two trials are peers when they agree in every key of `compare_within`. A key that one of them
    does not have (another method's parameter) counts as null.
    """

    grace: int | None = Field(
        None, ge=1, description="epochs before a trial may be stopped; null: a sixth, rounded up"
    )
    compare_within: tuple[str, ...] = Field(
        (), description="dotted configuration keys; only trials equal in all of them are compared"
    )

    @field_validator("compare_within")
    @classmethod
    def _known_heads(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        for key in keys:
            head = key.partition(".")[0]
            if head not in TrialConfig.model_fields:
                raise ValueError(
                    f"must be configuration keys such as 'lr.shape', got {key!r}"
                    f"{nearest(head, TrialConfig.model_fields)}"
                )
        return keys

    def grace_of(self, trial: TrialView) -> int:
        """Return the trial's epochs before it may be stopped (by default a sixth of them)."""
        return self.grace or math.ceil(trial.epochs / 6)

    def group_of(self, trial: TrialView) -> str:
        """Return the canonical JSON of the trial's values under `compare_within`."""
        return json.dumps([_at(trial.config, key) for key in self.compare_within], sort_keys=True)


def _at(tree: Mapping[str, Any], key: str) -> Any:
    value: Any = tree
    for step in key.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def measured(metrics: Mapping[str, Any], metric: str) -> float | None:
    """Return the metric's value, or None when it is missing, null or not finite."""
    value = metrics.get(metric)
    if value is None or not math.isfinite(value):
        return None
    return float(value)
