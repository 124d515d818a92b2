"""What every suite promises, whichever it is."""

from __future__ import annotations

import sys

import pytest
import torch

from rayat.errors import ConfigError
from rayat.registry import SUITES
from rayat.suites.base import suite

QUICK = {
    "pgd": {"steps": 3, "restarts": 2},
    "cw": {"steps": 3},
    "fgsm": {},
    "square": {"queries": 20},
    "autoattack": {"attacks": ("apgd-ce", "square"), "queries": 10},
}


@pytest.fixture(
    params=[(name, norm) for name in SUITES.names() for norm in ("linf", "l2")], ids=str
)
def quick(request):
    """A suite with little to do, and a radius that fools some."""
    name, norm = request.param
    built = SUITES.build({"name": name, "norm": norm, **QUICK[name]})
    return built, 0.15 if norm == "linf" else 0.8


def test_only_what_was_right_is_robust_and_some_of_it_is_fooled(quick, digits, noise):
    built, eps = quick
    verdict = built.attack(digits.model, digits.x[:24], digits.y[:24], eps, noise())
    with torch.no_grad():
        right = digits.model(digits.x[:24]).argmax(1) == digits.y[:24]
    assert torch.equal(verdict.clean, right)
    assert not (verdict.robust & ~right).any()
    assert 0 < int(verdict.robust.sum()) < int(right.sum())


def test_passes_are_those_that_were_made(quick, spied, digits, noise):
    built, eps = quick
    verdict = built.attack(spied, digits.x[:16], digits.y[:16], eps, noise())
    assert (verdict.passes.forward, verdict.passes.backward) == (
        spied.seen.forward,
        spied.seen.backward,
    )


def test_the_folded_copy_says_the_same(quick, spied, digits, noise):
    """A network that cannot be folded is attacked itself: the slow reference."""
    built, eps = quick
    fast = built.attack(digits.model, digits.x[:24], digits.y[:24], eps, noise())
    slow = built.attack(spied, digits.x[:24], digits.y[:24], eps, noise())
    assert torch.equal(fast.clean, slow.clean)
    assert (fast.robust != slow.robust).sum() <= 1


def test_the_generator_alone_decides_and_nothing_is_disturbed(quick, digits, noise):
    built, eps = quick
    x, y = digits.x[:16].contiguous(memory_format=torch.channels_last), digits.y[:16]
    digits.model.train()
    state = {k: v.clone() for k, v in digits.model.state_dict().items()}
    randomness, pixels = torch.get_rng_state(), x.clone()

    def trace(*args):
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        first = built.attack(digits.model, x, y, eps, noise())
        assert sys.gettrace() is trace
    finally:
        sys.settrace(before)
    assert torch.equal(randomness, torch.get_rng_state())
    torch.manual_seed(99)
    second = built.attack(digits.model, x, y, eps, noise())
    torch.set_rng_state(randomness)
    assert torch.equal(first.robust, second.robust) and first.passes == second.passes
    assert digits.model.training and all(p.requires_grad for p in digits.model.parameters())
    assert all(p.grad is None or p.grad.isfinite().all() for p in digits.model.parameters())
    assert all(torch.equal(v, state[k]) for k, v in digits.model.state_dict().items())
    assert torch.equal(x, pixels)
    digits.model.eval()


def test_radius_zero_is_clean_accuracy(quick, digits, noise):
    verdict = quick[0].attack(digits.model, digits.x[:9], digits.y[:9], 0.0, noise())
    assert torch.equal(verdict.robust, verdict.clean)
    assert (verdict.passes.forward, verdict.passes.backward) == (9, 0)


def test_a_radius_too_small_to_matter_fools_no_one(quick, digits, noise):
    verdict = quick[0].attack(digits.model, digits.x[:40], digits.y[:40], 1e-6, noise())
    assert torch.equal(verdict.robust, verdict.clean)


def test_a_batch_that_is_all_wrong_is_not_attacked(quick, digits, noise):
    with torch.no_grad():
        wrong = (digits.model(digits.x[:9]).argmax(1) + 1) % 10
    verdict = quick[0].attack(digits.model, digits.x[:9], wrong, quick[1], noise())
    assert not verdict.robust.any() and verdict.passes.forward == 9


def test_titles_are_unique_and_read_back():
    titles = ["pgd-20", "pgd-50x3", "cw-20", "cw-7x2-l2", "square-1000", "fgsm-l2", "autoattack"]
    assert [suite(title).title for title in titles] == titles
    assert suite("pgd:50") == suite({"name": "pgd", "steps": 50})
    assert suite("autoattack:apgd-ce,square").title == "apgd-ce+square"
    assert suite({"name": "autoattack", "queries": 100}).title == "autoattack-q100"
    assert suite({"name": "pgd", "step": 0.25}).title == "pgd-20-step0.25"


def test_a_norm_is_filled_in_only_where_none_is_named():
    assert suite("pgd").within("l2").title == "pgd-20-l2"
    assert suite({"name": "pgd", "norm": "linf"}).within("l2").title == "pgd-20"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("autoatack", r"unknown suite 'autoatack' \(did you mean 'autoattack'\?\)"),
        ("pgd-0", "suite.steps: input should be greater than or equal to 1"),
        ("autoattack:pgd", "suite.attacks.0: input should be 'apgd-ce'"),
        ({"name": "pgd", "stepz": 1}, r"unknown key 'suite.stepz' .* \(did you mean 'suite.step"),
    ],
)
def test_what_is_no_suite_is_said(value, text):
    with pytest.raises(ConfigError, match=text):
        suite(value)


def test_a_radius_in_the_wrong_scale_is_refused(digits, noise):
    with pytest.raises(ConfigError, match=r"8/255 is 0\.0314"):
        suite("fgsm").attack(digits.model, digits.x[:2], digits.y[:2], 8, noise())
