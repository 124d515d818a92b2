"""No method without a recorded vector, and no vector that its formula does not give."""

from __future__ import annotations

import ast

import pytest

from rayat import registry

ROOMS = {
    "attacks": registry.ATTACKS,
    "exchanges": registry.EXCHANGES,
    "objectives": registry.OBJECTIVES,
    "optimizers": registry.OPTIMIZERS,
    "policies": registry.POLICIES,
    "pruning": registry.PRUNERS,
    "schedules": registry.SCHEDULES,
    "shapes": registry.SHAPES,
}
"""The rooms that have vectors: name of the file under `vectors/`, registry."""
RULED_ELSEWHERE = {"ray"}
"""Methods without a rule of ours: Ray's own schedulers decide."""


@pytest.mark.parametrize("room", ROOMS)
def test_every_method_has_a_vector(room, record):
    names, recorded = set(ROOMS[room].names()) - RULED_ELSEWHERE, record.read(room)
    missing = sorted(names - set(recorded))
    assert not missing, f"{room}: no vector for {missing}; write formulas/{room}.py (CONTRIBUTING)"
    assert not set(recorded) - names, f"{room}: vectors of methods that are no more"
    assert all(recorded.values()), f"{room}: an empty vector"


@pytest.mark.parametrize("room", ROOMS)
def test_recording_again_gives_the_same(room, record):
    same(record.build(room), record.read(room), room)


def test_every_room_that_is_recorded_is_named_here(record):
    assert set(record.rooms()) == set(ROOMS)


def test_the_formulas_know_neither_rayat_nor_torch(record):
    for path in [*record.FORMULAS.glob("*.py"), record.HERE / "record.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in modules:
                assert module.split(".")[0] not in ("rayat", "torch", "ray"), path.name


def same(now, recorded, where):
    """Compare to 1e-12, which another processor's tanh may differ by; all else exactly."""
    assert type(now) is type(recorded), where
    if isinstance(now, dict):
        assert now.keys() == recorded.keys(), where
        for key, value in now.items():
            same(value, recorded[key], f"{where}.{key}")
    elif isinstance(now, list):
        assert len(now) == len(recorded), where
        for number, (one, other) in enumerate(zip(now, recorded, strict=True)):
            same(one, other, f"{where}[{number}]")
    elif isinstance(now, float):
        assert now == pytest.approx(recorded, rel=1e-12, abs=1e-12), where
    else:
        assert now == recorded, where
