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
ERRORS = 4
"""Standard errors that two attacks of equal strength may be apart: once in 16,000 tries more."""
PAIRS = {
    "fgsm": lambda model, eps: torchattacks.FGSM(model, eps=eps),
    "pgd-20": lambda model, eps: torchattacks.PGD(model, eps=eps, alpha=eps / 8, steps=20),
    "cw-20": None,
    "autoattack:apgd-ce": lambda model, eps: torchattacks.APGD(model, eps=eps, steps=100),
    "square-200": lambda model, eps: torchattacks.Square(
        model, eps=eps, n_queries=200, resc_schedule=False
    ),
}


def share(right) -> float:
    return float(right.float().mean())


@pytest.fixture(scope="module")
def ours(digits):
    """Return which of all 1,000 images stay right, by each suite once."""
    found = {}
    for name in PAIRS:
        noise = torch.Generator().manual_seed(0)
        verdict = suite(name).attack(digits.model, digits.x, digits.y, digits.eps, noise)
        assert len(verdict.robust) == N
        found[name] = verdict.robust
    return found


@pytest.mark.parametrize("name", [name for name, other in PAIRS.items() if other])
def test_torchattacks_leaves_as_much(digits, ours, name, standard_error):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adv = PAIRS[name](digits.model, digits.eps)(digits.x, digits.y)
    with torch.no_grad():
        theirs = digits.model(adv).argmax(1) == digits.y
    assert 0.2 < share(ours[name]) < 0.9, "the network must leave something to disagree about"
    error = standard_error(ours[name], theirs)
    assert abs(share(ours[name]) - share(theirs)) <= ERRORS * error


def test_pyautoattack_on_the_network_itself_leaves_as_much(digits, ours, standard_error):
    from pyautoattack import AutoAttack

    with torch.random.fork_rng():
        library = AutoAttack(digits.model, norm="Linf", eps=digits.eps, seed=0)
        library.attacks_to_run = ["apgd-ce"]
        _, labels = library.run_standard_evaluation(digits.x, digits.y, batch_size=N)
    found, theirs = ours["autoattack:apgd-ce"], labels == digits.y
    assert abs(share(found) - share(theirs)) <= ERRORS * standard_error(found, theirs)


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [("autoattack:apgd-ce", "pgd-20"), ("pgd-20", "fgsm"), ("pgd-20", "square-200")],
)
def test_the_order_of_strength(ours, standard_error, stronger, weaker):
    error = standard_error(ours[stronger], ours[weaker])
    assert share(ours[stronger]) <= share(ours[weaker]) + ERRORS * error


def test_fgsm_and_few_queries_are_weaker_beyond_chance(ours, standard_error):
    for weaker in ("fgsm", "square-200"):
        error = standard_error(ours["pgd-20"], ours[weaker])
        assert share(ours[weaker]) - share(ours["pgd-20"]) > ERRORS * error, weaker


def test_another_loss_is_about_as_strong(ours):
    """Not equal: the two losses disagree on a few images, whatever the noise."""
    assert abs(share(ours["cw-20"]) - share(ours["pgd-20"])) < 0.03
