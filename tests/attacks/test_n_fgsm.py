from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rayat.attacks.n_fgsm import NFGSM


@pytest.fixture
def smooth():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.Softplus(), nn.Flatten())
        return model.append(nn.Linear(216, 3)).double()


def reference(model, x, y, eps, k, clip):
    """The formula of docs/papers.md 7.1."""
    noise = torch.empty_like(x).uniform_(-k * eps, k * eps, generator=generator())
    noise = torch.maximum(torch.minimum(noise, 1 - x), -x)  # so that x + noise is in [0, 1]
    leaf = (x + noise).requires_grad_()
    F.cross_entropy(model(leaf), y, reduction="sum").backward()
    delta = noise + eps * leaf.grad.sign()
    return (x + (delta.clamp(-eps, eps) if clip else delta)).detach().clamp(0, 1)


def generator():
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("k", [0.5, 2.0])
def test_it_is_the_formula(smooth, batch, k, clip):
    x, y = batch[0].double(), batch[1]
    adv = NFGSM(eps=0.1, k=k, clip=clip)(smooth, x, y, generator())
    torch.testing.assert_close(adv.x, reference(smooth, x, y, 0.1, k, clip))
    assert adv.forward == adv.backward == len(x)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_it_leaves_the_ball_unless_told_not_to(smooth, norm):
    x, y = torch.full((64, 1, 6, 6), 0.5, dtype=torch.float64), torch.zeros(64, dtype=torch.long)
    order = float("inf") if norm == "linf" else 2
    for clip, bound in ((False, 0.3), (True, 0.1)):
        attack = NFGSM(eps=0.1, clip=clip, norm=norm)
        away = torch.linalg.vector_norm(
            (attack(smooth, x, y, generator()).x - x).flatten(1), order, 1
        )
        assert attack.reach == pytest.approx(bound)
        assert 0.6 * bound < away.max() <= bound + 1e-9


def test_noise_that_leaves_the_pixel_box_costs_no_step(smooth):
    """On black and white pixels the step starts at the box, and not as far behind it as it goes."""
    x = torch.randint(2, (64, 1, 6, 6), generator=generator()).double()
    y = torch.zeros(64, dtype=torch.long)
    away = (NFGSM(eps=0.1)(smooth, x, y, generator()).x - x).abs()
    # Noise may begin inside, so a step that leads inside is at least a whole one.
    inside = x.bool().logical_not().double() - x  # +1 where a pixel can only rise
    noise = torch.empty_like(x).uniform_(-0.2, 0.2, generator=generator())
    leaf = (x + noise).clamp(0, 1).requires_grad_()
    F.cross_entropy(smooth(leaf), y, reduction="sum").backward()
    rising = leaf.grad.sign() == inside
    assert (away[rising] >= 0.1 - 1e-12).all(), "a step inside is a whole one from the box"
