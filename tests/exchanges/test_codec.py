"""The quantiser of QSGD: unbiased, bounded in variance, packed, and safe at the edges."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayat.exchanges._codec import Codec, pack, packed_bytes, unpack

BITS = range(1, 9)
DRAWS = 1000


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(codec: Codec, x: torch.Tensor, count: int = DRAWS) -> torch.Tensor:
    """Return (count, n) decoded messages of one vector."""
    generator = stream(1)
    return torch.stack([codec.decode(codec.encode(x, generator)) for _ in range(count)])


@pytest.mark.parametrize("bits", BITS)
def test_the_mean_of_many_draws_is_the_vector(bits):
    x, codec = torch.randn(60, generator=stream()), Codec((40, 1, 19), bits)
    errors = draws(codec, x) - x
    norm = torch.cat([g.norm().expand(len(g)) for g in torch.split(x, codec.sizes)])
    chance = (x.abs() / norm * codec.levels).frac()
    standard = norm / codec.levels * (chance * (1 - chance) / DRAWS).sqrt()
    # The mean over coordinates is one number: three standard errors. A sign bit that leaks half a
    # level into every non-negative value, the bias ||g|| / (2 s) of docs/papers.md 3.8, is above
    # a hundred of them.
    assert errors.mean().abs() < 3 * standard.square().mean().sqrt() / math.sqrt(60)
    assert (errors.mean(0).abs() <= 4.5 * standard + 1e-6).all(), "60 coordinates at once"


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("sizes", [(2000,), (1000, 900, 100), (50,) * 40])
def test_the_variance_is_within_the_bound(bits, sizes):
    x = torch.randn(2000, generator=stream())
    codec = Codec(sizes, bits)
    squared = (draws(codec, x, 50) - x).square().mean(0)
    for error, group in zip(torch.split(squared, sizes), torch.split(x, sizes), strict=True):
        d, s = group.numel(), codec.levels
        assert error.sum() <= 1.05 * min(d / s**2, math.sqrt(d) / s) * group.square().sum()


@pytest.mark.parametrize(("bits", "variance"), [(1, 34), (2, 10.6), (4, 1.4), (7, 0.02)])
def test_the_variance_of_one_group_of_2000_is_the_specifications(bits, variance):
    x = torch.randn(2000, generator=stream())
    error = (draws(Codec((2000,), bits), x, 50) - x).square().sum(1).mean() / x.square().sum()
    # The specification's vector is not known, and its last digit is rounded.
    assert 0.4 * variance < error < 1.5 * variance


@pytest.mark.parametrize("bits", BITS)
def test_zeros_stay_zeros_and_one_coordinate_comes_back_exactly(bits):
    assert not draws(Codec((5, 1), bits), torch.zeros(6), 20).any()
    for value in (-3.7, 1e-30, 2e30):
        x = torch.tensor([value])
        torch.testing.assert_close(draws(Codec((1,), bits), x, 20), x.expand(20, 1))


def test_a_zero_group_does_not_disturb_its_neighbour():
    x = torch.cat([torch.zeros(4), torch.ones(1), torch.zeros(3)])
    assert torch.equal(draws(Codec((4, 1, 3), 3), x, 5), x.expand(5, 8))


@pytest.mark.parametrize("bits", BITS)
def test_a_norm_that_underflows_does_not_turn_the_sign(bits):
    x = torch.tensor([4.47e-23, 0.0])
    assert x.norm() < 0.9 * x[0]
    decoded = draws(Codec((2,), bits), x, 20)
    assert (decoded[:, 0] > 0).all() and not decoded[:, 1].any()


def test_an_empty_vector_has_an_empty_message():
    codec = Codec((), 4)
    message = codec.encode(torch.empty(0), stream())
    assert message.shape == (codec.nbytes,) == (0,) and codec.decode(message).shape == (0,)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_hidden(value):
    codec = Codec((3, 3), 7)
    decoded = codec.decode(codec.encode(torch.tensor([1, value, 2, 3, 4, 5.0]), stream()))
    assert not decoded[:3].isfinite().all() and decoded[3:].isfinite().all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 40), max_size=8),
    st.sampled_from(BITS),
    st.integers(0, 2**31),
    st.data(),
)
def test_a_message_is_as_long_as_it_says_and_within_one_level(sizes, bits, seed, data):
    codec = Codec(tuple(sizes), bits)
    x = torch.randn(codec.numel, generator=stream(seed))
    message = codec.encode(x, stream(seed))
    assert message.dtype == torch.uint8
    assert message.nbytes == codec.nbytes == 4 * len(sizes) + (bits + 1) * math.ceil(sum(sizes) / 8)
    padding = torch.zeros(data.draw(st.integers(0, 9)), dtype=torch.uint8)
    decoded = codec.decode(torch.cat([message, padding]))
    for ours, group in zip(torch.split(decoded, sizes), torch.split(x, sizes), strict=True):
        assert ((ours - group).abs() <= group.norm() / codec.levels * (1 + 1e-5)).all()
        assert (ours * group >= 0).all(), "no sign is lost"


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 9), st.integers(0, 40), st.integers(0, 2**31))
def test_packing_loses_nothing_and_wastes_less_than_one_eight(width, count, seed):
    code = torch.randint(2**width, (count,), generator=stream(seed)).to(torch.int16)
    packed = pack(code, width)
    assert packed.nbytes == packed_bytes(count, width) < width * count / 8 + width
    assert torch.equal(unpack(packed, width, count), code)


def test_equal_groups_and_any_groups_are_scaled_alike():
    """The fast path for equal groups against the general one."""
    x = torch.randn(30, generator=stream())
    ours = Codec((8, 8, 8, 6), 5).encode(x, stream(2))
    parts = [Codec((8, 16, 6), 5)._norms(x), Codec((8, 8, 8, 6), 5)._norms(x)]
    assert torch.equal(parts[0][[0, 2]], parts[1][[0, 3]])
    expected = torch.tensor([group.norm() for group in torch.split(x, [8, 8, 8, 6])])
    torch.testing.assert_close(ours[:16].clone().view(torch.float32), expected)


@pytest.mark.parametrize("sizes", [(300, 300, 100), (10, 600, 90)])
@pytest.mark.parametrize("bits", [1, 2, 8])
def test_the_nearest_multiple_is_never_farther_than_nothing(bits, sizes):
    codec, generator = Codec(sizes, bits), stream(1)
    for x in torch.randn(20, 700, generator=stream()):
        plain = codec.encode(x, generator)
        near = codec.decode(codec.nearest(plain, x))
        for ours, theirs, true in zip(
            *(torch.split(v, sizes) for v in (near, codec.decode(plain), x)), strict=True
        ):
            assert (true - ours).norm() <= true.norm() * (1 + 1e-6)
            # The best multiple: what is left is at right angles to what is sent.
            assert abs((true - ours) @ ours) <= 1e-4 * true.norm() ** 2
            assert (true - ours).norm() <= (true - theirs).norm() * (1 + 1e-6)
    if bits == 1:
        assert (x - codec.decode(plain)).norm() > x.norm(), "without it the error is the larger"


def test_the_nearest_multiple_leaves_zeros_and_hides_nothing():
    codec = Codec((3, 2), 2)
    for x in (torch.zeros(5), torch.tensor([0.0, 0, 0, 1, float("nan")])):
        message = codec.encode(x, stream())
        near = codec.decode(codec.nearest(message, x))
        assert torch.equal(near.isfinite(), codec.decode(message).isfinite())
        assert torch.equal(near[:3], torch.zeros(3))
