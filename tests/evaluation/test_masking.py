"""Signs of masked gradients: by hand, and on a network made to show one."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from rayat.evaluation.masking import flagged, flags


def row(suite, robust, eps=0.1, n=1000, split="test"):
    return {"suite": suite, "robust_acc": robust, "eps": eps, "n": n, "split": split}


def test_a_sound_network_has_no_sign():
    rows = [
        row("fgsm", 0.58),
        row("pgd-20", 0.52),
        row("square-1000", 0.6),
        row("pgd-20", 0.2, 0.2),
    ]
    assert flags(rows) == {}


def test_fgsm_far_above_pgd():
    rows = [row("fgsm", 0.75), row("pgd-5", 0.74), row("pgd-20", 0.1)]
    assert flags(rows) == {"fgsm_above_pgd": {"fgsm at 0.1": 0.75, "pgd-20 at 0.1": 0.1}}


def test_square_is_held_against_the_strongest_white_box():
    weak = [row("pgd-2", 0.6), row("pgd-50x3", 0.45), row("square-1000", 0.5)]
    assert flags(weak) == {}
    rows = [*weak, row("square-5000", 0.3)]
    assert flags(rows) == {
        "square_below_white_box": {"pgd-50x3 at 0.1": 0.45, "square-5000 at 0.1": 0.3}
    }


def test_accuracy_that_rises_with_the_radius():
    rows = [row("pgd-20", 0.4, 0.1), row("pgd-20", 0.5, 0.2)]
    assert flags(rows) == {"rises_with_eps": {"pgd-20 at 0.2": 0.5, "pgd-20 at 0.1": 0.4}}
    assert flags([row("pgd-20", 0.5, 0.1), row("pgd-20", 0.4, 0.2)]) == {}


@pytest.mark.parametrize(("n", "raised"), [(50, False), (5000, True)])
def test_a_difference_within_the_noise_is_no_sign(n, raised):
    rows = [row("pgd-20", 0.40, 0.1, n), row("pgd-20", 0.45, 0.2, n)]
    assert bool(flags(rows)) is raised


def test_what_cannot_be_compared_is_unknown_and_not_clean():
    assert flags([row("autoattack", 0.4)]) is None
    assert flags([row("fgsm", 0.9), row("pgd-20", 0.1, n=10)]) is None, "other images"
    assert flags([row("fgsm-l2", 0.9), row("pgd-20", 0.1)]) is None, "another norm"
    assert flags([row("fgsm", 0.9, eps=None), row("pgd-20", 0.1, eps=None)]) is None


def test_every_row_of_a_split_tells_it():
    rows = [row("fgsm", 0.8), row("pgd-20", 0.1), row("autoattack", 0.1)]
    other = row("pgd-20", 0.1, split="val")
    found = flagged([*rows, other])
    assert {json.loads(r["flags_json"])["fgsm_above_pgd"]["fgsm at 0.1"] for r in found[:3]} == {
        0.8
    }
    assert found[3]["flags_json"] is None


def test_a_quantised_input_hides_the_gradient_and_square_sees_through_it():
    """The whole way: suites on a masked network, rows, the sign."""
    from rayat.suites.base import suite

    class Quantised(nn.Module):
        def forward(self, x):
            level = (x * 8).round() / 8 + 0 * x  # a gradient that is zero everywhere
            level = level.detach() + 0 * x
            mean = level.mean((1, 2, 3)) * 20
            return torch.stack([10 - mean, mean - 10], 1)

    noise = torch.Generator().manual_seed(0)
    y = torch.arange(100) % 2
    x = (0.4 + 0.2 * y).view(-1, 1, 1, 1) + 0.01 * torch.randn(100, 1, 8, 8, generator=noise)
    rows = []
    for name in ("fgsm", "pgd-20", "square-200"):
        verdict = suite(name).attack(Quantised(), x, y, 0.2, noise)
        rows.append(row(name, float(verdict.robust.float().mean()), 0.2, 100))
    assert set(flags(rows) or ()) == {"square_below_white_box"}
