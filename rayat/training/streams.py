"""Named streams of randomness: every purpose draws from its own, none disturbs another.

A stream is derived from the trial's seed, its name and its place (epoch, rank, batch) and from
nothing that ran before. So evaluating more often changes no training step, and a trial resumed at
an epoch needs no saved generator state: it derives the same streams as one that never stopped.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import torch

Name = Literal[
    "init",
    "data",
    "attack",
    "memory",
    "network",
    "selection",
    "rounding",
    "teacher",
    "val",
    "test",
]
"""Weights; order and augmentation; training attack; an attack's memory; dropout; pruning; gradient
exchange; the teacher's trial; attack on a split."""


def derive(seed: int, name: Name, *place: int) -> int:
    """Return the seed, in [0, 2**63), of stream `name` at `place`: unrelated for other arguments.

    Args:
        seed: the trial's. name: the purpose. place: such as the epoch, then the worker's rank.
    """
    text = "/".join(["rayat", str(seed), name, *map(str, place)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(
    seed: int, name: Name, *place: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Return a fresh generator on `device` at the beginning of the stream (see `derive`)."""
    return torch.Generator(device=device).manual_seed(derive(seed, name, *place))
