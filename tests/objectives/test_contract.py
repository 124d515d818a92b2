"""The contract of every registered objective; a new one is tested by being registered."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.attacks.base import Adversarial
from rayat.registry import OBJECTIVES


@pytest.fixture(params=OBJECTIVES.names())
def objective(request):
    return OBJECTIVES.build(request.param)


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 4)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    x = torch.rand(7, 1, 3, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(4, (7,), generator=generator)
    return model, x, Adversarial((x + 0.1).clamp(0, 1), 7, 7), y


def test_one_finite_loss_per_sample_with_a_graph(objective, case):
    outcome = objective.loss(*case)
    assert outcome.loss.shape == (7,) and outcome.loss.isfinite().all()
    assert outcome.adv_logits.shape == (7, 4)
    outcome.loss.mean().backward()
    assert all(p.grad is not None for p in case[0].parameters())


def test_a_sample_does_not_see_its_neighbours(objective, case):
    model, x, adv, y = case
    whole = objective.loss(model, x, adv, y).loss
    for i in range(7):
        alone = Adversarial(adv.x[i : i + 1], 1, 1)
        loss = objective.loss(model, x[i : i + 1], alone, y[i : i + 1]).loss
        torch.testing.assert_close(loss, whole[i : i + 1])


def test_one_call_of_the_model_and_passes_as_counted(objective, case):
    model, x, adv, y = case
    seen = []
    model.register_forward_hook(lambda module, args, out: seen.append(len(out)))
    outcome = objective.loss(model, x, adv, y)
    assert len(seen) == 1, "DDP would exchange gradients more than once"
    assert outcome.forward == outcome.backward == seen[0]


def test_images_are_not_modified_and_nothing_global_is_random(objective, case):
    model, x, adv, y = case
    kept, state = (x.clone(), adv.x.clone()), torch.get_rng_state()
    objective.loss(model, x, adv, y)
    assert torch.equal(x, kept[0]) and torch.equal(adv.x, kept[1])
    assert torch.equal(state, torch.get_rng_state())
