from __future__ import annotations

import pytest

from rayat.training.counters import PARTS, Clock


def test_parts_are_timed_apart_and_taken_once(monkeypatch):
    now = iter([0.0, 1.5, 10.0, 10.25, 20.0, 22.0])
    monkeypatch.setattr("rayat.training.counters.time.perf_counter", lambda: next(now))
    clock = Clock()
    for part in ("attack", "train", "attack"):
        with clock.part(part):
            pass
    seconds = clock.take()
    assert seconds["attack"] == pytest.approx(3.5) and seconds["train"] == pytest.approx(0.25)
    assert set(seconds) == set(PARTS)
    assert set(clock.take().values()) == {0.0}


def test_cuda_parts_are_timed_on_the_device():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    clock = Clock("cuda")
    with clock.part("attack"):
        torch.rand(512, 512, device="cuda") @ torch.rand(512, 512, device="cuda")
    assert clock.take()["attack"] > 0
