"""Robustness that is not there: the same decisions behind a wrapper, no figure in silence."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.suites.base import suite

EPS = 0.1
GRADIENTS = ["pgd-20", "fgsm", "autoattack:apgd-ce", "autoattack"]


class Around(nn.Module):
    """The digits network between two functions that keep its decisions."""

    def __init__(self, net, before=lambda x: x, after=lambda z: z):
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, x):
        return self.after(self.net(self.before(x)))


def asked(digits, noise, title, n=60, **around):
    built = suite(title)
    if title == "autoattack":
        built = built.replace(queries=20, attacks=("apgd-ce", "square"))
    model = Around(digits.model, **around)
    return built.attack(model, digits.x[:n], digits.y[:n], EPS, noise())


@pytest.mark.parametrize("title", ["pgd-20", "cw-20", "fgsm", "autoattack", "pgd-20-l2", "cw-5x3"])
def test_an_image_that_cannot_be_differentiated_is_not_measured(digits, noise, title):
    """The gradient of a square root at a black pixel is infinite, times zero."""
    plain = asked(digits, noise, title)
    hidden = asked(digits, noise, title, before=lambda x: x.sqrt() ** 2)
    assert not plain.unmeasured.any() and not plain.flat.any()
    assert torch.equal(hidden.clean, plain.clean)
    assert hidden.unmeasured.sum() > 30
    assert not (hidden.robust & hidden.unmeasured).any()
    assert hidden.robust.sum() <= plain.robust.sum() + 2, "nothing is robust that was not"


@pytest.mark.parametrize("title", [*GRADIENTS, "cw-20", "square-30"])
def test_logits_that_are_not_finite_are_neither_right_nor_class_zero(digits, noise, title):
    """Dark images have no answer: as they are, or where the attack goes."""

    def lost(z, x):
        dark = x.mean((1, 2, 3)) < 0.28
        return torch.where(dark[:, None], torch.full_like(z, float("nan")), z)

    class Lost(nn.Module):
        def forward(self, x):
            return lost(digits.model(x), x)

    built = suite(title)
    if title == "autoattack":
        built = built.replace(queries=20, attacks=("apgd-ce", "square"))
    x, y = digits.x[:60], digits.y[:60]
    dark = x.mean((1, 2, 3)) < 0.28
    verdict = built.attack(Lost(), x, y, EPS, noise())
    whole = built.attack(digits.model, x, y, EPS, noise())
    assert 5 < dark.sum() < 55
    assert torch.equal(verdict.unknown, dark) and not verdict.clean[dark].any()
    assert verdict.unmeasured[dark].all() and not verdict.robust[dark].any()
    known = ~verdict.unmeasured
    assert (verdict.robust[known] != whole.robust[known]).sum() <= 5


@pytest.mark.parametrize("title", GRADIENTS)
def test_gradients_that_vanish_are_counted(digits, noise, title):
    verdict = asked(digits, noise, title, after=lambda z: z * 1000)
    assert verdict.flat.sum() > 40
    assert not (verdict.flat & ~verdict.clean).any()


def test_the_margin_has_a_gradient_where_the_cross_entropy_has_none(digits, noise):
    plain = asked(digits, noise, "cw-20")
    verdict = asked(digits, noise, "cw-20", after=lambda z: z * 1000)
    assert not verdict.flat.any() and torch.equal(verdict.robust, plain.robust)


@pytest.mark.parametrize("title", [*GRADIENTS, "cw-20"])
def test_a_quantised_input_has_no_gradient(digits, noise, title):
    verdict = asked(digits, noise, title, before=lambda x: (x * 16).round() / 16)
    assert verdict.robust.sum() > 30 and torch.equal(verdict.robust & verdict.flat, verdict.robust)
    assert asked(digits, noise, "square-5", before=lambda x: (x * 16).round() / 16).flat is None


def test_what_changes_no_gradient_is_not_counted(digits, noise):
    harmless = {
        "log-softmax": {"after": lambda z: z.log_softmax(1)},
        "0..255": {"before": lambda x: x * 255 / 255},
        "shifted": {"after": lambda z: z - 40},
    }
    plain = asked(digits, noise, "pgd-20")
    for name, around in harmless.items():
        verdict = asked(digits, noise, "pgd-20", **around)
        assert not verdict.flat.any() and not verdict.unmeasured.any() and not verdict.bounded, name
        assert (verdict.robust != plain.robust).sum() <= 1, name


@pytest.mark.parametrize("after", [torch.sigmoid, lambda z: z.softmax(1)])
def test_outputs_between_zero_and_one_are_seen(digits, noise, after):
    assert asked(digits, noise, "fgsm", after=after).bounded
