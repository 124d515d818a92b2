"""Which network an attack runs on: the folded copy where there is one, else the network itself."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from rayat.attacks.losses import error
from rayat.attacks.net import Folded, fold, input_gradient
from rayat.attacks.pgd import PGD
from rayat.attacks.view import attacked
from rayat.registry import MODELS


@pytest.fixture
def small():
    """Return a network that has a folded copy, in training mode, and a batch."""
    net = MODELS.build({"name": "preactresnet", "width": 8}).build((1, 8, 8), 10, 0, (0.3,), (0.2,))
    x = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    net(x)
    return net, x, torch.arange(16) % 10


def slow(net, x, y):
    with attacked(net, fast=False) as frozen:
        assert frozen is net
        return input_gradient(frozen, x, partial(error, "ce", y))


def test_the_cross_entropy_gradient_is_autograds(small):
    net, x, y = small
    expected = slow(net, x, y)
    with attacked(net) as frozen:
        assert isinstance(frozen, Folded)
        got = input_gradient(frozen, x, partial(error, "ce", y))
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_any_loss_can_be_differentiated_through_it_once(small):
    net, x, y = small
    leaf = x.clone().requires_grad_()
    with attacked(net, fast=False) as frozen:
        (expected,) = torch.autograd.grad(F.multi_margin_loss(frozen(leaf), y), leaf)
    with attacked(net) as frozen:
        loss = F.multi_margin_loss(frozen(leaf), y)
        (got,) = torch.autograd.grad(loss, leaf, create_graph=True)
        torch.testing.assert_close(got.detach(), expected, atol=1e-6, rtol=1e-5)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            got.sum().backward()


def test_pgd_on_the_copy_is_pgd_on_the_network(small, monkeypatch):
    net, x, y = small
    attack = PGD(eps=0.1, steps=5)
    fast = attack(net, x, y, torch.Generator().manual_seed(0))
    monkeypatch.setattr(PGD, "view", lambda self, model: attacked(model, fast=False))
    reference = attack(net, x, y, torch.Generator().manual_seed(0))
    assert (fast.forward, fast.backward) == (reference.forward, reference.backward)
    # A gradient within rounding of zero may get another sign.
    assert (fast.x - reference.x).abs().gt(1e-6).float().mean() < 0.005


def test_its_precision_is_that_of_autocast_which_is_off_inside(small):
    net, x, y = small
    with torch.autocast("cpu", torch.bfloat16), attacked(net) as frozen:
        assert frozen.dtype == torch.bfloat16 and not torch.is_autocast_enabled("cpu")
        logits, gradient = input_gradient(frozen, x, partial(error, "ce", y))
    assert logits.dtype == gradient.dtype == torch.float32
    assert F.cosine_similarity(gradient, slow(net, x, y)[1], dim=0).mean() > 0.9
    assert fold(net).dtype == torch.float32
    assert fold(net.double()).dtype == torch.float64


def test_batch_statistics_and_hooks_need_the_network_itself(small):
    net, _, _ = small
    with attacked(net, "batch") as frozen:
        assert frozen is net
    assert fold(net.body) is None
    handle = net.body.head.register_forward_hook(lambda *_: None)
    assert fold(net) is None
    handle.remove()
    assert fold(net) is not None


def test_the_network_keeps_its_mode_while_the_copy_is_used(small):
    net, _, _ = small
    with attacked(net):
        assert net.training and all(p.requires_grad for p in net.parameters())


def test_the_copy_holds_the_weights_of_the_moment(small):
    net, x, _ = small
    with attacked(net) as frozen:
        before = frozen(x)
    with torch.no_grad():
        net.body.head.bias.add_(1)
    with attacked(net) as frozen:
        torch.testing.assert_close(frozen(x), before + 1)
