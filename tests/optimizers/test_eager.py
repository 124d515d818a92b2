"""The eager optimisers against torch's own, which are their reference."""

from __future__ import annotations

import pytest
import torch

from rayat.optimizers.eager import eager

OPTIONS = {
    torch.optim.SGD: {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    torch.optim.AdamW: {"weight_decay": 0.1},
}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("cls", OPTIONS)
def test_numbers_and_state_are_torchs(cls, fused):
    weights = [torch.nn.Parameter(torch.linspace(-1, 1, 9)) for _ in range(2)]
    optimizers = [
        make([w], lr=0.1, fused=fused, **OPTIONS[cls])
        for make, w in zip((cls, eager(cls)), weights, strict=True)
    ]
    for _ in range(3):
        for optimizer, weight in zip(optimizers, weights, strict=True):
            weight.square().sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            assert weight.grad is None and weight.requires_grad
    assert torch.equal(*weights)
    ours, theirs = (optimizer.state_dict() for optimizer in optimizers)
    assert str(ours) == str(theirs)
    optimizers[1].load_state_dict(theirs)
    assert isinstance(optimizers[1], cls) and torch.is_grad_enabled()
