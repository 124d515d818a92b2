"""Dynamic PGD is Algorithm 1 of Wang et al. (docs/papers.md 4.4, 9.3 item 3)."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rayat.attacks import ascent
from rayat.attacks.base import Moment
from rayat.attacks.dynamic import Dynamic
from rayat.attacks.pgd import PGD
from rayat.config import TrialConfig
from rayat.errors import ConfigError

SETTING = {"eps": 0.3, "steps": 8, "step_size": 0.06}


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def smooth():
    """Return a network on which no two samples meet, and 24 images with their labels."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.Softplus(), nn.Flatten(), nn.Linear(216, 3)
        ).double()
        x = torch.rand(24, 1, 6, 6, dtype=torch.float64)
        y = torch.randint(3, (24,))
    for p in model.parameters():
        p.requires_grad_(False)
    return model, x, y


def condition(model, image, label, centre, eps):
    """Return the image's FOSC as it is defined, and its gradient."""
    leaf = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(leaf), label), leaf)
    best = centre + eps * gradient.sign()
    return float(((best - image) * gradient).sum()), gradient


def literal(model, x, y, attack, threshold, start):
    """Algorithm 1, one sample at a time: images, steps, passes, FOSC at the end."""
    images, steps, passes, values = [], [], [], []
    for i in range(len(x)):
        clean, label = x[i : i + 1], y[i : i + 1]
        box = (clean - attack.eps).clamp(min=0), (clean + attack.eps).clamp(max=1)
        image = torch.min(torch.max(start[i : i + 1], box[0]), box[1])
        centre = clean if attack.fosc_reference == "clean" else image.clone()
        value, gradient = condition(model, image, label, centre, attack.eps)
        done, seen = 0, 1
        while done < attack.steps:
            moved = image + attack.step_size * gradient.sign()
            image = torch.min(torch.max(moved, box[0]), box[1])
            done += 1
            value, gradient = condition(model, image, label, centre, attack.eps)
            seen += 1
            if value <= threshold:
                break
        images.append(image)
        steps.append(done)
        passes.append(seen)
        values.append(value)
    return torch.cat(images), steps, passes, torch.tensor(values, dtype=x.dtype)


@pytest.mark.parametrize("reference", ["clean", "start"])
@pytest.mark.parametrize("threshold", [0.02, 0.1, 0.3])
def test_it_is_algorithm_1(smooth, threshold, reference, monkeypatch):
    monkeypatch.setattr(ascent, "COMPACT_BELOW", 1.0)  # a stopped sample costs nothing at once
    model, x, y = smooth
    attack = Dynamic(**SETTING, threshold=threshold, fosc_reference=reference)
    noise = torch.empty_like(x).uniform_(-0.3, 0.3, generator=seeded())
    images, steps, passes, values = literal(model, x, y, attack, threshold, x + noise)
    adv = attack(model, x, y, seeded())
    assert torch.equal(adv.x, images)
    assert adv.steps == sum(steps)
    assert adv.forward == adv.backward == sum(passes) == sum(steps) + len(x)
    torch.testing.assert_close(adv.info["fosc"], values)
    if threshold == 0.1:
        assert len(set(steps)) > 2, "samples must stop at different steps"


def test_below_zero_it_is_pgd_bit_for_bit(smooth):
    model, x, y = smooth
    adv = Dynamic(**SETTING, threshold=-1.0)(model, x, y, seeded())
    plain = PGD(**SETTING)(model, x, y, seeded())
    assert torch.equal(adv.x, plain.x)
    assert adv.steps == plain.steps == 8 * 24
    assert adv.forward == plain.forward + 24, "the last look"
    unlooked = Dynamic(**SETTING, threshold=-1.0, measure_last=False)(model, x, y, seeded())
    assert torch.equal(unlooked.x, plain.x) and unlooked.forward == plain.forward


@pytest.mark.parametrize("changes", [{"norm": "l2", "eps": 1.0}, {"fosc_form": "box"}])
def test_other_balls_and_forms_are_pgd_below_zero_and_one_step_far_above(smooth, changes):
    model, x, y = smooth
    setting = {**SETTING, **changes}
    plain = {k: v for k, v in setting.items() if k != "fosc_form"}
    for threshold, steps in ((-1.0, 8), (1e9, 1)):
        adv = Dynamic(**setting, threshold=threshold)(model, x, y, seeded())
        assert torch.equal(adv.x, PGD(**{**plain, "steps": steps})(model, x, y, seeded()).x)


def test_far_above_it_is_one_step(smooth):
    model, x, y = smooth
    adv = Dynamic(**SETTING, threshold=1e9)(model, x, y, seeded())
    plain = PGD(**{**SETTING, "steps": 1})(model, x, y, seeded())
    assert torch.equal(adv.x, plain.x)
    assert adv.steps == 24 and adv.forward == adv.backward == 48


def test_leaving_the_batch_changes_no_image_and_no_statistic(smooth, monkeypatch):
    model, x, y = smooth
    results = {}
    for share in (0.0, 0.75, 1.0):
        monkeypatch.setattr(ascent, "COMPACT_BELOW", share)
        results[share] = Dynamic(**SETTING, threshold=0.1)(model, x, y, seeded())
    for share in (0.75, 1.0):
        assert torch.equal(results[0.0].x, results[share].x)
        assert results[0.0].steps == results[share].steps
        for name in ("fosc", "grad_l1"):
            torch.testing.assert_close(results[0.0].info[name], results[share].info[name])
    assert results[1.0].forward < results[0.75].forward < results[0.0].forward


def test_a_sample_with_a_network_without_gradient_stops_after_one_step():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    nn.init.zeros_(flat[1].weight)
    x, y = torch.rand(5, 1, 6, 6), torch.zeros(5, dtype=torch.long)
    adv = Dynamic(**SETTING)(flat, x, y, seeded())
    assert adv.steps == 5 and adv.forward == 10
    assert (adv.info["fosc"] == 0).all() and (adv.info["grad_l1"] == 0).all()


@pytest.mark.parametrize(
    ("epoch", "threshold"), [(1, 0.5), (2, 0.495), (61, 0.2), (100, 0.005), (101, 0), (120, 0)]
)
def test_the_threshold_falls_as_released(epoch, threshold):
    attack = Dynamic().at(Moment(epoch, 120, 0.5))
    assert attack.limit() == pytest.approx(threshold, abs=1e-12)


def test_outside_of_a_training_the_threshold_is_zero_and_a_given_one_always_counts():
    assert Dynamic().limit() == 0
    assert Dynamic(threshold=0.2).at(Moment(1, 10, 0.1)).limit() == 0.2


def test_the_exact_form_is_refused_in_l2():
    with pytest.raises(ConfigError, match="fosc_form must be 'ball' for norm 'l2', got 'box'"):
        TrialConfig.parse({"attack": {"name": "dynamic", "norm": "l2", "fosc_form": "box"}})


def test_attacks_of_all_steps_tell_the_last_gradients_norm(smooth):
    model, x, y = smooth
    adv = PGD(**SETTING, random_start=False)(model, x, y, seeded())
    before = PGD(**{**SETTING, "steps": 7}, random_start=False)(model, x, y, seeded()).x
    norms = [
        condition(model, before[i : i + 1], y[i : i + 1], x[i : i + 1], 0.3)[1] for i in range(24)
    ]
    torch.testing.assert_close(adv.info["grad_l1"], torch.cat(norms).abs().sum((1, 2, 3)))


@pytest.mark.parametrize(("start", "leaves"), [("clipped", False), ("unclipped", True)])
def test_the_first_gradient_is_taken_where_the_start_says(smooth, start, leaves):
    model, x, y = smooth
    seen = []
    handle = model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    adv = Dynamic(**SETTING, start=start, threshold=-1)(model, x, y, seeded())
    handle.remove()
    noisy = x + torch.empty_like(x).uniform_(-0.3, 0.3, generator=seeded())
    torch.testing.assert_close(seen[0], noisy if leaves else noisy.clamp(0, 1))
    assert bool((seen[0] < 0).any()) is leaves
    assert all(image.min() >= 0 and image.max() <= 1 for image in (*seen[1:], adv.x))
