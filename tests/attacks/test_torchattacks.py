"""Parity with torchattacks: the same robust accuracy on a trained network."""

from __future__ import annotations

import warnings

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from rayat.attacks.fgsm_rs import FGSMRS
from rayat.attacks.pgd import PGD

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own dependencies
    torchattacks = pytest.importorskip("torchattacks")

EPS = 0.2
ERRORS = 4
"""Standard errors that two attacks of equal strength may be apart: once in 16,000 tries more."""


@pytest.fixture(scope="module")
def digits():
    """Return a network trained on FGSM-RS digits for a few seconds, and 600 held-out images."""
    data = load_digits()
    x = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    y = torch.tensor(data.target)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, 10),
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
        noise = torch.Generator().manual_seed(0)
        for step in range(150):
            rows = torch.arange(64 * step, 64 * step + 64) % 1197
            adv = FGSMRS(eps=EPS)(model, x[rows], y[rows], noise)
            optimizer.zero_grad()
            F.cross_entropy(model(adv.x), y[rows]).backward()
            optimizer.step()
    return model.eval(), x[1197:], y[1197:]


def right(model, x, y):
    with torch.no_grad():
        return model(x).argmax(1) == y


def share(right) -> float:
    return float(right.float().mean())


def test_without_a_random_start_the_images_are_the_same(digits, standard_error):
    model, x, y = digits
    ours = PGD(eps=EPS, steps=10, random_start=False)(model, x, y, torch.Generator()).x
    theirs = torchattacks.PGD(model, eps=EPS, alpha=EPS / 4, steps=10, random_start=False)(x, y)
    # The mean of the loss instead of the sum rounds a few tiny gradients to another sign.
    assert (ours - theirs).abs().gt(1e-5).float().mean() < 0.01
    ours, theirs = right(model, ours, y), right(model, theirs, y)
    assert abs(share(ours) - share(theirs)) <= ERRORS * standard_error(ours, theirs)


def test_robust_accuracy_agrees_within_chance(digits, standard_error):
    model, x, y = digits
    clean = share(right(model, x, y))
    ours = PGD(eps=EPS, steps=20)(model, x, y, torch.Generator().manual_seed(0)).x
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torchattacks.PGD(model, eps=EPS, alpha=EPS / 4, steps=20)(x, y)
    ours, theirs = right(model, ours, y), right(model, theirs, y)
    assert 0.2 < share(ours) < clean - 0.1, "the network must leave something to disagree about"
    assert abs(share(ours) - share(theirs)) <= ERRORS * standard_error(ours, theirs)
