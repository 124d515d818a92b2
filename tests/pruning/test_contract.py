"""The contract of every registered pruner; a new one is tested by being registered."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayat.columns import columns_of
from rayat.config import TrialConfig
from rayat.errors import ConfigError
from rayat.pruning._logits import CLOSED_FORMS
from rayat.registry import OBJECTIVES, PRUNERS

MORE = [
    {"name": "grad-match", "variant": "per-class"},
    {"name": "grad-match", "variant": "per-class", "rows": "all", "block": 7, "picks": 1},
    {"name": "glister", "mode": "r-greedy", "rounds": 4},
    {"name": "glister", "mode": "naive", "last_layer": "all"},
    {"name": "random", "redraw": False},
]
SPECS = [{"name": name} for name in PRUNERS.names()] + MORE
pytestmark = pytest.mark.filterwarnings("ignore:grad-match")


@pytest.fixture(params=SPECS, ids=lambda spec: "-".join(map(str, spec.values())))
def make(request):
    return lambda **changes: PRUNERS.build({**request.param, **changes})


@pytest.mark.parametrize("fraction", [0.001, 0.3, 0.77, 1.0])
def test_rows_are_valid_once_each_and_as_many_as_asked(make, context, fraction):
    pruner, given_ = make(fraction=fraction), context()
    selection = pruner.select(1, given_)
    size = len(given_.prepared.train)
    rows = selection.indices
    assert rows.dtype == torch.int64 and rows.device.type == "cpu"
    assert rows.min() >= 0 and rows.max() < size
    assert torch.equal(rows, rows.unique())
    budget = pruner.budget(size)
    assert budget == (size if pruner.kind == "none" else max(1, round(fraction * size)))
    if getattr(pruner, "variant", None) == "per-batch":
        chosen = (rows // given_.batch_size).unique()
        assert len(chosen) == math.ceil(budget / given_.batch_size)
        assert len(rows) == sum(min(16, size - 16 * int(batch)) for batch in chosen)
    else:
        assert len(rows) == budget


def test_it_reports_only_columns_that_it_declares(make, context):
    pruner = make(fraction=0.4)
    assert set(pruner.select(1, context()).info) <= set(columns_of(pruner))


def test_weights_are_positive_one_for_each_row(make, context):
    selection = make(fraction=0.4).select(1, context())
    assert selection.weights.dtype == torch.float32
    assert selection.weights.shape == selection.indices.shape
    assert selection.weights.isfinite().all() and (selection.weights > 0).all()
    assert 0 <= selection.random_fill <= 1
    assert selection.seconds > 0


def test_the_same_generators_give_the_same_selection(make, context):
    torch.manual_seed(1)
    first = make(fraction=0.3).select(1, context(seed=5))
    torch.manual_seed(2)
    second = make(fraction=0.3).select(1, context(seed=5))
    assert torch.equal(first.indices, second.indices)
    assert torch.equal(first.weights, second.weights)


def test_only_the_given_generators_are_random(make, context):
    given_ = context()
    before = torch.get_rng_state()
    make().select(1, given_)
    assert torch.equal(before, torch.get_rng_state())


def assert_same(before, after):
    assert before["modes"] == after["modes"] and before["requires"] == after["requires"]
    assert list(before["state"]) == list(after["state"])
    pairs = list(zip(before["state"].values(), after["state"].values(), strict=True))
    for a, b in pairs + list(zip(before["grads"], after["grads"], strict=True)):
        assert (a is None and b is None) or torch.equal(a, b)


def test_the_network_is_exactly_as_found(make, context, snapshot):
    given_ = context()
    before = snapshot(given_.model)
    make().select(1, given_)
    assert_same(before, snapshot(given_.model))


def test_the_network_is_exactly_as_found_when_it_raises(make, context, snapshot):
    given_ = context()
    if make().select(1, given_).forward == 0:
        pytest.skip("never calls the network")

    def fail(*_):
        raise RuntimeError("in the middle of the selection")

    before = snapshot(given_.model)
    hook = given_.model.head.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        make().select(1, given_)
    hook.remove()
    assert_same(before, snapshot(given_.model))


def test_passes_are_what_the_network_saw(make, context):
    given_ = context()
    seen = {"forward": 0, "backward": 0}

    def count(module, args, output):
        seen["forward"] += len(output)
        if output.requires_grad:
            output.register_hook(lambda g: seen.update(backward=seen["backward"] + len(g)))

    given_.model.head.register_forward_hook(count)
    selection = make().select(1, given_)
    assert (selection.forward, selection.backward) == (seen["forward"], seen["backward"])


def test_every_objective_that_is_a_function_of_logits_can_be_selected_for(make):
    assert set(OBJECTIVES.names()) - set(CLOSED_FORMS) == {"gradalign"}
    for name in CLOSED_FORMS:
        TrialConfig.parse({"pruning": make().spec(), "objective": name})


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1])
def test_a_fraction_outside_is_refused_by_name(make, fraction):
    with pytest.raises(ConfigError, match=r"^pruning\.fraction: .*, got "):
        TrialConfig.parse({"pruning": {**make().spec(), "fraction": fraction}})


@pytest.mark.parametrize("spec", SPECS, ids=str)
@settings(deadline=None)
@given(
    fraction=st.floats(0.01, 1),
    every=st.integers(1, 30),
    warm_start=st.floats(0, 0.99),
    epochs=st.integers(1, 120),
)
def test_no_epoch_needs_a_selection_that_was_not_made(spec, fraction, every, warm_start, epochs):
    pruner = PRUNERS.build({**spec, "fraction": fraction, "every": every, "warm_start": warm_start})
    phases = [pruner.schedule(epoch, epochs) for epoch in range(1, epochs + 1)]
    assert set(phases) <= {"full", "skip", "select", "subset"}
    assert "subset" not in phases[: phases.index("select") if "select" in phases else None]
    assert phases[-1] != "skip", "the last epoch trains"
