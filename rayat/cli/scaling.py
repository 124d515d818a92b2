"""The part of `rayat plan` that says what several workers bring, before anyone has them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rayat.cli.text import columns, duration
from rayat.compare.text import printable
from rayat.errors import ConfigError

if TYPE_CHECKING:
    from rayat.config import TrialConfig
    from rayat.data.base import Prepared
    from rayat.planning.estimate import Estimate
    from rayat.planning.plan import Group

CLUSTER_LINK, LOCAL_LINK = "1Gbit/s", "8Gbit/s,50us"
"""What is assumed of a cluster's links, and of messages that stay in this machine's memory."""
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


def counts(text: str) -> list[int]:
    """Return the numbers of `1,2,4`, distinct and rising.

    Raises:
        ConfigError: something else.
    """
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        found = [0]
    if found[0] < 1:
        raise ConfigError(f"--workers needs counts such as 1,2,4, got {text!r}")
    return found


def scaling(groups: Sequence[Group], workers: str | None, link: str | None) -> list[dict[str, Any]]:
    """Return the prediction for each number of workers.

    Args:
        groups: the study's configurations with their measured cost. workers: the counts for the
            first of them, such as `1,2,4`; None: the configurations that have several.
        link: of hosts like this one, a worker on each, such as `1Gbit/s`; None: all workers share
            this machine's cores.

    Raises:
        ConfigError: counts or link are none, or a batch cannot be split so.
    """
    from rayat.data.prepare import prepare
    from rayat.planning.plan import measured_cost
    from rayat.planning.scaling import Link, predict

    over = Link.parse(link or LOCAL_LINK)
    cores = len(os.sched_getaffinity(0)) if link is None else None
    pairs: list[tuple[TrialConfig, Estimate]]
    known: dict[str, Prepared] = {}

    def data(config: TrialConfig) -> Prepared:
        source = json.dumps(config.data.spec(), sort_keys=True)
        if source not in known:
            known[source] = prepare(config.data)
        return known[source]

    if workers is None:
        configs = [(group.trials[0].config, group.cost) for group in groups]
        pairs = [(config, found) for config, found in configs if config.workers > 1]
    else:
        first = groups[0].trials[0].config
        several = [first.replace({"workers": count}) for count in counts(workers)]
        pairs = [(config, measured_cost(config, data(config))) for config in several]
    found: list[dict[str, Any]] = []
    alone: float | None = None
    for config, estimate in pairs:
        step, steps = predict(config, data(config), estimate, over, cores)
        if config.workers == 1:
            alone = step.seconds
        found.append(
            {
                "workers": config.workers,
                "exchange": config.exchange.spec(),
                "batch_per_worker": config.batch_size // config.workers,
                "compute_seconds": step.compute,
                "codec_seconds": step.codec,
                "network_seconds": step.network,
                "hidden_seconds": step.hidden,
                "exchange_seconds": step.exchange,
                "step_seconds": step.seconds,
                "epoch_seconds": steps * step.seconds,
                "bytes_per_step": step.nbytes,
                "speed_up": None if alone is None else alone / step.seconds,
            }
        )
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
    from rayat.study import label

    usual = EXCHANGES.build(spec["name"]).spec()
    changed = {key: value for key, value in spec.items() if usual[key] != value}
    return label({"name": spec["name"], **changed})


def milliseconds(seconds: float) -> str:
    """Return seconds as `12.3 ms`."""
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{1000 * seconds:.0f} ms"
