"""GradAlign against its formula, differentiated by autograd through both gradients' definition."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rayat.attacks.base import Adversarial, Moment
from rayat.attacks.fgsm import FGSM
from rayat.objectives.gradalign import GradAlign

EPS = 0.2


def generator():
    return torch.Generator().manual_seed(5)


@pytest.fixture
def case():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.Softplus(),
            nn.Flatten(),
            nn.Linear(36, 4),
        ).double()
        model(torch.rand(32, 1, 3, 3, dtype=torch.float64))  # statistics that are not the initial
        x = torch.rand(6, 1, 3, 3, dtype=torch.float64)
        y = torch.randint(4, (6,))
    return model, x, Adversarial((x + 0.1).clamp(0, 1), 6, 6), y


def gradient(model, x, y, create_graph=False):
    leaf = x.clone().requires_grad_()
    total = F.cross_entropy(model(leaf), y, reduction="sum")
    return torch.autograd.grad(total, leaf, create_graph=create_graph)[0]


def weight_gradients(model, loss):
    return torch.autograd.grad(loss, list(model.parameters()))


@pytest.mark.parametrize("strength", [0.0, 0.2, 3.0])
def test_is_the_formula_and_its_gradient(case, strength):
    used, x, adv, y = case
    model = copy.deepcopy(used)  # the pass moves the running statistics
    objective = GradAlign(strength=strength).at(Moment(1, 1, 1.0), FGSM(eps=EPS), generator())
    outcome = objective.loss(used, x, adv, y)
    ours = weight_gradients(used, outcome.loss.mean())
    noise = torch.empty_like(x).uniform_(-EPS, EPS, generator=generator())
    model.eval()
    here, there = gradient(model, x, y), gradient(model, x + noise, y, create_graph=True)
    cosine = (here * there).flatten(1).sum(1) / (
        here.flatten(1).norm(dim=1) * there.flatten(1).norm(dim=1)
    )
    model.train()
    plain = F.cross_entropy(model(adv.x), y, reduction="none")
    expected = plain + strength * (1 - cosine)
    torch.testing.assert_close(outcome.loss, expected)
    for one, other in zip(ours, weight_gradients(model, expected.mean()), strict=True):
        torch.testing.assert_close(one, other)
    if strength:
        alone = weight_gradients(model, F.cross_entropy(model(adv.x), y))
        assert any(not torch.allclose(a, b, rtol=1e-3) for a, b in zip(ours, alone, strict=True)), (
            "the regulariser must reach the weights"
        )


def test_statistics_move_by_the_adversarial_pass_alone_and_the_mode_stays(case):
    model, x, adv, y = case
    before = model[1].num_batches_tracked.item()
    GradAlign().at(Moment(1, 1, 1.0), FGSM(eps=EPS), generator()).loss(model, x, adv, y)
    assert model[1].num_batches_tracked.item() == before + 1
    assert all(m.training for m in model.modules())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gradient_of_zero_gives_finite_losses_and_gradients(case, dtype):
    model, x, adv, y = case
    with torch.no_grad():
        model[-1].weight.zero_()  # no image changes the logits
    model, x = model.to(dtype), x.to(dtype)
    adv = Adversarial(adv.x.to(dtype), 0, 0)
    outcome = GradAlign().at(Moment(1, 1, 1.0), FGSM(eps=EPS), generator()).loss(model, x, adv, y)
    outcome.loss.sum().backward()
    assert outcome.loss.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_the_radius_and_norm_are_the_attacks(case):
    model, x, adv, y = case
    seen = []
    model.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    GradAlign().at(Moment(1, 1, 1.0), FGSM(eps=0.3, norm="l2"), generator()).loss(model, x, adv, y)
    away = (seen[1] - x).flatten(1).norm(dim=1)
    assert away.max() <= 0.3 + 1e-12 and away.min() > 0.1
