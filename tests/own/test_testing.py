"""The contract suites for methods of others: broken ones fail. Rooms hold rayat's own to them."""

from __future__ import annotations

import pytest

from rayat.attacks.base import Adversarial
from rayat.attacks.fgsm import FGSM
from rayat.lr_shapes.base import LRShape
from rayat.testing import attack_contract, shape_contract


class Far(FGSM):
    """Goes three times as far as it says."""

    def __call__(self, model, x, y, generator):
        adv = super().__call__(model, x, y, generator)
        return Adversarial((x + 3 * (adv.x - x)).clamp(0, 1), adv.forward, adv.backward)


class Wasteful(FGSM):
    """Passes that it does not count."""

    def __call__(self, model, x, y, generator):
        adv = super().__call__(model, x, y, generator)
        return Adversarial(adv.x, adv.forward + len(x) * (adv.forward > 0), adv.backward)


class High(LRShape):
    """Above its peak."""

    def multiplier(self, progress):
        return 1.0 + progress


def test_an_attack_that_leaves_the_ball_fails_and_is_told_by_how_much():
    with pytest.raises(AssertionError, match=r"leaves the ball: an image is 0.03 away at eps=0.01"):
        attack_contract(Far(eps=0.1))


def test_uncounted_passes_fail():
    with pytest.raises(AssertionError, match="passes of single images, and made"):
        attack_contract(Wasteful(eps=0.1))


def test_a_rate_above_the_peak_fails():
    with pytest.raises(AssertionError, match="the rate at progress"):
        shape_contract(High(peak=0.1))
