"""Gains against brute force on the layer itself (docs/papers.md 5.4; 9.3, test 9)."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from rayat.config import TrialConfig
from rayat.data.base import Arrays
from rayat.errors import ConfigError, DataError
from rayat.pruning._logits import CrossEntropy
from rayat.pruning.glister import greedy
from rayat.pruning.lastlayer import LastLayer
from rayat.registry import PRUNERS

N, V, CLASSES, FEATURES = 20, 12, 3, 4


def layers(seed, bias_only):
    """Return the layer's weights and what goes in and out of it for both splits."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    weights = draw(CLASSES, FEATURES + 1)
    splits = []
    for n in (N, V):
        h, y = draw(n, FEATURES), torch.randint(CLASSES, (n,), generator=g)
        layer = LastLayer((h @ weights[:, :-1].T + weights[:, -1],), (h,), y, CrossEntropy())
        splits.append(layer.bias() if bias_only else layer)
    return weights, splits, [layer.features[0] for layer in splits]


def brute_force(train, val, budget, eta):
    """Return greedy picks by autograd, with the validation loss of the really moved layer."""
    own = train.factors()
    wide = [
        torch.outer(a, torch.cat([h, torch.ones(1, dtype=h.dtype)]))
        for a, h in zip(own.errors[0], own.features[0], strict=True)
    ]
    inputs = torch.cat([val.features[0], torch.ones(V, 1, dtype=torch.float64)], 1)
    picked: list[int] = []
    while len(picked) < budget:
        step = torch.zeros_like(wide[0])
        for i in picked:
            step = step - eta * wide[i]
        step.requires_grad_(True)
        loss = F.cross_entropy(val.logits[0] + inputs @ step.T, val.y)
        (gradient,) = torch.autograd.grad(loss, step)
        gains = [float((g * gradient).sum()) for g in wide]
        left = [i for i in range(N) if i not in picked]
        picked.append(max(left, key=lambda i: gains[i]))
    return picked


def run(train, val, budget, mode="naive", eta=0.5, rounds=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return greedy(train.factors(), val, budget, eta, mode, rounds, generator).tolist()


@pytest.mark.parametrize("bias_only", [True, False])
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), budget=st.integers(1, N), eta=st.sampled_from([0.01, 0.5, 5.0]))
def test_naive_picks_are_those_of_brute_force(bias_only, seed, budget, eta):
    _, (train, val), _ = layers(seed, bias_only)
    assert run(train, val, budget, eta=eta) == brute_force(train, val, budget, eta)


def test_the_first_pick_is_the_best_aligned():
    _, (train, val), _ = layers(0, False)
    gains = train.factors().dot(val.factors().total())
    assert run(train, val, 1) == [int(gains.argmax())]


def test_gains_are_computed_again_after_each_pick():
    """With a large step the second pick of some problem is not the second best of the first."""
    changed = 0
    for seed in range(20):
        _, (train, val), _ = layers(seed, False)
        order = train.factors().dot(val.factors().total()).argsort(descending=True).tolist()
        picks = run(train, val, 5, eta=2.0)
        changed += picks != order[:5]
        assert run(train, val, 5, eta=1e-9) == order[:5]
    assert changed > 10


def test_the_first_round_of_r_greedy_are_the_best_at_the_start():
    _, (train, val), _ = layers(1, False)
    order = train.factors().dot(val.factors().total()).argsort(descending=True).tolist()
    assert run(train, val, 12, "r-greedy", rounds=3)[:4] == order[:4]
    assert run(train, val, 12, "r-greedy", rounds=1) == order[:12]
    assert run(train, val, 12, "r-greedy", rounds=12) == run(train, val, 12)


@settings(deadline=None)
@given(
    seed=st.integers(0, 1000),
    budget=st.integers(1, N),
    mode=st.sampled_from(["stochastic", "r-greedy", "naive"]),
    rounds=st.integers(1, 30),
)
def test_every_mode_picks_as_many_as_asked_once_each(seed, budget, mode, rounds):
    _, (train, val), _ = layers(seed, True)
    picks = run(train, val, budget, mode, rounds=rounds)
    assert len(picks) == len(set(picks)) == budget
    assert set(picks) <= set(range(N))


def test_stochastic_candidates_are_random_and_good(synthetic):
    factors = synthetic(n=2000, classes=CLASSES, features=0)
    _, (_, val), _ = layers(3, True)

    def picks(seed):
        g = torch.Generator().manual_seed(seed)
        return greedy(factors, val, 600, 1e-9, "stochastic", 1, g)

    gains = factors.dot(val.factors().total())
    first, second = picks(0), picks(1)
    assert not torch.equal(first, second)
    # 16 candidates a pick out of 2000: between chance and the very best.
    best = gains.sort(descending=True).values[:600].mean()
    assert gains.mean() + 0.5 * (best - gains.mean()) < gains[first].mean() < best


def test_the_gain_is_that_of_the_validation_loss_for_a_small_step(context):
    """Training images picked lower the real validation loss more than those left out."""
    _, (train, val), _ = layers(5, False)
    picked = run(train, val, 6, eta=1e-3)

    def loss_after(i):
        step = train.factors().take(torch.tensor([i])).total() * -1e-3
        return float(F.cross_entropy(val.moved(step).logits[0], val.y))

    left = [i for i in range(N) if i not in picked]
    assert max(map(loss_after, picked)) <= min(map(loss_after, left)) + 1e-6


def test_the_step_is_the_learning_rate_unless_given(context):
    glister = PRUNERS.build({"name": "glister", "fraction": 0.3, "mode": "naive"})

    def rows(pruner, lr):
        return pruner.select(1, context(lr=lr)).indices.tolist()

    assert rows(glister, 0.5) == rows(glister.replace(eta=0.5), 1e-6)
    assert rows(glister, 0.5) != rows(glister, 1e-6)


def test_too_few_validation_images_are_refused_when_the_configuration_is_built():
    with pytest.raises(ConfigError) as error:
        TrialConfig.parse({"data.val_size": 10, "pruning": "glister"})
    assert str(error.value) == (
        "pruning 'glister' chooses by the validation images: data.val_size must be at least 32, "
        "got 10"
    )


def test_too_few_validation_images_of_a_fraction_are_refused_before_the_network_is_asked(context):
    given_ = context()
    val = Arrays(given_.prepared.val.x[:31], given_.prepared.val.y[:31])
    few = dataclasses.replace(
        given_, prepared=dataclasses.replace(given_.prepared, val=val), model=None
    )
    with pytest.raises(DataError, match=r"32 are needed, got 31; raise data\.val_fraction"):
        PRUNERS.build("glister").select(1, few)
