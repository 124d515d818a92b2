"""What all tests share: how much is tried, on a machine however slow."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import settings

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.fixture
def size() -> Callable[[int, int], int]:
    """Return a function of (tries for CI, tries for the long run)."""
    return lambda usual, long: long if os.environ.get("RAYAT_LONG") else usual
