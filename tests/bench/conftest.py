"""Torch's global settings, put back after each test."""

from __future__ import annotations

import pytest
import torch

from rayat.bench.timing import Settings


@pytest.fixture(autouse=True)
def process_settings():
    """One thread, as in a benchmark; what was before comes back."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture
def once():
    """Settings of a single round with the sizes of a smoke test."""
    return Settings(rounds=1, quick=True)
