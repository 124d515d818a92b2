"""Adversarial weight perturbation: the step written out, what it leaves alone, what it costs."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rayat.attacks.base import Adversarial
from rayat.training.awp import uphill
from rayat.training.counters import Counters
from rayat.training.epoch import train_epoch
from rayat.training.setup import begin
from rayat.training.step import Step

GAMMA = 0.05


@pytest.fixture
def net():
    """Return a network with gradients, one of them zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3))
        model.append(nn.Linear(3, 3))
        model(torch.randn(8, 5)).square().mean().backward()
    model[4].weight.grad.zero_()
    return model


def test_matrices_move_up_their_gradient_by_a_share_of_their_length(net):
    before = copy.deepcopy(net)
    with uphill(net, GAMMA):
        for name, weight in net.named_parameters():
            step = weight - before.get_parameter(name)
            if name in ("0.weight", "3.weight"):
                gradient = weight.grad
                torch.testing.assert_close(
                    step, GAMMA * before.get_parameter(name).norm() * gradient / gradient.norm()
                )
            else:
                assert (step == 0).all(), "vectors and tensors without a gradient stay"


def test_weights_come_back_to_the_bit_also_after_an_error(net):
    before = {name: value.clone() for name, value in net.named_parameters()}
    with contextlib.suppress(RuntimeError), uphill(net, GAMMA):
        assert not torch.equal(net[0].weight, before["0.weight"])
        raise RuntimeError("in the middle")
    assert all(torch.equal(value, before[name]) for name, value in net.named_parameters())


@pytest.fixture
def training(small, launch):
    """Return a maker of trainings at a constant rate, ready for their first epoch."""

    def make(**changes):
        config = small(**{"lr": {"shape": "constant", "peak": 0.05}, **changes})
        return begin(config, launch().data(config.data))

    return make


def test_an_update_is_that_of_the_slow_loop(training):
    """`w <- w - rate * g(w + v)`: the gradient there, the weight decay and the step here."""
    plain = {"model": {"name": "cnn", "width": 4, "hidden": 8}, "attack.name": "none"}
    plain["optimizer"] = {"name": "sgd", "momentum": 0.0, "nesterov": False, "weight_decay": 0.01}
    ours = training(**plain, **{"weights.awp": GAMMA})
    model = copy.deepcopy(ours.model)
    x, y = next(iter_batches(ours))
    step = Step(ours, Counters(), torch.Generator())
    step.progress = 0.5
    step.learn(x, Adversarial(x, 0, 0), y)

    weights = list(model.parameters())
    first = torch.autograd.grad(F.cross_entropy(model(x), y), weights)
    moved = copy.deepcopy(model)
    for w, g in zip(moved.parameters(), first, strict=True):
        if w.ndim > 1:
            w.data += GAMMA * w.data.norm() * g / g.norm()
    second = torch.autograd.grad(F.cross_entropy(moved(x), y), list(moved.parameters()))
    for found, w, g, h in zip(ours.model.parameters(), weights, first, second, strict=True):
        torch.testing.assert_close(found, w - 0.05 * (h + 0.01 * w), atol=1e-6, rtol=1e-4)
        assert not torch.allclose(g, h, rtol=1e-3), "the perturbation changes the gradient"


def iter_batches(training):
    plan = training.loader.plan(torch.Generator().manual_seed(0))
    for start in range(0, 256, 64):
        yield training.loader.batch(plan, start, start + 64)


def test_the_images_gradient_is_filled_once(training):
    grads = []
    for gamma in (0.0, 1e-7):
        made = training(**{"weights.awp": gamma})
        x, y = next(iter_batches(made))
        step, leaf = Step(made, Counters(), torch.Generator()), x.clone().requires_grad_(True)
        step.progress = 1.0
        step.learn(x, Adversarial(leaf, 0, 0), y)
        grads.append(leaf.grad)
    torch.testing.assert_close(grads[0].norm(), grads[1].norm(), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("objective", "images"), [("madry", 1), ("trades", 2)])
def test_a_step_costs_one_more_pass_of_the_objective_from_its_start_on(training, objective, images):
    made = training(
        objective=objective, epochs=2, **{"weights.awp": GAMMA, "weights.awp_start": 0.5}
    )
    first, second = train_epoch(made, 1), train_epoch(made, 2)
    for side in ("fwd_passes", "bwd_passes"):
        assert second[side] - first[side] == 256 * images
    assert first["bwd_passes"] == 256 * (2 + images)


def test_running_statistics_move_once_a_step(training):
    made = training(**{"weights.awp": GAMMA})
    train_epoch(made, 1)
    norms = [m for m in made.model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and all(m.num_batches_tracked == 4 and m.track_running_stats for m in norms)


def test_what_is_reported_is_the_network_itself(training):
    slow = {"lr": {"shape": "constant", "peak": 1e-9}, "model": {"name": "cnn", "width": 4}}
    with_, without = (
        train_epoch(training(**slow, **{"weights.awp": gamma}), 1) for gamma in (0.5, 0.0)
    )
    assert with_["train_loss"] == pytest.approx(without["train_loss"], rel=1e-4)
    assert with_["grad_norm"] != pytest.approx(without["grad_norm"], rel=1e-2)
