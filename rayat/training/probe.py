"""A cool-down probe: what a trial would be worth if its learning rate went to zero now.

The accuracy of a network that trains at a high rate says little of the one that it becomes when
the rate falls. After the epochs `probe.at` the state is kept in memory, `probe.epochs` epochs are
trained in which the rate falls straight to zero, the network is validated, and the state is taken
back: nothing of the training itself changes (docs/probe.md).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from rayat.training.epoch import train_epoch
from rayat.training.network import all_finite
from rayat.training.pace import progress_of
from rayat.training.setup import Training

COUNTS = ("fwd_passes", "bwd_passes", "comm_bytes")
"""What the epochs of a probe cost besides their seconds."""


def probe(
    training: Training,
    epoch: int,
    history: Sequence[float],
    validate: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """Return the accuracies after a cool-down that begins now, and what it cost, on every worker.

    The epochs of the cool-down are those that would follow: their order of images, starts and
    attacks, at another rate. The clock runs on and is the caller's to read.

    Args:
        epoch: the last one trained, 1-based. history: validation robust accuracy up to it, for
            feedback shapes. validate: returns the validation's part of a row.

    Returns:
        `probe_clean_acc` and `probe_robust_acc`, None if the network is not finite after it; and
        `fwd_passes`, `bwd_passes` (validation included) and `comm_bytes`.
    """
    config, length = training.config, training.config.probe.epochs
    before = copy.deepcopy(training.state_dict())
    steps = training.steps
    # The very float of the epoch's last step, which stands in the epoch's key.
    start = config.rate(progress_of(epoch, steps - 1, steps, config.epochs), history)

    def rate(progress: float) -> float:
        # In whole steps: trials of other lengths that share the epoch share its probe to the bit.
        done = round(progress * config.epochs * steps) - epoch * steps
        return start * (1 - done / (length * steps))

    spent = dict.fromkeys(COUNTS, 0)
    for number in range(epoch + 1, epoch + length + 1):
        row = train_epoch(training, number, history, rate)
        for name in COUNTS:
            spent[name] += row[name]
    found = {"probe_clean_acc": None, "probe_robust_acc": None}
    training.exchange.settle_norms(training.model, config.batch_norm)
    if all_finite(training.model):
        row = validate()
        spent["fwd_passes"] += row["eval_fwd_passes"]
        spent["bwd_passes"] += row["eval_bwd_passes"]
        found = {f"probe_{name}": row[f"val_{name}"] for name in ("clean_acc", "robust_acc")}
    training.load_state_dict(before)
    return {**found, **spent}
