"""What an epoch costs: exact counts, and seconds by part."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from rayat.distributed.waiting import Waiting

Part = Literal["data", "attack", "train", "selection", "eval", "checkpoint"]
PARTS: tuple[Part, ...] = ("data", "attack", "train", "selection", "eval", "checkpoint")


@dataclass
class Counters:
    """Counts of one epoch of this worker, summed over samples; integers, so sums are exact.

    Attributes:
        samples: training images visited.
        fwd_passes, bwd_passes: of training, attack included; one image through the network.
        attack_steps: gradient steps of the attack.
        comm_bytes: gradient bytes that this worker sent (`exchanges.base.bytes_per_step`).
    """

    samples: int = 0
    fwd_passes: int = 0
    bwd_passes: int = 0
    attack_steps: int = 0
    comm_bytes: int = 0


class Clock:
    """Seconds of each part since the last `take`, from a monotonic clock or the device's own.

    On CUDA the work is queued, so parts are timed by events in the queue and read once, in `take`:
    timing an epoch waits for the device once and not at every step.

    Attributes:
        waiting: seconds of gradient exchange, which are in those of the part `train` too.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.cuda = torch.device(device).type == "cuda"
        self.waiting = Waiting()
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._events: list[tuple[Part, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def part(self, name: Part) -> Iterator[None]:
        """Time the block as part `name`; parts do not nest."""
        if self.cuda:
            start, end = _event(), _event()
            start.record()
            yield
            end.record()
            self._events.append((name, start, end))
        else:
            begin = time.perf_counter()
            yield
            self._seconds[name] += time.perf_counter() - begin

    def take(self) -> dict[Part, float]:
        """Return the seconds of every part and start again from zero."""
        if self._events:
            torch.cuda.synchronize()
            for name, start, end in self._events:
                self._seconds[name] += start.elapsed_time(end) / 1000
            self._events.clear()
        seconds, self._seconds = self._seconds, dict.fromkeys(PARTS, 0.0)
        return seconds


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
