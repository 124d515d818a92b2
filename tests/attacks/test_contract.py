"""The contract of every registered attack; a new attack is tested by being registered."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rayat.attacks import ascent
from rayat.testing import attack_contract

EPS = 0.1


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def snapshot(model):
    return {
        "state": copy.deepcopy(model.state_dict()),
        "modes": [module.training for module in model.modules()],
        "tracked": [getattr(module, "track_running_stats", None) for module in model.modules()],
        "requires": [p.requires_grad for p in model.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
    }


def assert_same(before, after):
    assert before["modes"] == after["modes"]
    assert before["tracked"] == after["tracked"]
    assert before["requires"] == after["requires"]
    assert list(before["state"]) == list(after["state"])
    pairs = list(zip(before["state"].values(), after["state"].values(), strict=True))
    for a, b in pairs + list(zip(before["grads"], after["grads"], strict=True)):
        assert (a is None and b is None) or torch.equal(a, b)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("bn_mode", ["eval", "batch"])
def test_it_keeps_what_is_asked_of_every_attack(make, bn_mode, norm):
    attack_contract(make(eps=EPS, bn_mode=bn_mode, norm=norm))


BEYOND = {"n-fgsm": 3.0}
"""Methods whose images leave the ball on purpose, and how many radii they may go."""


def test_the_reach_is_the_radius_but_where_a_method_is_known_to_go_further(make):
    attack = make(eps=EPS)
    assert attack.reach == pytest.approx(EPS * BEYOND.get(attack.kind, 1))


@pytest.mark.parametrize("steps", [1, 3, 9])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_more_steps_are_never_weaker_on_a_convex_toy(make, batch, steps, norm):
    """Cross-entropy of a linear model is convex: on it steps of any attack may only climb."""
    torch.manual_seed(0)
    linear, (x, y) = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), batch
    few = make(eps=EPS, norm=norm, random_start=False, steps=steps)(linear, x, y, generator())
    more = make(eps=EPS, norm=norm, random_start=False, steps=steps + 5)(linear, x, y, generator())
    with torch.no_grad():
        losses = [F.cross_entropy(linear(adv.x), y, reduction="sum") for adv in (few, more)]
    assert losses[1] >= losses[0] - 1e-4


@pytest.mark.parametrize("bn_mode", ["eval", "batch"])
def test_model_is_exactly_as_found_when_it_raises(make, net, batch, bn_mode):
    attack = make(eps=EPS, bn_mode=bn_mode)
    if attack(net, *batch, generator()).forward == 0:
        pytest.skip("never calls the model")

    def fail(*_):
        raise RuntimeError("in the middle of the attack")

    before = snapshot(net)
    hook = net.drop.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        attack(net, *batch, generator())
    hook.remove()
    assert_same(before, snapshot(net))


def test_memory_format_does_not_change_the_result(make, net, batch):
    x, y = batch
    x = x.repeat(1, 3, 1, 1)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(108, 3))
    attack = make(eps=EPS)
    plain = attack(linear, x, y, generator()).x
    last = attack(linear, x.contiguous(memory_format=torch.channels_last), y, generator()).x
    assert torch.equal(plain, last)


def test_deterministic_variant_does_not_depend_on_the_batch_split(make, net, batch, monkeypatch):
    monkeypatch.setattr(ascent, "COMPACT_BELOW", 1.0)  # a stopped sample costs nothing at once
    attack = make(eps=EPS, random_start=False)
    x, y = batch
    first, second = (attack(net, x, y, generator(seed)).x for seed in (0, 1))
    if not torch.equal(first, second):
        pytest.skip("has no deterministic variant")
    net.double()  # so that a sum over another batch cannot flip a sign
    x = x.double()
    whole = attack(net, x, y, generator())
    parts = [attack(net, x[i : i + 5], y[i : i + 5], generator()) for i in range(0, 12, 5)]
    assert torch.equal(whole.x, torch.cat([part.x for part in parts]))
    assert whole.forward == sum(part.forward for part in parts)
    assert whole.backward == sum(part.backward for part in parts)


@pytest.mark.parametrize(("norm", "eps"), [("linf", EPS), ("l2", 0.5)])
def test_loss_is_not_lower_than_without_attack(make, net, batch, norm, eps):
    x, y = batch
    net.eval()
    adv = make(eps=eps, norm=norm)(net, x, y, generator())
    with torch.no_grad():
        assert F.cross_entropy(net(adv.x), y) >= F.cross_entropy(net(x), y)
