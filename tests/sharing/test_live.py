"""Trials that go on from each other's states end as if each had trained alone."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import shared_runs
from shared_runs import comparable, shared_run, small_configs, trained
from sizes import tries

from rayat.ledger.files import checkpoint_folder
from rayat.sharing.store import Store
from rayat.sharing.tree import Tree

ARMS = ("half", "half-less", "late", "long", "constant", "other")
UNSHARED, SHARED = 26, 15
"""The longest's six, with all of `constant`; 1 of `late`; 2 of each half; 4 alone."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Return a run in which every trial trains all of its epochs."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    rows = shared_run(folder, small_configs(), share=False)
    assert trained(rows) == UNSHARED
    assert not (folder / "states").exists()
    return folder, rows


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Return the same run, shared."""
    folder = tmp_path_factory.mktemp("together") / "run"
    return folder, shared_run(folder, small_configs())


def weights(folder, name, which):
    place = checkpoint_folder(folder, name) / which
    epoch = json.loads((place / "meta.json").read_text())["body"]["epoch"]
    return epoch, safetensors.torch.load_file(place / "model.safetensors")


def assert_equal(one, other, names=ARMS):
    """Check rows, and the checkpoints that evaluation and resuming read."""
    assert comparable(one[1]) == comparable(other[1])
    for name in names:
        for which in ("best", "last"):
            mine, theirs = weights(one[0], name, which), weights(other[0], name, which)
            assert mine[0] == theirs[0], (name, which)
            assert all(mine[1][k].equal(theirs[1][k]) for k in theirs[1]), (name, which)


def test_every_row_and_checkpoint_is_that_of_an_unshared_run(alone, together):
    assert_equal(together, alone)


def test_every_epoch_is_trained_once_and_says_by_whom(together):
    _, rows = together
    configs = small_configs()
    chains = shared_runs.chains(
        configs,
        {
            shared_runs.source_key(c.data): shared_runs.describe(shared_runs.prepared(c.data))
            for c in configs.values()
        },
    )
    counts = Tree(chains).counts()
    assert (counts.asked, counts.trained) == (UNSHARED, trained(rows))
    for name, found in rows.items():
        for row in found:
            owner = row["shared_from"]
            if owner is not None:
                original = rows[owner][row["epoch"] - 1]
                assert original["shared_from"] is None
                drop = ("trial_id", "attempt", "reported_at", "shared_from")
                pairs = [{k: v for k, v in r.items() if k not in drop} for r in (row, original)]
                assert pairs[0] == pairs[1]  # seconds too: what it costs unshared
                assert owner != name


@pytest.mark.parametrize("workers", [1, 3])
def test_how_many_run_at_once_changes_no_row(workers, alone, tmp_path):
    rows = shared_run(tmp_path / "run", small_configs(), workers=workers, longest_first=True)
    assert_equal((tmp_path / "run", rows), alone)
    assert trained(rows) == SHARED


def test_a_run_cut_anywhere_trains_no_finished_epoch_again(alone, tmp_path):
    rng = random.Random(0)
    for _ in range(tries(6, 20)):
        left = rng.randrange(1, 6)

        def stop(trial_id, epoch):
            nonlocal left
            left -= 1
            return left == 0

        rows = shared_run(tmp_path / "run", small_configs(), stop=stop)
        if rows:
            break
    rows = shared_run(tmp_path / "run", small_configs())
    assert_equal((tmp_path / "run", rows), alone)
    assert trained(rows) == SHARED


def damage_last(state):
    (state / "last" / "state.pt").write_bytes(b"x")


def damage_meta(state):
    (state / "last" / "meta.json").write_text("{}")


def lose_best(state):
    shutil.rmtree(state / "best")


def lose_file(state):
    (state / "last" / "model.safetensors").unlink()


def swap(state):
    """Put another state under this one's name."""
    others = [p for p in state.parent.iterdir() if p != state and not p.name.startswith(".")]
    other = next(p for p in others if json.loads((p / "state.json").read_text())["epoch"] != 2)
    for name in ("last", "best"):
        shutil.rmtree(state / name)
        shutil.copytree(other / name, state / name)


@pytest.mark.parametrize("harm", [damage_last, damage_meta, lose_best, lose_file, swap])
def test_a_damaged_state_is_named_and_trained_anew_never_used(harm, alone, tmp_path):
    said: list[str] = []

    def stop(trial_id, epoch):
        return (trial_id, epoch) == ("long", 5)

    arms = {n: shared_runs.ARMS[n] for n in ("long", "constant", "late", "half")}
    configs = small_configs(arms)
    folder = tmp_path / "run"
    shared_run(folder, configs, workers=1, stop=stop, longest_first=True)
    store = Store(folder)
    kept = {store.source(key).epoch: folder / "states" / key for key in store.held()}
    assert set(kept) == {2, 3, 4}
    harm(kept[2])
    rows = shared_run(folder, configs, workers=1, longest_first=True, warnings=said)
    expected = {n: alone[1][n] for n in configs}
    assert_equal((folder, rows), (alone[0], expected), tuple(configs))
    assert len(said) == 1 and "damaged" in said[0] and str(kept[2]) in said[0]
    # What lay behind the lost state was trained again, and nothing else.
    assert sum(row["shared_from"] is None for row in rows["half"]) == 4


POLICIES = ({"name": "patience", "epochs": 1}, {"name": "first-look", "eta": 2}, {"name": "asha"})


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy["name"])
def test_whatever_ends_or_pauses_a_trial_leaves_every_row_as_it_was(policy, alone, tmp_path):
    """Trials that waited for one that is stopped or paused start where that one is."""
    configs = small_configs()
    rows = shared_run(tmp_path / "run", configs, policy=policy)
    expected = comparable(alone[1])
    for name, found in comparable(rows).items():
        assert found and found == expected[name][: len(found)]
    owned = {(r["shared_from"] or n, r["epoch"]) for n, found in rows.items() for r in found}
    assert trained(rows) == len(owned)
    assert trained(rows) < sum(map(len, rows.values()))


def test_states_that_nobody_needs_are_removed_beyond_their_bound(tmp_path):
    rows = shared_run(tmp_path / "run", small_configs(), kept=0)
    assert trained(rows) == SHARED
    assert Store(tmp_path / "run").held() == []
    assert list((tmp_path / "run" / "states").iterdir()) == []


@pytest.mark.slow
def test_a_process_killed_at_random_points_ends_with_the_same_rows(alone, tmp_path):
    """SIGKILL at random moments of the process that trains, drives and keeps states."""
    rng, killed, runs, doubled = random.Random(5), 0, 0, 0
    script, wanted = Path(shared_runs.__file__), tries(3, 20)
    while killed < wanted:  # a run that ended is followed by another one
        runs += 1
        folder, whole = tmp_path / f"run-{runs}", False
        seen: list[str] = []
        while not whole:
            left = rng.randrange(1, 5) if killed < wanted else -1
            with subprocess.Popen(
                [sys.executable, str(script), str(folder)], stdout=subprocess.PIPE, text=True
            ) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    if line.strip() == "whole":
                        whole = True
                        break
                    seen.append(line)
                    left -= 1
                    if left == 0:
                        process.send_signal(signal.SIGKILL)
                        killed += 1
                        break
            assert process.returncode == (0 if whole else -signal.SIGKILL)
        rows = shared_run(folder, small_configs())
        assert_equal((folder, rows), alone)
        assert trained(rows) == SHARED
        doubled += len(seen) - len(set(seen))
    print(f"faults injected {killed}, {runs} shared runs, rows wrong 0, reported twice {doubled}")
    assert (killed, doubled) == (wanted, 0)


def test_a_trial_that_is_added_later_goes_on_from_what_the_run_has(alone, tmp_path):
    """More arms and more epochs: the deepest state that was kept, or where a trial ended."""
    folder, first = tmp_path / "run", ("half", "half-less", "constant")
    shared_run(folder, small_configs({n: shared_runs.ARMS[n] for n in first}))
    rows = shared_run(folder, small_configs({n: shared_runs.ARMS[n] for n in (*first, *ARMS)}))
    assert_equal((folder, rows), alone)
    own = {n: sum(row["shared_from"] is None for row in found) for n, found in rows.items()}
    assert own["long"] == 2  # from where `constant` ended, after its fourth epoch
    assert own["late"] == 2  # nothing was kept after epoch 3; from 2 on
    assert own["other"] == 4
