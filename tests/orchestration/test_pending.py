"""A trial that has no place says what it waits for, after a while and again."""

from __future__ import annotations

import pytest
import ray
from ray.util.placement_group import placement_group, remove_placement_group

from rayat.orchestration.pending import AGAIN_S, FIRST_S, PERIOD_S, Pending, waiting_text


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_wait_is_said_after_ten_seconds_and_every_minute_and_its_end_once():
    clock, said, found = Clock(), [], {"text": "2 CPUs: ..."}
    pending = Pending(lambda line: said.append((clock.now, line)), lambda: found["text"], clock)
    for clock.now in range(0, 151, int(PERIOD_S)):
        pending.tick()
    assert [at for at, _ in said] == [FIRST_S, FIRST_S + AGAIN_S, FIRST_S + 2 * AGAIN_S]
    assert said[0][1] == "waiting for 2 CPUs: ..."
    found["text"] = None
    for clock.now in range(160, 300, int(PERIOD_S)):
        pending.tick()
    assert said[3:] == [(160, "what was waited for is there")]


def test_a_short_wait_and_a_silent_cluster_say_nothing():
    clock, said = Clock(), []
    looks = iter(["1 CPU", "1 CPU", None, *["1 CPU"] * 3])
    pending = Pending(said.append, lambda: next(looks), clock)  # then it raises StopIteration
    for clock.now in range(0, 100, int(PERIOD_S)):
        pending.tick()
    assert said == []


@pytest.mark.parametrize(
    ("bundles", "others", "text"),
    [
        ([{"CPU": 1.5}] * 2, {"CPU": 0}, "2 workers of 1.5 CPUs each: N, none in use by others"),
        ([{"CPU": 2.0}], {"CPU": 3, "GPU": 0}, "2 CPUs: N, 3 CPUs in use by others"),
    ],
)
def test_the_sentence(bundles, others, text):
    assert waiting_text(bundles, "N", others) == text


@pytest.mark.slow
def test_a_group_without_a_place_is_found_with_what_others_hold(local_ray):
    """Another holds both CPUs, outside this job's placement groups."""
    said = []
    clock = Clock()
    pending = Pending(said.append, clock=clock)

    @ray.remote(num_cpus=2)
    class Other:
        def here(self) -> bool:
            return True

    other = Other.remote()
    assert ray.get(other.here.remote())
    group = placement_group([{"CPU": 2}])
    try:
        while not said:
            clock.now += FIRST_S
            pending.tick()
        assert said[0] == "waiting for 2 CPUs: 1 node has 2 CPUs, 2 CPUs in use by others"
        ray.kill(other)
        ray.get(group.ready())
        clock.now += FIRST_S
        pending.tick()
        assert said[1:] == ["what was waited for is there"]
    finally:
        remove_placement_group(group)
