"""What running another library's attacks needs: honest counts, and nothing global disturbed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from rayat.attacks._ball import Norm
from rayat.suites.base import Passes

NORMS: dict[Norm, Literal["Linf", "L2"]] = {"linf": "Linf", "l2": "L2"}
"""The names that pyautoattack uses."""


class Counted(nn.Module):
    """A network that counts the images that go through it, forwards and backwards."""

    def __init__(self, model: nn.Module, passes: Passes) -> None:
        super().__init__()
        self.model, self.passes = model, passes

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, classes)."""
        logits: Tensor = self.model(x)
        count = len(x)
        self.passes.forward += count
        if logits.requires_grad:

            def back(gradient: Tensor) -> None:
                self.passes.backward += count

            logits.register_hook(back)  # type: ignore[no-untyped-call]
        return logits


@contextmanager
def borrowed(generator: torch.Generator) -> Iterator[int]:
    """Give a seed drawn from `generator`; leave what pyautoattack changes as it was.

    It seeds torch's global generators, sets Python's trace function to None, and warns on a logger
    of checks that `rayat evaluate` makes itself.
    """
    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = list(range(torch.cuda.device_count())) if started else []
    logger, trace = logging.getLogger("auto-attack"), sys.gettrace()
    disabled, logger.disabled = logger.disabled, True
    try:
        with torch.random.fork_rng(devices=devices):
            yield seed
    finally:
        sys.settrace(trace)
        logger.disabled = disabled


def rows_first(x: Tensor) -> Tensor:
    """Return images in (B, C, H, W) memory order, which pyautoattack's views need."""
    return x.contiguous(memory_format=torch.contiguous_format)
