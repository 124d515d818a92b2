"""Parity with torchattacks and pyautoattack used directly: the same robust accuracy."""

from __future__ import annotations

import warnings

import pytest
import torch

from rayat.suites.base import suite

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own dependencies
    torchattacks = pytest.importorskip("torchattacks")

pytestmark = pytest.mark.slow
N = 1000
PAIRS = {
    "fgsm": lambda model, eps: torchattacks.FGSM(model, eps=eps),
    "pgd-20": lambda model, eps: torchattacks.PGD(model, eps=eps, alpha=eps / 8, steps=20),
    "cw-20": None,
    "autoattack:apgd-ce": lambda model, eps: torchattacks.APGD(model, eps=eps, steps=100),
    "square-200": lambda model, eps: torchattacks.Square(
        model, eps=eps, n_queries=200, resc_schedule=False
    ),
}


@pytest.fixture(scope="module")
def ours(digits):
    """Return robust accuracies on all 1,000 images, each measured once."""
    found = {}
    for name in PAIRS:
        noise = torch.Generator().manual_seed(0)
        verdict = suite(name).attack(digits.model, digits.x, digits.y, digits.eps, noise)
        assert len(verdict.robust) == N
        found[name] = float(verdict.robust.float().mean())
    return found


@pytest.mark.parametrize("name", [name for name, other in PAIRS.items() if other])
def test_torchattacks_leaves_as_much(digits, ours, name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adv = PAIRS[name](digits.model, digits.eps)(digits.x, digits.y)
    with torch.no_grad():
        theirs = float((digits.model(adv).argmax(1) == digits.y).float().mean())
    assert 0.2 < ours[name] < 0.9, "the network must leave something to disagree about"
    assert ours[name] == pytest.approx(theirs, abs=0.01)


def test_pyautoattack_on_the_network_itself_leaves_as_much(digits, ours):
    from pyautoattack import AutoAttack

    with torch.random.fork_rng():
        library = AutoAttack(digits.model, norm="Linf", eps=digits.eps, seed=0)
        library.attacks_to_run = ["apgd-ce"]
        _, labels = library.run_standard_evaluation(digits.x, digits.y, batch_size=N)
    theirs = float((labels == digits.y).float().mean())
    assert ours["autoattack:apgd-ce"] == pytest.approx(theirs, abs=0.01)


def test_the_order_of_strength(ours):
    assert ours["autoattack:apgd-ce"] <= ours["pgd-20"] + 0.005 <= ours["fgsm"]
    assert abs(ours["cw-20"] - ours["pgd-20"]) < 0.03
    assert ours["square-200"] > ours["pgd-20"]
