"""The optimisers against their formulas, written out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.errors import ConfigError
from rayat.registry import OPTIMIZERS

STEPS, LR = 6, 0.05


@pytest.fixture
def gradients() -> torch.Tensor:
    return torch.randn(STEPS, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def run(spec: object, gradients: torch.Tensor) -> torch.Tensor:
    weight = nn.Parameter(torch.linspace(-1, 1, 7, dtype=torch.float64))
    optimizer = OPTIMIZERS.build(spec).make([weight], LR)
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd(gradients, nesterov):
    spec = {"name": "sgd", "momentum": 0.8, "nesterov": nesterov, "weight_decay": 0.1}
    weight = torch.linspace(-1, 1, 7, dtype=torch.float64)
    velocity = torch.zeros_like(weight)
    for gradient in gradients:
        decayed = gradient + 0.1 * weight
        velocity = 0.8 * velocity + decayed
        weight = weight - LR * (decayed + 0.8 * velocity if nesterov else velocity)
    torch.testing.assert_close(run(spec, gradients), weight)


def test_adamw(gradients):
    spec = {"name": "adamw", "beta1": 0.7, "beta2": 0.9, "eps": 1e-3, "weight_decay": 0.1}
    weight = torch.linspace(-1, 1, 7, dtype=torch.float64)
    mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
    for t, gradient in enumerate(gradients, 1):
        mean = 0.7 * mean + 0.3 * gradient
        square = 0.9 * square + 0.1 * gradient**2
        step = mean / (1 - 0.7**t) / ((square / (1 - 0.9**t)).sqrt() + 1e-3)
        weight = weight * (1 - LR * 0.1) - LR * step
    torch.testing.assert_close(run(spec, gradients), weight)


def layerwise(weight: torch.Tensor, direction: torch.Tensor, limit: float) -> torch.Tensor:
    """Return LALR's step for a rate of 1 (docs/papers.md 3.4)."""
    if not weight.norm() or not direction.norm():
        return direction
    return direction * min(weight.norm(), limit) / direction.norm()


@pytest.mark.parametrize("limit", [0.5, 10.0])
def test_lars(gradients, limit):
    spec = {"name": "lars", "momentum": 0.8, "weight_decay": 0.1, "limit": limit}
    weight = torch.linspace(-1, 1, 7, dtype=torch.float64)
    velocity = torch.zeros_like(weight)
    for gradient in gradients:
        velocity = 0.8 * velocity + gradient + 0.1 * weight
        weight = weight - LR * layerwise(weight, velocity, limit)
    torch.testing.assert_close(run(spec, gradients), weight)


@pytest.mark.parametrize("limit", [0.5, 10.0])
def test_lamb(gradients, limit):
    spec = {"name": "lamb", "beta1": 0.7, "beta2": 0.9, "eps": 1e-3, "weight_decay": 0.1}
    weight = torch.linspace(-1, 1, 7, dtype=torch.float64)
    mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
    for gradient in gradients:
        mean = 0.7 * mean + 0.3 * gradient
        square = 0.9 * square + 0.1 * gradient**2
        direction = mean / (square.sqrt() + 1e-3) + 0.1 * weight
        weight = weight - LR * layerwise(weight, direction, limit)
    torch.testing.assert_close(run({**spec, "limit": limit}, gradients), weight)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_fused_kernel_is_used_where_there_is_one(name):
    part = OPTIMIZERS.build(name)
    assert part.make([nn.Parameter(torch.zeros(3))], LR).param_groups[0]["fused"] is True
    whole = nn.Parameter(torch.zeros(3, dtype=torch.int64), requires_grad=False)
    assert part.make([whole], LR).param_groups[0]["fused"] is False


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ConfigError, match=r"nesterov needs momentum above 0.*set nesterov=False"):
        OPTIMIZERS.build({"name": "sgd", "momentum": 0.0})
    OPTIMIZERS.build({"name": "sgd", "momentum": 0.0, "nesterov": False})
