"""Small networks and batches for every attack test."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rayat.attacks.base import Attack
from rayat.registry import ATTACKS


class Net(nn.Module):
    """Convolution, BatchNorm, dropout: everything an attack must not disturb."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4 * 36, 3)
        self.head.bias.requires_grad_(False)  # a weight frozen by its owner stays frozen

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.norm(self.conv(x)).relu()).flatten(1))


@pytest.fixture
def net() -> nn.Module:
    """Return a network in mixed modes, with gradients and statistics that are not the initial."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Net()
        model(torch.rand(16, 1, 6, 6)).square().mean().backward()
    model.train()
    model.drop.eval()
    return model


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Return images in [0, 1], some exactly at the edges of the box, and labels."""
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(12, 1, 6, 6, generator=generator) * 1.4 - 0.2).clamp(0, 1)
    return x, torch.randint(3, (12,), generator=generator)


@pytest.fixture(params=ATTACKS.names())
def make(request: pytest.FixtureRequest) -> Callable[..., Attack]:
    """Return a maker of the attack under test; parameters that it does not have are left out."""
    cls = ATTACKS.get(request.param)

    def build(**parameters: object) -> Attack:
        if parameters.get("norm", "linf") not in cls.norms:
            with pytest.raises(ValueError, match=f"{request.param}.* has no norm="):
                cls(norm=parameters["norm"])
            pytest.skip("is refused in this norm")
        return cls(**{k: v for k, v in parameters.items() if k in cls.model_fields})

    return build
