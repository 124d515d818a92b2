"""Where the first and the last step stand on each curve, as the cards say; what scaling scales."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayat.config import TrialConfig
from rayat.registry import SHAPES

STEPS = 100
ENDS = {
    # the share of the way from floor to peak, first and last
    "accelat": (1.0, 1.0),
    "constant": (1.0, 1.0),
    "cosine": (pytest.approx(1, abs=0.01), 0.0),
    "cyclic": (pytest.approx(2 / STEPS), 0.0),
    "exponential": (pytest.approx(0.01 ** (1 / STEPS)), pytest.approx(0.01)),
    "linear": (pytest.approx(1 - 1 / STEPS), 0.0),
    "onecycle": (pytest.approx(0.1 + 0.9 * 0.01 / 0.4), pytest.approx(0.001)),
    "onedrop": (1.0, pytest.approx(0.1)),
    "piecewise": (1.0, pytest.approx(0.01)),
    "trapezoid": (pytest.approx(1 / (STEPS * 0.1)), 0.0),
}


def config(shape, **changes) -> TrialConfig:
    return TrialConfig.parse({"lr.shape": shape, "lr.peak": 0.5, "lr.floor": 0.0, **changes})


@pytest.mark.parametrize("shape", SHAPES.names())
def test_the_first_and_the_last_step_stand_where_the_card_says(shape):
    first, last = ENDS[shape]
    chosen = config(shape)
    rising = [0.05 * epoch for epoch in range(chosen.epochs)]
    assert chosen.rate(1 / STEPS, rising) / 0.5 == first
    assert chosen.rate(1.0, rising) / 0.5 == last
    card = Path(__file__).parents[2] / "docs" / "methods" / f"lr-{shape}.md"
    if card.is_file():  # not part of every installation
        assert "**First and last step** (step i of n is at progress i/n): " in card.read_text()


@pytest.mark.parametrize(("scaling", "factor"), [("none", 1), ("linear", 4), ("sqrt", 2)])
@pytest.mark.parametrize("shape", SHAPES.names())
def test_scaling_multiplies_the_whole_curve_and_its_floor_too(shape, scaling, factor):
    chosen = config(
        shape,
        **{"lr.floor": 0.05, "lr.warmup": 0.1, "batch_size": 512, "optimizer.scaling": scaling},
    )
    flat = [0.3] * chosen.epochs
    for progress in (0.05, 0.25, 0.5, 0.9, 1.0):
        rate = chosen.lr.lr(progress, chosen.epochs, flat)
        assert chosen.rate(progress, flat) == pytest.approx(factor * rate)
    if shape in ("cosine", "linear", "cyclic", "trapezoid"):
        assert chosen.rate(1.0) == pytest.approx(factor * 0.05)
