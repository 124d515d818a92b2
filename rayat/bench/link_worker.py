"""One host of `links`: joins a group over its own link, and exchanges gradients when asked.

One JSON document in, one out, a line each, as `worker`.
"""

from __future__ import annotations

import copy
import datetime
import json
import sys
import time
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rayat.bench._network import counters
from rayat.distributed.exchange import Exchange
from rayat.registry import EXCHANGES, MODELS
from rayat.training.process import prepare_process

TIMEOUT = datetime.timedelta(seconds=60)
WARM_UP = 3
"""DDP arranges its buckets anew after the first step."""


class Given(nn.Module):
    """A network's parameters with a gradient that costs nothing to compute."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        noise = torch.Generator().manual_seed(0)
        self.slopes = [torch.randn(p.numel(), generator=noise) for p in network.parameters()]

    def forward(self) -> Tensor:
        """Return the sum whose derivatives are the slopes."""
        parts = zip(self.network.parameters(), self.slopes, strict=True)
        return torch.stack([torch.dot(p.flatten(), s) for p, s in parts]).sum()


class Host:
    """This process' place in the group, and the ready exchanges by their specification."""

    def __init__(self) -> None:
        self.exchange = Exchange()
        self.ready: dict[str, tuple[nn.Module, list[nn.Parameter]]] = {}

    def here(self) -> dict[str, Any]:
        """Answer: the process runs, and its namespace exists."""
        return {}

    def join(
        self, rank: int, world: int, store: str, model: Any, shape: list[int]
    ) -> dict[str, Any]:
        """Join the group and make the network; answer the shapes of its parameters."""
        prepare_process(threads=1)
        dist.init_process_group(
            "gloo", init_method=store, rank=rank, world_size=world, timeout=TIMEOUT
        )
        self.exchange = Exchange(rank, world)
        self.network = MODELS.build(model).build((shape[0], shape[1], shape[2]), 10, 0)
        return {"shapes": [list(p.shape) for p in self.network.parameters()]}

    def step(self, spec: Any, steps: int) -> dict[str, Any]:
        """Exchange gradients `steps` times; answer seconds and bytes of the link, a step."""
        wrapped, parameters = self._wrapped(spec)
        before = counters()
        self.exchange.barrier()
        began = time.perf_counter()
        for _ in range(steps):
            wrapped().backward()
            for parameter in parameters:
                parameter.grad = None
        # Until everyone has everything: the slowest worker is the step's end for all.
        self.exchange.barrier()
        seconds = time.perf_counter() - began
        sent, received = (b - a for a, b in zip(before, counters(), strict=True))
        return {"seconds": seconds / steps, "sent": sent / steps, "received": received / steps}

    def stream(self, nbytes: int) -> dict[str, Any]:
        """Send bytes from host 0 to host 1 as one message; answer the seconds until they came."""
        message, rank = torch.zeros(nbytes, dtype=torch.uint8), self.exchange.rank
        self.exchange.barrier()
        began = time.perf_counter()
        if rank == 0:
            dist.send(message, 1)
        elif rank == 1:
            dist.recv(message, 0)
        self.exchange.barrier()
        return {"seconds": time.perf_counter() - began}

    def ping(self, times: int) -> dict[str, Any]:
        """Sum a number over all hosts; answer the seconds of one sum."""
        self.exchange.barrier()
        began = time.perf_counter()
        for _ in range(times):
            self.exchange.barrier()
        return {"seconds": (time.perf_counter() - began) / times}

    def _wrapped(self, spec: Any) -> tuple[nn.Module, list[nn.Parameter]]:
        key = json.dumps(spec)
        if key not in self.ready:
            given = Given(copy.deepcopy(self.network))
            parameters = list(given.parameters())
            reducer = EXCHANGES.build(spec).reducer(parameters, self.exchange)
            if reducer is not None:
                own = torch.Generator().manual_seed(self.exchange.rank)
                reducer.begin(own, torch.Generator().manual_seed(self.exchange.world_size))
            wrapped = self.exchange.wrap(given, reducer)
            self.ready[key] = wrapped, parameters
            for _ in range(WARM_UP):
                wrapped().backward()
                for parameter in parameters:
                    parameter.grad = None
        return self.ready[key]


def main() -> None:
    """Answer requests, `[method, arguments]`, until the input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    host = Host()
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(getattr(host, name)(**arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main()
