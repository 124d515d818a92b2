"""pyautoattack on our networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.attacks.view import attacked
from rayat.errors import ConfigError
from rayat.suites.base import suite


def head(digits, classes):
    """The digits network with some of its logits, and images of those classes."""

    class Some(nn.Module):
        def forward(self, x):
            return digits.model(x)[:, :classes]

    rows = (digits.y < classes).nonzero().squeeze(1)[:20]
    return Some(), digits.x[rows], digits.y[rows]


def test_the_folded_logits_are_the_networks(digits):
    with attacked(digits.model) as folded, torch.no_grad():
        assert folded is not digits.model
        difference = (folded(digits.x) - digits.model(digits.x)).abs().max()
    assert difference <= 1e-5


@pytest.mark.slow
def test_the_standard_version_leaves_no_more_than_its_first_attack(digits, noise, size):
    count = size(12, 40)
    x, y = digits.x[:count], digits.y[:count]
    whole = suite({"name": "autoattack", "queries": 30}).attack(
        digits.model, x, y, digits.eps, noise()
    )
    first = suite("autoattack:apgd-ce").attack(digits.model, x, y, digits.eps, noise())
    assert not (whole.robust & ~first.robust).any()
    assert whole.passes.backward > first.passes.backward > 100 * int(first.robust.sum())


@pytest.mark.parametrize("attack", ["fab-t", "apgd-t"])
def test_fewer_classes_than_targets_are_attacked(digits, noise, attack):
    model, x, y = head(digits, 4)
    verdict = suite(f"autoattack:{attack}").attack(model, x, y, digits.eps, noise())
    assert verdict.robust.sum() < verdict.clean.sum()


def test_too_few_classes_are_refused(digits, noise):
    with pytest.raises(ConfigError, match="apgd-t needs at least 4 classes, this network has 3"):
        suite("autoattack").attack(*head(digits, 3), digits.eps, noise())


def test_images_too_small_for_square_in_l2_are_refused(noise):
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 5))
    x = torch.rand(8, 1, 4, 4, generator=noise())
    y = model(x).argmax(1)
    with pytest.raises(ConfigError, match="at least 5 x 5 pixels, got 4 x 4"):
        suite("square-10-l2").attack(model, x, y, 1.0, noise())
