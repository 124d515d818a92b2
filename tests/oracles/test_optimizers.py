"""The optimisers against vectors of their formulas (`formulas/optimizers.py`)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.registry import OPTIMIZERS

ROOM = "optimizers"


def test_the_weights_after_every_step(method, recorded):
    case = recorded["case"]

    def tensor(key, values):
        return torch.tensor(values, dtype=torch.float64).view(case["shapes"][key])

    weights = {key: nn.Parameter(tensor(key, w)) for key, w in case["weights"].items()}
    part = OPTIMIZERS.build({"name": method, **case["given"]})
    assert [part.scale(n) for n in case["batches"]] == pytest.approx(case["factors"], rel=1e-15)
    optimizer = part.make(weights.values(), 1.0)
    for rate, gradients, after in zip(case["rates"], case["gradients"], case["after"], strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for key, gradient in gradients.items():
            weights[key].grad = None if gradient is None else tensor(key, gradient)
        optimizer.step()
        for key, weight in weights.items():
            found = weight.detach().flatten().tolist()
            assert found == pytest.approx(after[key], rel=1e-11, abs=1e-13), key
