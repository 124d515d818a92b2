"""FOSC's closed forms against the maximum they stand for (docs/papers.md 4.2, 9.3 item 2)."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayat.attacks._fosc import fosc
from rayat.attacks.ball import L2Ball, LinfBall


def drawn(seed, count=3, size=7, eps=0.3):
    """Return clean images, images of their balls and gradients, one of them partly zero."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(count, 1, 1, size, generator=generator, dtype=torch.float64)
    x = centre + eps * (2 * torch.rand(centre.shape, generator=generator).double() - 1)
    gradient = torch.randn(centre.shape, generator=generator, dtype=torch.float64)
    gradient[0, ..., :2] = 0
    return centre, x, gradient


def corners(lower, upper):
    """Return all 2^d corners of one image's box, (2^d, d)."""
    pairs = zip(lower.flatten().tolist(), upper.flatten().tolist(), strict=True)
    return torch.tensor(list(itertools.product(*pairs)), dtype=torch.float64)


@pytest.mark.parametrize("form", ["ball", "box"])
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31), size=st.integers(1, 10), eps=st.floats(0.01, 1.0))
def test_it_is_the_maximum_over_the_corners(form, seed, size, eps):
    centre, x, gradient = drawn(seed, size=size, eps=eps)
    x = x if form == "ball" else LinfBall(centre, eps).clamp_(x)
    found = fosc(x, gradient, centre, eps, "linf", form)
    for i in range(len(x)):
        low, high = centre[i] - eps, centre[i] + eps
        if form == "box":
            low, high = low.clamp(min=0), high.clamp(max=1)
        values = (corners(low, high) - x[i].flatten()) @ gradient[i].flatten()
        torch.testing.assert_close(found[i], values.max(), atol=1e-12, rtol=1e-12)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31), eps=st.floats(0.01, 1.0))
def test_in_l2_no_point_of_the_ball_is_better_and_one_is_as_good(seed, eps):
    centre, x, gradient = drawn(seed, eps=eps)
    x = centre + L2Ball(centre, eps).direction(x - centre) * 0.7 * eps
    found = fosc(x, gradient, centre, eps, "l2")
    best = centre + eps * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    torch.testing.assert_close(((best - x) * gradient).sum((1, 2, 3)), found)
    noise = torch.randn(64, *x.shape, generator=torch.Generator().manual_seed(seed)).double()
    others = centre + eps * noise / noise.flatten(2).norm(dim=2).view(64, -1, 1, 1, 1)
    assert (((others - x) * gradient).sum((2, 3, 4)) <= found + 1e-9).all()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31), eps=st.floats(0.01, 1.0))
def test_its_range_and_its_ends(seed, eps):
    centre, x, gradient = drawn(seed, eps=eps)
    l1 = gradient.abs().sum((1, 2, 3))
    found = fosc(x, gradient, centre, eps, "linf")
    assert (found >= -1e-12).all() and (found <= 2 * eps * l1 + 1e-12).all()
    torch.testing.assert_close(fosc(centre, gradient, centre, eps, "linf"), eps * l1)
    torch.testing.assert_close(
        fosc(centre + eps * gradient.sign(), gradient, centre, eps, "linf"),
        torch.zeros(len(x), dtype=torch.float64),
        atol=1e-12,
        rtol=0,
    )
    assert (fosc(x, torch.zeros_like(x), centre, eps, "linf") == 0).all()
    clipped = LinfBall(centre, eps).clamp_(x)
    ball, box = (fosc(clipped, gradient, centre, eps, "linf", form) for form in ("ball", "box"))
    assert (box <= ball + 1e-12).all()


def test_it_does_not_depend_on_the_batch():
    centre, x, gradient = drawn(3, count=9)
    for norm in ("linf", "l2"):
        whole = fosc(x, gradient, centre, 0.3, norm)
        alone = [fosc(*(t[i : i + 1] for t in (x, gradient, centre)), 0.3, norm) for i in range(9)]
        assert torch.equal(whole, torch.cat(alone))


def test_one_short_step_on_a_linear_loss_lowers_it_by_its_length_times_the_norm():
    centre, _, gradient = drawn(4)
    step = centre + 0.1 * gradient.sign()
    lowered = fosc(centre, gradient, centre, 0.3, "linf") - fosc(
        step, gradient, centre, 0.3, "linf"
    )
    torch.testing.assert_close(lowered, 0.1 * gradient.abs().sum((1, 2, 3)))
