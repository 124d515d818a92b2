from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.attacks.base import Adversarial, Moment
from rayat.attacks.pgd import PGD
from rayat.objectives.madry import Madry


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 4))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    x = torch.rand(5, 1, 3, 3, generator=generator)
    y = torch.randint(4, (5,), generator=generator)
    adv = Adversarial((x + 0.1).clamp(0, 1), 5, 5)
    return model, x, adv, y


def test_is_the_cross_entropy_of_the_adversarial_images(case):
    model, x, adv, y = case
    outcome = Madry().loss(model, x, adv, y)
    expected = -model(adv.x).log_softmax(1)[torch.arange(5), y]
    torch.testing.assert_close(outcome.loss, expected)
    assert torch.equal(outcome.adv_logits, model(adv.x))


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_label_smoothing_spreads_its_share_over_all_classes(case, smoothing):
    model, x, adv, y = case
    logp = model(adv.x).log_softmax(1)
    expected = -(1 - smoothing) * logp[torch.arange(5), y] - smoothing * logp.mean(1)
    outcome = Madry(label_smoothing=smoothing).loss(model, x, adv, y)
    torch.testing.assert_close(outcome.loss, expected)


def test_clean_logits_only_where_the_pass_was_clean(case):
    model, x, adv, y = case
    assert Madry().loss(model, x, adv, y).clean_logits is None
    outcome = Madry().loss(model, x, Adversarial(x, 0, 0), y)
    assert outcome.clean_logits is outcome.adv_logits


def test_a_self_weighted_loss_is_the_loss_times_its_own_value_held_constant(case):
    model, x, adv, y = case
    plain = Madry().loss(model, x, adv, y).loss
    found = Madry(loss_weighting="self").loss(model, x, adv, y).loss
    torch.testing.assert_close(found, plain**2)
    weights = list(model.parameters())
    expected = torch.autograd.grad((plain * plain.detach()).sum(), weights)
    for a, b in zip(torch.autograd.grad(found.sum(), weights), expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("epoch", "weighted"), [(1, False), (2, True), (9, True)])
def test_the_first_epoch_is_never_weighted(case, epoch, weighted):
    model, x, adv, y = case
    objective = Madry(loss_weighting="self").at(
        Moment(epoch, 9, epoch / 9), PGD(), torch.Generator()
    )
    plain = (
        Madry()
        .at(Moment(epoch, 9, epoch / 9), PGD(), torch.Generator())
        .loss(model, x, adv, y)
        .loss
    )
    expected = plain**2 if weighted else plain
    torch.testing.assert_close(objective.loss(model, x, adv, y).loss, expected)
