from __future__ import annotations

import torch
from torch import nn

from rayat.attacks.view import attacked


def test_batch_mode_uses_batch_statistics_and_eval_mode_running_ones(net, batch):
    x, _ = batch
    norm = nn.BatchNorm2d(1)
    norm.running_mean.fill_(3.0)
    with attacked(norm, "batch") as frozen:
        out = frozen(x)
    torch.testing.assert_close(out.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    with attacked(norm, "eval") as frozen:
        assert frozen(x).mean() < -2
    assert norm.running_mean.item() == 3.0 and norm.num_batches_tracked.item() == 0


def test_dropout_is_off_in_both_modes(net, batch):
    x, _ = batch
    net.train()
    for mode in ("eval", "batch"):
        with attacked(net, mode) as frozen:
            assert torch.equal(frozen(x), frozen(x))


def test_weights_are_frozen_inside_and_free_outside(net):
    free = [p.requires_grad for p in net.parameters()]
    assert free.count(True) > 0 and free.count(False) == 1
    with attacked(net):
        assert not any(p.requires_grad for p in net.parameters())
    assert [p.requires_grad for p in net.parameters()] == free


def test_views_nest(net):
    with attacked(net, "batch"):
        with attacked(net, "eval"):
            assert not net.norm.training
        assert net.norm.training and not net.norm.track_running_stats
    assert net.norm.training and net.norm.track_running_stats


def test_an_overridden_train_method_is_not_called():
    class Touchy(nn.Module):
        def train(self, mode=True):
            raise AssertionError("side effects")

    with attacked(nn.Sequential(Touchy())) as frozen:
        assert not frozen[0].training
