"""What fits on a cluster, and what is refused before anything starts."""

from __future__ import annotations

import pytest

from rayat.errors import PlacementError
from rayat.planning.placement import Capacity, Need, Node, concurrency, fitting, waits


def nodes(*each: tuple[float, float]) -> Capacity:
    """Return a cluster of nodes with (CPUs, GPUs)."""
    return Capacity(tuple(Node({"CPU": cpus, "GPU": gpus}) for cpus, gpus in each))


TWO_CORES = nodes((2, 0))
CLUSTER = nodes(*[(16, 2)] * 4)
UNEVEN = nodes((1, 0), (2, 0))


@pytest.mark.parametrize(
    ("need", "capacity", "expected"),
    [
        (Need(1, 1, 0), TWO_CORES, 2),
        (Need(2, 1, 0), TWO_CORES, 1),
        (Need(1, 0.5, 0), TWO_CORES, 4),
        (Need(1, 1, 0.25), CLUSTER, 32),
        (Need(4, 2, 1), CLUSTER, 2),
        (Need(3, 0.1, 0), nodes((1.2, 0)), 4),
        (Need(1, 1.5, 0), UNEVEN, 1),  # 3 CPUs in all, and a worker stands on one node
        (Need(1, 1, 0.6), nodes((8, 2)), 2),  # a share is cut from one GPU
        (Need(2, 3, 0), nodes((5, 0), (5, 0), (2, 0)), 1),
        (Need(1, 1, 1), nodes((8, 0), (1, 2)), 1),  # the GPUs' node has one CPU
    ],
)
def test_nodes_are_packed(need, capacity, expected):
    assert concurrency(need, capacity) == expected


@pytest.mark.parametrize(
    ("need", "capacity", "text"),
    [
        (Need(1, 4, 0), TWO_CORES, r"needs 4 CPUs and no node has that \(1 node has 2 CPUs\)"),
        (Need(4, 1, 0), TWO_CORES, "needs 4 workers of 1 CPU each .* place for 2"),
        (Need(1, 1, 1), TWO_CORES, "needs 1 CPU and 1 GPU and no node has that"),
        (Need(9, 1, 1), CLUSTER, r"place for 8 \(4 nodes have 16 CPUs and 2 GPUs\)"),
        (Need(2, 1.5, 0), UNEVEN, r"place for 1 \(1 node has 1 CPU, 1 node has 2 CPUs\)"),
        (Need(1, 1, 0), Capacity(()), "there is no node"),
    ],
)
def test_what_can_never_be_placed_is_refused_with_the_nodes(need, capacity, text):
    with pytest.raises(PlacementError, match=text):
        concurrency(need, capacity)


def test_every_kind_of_resource_counts():
    has = {"CPU": 8, "memory": 2**31, "licence": 3}
    assert fitting({"CPU": 1, "memory": 2**30}, has) == 2
    assert fitting({"CPU": 1, "licence": 1}, has) == 3
    assert fitting({"CPU": 1, "fpga": 1}, has) == 0


def test_nodes_that_an_autoscaler_may_start_count_up_to_their_number():
    large = Node({"CPU": 8})
    growing = Capacity(nodes((1, 0)).each, ((large, 2),), grows=True)
    assert concurrency(Need(1, 8, 0), growing) == 2
    assert concurrency(Need(2, 8, 0), growing) == 1
    with pytest.raises(PlacementError, match=r"place for 2 .*may start up to 2 of 8 CPUs"):
        concurrency(Need(3, 8, 0), growing)


def test_an_autoscaler_that_does_not_say_what_it_may_start_refuses_nothing_and_is_said():
    growing = Capacity(nodes((1, 0)).each, grows=True)
    assert concurrency(Need(2, 4, 1), growing) == 1
    assert waits(Need(2, 4, 1), growing) == (
        "no place for a trial of 2 x 4 CPUs and 1 GPU yet: 1 node has 1 CPU, an autoscaler may "
        "start more"
    )
    assert waits(Need(1, 1, 0), growing) == ""
