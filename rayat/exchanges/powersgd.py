"""PowerSGD: each layer's gradient as the product of two thin matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from rayat.distributed.exchange import Exchange
from rayat.exchanges.base import FLOAT, GradientExchange, WholeReducer, ring, ring_rounds
from rayat.registry import EXCHANGES


@EXCHANGES.register("powersgd")
class PowerSGD(GradientExchange):
    """Layers' gradients at a low rank, with error feedback; the ranks' products are all-reduced.

    Source: Vogels et al., PowerSGD, NeurIPS 2019, algorithms 1 and 2 with warm start. torch's own
    hook is not used: over gloo it aborts the process when there are several buckets, and its state
    follows the order of DDP's buckets, which a resumed trial does not repeat.
    """

    rank: int = Field(4, ge=1, le=1024, description="of the approximation")

    @property
    def remembers(self) -> bool:
        """Return True: without error feedback a low rank is wrong for ever."""
        return True

    def sent(self, shapes: Sequence[Sequence[int]], world_size: int) -> int:
        """Return the bytes of two all-reduces: left factors and what stays whole; right factors."""
        first = second = 0
        for shape in shapes:
            rows, columns, rank = self.matrix(shape)
            first += rows * rank if rank else rows * columns
            second += columns * rank
        return ring(FLOAT * first, world_size) + ring(FLOAT * second, world_size)

    def rounds(self, shapes: Sequence[Sequence[int]], world_size: int) -> int:
        """Return those of two rings."""
        return 2 * ring_rounds(world_size)

    def reducer(self, parameters: Sequence[nn.Parameter], workers: Exchange) -> PowerReducer:
        """Return the hook; it remembers the right factors and what was left out."""
        return PowerReducer(self, parameters, workers)

    def matrix(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Return rows, columns and rank of a tensor as a matrix; rank 0: it is no smaller so."""
        rows, columns = (shape[0] if shape else 1), math.prod(shape[1:])
        rank = min(self.rank, rows, columns)
        return rows, columns, rank if rank * (rows + columns) < rows * columns else 0


class PowerReducer(WholeReducer):
    """One step of the power iteration per training step and matrix."""

    def __init__(
        self, exchange: PowerSGD, parameters: Sequence[nn.Parameter], workers: Exchange
    ) -> None:
        super().__init__(parameters, workers)
        self.shapes = [exchange.matrix(p.shape) for p in self.parameters]
        self.left_out = torch.zeros(sum(self.sizes), device=workers.device)
        self.right: list[Tensor] = []

    def begin(self, own: torch.Generator, shared: torch.Generator) -> None:
        """Draw the first right factors, the same on every worker, where there are none yet."""
        if not self.right:
            self.right = [
                torch.randn(n, r, generator=shared, device=shared.device)
                for _, n, r in self.shapes
                if r
            ]

    def mean(self, gradient: Tensor) -> Tensor:
        """Return the low-rank mean of the matrices and the true mean of the rest."""
        gradient = gradient + self.left_out
        pieces = torch.split(gradient, self.sizes)
        matrices = [g.view(m, n) for g, (m, n, r) in zip(pieces, self.shapes, strict=True) if r]
        whole = [g for g, (_, _, r) in zip(pieces, self.shapes, strict=True) if not r]
        left = [m @ q for m, q in zip(matrices, self.right, strict=True)]
        parts = iter(self._averaged([*left, *whole]))
        left = [torch.linalg.qr(next(parts)).Q for _ in left]
        rest = list(parts)
        self.right = self._averaged([m.T @ p for m, p in zip(matrices, left, strict=True)])
        low = iter([p @ q.T for p, q in zip(left, self.right, strict=True)])
        kept = iter(rest)
        mean = torch.cat([next(low if r else kept).view(-1) for _, _, r in self.shapes])
        # The rest was sent whole: only matrices leave something out.
        sent = torch.tensor([bool(r) for _, _, r in self.shapes], device=gradient.device)
        self.left_out = (gradient - mean) * torch.cat(
            [flag.expand(size) for flag, size in zip(sent, self.sizes, strict=True)]
        )
        return mean

    def _averaged(self, tensors: list[Tensor]) -> list[Tensor]:
        """Return the workers' means, all sent as one."""
        if not tensors:
            return []
        flat = torch.cat([t.reshape(-1) for t in tensors])
        self.workers.average([flat])
        sizes = [t.numel() for t in tensors]
        return [f.view(t.shape) for f, t in zip(torch.split(flat, sizes), tensors, strict=True)]

    def state_dict(self) -> dict[str, Tensor]:
        """Return what was left out of this worker's gradients, and the right factors."""
        factors = {f"right.{index}": factor for index, factor in enumerate(self.right)}
        return {"left_out": self.left_out, **{k: v.contiguous() for k, v in factors.items()}}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from `state_dict`."""
        device = self.left_out.device
        self.left_out = state["left_out"].to(device)
        self.right = [state[f"right.{i}"].to(device) for i in range(len(state) - 1)]

    def forget(self) -> None:
        """Owe nothing any more; the next epoch draws new right factors."""
        self.left_out = torch.zeros_like(self.left_out)
        self.right = []
