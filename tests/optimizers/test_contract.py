"""What every registered optimiser promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from rayat.optimizers.base import Optimizer
from rayat.registry import OPTIMIZERS


@pytest.fixture(params=OPTIMIZERS.names())
def part(request: pytest.FixtureRequest) -> Optimizer:
    return OPTIMIZERS.build(request.param)


def net(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    x = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    losses = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(x), torch.arange(8) % 2)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
    return losses


def test_every_weight_moves_and_the_loss_falls(part):
    model, before = net(), net().state_dict()
    losses = train(model, part.make(model.parameters(), 0.01), 30)
    assert losses[-1] < losses[0]
    for name, weight in model.named_parameters():
        assert not torch.equal(weight, before[name]), name


def test_state_loads_without_pickle_and_training_goes_on_the_same(part, tmp_path: Path):
    model = net()
    optimizer = part.make(model.parameters(), 0.01)
    train(model, optimizer, 3)
    torch.save({"o": optimizer.state_dict(), "m": model.state_dict()}, tmp_path / "state.pt")
    copy = net(seed=5)
    resumed = part.make(copy.parameters(), 0.3)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    copy.load_state_dict(state["m"])
    resumed.load_state_dict(state["o"])
    assert train(copy, resumed, 3) == train(model, optimizer, 3)


def test_the_rate_can_be_set_at_every_step(part):
    model, before = net(), net().state_dict()
    optimizer = part.make(model.parameters(), 0.1)
    for group in optimizer.param_groups:
        assert group["lr"] == 0.1
        group["lr"] = 0.0
    train(model, optimizer, 2)
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]), name


@pytest.mark.parametrize("decay_norms", [True, False])
def test_decay_reaches_norms_and_biases_only_if_asked(part, decay_norms):
    model, before = net(), dict(net().named_parameters())
    part = part.replace(weight_decay=0.5, decay_norms=decay_norms)
    optimizer = part.make(model.parameters(), 0.1)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for name, weight in model.named_parameters():
        shrunk = weight.norm() < before[name].norm()
        assert shrunk == (before[name].norm() > 0 and (decay_norms or weight.ndim > 1)), name


def test_every_weight_is_in_one_group(part):
    model = net()
    for spared in (True, False):
        groups = part.replace(decay_norms=spared).make(model.parameters(), 0.1).param_groups
        ids = [id(p) for group in groups for p in group["params"]]
        assert sorted(ids) == sorted(map(id, model.parameters()))


def test_spec_survives_json(part):
    assert OPTIMIZERS.build(json.loads(json.dumps(part.spec()))) == part
