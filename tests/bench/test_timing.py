"""Turns and clocks."""

from __future__ import annotations

import time

import pytest

from rayat.bench.machine import about_machine, fast_bf16
from rayat.bench.timing import QUICK, Settings, clock_of, interleave


def test_every_body_runs_once_untimed_then_once_a_round_by_turns():
    calls, now = [], [0.0]

    def body(name, seconds):
        def run():
            calls.append(name)
            now[0] += seconds

        return run

    seconds = interleave({"a": body("a", 1.0), "b": body("b", 2.0)}, 3, lambda: now[0])
    assert "".join(calls) == "ab" + "ab" + "ba" + "ab"
    assert seconds == {"a": [1.0] * 3, "b": [2.0] * 3}


def test_the_cpu_is_timed_by_cpu_time():
    assert clock_of("cpu") is time.process_time


def test_quick_settings_pick_the_small_size():
    assert (Settings().pick(128, 8), QUICK.pick(128, 8)) == (128, 8)


@pytest.mark.parametrize(
    ("features", "fast"),
    [
        ({"avx2", "avx512f"}, False),
        (set(), False),
        ({"avx512f", "avx512_bf16"}, True),
        ({"amx_bf16"}, True),
        ({"asimd", "bf16"}, True),
    ],
)
def test_only_processors_with_a_unit_for_bf16_are_asked_for_its_speed(features, fast):
    assert fast_bf16(features) is fast


def test_the_machine_is_described_without_its_name():
    about = about_machine()
    assert "host" not in about
    assert about["fast_bf16"] == fast_bf16(set(about["hardware"]["features"]))
    assert len(about["load_average"]) == 3
    assert about["packages"]["torch"]
