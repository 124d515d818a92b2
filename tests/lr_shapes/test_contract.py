"""What every learning-rate shape promises; a new shape is tested by being registered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayat.errors import ConfigError
from rayat.lr_shapes.base import LRShape
from rayat.registry import SHAPES
from rayat.testing import shape_contract

OTHER_FORMS: list[dict[str, Any]] = [
    {"shape": "cyclic", "form": "sawtooth"},
    {"shape": "cyclic", "cycles": 3},
    {"shape": "exponential", "form": "range-test", "ratio": 1e-10},
    {"shape": "linear", "power": 2.5, "until": 0.6},
    {"shape": "trapezoid", "rise": 0.4, "decay": 0.6},
    {"shape": "trapezoid", "rise": 0.0, "decay": 1.0},
    {"shape": "onedrop", "at": 0.75, "factor": 0.0},
]
SPECS = [{"shape": name} for name in SHAPES.names()] + OTHER_FORMS

every_shape = pytest.mark.parametrize(
    "spec", SPECS, ids=[",".join(map(str, spec.values())) for spec in SPECS]
)
progresses = st.floats(0, 1) | st.integers(1, 300).flatmap(
    lambda steps: st.integers(0, steps).map(lambda step: step / steps)
)
histories = st.lists(st.floats(0, 1), max_size=40)


def build(spec: dict[str, Any], **changes: Any) -> LRShape:
    return SHAPES.build({**spec, **changes})


@every_shape
@settings(max_examples=40)
@given(progress=progresses, history=histories)
def test_it_keeps_what_is_asked_of_every_shape(spec, progress, history):
    shape = build(spec, peak=0.3, floor=1e-4, warmup=0.05)
    shape_contract(shape, [progress], [history])
    assert build(spec, warmup=0.25).lr(0.0, 40, history) == 0.0


@every_shape
@settings(max_examples=40)
@given(epochs=st.integers(1, 60), history=histories)
def test_curve_is_the_rate_at_each_epochs_end(spec, epochs, history):
    shape = build(spec, warmup=0.1)
    curve = shape.curve(epochs, history)
    assert len(curve) == epochs
    for epoch in range(1, min(epochs, len(history) + 1) + 1):
        assert curve[epoch - 1] == pytest.approx(shape.lr(epoch / epochs, epochs, history))


@every_shape
def test_a_typo_and_a_floor_above_the_peak_are_refused(spec):
    with pytest.raises(ConfigError, match=r"unknown key 'lr.peek' of lr .* mean 'lr.peak'"):
        build(spec, peek=0.1)
    with pytest.raises(ConfigError, match=r"lr: floor must be at most peak=0.1, got 0.5"):
        build(spec, peak=0.1, floor=0.5)
    with pytest.raises(ConfigError, match=r"lr.peak"):
        build(spec, peak=float("inf"))
