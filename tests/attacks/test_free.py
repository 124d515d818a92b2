"""Free training against a literal loop: the same weights, images and perturbations."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rayat.attacks.base import Moment, Setting
from rayat.attacks.fgsm import FGSM
from rayat.attacks.free import Free

EPS, RATE = 0.2, 0.1


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.rand(n, 1, 6, 6, generator=generator, dtype=torch.float64),
            torch.randint(3, (n,), generator=generator),
        )
        for n in (8, 8, 5)
    ]


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(64, 3))
        return model.double()


class Plain:
    """A learner of plain gradient descent that keeps what it was shown."""

    def __init__(self):
        self.model, self.seen, self.steps = network(), [], 0

    def learn(self, x, adv, y):
        self.seen.append(adv.x.detach().clone())
        self.steps += adv.steps
        assert (adv.forward, adv.backward) == (0, 0)
        F.cross_entropy(self.model(adv.x), y).backward()
        with torch.no_grad():
            for p in self.model.parameters():
                p -= RATE * p.grad
                p.grad = None


def literal(batches, m, box="shown"):
    """Free-m of docs/papers.md 7.1, by autograd through the clipping; also the images shown."""
    model, delta, seen = network(), torch.zeros(8, 1, 6, 6, dtype=torch.float64), []
    for x, y in batches:
        for _ in range(m):
            part = delta[: len(x)].clone().requires_grad_()
            images = (x + part).clamp(0, 1) if box == "shown" else x + part
            seen.append(images.detach())
            F.cross_entropy(model(images), y).backward()
            with torch.no_grad():
                moved = (part + EPS * part.grad.sign()).clamp(-EPS, EPS)
                if box == "stored":
                    moved = moved.clamp(0 - x, 1 - x)
                delta[: len(x)] = moved
                for p in model.parameters():
                    p -= RATE * p.grad
                    p.grad = None
    return [p.detach() for p in model.parameters()], seen


@pytest.mark.parametrize("box", ["shown", "stored"])
@pytest.mark.parametrize("m", [1, 3])
def test_it_is_the_literal_loop(batches, m, box):
    attack = Free(eps=EPS, replays=m, box=box)
    memory = attack.remember(Setting((1, 6, 6), 3, 8, 0))
    memory.delta = memory.delta.double()
    learner = Plain()
    for step, (x, y) in enumerate(batches):
        attack.at(Moment(1, 1, 1.0, step), memory).step(learner, x, y)
    weights, seen = literal(batches, m, box)
    for one, other in zip(learner.seen, seen, strict=True):
        torch.testing.assert_close(one, other)
    for one, other in zip(learner.model.parameters(), weights, strict=True):
        torch.testing.assert_close(one.detach(), other)
    assert learner.steps == m * 21


def test_every_image_shown_is_in_the_ball_of_the_clean_one(batches):
    attack, learner = Free(eps=EPS, replays=2), Plain()
    memory = attack.remember(Setting((1, 6, 6), 3, 8, 0))
    for step, (x, y) in enumerate(batches):
        attack.at(Moment(1, 1, 1.0, step), memory).step(learner, x, y)
        for shown in learner.seen[-2:]:
            assert (shown - x).abs().max() <= EPS + 1e-6
            assert shown.min() >= 0 and shown.max() <= 1


def test_the_perturbation_lives_on_in_the_next_batch(batches):
    attack, learner = Free(eps=EPS, replays=1), Plain()
    memory = attack.remember(Setting((1, 6, 6), 3, 8, 0))
    for step, (x, y) in enumerate(batches):
        attack.at(Moment(1, 1, 1.0, step), memory).step(learner, x, y)
    assert torch.equal(learner.seen[0], batches[0][0])
    assert not torch.equal(learner.seen[1], batches[1][0])


def test_a_pixel_that_the_box_cuts_stays_unless_the_box_cuts_what_is_kept():
    """A black pixel that was made darker: nothing moves it again in the first form."""
    images = torch.zeros(8, 1, 6, 6, dtype=torch.float64)
    labels, kept = torch.arange(8) % 3, {}
    for box in ("shown", "stored"):
        attack = Free(eps=EPS, replays=4, box=box)
        memory = attack.remember(Setting((1, 6, 6), 3, 8, 0))
        memory.delta = torch.full_like(images, -EPS / 2)
        attack.at(Moment(1, 1, 1.0, 0), memory).step(Plain(), images, labels)
        kept[box] = memory.delta
    assert (kept["shown"] == -EPS / 2).all()
    assert (kept["stored"] >= 0).all() and (kept["stored"] > 0).any()


def test_by_itself_it_is_fgsm(batches):
    model, (x, y) = network(), batches[0]
    ours = Free(eps=EPS)(model, x, y, torch.Generator())
    assert torch.equal(ours.x, FGSM(eps=EPS)(model, x, y, torch.Generator()).x)


def test_a_memory_comes_back_as_it_was():
    attack, setting = Free(eps=EPS), Setting((1, 2, 2), 3, 4, 0)
    first, second = attack.remember(setting), attack.remember(setting)
    first.delta.uniform_()
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.delta, second.delta)
