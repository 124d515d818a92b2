"""Several real processes over gloo against one process."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from rayat.distributed.exchange import Exchange
from rayat.ledger.keys import REPORT_KEYS

WORKER = Path(__file__).with_name("worker.py")
WORKER_MODULE = runpy.run_path(str(WORKER))
EXCHANGES = list(WORKER_MODULE["EXCHANGES"])
GROUPS = pytest.mark.parametrize(("world", "group"), [(2, "pair"), (4, "four")])


def start(folder: Path, world: int, *modes: str) -> None:
    """Run `worker.py` with `world` workers to their end."""
    command = [sys.executable, str(WORKER), str(world), str(folder), *modes]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Return the folder in which two workers did everything."""
    folder = tmp_path_factory.mktemp("pair")
    # `exchanges` is the last: it counts what every later collective would send.
    modes = (
        "steps",
        "perturbed",
        "norms",
        "sums",
        "waited",
        "learned",
        "teacher",
        "trial",
        "synced",
        "means",
        "resumed",
    )
    start(folder, 2, *modes, "exchanges")
    return folder


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """Return the folder in which four workers trained."""
    folder = tmp_path_factory.mktemp("four")
    start(folder, 4, "steps", "synced", "means", "exchanges")
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Return the folder in which this process trained alone."""
    folder = tmp_path_factory.mktemp("alone")
    for mode in ("steps", "perturbed", "synced"):
        WORKER_MODULE[mode](0, 1, folder)
    return folder


def read(path):
    return json.loads(path.read_text())


@pytest.mark.slow
@GROUPS
def test_workers_with_a_share_of_the_batch_equal_one_with_all_of_it(world, group, alone, request):
    folder = request.getfixturevalue(group)
    expected = load_file(alone / "weights-1-0.safetensors")
    counts = ("samples", "fwd_passes", "bwd_passes", "attack_steps", "train_robust_acc", "lr")
    for rank in range(world):
        weights = load_file(folder / f"weights-{world}-{rank}.safetensors")
        for name, value in expected.items():
            torch.testing.assert_close(weights[name], value, atol=1e-5, rtol=0)
        reports = read(folder / f"reports-{world}-{rank}.json")
        for ours, one in zip(reports, read(alone / "reports-1-0.json"), strict=True):
            assert [ours[key] for key in counts] == [one[key] for key in counts]
            assert ours["train_loss"] == pytest.approx(one["train_loss"], abs=1e-5)
            assert ours["grad_norm"] == pytest.approx(one["grad_norm"], abs=1e-5)
        assert reports[0]["samples"] == 32, "40 images, batch 16: the last 8 are dropped"
        size = 4 * sum(value.numel() for value in expected.values())
        assert reports[0]["comm_bytes"] == 2 * (2 * (world - 1) * size // world)
        assert len(reports) * 2 == 10


@pytest.mark.slow
def test_workers_perturb_and_average_as_one_does(pair, alone):
    pair, alone = pair / "perturbed", alone / "perturbed"
    expected = load_file(alone / "weights-1-0.safetensors")
    for rank in (0, 1):
        weights = load_file(pair / f"weights-2-{rank}.safetensors")
        for name, value in expected.items():
            torch.testing.assert_close(weights[name], value, atol=1e-5, rtol=0)
    ours, one = read(pair / "reports-2-0.json"), read(alone / "reports-1-0.json")
    assert [row["fwd_passes"] for row in ours] == [row["fwd_passes"] for row in one]
    assert [row["train_loss"] for row in ours] == pytest.approx([row["train_loss"] for row in one])
    size = 4 * sum(value.numel() for value in expected.values())
    assert ours[0]["comm_bytes"] == 2 * 2 * size, "two exchanges in each of two steps"


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mean", "local"])
def test_norm_statistics_become_the_mean_or_worker_0s(pair, policy):
    before, sync, after = (
        [load_file(pair / f"{when}-{rank}.safetensors") for rank in (0, 1)]
        for when in ("before", "sync", policy)
    )
    for name in ("running_mean", "running_var"):
        assert not torch.equal(before[0][name], before[1][name])
        assert all(torch.equal(b[name], s[name]) for b, s in zip(before, sync, strict=True))
        mean = (before[0][name] + before[1][name]) / 2
        expected = {"mean": mean, "local": before[0][name]}[policy]
        torch.testing.assert_close(after[0][name], expected)
        assert torch.equal(after[0][name], after[1][name])


@pytest.mark.slow
@GROUPS
def test_synced_norms_train_as_one_worker_with_the_whole_batch(world, group, alone, request):
    folder = request.getfixturevalue(group)
    expected = load_file(alone / "synced-1-0.safetensors")
    kept = [load_file(folder / f"synced-{world}-{rank}.safetensors") for rank in range(world)]
    for name, value in expected.items():
        torch.testing.assert_close(kept[0][name], value, atol=1e-5, rtol=1e-5)
        assert all(torch.equal(each[name], kept[0][name]) for each in kept)


@pytest.mark.slow
@GROUPS
@pytest.mark.parametrize("name", EXCHANGES)
def test_an_exchange_keeps_workers_equal_and_sends_what_it_says(name, world, group, request):
    folder = request.getfixturevalue(group)
    kept = [read(folder / f"exchanges-{world}-{rank}.json")[name] for rank in range(world)]
    assert len(set(kept[0]["hashes"])) == 3, "the weights move"
    for each in kept:
        assert each["hashes"] == kept[0]["hashes"]
        # DDP sends the plain mean itself, out of this counter's sight.
        assert each["sent"] == (0 if name == "none" else each["reported"]) and each["reported"] > 0
    left = [each["state"].get("left_out", 0.0) for each in kept]
    if name in ("powersgd", "qsgd-feedback"):
        assert len(set(left)) == world, "each worker remembers what it left out itself"
    else:
        assert not any(left)


@pytest.mark.slow
@GROUPS
@pytest.mark.parametrize(
    ("name", "tolerance"), [("fp16", 1e-3), ("bf16", 1e-2), ("powersgd-full", 1e-6), ("qsgd", 0.1)]
)
def test_an_exchange_trains_nearly_as_the_plain_mean(name, tolerance, world, group, request):
    folder = request.getfixturevalue(group)
    exact, ours = (load_file(folder / f"{n}-{world}-0.safetensors") for n in ("none", name))
    for key, value in exact.items():
        torch.testing.assert_close(ours[key], value, atol=tolerance, rtol=0)


@pytest.mark.slow
@GROUPS
@pytest.mark.parametrize("name", WORKER_MODULE["UNBIASED"])
def test_the_quantised_mean_is_the_mean_on_average(name, world, group, request):
    folder = request.getfixturevalue(group)
    for rank in range(world):
        kept = read(folder / f"means-{world}-{rank}.json")[name]
        assert kept["worst"] < 4.5, "79 coordinates, in standard errors"
        assert abs(kept["bias"]) < 3 and kept["zeros"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["powersgd", "qsgd-feedback"])
def test_a_resumed_trial_remembers_what_the_exchange_left_out(pair, name):
    for rank in (0, 1):
        whole, cut, _ = read(pair / f"resumed-{name}-{rank}.json")
        assert [row["epoch"] for row in cut] == [1, 2, 3, 4]
        for ours, theirs in zip(cut, whole, strict=True):
            assert drop_seconds(ours) == drop_seconds(theirs)
    one, cut = (
        load_file(pair / f"{n}-{name}" / "last" / "model.safetensors") for n in ("one", "cut")
    )
    assert all(torch.equal(cut[key], value) for key, value in one.items())
    files = {path.name for path in (pair / f"one-{name}" / "last").iterdir()}
    assert {"exchange-0.safetensors", "exchange-1.safetensors"} < files


@pytest.mark.slow
@pytest.mark.parametrize("name", ["powersgd", "qsgd-feedback"])
def test_a_probe_leaves_the_workers_and_what_they_remember_as_they_were(pair, name):
    both = [read(pair / f"resumed-{name}-{rank}.json") for rank in (0, 1)]
    assert [row["probe_robust_acc"] is not None for row in both[0][2]] == [True, True, False, False]
    for whole, _, probed in both:
        for ours, theirs in zip(probed, whole, strict=True):
            costs = ("eval_fwd_passes", "eval_bwd_passes", "passes_cum", "comm_bytes")
            for key in drop_seconds(theirs).keys() - set(costs):
                assert ours[key] == theirs[key], key
            assert ours["comm_bytes"] == theirs["comm_bytes"] * (3 if ours["epoch"] < 3 else 1)
    seen = [[row["probe_robust_acc"] for row in rows[2]] for rows in both]
    assert seen[0] == seen[1]
    for file in ("model.safetensors", "exchange-0.safetensors", "exchange-1.safetensors"):
        one, other = (load_file(pair / f"{n}-{name}" / "last" / file) for n in ("one", "probed"))
        assert all(torch.equal(other[key], value) for key, value in one.items())


def drop_seconds(row):
    return {key: value for key, value in row.items() if "seconds" not in key}


def test_workers_share_one_teacher_and_count_it_once(pair):
    first, second = (read(pair / f"taught-{rank}.json") for rank in (0, 1))
    assert first == second
    assert min(first["y"]) >= 0 and len(first["y"]) == 256
    cost = first["cost"]
    assert cost.pop("comm_bytes") > 0
    assert cost == {"samples": 128, "fwd_passes": 128 + 128, "bwd_passes": 128}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["none", "fp16", "qsgd"])
def test_waiting_is_what_follows_the_computation_and_what_others_are_late(pair, name):
    prompt, late = (read(pair / f"waited-{rank}.json") for rank in (0, 1))
    busy = WORKER_MODULE["BUSY"]
    # Where other work takes a core from one of them, the other waits longer: so the least of both.
    equal = [waited[f"{name}-equal"] for waited in (prompt, late)]
    assert 0 < min(equal) < busy / 2, "computing is no wait"
    assert 0 < late[f"{name}-late"] < prompt[f"{name}-late"] > 0.8 * busy


@pytest.mark.slow
def test_sums_are_exact(pair):
    for rank in (0, 1):
        assert read(pair / f"sums-{rank}.json") == {"big": 2**54 + 1, "zero": 0, "small": 0.1 + 0.2}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["model", "starter"])
def test_a_network_and_what_its_attack_learned_are_the_same_on_both(pair, what):
    one, other = (load_file(pair / f"{what}-{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_a_trial_of_two_workers_reports_the_same_rows_on_both(pair):
    rows = read(pair / "rows-0.json")
    assert rows == read(pair / "rows-1.json")
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert set(row) == REPORT_KEYS
        assert row["samples"] == 256 and row["fwd_passes"] == 256 * 4
        assert row["eval_fwd_passes"] == 64 * 4 and row["comm_bytes"] > 0
        computed = sum(row[f"{part}_seconds"] for part in ("data", "attack", "train"))
        assert 0 < row["seconds_exchange"] < row["train_seconds"]
        mean = computed - row["seconds_exchange"]
        assert mean <= row["seconds_slowest"] * (1 + 1e-9) < 2 * computed
    assert sorted(p.name for p in (pair / "trial").iterdir()) == ["best", "last"]


@pytest.mark.slow
def test_started_again_the_workers_have_only_to_report(pair):
    for rank in (0, 1):
        assert read(pair / f"again-{rank}.json") == read(pair / f"rows-{rank}.json")


def test_one_worker_exchanges_nothing():
    exchange, model = Exchange(), nn.Linear(2, 2)
    assert exchange.wrap(model) is model
    assert exchange.sums({"a": 1.5}) == {"a": 1.5}
    exchange.settle_norms(model, "mean")
    assert exchange.collect({"a": torch.ones(1)}) == []
    exchange.barrier()
