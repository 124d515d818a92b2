"""The recorded vectors, the small network in torch, and draws that are read from the record."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "oracles_record", Path(__file__).with_name("record.py")
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RECORD = _load()


@pytest.fixture(scope="session")
def record() -> ModuleType:
    """Return `record.py`."""
    return RECORD


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for `method` and `recorded` each case of the room its module names.

    `recorded` is the method's object with one of its `cases` as `case`. A test that is for some
    methods alone says so in its module's `ONLY[name of the test]`, if there is one.
    """
    if "recorded" not in metafunc.fixturenames:
        return
    module = metafunc.module
    methods = RECORD.read(module.ROOM)
    only = getattr(module, "ONLY", {})
    own = {name for names in only.values() for name in names}
    wanted = only.get(metafunc.function.__name__, sorted(set(methods) - own))
    cases = [
        pytest.param(name, {**methods[name], "case": case}, id=f"{name}-{number}")
        for name in wanted
        for number, case in enumerate(methods[name]["cases"])
    ]
    metafunc.parametrize(("method", "recorded"), cases)


def tensor(values: Any) -> Tensor:
    """Return float64, int64 for whole numbers, or bool."""
    return torch.from_numpy(np.array(values))  # torch itself would read float32


def picture(values: Any) -> Tensor:
    """Return flat images (n, 9) as (n, 1, 3, 3), float64."""
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 1, 3, 3)


def network(weights: dict[str, Any]) -> nn.Sequential:
    """Return `W2 tanh(W1 x + b1) + b2` in float64."""
    first, second = (tensor(weights[name]) for name in ("w1", "w2"))
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(*first.T.shape), nn.Tanh(), nn.Linear(*second.T.shape)
    ).double()
    with torch.no_grad():
        for p, name in zip(model.parameters(), ("w1", "b1", "w2", "b2"), strict=True):
            p.copy_(tensor(weights[name]))
    return model


@pytest.fixture(scope="session")
def torched() -> SimpleNamespace:
    """Return how recorded values become torch's: `tensor`, `picture`, `network`."""
    return SimpleNamespace(tensor=tensor, picture=picture, network=network)


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[dict[str, Any]]], torch.Generator]:
    """Return a function that takes recorded draws and gives the generator that "draws" them.

    What is patched is torch's draw itself: it must be asked for in the record's order, with the
    record's limits and shape, and with this generator.
    """
    generator, script = torch.Generator(), []

    def take(call: str, arguments: tuple[float, ...], given: Any) -> Tensor:
        assert given is generator, f"{call} draws from another generator"
        assert script, f"{call}{arguments} is a draw more than recorded"
        draw = script.pop(0)
        assert draw["call"] == call
        assert list(arguments) == pytest.approx(draw["arguments"], abs=1e-15)
        return tensor(draw["values"])

    def fill(call: str) -> Callable[..., Tensor]:
        def drawn(
            self: Tensor, low: float = 0, high: float = 1, *, generator: Any = None
        ) -> Tensor:
            values = take(call, (low, high), generator)
            assert values.numel() == self.numel()
            return self.copy_(values.view(self.shape))

        return drawn

    def randperm(n: int, *, generator: Any = None) -> Tensor:
        return take("randperm", (n,), generator).long()  # none of none is float

    def randint(high: int, size: tuple[int, ...], *, generator: Any = None) -> Tensor:
        return take("randint", (high, *size), generator)

    def begin(recorded: list[dict[str, Any]]) -> torch.Generator:
        script.extend(recorded)
        monkeypatch.setattr(torch.Tensor, "uniform_", fill("uniform"))
        monkeypatch.setattr(torch.Tensor, "normal_", fill("normal"))
        monkeypatch.setattr(torch, "randperm", randperm)
        monkeypatch.setattr(torch, "randint", randint)
        return generator

    yield begin
    assert not script, f"{len(script)} recorded draws were never asked for"
