"""The fast loop against a slow, literal transcription of docs/papers.md 1.2."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from rayat.attacks.fgsm import FGSM
from rayat.attacks.fgsm_rs import FGSMRS
from rayat.attacks.pgd import PGD


def reference(model, x, y, eps, alpha, steps, noise=None):
    """One sample, one pixel rule, one step at a time; no in-place work."""
    model.eval()
    images = []
    for i in range(len(x)):
        clean, label = x[i : i + 1], y[i : i + 1]

        def project(image, clean=clean):
            image = torch.min(torch.max(image, clean - eps), clean + eps)
            return image.clamp(0, 1)

        image = clean if noise is None else project(clean + noise[i : i + 1])
        for _ in range(steps):
            leaf = image.clone().requires_grad_()
            F.cross_entropy(model(leaf), label).backward()
            image = project(image + alpha * leaf.grad.sign())
        images.append(image.detach())
    return torch.cat(images)


@pytest.fixture
def smooth():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.Softplus(), nn.Flatten(), nn.Linear(216, 3)
        )
    return model.double()


@pytest.mark.parametrize("steps", [1, 3, 10])
@pytest.mark.parametrize("eps", [0.03, 0.3])
def test_pgd_agrees_bit_for_bit(smooth, batch, steps, eps):
    x, y = batch[0].double(), batch[1]
    fast = PGD(eps=eps, steps=steps, random_start=False)(smooth, x, y, torch.Generator())
    assert torch.equal(fast.x, reference(smooth, x, y, eps, eps / 4, steps))


@pytest.mark.parametrize("steps", [1, 10])
def test_random_start_agrees(smooth, batch, steps):
    x, y = batch[0].double(), batch[1]
    noise = torch.empty_like(x).uniform_(-0.2, 0.2, generator=torch.Generator().manual_seed(7))
    fast = PGD(eps=0.2, steps=steps, step_size=0.03)(smooth, x, y, torch.Generator().manual_seed(7))
    slow = reference(smooth, x, y, 0.2, 0.03, steps, noise)
    torch.testing.assert_close(fast.x, slow, atol=1e-6, rtol=0)


def test_fgsm_is_one_full_step_from_the_image(smooth, batch):
    x, y = batch[0].double(), batch[1]
    fast = FGSM(eps=0.2)(smooth, x, y, torch.Generator())
    assert torch.equal(fast.x, reference(smooth, x, y, 0.2, 0.2, 1))


def test_fgsm_rs_is_one_long_step_from_noise(smooth, batch):
    x, y = batch[0].double(), batch[1]
    noise = torch.empty_like(x).uniform_(-0.2, 0.2, generator=torch.Generator().manual_seed(7))
    fast = FGSMRS(eps=0.2)(smooth, x, y, torch.Generator().manual_seed(7))
    slow = reference(smooth, x, y, 0.2, 0.25, 1, noise)
    torch.testing.assert_close(fast.x, slow, atol=1e-6, rtol=0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), eps=st.floats(0.01, 0.5), step=st.floats(0.01, 1.0))
def test_more_steps_are_never_weaker_on_a_logistic_model(seed, eps, step):
    """On two classes the loss is monotone in w.x, so the sign steps walk straight to the corner."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    x = torch.rand(8, 1, 4, 4, generator=generator, dtype=torch.float64)
    y = torch.randint(2, (8,), generator=generator)
    losses = []
    for steps in (1, 2, 4, 8):
        attack = PGD(eps=eps, steps=steps, step_size=step * eps, random_start=False)
        adv = attack(model, x, y, generator)
        losses.append(F.cross_entropy(model(adv.x), y, reduction="none").detach())
    for weaker, stronger in itertools.pairwise(losses):
        assert (stronger >= weaker - 1e-9).all()


def test_random_start_is_uniform_in_the_ball(batch):
    """A constant model moves nothing (sign 0), so what comes out is the start."""
    x = torch.full((2000, 1, 4, 4), 0.5)
    constant = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    nn.init.zeros_(constant[1].weight)
    adv = PGD(eps=0.2, steps=1)(constant, x, torch.zeros(2000, dtype=torch.long), torch.Generator())
    delta = adv.x - x
    assert delta.abs().max() <= 0.2 + 1e-6
    assert abs(float(delta.mean())) < 2e-3
    assert abs(float(delta.std()) - 0.4 / 12**0.5) < 2e-3


def test_expanded_gradients_are_handled():
    """A model that only sums gives a gradient that is one number seen many times."""

    class Sums(nn.Module):
        def forward(self, x):
            total = x.flatten(1).sum(1, keepdim=True)
            return torch.cat([total, -total], 1)

    x, y = torch.full((3, 1, 2, 2), 0.5), torch.zeros(3, dtype=torch.long)
    adv = FGSM(eps=0.25)(Sums(), x, y, torch.Generator())
    assert torch.equal(adv.x, torch.full_like(x, 0.25))


def test_nan_gradients_move_nothing():
    class Broken(nn.Module):
        def forward(self, x):
            return x.flatten(1) * float("nan")

    x = torch.rand(2, 1, 1, 3)
    adv = FGSM(eps=0.25)(Broken(), x, torch.tensor([0, 1]), torch.Generator())
    assert torch.equal(adv.x, x)
