"""BulletTrain's groups, their steps and its estimate (docs/papers.md 5.5, 9.3 item 10)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rayat.attacks.base import Adversarial, Moment, Outcome, Setting
from rayat.attacks.bullet_train import BulletTrain, RobustShare
from rayat.attacks.pgd import PGD

NOW = Moment(2, 10, 0.2, 0)


def memory(robust):
    share = RobustShare(Setting((1, 6, 6), 3, 8, 0))
    share.load_state_dict({"robust": robust})
    return share


@pytest.fixture
def smooth():
    """Return a network on which no two samples meet, and 24 images, 18 of them rightly labelled."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.Softplus(), nn.Flatten(), nn.Linear(216, 3)
        ).double()
        x = torch.rand(24, 1, 6, 6, dtype=torch.float64)
    for p in model.parameters():
        p.requires_grad_(False)
    y = model(x).argmax(1)
    y[::4] = (y[::4] + 1) % 3
    return model, x, y


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**31), share=st.floats(0, 0.8))
def test_groups_part_the_batch_by_signed_variance(seed, share):
    generator = torch.Generator().manual_seed(seed)
    clean = (3 * torch.randn(40, 5, generator=generator)).softmax(1)
    y = torch.randint(5, (40,), generator=generator)
    y[:20] = clean[:20].argmax(1)
    boundary, robust = BulletTrain().at(NOW, memory(share)).groups(clean, y)
    outlier = ~boundary & ~robust
    assert (boundary.int() + robust.int() + outlier.int() == 1).all()
    assert torch.equal(outlier, clean.argmax(1) != y)
    spread = clean.std(1)
    if robust.any() and boundary.any():
        assert spread[robust].min() >= spread[boundary].max() - 1e-7
    # The predicted share, except that no outlier is robust.
    right = int((~outlier).sum())
    assert abs(int(robust.sum()) - min(right, share * 40)) <= 1


def test_without_an_estimate_there_is_no_robust_group(smooth):
    model, x, y = smooth
    clean = model(x).softmax(1)
    for attack in (BulletTrain(), BulletTrain().at(NOW, memory(0.0))):
        boundary, robust = attack.groups(clean, y)
        assert not robust.any() and int(boundary.sum()) == 18


def test_outliers_keep_the_clean_image_and_boundary_samples_get_pgd(smooth):
    model, x, y = smooth
    attack = BulletTrain(eps=0.2, steps=5)
    adv = attack(model, x, y, torch.Generator().manual_seed(1))
    wrong = torch.zeros(24, dtype=torch.bool)
    wrong[::4] = True
    assert torch.equal(adv.x[wrong], x[wrong])
    plain = PGD(eps=0.2, steps=5)(model, x[~wrong], y[~wrong], torch.Generator().manual_seed(1))
    assert torch.equal(adv.x[~wrong], plain.x)
    assert (adv.forward, adv.backward, adv.steps) == (24 + 18 * 5, 18 * 5, 18 * 5)


def test_robust_samples_get_few_long_steps(smooth):
    model, x, y = smooth
    attack = BulletTrain(eps=0.2, steps=5, random_start=False).at(NOW, memory(0.5))
    boundary, robust = attack.groups(model(x).softmax(1), y)
    assert robust.any() and boundary.any()
    adv = attack(model, x, y, torch.Generator())
    few = PGD(eps=0.2, steps=2, step_size=3 * 0.2 / 4, random_start=False)
    many = PGD(eps=0.2, steps=5, step_size=0.05, random_start=False)
    for attack, rows in ((few, robust), (many, boundary)):
        assert torch.equal(adv.x[rows], attack(model, x[rows], y[rows], torch.Generator()).x)
    assert adv.backward == 2 * int(robust.sum()) + 5 * int(boundary.sum())
    assert adv.forward == adv.backward + 24


def test_kl_uses_the_groups_own_clean_pass(smooth):
    model, x, y = smooth
    attack = BulletTrain(eps=0.2, steps=3, random_start="gaussian").suited("kl")
    adv = attack(model, x, y, torch.Generator().manual_seed(0))
    assert adv.forward == 24 + 18 * 3 and adv.backward == 18 * 3
    right = torch.arange(24) % 4 != 0
    assert ((adv.x - x)[right].abs().amax((1, 2, 3)) > 0.1).all(), "it left its start"


def test_the_estimate_is_the_running_mean_of_those_still_right(smooth):
    model, x, y = smooth
    logits = torch.zeros(24, 3).scatter_(1, y[:, None], 1.0)
    logits[:6] = -logits[:6]

    def learn(x, adv, y):
        return Outcome(torch.zeros(24), logits, None, 24, 24)

    learner = SimpleNamespace(
        model=model, attack=lambda attack, x, y: Adversarial(x, 0, 0), learn=learn
    )
    share = memory(0.0)
    for expected in (0.06, 0.114):  # 0.9 R + 0.1 * 0.8 * 0.75
        BulletTrain().at(NOW, share).step(learner, x, y)
        assert share.state_dict()["robust"] == pytest.approx(expected)


def test_workers_agree_on_the_estimate():
    """`average` stands for the other workers, of whose images none was right."""
    share = RobustShare(Setting((1, 6, 6), 3, 8, 0, average=lambda t: t[0].div_(2)))
    share.update(torch.ones(8, dtype=torch.bool), 0.0, 1.0)
    assert share.state_dict() == {"robust": 0.5}
