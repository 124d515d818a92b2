"""The part of `rayat plan` that says what several workers bring, before anyone has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rayat.cli.text import columns, duration
from rayat.compare.text import printable
from rayat.errors import ConfigError

HEADER = (
    "workers",
    "exchange",
    "batch each",
    "compute",
    "exposed",
    "step",
    "share",
    "epoch",
    "MB a step",
    "speed-up",
)


def counts(text: str | None) -> list[int] | None:
    """Return the numbers of `1,2,4`, distinct and rising; None for None.

    Raises:
        ConfigError: something else.
    """
    if text is None:
        return None
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = [0]
    if found[0] < 1:
        raise ConfigError(f"--workers needs counts such as 1,2,4, got {text!r}")
    return found


def table(rows: Sequence[Mapping[str, Any]], link: str | None) -> str:
    """Return the prediction as text, with what it assumes."""
    lines = [
        (
            row["workers"],
            printable(name(row["exchange"])),
            row["batch_per_worker"],
            milliseconds(row["compute_seconds"]),
            milliseconds(row["exchange_seconds"]),
            milliseconds(row["step_seconds"]),
            f"{row['exchange_seconds'] / row['step_seconds']:.0%}",
            duration(row["epoch_seconds"]),
            f"{row['bytes_per_step'] / 1e6:.3g}",
            "-" if row["speed_up"] is None else f"{row['speed_up']:.2f}",
        )
        for row in rows
    ]
    where = "on this machine" if link is None else f"for hosts like this one, links of {link}"
    said = f"predicted {where}; validation not counted (docs/scaling.md)"
    return f"{columns(lines, HEADER)}\n{said}"


def name(spec: Mapping[str, Any]) -> str:
    """Return an exchange in a few letters: what is not its default."""
    from rayat.registry import EXCHANGES
    from rayat.search.labels import label

    usual = EXCHANGES.build(spec["name"]).spec()
    changed = {key: value for key, value in spec.items() if usual[key] != value}
    return label({"name": spec["name"], **changed})


def milliseconds(seconds: float) -> str:
    """Return seconds as `12.3 ms`."""
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{1000 * seconds:.0f} ms"
