"""A checkpoint that an earlier version wrote: this one goes on from it.

`golden_checkpoint/last` is what commit 53286f1 kept after the second of three epochs of `CONFIG`,
with a selection, an attack that remembers and a mean of the weights. It is never written again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rayat.config import TrialConfig
from rayat.training import checkpoints
from rayat.training.run import run

GOLDEN = Path(__file__).with_name("golden_checkpoint")
CONFIG = {
    "data": {"name": "digits", "train_size": 64, "val_size": 16},
    "model": {"name": "preactresnet", "width": 2, "blocks": [1]},
    "epochs": 3,
    "batch_size": 16,
    "attack": {"name": "bullet-train", "eps": 0.2, "steps": 2},
    "pruning": {"name": "random", "every": 3},
    "weights": {"average": "swa", "average_from": 0.3},
    "lr.peak": 0.1,
    "eval": {"steps": 2, "final_steps": 3, "final_size": 16, "batch_size": 16},
}


@pytest.fixture
def config():
    return TrialConfig.parse(CONFIG)


def test_every_state_of_it_is_read(config):
    kept = checkpoints.load(GOLDEN, "last", config)
    assert kept.epoch == 2 and kept.resumable
    assert kept.states["averaged"] == 2 and kept.states["trained"].keys() == kept.model.keys()
    assert len(kept.states["selection"]["indices"]) == 32
    assert 0 <= kept.states["inner"]["bullet-train"]["robust"] <= 1
    assert kept.states["optimizer"]["state"]


def test_training_goes_on_from_it_as_if_it_had_been_written_today(config, launch, timeless):
    whole, old = launch("whole"), launch("old", reported=2)
    run(config, whole)
    old.folder.mkdir()
    shutil.copytree(GOLDEN / "last", old.folder / "last")
    run(config, old)
    for now, then in zip(timeless(whole.rows[2:]), timeless(old.rows), strict=True):
        # Another processor's first epochs differ in their last bits.
        assert then == pytest.approx(now, rel=0.05, abs=0.13, nan_ok=True)
        assert then["samples"] == now["samples"] == 32


def test_a_checkpoint_of_today_has_the_files_that_earlier_versions_read(config, launch):
    context = launch()
    run(config, context)
    for name in ("last", "best"):
        files = {"meta.json", "model.safetensors"} | ({"state.pt"} if name == "last" else set())
        assert {path.name for path in (context.folder / name).iterdir()} == files
    kept = checkpoints.load(context.folder, "last", config).states
    assert kept.keys() == checkpoints.load(GOLDEN, "last", config).states.keys()
