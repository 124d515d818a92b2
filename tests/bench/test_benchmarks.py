"""Every benchmark gives its rows at tiny sizes; arithmetic behind them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rayat.bench import (
    cases,
    costs,
    finished,
    gpu,
    loading,
    matching,
    packing,
    parity,
    peak,
    peers,
    slowdowns,
    steps,
)
from rayat.bench.machine import fast_bf16
from rayat.bench.suite import ENGINE, Benchmark, choose, rows
from rayat.errors import ConfigError

PEER_ROWS = (["a", "b", "c"], ["d", "e"]) if fast_bf16() else (["a", "b"], ["d"])


def sound(found, settings):
    """Check what every row promises."""
    for row in found:
        if row.value is None:  # this machine cannot do it
            assert row.reason
        else:
            assert row.judged is not settings.quick
            assert math.isfinite(row.value) and row.low <= row.value <= row.high
    return [row.name for row in found]


@pytest.mark.parametrize(
    "name",
    ["b2", pytest.param("b1", marks=pytest.mark.slow), pytest.param("b3", marks=pytest.mark.slow)],
)
def test_steps(once, name):
    names = sound(getattr(steps, name)(once), once)
    assert names == [f"{name.upper()}.{letter}" for letter in PEER_ROWS[0]]


@pytest.mark.parametrize("name", ["b4", "b5"])
def test_epochs(once, name):
    names = sound(getattr(steps, name)(once), once)
    assert names == [f"{name.upper()}.{letter}" for part in PEER_ROWS for letter in part]


def test_trades(once):
    names = sound(steps.b8(once), once)
    assert names == (["B8.a", "B8.b"] if fast_bf16() else ["B8.a"])


@pytest.mark.parametrize("bf16", [True, False])
def test_bars_follow_the_processor(once, monkeypatch, bf16):
    monkeypatch.setattr(steps, "fast_bf16", lambda: bf16)
    found = {row.name: row for row in steps.b5(once)}
    assert found["B5.a"].bar.limit == (1.15 if bf16 else 1.05)
    assert found["B5.b"].bar.limit == (1.7 if bf16 else 1.6)
    assert ("B5.c" in found) is bf16
    assert ("bf16" in found["B5.a"].what) is bf16


@pytest.mark.parametrize(
    "bars", [steps.B1, steps.B2, steps.B3, steps.B4, steps.B4_FGSM_RS, steps.B5, steps.B5_FGSM_RS]
)
def test_fp32_is_asked_for_less_but_never_for_less_than_the_peer(bars):
    with_bf16, without = bars.torchattacks
    assert with_bf16 >= without > 1


def test_without_torchattacks_its_rows_say_how_to_get_it(once, monkeypatch):
    monkeypatch.setattr(peers, "has_torchattacks", lambda: False)
    found = {row.name: row for row in steps.b5(once)}
    assert found["B5.a"].state == "not run"
    assert "pip install torchattacks" in found["B5.a"].reason
    assert found["B5.b"].value is not None
    (row,) = parity.b13(once)
    assert row.reason == found["B5.a"].reason


def test_a_share_of_the_peak_cannot_be_more_than_the_work_allows(once):
    case = cases.cifar("small", {"name": "preactresnet", "width": 8, "blocks": [1]}, 4, 4)
    row = peak.utilisation("B6.a", case, peak.Bar(0.5), once)
    assert row.unit == "share" and row.value > 0
    assert row.context["all_layers_gflops"] <= row.context["peak_gflops"] * 1.001
    gflops = row.context["gflops"] / row.context["peak_gflops"]
    assert row.value == pytest.approx(gflops, rel=0.05)


def test_convolutions_are_counted_as_often_as_they_run_and_leave_the_model():
    case = cases.cifar("small", {"name": "preactresnet", "width": 8, "blocks": [2]}, 4, 4)
    model = cases.training(case).model.train()
    layers = peak.convolutions(model, case.prepared.shape)
    assert sorted(layers.values()) == [1, 4]
    stem = next(layer for layer, count in layers.items() if count == 1)
    assert stem.flop == 2 * 8 * 32 * 32 * 3 * 3 * 3
    assert model.training
    total = sum(count * layer.flop for layer, count in layers.items())
    head = 2 * 8 * 10
    assert peak.forward_flop(model, case) == total + head
    assert peak.useful_flop(model, case) == 23 * case.images * (total + head)


@pytest.mark.parametrize(
    ("model", "weights", "mflop"),
    [
        (cases.CNN, 674_610, 58.44),
        (cases.PREACT18_W16, 701_018, 70.09),
        (cases.PREACT18, 11_172_170, 1110.85),
    ],
)
def test_the_measured_networks_are_those_of_the_tables(model, weights, mflop):
    case = cases.cifar("net", model, 1, 1)
    net = cases.training(case).model
    assert sum(p.numel() for p in net.parameters()) == weights
    assert peak.forward_flop(net, case) / 1e6 == pytest.approx(mflop, abs=0.01)


def test_the_digits_fill_their_batches():
    assert cases.digits(cases.DIGITS_IMAGES).images == cases.DIGITS_IMAGES


def test_attack_costs(once):
    assert sound(costs.b7(once), once) == ["B7.a", "B7.b"]


def test_finished_samples(once):
    found = finished.b9(once)
    assert sound(found, once) == ["B9.a", "B9.b", "B9.c"]
    early, late, never = (row.context["attack_steps"] for row in found)
    assert 1 <= early <= late < never == 10


def test_matching_picks_what_the_published_solver_picks(once):
    found = matching.b11(once)
    assert sound(found, once) == ["B11.a", "B11.b"]
    assert all(row.context["same_picks"] and row.context["picks"] == 8 for row in found)


def test_dense_gradients_are_those_of_the_factors():
    part = matching.one_class(6, 3)
    torch.testing.assert_close(matching.dense(part).sum(0), part.total().flatten())
    gram = matching.dense(part) @ matching.dense(part).T
    torch.testing.assert_close(part.columns(torch.arange(6)), gram)


def test_loading(once):
    (row,) = loading.b10(once)
    assert sound([row], once) == ["B10"]
    assert row.value > 1


@pytest.mark.slow
def test_packing(once):
    assert sound(packing.b12(once), once) == ["B12.a", "B12.b"]


def test_parity(once):
    pytest.importorskip("torchattacks")
    (row,) = parity.b13(once)
    assert sound([row], once) == ["B13"]
    assert len(row.context["engine"]) == len(row.context["torchattacks"]) == 3


@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
)
def test_a_standard_error_is_never_less_than_the_images_allow(ours, theirs):
    error = parity.standard_error(ours, theirs, 500)
    share = min(max(sum(ours + theirs) / 6, 1 / 500), 1 - 1 / 500)
    assert error >= math.sqrt(2 * share * (1 - share) / 1500) - 1e-12
    assert error == pytest.approx(parity.standard_error(theirs, ours, 500))


def test_bf16_on_tiny_networks(once):
    found = slowdowns.s2(once)
    sound(found, once)
    assert all(row.bar is None for row in found)


def test_samples_that_leave_the_batch_save_passes(once):
    (row,) = slowdowns.s3(once)
    sound([row], once)
    assert row.context["passes_ratio"] > 1


@pytest.mark.slow
def test_gpu_rows_run_on_any_device(once, monkeypatch):
    # Smaller than that of the quick suite: what is asked is whether every row comes.
    tiny = {"name": "preactresnet", "width": 4, "blocks": [1, 1]}
    monkeypatch.setattr(cases, "PREACT18_W16", tiny)
    names = sound(gpu.gpu(once, device="cpu"), once)
    assert names == ["G1", "G2", "G3", "G4", "G5", "G6", "G8"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_sentence_says_so(once):
    ((name, found),) = rows({"G": ENGINE["G"]}, once)
    assert name == "G"
    assert [row.reason for row in found] == ["not run: no GPU"]


def nothing(settings):
    return []


KNOWN = {
    "B1": Benchmark("always", nothing),
    "S1": Benchmark("slow", nothing, "--slowdowns"),
    "G": Benchmark("gpu", nothing, "--gpu"),
}


@pytest.mark.parametrize(
    ("names", "extras", "chosen"),
    [
        ([], [], ["B1"]),
        ([], ["--slowdowns"], ["B1", "S1"]),
        (["g"], [], ["G"]),
        (["G", "B1"], [], ["B1", "G"]),
        (["B1"], ["--slowdowns"], ["B1", "S1"]),
    ],
)
def test_what_runs_is_what_was_asked_for(names, extras, chosen):
    assert list(choose(KNOWN, names, extras)) == chosen


def test_an_unknown_benchmark_is_named_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown benchmark 'B9'.*known: B1, S1, G"):
        choose(KNOWN, ["B9"], [])
