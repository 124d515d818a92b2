"""Trials with each objective: the step written out, its cost, exact resume."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from rayat.training.epoch import train_epoch
from rayat.training.run import run
from rayat.training.setup import begin
from rayat.training.streams import stream

STEPS, EPS, ALPHA, BETA = 3, 0.1, 0.04, 6.0


def slow_trades_step(model, optimizer, x, y, noise):
    """Train on one batch, written from the description of TRADES (docs/papers.md 7.1)."""
    model.eval()
    x_adv = x + 0.001 * torch.empty(x.shape).normal_(generator=noise)
    for _ in range(STEPS):
        x_adv = x_adv.clamp(min=x - EPS, max=x + EPS).clamp(0, 1).requires_grad_(True)
        p, q = model(x).softmax(1), model(x_adv).softmax(1)
        divergence = (p * (p.log() - q.log())).sum()
        (gradient,) = torch.autograd.grad(divergence, x_adv)
        x_adv = x_adv.detach() + ALPHA * gradient.sign()
    x_adv = x_adv.clamp(min=x - EPS, max=x + EPS).clamp(0, 1)
    model.train()
    clean, adversarial = model(x), model(x_adv)
    p, q = clean.softmax(1), adversarial.softmax(1)
    robust = (p * (p.log() - q.log())).sum() / len(x)
    optimizer.zero_grad()
    (F.cross_entropy(clean, y) + BETA * robust).backward()
    optimizer.step()


def test_a_trades_epoch_is_that_of_the_slow_loop(small, launch):
    config = small(
        model={"name": "cnn", "width": 4, "hidden": 8},
        objective={"name": "trades", "beta": BETA},
        attack={
            "name": "pgd",
            "eps": EPS,
            "steps": STEPS,
            "step_size": ALPHA,
            "random_start": "gaussian",
        },
        lr={"shape": "constant", "peak": 0.05},
    )
    prepared = launch().data(config.data)
    ours, twin = begin(config, prepared), begin(config, prepared)
    plan = twin.loader.plan(stream(config.seed, "data", 1))
    noise = stream(config.seed, "attack", 1, 0)
    for group in twin.optimizer.param_groups:
        group["lr"] = 0.05
    for start in range(0, 256, 64):
        x, y = twin.loader.batch(plan, start, start + 64)
        slow_trades_step(twin.model, twin.optimizer, x, y, noise)
    train_epoch(ours, 1)
    before = begin(config, prepared).model.state_dict()
    for name, value in twin.model.state_dict().items():
        found = ours.model.state_dict()[name]
        torch.testing.assert_close(found, value, atol=2e-5, rtol=1e-4)
        assert name in ("mean", "std") or not torch.allclose(found, before[name], atol=1e-3)


@pytest.mark.parametrize(
    ("objective", "forward", "backward"),
    # docs/papers.md 1.3: K + 2 of each; TRADES' attack also looks at the clean image once.
    [
        ("trades", STEPS + 3, STEPS + 2),
        ("mart", STEPS + 2, STEPS + 2),
        ("dat", STEPS + 2, STEPS + 2),
    ],
)
def test_counts_are_the_cost_model_of_the_papers(small, launch, objective, forward, backward):
    """docs/papers.md 1.3: K + 2 passes per image."""
    config = small(objective=objective, **{"attack.steps": STEPS})
    row = train_epoch(begin(config, launch().data(config.data)), 1)
    assert (row["fwd_passes"], row["bwd_passes"]) == (256 * forward, 256 * backward)
    assert row["attack_steps"] == STEPS
    assert 0 <= row["train_robust_acc"] <= row["train_clean_acc"] + 0.05 <= 1.05


@pytest.mark.parametrize("objective", ["trades", "mart", "dat"])
def test_resume_is_exact(small, launch, timeless, objective):
    config = small(epochs=2, objective=objective, precision="bf16")
    whole, first = launch("whole"), launch("split", die_at=2)
    run(config, whole)
    with pytest.raises(SystemExit):
        run(config, first)
    second = launch("split", reported=1)
    run(config, second)
    assert timeless(first.rows + second.rows) == timeless(whole.rows)
