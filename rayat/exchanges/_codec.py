"""QSGD's quantiser and its bytes: a norm per group of coordinates, a sign and a level for each.

For a group g with b bits, s = 2^b - 1 (docs/papers.md 3.5):

    r_j = s |g_j| / ||g||_2,   level_j = floor(r_j) + Bernoulli(r_j - floor(r_j))
    Q(g)_j = ||g||_2 sign(g_j) level_j / s

so E[Q(g)] = g, and E||Q(g) - g||^2 <= min(d / s^2, sqrt(d) / s) ||g||^2 for d coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

FLOAT = 4
"""Bytes of a single-precision number."""


@dataclass(frozen=True)
class Codec:
    """Encodes a vector of fixed length as a message of fixed length.

    A message holds the norms (float32), then b + 1 bits a coordinate (`pack`).

    Attributes:
        sizes: how many neighbours share a norm, group by group; each >= 1, may be empty.
        bits: b, of a level, 1 to 8; the sign has one more.
    """

    sizes: tuple[int, ...]
    bits: int

    @property
    def numel(self) -> int:
        """Return the number of coordinates."""
        return sum(self.sizes)

    @property
    def levels(self) -> int:
        """Return s, the largest level."""
        return (1 << self.bits) - 1

    @property
    def nbytes(self) -> int:
        """Return the length of a message."""
        return FLOAT * len(self.sizes) + packed_bytes(self.numel, self.bits + 1)

    def encode(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return the message, uint8 of shape (nbytes,), of a float32 vector of shape (numel,).

        A group with a value that is not finite decodes to one that is not finite.

        Args:
            generator: of the rounding, on x's device.
        """
        norms = self._norms(x)
        share = x.abs() / self._spread(norms)
        noise = torch.rand(x.shape, generator=generator, device=x.device)
        # Squares that underflow make a norm too small: above s is the sign's bit. In a group of
        # zeros 0 / 0 is level 0.
        level = share.mul_(self.levels).add_(noise).floor_().clamp_(max=self.levels)
        code = level.nan_to_num_(0.0).to(torch.int16)
        code |= x.signbit().to(torch.int16) << self.bits
        return torch.cat([norms.view(torch.uint8), pack(code, self.bits + 1)])

    def decode(self, message: Tensor) -> Tensor:
        """Return Q(x), float32 of shape (numel,), of a message; what follows it is ignored."""
        split = FLOAT * len(self.sizes)
        norms = message[:split].clone().view(torch.float32)  # a view needs aligned memory
        code = unpack(message[split : self.nbytes], self.bits + 1, self.numel)
        # The sign's bit is masked, not divided away: a division that keeps fractions would leave
        # half a level of it in every value (docs/papers.md 3.8).
        value = (code & self.levels).float().div_(self.levels).mul_(self._spread(norms))
        return torch.where(code >> self.bits == 1, -value, value)

    def nearest(self, message: Tensor, x: Tensor) -> Tensor:
        """Return a message with its norms changed: each group decodes to its multiple nearest to x.

        What it leaves out of x is never longer than x, however few the bits are, which error
        feedback needs in order not to grow; its mean is no longer x.
        """
        split = FLOAT * len(self.sizes)
        value = self.decode(message)
        length = self._sums(value * value)
        scale = torch.where(length == 0, 1.0, self._sums(value * x) / length)
        norms = message[:split].clone().view(torch.float32) * scale
        return torch.cat([norms.view(torch.uint8), message[split:]])

    @property
    def _run(self) -> int | None:
        """Return the size that all groups but a smaller last one have, or None."""
        size = self.sizes[0] if self.sizes else 1
        even = all(each == size for each in self.sizes[:-1])
        return size if even and self.sizes[-1:] <= (size,) else None

    def _norms(self, x: Tensor) -> Tensor:
        """Return each group's Euclidean norm, (groups,)."""
        rows = self._rows(x)
        if rows is None:
            groups = torch.split(x, list(self.sizes))
            return torch.stack([torch.linalg.vector_norm(group) for group in groups])
        norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
        return norms

    def _sums(self, x: Tensor) -> Tensor:
        """Return each group's sum, (groups,)."""
        rows = self._rows(x)
        if rows is None:
            return torch.stack([group.sum() for group in torch.split(x, list(self.sizes))])
        return rows.sum(1)

    def _rows(self, x: Tensor) -> Tensor | None:
        """Return the groups as rows, the last one filled up with zeros, if all are as long."""
        size = self._run
        return None if size is None else F.pad(x, (0, -x.numel() % size)).view(-1, size)

    def _spread(self, values: Tensor) -> Tensor:
        """Return each coordinate's group's value, (numel,), for one a group."""
        size = self._run
        if size is None:
            pairs = zip(values, self.sizes, strict=True)
            return torch.cat([value.expand(width) for value, width in pairs])
        return values.repeat_interleave(size)[: self.numel]


def packed_bytes(count: int, width: int) -> int:
    """Return the bytes of `count` codes of `width` bits, their number rounded up to eights."""
    return width * (-(-count // 8))


def pack(code: Tensor, width: int) -> Tensor:
    """Return codes as uint8 of `packed_bytes`: bit planes, one after the other.

    The codes, filled up with zeros, are cut into eight equal rows; bit i of a plane's byte j is
    that of code j of row i. Codes of 8 bits are the bytes themselves.

    Args:
        code: int16 in [0, 2**width), shape (n,).
    """
    code = F.pad(code, (0, -code.numel() % 8))
    if width == 8:
        return code.to(torch.uint8)
    places = torch.arange(8, dtype=torch.int16, device=code.device)[:, None]
    rows = code.view(8, -1)
    planes = [((rows >> bit & 1) << places).sum(0, dtype=torch.int16) for bit in range(width)]
    return torch.cat(planes).to(torch.uint8)


def unpack(packed: Tensor, width: int, count: int) -> Tensor:
    """Return the first `count` codes, int16, of what `pack` returned."""
    if width == 8:
        return packed[:count].to(torch.int16)
    planes = packed.view(width, -1).to(torch.int16)
    places = torch.arange(8, dtype=torch.int16, device=packed.device)[:, None]
    rows = torch.zeros(8, planes.shape[1], dtype=torch.int16, device=packed.device)
    for bit, plane in enumerate(planes):
        rows |= (plane >> places & 1) << bit
    return rows.view(-1)[:count]
