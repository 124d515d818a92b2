"""A measured number beside the bar it has to reach, and the Parquet table of such rows."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from rayat.ledger.files import make_folder, replace_file

SCHEMA_VERSION = 1
METADATA_KEY = b"rayat.bench"
COLUMNS: dict[str, pa.DataType] = {
    "name": pa.string(),
    "what": pa.string(),
    "unit": pa.string(),
    "value": pa.float64(),
    "low": pa.float64(),
    "high": pa.float64(),
    "rounds": pa.int64(),
    "bar": pa.float64(),
    "bar_side": pa.string(),
    "passed": pa.bool_(),
    "state": pa.string(),
    "reason": pa.string(),
    "context_json": pa.string(),
}
SCHEMA = pa.schema(COLUMNS)
State = Literal["ok", "missed", "no bar", "not judged", "not run"]


@dataclass(frozen=True)
class Bar:
    """What a value has to reach: at least `limit`, or with `side="<="` at most."""

    limit: float
    side: Literal[">=", "<="] = ">="

    def holds(self, value: float) -> bool:
        """Return whether the value reaches the bar; NaN never does."""
        return value >= self.limit if self.side == ">=" else value <= self.limit


@dataclass(frozen=True)
class BenchRow:
    """One measured number.

    Attributes:
        name: such as `B1.a`; the part before the point is the benchmark's.
        what: what is divided by what, or what is measured, in words.
        unit: `x` for a ratio, `share`, `s`, `ms`, `MB`, ...
        value: the median over the rounds; None if it was not measured. low, high: their extremes.
        rounds: how many measurements the median is over.
        bar: None where nothing is promised.
        judged: False for sizes too small to claim anything by (`--quick`).
        reason: why there is no value, and what to do about it.
        context: numbers behind the value, JSON values.
    """

    name: str
    what: str
    unit: str = "x"
    value: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int = 0
    bar: Bar | None = None
    judged: bool = True
    reason: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """Return the verdict in two words at most."""
        if self.value is None:
            return "not run"
        if self.bar is None:
            return "no bar"
        if not self.judged:
            return "not judged"
        return "ok" if self.bar.holds(self.value) else "missed"

    @property
    def passed(self) -> bool | None:
        """Return whether the bar was reached, None where that cannot be said."""
        return {"ok": True, "missed": False}.get(self.state)

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values, its verdict included."""
        bar = {"limit": self.bar.limit, "side": self.bar.side} if self.bar else None
        fields = {k: getattr(self, k) for k in ("name", "what", "unit", "value", "low", "high")}
        return {
            **fields,
            "rounds": self.rounds,
            "bar": bar,
            "passed": self.passed,
            "state": self.state,
            "reason": self.reason or None,
            "context": dict(self.context),
        }


def measured(name: str, what: str, samples: Sequence[float], **fields: Any) -> BenchRow:
    """Return the row of the samples' median, with their extremes."""
    return BenchRow(
        name,
        what,
        value=statistics.median(samples),
        low=min(samples),
        high=max(samples),
        rounds=len(samples),
        **fields,
    )


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Return the ratio of each round: what slows a whole round down falls out of it.

    Args:
        numerators, denominators: seconds of the two sides, one each per round.
    """
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def write(path: Path, rows: Iterable[BenchRow], machine: Mapping[str, Any]) -> None:
    """Write the rows to one Parquet file, the machine in its metadata; replaces the file whole.

    Raises:
        LedgerError: the file cannot be written.
    """
    entries = []
    for row in rows:
        entry = row.to_json()
        bar = entry.pop("bar") or {"limit": None, "side": None}
        context = json.dumps(entry.pop("context"), sort_keys=True)
        entry.update(bar=bar["limit"], bar_side=bar["side"], context_json=context)
        entries.append(entry)
    about = {"schema_version": SCHEMA_VERSION, **machine}
    table = pa.Table.from_pylist(
        entries, schema=SCHEMA.with_metadata({METADATA_KEY: json.dumps(about).encode()})
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    make_folder(path.parent)
    replace_file(path, sink.getvalue().to_pybytes())
