"""QSGD: gradients in a few bits a coordinate, rounded at random so that the mean stays right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rayat.distributed.exchange import Exchange
from rayat.exchanges._codec import Codec
from rayat.exchanges.base import FLOAT, GradientExchange, WholeReducer, to_each
from rayat.registry import EXCHANGES


@EXCHANGES.register("qsgd")
class QSGD(GradientExchange):
    """Stochastic rounding to `bits` bits and a sign: unbiased, a quarter of the bytes at 7 bits.

    Source: Alistarh et al., QSGD, NeurIPS 2017; as in DAT (docs/papers.md 3.3 and 3.5), whose
    released form is `bits=7, per="tensor", sides=1, scheme="gather"`.
    """

    bits: int = Field(7, ge=1, le=8, description="of a level; the sign is one more")
    per: Literal["tensor", "bucket"] = Field(
        "tensor", description="what shares a norm; bucket: `bucket_size` neighbours"
    )
    bucket_size: int = Field(512, ge=1, description="coordinates that share a norm, per bucket")
    sides: Literal[1, 2] = Field(2, description="2: the mean is rounded too before it comes back")
    scheme: Literal["auto", "gather", "scatter"] = Field(
        "auto", description="everything to everyone, or each its share; auto: the fewer bytes"
    )
    error_feedback: bool = Field(
        False, description="add what rounding left out to the next gradient, and to the next mean"
    )

    @property
    def remembers(self) -> bool:
        """Return whether there is error feedback."""
        return self.error_feedback

    def sent(self, shapes: Sequence[Sequence[int]], world_size: int) -> int:
        """Return the bytes of the messages."""
        return self._sent(self.plan(shapes, world_size), world_size)

    def rounds(self, shapes: Sequence[Sequence[int]], world_size: int) -> int:
        """Return one for every other worker, twice where each averages its share."""
        return (world_size - 1) * (1 if len(self.plan(shapes, world_size)) == 1 else 2)

    def reducer(self, parameters: Sequence[nn.Parameter], workers: Exchange) -> QuantisedReducer:
        """Return the hook; with error feedback it remembers what was left out."""
        return QuantisedReducer(self, parameters, workers)

    def plan(self, shapes: Sequence[Sequence[int]], world_size: int) -> list[Codec]:
        """Return how the gradient is cut and encoded: one piece to gather, or M to scatter.

        The pieces are equally long but for the last ones. A tensor that is cut has a norm in each
        of its pieces.
        """
        sizes = [size for shape in shapes if (size := math.prod(shape))]
        whole, pieces = self._codecs(sizes, 1), self._codecs(sizes, world_size)
        if self.scheme == "auto":
            fewer = self._sent(pieces, world_size) < self._sent(whole, world_size)
            return pieces if fewer else whole
        return whole if self.scheme == "gather" else pieces

    def _codecs(self, sizes: list[int], pieces: int) -> list[Codec]:
        length = -(-sum(sizes) // pieces)
        return [Codec(groups, self.bits) for groups in self._groups(sizes, length, pieces)]

    def _groups(self, sizes: list[int], length: int, pieces: int) -> list[tuple[int, ...]]:
        """Return, for each piece of `length` coordinates, the sizes of its groups."""
        total = sum(sizes)
        cuts = [min(total, piece * length) for piece in range(pieces + 1)]
        ends, groups = list(accumulate(sizes)), []
        for start, stop in pairwise(cuts):
            if self.per == "tensor":
                edges = [start, *(end for end in ends if start < end < stop), stop]
            else:
                edges = [*range(start, stop, self.bucket_size), stop]
            widths = (b - a for a, b in pairwise(edges))
            groups.append(tuple(width for width in widths if width))
        return groups

    def _sent(self, plan: list[Codec], world_size: int) -> int:
        message = max(codec.nbytes for codec in plan)
        if len(plan) == 1:
            return to_each(message, world_size)
        back = message if self.sides == 2 else FLOAT * plan[0].numel
        return to_each(message + back, world_size)


class QuantisedReducer(WholeReducer):
    """The messages of QSGD, and what they left out: of a worker's gradients, and of the means.

    With error feedback a message is the multiple of the rounded vector that is nearest to the
    vector: unbiased rounding with few bits errs by more than the vector's own length, and an error
    that is fed back then grows without bound. Feedback needs a contraction (Karimireddy et al.,
    Error Feedback Fixes SignSGD, ICML 2019; for the second side Tang et al., DoubleSqueeze, ICML
    2019).
    """

    def __init__(
        self, exchange: QSGD, parameters: Sequence[nn.Parameter], workers: Exchange
    ) -> None:
        super().__init__(parameters, workers)
        self.exchange = exchange
        self.plan = exchange.plan([p.shape for p in parameters], workers.world_size)
        self.nbytes = max(codec.nbytes for codec in self.plan)
        self.left_out: dict[str, Tensor] = {}
        if exchange.error_feedback:
            self.left_out["left_out"] = torch.zeros(sum(self.sizes), device=workers.device)
            if exchange.sides == 2:
                numel = self._own.numel
                self.left_out["left_out_of_mean"] = torch.zeros(numel, device=workers.device)

    @property
    def _own(self) -> Codec:
        """Return the codec of what this worker averages: all of it, or its piece."""
        return self.plan[0] if len(self.plan) == 1 else self.plan[self.workers.rank]

    def begin(self, own: torch.Generator, shared: torch.Generator) -> None:
        """Take the streams of an epoch's rounding."""
        self.own, self.shared = own, shared

    def mean(self, gradient: Tensor) -> Tensor:
        """Return the mean of the workers' rounded gradients, rounded once more if `sides` is 2."""
        messages = self._encode("left_out", self.plan, gradient, self.own)
        return self._gather(messages[0]) if len(self.plan) == 1 else self._scatter(messages)

    def _encode(
        self, name: str, plan: Sequence[Codec], x: Tensor, generator: torch.Generator
    ) -> list[Tensor]:
        """Return the messages of a vector's pieces; with feedback, keep what they leave out."""
        kept = self.left_out.get(name)
        if kept is not None:
            x = x + kept
        pieces = torch.split(x, [codec.numel for codec in plan])
        messages = [c.encode(piece, generator) for c, piece in zip(plan, pieces, strict=True)]
        if kept is not None:
            messages = [
                codec.nearest(message, piece)
                for codec, message, piece in zip(plan, messages, pieces, strict=True)
            ]
            sent = [codec.decode(m) for codec, m in zip(plan, messages, strict=True)]
            self.left_out[name] = x - torch.cat(sent)
        return messages

    def _gather(self, message: Tensor) -> Tensor:
        codec = self.plan[0]
        mean = self._mean_of(codec, self.workers.gather(message))
        if self.exchange.sides == 1:
            return mean
        # Everyone rounds with the same stream, and so remembers the same.
        return codec.decode(self._encode("left_out_of_mean", [codec], mean, self.shared)[0])

    def _scatter(self, messages: list[Tensor]) -> Tensor:
        """Average this worker's piece of everyone's gradient, then tell everyone."""
        padded = torch.stack([F.pad(m, (0, self.nbytes - m.numel())) for m in messages])
        codec = self._own
        mean = self._mean_of(codec, self.workers.swap(padded))
        if self.exchange.sides == 1:
            means = self.workers.gather(F.pad(mean, (0, self.plan[0].numel - mean.numel())))
            return means.view(-1)[: sum(self.sizes)]
        (message,) = self._encode("left_out_of_mean", [codec], mean, self.own)
        back = self.workers.gather(F.pad(message, (0, self.nbytes - message.numel())))
        return torch.cat([c.decode(row) for c, row in zip(self.plan, back, strict=True)])

    def _mean_of(self, codec: Codec, messages: Tensor) -> Tensor:
        total = codec.decode(messages[0])
        for message in messages[1:]:
            total += codec.decode(message)
        return total.div_(self.workers.world_size)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what rounding left out so far, of this worker's gradients and of its means."""
        return dict(self.left_out)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        for name in self.left_out.keys() & state.keys():  # earlier versions forgot the mean's
            self.left_out[name].copy_(state[name])

    def forget(self) -> None:
        """Owe nothing any more."""
        self.left_out = {name: torch.zeros_like(kept) for name, kept in self.left_out.items()}
