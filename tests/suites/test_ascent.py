"""PGD and C&W with restarts: who is attacked, who is left."""

from __future__ import annotations

import torch
from torch import nn

from rayat.suites.base import suite


def robust(title, digits, noise, n=200):
    verdict = suite(title).attack(digits.model, digits.x[:n], digits.y[:n], digits.eps, noise())
    return verdict.robust


def test_restarts_only_take_away(digits, noise):
    one, three = robust("pgd-5", digits, noise), robust("pgd-5x3", digits, noise)
    assert not (three & ~one).any() and three.sum() < one.sum()


def test_a_point_on_the_way_counts_though_the_last_one_is_right(noise):
    """A ridge that every walk crosses: wrong in the middle of the ball, right at its edge."""

    class Ridge(nn.Module):
        def forward(self, x):
            off = (x - 0.5).mean((1, 2, 3))
            wrong = torch.where((off > 0.04) & (off < 0.16), 1.0, -1.0) + off
            return torch.stack([-wrong, wrong], 1)

    x, y = torch.full((4, 1, 5, 5), 0.5), torch.zeros(4, dtype=torch.long)
    verdict = suite("pgd-20").attack(Ridge(), x, y, 0.3, noise())
    assert verdict.clean.all() and not verdict.robust.any()


def test_the_margin_sees_through_a_saturated_softmax(digits, noise):
    class Sharp(nn.Module):
        def forward(self, x):
            return digits.model(x) * 1e4

    x, y = digits.x[:200], digits.y[:200]
    ce, cw = (
        suite(name).attack(Sharp(), x, y, digits.eps, noise()).robust.sum()
        for name in ("pgd-10", "cw-10")
    )
    assert cw < ce - 10


def test_what_is_fooled_costs_nothing_more(digits, noise):
    many = suite("pgd-40x4").attack(digits.model, digits.x[:200], digits.y[:200], 0.5, noise())
    assert many.robust.sum() < 20
    assert many.passes.backward < 200 * 40
