"""Early stopping: who stops, who pays, and that leaving the batch changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rayat.attacks import ascent
from rayat.attacks.ascent import ascend
from rayat.attacks.ball import LinfBall
from rayat.attacks.pgd import PGD
from rayat.attacks.pgd_early import PGDEarly


@pytest.fixture
def smooth():
    """Return a network on which no two samples meet, and 24 images it classifies rightly."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.Softplus(), nn.Flatten(), nn.Linear(216, 3)
        ).double()
        x = torch.rand(24, 1, 6, 6, dtype=torch.float64)
    for p in model.parameters():
        p.requires_grad_(False)
    return model, x, model(x).argmax(1)


def literal(model, x, y, eps, alpha, steps, tau):
    """Algorithm 1 of the paper, one sample at a time; also the steps at which it was computed."""
    images, computed = [], []
    for i in range(len(x)):
        clean, image, left, seen = x[i : i + 1], x[i : i + 1].clone(), tau, 0
        for _ in range(steps):
            seen += 1
            leaf = image.clone().requires_grad_()
            logits = model(leaf)
            if logits.argmax(1) != y[i]:
                if left == 0:
                    break
                left -= 1
            (gradient,) = torch.autograd.grad(F.cross_entropy(logits, y[i : i + 1]), leaf)
            image = torch.min(torch.max(image + alpha * gradient.sign(), clean - eps), clean + eps)
            image = image.clamp(0, 1)
        images.append(image)
        computed.append(seen)
    return torch.cat(images), computed


@pytest.mark.parametrize("tau", [0, 1, 3])
def test_it_is_algorithm_1(smooth, tau, monkeypatch):
    monkeypatch.setattr(ascent, "COMPACT_BELOW", 1.0)
    model, x, y = smooth
    attack = PGDEarly(eps=0.3, steps=8, step_size=0.05, random_start=False, tau=tau)
    adv = attack(model, x, y, torch.Generator())
    images, computed = literal(model, x, y, 0.3, 0.05, 8, tau)
    assert torch.equal(adv.x, images)
    assert adv.forward == adv.backward == sum(computed)
    assert len(set(computed)) > 2, "samples must stop at different steps"


def test_leaving_the_batch_changes_no_image_and_only_lowers_the_cost(smooth, monkeypatch):
    model, x, y = smooth
    attack = PGDEarly(eps=0.3, steps=8, step_size=0.05, random_start=False, tau=1)
    results = {}
    for share in (0.0, 0.75, 1.0):
        monkeypatch.setattr(ascent, "COMPACT_BELOW", share)
        results[share] = attack(model, x, y, torch.Generator())
    assert torch.equal(results[0.0].x, results[0.75].x)
    assert torch.equal(results[0.0].x, results[1.0].x)
    assert results[1.0].forward <= results[0.75].forward < results[0.0].forward


def test_a_tau_of_all_steps_is_pgd(smooth):
    model, x, y = smooth
    early = PGDEarly(eps=0.3, steps=4, tau=4)(model, x, y, torch.Generator().manual_seed(1))
    plain = PGD(eps=0.3, steps=4)(model, x, y, torch.Generator().manual_seed(1))
    assert torch.equal(early.x, plain.x) and early.forward == plain.forward


def test_stopped_samples_never_move_whatever_is_answered_later(smooth):
    """Sample i is told to stop at step i, and to go on again ever after."""
    model, x, y = smooth
    seen = []

    def keep(probe):
        seen.append(probe.rows.tolist())
        assert torch.equal(probe.y, y[probe.rows])
        assert len(probe.logits) == len(probe.x) == len(probe.gradient) == len(probe.rows)
        return probe.rows != probe.step

    adv = ascend(model, x.clone(), y, LinfBall(x, 0.3), 0.01, 12, keep)
    for i, image in enumerate(adv.x):
        stop = min(i, 12)
        alone = ascend(
            model, x[i : i + 1].clone(), y[i : i + 1], LinfBall(x[i : i + 1], 0.3), 0.01, stop
        )
        assert torch.equal(image, alone.x[0])
    sizes = [len(rows) for rows in seen]
    assert adv.forward == adv.backward == sum(sizes)
    # A quarter of 24 has stopped after step 5, so step 6 has 18; a quarter of these after step 10.
    assert sizes == [24] * 6 + [18] * 5 + [13]


def test_everyone_stopping_ends_the_attack(smooth):
    model, x, y = smooth
    adv = ascend(
        model, x.clone(), y, LinfBall(x, 0.3), 0.01, 9, lambda probe: torch.zeros(24).bool()
    )
    assert torch.equal(adv.x, x) and adv.forward == 24


def test_images_keep_their_layout_when_others_leave(smooth):
    _, x, y = smooth
    last = x.repeat(1, 3, 1, 1).contiguous(memory_format=torch.channels_last)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(108, 3)).double()
    layouts = []

    def keep(probe):
        layouts.append(probe.x.is_contiguous(memory_format=torch.channels_last))
        return probe.rows % 2 == 0

    adv = ascend(linear, last.clone(), y, LinfBall(last, 0.3), 0.01, 3, keep)
    assert adv.x.is_contiguous(memory_format=torch.channels_last) and all(layouts)
