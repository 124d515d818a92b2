"""Adversarial images made once, and trials that finish at a training accuracy (AccelAT)."""

from __future__ import annotations

import pytest
import torch

from rayat.errors import ConfigError
from rayat.training import checkpoints
from rayat.training.epoch import train_epoch
from rayat.training.run import run
from rayat.training.setup import begin
from rayat.training.streams import stream

ONCE = {"attack_refresh": "once"}


def rows(config, context):
    run(config, context)
    return context.rows


def test_the_images_are_the_attacks_on_the_network_before_its_first_step(small, launch):
    config = small(**ONCE)
    training = begin(config, launch().data(config.data))
    again = begin(config, launch().data(config.data))
    fixed = training.fixed
    assert torch.equal(fixed.images, again.fixed.images)
    assert (fixed.forward, fixed.backward, fixed.steps) == (512, 512, 512)
    clean = training.loader.batch(training.loader.plan(torch.Generator()), 0, 256)[0]
    order = training.loader.plan(torch.Generator()).rows
    away = (fixed.images[order] - clean).abs().amax((1, 2, 3))
    assert (away <= 0.2 + 1e-6).all() and (away > 0.1).all()
    assert fixed.images.min() >= 0 and fixed.images.max() <= 1


def test_every_epoch_trains_on_the_same_images_and_the_first_pays_for_them(small, launch):
    config = small(epochs=3, **ONCE)
    found = rows(config, launch())
    assert [row["fwd_passes"] for row in found] == [256 * 3, 256, 256]
    assert [row["bwd_passes"] for row in found] == [256 * 3, 256, 256]
    assert [row["attack_steps"] for row in found] == [2, 0, 0]
    assert [row["eps"] for row in found] == [0.2] * 3
    assert all(row["attack_seconds"] == 0 for row in found[1:])
    assert all(row["eval_bwd_passes"] == 64 * 2 for row in found), "validation attacks afresh"


def test_a_batch_gets_the_images_of_its_rows(small, launch):
    config = small(**ONCE)
    training = begin(config, launch().data(config.data))
    for i in range(256):
        training.fixed.images[i] = i / 256
    seen = []
    training.model.register_forward_pre_hook(lambda module, args: seen.append(args[0][:, 0, 0, 0]))
    train_epoch(training, 1)
    plan = training.loader.plan(stream(config.seed, "data", 1))
    assert torch.equal(torch.cat(seen), plan.rows / 256)


def test_a_resumed_trial_makes_the_same_images_and_pays_nothing(small, launch, timeless):
    config = small(epochs=3, **ONCE)
    whole = rows(config, launch("whole"))
    first = launch("cut", die_at=2)
    with pytest.raises(SystemExit):
        run(config, first)
    second = rows(config, launch("cut", reported=1))
    assert timeless(whole) == timeless(first.rows + second)
    assert second[-1]["attack_seconds"] == 0


def test_a_random_subset_keeps_its_images(small, launch):
    config = small(epochs=2, pruning={"name": "random", "every": 1}, **ONCE)
    assert [row["samples"] for row in rows(config, launch())] == [128, 128]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"attack.name": "bullet-train"}, "but attack 'bullet-train' learns as the training goes"),
        ({"attack.name": "free"}, "but attack 'free' learns as the training goes on"),
        ({"attack.name": "none"}, "but attack 'none' attacks none"),
        ({"attack.name": "dynamic"}, "give attack.threshold, or use attack_refresh=online"),
        ({"attack_schedule.name": "switch"}, "but attack_schedule 'switch' changes the attack"),
        ({"pruning.name": "glister"}, "but pruning 'glister' attacks the images to select them"),
        ({"data.augment": "crop"}, "but data.augment=crop shows other images every epoch"),
        ({"workers": 2}, "but one worker makes the images, and workers=2"),
    ],
)
def test_what_needs_fresh_images_is_refused_by_name(small, changes, text):
    with pytest.raises(ConfigError, match=text):
        small(**ONCE, **changes)


def test_dynamic_at_one_threshold_may_be_made_once(small, launch):
    attack = {"name": "dynamic", "eps": 0.2, "steps": 2, "threshold": 0.0}
    (row,) = rows(small(epochs=1, attack=attack, **ONCE), launch())
    assert row["fwd_passes"] == 256 * 4


def test_a_trial_finishes_after_the_epoch_that_reached_its_training_accuracy(small, launch):
    config = small(epochs=6, **{"eval.every": 4, "checkpoint_every": 6})
    plain = rows(config, launch("plain"))
    target = plain[2]["train_robust_acc"] - 1e-9
    config = config.replace({"stop_at_train_acc": target})
    above = [row["epoch"] for row in plain if row["train_robust_acc"] > target]
    context = launch("stopped")
    found = rows(config, context)
    assert len(found) == above[0] <= 3
    assert [row.get("outcome") for row in found] == [None] * (len(found) - 1) + ["finished"]
    assert found[-1]["val_robust_acc"] is not None, (
        "the last epoch is validated whatever its number"
    )
    assert checkpoints.load(context.folder, "last", config).epoch == len(found)
    again = launch("stopped", reported=len(found) - 1)
    assert rows(config, again) == found[-1:], "started again it reports its end and trains no more"


def test_the_last_epoch_needs_no_word_of_its_end(small, launch):
    found = rows(small(epochs=1, stop_at_train_acc=1e-6), launch())
    assert len(found) == 1 and "outcome" not in found[0]


def test_without_an_attack_the_clean_accuracy_counts(small, launch):
    found = rows(small(epochs=3, attack="none", stop_at_train_acc=1e-6), launch())
    assert len(found) == 1 and found[0]["outcome"] == "finished"
