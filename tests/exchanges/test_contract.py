"""What every registered exchange promises; several workers are in tests/distributed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from rayat.config import TrialConfig
from rayat.errors import ConfigError
from rayat.exchanges.base import GradientExchange, bytes_per_step
from rayat.registry import EXCHANGES, MODELS
from rayat.testing import exchange_contract

RESNET18 = [p.shape for p in MODELS.build("preactresnet18").build((3, 32, 32), 10, 0).parameters()]
SMALL = [p.shape for p in MODELS.build("preactresnet").build((1, 8, 8), 10, 0).parameters()]
FASHION = [
    p.shape
    for p in MODELS.build({"name": "preactresnet", "blocks": [1, 1, 1], "stem_stride": 2})
    .build((1, 28, 28), 10, 0)
    .parameters()
]


@pytest.fixture(params=EXCHANGES.names())
def part(request: pytest.FixtureRequest) -> GradientExchange:
    return EXCHANGES.build(request.param)


def test_it_keeps_what_is_asked_of_every_exchange(part):
    exchange_contract(part)


def test_a_worker_sends_less_than_it_would_to_everyone(part):
    """Traffic per worker must not grow with their number."""
    few, many = (bytes_per_step(part, RESNET18, world) for world in (8, 64))
    assert many < 1.2 * few


def test_the_plain_mean_is_a_ring_of_trained_weights():
    none = EXCHANGES.build("none")
    assert bytes_per_step(none, [(9, 11)], 2) == 9 * 11 * 4
    assert bytes_per_step(none, [(9, 10), (9,)], 4) == 9 * 11 * 4 * 2 * 3 // 4


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_half_precision_halves_the_bytes(name):
    for world in (2, 5, 64):
        half = bytes_per_step(EXCHANGES.build(name), RESNET18, world)
        assert half == pytest.approx(bytes_per_step(EXCHANGES.build("none"), RESNET18, world) / 2)


@pytest.mark.parametrize(
    "shapes", [RESNET18, FASHION, SMALL], ids=["resnet18", "fashion", "digits"]
)
def test_seven_bits_send_at_most_27_percent_for_any_number_of_workers(shapes):
    none, qsgd = EXCHANGES.build("none"), EXCHANGES.build({"name": "qsgd", "bits": 7})
    for world in range(2, 65):
        share = bytes_per_step(qsgd, shapes, world) / bytes_per_step(none, shapes, world)
        assert 0.25 <= share <= 0.27, world


def test_the_documented_table_is_what_is_sent():
    page = Path(__file__).parents[2] / "docs" / "distributed.md"
    rows = [line.strip("| \n").split(" | ") for line in page.read_text().splitlines()]
    rows = [row for row in rows if len(row) == 8 and row[0].isdigit()]
    columns = [
        EXCHANGES.build(spec)
        for spec in (
            "none",
            "fp16",
            "powersgd",
            "qsgd",
            {"name": "qsgd", "bits": 4},
            {"name": "qsgd", "sides": 1},
            {"name": "qsgd", "sides": 1, "scheme": "gather"},
        )
    ]
    assert [int(row[0]) for row in rows] == [2, 3, 4, 8, 16, 32, 64]
    for world, *cells in rows:
        sent = [bytes_per_step(part, RESNET18, int(world)) for part in columns]
        assert cells == [f"{value / 1e6:.2f}" for value in sent]


def test_a_configuration_names_its_exchange_and_refuses_what_is_none():
    config = TrialConfig.parse({"exchange.name": "qsgd", "exchange.bits": 4, "workers": 4})
    assert config.exchange == EXCHANGES.build({"name": "qsgd", "bits": 4})
    assert TrialConfig.parse({}).exchange == EXCHANGES.build("none")
    for value, text in [
        ({"exchange": "qsdg"}, "unknown exchange 'qsdg' (did you mean 'qsgd'?)"),
        ({"exchange": {"name": "qsgd", "bits": 9}}, "exchange.bits: "),
        ({"exchange": {"name": "qsgd", "sides": 3}}, "exchange.sides: "),
        ({"batch_norm": "none"}, "batch_norm: "),
    ]:
        with pytest.raises(Exception) as error:
            TrialConfig.parse(value)
        assert text in str(error.value)


def test_a_memory_is_refused_where_weights_are_perturbed(part):
    config = {"exchange": part, "weights.awp": 0.01, "workers": 2}
    assert part.remembers == (part.kind == "powersgd")
    if part.remembers:
        with pytest.raises(ConfigError, match=r"adds what it left out.*or weights.awp=0"):
            TrialConfig.parse(config)
    else:
        assert TrialConfig.parse(config).exchange == part
    with pytest.raises(ConfigError, match="adds what it left out"):
        TrialConfig.parse({**config, "exchange": {"name": "qsgd", "error_feedback": True}})
    with pytest.raises(ConfigError, match=r"batch_norm must be mean or local with weights\.awp"):
        TrialConfig.parse({**config, "exchange": "none", "batch_norm": "sync"})


def test_only_ddps_own_mean_needs_no_hook(part):
    from rayat.distributed.exchange import Exchange

    reducer = part.reducer([nn.Parameter(torch.zeros(3, 4))], Exchange(0, 2))
    assert (reducer is None) == (part.kind == "none")
    if reducer is not None:
        reducer.begin(torch.Generator(), torch.Generator())
        state = reducer.state_dict()
        reducer.load_state_dict(state)
        assert reducer.state_dict().keys() == state.keys()
