"""Timing by turns: every variant runs once a round, so that the machine's moods hit all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Settings:
    """How hard to measure.

    Attributes:
        rounds: turns of every variant. quick: sizes for a smoke test, from which nothing follows.
    """

    rounds: int = 5
    quick: bool = False

    def pick(self, full: int, quick: int) -> int:
        """Return the size of a full or of a quick measurement."""
        return quick if self.quick else full


QUICK = Settings(rounds=1, quick=True)


def clock_of(device: str) -> Callable[[], float]:
    """Return the clock that tells what a variant costs on `device`, in seconds.

    On the CPU it is the process' CPU time: with one thread it is what a free core would need,
    whatever else the machine does. On CUDA it is wall time after the device
    has finished what was queued.
    """
    if torch.device(device).type == "cpu":
        return time.process_time

    def now() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return now


def interleave(
    bodies: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Return the seconds of each body in each round; all run once before, untimed.

    Every other round goes backwards, so that none always follows the same one.
    """
    for body in bodies.values():
        body()
    seconds: dict[str, list[float]] = {name: [] for name in bodies}
    for number in range(rounds):
        order = list(bodies.items())
        for name, body in order[::-1] if number % 2 else order:
            began = clock()
            body()
            seconds[name].append(clock() - began)
    return seconds
