"""Columns of a trial's report: those that every run has, and those that its methods declare.

An epoch's report holds the fixed columns below and whatever the trial's attacks, objective, pruner
and exchange declare in their `columns`. Each names its type, its unit and what it is; the epochs
table keeps all three in the fields' metadata, with the method that a declared column comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

from rayat.errors import ConfigError

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
KINDS = ("float", "int")


@dataclass(frozen=True)
class Column:
    """One column of the epochs table.

    Attributes:
        name: lower-case letters, digits and `_`.
        kind: `float` (64 bits; NaN and infinities become null) or `int` (64 bits).
        unit: such as `s`, `images`, `share of the images`; empty for a plain number.
        says: one line: what the number is.

    Raises:
        ConfigError: a name or type that cannot be a column.
    """

    name: str
    kind: Literal["float", "int"]
    unit: str
    says: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or self.name in KEYS:
            raise ConfigError(
                f"a report column is named by lower-case letters, digits and _, and not "
                f"{', '.join(sorted(KEYS))}, got {self.name!r}; name it otherwise"
            )
        if self.kind not in KINDS:
            raise ConfigError(
                f"column {self.name!r} is of the type {' or '.join(KINDS)}, got {self.kind!r}"
            )


@dataclass(frozen=True)
class Declared:
    """A column that one of a trial's methods adds to its report.

    Attributes:
        by: the method, such as `attack 'dynamic'`.
    """

    column: Column
    by: str

    def record(self) -> dict[str, str]:
        """Return its JSON form."""
        return {**asdict(self.column), "by": self.by}

    @classmethod
    def parse(cls, record: dict[str, Any]) -> Self:
        """Return what `record` gave."""
        fields = dict(record)
        by = fields.pop("by")
        return cls(Column(**fields), by)


SHARED_FROM = "shared_from"
"""The trial that trained an epoch for this one too; null where it trained it itself."""
KEYS = frozenset({"trial_id", "epoch", "attempt", "reported_at", "outcome", SHARED_FROM})
"""What else names a value of a report or a row of the epochs table."""

TRAINED: tuple[Column, ...] = (
    Column("lr", "float", "", "learning rate at the epoch's last step"),
    Column("attack_steps", "float", "steps per image", "mean gradient steps of the attack"),
    Column("eps", "float", "pixel scale or l2 length", "radius of the training attack"),
    Column("data_fraction", "float", "share of the split", "training images visited"),
    Column("train_loss", "float", "nats", "mean of the objective's loss"),
    Column("train_clean_acc", "float", "share", "null where the objective makes no clean pass"),
    Column("train_robust_acc", "float", "share", "accuracy under the training attack"),
    Column("val_clean_acc", "float", "share", "accuracy on the validation split"),
    Column("val_robust_acc", "float", "share", "the same under the validation attack"),
)
FOSC = Column("fosc", "float", "", "mean first-order stationary condition")
COSTS: tuple[Column, ...] = (
    Column("grad_norm", "float", "l2 length", "weight gradient at the epoch's last step"),
    Column("samples", "int", "images", "training images visited, all workers"),
    Column("fwd_passes", "int", "passes", "forward passes of training, all images and workers"),
    Column("bwd_passes", "int", "passes", "backward passes of training"),
    # Validation drives decisions and costs too.
    Column("eval_fwd_passes", "int", "passes", "forward passes of validation"),
    Column("eval_bwd_passes", "int", "passes", "backward passes of validation"),
    Column("comm_bytes", "int", "bytes", "gradients sent by one worker"),
    Column("data_seconds", "float", "s", "making batches"),
    Column("attack_seconds", "float", "s", "the training attack"),
    Column("train_seconds", "float", "s", "forward, backward and update of the weights"),
    Column("selection_seconds", "float", "s", "choosing images to train on"),
    Column("eval_seconds", "float", "s", "validation"),
    Column("checkpoint_seconds", "float", "s", "writing the checkpoint of the epoch before"),
)
TOTALS: tuple[Column, ...] = (
    Column("seconds_cum", "float", "s", "all seconds since epoch 1, over all attempts that count"),
    Column("passes_cum", "int", "passes", "all four pass counts since epoch 1"),
)
"""Computed from the rows; a report may hold them, and they are not believed."""
GRAD_L1 = Column("grad_l1", "float", "l1 length", "mean, of the attack's last input gradient")
START_SIZE = Column("start_size", "float", "radii", "mean |start| / eps of a learned start")
START_AGREEMENT = Column(
    "start_agreement", "float", "share", "of a learned start's signs that are the gradient's"
)
RANDOM_FILL = Column("random_fill", "float", "share", "of a selection that was drawn at random")
LATER: tuple[Column, ...] = (
    Column("rollback_epoch", "int", "epoch", "whose weights were taken back after a collapse"),
    GRAD_L1,
    START_SIZE,
    START_AGREEMENT,
    RANDOM_FILL,
    # Of train_seconds (docs/scaling.md).
    Column("seconds_exchange", "float", "s", "gradient exchange that delayed a worker, their mean"),
    Column("seconds_slowest", "float", "s", "data, attack and train of the slowest, without it"),
)
"""Added later: at the end of the table, where no reader of an older one looks."""

FIXED: dict[str, Column] = {
    column.name: column for column in (*TRAINED, FOSC, *COSTS, *TOTALS, *LATER)
}
"""The columns of a report in every run, besides its epoch."""
MEASURED = (FOSC, GRAD_L1, START_SIZE, START_AGREEMENT, RANDOM_FILL)
"""Those of them that methods fill; they declare them like their own."""


class Reporting(Protocol):
    """A method that may add columns to the report."""

    kind: ClassVar[str]
    columns: ClassVar[tuple[Column, ...]]
    """Those that the class adds to what its bases declare."""


def columns_of(part: Reporting) -> dict[str, Column]:
    """Return the columns that a method's class and its bases declare, by name."""
    owners = reversed(type(part).__mro__)
    return {c.name: c for owner in owners for c in owner.__dict__.get("columns", ())}


def declared(parts: Iterable[tuple[str, Reporting]]) -> dict[str, Declared]:
    """Return the columns that parts declare, by name, fixed ones left out.

    Args:
        parts: (what it is, such as `attack`; the part).

    Raises:
        ConfigError: one name means two things, or is a fixed column that no method fills.
    """
    found: dict[str, Declared] = {}
    for role, part in parts:
        by = f"{role} {part.kind!r}"
        for column in columns_of(part).values():
            if column in MEASURED:
                continue
            if column.name in FIXED:
                raise ConfigError(
                    f"{by} declares the column {column.name!r}, which every report has; "
                    "name it otherwise"
                )
            add(found, Declared(column, by))
    return found


def add(found: dict[str, Declared], new: Declared) -> None:
    """Add a declared column to those by name.

    Raises:
        ConfigError: the name is declared with another type, unit or meaning.
    """
    old = found.setdefault(new.column.name, new)
    if old.column != new.column:
        raise ConfigError(
            f"{new.by} declares the column {new.column.name!r} as {_text(new.column)}, and "
            f"{old.by} as {_text(old.column)}; name one of them otherwise"
        )


def refuse_undeclared(names: Iterable[str], role: str, part: Reporting) -> None:
    """Refuse values that a method reports without having declared their columns.

    Raises:
        ConfigError: with the first such column and who must declare it.
    """
    known = columns_of(part)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{role} {part.kind!r} reports {name!r}, a column that it does not declare; "
                f"add Column({name!r}, 'float', unit, meaning) to its `columns`"
            )


def _text(column: Column) -> str:
    return f"{column.kind}, {column.unit or 'no unit'}, {column.says!r}"
