"""One trial's configuration: a strict, frozen tree with a canonical JSON and a content hash.

The parts that are methods (data, model, optimizer, lr, attack, attack_schedule, objective, pruning,
exchange) come from the registries: their keys are the method's own parameters. A dotted key
addresses a leaf: `attack.eps`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)

from rayat.collapse import SPAN
from rayat.columns import Declared, Reporting, declared
from rayat.errors import ConfigError
from rayat.fractions import OptionalNumber, pixels
from rayat.layers import PART_KEYS, Layer, Merged, flatten, layered
from rayat.probes import ProbeConfig
from rayat.registry import (
    ATTACKS,
    EXCHANGES,
    MODELS,
    OBJECTIVES,
    OPTIMIZERS,
    PRUNERS,
    SCHEDULES,
    SHAPES,
    SOURCES,
    SUITES,
    Registry,
    explain,
)

if TYPE_CHECKING:
    from rayat.attack_schedules.base import AttackSchedule
    from rayat.attacks.base import Attack
    from rayat.data.base import Source
    from rayat.exchanges.base import GradientExchange
    from rayat.lr_shapes.base import LRShape
    from rayat.models.base import Model
    from rayat.objectives.base import Objective
    from rayat.optimizers.base import Optimizer
    from rayat.pruning.base import Pruner
    from rayat.suites.base import Suite
else:

    def _part(registry: Registry[Any]) -> Any:
        return Annotated[
            Any,
            PlainValidator(registry.build),
            PlainSerializer(lambda part: part.spec()),
        ]

    Source, Model, Optimizer = _part(SOURCES), _part(MODELS), _part(OPTIMIZERS)
    LRShape, Attack, Objective = _part(SHAPES), _part(ATTACKS), _part(OBJECTIVES)
    Pruner, AttackSchedule = _part(PRUNERS), _part(SCHEDULES)
    GradientExchange, Suite = _part(EXCHANGES), _part(SUITES)


class EvalConfig(BaseModel):
    """What is measured on the validation split each epoch, and on the test set once at the end.

    The tracking attack is PGD with one random start and step `eps / 4`; the final one is the suite
    `pgd`, and whatever `suites` adds (docs/evaluation.md).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(10, ge=1, description="PGD steps of the validation attack")
    every: int = Field(1, ge=1, description="epochs between validations; the last is always one")
    size: int | None = Field(None, ge=1, description="validation images attacked; null: all")
    final_steps: int = Field(20, ge=1, description="PGD steps of the final attack on test images")
    suites: tuple[Suite, ...] = Field((), description="further suites at the end: autoattack, ...")
    final_size: int | None = Field(None, ge=1, description="test images attacked; null: all")
    batch_size: int = Field(500, ge=1, description="images per evaluation batch")
    eps: OptionalNumber = Field(None, ge=0, description="evaluation radius; null: attack.eps")

    @field_validator("eps")
    @classmethod
    def _in_pixel_scale(cls, eps: float | None) -> float | None:
        if eps is not None and eps > 1:
            raise ValueError(f"must be at most 1, got {eps:g}{pixels(eps)}")
        return eps


class WeightsConfig(BaseModel):
    """What is done with the weights besides the optimiser's updates (docs/weights.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    awp: float = Field(
        0.0, ge=0, lt=1, description="adversarial perturbation, share of a tensor's length; 0: off"
    )
    awp_start: float = Field(0.0, ge=0, lt=1, description="progress after which awp acts")
    average: Literal["none", "ema", "swa"] = Field(
        "none", description="validate and keep a mean of the weights: of steps, of epochs' ends"
    )
    decay: float = Field(0.999, ge=0, lt=1, description="ema: most that a step leaves of the mean")
    average_from: float | None = Field(
        None, ge=0, lt=1, description="progress after which it averages; null: 0, swa 0.75"
    )

    @property
    def averages_after(self) -> float:
        """Return the progress after which weights are averaged."""
        if self.average_from is not None:
            return self.average_from
        return 0.75 if self.average == "swa" else 0.0


class TeacherConfig(BaseModel):
    """A network that labels the images that have none (docs/data.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(
        0, ge=0, le=100_000, description="standard training on the labelled images; 0: no teacher"
    )


GROUPS: dict[str, type[BaseModel]] = {
    "eval": EvalConfig,
    "weights": WeightsConfig,
    "teacher": TeacherConfig,
    "probe": ProbeConfig,
}
"""Keys that hold plain groups of values."""


class TrialConfig(BaseModel):
    """Everything that determines one training run.

    Raises `ConfigError` through `TrialConfig.parse`, which is the way to build one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data: Source = Field(default_factory=lambda: SOURCES.build("digits"))
    model: Model = Field(default_factory=lambda: MODELS.build("preactresnet"))
    epochs: int = Field(10, ge=1, le=100_000)
    batch_size: int = Field(128, ge=1, description="global batch: split evenly over the workers")
    optimizer: Optimizer = Field(default_factory=lambda: OPTIMIZERS.build("sgd"))
    lr: LRShape = Field(default_factory=lambda: SHAPES.build({"shape": "onecycle", "peak": 0.2}))
    attack: Attack = Field(default_factory=lambda: ATTACKS.build("pgd"))
    attack_schedule: AttackSchedule = Field(default_factory=lambda: SCHEDULES.build("none"))
    attack_refresh: Literal["online", "once"] = Field(
        "online", description="attack every batch, or all images once, before the training"
    )
    objective: Objective = Field(default_factory=lambda: OBJECTIVES.build("madry"))
    pruning: Pruner = Field(default_factory=lambda: PRUNERS.build("none"))
    stop_at_train_acc: float | None = Field(
        None, gt=0, lt=1, description="finish after the epoch whose training accuracy is above this"
    )
    workers: int = Field(1, ge=1, le=10_000, description="data-parallel workers of the trial")
    exchange: GradientExchange = Field(default_factory=lambda: EXCHANGES.build("none"))
    batch_norm: Literal["mean", "local", "sync"] = Field(
        "mean", description="running statistics of several workers: their mean, worker 0's, shared"
    )
    cpus_per_worker: float = Field(1, gt=0)
    gpus_per_worker: float = Field(0, ge=0)
    threads: int = Field(1, ge=1, description="torch threads per worker")
    precision: Literal["fp32", "bf16"] = "fp32"
    checkpoint_every: int = Field(1, ge=1, description="epochs between resumable checkpoints")
    on_collapse: Literal["stop", "rollback"] = Field(
        "stop",
        description="catastrophic overfitting ends the trial or takes back its best weights",
    )
    seed: int = Field(0, ge=0, lt=2**32)
    eval: EvalConfig = Field(default_factory=lambda: EvalConfig.model_validate({}))
    weights: WeightsConfig = Field(default_factory=lambda: WeightsConfig.model_validate({}))
    teacher: TeacherConfig = Field(default_factory=lambda: TeacherConfig.model_validate({}))
    probe: ProbeConfig = Field(default_factory=lambda: ProbeConfig.model_validate({}))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.batch_size % self.workers:
            raise ValueError(
                f"batch_size must be a multiple of workers={self.workers}, got {self.batch_size}"
            )
        if self.on_collapse == "rollback" and self.eval.every > SPAN:
            raise ValueError(
                f"on_collapse='rollback' compares validations at most {SPAN} epochs apart, got "
                f"eval.every={self.eval.every}; use eval.every=1"
            )
        if self.batch_norm == "sync" and self.weights.awp > 0:
            raise ValueError(
                "batch_norm must be mean or local with weights.awp, whose first pass leaves "
                f"BatchNorm's statistics alone, got {self.batch_norm!r}"
            )
        if self.teacher.epochs and self.data.labelled == 1:
            raise ValueError(
                "teacher.epochs must be 0 where every image has its label (data.labelled=1), got "
                f"{self.teacher.epochs}"
            )
        self.probe.check(self.epochs, self.weights.average)
        for key in PART_KEYS:
            getattr(self, key).check(self)
        self.declared_columns()
        if self.attack_refresh == "once":
            if self.unlabelled:
                raise ValueError(
                    "attack_refresh must be 'online' where images have no label "
                    f"(data.labelled={self.data.labelled:g}), got 'once'; give teacher.epochs"
                )
            self.attack.check_once(self)
        if self.teacher.epochs:
            self.of_teacher()
        return self

    @property
    def unlabelled(self) -> bool:
        """Return whether images reach the training without a label: nothing may rely on it."""
        return self.data.labelled < 1 and self.teacher.epochs == 0

    def declared_columns(self) -> dict[str, Declared]:
        """Return the report columns that the trial's methods add to the fixed ones, by name.

        Raises:
            ConfigError: two of them declare one name differently, or one a fixed name.
        """
        parts: list[tuple[str, Reporting]] = [
            *(("attack", attack) for attack in self.attack_schedule.attacks(self.attack)),
            ("objective", self.objective),
            ("pruning", self.pruning),
            ("exchange", self.exchange),
            *([("probe", self.probe)] if self.probe.at else []),
        ]
        return declared(parts)

    def of_teacher(self) -> TrialConfig:
        """Return the teacher's own training: standard, with the trial's network and optimiser."""
        return self.replace(
            {
                "attack": {"name": "none", "eps": self.attack.eps, "norm": self.attack.norm},
                "attack_schedule": "none",
                "objective": "madry",
                "pruning": "none",
                "attack_refresh": "online",
                "stop_at_train_acc": None,
                "epochs": self.teacher.epochs,
                "data.labelled": 1.0,
                "weights": {},
                "teacher": {},
                "probe": {},
            }
        )

    @classmethod
    def parse(cls, value: Mapping[str, Any] | TrialConfig) -> TrialConfig:
        """Build a configuration from a nested or dotted mapping.

        Raises:
            ConfigError: unknown key (with the nearest one), wrong value, impossible combination.
        """
        if isinstance(value, TrialConfig):
            return value
        if not isinstance(value, Mapping):
            raise ConfigError(f"a configuration is a mapping of keys to values, got {value!r}")
        tree = merge({}, value)
        try:
            return cls(**tree)
        except ValidationError as error:
            known = list(cls.model_fields)
            known += [
                f"{key}.{name}" for key, group in GROUPS.items() for name in group.model_fields
            ]
            raise ConfigError(explain(error, "", known)) from None

    def rate(self, progress: float, history: Sequence[float] = ()) -> float:
        """Return the learning rate at `progress`, scaled to the batch size.

        Args:
            progress: share of optimiser steps done, in [0, 1].
            history: validation robust accuracy after each finished epoch, for feedback shapes.
        """
        rate = self.lr.lr(progress, self.epochs, history)
        return rate * self.optimizer.scale(self.batch_size)

    @property
    def peak_rate(self) -> float:
        """Return the shape's peak, scaled to the batch size: never near zero, as a rate can be."""
        return self.lr.peak * self.optimizer.scale(self.batch_size)

    def replace(self, changes: Mapping[str, Any]) -> TrialConfig:
        """Return a new configuration with nested or dotted keys changed, checked again."""
        return self.parse(merge(self.tree(), changes))

    def tree(self) -> dict[str, Any]:
        """Return JSON values, nested, with defaults; no `probe` without one: older hashes stay."""
        return self.model_dump(mode="json", exclude=None if self.probe.at else {"probe"})

    def flat(self) -> dict[str, Any]:
        """Return `{dotted key: leaf}`; lists stay whole."""
        return flatten(self.tree())

    def canonical(self) -> str:
        """Return the canonical JSON: sorted keys, no spaces, shortest floats, UTF-8."""
        return json.dumps(self.tree(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def sha256(self) -> str:
        """Return the hex SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    @property
    def config_id(self) -> str:
        """Return 12 hex digits that name the configuration whatever its seed."""
        tree = {k: v for k, v in self.tree().items() if k != "seed"}
        text = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def merge(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `tree` with nested or dotted `changes` applied, as two layers (`rayat.layers`).

    Naming another method (`lr.shape`, `attack.name`, or the bare `attack: fgsm`) drops the old
    method's own parameters and keeps those that every method of the room has, such as `lr.peak`: an
    override of the name alone therefore always gives a valid part. A mapping given for a whole part
    replaces it.
    """
    return merge_layers([Layer(tree), Layer(changes)]).tree


def merge_layers(layers: Sequence[Layer]) -> Merged:
    """Return the layers of a configuration as one tree. Raises ConfigError like `layered`."""
    return layered(layers, TrialConfig.model_fields, _default)


def _default(head: str) -> dict[str, Any]:
    part = TrialConfig.model_fields[head].get_default(call_default_factory=True)
    spec: dict[str, Any] = part.spec()
    return spec


def known_keys(tree: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys of a nested mapping, groups included."""
    groups = [k for k, v in tree.items() if isinstance(v, Mapping)]
    return sorted({*flatten(tree), *groups})
