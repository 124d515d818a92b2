"""What several workers would bring to a trial, before anyone has them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.data.identity import source_key
from rayat.data.prepare import prepare
from rayat.planning.estimate import Estimate
from rayat.planning.plan import Group, measured_cost
from rayat.planning.scaling import Link, predict

LOCAL_LINK = "8Gbit/s,50us"
"""What is assumed of messages that stay in this machine's memory."""


def predictions(
    groups: Sequence[Group], workers: Sequence[int] | None, link: str | None
) -> list[dict[str, Any]]:
    """Return the prediction for each number of workers.

    Args:
        groups: the study's configurations with their measured cost. workers: the counts for the
            first of them, at least 1 each; None: the configurations that have several.
        link: of hosts like this one, a worker on each, such as `1Gbit/s`; None: all workers share
            this machine's cores.

    Raises:
        ConfigError: counts or link are none, or a batch cannot be split so.
    """
    over = Link.parse(link or LOCAL_LINK)
    cores = len(os.sched_getaffinity(0)) if link is None else None
    pairs: list[tuple[TrialConfig, Estimate]]
    known: dict[str, Prepared] = {}

    def data(config: TrialConfig) -> Prepared:
        source = source_key(config.data)
        if source not in known:
            known[source] = prepare(config.data)
        return known[source]

    if workers is None:
        configs = [(group.trials[0].config, group.cost) for group in groups]
        pairs = [(config, found) for config, found in configs if config.workers > 1]
    else:
        first = groups[0].trials[0].config
        several = [first.replace({"workers": count}) for count in workers]
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
