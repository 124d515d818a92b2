"""FGSM-CKPT against a literal, one-sample version, and what it costs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rayat.attacks.fgsm_ckpt import FGSMCkpt

EPS, STEP = 0.2, 0.25


@pytest.fixture
def case():
    """Return a network, images that it classifies rightly but for six, and their labels."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.Softplus(), nn.Flatten(), nn.Linear(216, 3)
        ).double()
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(3)
        x = torch.rand(40, 1, 6, 6, dtype=torch.float64)
    y = model(x).argmax(1)
    y[:6] = (y[:6] + 1) % 3
    return model, x, y


def literal(model, x, y, c, wrong_at):
    """One sample at a time; also its forward and backward passes and where it ended (j)."""
    noise = torch.empty_like(x).uniform_(-EPS, EPS, generator=torch.Generator().manual_seed(7))
    images, forward, backward, ends = [], 0, 0, []
    for i in range(len(x)):
        clean, label = x[i : i + 1], y[i : i + 1]

        def wrong(image, label=label):
            return bool(model(image).argmax(1) != label)

        if wrong_at == "clean":
            forward += 1
            if wrong(clean):
                images.append(clean)
                ends.append(0)
                continue
        leaf = (clean + noise[i : i + 1]).clamp(0, 1).requires_grad_()
        missed = wrong(leaf.detach())
        F.cross_entropy(model(leaf), label).backward()
        forward, backward = forward + 1, backward + 1
        if missed and wrong_at == "start":
            images.append(clean)
            ends.append(0)
            continue
        end = leaf.detach() + STEP * leaf.grad.sign()
        end = torch.min(torch.max(end, clean - EPS), clean + EPS).clamp(0, 1)
        found, at = end, c
        for j in range(1, c):
            forward += 1
            point = clean + j / c * (end - clean)
            if wrong(point):
                found, at = point, j
                break
        images.append(found)
        ends.append(at)
    return torch.cat(images), forward, backward, ends


@pytest.mark.parametrize("wrong_at", ["start", "clean"])
@pytest.mark.parametrize("c", [1, 3, 5])
def test_it_is_the_literal_version_at_exactly_its_cost(case, c, wrong_at):
    model, x, y = case
    attack = FGSMCkpt(eps=EPS, checkpoints=c, wrong_at=wrong_at)
    adv = attack(model, x, y, torch.Generator().manual_seed(7))
    images, forward, backward, ends = literal(model, x, y, c, wrong_at)
    assert set(ends) == set(range(c + 1)), "samples must end at different points"
    torch.testing.assert_close(adv.x, images)
    assert (adv.forward, adv.backward) == (forward, backward)


def test_points_are_judged_in_evaluation_mode_whatever_the_step_uses(case):
    """With the batch's statistics in the step, as released; and the network is left as found."""
    plain, x, _ = case
    norm = nn.BatchNorm2d(1).double()
    norm.running_mean.fill_(0.3)
    model = nn.Sequential(norm, *plain).train()
    modes = []
    norm.register_forward_pre_hook(lambda module, inputs: modes.append(module.training))
    attack = FGSMCkpt(eps=EPS, bn_mode="batch")
    attack(model, x, model.eval()(x).argmax(1), torch.Generator().manual_seed(7))
    statistics = [norm.running_mean.clone(), norm.running_var.clone()]
    assert torch.equal(statistics[0], torch.full_like(statistics[0], 0.3))
    assert modes[1:] == [True, False, False], modes


def test_images_that_are_wrong_already_stay_and_cost_one_forward(case):
    model, x, y = case
    adv = FGSMCkpt(eps=EPS, wrong_at="clean")(model, x[:6], y[:6], torch.Generator())
    assert torch.equal(adv.x, x[:6])
    assert (adv.forward, adv.backward) == (6, 0)
