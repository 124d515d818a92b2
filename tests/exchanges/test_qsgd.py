"""How QSGD cuts a gradient, and what it sends."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rayat.distributed.exchange import Exchange
from rayat.exchanges.base import bytes_per_step
from rayat.registry import EXCHANGES

SHAPES = [(6, 5), (1,), (13,), (0,), ()]  # 30 + 1 + 13 + 0 + 1 coordinates
D = 45


def qsgd(**fields):
    return EXCHANGES.build({"name": "qsgd", **fields})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=8),
    st.integers(2, 20),
    st.sampled_from(["tensor", "bucket"]),
)
def test_pieces_are_equal_and_cover_everything_once(sizes, world, per):
    plan = qsgd(scheme="scatter", per=per, bucket_size=7).plan([(n,) for n in sizes], world)
    total = sum(sizes)
    lengths = [codec.numel for codec in plan]
    assert len(plan) == world and sum(lengths) == total
    length = math.ceil(total / world)
    assert lengths == [max(0, min(length, total - i * length)) for i in range(world)]
    assert all(size >= 1 for codec in plan for size in codec.sizes)
    if per == "bucket":
        assert all(size <= 7 for codec in plan for size in codec.sizes)


def test_a_gathered_tensor_has_one_norm_and_a_cut_one_has_one_a_piece():
    gather = qsgd(scheme="gather").plan(SHAPES, 4)
    assert [codec.sizes for codec in gather] == [(30, 1, 13, 1)]
    scatter = qsgd(scheme="scatter").plan(SHAPES, 4)  # pieces of 12
    assert [codec.sizes for codec in scatter] == [(12,), (12,), (6, 1, 5), (8, 1)]


def test_bytes_by_hand():
    # 45 coordinates in six eights of 8 bits, four norms.
    message = 6 * 8 + 4 * 4
    for sides in (1, 2):
        exchange = qsgd(scheme="gather", sides=sides)
        assert bytes_per_step(exchange, SHAPES, 4) == 3 * message
    # Pieces of 12: two eights, at most three norms. One-sided, 12 means come back whole.
    piece = 2 * 8 + 3 * 4
    assert bytes_per_step(qsgd(scheme="scatter"), SHAPES, 4) == 3 * 2 * piece
    assert bytes_per_step(qsgd(scheme="scatter", sides=1), SHAPES, 4) == 3 * (piece + 12 * 4)
    # Three bits and a sign: half a byte.
    assert bytes_per_step(qsgd(scheme="gather", bits=3), SHAPES, 2) == 6 * 4 + 4 * 4


@pytest.mark.parametrize("sides", [1, 2])
def test_auto_sends_the_fewer_bytes(sides):
    shapes = [(64, 64, 3, 3), (64,), (10, 64)]
    for world in range(2, 65):
        sent = {
            scheme: bytes_per_step(qsgd(scheme=scheme, sides=sides), shapes, world)
            for scheme in ("gather", "scatter", "auto")
        }
        assert sent["auto"] == min(sent["gather"], sent["scatter"])
    assert len(qsgd(sides=1).plan(shapes, 4)) == 1 and len(qsgd(sides=1).plan(shapes, 6)) == 6
    assert len(qsgd(sides=2).plan(shapes, 2)) == 1 and len(qsgd(sides=2).plan(shapes, 3)) == 3


class Alone(Exchange):
    """Two workers with the same gradient and noise: what one sends comes from the other."""

    def gather(self, message):
        return torch.stack([message, message])


class Pair(Exchange):
    """Two workers of which the other one has what this one has."""

    def swap(self, messages):
        return torch.stack([messages[self.rank]] * 2)

    def gather(self, message):
        return torch.stack([message, message])


def feedback(workers=Alone, **fields):
    exchange = qsgd(bits=1, error_feedback=True, **fields)
    reducer = exchange.reducer([nn.Parameter(torch.zeros(20))], workers(0, 2))
    reducer.begin(*(torch.Generator().manual_seed(seed) for seed in range(2)))
    return exchange, reducer


@pytest.mark.parametrize("per", ["tensor", "bucket"])
@pytest.mark.parametrize("sides", [1, 2])
def test_error_feedback_gives_back_what_rounding_took(sides, per):
    """The sum of what was applied differs from the gradients' sum by what is left out now."""
    torch.manual_seed(0)
    gradients = torch.randn(30, 20)
    exchange, reducer = feedback(sides=sides, scheme="gather", per=per, bucket_size=6)
    applied = sum(reducer.mean(g.clone()) for g in gradients)
    state = reducer.state_dict()
    assert list(state) == ["left_out", "left_out_of_mean"][:sides]
    assert all(kept.abs().sum() > 0 for kept in state.values())
    torch.testing.assert_close(applied + sum(state.values()), gradients.sum(0), atol=1e-4, rtol=0)
    other = exchange.reducer([nn.Parameter(torch.zeros(20))], Alone(0, 2))
    other.load_state_dict(state)
    assert all(torch.equal(other.state_dict()[name], kept) for name, kept in state.items())
    reducer.forget()
    assert not any(kept.any() for kept in reducer.state_dict().values()) and state["left_out"].any()


def test_each_worker_remembers_what_it_left_out_of_its_piece_of_the_mean():
    torch.manual_seed(0)
    gradients = torch.randn(30, 20)
    _, reducer = feedback(Pair, scheme="scatter")
    applied = sum(reducer.mean(g.clone())[:10] for g in gradients)
    state = reducer.state_dict()
    assert state["left_out_of_mean"].shape == (10,)
    left = state["left_out"][:10] + state["left_out_of_mean"]
    torch.testing.assert_close(applied + left, gradients[:, :10].sum(0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("sides", [1, 2])
def test_what_is_left_out_does_not_grow_with_one_bit_and_a_large_group(sides):
    """Unbiased rounding of 2,000 coordinates to one bit errs by about six times their length."""
    torch.manual_seed(0)
    exchange = qsgd(bits=1, error_feedback=True, sides=sides, scheme="gather")
    reducer = exchange.reducer([nn.Parameter(torch.zeros(2000))], Alone(0, 2))
    reducer.begin(*(torch.Generator().manual_seed(seed) for seed in range(2)))
    lengths = []
    for _ in range(400):
        reducer.mean(torch.randn(2000))
        lengths.append(sum(kept.norm() for kept in reducer.state_dict().values()))
    assert max(lengths[200:]) < 1.5 * max(lengths[:200]) < 1e4
