"""A small network with a past, a small data set, and what a selector is given."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch

from rayat.config import TrialConfig
from rayat.data.prepare import prepare
from rayat.pruning.base import SelectionContext
from rayat.pruning.lastlayer import Factors
from rayat.training.network import build_model

CONFIG = {
    "data": {"name": "digits", "train_size": 150, "val_size": 40},
    "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
    "attack": {"name": "pgd", "eps": 0.1, "steps": 2},
    "batch_size": 16,
}


@pytest.fixture(scope="session")
def prepared():
    """Return data whose arrays are read-only, as Ray's object store gives them."""
    data = prepare(TrialConfig.parse(CONFIG).data)
    for arrays in (data.train, data.val):
        arrays.x.flags.writeable = arrays.y.flags.writeable = False
    return data


@pytest.fixture
def context(prepared):
    """Return a maker of contexts: `context(seed=1, batch_size=8)`; each has a network of its own.

    The network is in mixed modes, with gradients and with statistics that are not the initial.
    """
    config = TrialConfig.parse(CONFIG)

    def make(seed: int = 0, **changes: Any) -> SelectionContext:
        model = build_model(config, prepared, "cpu")
        model.train()
        x = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(3))
        model(x).square().mean().backward()
        model.body.blocks.eval()
        made = SelectionContext(
            model,
            prepared,
            config.attack,
            config.objective,
            torch.Generator().manual_seed(seed),
            torch.Generator().manual_seed(seed + 1),
            config.batch_size,
            0.1,
        )
        return dataclasses.replace(made, **changes)

    return make


@pytest.fixture
def snapshot():
    """Return a function that copies all there is to know of a network."""

    def take(model):
        return {
            "state": copy.deepcopy(model.state_dict()),
            "modes": [module.training for module in model.modules()],
            "requires": [p.requires_grad for p in model.parameters()],
            "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        }

    return take


@pytest.fixture(scope="session")
def synthetic():
    """Return a maker of gradients of N samples: softmax errors and non-negative features."""

    def make(n=40, classes=4, features=6, terms=1, seed=0, dtype=torch.float64) -> Factors:
        g = torch.Generator().manual_seed(seed)
        y = torch.randint(classes, (n,), generator=g)
        errors = []
        for _ in range(terms):
            error = torch.randn(n, classes, generator=g, dtype=dtype).softmax(1)
            error[torch.arange(n), y] -= 1
            errors.append(error)
        inputs = [torch.randn(n, features, generator=g, dtype=dtype).relu() for _ in range(terms)]
        return Factors(tuple(errors), tuple(inputs))

    return make


@pytest.fixture(scope="session")
def dense():
    """Return a function that forms what the room never forms: gradients (N, C * (F + 1))."""

    def form(factors: Factors) -> torch.Tensor:
        parts = [
            torch.einsum("nc,nf->ncf", e, torch.cat([h, torch.ones_like(e[:, :1])], 1))
            for e, h in zip(factors.errors, factors.features, strict=True)
        ]
        return sum(parts).flatten(1)

    return form
