"""Equal keys, equal states to the bit; and no key is equal where anything might differ."""

from __future__ import annotations

import ast
import inspect

import pytest
import safetensors.torch
import torch

from rayat.config import TrialConfig
from rayat.data.identity import describe
from rayat.data.prepare import prepare
from rayat.lr_shapes.onedrop import OneDrop
from rayat.registry import ATTACKS, OBJECTIVES, SCHEDULES
from rayat.training import keys
from rayat.training.keys import chain
from rayat.training.pace import progress_of, share_of, steps_of
from rayat.training.run import run
from rayat.training.setup import begin

DATA = {"checksum": "c" * 64, "split_hash": "s" * 64, "train": 256}
DROP = {"shape": "onedrop", "peak": 0.1}
SWITCH = {"name": "switch", "to": {"name": "pgd", "steps": 2}}
ACCELAT = {
    "shape": "accelat",
    "peak": 0.1,
    "window": 1,
    "quiet": 1,
    "threshold": 0.9,
    "factor": 0.5,
}
"""Cuts the rate after its third epoch, and after every one from then on."""
FGSM = {"name": "fgsm-rs", "eps": 0.2}
HALF = {"name": "random", "fraction": 0.5, "every": 1}

PAIRS = {
    # One trial, another, and the epochs that they have in common.
    "drop": ({"lr": {**DROP, "at": 0.5}}, {"lr": {**DROP, "at": 0.75}}, 2),
    "factor": ({"lr": {**DROP, "factor": 0.1}}, {"lr": {**DROP, "factor": 0.2}}, 2),
    "length": ({"lr": {**DROP, "at": 0.75}}, {"epochs": 5, "lr": {**DROP, "at": 0.85}}, 3),
    "the end": ({"lr.shape": "constant"}, {"lr.shape": "constant", "epochs": 6}, 4),
    "pieces": (
        {"lr": {"shape": "piecewise", "peak": 0.1, "milestones": [0.5], "multipliers": [1.0, 0.1]}},
        {"lr": {"shape": "constant", "peak": 0.1}},
        2,
    ),
    "accelat and the rate that it starts from": (
        {"lr": ACCELAT, "epochs": 5},
        {"lr.shape": "constant", "epochs": 5},
        3,
    ),
    "accelat's rules": (
        {"lr": ACCELAT, "epochs": 5},
        {"lr": {**ACCELAT, "factor": 0.8}, "epochs": 5},
        3,
    ),
    "accelat's length, cuts and all": (
        {"lr": ACCELAT, "epochs": 5},
        {"lr": ACCELAT, "epochs": 6},
        5,
    ),
    "switch": (
        {"attack": FGSM, "attack_schedule": {**SWITCH, "at": 0.25}},
        {"attack": FGSM, "attack_schedule": {**SWITCH, "at": 0.5}},
        1,
    ),
    "switched off": ({"attack": FGSM}, {"attack": FGSM, "attack_schedule": SWITCH}, 2),
    "last validation": (
        {"lr.shape": "constant", "epochs": 3, "eval.every": 2},
        {"lr.shape": "constant", "epochs": 4, "eval.every": 2},
        2,
    ),
    "warm start": (
        {"lr.shape": "constant", "pruning": {**HALF, "warm_start": 0.5}},
        {"lr.shape": "constant", "pruning": {**HALF, "warm_start": 0.9}},
        1,
    ),
}


def in_common(one, other, data=DATA):
    pairs = zip(chain(one, data), chain(other, data), strict=False)
    return sum(a == b for a, b in pairs)


@pytest.mark.parametrize("name", PAIRS)
def test_epochs_with_equal_keys_give_equal_rows_and_states(name, small, launch, timeless):
    changes, others, expected = PAIRS[name]
    configs = small(**changes), small(**others)
    data = describe(prepare(configs[0].data))
    assert in_common(*configs, data) == expected
    states, rows = [], []
    for number, config in enumerate(configs):
        context = launch(f"t{number}", die_at=expected)  # its checkpoint is there
        with pytest.raises(SystemExit):
            run(config, context)
        rows.append(timeless(context.rows))
        last = context.folder / "last"
        weights = safetensors.torch.load_file(last / "model.safetensors")
        rest = torch.load(last / "state.pt", weights_only=True)
        states.append({"model": weights, **rest})
    assert rows[0] == rows[1]
    assert len(rows[0]) == expected - 1
    assert list(states[0]) == list(states[1])
    assert same(states[0], states[1])


def same(one, other):
    """Return whether two states are equal to the bit, containers and tensors."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


OTHERWISE = {
    "data.train_size": 128,
    "data.split_seed": 9,
    "model.width": 8,
    "batch_size": 32,
    "optimizer.momentum": 0.5,
    "optimizer.weight_decay": 0.1,
    "optimizer.scaling": "linear",
    "lr.peak": 0.2,
    "lr.floor": 0.01,
    "lr.warmup": 0.5,
    "attack.eps": 0.1,
    "attack.steps": 3,
    "attack.norm": "l2",
    "attack_schedule": {"name": "ramp", "eps": 0.0},
    "attack_refresh": "once",
    "objective": "trades",
    "objective.label_smoothing": 0.1,
    "pruning": HALF,
    "stop_at_train_acc": 0.9,
    "workers": 2,
    "threads": 2,
    "precision": "bf16",
    "gpus_per_worker": 1,
    "batch_norm": "local",
    "on_collapse": "rollback",
    "checkpoint_every": 2,
    "seed": 1,
    "eval.steps": 3,
    "eval.every": 2,
    "eval.eps": 0.3,
    "eval.size": 32,
    "eval.batch_size": 50,
    "weights.awp": 0.01,
    "probe.at": [1],
    "weights.average": "ema",
}
"""What makes another training of `small`, or may."""


@pytest.mark.parametrize("key", OTHERWISE)
def test_whatever_changes_a_training_changes_its_keys(key, small):
    one = small(**{"data.augment": "none"})
    other = one.replace({key: OTHERWISE[key]})
    assert in_common(one, other) == 0
    assert chain(one, DATA) == chain(one.replace({}), DATA)


@pytest.mark.parametrize("name", DATA)
def test_other_data_shares_nothing(name, small):
    other = {**DATA, name: 128 if name == "train" else "f" * 64}
    assert not set(chain(small(), DATA)) & set(chain(small(), other))


def test_another_engine_or_torch_shares_nothing(small, monkeypatch):
    before = set(chain(small(), DATA))
    monkeypatch.setattr(keys, "ENGINE", keys.ENGINE + 1)
    assert not before & set(chain(small(), DATA))
    monkeypatch.undo()
    monkeypatch.setattr(torch, "__version__", "0.0.0")
    assert not before & set(chain(small(), DATA))


class Mine(OneDrop):
    """A shape of one's own, of which nothing is known."""


ALONE = {
    "own": {"lr": Mine(peak=0.1)},
    "dynamic": {"attack": {"name": "dynamic", "eps": 0.2, "steps": 2}},
    "later": {"attack_schedule": {"name": "switch", "at": 0.9, "to": "dynamic"}},
    "ema": {"weights.average": "ema"},
    "awp": {"weights": {"awp": 0.01, "awp_start": 0.5}},
    "teacher": {"data.labelled": 0.5, "teacher.epochs": 1},
}


@pytest.mark.parametrize("name", ALONE)
def test_a_trial_of_which_too_little_is_known_shares_with_no_other(name, small):
    one = small(**({} if "lr" in ALONE[name] else {"lr.shape": "constant"}), **ALONE[name])
    assert keys.why_whole(one)
    assert len(set(chain(one, DATA))) == one.epochs
    assert in_common(one, one.replace({"epochs": 8})) == 0
    assert in_common(one, one) == one.epochs


def test_a_rule_with_a_warm_up_follows_the_length(small):
    one = small(lr={**ACCELAT, "warmup": 0.5}, epochs=6)
    assert in_common(one, one.replace({"epochs": 8})) == 0
    assert in_common(one, one.replace({"lr.threshold": 0.1})) == 3


def test_a_fixed_threshold_does_not_follow_the_length(small):
    attack = {"name": "dynamic", "eps": 0.2, "steps": 2, "threshold": 0.1}
    one = small(**{"lr.shape": "constant", "attack": attack})
    assert in_common(one, one.replace({"epochs": 8})) == one.epochs


def test_what_reads_the_length_of_a_training_says_so():
    """A method's code that names `epochs` or `progress` of its moment has `reads_length`."""
    for registry in (ATTACKS, OBJECTIVES):
        for name in registry.names():
            cls = registry.get(name)
            for owner in cls.__mro__:
                if not owner.__module__.startswith("rayat.") or owner.__name__ in BASES:
                    continue
                tree = ast.parse(inspect.getsource(inspect.getmodule(owner)))
                read = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
                if read & {"epochs", "progress"}:
                    assert "reads_length" in vars(owner), f"{name}: {owner.__name__}"


BASES = ("Part", "Attack", "Objective")


def test_schedules_answer_by_the_moment_alone(small):
    """A schedule is asked again for every key: the same moment, an equal attack."""
    assert {"none", "curriculum", "ramp", "stages", "switch"} == set(SCHEDULES.names())
    config = small(attack_schedule={"name": "curriculum"}, epochs=6)
    assert chain(config, DATA) == chain(TrialConfig.parse(config.tree()), DATA)


def test_steps_are_those_of_the_training(small):
    config = small(batch_size=48)
    training = begin(config, prepare(config.data))
    share = share_of(training.size, config.batch_size, 1)
    assert (training.share, training.steps) == (share, steps_of(training.size, share, 1))
    done = [progress_of(e, n, 5, 4) for e in range(1, 5) for n in range(5)]
    assert done[-1] == 1 and done == sorted(set(done))
