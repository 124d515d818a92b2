"""States on disk: whole or absent, whoever writes and whenever he dies."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from rayat.errors import LedgerError
from rayat.ledger.files import checkpoint_folder
from rayat.sharing.store import Source, Store, best_of, fork
from rayat.training import checkpoints

KEY = "ab" * 32


def row(epoch, robust):
    return {"epoch": epoch, "val_robust_acc": robust}


ROWS = [row(1, 0.5), row(2, 0.7), row(3, 0.6)]


def states(epoch):
    model = {"w": torch.full((3,), float(epoch))}
    return {"model": model, "optimizer": {"steps": epoch}}


@pytest.fixture
def config(small):
    return small()


@pytest.fixture
def trial(tmp_path, config):
    """Return the folder of a trial after its third epoch, the second being its best."""
    folder = checkpoint_folder(tmp_path, "t0")
    checkpoints.save(folder, "best", config, ROWS[:2], {"model": states(2)["model"]})
    checkpoints.save(folder, "last", config, ROWS, states(3))
    return folder


def of(source, config):
    """Return a source of a trial with that configuration."""
    return dataclasses.replace(source, config_sha256=config.sha256())


def follower(tmp_path, config):
    return checkpoint_folder(tmp_path, "t1"), config.replace({"epochs": 9})


def test_a_follower_has_the_state_under_its_own_configuration(tmp_path, config, trial):
    store = Store(tmp_path)
    assert store.keep(trial, KEY, 3)
    assert store.held() == [KEY] and store.has(KEY) and store.size(KEY) > 0
    checkpoints.save(trial, "last", config, [*ROWS, row(4, 0.9)], states(4))  # its way goes on
    folder, other = follower(tmp_path, config)
    source = store.source(KEY)
    assert (source.epoch, source.owner) == (3, "t0")
    fork(of(source, config), folder, other)
    last, best = (checkpoints.load(folder, name, other) for name in ("last", "best"))
    assert (last.epoch, best.epoch, last.resumable) == (3, 2, True)
    assert last.model["w"].tolist() == [3.0] * 3 and best.model["w"].tolist() == [2.0] * 3
    assert last.rows == [{**r, "shared_from": "t0"} for r in ROWS]
    fork(Source(folder, 3, "t1", "", other.sha256()), checkpoint_folder(tmp_path, "t2"), config)
    again = checkpoints.load(checkpoint_folder(tmp_path, "t2"), "last", config)
    assert {r["shared_from"] for r in again.rows} == {"t0"}  # who trained it, not who had it


@pytest.mark.parametrize("epoch", [2, 4])
def test_a_folder_that_is_at_another_epoch_gives_no_state(epoch, tmp_path, trial):
    assert not Store(tmp_path).keep(trial, KEY, epoch)
    assert Store(tmp_path).held() == []


def test_a_best_that_is_ahead_gives_no_state(tmp_path, config, trial):
    """Killed between `best` and `last`: the best of other rows than the state's."""
    ahead = [*ROWS, row(4, 0.9)]
    checkpoints.save(trial, "best", config, ahead, {"model": states(4)["model"]})
    assert not Store(tmp_path).keep(trial, KEY, 3)
    with pytest.raises(LedgerError, match="not of epoch 3"):
        fork(Source(trial, 3, "t0", "", config.sha256()), *follower(tmp_path, config))
    assert best_of(ROWS) == 2 and best_of([row(1, None)]) is None


def test_another_trials_state_is_refused(tmp_path, config, trial):
    with pytest.raises(LedgerError, match="not of trial t0"):
        fork(Source(trial, 3, "t0", "", "0" * 64), *follower(tmp_path, config))
    assert not checkpoint_folder(tmp_path, "t1").exists()


class Killed(BaseException):
    """Nothing may catch it, like SIGKILL."""


def test_killed_before_any_system_call_a_state_is_whole_or_absent(
    tmp_path, config, trial, monkeypatch
):
    left = 0
    real = {name: getattr(os, name) for name in ("fsync", "rename", "link", "mkdir")}

    def guard(name):
        def call(*args, **kwargs):
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed(name)
            return real[name](*args, **kwargs)

        return call

    for name in real:
        monkeypatch.setattr(os, name, guard(name))
    store, survived = Store(tmp_path), 0
    for number in range(60):
        left = number
        try:
            store.keep(trial, KEY, 3)
        except Killed:
            survived += 1
            left = 10**6
            if store.has(KEY):
                folder, other = follower(tmp_path, config)
                fork(of(store.source(KEY), config), folder, other)
                assert checkpoints.load(folder, "last", other).epoch == 3
                shutil.rmtree(store.folder / KEY)
        else:
            break
    assert survived >= 10
    left = 10**6
    store.sweep()
    assert [p.name for p in store.folder.iterdir()] == [KEY]


def test_of_many_writers_one_is_the_first(tmp_path, trial):
    store = Store(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda _: store.keep(trial, KEY, 3), range(16)))
    assert kept == [True] * 16
    assert [p.name for p in store.folder.iterdir()] == [KEY]
    assert store.source(KEY).epoch == 3


def test_a_state_is_what_its_name_says(tmp_path, trial):
    store = Store(tmp_path)
    store.keep(trial, KEY, 3)
    os.rename(store.folder / KEY, store.folder / ("cd" * 32))
    with pytest.raises(LedgerError, match="not what its name says"):
        store.source("cd" * 32)
    (store.folder / ("cd" * 32) / "state.json").write_text(json.dumps({"key": "cd" * 32}))
    with pytest.raises(LedgerError, match="not what its name says"):
        store.source("cd" * 32)
    store.remove("cd" * 32)
    assert store.held() == []


def test_where_links_cannot_be_files_are_copied(tmp_path, config, trial, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(1, "not permitted")

    monkeypatch.setattr(os, "link", refuse)
    store = Store(tmp_path)
    store.keep(trial, KEY, 3)
    folder, other = follower(tmp_path, config)
    fork(of(store.source(KEY), config), folder, other)
    assert checkpoints.load(folder, "last", other).epoch == 3
