"""A small table of curves, made in memory."""

from __future__ import annotations

import pytest

from rayat.replay.curves import table_curves
from rayat.replay.synthetic import synthetic


@pytest.fixture(scope="session")
def table():
    return synthetic(trials=18, epochs=20, seed=4)


@pytest.fixture(scope="session")
def curves(table):
    return table_curves(table, {}, "synthetic")
