"""The peers do what they are said to do, at full strength."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rayat.bench import cases, peers
from rayat.training.epoch import train_epoch


@pytest.fixture
def case():
    return cases.cifar("small", {"name": "preactresnet", "width": 4, "blocks": [1]}, 4, 8)


@pytest.mark.parametrize("batches", [peers.torchvision_batches, peers.sliced_batches])
def test_batches_are_crops_of_the_images_and_whole(case, batches):
    torch.manual_seed(0)
    seen = list(batches(case))
    assert [tuple(x.shape) for x, _ in seen] == [(4, 3, 32, 32)] * 2
    store = case.prepared.windows.astype(np.float32) / 255
    crops = np.lib.stride_tricks.sliding_window_view(store, (32, 32), axis=(2, 3))
    # (N, 2, 9, 9, C, 32, 32): every crop of every image and of its mirror image.
    for x, y in seen:
        for image, label in zip(x.numpy(), y.tolist(), strict=True):
            rows = np.flatnonzero(case.prepared.train.y == label)
            same = np.isclose(crops[rows], image, atol=1e-6).all(axis=(-3, -2, -1))
            assert same.any()


def test_arrays_are_not_made_into_pictures_first():
    digits = cases.digits(64)
    x, y = next(iter(peers.torchvision_batches(digits)))
    assert x.shape == (64, 1, 8, 8) and y.dtype == torch.int64
    assert x.min() >= 0 and x.max() <= 1


def test_peers_start_from_the_engines_weights(case):
    ours = cases.training(case).model.state_dict()
    theirs = peers.RobustOverfitting(case).model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_backward_loop_perturbs_within_the_ball_and_fills_the_weights_gradients(case):
    peer = peers.RobustOverfitting(case)
    x = torch.rand(4, 3, 32, 32)
    delta = peer.perturbation(x, torch.zeros(4, dtype=torch.long))
    eps = case.config.attack.eps
    assert delta.abs().max() <= eps + 1e-6
    assert delta.abs().max() > eps / 2
    assert (x + delta).min() >= 0 and (x + delta).max() <= 1 + 1e-6
    assert all(p.grad is not None for p in peer.model.parameters())


@pytest.fixture
def trades(case):
    recipe = {"name": "pgd", "eps": 0.031, "steps": 3, "step_size": 0.007}
    return case.variant(objective="trades", attack={**recipe, "random_start": "gaussian"})


def test_the_trades_loop_climbs_the_divergence_within_the_ball(trades):
    peer = peers.Trades(trades)
    x = torch.rand(4, 3, 32, 32)
    seen = []
    peer.model.register_forward_hook(lambda module, args, out: seen.append(module.training))
    adv = peer.adversarial(x)
    assert seen == [False] * 6, "clean and adversarial images in each of three steps"
    assert peer.model.training and all(p.grad is None for p in peer.model.parameters())
    assert 0.02 < (adv - x).abs().max() <= 0.031 + 1e-6 and adv.min() >= 0 and adv.max() <= 1

    def divergence(images):
        with torch.no_grad():
            peer.model.eval()
            p, q = peer.model(x).softmax(1), peer.model(images).softmax(1)
            return (p * (p / q).log()).sum()

    assert divergence(adv) > divergence((x + 0.031 * torch.randn_like(x).sign()).clamp(0, 1))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_trades_loop_trains_what_the_engine_trains(trades, precision):
    """Without BatchNorm, whose batches differ, one step's loss and weights are the engine's."""
    plain = trades.variant(model={"name": "cnn", "width": 4, "hidden": 8}, batch_size=8)
    plain = plain.variant(data__augment="none", precision=precision)
    ours, theirs = cases.training(plain), peers.Trades(plain, precision=precision)
    row = train_epoch(ours, 1)
    theirs()
    assert theirs.loss / 8 == pytest.approx(row["train_loss"], rel=1e-2)
    for ours_, theirs_ in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
        torch.testing.assert_close(ours_, theirs_, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["Torchattacks", "RobustOverfitting"])
def test_an_epoch_changes_every_weight_and_leaves_torchs_settings(case, kind):
    if kind == "Torchattacks":
        pytest.importorskip("torchattacks")
    torch.use_deterministic_algorithms(True)
    peer = getattr(peers, kind)(case)
    before = {name: value.clone() for name, value in peer.model.named_parameters()}
    steps = []
    peer(lambda: steps.append(torch.are_deterministic_algorithms_enabled()))
    assert steps == [False, False]
    assert torch.are_deterministic_algorithms_enabled()
    moved = [n for n, v in peer.model.named_parameters() if not torch.equal(before[n], v)]
    assert len(moved) == len(before)


def test_torchattacks_attacks_with_the_cases_own_numbers(case):
    pytest.importorskip("torchattacks")
    peer = peers.Torchattacks(case)
    eps = case.config.attack.eps
    assert (peer.attack.eps, peer.attack.alpha, peer.attack.steps) == (eps, eps / 4, 10)
    fast = peers.Torchattacks(case.variant(attack={"name": "fgsm-rs", "eps": eps}))
    assert type(fast.attack).__name__ == "FFGSM"
    assert fast.attack.alpha == 1.25 * eps
