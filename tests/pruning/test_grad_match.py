"""What is matched, with which weights, and what is said when it cannot be."""

from __future__ import annotations

import dataclasses
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayat.config import TrialConfig
from rayat.errors import ConfigError
from rayat.pruning._gather import gather
from rayat.pruning.grad_match import apportion
from rayat.pruning.omp import match
from rayat.registry import PRUNERS


def build(**fields):
    return PRUNERS.build({"name": "grad-match", **fields})


def error(selection, wide):
    """Return |sum_i w_i g_i - sum_i g_i| / |sum_i g_i|."""
    weights = selection.row_weights(len(wide)).to(wide.dtype)
    return float((weights @ wide - wide.sum(0)).norm() / wide.sum(0).norm())


@pytest.fixture
def wide(context, dense):
    """Return all gradients that a context of seed 0 leads to, float64."""
    return dense(gather(context(), context().prepared.train).factors()).double()


@pytest.mark.parametrize(
    ("fields", "share"),
    [({}, 0.95), ({"variant": "per-class", "rows": "all", "ridge": 0.01}, 0.5)],
    ids=["per-batch", "per-class"],
)
def test_the_weighted_gradient_is_nearer_than_a_random_subsets(context, wide, fields, share):
    found = error(build(fraction=0.4, **fields).select(1, context()), wide)
    random = PRUNERS.build({"name": "random", "fraction": 0.4})
    errors = []
    for seed in range(20):
        chance = random.select(1, context(seed=seed))
        scaled = dataclasses.replace(chance, weights=chance.weights / 0.4)
        errors.append(error(scaled, wide))
    assert found < share * sum(errors) / 20


def test_whole_batches_have_one_weight_and_are_consecutive_rows(context):
    selection = build(fraction=0.5).select(1, context())
    weights = selection.row_weights(150)
    for batch in weights.split(16):
        assert batch.unique().numel() == 1
    assert len(weights.split(16)[-1]) == 6, "the last batch is smaller"


def test_the_weights_belong_to_their_rows(context, wide):
    """Almost all batches meet the full gradient; the same weights one batch further do not."""
    selection = build(fraction=0.8).select(1, context())
    right = error(selection, wide)
    moved = dataclasses.replace(selection, indices=(selection.indices + 16) % 150)
    assert right < 0.5 * error(moved, wide)


def test_every_class_keeps_its_share(context):
    given_ = context()
    selection = build(fraction=0.4, variant="per-class", rows="all", block=9).select(1, given_)
    y = torch.tensor(given_.prepared.train.y)
    kept, there = y[selection.indices].bincount(), y.bincount()
    blocks = -(-there // 9)
    assert ((kept - 0.4 * there).abs() <= blocks).all()


def test_more_than_the_dimension_is_filled_at_random_and_said(context):
    """Rows of one class: 5 dimensions of the 4 features and the bias, for about 8 images each."""
    with pytest.warns(UserWarning, match="drawn at random") as caught:
        selection = build(fraction=0.5, variant="per-class", ridge=0.0).select(1, context())
    filled = round(selection.random_fill * 75)
    assert selection.random_fill == filled / 75 > 0.05
    text = re.match(r"grad-match: (\d+) of 75 images .* have 5 dimensions", str(caught[0].message))
    assert int(text[1]) == filled
    assert (selection.weights == 1).sum() >= filled
    counts = torch.tensor(context().prepared.train.y).bincount().tolist()
    assert filled >= sum(max(0, budget - 5) for budget in apportion(counts, 75))


@pytest.mark.parametrize("rows", ["class", "all"])
def test_rows_are_the_part_of_the_gradient_that_is_matched(context, dense, rows):
    """Against the solver on gradients formed in full, class by class."""
    given_, again = context(), context()
    for made in (given_, again):
        with torch.no_grad():
            made.model.head.weight.mul_(30)  # a network that is sure of some images
    layer = gather(given_, given_.prepared.train)
    wide = dense(layer.factors()).double().reshape(150, 10, -1)
    selection = build(fraction=0.3, variant="per-class", rows=rows, picks=1).select(1, again)
    kept = selection.row_weights(150) > 0
    for label in range(10):
        members = (layer.y == label).nonzero().flatten()
        atoms = (wide[members] if rows == "all" else wide[members, label]).flatten(1)
        target = atoms.sum(0)
        found = match(
            lambda chosen, atoms=atoms: atoms @ atoms[chosen].T,
            atoms @ target,
            float(target @ target),
            int(kept[members].sum()),
            ridge=0.5,
        )
        own = set(members[kept[members]].tolist())
        assert set(members[found.chosen].tolist()) <= own


def test_a_ridge_lets_more_than_the_dimension_be_matched(context):
    selection = build(fraction=0.5, variant="per-class").select(1, context())
    assert selection.random_fill == 0


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=12), share=st.floats(0, 1))
def test_apportion_adds_up_and_is_within_one_of_the_share(sizes, share):
    total = round(share * sum(sizes))
    parts = apportion(sizes, total)
    assert sum(parts) == total
    for part, size in zip(parts, sizes, strict=True):
        assert 0 <= part <= size
        assert abs(part - size * total / sum(sizes)) < 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"variant": "per-image"}, r"pruning\.variant: "),
        ({"ridge": -1}, r"pruning\.ridge: .*, got -1"),
        ({"block": 1}, r"pruning\.block: .*, got 1"),
        ({"tolerance": 1}, r"pruning\.tolerance: .*, got 1"),
    ],
)
def test_wrong_values_are_refused_by_name(value, text):
    with pytest.raises(ConfigError, match=text):
        TrialConfig.parse({"pruning": {"name": "grad-match", **value}})
