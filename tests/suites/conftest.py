"""A network trained on digits for seconds, the images it never saw, and a tiny odd one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from rayat.registry import ATTACKS, MODELS

EPS = 0.2


@pytest.fixture(scope="session")
def digits():
    """A folding network trained on 797 images with FGSM-RS; `x`, `y` are the other 1,000."""
    data = load_digits()
    x = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    y = torch.tensor(data.target)
    model = MODELS.build({"name": "preactresnet", "width": 8, "blocks": [1, 1]}).build(
        (1, 8, 8), 10, 0, (0.3,), (0.4,)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    attack = ATTACKS.build({"name": "fgsm-rs", "eps": EPS})
    noise = torch.Generator().manual_seed(0)
    for step in range(150):
        rows = torch.arange(64 * step, 64 * step + 64) % 797
        adv = attack(model, x[rows], y[rows], noise)
        optimizer.zero_grad()
        F.cross_entropy(model(adv.x), y[rows]).backward()
        optimizer.step()
    return SimpleNamespace(model=model.eval(), x=x[797:], y=y[797:], eps=EPS)


class Spy(torch.autograd.Function):
    """The identity; tells how many rows went through, and back."""

    @staticmethod
    def forward(ctx, x: Tensor, seen: SimpleNamespace) -> Tensor:
        ctx.seen = seen
        seen.forward += len(x)
        return x.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor):
        ctx.seen.backward += len(gradient)
        return gradient, None


class Spied(nn.Module):
    """A network whose passes are counted from inside."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.seen = SimpleNamespace(forward=0, backward=0)

    def forward(self, x: Tensor) -> Tensor:
        return Spy.apply(self.net(x), self.seen)


@pytest.fixture
def spied(digits):
    return Spied(digits.model)


@pytest.fixture
def noise():
    """Return a maker of equal generators."""
    return lambda: torch.Generator().manual_seed(3)
