"""A study: base configuration, search space, seeds, metric, policy and baseline, as one value.

A study file (`search_spaces/*.py`) defines `study = Study(...)`. Its space uses Ray Tune's own
domains under dotted keys. Expanding a study is a pure function: the same file and seed give the
same trials in the same order, whatever the cluster.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from rayat.errors import StudyError, nearest
from rayat.layers import refuse_twice
from rayat.measurement import refuse_metric, refuse_target, unlike
from rayat.own.code import Code, use
from rayat.policies.question import AT_END, refuse_unasked, trains_past
from rayat.registry import POLICIES, SEARCHERS, explain
from rayat.search.axes import (
    SEARCHED,
    Axes,
    control,
    half_set,
    refuse_hidden,
    refuse_lost,
    refuse_nested,
    refuse_seed,
    refuse_uneven,
    refuse_unknown,
    uneven,
)
from rayat.search.domains import is_domain, is_grid, refuse_empty
from rayat.search.growing import refuse_unsearchable
from rayat.search.labels import domain_json, label, only, refuse_baseline
from rayat.search.ordering import Order, ordered, refuse_unknown_trials
from rayat.search.plan import Plan, Trial
from rayat.search.random import first_seed
from rayat.search.rules import refuse_unknown_rules
from rayat.studyfile import execute

ARM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
"""Names of arms: nothing that separates arms and axes in a label."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Names that become folders: no separators, no leading dot or dash."""


OPTIONAL = ("sets", "only", "controls", "exclude", "budget", "objective", "order", "ends", "share")
"""Fields that a study's stored form holds only where they are given: earlier ones keep theirs."""


class Study(BaseModel):
    """What is compared, under which budget, judged by what.

    Raises:
        StudyError, ConfigError: when built from wrong values, in one sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str
    description: str = ""
    base: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, Any] = Field(
        default_factory=dict, description="axes as Tune's domains; plain values are constants"
    )
    arms: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="methods by name, each with its changes to the base: an axis of its own",
    )
    controls: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="arms by name that are trained as they stand: what a search is compared with",
    )
    exclude: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="combinations that are not tried: a reason, and conditions that all must hold",
    )
    scientific: tuple[str, ...] | None = Field(
        None, description="axes that are compared; null: every grid_search of the space"
    )
    nuisance: tuple[str, ...] | None = Field(
        None, description="axes that each arm tunes for itself; null: the rest of the space"
    )
    draws: int = Field(1, ge=1, description="nuisance draws per arm: every arm's equal budget")
    draw_seed: int = Field(0, ge=0, description="other seeds draw independently, also near ones")
    budget: str | None = Field(
        None, description="what the search may cost, such as '40 Mpasses' or '2 h' of all trials"
    )
    objective: Literal["accuracy", "cost", "front"] = Field(
        "accuracy",
        description="what the search seeks: the best value of the metric, the least cost to the "
        "target, or the front between value and cost",
    )
    seeds: tuple[int, ...] = (0, 1, 2)
    order_seed: int | None = Field(
        None, ge=0, description="draws the order of the trials; null: as the space lists them"
    )
    order: Order = Field(
        "configurations",
        description="`successive-seeds`: all configurations on the first seed, those that the "
        "policy lets through on the second, ...",
    )
    metric: str = "val_robust_acc"
    target: float | None = Field(
        None, description="value of the metric whose time is compared, fixed before the run"
    )
    ends: Literal["at-end", "at-target"] = Field(
        AT_END, description="what trials are for: their final robustness too, or their cost alone"
    )
    policy: Any = "none"
    search: Any = Field("random", description="how each arm tunes its nuisance axes")
    baseline: str | None = Field(
        None, description="the arm compared with, as `name` or `key=value`"
    )
    stop_collapsed: bool = Field(True, description="end a trial on catastrophic overfitting")
    max_failures: int = Field(3, ge=0, description="restarts of one trial after its worker died")
    share: bool = Field(True, description="train an epoch once that trials have in common")
    final_eval: bool = Field(True, description="evaluate best and last on the test set at the end")
    protocol: Literal["honest", "as-published"] = "honest"
    sets: dict[str, Any] = Field(
        default_factory=dict, description="what `--set` changed, after base and constants"
    )
    only: tuple[str, ...] = Field(
        (), description="the arms that run, as `name` or `key=value` parts; empty: all"
    )
    _code: Code | None = PrivateAttr(None)
    """Where the study's own modules are, if a file defines it."""

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            text = explain(error, "", list(type(self).model_fields), " of a study")
            raise StudyError(text) from None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not NAME.fullmatch(self.name):
            raise StudyError(
                f"a study's name becomes a folder: use letters, digits, . _ -, got {self.name!r}"
            )
        for name in (*self.arms, *self.controls):
            if not ARM.fullmatch(name):
                raise StudyError(
                    f"an arm's name may hold letters, digits and . _ + -, got {name!r}"
                )
        twice = sorted({*self.arms, SEARCHED} & set(self.controls))
        if twice:
            raise StudyError(f"the control {twice[0]!r} has another arm's name; rename it")
        refuse_hidden(self.arms, self.space)
        if "arm" in self.space:
            raise StudyError("'arm' is no configuration key: name the methods in `arms`")
        refuse_nested(self.base, {**self.arms, **self.controls}, self.space)
        refuse_unknown_rules(self.exclude)
        own = {**self.arms, **self.controls}
        constants = {k: v for k, v in self.space.items() if not is_domain(v)}
        for layer in (self.base, constants, self.sets, *own.values()):
            refuse_twice(layer)
        for axis, domain in self.space.items():
            refuse_empty(axis, domain)
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise StudyError(f"seeds must be distinct and at least one, got {self.seeds}")
        refuse_metric(self.metric)
        if self.target is not None:
            refuse_target(self.metric, self.target)
        for axis in (*(self.scientific or ()), *(self.nuisance or ())):
            if axis not in self.space:
                raise StudyError(f"axis {axis!r} is not in the space{nearest(axis, self.space)}")
            if not is_domain(self.space[axis]):
                raise StudyError(
                    f"axis {axis!r} has one value, {self.space[axis]!r}: a constant is no axis; "
                    "give it tune.grid_search([...]), or take it out of scientific and nuisance"
                )
        places = {"base": self.base, "sets": self.sets}
        refuse_seed(self.space, places | {f"arm {name!r}": each for name, each in own.items()})
        both = set(self.scientific or ()) & set(self.nuisance or ())
        if both:
            raise StudyError(f"axis {both.pop()!r} cannot be both scientific and nuisance")
        object.__setattr__(self, "policy", POLICIES.build(self.policy))
        object.__setattr__(self, "search", SEARCHERS.build(self.search))
        refuse_unsearchable(self)
        refuse_unknown_trials(self.order, self.search.adaptive or self.budget is not None)
        refuse_unasked(self)
        return self

    @property
    def tested(self) -> bool:
        """Whether the test set is looked at: not where only the cost to the target is asked."""
        return self.final_eval and self.ends == AT_END

    def axes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the scientific and the nuisance axes, in the space's order."""
        axes = [k for k, v in self.space.items() if is_domain(v)]
        scientific, nuisance = self.scientific, self.nuisance
        if scientific is None:
            taken = set(nuisance or ())
            scientific = tuple(k for k in axes if is_grid(self.space[k]) and k not in taken)
        if nuisance is None:
            nuisance = tuple(k for k in axes if k not in scientific)
        missing = [k for k in axes if k not in scientific and k not in nuisance]
        if missing:
            raise StudyError(f"axis {missing[0]!r} is neither scientific nor nuisance: name it")
        for key in scientific:
            if not is_grid(self.space[key]):
                raise StudyError(
                    f"scientific axis {key!r} must be tune.grid_search([...]): "
                    "an arm is compared by its exact values; a drawn one is a nuisance axis"
                )
        return scientific, nuisance

    def trials(self) -> list[Trial]:
        """Return every trial, seeds innermost, or in the order that `order_seed` draws.

        Raises:
            ConfigError: a point of the space is not a valid configuration.
            StudyError: the space cannot be expanded, or two points are the same.
        """
        return self._ordered(self.plan().first())

    def _ordered(self, trials: list[Trial]) -> list[Trial]:
        trials = ordered(trials, self.seeds, self.order, self.order_seed)
        arms = list(dict.fromkeys(trial.arm for trial in trials))
        refuse_baseline(self.baseline, arms, [*self.arms, *self.controls], bool(self.only))
        return trials

    def replace(self, **changes: Any) -> Study:
        """Return a copy with other fields, checked again. Raises like the constructor."""
        self._enter()
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        other = Study(**{**fields, **changes})
        other._code = self._code
        return other

    def _enter(self) -> None:
        """Let names mean this study's own methods, where another study was read since."""
        if self._code is not None:
            use(self._code)

    def foreseen(self) -> list[Trial]:
        """Return as many trials as the run may have: random ones stand in for later proposals."""
        return self._ordered(self.plan().foreseen())

    def plan(self) -> Plan:
        """Return the arms and the space that each of them searches.

        Raises:
            ConfigError: an arm is not a valid configuration, or no arm has a parameter.
            StudyError: the space cannot be expanded, or two arms have the same name.
        """
        self._enter()
        found = self._axes()
        arms = found.arms()
        refuse_unknown(found, list(arms.values()))
        refuse_lost(found, arms)
        refuse_uneven(found, arms)
        arms = only(arms, self.only, [*self.controls, *self.arms])
        return Plan(
            self.search,
            arms,
            found.nuisance,
            self.draws,
            first_seed(self.draw_seed),
            self.seeds,
            tuple(arm for arm in map(control, self.controls) if arm in arms),
            self.exclude,
            self.budget,
        )

    def notes(self) -> list[str]:
        """Return what may be meant, but is said before the start.

        Arms whose peak rate is a default beside a named one, that keep what `--set` changes, or
        that are measured differently; a policy that has no epoch to act in, or that trains past
        a target beyond which nothing is asked.
        """
        found = self._axes()
        arms = found.arms()
        first: dict[str, dict[str, Any]] = {}
        idle: dict[str, None] = {}
        with contextlib.suppress(StudyError):  # what cannot be expanded is refused elsewhere
            for trial in self.foreseen():
                first.setdefault(trial.arm, trial.config.flat())
                idle[self.policy.idle(trial.config.epochs, trial.config.eval.every)] = None
                if self.policy.asks_probes and not trial.config.probe.at:
                    idle[
                        f"policy {self.policy.kind} judges by cool-down probes and trials of "
                        f"{trial.arm} have none, so it never compares them; give probe.at epochs"
                    ] = None
        said = [trains_past(self), uneven(found, arms, "lr.peak"), *half_set(found, arms)]
        return [text for text in (*said, unlike(first), *idle) if text]

    def _axes(self) -> Axes:
        scientific, nuisance = self.axes()
        constants = {k: v for k, v in self.space.items() if not is_domain(v)}
        return Axes(
            common=(self.base, constants, self.sets),
            changes=self.arms,
            scientific={k: self.space[k] for k in scientific},
            nuisance={k: self.space[k] for k in nuisance},
            label=label,
            controls=self.controls,
        )

    def tree(self) -> dict[str, Any]:
        """Return the JSON form stored in `run.json`; domains as text, the policy as its spec."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        for name in OPTIONAL:
            if fields[name] == type(self).model_fields[name].get_default(call_default_factory=True):
                del fields[name]
        fields["final_eval"] = self.tested
        fields["space"] = {k: domain_json(v) for k, v in self.space.items()}
        fields["policy"] = self.policy.spec()
        fields["search"] = self.search.spec()
        scientific, nuisance = self.axes()
        fields.update(scientific=list(scientific), nuisance=list(nuisance), seeds=list(self.seeds))
        tree: dict[str, Any] = json.loads(json.dumps(fields, default=domain_json))
        return tree

    def sha256(self) -> str:
        """Return the hash of the study's form and of every trial's configuration."""
        parts = [json.dumps(self.tree(), sort_keys=True)]
        parts += [f"{t.trial_id} {t.config.sha256()}" for t in self.trials()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def load_study(path: str | Path) -> Study:
    """Import a study file and return its `study`.

    Raises:
        StudyError: no such file (with the shipped studies), no `study` in it, or it raises.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        shipped = sorted(str(p) for p in Path("search_spaces").glob("*.py"))
        known = f"; here are: {', '.join(shipped)}" if shipped else ""
        raise StudyError(f"no study file {str(path)!r}{nearest(str(path), shipped)}{known}")
    module, code = execute(path)
    study = getattr(module, "study", None)
    if not isinstance(study, Study):
        raise StudyError(f"{path} defines no `study = Study(...)`")
    study._code = code
    return study
