"""Objectives of clean and adversarial images: losses written out, and gradients for selectors."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from rayat.attacks.base import Adversarial
from rayat.config import TrialConfig
from rayat.errors import ConfigError
from rayat.objectives.mart import mart_loss
from rayat.pruning._logits import logit_loss
from rayat.registry import OBJECTIVES


def written_out(spec, clean, adversarial, y):
    """Return the loss of one sample from its probabilities."""
    p, q = clean.softmax(0), adversarial.softmax(0)
    smoothing = spec.get("label_smoothing", 0.0)
    target = torch.full_like(p, smoothing / len(p))
    target[y] += 1 - smoothing
    divergence = (p * (p / q).log()).sum()
    if spec["name"] == "trades":
        return -(target * p.log()).sum() + spec["beta"] * divergence
    if spec["name"] == "dat":
        return -(target * q.log()).sum() - spec["clean_weight"] * (target * p.log()).sum()
    rival = max(q[k] for k in range(len(q)) if k != y)
    return -q[y].log() - (1 - rival).log() + spec["beta"] * divergence * (1 - p[y])


SPECS = [
    {"name": "trades", "beta": 6.0},
    {"name": "trades", "beta": 1.5, "label_smoothing": 0.2},
    {"name": "mart", "beta": 5.0},
    {"name": "dat", "clean_weight": 1.0},
    {"name": "dat", "clean_weight": 0.3, "label_smoothing": 0.1},
    {"name": "dat", "clean_weight": 0.0},
]


@pytest.fixture(params=SPECS, ids=str)
def spec(request):
    return request.param


def test_the_loss_is_the_written_out_one(spec, case):
    model, x, adv, y = case
    outcome = OBJECTIVES.build(spec).loss(*case)
    clean, adversarial = model(x), model(adv.x)
    torch.testing.assert_close(outcome.clean_logits, clean)
    torch.testing.assert_close(outcome.adv_logits, adversarial)
    expected = [written_out(spec, clean[i], adversarial[i], int(y[i])) for i in range(7)]
    torch.testing.assert_close(outcome.loss, torch.stack(expected))


def test_the_gradient_reaches_the_weights_through_both_images(spec, case):
    model, x, adv, y = case
    weights = list(model.parameters())
    found = torch.autograd.grad(OBJECTIVES.build(spec).loss(*case).loss.sum(), weights)
    clean, adversarial = model(x), model(adv.x)
    total = sum(written_out(spec, clean[i], adversarial[i], int(y[i])) for i in range(7))
    for ours, plain in zip(found, torch.autograd.grad(total, weights), strict=True):
        torch.testing.assert_close(ours, plain)


def test_selectors_see_the_objectives_own_gradient_of_the_logits(spec, case):
    """docs/papers.md 9.3, test 7, on what is trained."""
    model, x, adv, y = case
    objective = OBJECTIVES.build(spec)
    outcome = objective.loss(model, x, adv, y)
    expected = torch.autograd.grad(
        outcome.loss.sum(), (outcome.clean_logits, outcome.adv_logits), allow_unused=True
    )
    form = logit_loss(objective)
    assert form.clean
    found = form.gradients((outcome.clean_logits.detach(), outcome.adv_logits.detach()), y)
    for ours, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, torch.zeros_like(ours) if plain is None else plain)


def test_a_sure_network_gives_finite_losses_and_gradients(spec):
    logits = torch.tensor([[300.0, -300.0, 0.0], [-300.0, 300.0, 0.0]])

    def model(images):
        return images.flatten(1)

    for clean, adversarial in ((logits, logits.flip(0)), (logits, logits)):
        x = clean[:, :, None, None].clone().requires_grad_(True)
        adv = adversarial[:, :, None, None].clone()
        outcome = OBJECTIVES.build(spec).loss(
            model, x, Adversarial(adv, 0, 0), torch.tensor([0, 0])
        )
        assert outcome.loss.isfinite().all()
        outcome.loss.sum().backward()
        assert x.grad.isfinite().all()


def test_mart_tells_a_sure_wrong_prediction_from_a_surer_one():
    """`log(1 - p'_rival)` by subtraction would be the log of zero for both."""
    y = torch.tensor([0, 0])
    adversarial = torch.tensor([[0.0, 40.0, -5.0], [0.0, 80.0, -5.0]])
    first, second = mart_loss(adversarial, adversarial, y, 5.0)
    torch.testing.assert_close(second - first, torch.tensor(80.0))


@pytest.mark.parametrize(("name", "inner"), [("trades", "kl"), ("mart", "ce"), ("dat", "ce")])
def test_what_the_attack_maximises_for_it(name, inner):
    assert OBJECTIVES.get(name).inner == inner


def test_trades_without_its_second_term_is_standard_training(case):
    model, x, _, y = case
    loss = OBJECTIVES.build({"name": "trades", "beta": 0}).loss(*case).loss
    torch.testing.assert_close(loss, F.cross_entropy(model(x), y, reduction="none"))


@pytest.mark.parametrize("start", [True, "gaussian"])
def test_an_attack_on_the_divergence_needs_a_start_beside_the_image(start):
    tree = {"objective": "trades", "attack.random_start": False}
    with pytest.raises(ConfigError, match=r"moves nothing: .* objective 'trades' asks for"):
        TrialConfig.parse(tree)
    assert TrialConfig.parse({**tree, "attack.loss": "ce"}).attack.loss == "ce"
    assert TrialConfig.parse({**tree, "attack.random_start": start}).attack.random_start == start
