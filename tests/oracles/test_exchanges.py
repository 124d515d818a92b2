"""The exchanges against vectors of their rules (`formulas/exchanges.py`).

Three workers are three threads that hand each other their messages here; that processes do the same
over gloo is `tests/distributed`'s.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier

import pytest
import torch
from torch import Tensor, nn

from rayat.distributed.exchange import Exchange
from rayat.exchanges.base import bytes_per_step
from rayat.registry import EXCHANGES

ROOM = "exchanges"
ONLY = {"test_halves": ["bf16", "fp16"], "test_no_reducer": ["none"]}
WORLD = 3


@dataclass
class Table:
    """Where the workers put down what each has for the others."""

    barrier: Barrier = field(default_factory=lambda: Barrier(WORLD, timeout=60))
    slots: list[Tensor] = field(default_factory=lambda: [torch.empty(0)] * WORLD)

    def all_of(self, rank: int, tensor: Tensor) -> Tensor:
        self.slots[rank] = tensor.clone()
        self.barrier.wait()
        found = torch.stack(self.slots)
        self.barrier.wait()
        return found


@dataclass(frozen=True)
class Thread(Exchange):
    """A worker whose messages go over the table."""

    table: Table = field(default_factory=Table)

    def average(self, tensors):
        for tensor in tensors:
            tensor.copy_(self.table.all_of(self.rank, tensor).sum(0) / WORLD)

    def gather(self, message):
        return self.table.all_of(self.rank, message)

    def swap(self, messages):
        return self.table.all_of(self.rank, messages)[:, self.rank]


def built(method, recorded):
    """Return the exchange, layers, and the gradients by step and worker."""
    part = EXCHANGES.build({"name": method, **recorded["case"]["given"]})
    assert bytes_per_step(part, recorded["shapes"], WORLD) == recorded["case"]["sent"]
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in recorded["shapes"]]
    return part, parameters, torch.tensor(recorded["case"]["gradients"])


def numbers(values):
    """Return the doubles that a vector holds; JSON has no infinity."""
    return [float(value) for value in values]


def test_no_reducer(method, recorded):
    """Nothing stands between the gradients and DDP's mean (`tests/distributed`)."""
    part, parameters, _ = built(method, recorded)
    assert part.reducer(parameters, Exchange(0, WORLD)) is None


def test_halves(method, recorded):
    part, parameters, gradients = built(method, recorded)
    reducers = [part.reducer(parameters, Exchange(rank, WORLD)) for rank in range(WORLD)]
    for step, means in zip(gradients, recorded["case"]["means"], strict=True):
        parts = [reducer.narrow(own) for reducer, own in zip(reducers, step, strict=True)]
        assert all(part.element_size() == 2 for part in parts)
        total = parts[0] + parts[1] + parts[2]
        assert total.tolist() == numbers(means)


def test_every_workers_mean(method, recorded, monkeypatch):
    part, parameters, gradients = built(method, recorded)
    case, table, left = recorded["case"], Table(), {}

    def rand(shape, *, generator, device):
        stream = left[id(generator)]
        values = [stream.pop(0) for _ in range(math.prod(shape))]
        return torch.tensor(values, device=device).view(shape)

    monkeypatch.setattr(torch, "rand", rand)
    reducers, streams = [], []
    for rank in range(WORLD):
        reducer = part.reducer(parameters, Thread(rank, WORLD, table=table))
        own, shared = torch.Generator(), torch.Generator()
        if "draws" in case:
            left[id(own)] = list(case["draws"]["own"][rank])
            left[id(shared)] = list(case["draws"]["shared"])
        if "right" in case:
            right = {f"right.{i}": torch.tensor(q) for i, q in enumerate(case["right"])}
            reducer.load_state_dict({**reducer.state_dict(), **right})
        reducer.begin(own, shared)
        reducers.append(reducer)
        streams += [own, shared]  # kept: their ids must stay theirs
    near = 2e-5 if method == "powersgd" else 2e-6
    with ThreadPoolExecutor(WORLD) as threads:
        for number, (step, means) in enumerate(zip(gradients, case["means"], strict=True)):
            own = [gradient.clone() for gradient in step]
            found = list(threads.map(lambda r, g: r.mean(g).tolist(), reducers, own))
            assert found[0] == pytest.approx(means, rel=near, abs=near), f"step {number}"
            assert found[1] == found[0] == found[2], "the workers' means differ"
    assert not any(left.values()), "draws that were never asked for"
