"""How much is tried: enough for every change, or enough for a release (`make torture LONG=1`)."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest


@pytest.fixture
def size() -> Callable[[int, int], int]:
    """Return a function of (tries for CI, tries for the long run)."""
    return lambda usual, long: long if os.environ.get("RAYAT_LONG") else usual
