"""A small network with clean and adversarial images."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.attacks.base import Adversarial


@pytest.fixture
def case():
    """Return a double-precision network, seven images, their adversarial images, and labels."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 4)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    x = torch.rand(7, 1, 3, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(4, (7,), generator=generator)
    return model, x, Adversarial((x + 0.1).clamp(0, 1), 7, 7), y
