"""One worker per trial: a Tune function in a reused actor."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune

from rayat.orchestration.final_eval import checkpoint_rows
from rayat.orchestration.shared_data import SharedData
from rayat.planning.placement import Need
from rayat.training.launched import LauncherContext, Order, cuda_device, perform
from rayat.training.messages import Evaluated, result


def trial(config: dict[str, Any], shared: SharedData) -> None:
    """Run one trial in this process; `tune.report` ends it by `SystemExit` when it is stopped."""
    order = Order(**config["order"])
    context = LauncherContext(
        send=tune.report,
        shared=shared,
        folder=Path(order.folder),
        reported=order.reported,
        device=cuda_device(),
    )
    try:
        if perform(order, context) and order.final_eval:
            # A suite that failed is asked again, and named, when the sweep is over.
            rows, _ = checkpoint_rows(order.trial_id, order.config, context.folder, shared)
            context.send(result(Evaluated(rows)))
    finally:
        # The process serves the next trial: leave it no model of this one.
        gc.collect()


def trainable(shared: SharedData, need: Need) -> Callable[..., Any]:
    """Return the trainable for Tune, with its data and resources attached."""
    resources = {"cpu": need.cpus_per_worker}
    if need.gpus_per_worker:
        resources["gpu"] = need.gpus_per_worker
    bound: Callable[..., Any] = tune.with_resources(
        tune.with_parameters(trial, shared=shared), resources
    )
    return bound
