"""What running another library's attacks needs: honest counts, and nothing global disturbed."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rayat.attacks.ball import Norm
from rayat.errors import ConfigError
from rayat.suites.base import Passes, finite, vanishes

NORMS: dict[Norm, Literal["Linf", "L2"]] = {"linf": "Linf", "l2": "L2"}
"""The names that pyautoattack uses."""


class Counted(nn.Module):
    """A network that counts the images that go through it, and keeps what is not finite from them.

    Where logits are not finite the attack is shown certainty of the label, a point that is neither
    adversarial nor promising; a gradient that is not finite is shown as zero. Which image such a
    point belongs to is not told by the library: it is the nearest one.

    Args:
        x, y: the images under attack (B, C, H, W) and their labels.
        ce: whether the first gradient that is asked for is the cross-entropy's.

    Attributes:
        broken, flat: bool (B,), as in `Survey`; `flat` is that of the first backward pass.
    """

    def __init__(
        self, model: nn.Module, passes: Passes, x: Tensor, y: Tensor, ce: bool = False
    ) -> None:
        super().__init__()
        self.model, self.passes = model, passes
        self.x, self.y, self.ce = x, y, ce
        self.broken = torch.zeros_like(y, dtype=torch.bool)
        self.flat = torch.zeros_like(self.broken)
        self._begun = False

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, H, W) to logits (B, classes)."""
        differentiated = torch.is_grad_enabled() and x.requires_grad
        points = x.detach()
        if differentiated:
            x = x.view_as(x)  # a hook on it sees this pass alone
        logits: Tensor = self.model(x)
        self.passes.forward += len(x)
        plain = logits.detach()
        known = finite(plain)
        if not known.all():
            rows = self._owners(points[~known])
            self.broken[rows] = True
            certain = torch.zeros_like(plain)
            certain[~known] = F.one_hot(self.y[rows], plain.shape[1]).to(plain.dtype) * 100
            logits = torch.where(known[:, None], logits, certain)
        if differentiated and logits.requires_grad:
            x.register_hook(lambda gradient: self._back(points, plain, gradient))  # type: ignore[no-untyped-call]
        return logits

    def _back(self, points: Tensor, logits: Tensor, gradient: Tensor) -> Tensor:
        self.passes.backward += len(points)
        known = finite(gradient)
        if not self._begun:
            self._begun = True
            rows = self._owners(points)
            none = gradient.flatten(1).abs().amax(1) == 0
            if self.ce:
                none |= vanishes(logits, self.y[rows])
            self.flat[rows] = none & (logits.argmax(1) == self.y[rows])
        if known.all():
            return gradient
        self.broken[self._owners(points[~known])] = True
        return gradient.nan_to_num(0.0, 0.0, 0.0)

    def _owners(self, points: Tensor) -> Tensor:
        """Return the places of the nearest images."""
        if len(points) == len(self.x):
            return torch.arange(len(points), device=points.device)
        flat = self.x.flatten(1)
        return torch.cat(
            [torch.cdist(p, flat).argmin(1) for p in torch.split(points.flatten(1), 64)]
        )


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


def installed(suite: str) -> None:
    """Refuse a suite whose library is not there.

    Raises:
        ConfigError: with how to install it.
    """
    if importlib.util.find_spec("pyautoattack") is None:
        raise ConfigError(
            f"suite {suite!r} needs the package pyautoattack, which is not installed: "
            "pip install pyautoattack, or leave the suite out"
        )


def rows_first(x: Tensor) -> Tensor:
    """Return images in (B, C, H, W) memory order, which pyautoattack's views need."""
    return x.contiguous(memory_format=torch.contiguous_format)
