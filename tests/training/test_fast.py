"""Single-step methods as trials: exact counts (docs/papers.md 1.3), resume, memories."""

from __future__ import annotations

import pytest
import torch

from rayat.errors import ConfigError
from rayat.training import checkpoints
from rayat.training.run import run

N = 256
METHODS = {
    "n-fgsm": {"attack": {"name": "n-fgsm", "eps": 0.2}},
    "fgsm-ckpt": {"attack": {"name": "fgsm-ckpt", "eps": 0.2}},
    "free": {"attack": {"name": "free", "eps": 0.2, "replays": 3}},
    "fgsm-sdi": {"attack": {"name": "fgsm-sdi", "eps": 0.2, "width": 4, "every": 2}},
    "gradalign": {"attack": {"name": "fgsm", "eps": 0.2}, "objective": {"name": "gradalign"}},
}


@pytest.fixture(params=METHODS)
def config(request, small):
    return small(epochs=2, **METHODS[request.param])


@pytest.mark.parametrize(
    ("method", "forward", "backward", "steps"),
    [
        ("n-fgsm", 2 * N, 2 * N, 1),
        ("free", 3 * N, 3 * N, 3),
        # Four steps of 64 images, the generator is trained in two of them.
        ("fgsm-sdi", 3 * N + 2 * 2 * 64, 3 * N + 2 * 2 * 64, 1),
        ("gradalign", 4 * N, 5 * N, 1),
    ],
)
def test_counts_are_the_cost_model(small, launch, method, forward, backward, steps):
    context = launch()
    run(small(epochs=1, **METHODS[method]), context)
    (row,) = context.rows
    assert (row["fwd_passes"], row["bwd_passes"]) == (forward, backward)
    assert (row["attack_steps"], row["eps"], row["samples"]) == (steps, 0.2, N)


def test_checkpoints_cost_forwards_of_the_images_that_are_still_right(small, launch):
    context = launch()
    run(small(epochs=1, **METHODS["fgsm-ckpt"]), context)
    (row,) = context.rows
    assert row["bwd_passes"] == 2 * N and row["attack_steps"] == 1
    assert 2 * N < row["fwd_passes"] < 4 * N, "two points at most, of those that are still right"


def test_resume_is_exact(config, launch, timeless):
    whole, first = launch("whole"), launch("cut", die_at=1)
    run(config, whole)
    with pytest.raises(SystemExit):
        run(config, first)
    second = launch("cut")
    run(config, second)
    assert timeless(whole.rows) == timeless(second.rows)
    ends = [checkpoints.load(c.folder, "last", config) for c in (whole, second)]
    assert all(torch.equal(ends[0].model[name], ends[1].model[name]) for name in ends[0].model)
    assert_same(ends[0].states["inner"], ends[1].states["inner"])


def assert_same(one, other):
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    else:
        assert one == other


def test_gradalign_looks_around_within_the_attacks_radius(small, launch):
    """Without an attack the image itself is the adversarial one: only a random point differs."""
    losses = {}
    for eps in (0.0, 0.3):
        for strength in (0.0, 10.0):
            objective = {"name": "gradalign", "strength": strength}
            attack = {"name": "none", "eps": eps}
            context = launch(f"{eps}-{strength}")
            run(small(epochs=1, attack=attack, objective=objective), context)
            losses[eps, strength] = context.rows[0]["train_loss"]
    assert losses[0.0, 10.0] == pytest.approx(losses[0.0, 0.0], abs=1e-3)
    assert losses[0.3, 10.0] > losses[0.3, 0.0] + 0.05


def test_a_learned_start_is_reported_and_saved(small, launch):
    context = launch()
    config = small(epochs=1, **METHODS["fgsm-sdi"])
    run(config, context)
    (row,) = context.rows
    assert 0 < row["start_size"] < 1 and 0 <= row["start_agreement"] <= 1
    inner = checkpoints.load(context.folder, "last", config).states["inner"]
    assert set(inner) == {"fgsm-sdi"} and set(inner["fgsm-sdi"]) == {"net", "adam"}


def test_free_lives_with_pruning_and_refuses_several_workers(small, launch):
    changes = {"pruning": {"name": "random", "fraction": 0.2, "every": 1}}
    context = launch()
    run(small(epochs=2, **METHODS["free"], **changes), context)
    assert context.rows[1]["fwd_passes"] == 3 * context.rows[1]["samples"]
    with pytest.raises(ConfigError, match=r"'free' .* got workers=2; use workers=1 or attack"):
        small(workers=2, **METHODS["free"])


def test_a_step_of_free_updates_the_weights_m_times(small, launch):
    weights = {}
    for replays in (1, 2):
        config = small(epochs=1, attack={"name": "free", "eps": 0.2, "replays": replays})
        context = launch(str(replays))
        run(config, context)
        state = checkpoints.load(context.folder, "last", config).model
        weights[replays] = next(v for k, v in state.items() if k.endswith("num_batches_tracked"))
    assert (weights[1], weights[2]) == (4, 8)
