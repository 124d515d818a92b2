"""FGSM-SDI: the start, whom a generator step moves, and where its gradient is zero."""

from __future__ import annotations

import copy

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from rayat.attacks._starter import network
from rayat.attacks.base import Moment, Setting
from rayat.attacks.fgsm_sdi import FGSMSDI, smooth

EPS = 0.1
SETTING = Setting((1, 6, 6), 3, 24, seed=3)


@pytest.fixture
def case():
    """Return a network and images far from the edges of the box."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.Softplus(), nn.Flatten(), nn.Linear(216, 3)
        )
        return model, torch.rand(24, 1, 6, 6) * 0.4 + 0.3, torch.randint(3, (24,))


def sign(model, x, y):
    leaf = x.clone().requires_grad_()
    with torch.enable_grad():
        total = F.cross_entropy(model(leaf), y, reduction="sum")
    return torch.autograd.grad(total, leaf)[0].sign()


def due(attack, starter, step=0):
    return attack.at(Moment(1, 1, 1.0, step), starter)


def frozen(module):
    return copy.deepcopy(module.state_dict())


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_it_is_the_formula(case):
    model, x, y = case
    attack = FGSMSDI(eps=EPS, width=4)
    starter = attack.remember(SETTING)
    adv = due(attack, starter, step=7)(model, x, y, torch.Generator())
    with torch.no_grad():
        eta = EPS * torch.tanh(starter.net(torch.cat([x, sign(model, x, y)], 1)))
    delta = (eta + EPS * sign(model, x + eta, y)).clamp(-EPS, EPS)
    torch.testing.assert_close(adv.x, x + delta)
    assert eta.abs().max() <= EPS and (adv.x - x).abs().max() <= EPS + 1e-6
    torch.testing.assert_close(adv.info["start_size"], eta.abs().mean((1, 2, 3)) / EPS)
    agreement = (eta.sign() == sign(model, x, y)).float().mean((1, 2, 3))
    torch.testing.assert_close(adv.info["start_agreement"], agreement)


def test_the_gradient_to_eta_is_zero_exactly_where_the_signs_agree(case):
    model, x, y = case
    attack = FGSMSDI(eps=EPS)
    generator = torch.Generator().manual_seed(0)
    eta = torch.empty_like(x).uniform_(-EPS, EPS, generator=generator).requires_grad_()
    images = attack._images(model, x, y, eta)
    (gradient,) = torch.autograd.grad(images.sum(), eta)
    agree = eta.sign() == sign(model, x + eta.detach(), y)
    assert 0.2 < agree.float().mean() < 0.8
    assert torch.equal(gradient == 0, agree)


def test_a_generator_step_moves_the_generator_alone(case):
    model, x, y = case
    attack = FGSMSDI(eps=EPS, width=4)
    starter = attack.remember(SETTING)
    F.cross_entropy(model(x), y).backward()  # what a classifier's step may have left
    grads = [p.grad.clone() for p in model.parameters()]
    weights, before = frozen(model), frozen(starter.net)
    due(attack, starter)(model, x, y, torch.Generator())
    assert same(frozen(model), weights)
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True))
    after = frozen(starter.net)
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(moved) == len(before), set(before) - set(moved)
    assert all(p.grad is None for p in starter.net.parameters())


def test_a_classifier_step_leaves_the_generator_as_it_is(case):
    model, x, y = case
    attack = FGSMSDI(eps=EPS, width=4)
    starter = attack.remember(SETTING)
    before = frozen(starter.net)
    adv = due(attack, starter, step=1)(model, x, y, torch.Generator())
    F.cross_entropy(model(adv.x), y).backward()
    assert same(frozen(starter.net), before)
    assert not adv.x.requires_grad and all(p.grad is None for p in starter.net.parameters())


@pytest.mark.parametrize(("step", "passes"), [(0, 4), (1, 2), (4, 4), (5, 2)])
def test_an_update_comes_every_k_steps_and_costs_two_passes(case, step, passes):
    model, x, y = case
    attack = FGSMSDI(eps=EPS, width=4, every=4)
    adv = due(attack, attack.remember(SETTING), step)(model, x, y, torch.Generator())
    assert adv.forward == adv.backward == passes * len(x)
    assert adv.steps == len(x)


def test_a_selection_trains_no_generator(case):
    model, x, y = case
    attack = FGSMSDI(eps=EPS, width=4)
    starter = attack.remember(SETTING)
    before = frozen(starter.net)
    attack.at(Moment(1, 1, 0.0), starter)(model, x, y, torch.Generator())
    assert same(frozen(starter.net), before)


@pytest.mark.parametrize("q", [0.5, 0.9, 1.0])
def test_the_step_climbs_the_smoothed_loss(case, q):
    """The gradient that Adam is given is that of -L, by autograd through the whole formula."""
    model, x, y = case
    attack = FGSMSDI(eps=EPS, width=4, q=q)
    starter = attack.remember(SETTING)
    twin = copy.deepcopy(starter.net).train()
    eta = EPS * torch.tanh(twin(torch.cat([x, sign(model, x, y)], 1)))
    delta = (eta + EPS * sign(model, x + eta.detach(), y)).clamp(-EPS, EPS)
    logp = model(x + delta).log_softmax(1)
    mass = F.one_hot(y, 3) * q + (1 - F.one_hot(y, 3)) * (1 - q) / 2
    expected = torch.autograd.grad((mass * logp).sum(1).mean(), list(twin.parameters()))
    given = []
    starter.average = lambda tensors: given.extend(t.clone() for t in tensors)
    due(attack, starter)(model, x, y, torch.Generator())
    for one, other in zip(given, expected, strict=False):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_updates_raise_the_loss_of_a_fixed_network(case):
    model, x, y = case
    attack = FGSMSDI(eps=EPS, width=8, q=1.0)
    starter = attack.remember(SETTING)

    def loss():
        adv = due(attack, starter, step=1)(model, x, y, torch.Generator())
        with torch.no_grad():
            return F.cross_entropy(model(adv.x), y).item()

    # A network whose gradient turns inside the ball leaves one step something to learn.
    with torch.no_grad():
        model[0].weight.mul_(40)
        model[3].weight.mul_(10)
    before = loss()
    for _ in range(100):
        due(attack, starter)(model, x, y, torch.Generator())
    assert loss() > before


def test_without_clipping_it_leaves_the_pixel_box_but_not_the_ball(case):
    model, _, y = case
    x = torch.ones(24, 1, 6, 6)
    adv = FGSMSDI(eps=EPS, clip=False, width=4)(model, x, y, torch.Generator())
    assert adv.x.max() > 1 and (adv.x - x).abs().max() <= EPS + 1e-6


def test_memory_comes_back_exactly_and_is_a_function_of_the_seed(case):
    model, x, y = case
    attack = FGSMSDI(eps=EPS, width=4)
    first, second = attack.remember(SETTING), attack.remember(SETTING)
    assert same(frozen(first.net), frozen(second.net))
    for _ in range(2):
        due(attack, first)(model, x, y, torch.Generator())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for starter in (first, second):
        due(attack, starter)(model, x, y, torch.Generator())
    assert same(frozen(first.net), frozen(second.net))


def test_the_generator_is_that_of_the_release():
    # The release has one parameter more, which nothing uses (docs/papers.md 6.4).
    assert sum(p.numel() for p in network(3, 64).parameters()) == 79_174 - 1


def test_smoothing_gives_the_label_q():
    target = smooth(torch.tensor([2]), 0.7, torch.zeros(1, 4))
    torch.testing.assert_close(target, torch.tensor([[0.1, 0.1, 0.7, 0.1]]))


def test_l2_is_refused_by_name():
    with pytest.raises(ValidationError, match=r"'fgsm-sdi' has no norm='l2'; use linf"):
        FGSMSDI(norm="l2")
