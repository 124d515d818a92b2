"""What policies that compare trials share: comparison groups, grace, and values worth comparing."""

from __future__ import annotations

import json
import math
from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator

from rayat.config import TrialConfig
from rayat.errors import nearest
from rayat.measurement import flat, key, measurement
from rayat.policies.base import CONTINUE, Decision, Policy, TrialView
from rayat.registry import POLICIES

TIE = 1e-9
"""Bars are computed from accuracies, which are multiples of 1/n: a value that equals its bar must
not lie below it by rounding."""


class PeerPolicy(Policy, ABC):
    """A policy that judges a trial by its peers: the trials of the same comparison group.

    Two trials are peers when they agree in every key of `compare_within`. A key that one of them
    does not have (another method's parameter) counts as null.

    Only trials that were measured alike are peers: at one radius, by one attack, on the same
    images. Of a study with several seeds configurations are ranked, not trials: the seed that
    reports first leads, and its configuration's other seeds go on or stop with it
    (docs/policy.md). Runs recorded before ranked every trial against every other: `all`.
    """

    grace: int | None = Field(
        None, ge=1, description="epochs before a trial may be stopped; null: a sixth, rounded up"
    )
    compare_within: tuple[str, ...] = Field(
        (), description="dotted configuration keys; only trials equal in all of them are compared"
    )

    peers: Literal["configurations", "seeds", "all"] = Field(
        "configurations",
        description="who is ranked: configurations, trials of one seed, or all trials alike",
    )

    before: ClassVar[Mapping[str, Any]] = {"peers": "all"}

    _groups_of: dict[str, str] = PrivateAttr(default_factory=dict)
    _names: dict[str, str] = PrivateAttr(default_factory=dict)
    _leaders: dict[str, str] = PrivateAttr(default_factory=dict)
    _stopped: dict[str, Decision] = PrivateAttr(default_factory=dict)
    _through: set[str] = PrivateAttr(default_factory=set)
    _left: set[str] = PrivateAttr(default_factory=set)

    @field_validator("compare_within")
    @classmethod
    def _known_heads(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        for name in keys:
            head = name.partition(".")[0]
            if head not in TrialConfig.model_fields:
                raise ValueError(
                    f"must be configuration keys such as 'lr.shape', got {name!r}"
                    f"{nearest(head, TrialConfig.model_fields)}"
                )
        return keys

    def grace_of(self, trial: TrialView) -> int:
        """Return the trial's epochs before it may be stopped (by default a sixth of them)."""
        return self.grace or math.ceil(trial.epochs / 6)

    def earliest(self, epochs: int) -> int:
        """Return the grace."""
        return self.grace_of(TrialView("", {}, epochs))

    def group_of(self, trial: TrialView) -> str:
        """Return what the trial's peers share with it, as canonical JSON."""
        if trial.trial_id in self._groups_of:
            return self._groups_of[trial.trial_id]
        shared = [_at(trial.config, name) for name in self.compare_within]
        if self.peers != "all":
            shared.append(key(measurement(flat(trial.config))))
        if self.peers == "seeds":
            shared.append(trial.config.get("seed"))
        text = self._groups_of[trial.trial_id] = json.dumps(shared, sort_keys=True)
        return text

    def observe(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Take one report: a leader is ranked, the other seeds of its configuration follow it."""
        if self.peers != "configurations" or trial.trial_id in self._left:
            decision = self.rank(trial, epoch, metrics, metric)
            if self.peers == "seeds" and decision.action == "stop":
                self._stopped.setdefault(configuration(trial), decision)
            return decision
        if trial.trial_id not in self._names:
            self._names[trial.trial_id] = configuration(trial)
        name = self._names[trial.trial_id]
        leader = self._leaders.setdefault(name, trial.trial_id)
        if leader == trial.trial_id:
            decision = self.rank(trial, epoch, metrics, metric)
            if decision.action == "stop":
                self._stopped[name] = decision
            elif epoch >= trial.epochs or metrics.get("outcome") == "finished":
                self._through.add(name)
            return decision
        stop = self._stopped.get(name)
        if stop is None or epoch >= trial.epochs or measured(metrics, metric) is None:
            return CONTINUE
        return Decision(
            "stop",
            stop.rule,
            f"its configuration was stopped with trial {leader}: {stop.sentence}",
            {**stop.evidence, "leader": leader},
        )

    def dropped(self, trial: TrialView) -> str:
        """Return why a seed need not start: an earlier one of its configuration was stopped."""
        stop = None if self.peers == "all" else self._stopped.get(configuration(trial))
        return "" if stop is None else f"its configuration was stopped: {stop.sentence}"

    def rank(
        self, trial: TrialView, epoch: int, metrics: Mapping[str, Any], metric: str
    ) -> Decision:
        """Compare one report with those of the trial's peers; `observe` says whose are asked."""
        return CONTINUE

    def ended(self, trial_id: str) -> None:
        """Let another seed lead if a leader ended before anything was decided for all of them."""
        self._left.add(trial_id)
        for name, leader in list(self._leaders.items()):
            if leader == trial_id and name not in self._through and name not in self._stopped:
                del self._leaders[name]


def configuration(trial: TrialView) -> str:
    """Return a text that the seeds of one configuration share; a trial without a seed is alone."""
    if "seed" not in trial.config:
        return trial.trial_id
    return json.dumps({k: v for k, v in trial.config.items() if k != "seed"}, sort_keys=True)


def recorded(spec: Mapping[str, Any]) -> Policy:
    """Return a recorded run's policy; what it could not say yet is as it was (`Policy.before`)."""
    policy: Policy = POLICIES.build(spec)
    old: Policy = POLICIES.build({**policy.spec(), **policy.before, **spec})
    return old


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
