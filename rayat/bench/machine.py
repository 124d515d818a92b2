"""What a number was measured on, and what such a machine can be asked for."""

from __future__ import annotations

import os
from typing import Any

import torch

from rayat.host.machine import BF16_UNITS
from rayat.ledger.provenance import describe_environment


def about_machine() -> dict[str, Any]:
    """Return code, packages, processor, features, load and torch's own build, as JSON values."""
    about = describe_environment()
    del about["host"]
    return {
        **about,
        "load_average": loads(),
        "fast_bf16": fast_bf16(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def features() -> set[str]:
    """Return the processor features that change the speed of training."""
    return set(describe_environment()["hardware"]["features"])


def fast_bf16(found: set[str] | None = None) -> bool:
    """Return whether the processor has a unit for bf16; without one it is emulated, and slow.

    Args:
        found: features to judge; None: this machine's.
    """
    return bool(BF16_UNITS & (features() if found is None else found))


def loads() -> list[float]:
    """Return the load averages of the last 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def load() -> float:
    """Return the load average of the last minute, to be kept beside a number."""
    return loads()[0]
