"""The learning-rate shapes against vectors of their formulas (`formulas/shapes.py`)."""

from __future__ import annotations

import pytest

from rayat.registry import SHAPES

ROOM = "shapes"


def test_the_rate_of_every_step(method, recorded):
    case = recorded["case"]
    shape = SHAPES.build({"shape": method, **case["given"]})
    n, rates = len(case["rates"]), case["rates"]
    history = [float(value) for value in case.get("history", [])]
    assert shape.curve(n, history) == pytest.approx(rates, rel=1e-12, abs=1e-16)
    # Asked step by step, in a training of n epochs of one step each.
    for i, rate in enumerate(rates, 1):
        known = history[: i - 1]
        if len(known) == i - 1:
            assert shape.lr(i / n, n, known) == pytest.approx(rate, rel=1e-12, abs=1e-16), i
