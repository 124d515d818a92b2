"""Checkpoints: exact, complete at every instant, and never silently wrong."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from rayat.errors import LedgerError
from rayat.ledger import checkpoint_files
from rayat.training import checkpoints

FILES = ("model.safetensors", "state.pt", "meta.json")


def trained(value: float):
    """Return a network and its optimiser with momentum, told apart by `value`."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    model(torch.full((2, 3, 4, 4), float(value))).square().mean().backward()
    optimizer.step()
    with torch.no_grad():
        model[3].bias.fill_(value)
    return model, optimizer


def states(model, optimizer=None, **more):
    """Return what `save` is given of a network and, to resume from, its optimiser."""
    found = {} if optimizer is None else {"optimizer": optimizer.state_dict()}
    return {"model": model.state_dict(), **found, **more}


def rows(epochs: int):
    return [{"epoch": e, "val_robust_acc": 0.1 * e, "fosc": None} for e in range(1, epochs + 1)]


def test_everything_comes_back_exactly(tmp_path, small):
    config = small()
    model, optimizer = trained(0.5)
    checkpoints.save(tmp_path, "last", config, rows(3), states(model, optimizer))
    kept = checkpoints.load(tmp_path, "last", config)
    assert kept.epoch == 3 and kept.rows == rows(3) and kept.path == tmp_path / "last"
    for name, value in model.state_dict().items():
        assert torch.equal(kept.model[name], value) and kept.model[name].dtype == value.dtype
    fresh, other = trained(0.1)
    fresh.load_state_dict(kept.model)
    other.load_state_dict(kept.states["optimizer"])
    assert fresh[0].weight.is_contiguous(memory_format=torch.channels_last)
    for a, b in zip(optimizer.state.values(), other.state.values(), strict=True):
        assert torch.equal(a["momentum_buffer"], b["momentum_buffer"])
    assert other.param_groups[0]["momentum"] == 0.9


def test_each_worker_gets_what_its_own_exchange_remembers(tmp_path, small):
    left = [safetensors.torch.save({"left_out": torch.full((3,), float(r))}) for r in (0, 1)]
    model, optimizer = trained(0.5)
    checkpoints.save(tmp_path, "last", small(), rows(1), states(model, optimizer, exchange=left))
    for rank in (0, 1):
        kept = checkpoints.load(tmp_path, "last", small(), rank)
        assert kept.states["exchange"]["left_out"].tolist() == [rank] * 3
    file = tmp_path / "last" / "exchange-1.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert checkpoints.load(tmp_path, "last", small(), 0).states["exchange"]
    with pytest.raises(LedgerError, match=r"exchange-1.safetensors is damaged"):
        checkpoints.load(tmp_path, "last", small(), 1)
    checkpoints.save(tmp_path, "last", small(), rows(2), states(model, optimizer))
    assert checkpoints.load(tmp_path, "last", small(), 1).states["exchange"] == {}


def test_weights_that_share_memory_are_kept(tmp_path, small):
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    model["b"].weight = model["a"].weight
    checkpoints.save(tmp_path, "best", small(), rows(1), states(model))
    kept = checkpoints.load(tmp_path, "best", small())
    assert torch.equal(kept.model["a.weight"], kept.model["b.weight"])


def test_there_is_none_yet(tmp_path, small):
    assert checkpoints.load(tmp_path / "nowhere", "last", small()) is None


def test_a_new_one_replaces_the_old_one_and_leaves_nothing_behind(tmp_path, small):
    config = small()
    for epoch in (1, 2):
        checkpoints.save(tmp_path, "last", config, rows(epoch), states(*trained(epoch)))
        checkpoints.save(tmp_path, "best", config, rows(epoch), states(trained(epoch)[0]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best", "last"]
    assert sorted(p.name for p in (tmp_path / "last").iterdir()) == sorted(FILES)
    assert checkpoints.load(tmp_path, "last", config).epoch == 2


class Killed(BaseException):
    """Nothing may catch it, like SIGKILL."""


def test_killed_before_any_system_call_the_old_or_the_new_one_is_there(
    tmp_path, small, monkeypatch
):
    """Crash before the n-th call, for every n; then go on, and crash again one call later."""
    config, survived, calls = small(), 0, {"left": 0}
    real = {"fsync": os.fsync, "rename": os.rename, "rmtree": shutil.rmtree}

    def guard(name):
        def call(*args, **kwargs):
            calls["left"] -= 1
            if calls["left"] < 0:
                raise Killed(name)
            return real[name](*args, **kwargs)

        return call

    monkeypatch.setattr(checkpoint_files.os, "fsync", guard("fsync"))
    monkeypatch.setattr(checkpoint_files.os, "rename", guard("rename"))
    monkeypatch.setattr(checkpoint_files.shutil, "rmtree", guard("rmtree"))

    calls["left"] = 10**6
    folder = tmp_path / "trial"
    checkpoints.save(folder, "last", config, rows(1), states(*trained(1)))
    epoch = 1
    for n in range(40):
        calls["left"] = n
        try:
            checkpoints.save(folder, "last", config, rows(epoch + 1), states(*trained(epoch + 1)))
        except Killed:
            survived += 1
        else:
            break
        kept = checkpoints.load(folder, "last", config)
        assert kept is not None, f"nothing left after {n} calls"
        assert kept.epoch in (epoch, epoch + 1)
        assert kept.model["3.bias"].unique().tolist() == [kept.epoch]
        epoch = kept.epoch
    assert survived >= 8, "every call of `save` was a crash point once"
    assert sorted(p.name for p in folder.iterdir()) == ["last"]


def test_a_removal_that_was_cut_short_is_finished_by_the_next_save(tmp_path, small):
    config = small()
    checkpoints.save(tmp_path, "last", config, rows(1), states(*trained(1)))
    shutil.copytree(tmp_path / "last", tmp_path / ".last.old")
    (tmp_path / ".last.old" / "meta.json").unlink()
    assert checkpoints.load(tmp_path, "last", config).epoch == 1
    checkpoints.save(tmp_path, "last", config, rows(2), states(*trained(2)))
    assert [p.name for p in tmp_path.iterdir()] == ["last"]


@pytest.fixture
def written(tmp_path, small) -> Path:
    checkpoints.save(tmp_path, "last", small(), rows(2), states(*trained(0.5)))
    return tmp_path / "last"


@pytest.mark.parametrize("file", FILES)
def test_every_flipped_bit_is_found_and_named(written, small, file, size):
    content = (written / file).read_bytes()
    chance = random.Random(0)
    texts, spared = set(), []
    flips = size(200, 3400)
    for _ in range(flips):
        flipped = bytearray(content)
        flipped[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (written / file).write_bytes(flipped)
        try:
            kept = checkpoints.load(written.parent, "last", small())
        except LedgerError as error:
            texts.add(str(error))
        else:
            spared.append(kept)
    assert texts and all(str(written / file) in text and "delete" in text for text in texts)
    # In the JSON a flip may only turn one white space into another: the content is the same.
    assert all(kept.rows == rows(2) and kept.epoch == 2 for kept in spared)
    assert len(spared) < flips / 20 if file == "meta.json" else not spared
    print(f"checkpoint, {file}: {flips} flips, 0 silent")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("content", [None, b"", b"\x80\x04foreign", b"{}", b"[]", b"null"])
def test_missing_empty_and_foreign_files_are_named(written, small, file, content):
    (written / file).unlink()
    if content is not None:
        (written / file).write_bytes(content)
    with pytest.raises(LedgerError, match=r"is damaged: .*; restore it"):
        checkpoints.load(written.parent, "last", small())


def test_another_configuration_is_refused(written, small):
    with pytest.raises(LedgerError, match="belongs to another configuration"):
        checkpoints.load(written.parent, "last", small(seed=1))


def rewrite(written, change):
    """Change the body of a checkpoint and sign it again."""
    meta = json.loads((written / "meta.json").read_text())
    change(meta["body"])
    body = json.dumps(meta["body"], sort_keys=True, separators=(",", ":")).encode()
    meta["sha256"] = checkpoint_files.sha256(body)
    (written / "meta.json").write_text(json.dumps(meta))


def test_a_checkpoint_from_before_a_key_was_added_is_still_the_trials(written, small):
    def older(body):
        del body["config"]["precision"]
        body["config_sha256"] = "of fewer keys"

    rewrite(written, older)
    assert checkpoints.load(written.parent, "last", small()).epoch > 0
    with pytest.raises(LedgerError, match="belongs to another configuration"):
        checkpoints.load(written.parent, "last", small(seed=1))


def test_a_newer_format_is_refused(written, small):
    rewrite(written, lambda body: body.update(format=checkpoints.FORMAT + 1))
    with pytest.raises(LedgerError, match="reads up to 1"):
        checkpoints.load(written.parent, "last", small())


def test_numbers_that_are_not_finite_are_refused_before_anything_is_written(tmp_path, small):
    with pytest.raises(ValueError, match="JSON compliant"):
        checkpoints.save(
            tmp_path / "t", "last", small(), [{"epoch": 1, "x": float("nan")}], states(*trained(1))
        )
    assert not (tmp_path / "t").exists()
