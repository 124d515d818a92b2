"""The prediction for several workers is its formula: DDP's buckets, the exchanges' bytes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rayat.data.prepare import prepare
from rayat.errors import ConfigError
from rayat.exchanges.base import BUCKET, FIRST_BUCKET, buckets, bytes_per_step
from rayat.planning.estimate import estimate
from rayat.planning.scaling import Link, backward_share, codec_seconds, predict, step_time, whole
from rayat.registry import EXCHANGES, MODELS

RESNET18 = list(MODELS.build("preactresnet18").build((3, 32, 32), 10, 0).parameters())
SHAPES = [p.shape for p in RESNET18]
GIGABIT = Link(125e6, 1e-4)


@pytest.mark.parametrize(
    ("text", "rate", "latency"),
    [
        ("1Gbit/s", 125e6, 1e-4),
        ("100 Mbit/s", 12.5e6, 1e-4),
        ("2.5Gbit/s,50us", 312.5e6, 5e-5),
        ("64Kbit/s, 20ms", 8e3, 0.02),
    ],
)
def test_a_link_is_read(text, rate, latency):
    assert Link.parse(text) == Link(pytest.approx(rate), pytest.approx(latency))


@pytest.mark.parametrize("text", ["", "1GB/s", "0Gbit/s", "-1Gbit/s", "1Gbit/s,5", "nan", "1e9"])
def test_what_is_no_link_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match=r"such as 1Gbit/s or 100Mbit/s,50us; got"):
        Link.parse(text)


def test_buckets_are_those_of_ddp():
    small = MODELS.build("preactresnet").build((1, 8, 8), 10, 0)
    for parameters in (RESNET18, list(small.parameters())):
        backwards = parameters[::-1]
        ours = buckets([p.shape for p in parameters])
        theirs, _ = dist._compute_bucket_assignment_by_size(backwards, [FIRST_BUCKET, BUCKET])
        assert ours == [sum(backwards[i].numel() for i in bucket) for bucket in theirs]
    assert len(buckets(SHAPES)) > 1
    assert dist._DEFAULT_FIRST_BUCKET_BYTES == FIRST_BUCKET


def test_the_step_is_its_formula():
    none, sizes = EXCHANGES.build("none"), buckets(SHAPES)
    nbytes = bytes_per_step(none, SHAPES, 4)
    network = 6 * len(sizes) * 1e-4 + nbytes / 125e6
    plain = step_time(none, SHAPES, 4, GIGABIT, compute=1.0, codec=0.25)
    assert plain.seconds == pytest.approx(1.25 + network)
    assert (plain.hidden, plain.nbytes) == (0.0, nbytes)
    # A long backward pass hides all but the last bucket, a short one what fits into it.
    early = network * (1 - sizes[-1] / sum(sizes))
    long = step_time(none, SHAPES, 4, GIGABIT, compute=10.0, backward=0.5)
    assert long.exchange == pytest.approx(network - early)
    short = step_time(none, SHAPES, 4, GIGABIT, compute=1.0, backward=0.01)
    assert short.exchange == pytest.approx(network - 0.01)


def test_what_waits_for_the_whole_gradient_hides_nothing():
    qsgd = EXCHANGES.build("qsgd")
    found = step_time(qsgd, SHAPES, 2, GIGABIT, compute=1.0, codec=0.1, backward=0.5)
    nbytes = bytes_per_step(qsgd, SHAPES, 2)
    assert found.exchange == pytest.approx(0.1 + 1e-4 + nbytes / 125e6), "one message to the other"
    four = step_time(qsgd, SHAPES, 4, GIGABIT, compute=1.0)
    assert four.network == pytest.approx(6e-4 + bytes_per_step(qsgd, SHAPES, 4) / 125e6)


@pytest.mark.parametrize("name", EXCHANGES.names())
def test_every_exchange_can_be_predicted(name):
    part = EXCHANGES.build(name)
    assert whole(part) == (name in ("powersgd", "qsgd"))
    alone = step_time(part, SHAPES, 1, GIGABIT, compute=1.0, codec=0.5)
    assert (alone.seconds, alone.nbytes) == (1.0, 0)
    for world in (2, 3, 8):
        assert part.rounds(SHAPES, world) > 0
        assert step_time(part, SHAPES, world, GIGABIT, compute=1.0).network > 0


@given(
    name=st.sampled_from(EXCHANGES.names()),
    world=st.integers(2, 64),
    rate=st.floats(1e3, 1e11),
    slower=st.floats(1.0, 1e3),
    compute=st.floats(0, 1e3),
    backward=st.floats(0, 1),
)
def test_a_slower_link_is_never_faster(name, world, rate, slower, compute, backward):
    part, shapes = EXCHANGES.build(name), [(64, 64), (10,)]
    fast, slow = (
        step_time(part, shapes, world, Link(each), compute, 0.0, backward)
        for each in (rate, rate / slower)
    )
    assert compute <= fast.seconds <= slow.seconds * (1 + 1e-9)
    assert fast.hidden <= fast.network


def test_the_codec_is_measured_where_there_is_one():
    weights = [nn.Parameter(torch.zeros(400, 500))]

    def least(part, world):
        """Return the least of three: what else the machine does only adds."""
        return min(codec_seconds(part, weights, world) for _ in range(3))

    cost = {name: least(EXCHANGES.build(name), 2) for name in EXCHANGES.names()}
    assert cost["none"] == 0 < cost["fp16"]
    assert cost["qsgd"] > 2 * cost["fp16"], "rounding at random and packing"
    assert codec_seconds(EXCHANGES.build("qsgd"), weights, 1) == 0
    released = EXCHANGES.build({"name": "qsgd", "sides": 1, "scheme": "gather"})
    two, many = (least(released, world) for world in (2, 16))
    assert many > 2 * two, "it decodes everyone's message"


def test_a_configuration_is_predicted_from_its_estimate(small):
    config = small(batch_size=128, workers=4, **{"exchange.name": "fp16"})
    prepared = prepare(config.data)
    found = dataclasses.replace(
        estimate(config, prepared), train_seconds=3.0, forward_passes=768, backward_passes=768
    )
    own, steps = predict(config, prepared, found, GIGABIT)
    assert steps == 2 and own.compute == pytest.approx(1.5)
    assert backward_share(found, 256) == pytest.approx(2 / 7), "two attack steps"
    shared, _ = predict(config, prepared, found, GIGABIT, cores=2)
    assert shared.compute == pytest.approx(3.0), "four workers on two cores"
