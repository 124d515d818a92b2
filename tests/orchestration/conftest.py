"""Studies small enough to run in seconds."""

from __future__ import annotations

import pytest

import rayat.orchestration  # noqa: F401  (sets Ray's environment before Ray is imported)
from rayat.study import Study

BASE = {
    "data": {"name": "digits", "train_size": 256, "val_size": 64},
    "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
    "epochs": 3,
    "batch_size": 64,
    "attack": {"name": "pgd", "eps": 0.2, "steps": 2},
    "lr.peak": 0.1,
    "eval": {"steps": 2, "final_steps": 3, "final_size": 64},
}


@pytest.fixture(scope="session")
def tiny():
    """Return a maker of tiny digits studies: `tiny(name=..., base={...}, space={...})`."""

    def make(base=None, **fields):
        from rayat.config import merge

        fields = {"name": "tiny", "seeds": (0,), **fields}
        return Study(base=merge(BASE, base or {}), **fields)

    return make
