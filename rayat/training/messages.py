"""What a trial tells its driver: each kind a class, written and read here and nowhere else.

A message travels through Ray as text: nulls and floats then stay what they are. No torch: the
driver reads it too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayat.columns import SHARED_FROM
from rayat.errors import RayatError


@dataclass(frozen=True)
class Report:
    """One epoch's row.

    Attributes:
        row: keys as in the ledger's `epochs` table, and `outcome` if the epoch ended the trial.
        start: `host:process:...`, another one each time the trial is started: the driver counts
            attempts by it, also those that Ray Train makes without telling Tune.
        device: that the trial runs on.
    """

    row: Mapping[str, Any]
    start: str
    device: str | None = None


@dataclass(frozen=True)
class Evaluated:
    """Rows of the ledger's `evals` table, measured where the trial ran."""

    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Lost:
    """The trial's workers ended; it starts again, or, if `final`, does not.

    Attributes:
        kind: of the fault, as in the event `lost` (`orchestration.faults.Kind`).
    """

    reason: str
    kind: str
    final: bool


@dataclass(frozen=True)
class Failed:
    """The trial's own error, which would only come again."""

    reason: str
    device: str | None = None


Message = Report | Evaluated | Lost | Failed
KINDS: dict[str, type[Message]] = {
    "report": Report,
    "evaluated": Evaluated,
    "lost": Lost,
    "failed": Failed,
}


def to_text(message: Message) -> str:
    """Return a message as JSON, which names its kind."""
    return json.dumps({"kind": type(message).__name__.lower(), "content": vars(message)})


def shared(text: str) -> bool:
    """Return whether a message reports an epoch that another trial trained."""
    told = parse(text) if text else None
    return isinstance(told, Report) and told.row.get(SHARED_FROM) is not None


def parse(text: str) -> Message:
    """Return the message that `to_text` wrote.

    Raises:
        RayatError: a kind that this version does not know, or one with other contents.
    """
    tagged = json.loads(text)
    kind = tagged.get("kind")
    if kind not in KINDS:
        raise RayatError(
            f"a trial sent a message of the unknown kind {kind!r} (known: {', '.join(KINDS)}): "
            "install the same version of rayat on every node"
        )
    try:
        return KINDS[kind](**tagged["content"])
    except (KeyError, TypeError) as error:
        raise RayatError(
            f"a trial sent a message of kind {kind!r} that this version cannot read ({error}): "
            "install the same version of rayat on every node"
        ) from None


def result(message: Message, epoch: int = 0) -> dict[str, Any]:
    """Return a message as Ray carries it, beside the epoch it is of (0: none)."""
    return {"epoch": epoch, "message": to_text(message)}
