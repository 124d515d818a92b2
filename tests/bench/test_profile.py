"""Where a trial's time goes adds up."""

from __future__ import annotations

import pytest

from rayat.bench.profile import dearest, profile_trial
from rayat.config import TrialConfig
from rayat.data.prepare import prepare

SMALL = {
    "data": {"name": "digits", "train_size": 256, "val_size": 64},
    "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
    "epochs": 10,
    "batch_size": 64,
    "attack": {"name": "pgd", "eps": 0.2, "steps": 2},
    "eval": {"steps": 2},
}


def test_the_parts_are_all_of_the_time():
    sent = []
    found = profile_trial(TrialConfig.parse(SMALL), epochs=2, send=sent.append)
    assert found.epochs == len(sent) == 2
    assert sum(found.parts.values()) == pytest.approx(found.wall)
    assert sum(found.shares.values()) == pytest.approx(1)
    assert min(found.parts.values()) >= 0
    assert found.parts["attack"] > 0 and found.parts["train"] > 0 and found.parts["start"] > 0
    assert found.operators == []


def test_operators_are_listed_dearest_first_with_calls_per_step():
    config = TrialConfig.parse(SMALL)
    found = dearest(config, prepare(config.data), 5)
    assert len(found) == 5
    shares = [share for _, share, _ in found]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1
    calls = {name: count for name, _, count in dearest(config, prepare(config.data), 500)}
    assert calls["aten::_fused_sgd_"] == 1
