"""The sets themselves: noise inside, projection nearest, directions steepest."""

from __future__ import annotations

import pytest
import torch

from rayat.attacks.ball import ball


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def x():
    return torch.rand(64, 3, 5, 5, generator=generator(1), dtype=torch.float64)


def lengths(away, norm):
    return torch.linalg.vector_norm(away.flatten(1), float("inf") if norm == "linf" else 2, 1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_noise_fills_the_ball(x, norm):
    found = lengths(ball(x, 0.3, norm).noisy(generator()) - x, norm)
    assert found.max() <= 0.3 + 1e-12
    # The radius of a uniform point of 75 dimensions is nearly always close to eps.
    assert found.mean() > 0.28


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_clamping_is_the_nearest_point_of_the_ball_then_the_box(x, norm):
    around = ball(x, 0.5, norm)
    far = x + 3 * torch.randn(x.shape, generator=generator(), dtype=x.dtype)
    got = around.clamp_(far.clone())
    assert lengths(got - x, norm).max() <= 0.5 + 1e-12 and got.min() >= 0 and got.max() <= 1
    away = far - x
    if norm == "linf":
        expected = (x + away.clamp(-0.5, 0.5)).clamp(0, 1)
    else:
        scale = (0.5 / lengths(away, norm)).clamp(max=1).view(-1, 1, 1, 1)
        expected = (x + away * scale).clamp(0, 1)
    torch.testing.assert_close(got, expected)
    near = x + 1e-3 * (0.5 - x)
    assert torch.equal(around.clamp_(near.clone()), near)


def test_an_l2_direction_has_length_one_however_small_the_gradient(x):
    around = ball(x, 0.5, "l2")
    for scale in (1e-200, 1.0, 1e200):
        torch.testing.assert_close(
            lengths(around.direction(x * scale), "l2"), torch.ones(64, dtype=x.dtype)
        )


def test_a_gradient_of_zero_or_nan_moves_nothing(x):
    for norm in ("linf", "l2"):
        around = ball(x, 0.5, norm)
        assert torch.equal(around.direction(torch.zeros_like(x)), torch.zeros_like(x))
    assert not around.direction(torch.full_like(x, float("nan"))).any()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_ball_of_some_rows(x, norm):
    rows = torch.tensor([5, 1, 7])
    far = x + 2
    whole = ball(x, 0.2, norm).clamp_(far.clone())
    assert torch.equal(ball(x, 0.2, norm).take(rows).clamp_(far[rows].clone()), whole[rows])
