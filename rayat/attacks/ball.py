"""The sets that attacks stay in: an l-infinity or l2 ball around each image, cut with [0, 1]."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor

Norm = Literal["linf", "l2"]


class Ball(Protocol):
    """The images that are allowed for each image of a batch, the centres `x`."""

    x: Tensor
    eps: float

    def noisy(self, generator: torch.Generator) -> Tensor:
        """Return the centres with noise of the ball added, not yet cut with the pixel box."""

    def clamp_(self, x: Tensor) -> Tensor:
        """Move `x` (B, C, H, W) into the set, in place: the nearest ball point, then the box."""

    def shorten_(self, delta: Tensor) -> Tensor:
        """Move differences from the centres (B, C, H, W) into the ball, in place; not the box."""

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the steepest step of length 1 in the ball's norm; a new tensor."""

    def take(self, rows: Tensor) -> Ball:
        """Return the set of some rows of the batch."""


class LinfBall:
    """Images whose pixels all differ by at most eps from `x`'s, and lie in [0, 1]."""

    def __init__(self, x: Tensor, eps: float) -> None:
        self.x, self.eps = x, eps
        self.lower, self.upper = (x - eps).clamp_(min=0), (x + eps).clamp_(max=1)

    def noisy(self, generator: torch.Generator) -> Tensor:
        """Return `x + U(-eps, eps)`."""
        return self.x + _like(self.x).uniform_(-self.eps, self.eps, generator=generator)

    def clamp_(self, x: Tensor) -> Tensor:
        """Clip every pixel."""
        return x.clamp_(self.lower, self.upper)

    def shorten_(self, delta: Tensor) -> Tensor:
        """Clip every difference to eps."""
        return delta.clamp_(-self.eps, self.eps)

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the sign; 0 where the gradient is 0 or NaN."""
        return gradient.sign()

    def take(self, rows: Tensor) -> LinfBall:
        """Return the ball of some rows."""
        some = object.__new__(LinfBall)
        some.eps = self.eps
        some.x, some.lower, some.upper = self.x[rows], self.lower[rows], self.upper[rows]
        return some


class L2Ball:
    """Images at most eps from `x` in Euclidean distance over all pixels, and in [0, 1]."""

    def __init__(self, x: Tensor, eps: float) -> None:
        self.x, self.eps = x, eps

    def noisy(self, generator: torch.Generator) -> Tensor:
        """Return `x` plus a point drawn uniformly from the ball."""
        noise = _like(self.x).normal_(generator=generator)
        radius = torch.empty(len(noise), dtype=noise.dtype, device=noise.device)
        radius.uniform_(generator=generator).pow_(1 / noise[0].numel()).mul_(self.eps)
        return self.x + self.direction(noise) * radius.view(-1, 1, 1, 1)

    def clamp_(self, x: Tensor) -> Tensor:
        """Shrink each difference to length eps, then clip the pixels.

        Clipping moves every pixel towards its centre, which lies in the box, so the result is
        still in the ball.
        """
        away = x - self.x
        longer = _norms(away) > self.eps
        shrunk = self.x + self.direction(away) * self.eps
        return x.copy_(torch.where(longer, shrunk, x)).clamp_(0, 1)

    def shorten_(self, delta: Tensor) -> Tensor:
        """Shrink each difference that is longer to length eps."""
        longer = _norms(delta) > self.eps
        return delta.copy_(torch.where(longer, self.direction(delta) * self.eps, delta))

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the gradient at length 1; 0 where it is 0 or not finite."""
        # Scaled first: the squares of a tiny gradient would vanish in float32.
        scaled = gradient / gradient.abs().amax((1, 2, 3), keepdim=True)
        return (scaled / _norms(scaled)).nan_to_num_(0.0, 0.0, 0.0)

    def take(self, rows: Tensor) -> L2Ball:
        """Return the ball of some rows."""
        return L2Ball(self.x[rows], self.eps)


def ball(x: Tensor, eps: float, norm: Norm) -> Ball:
    """Return the set around the images `x` (B, C, H, W) in [0, 1]."""
    return LinfBall(x, eps) if norm == "linf" else L2Ball(x, eps)


def _like(x: Tensor) -> Tensor:
    """Return an empty tensor whose memory is in (B, C, H, W) order.

    Noise is drawn in that order whatever x's memory format, so that channels-last is a matter of
    speed and not of results.
    """
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


def _norms(x: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True)
    return norms
