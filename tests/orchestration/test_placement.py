"""What fits on a cluster, and what is refused before anything starts."""

from __future__ import annotations

import pytest

from rayat.errors import PlacementError
from rayat.orchestration.cluster import Capacity
from rayat.orchestration.placement import Need, concurrency

TWO_CORES = Capacity(cpus=2, gpus=0, nodes=1, largest_cpus=2, largest_gpus=0)
CLUSTER = Capacity(cpus=64, gpus=8, nodes=4, largest_cpus=16, largest_gpus=2)


@pytest.mark.parametrize(
    ("need", "capacity", "expected"),
    [
        (Need(1, 1, 0), TWO_CORES, 2),
        (Need(2, 1, 0), TWO_CORES, 1),
        (Need(1, 0.5, 0), TWO_CORES, 4),
        (Need(1, 1, 0.25), CLUSTER, 32),
        (Need(4, 2, 1), CLUSTER, 2),
        (Need(3, 0.1, 0), Capacity(1.2, 0, 1, 1.2, 0), 4),
    ],
)
def test_concurrency_is_what_all_resources_allow(need, capacity, expected):
    assert concurrency(need, capacity) == expected


@pytest.mark.parametrize(
    ("need", "capacity", "text"),
    [
        (Need(1, 4, 0), TWO_CORES, "a worker needs 4 CPUs but the largest node has 2"),
        (Need(4, 1, 0), TWO_CORES, "4 workers x 1 = 4 CPUs but the cluster has 2"),
        (Need(1, 1, 1), TWO_CORES, "a worker needs 1 GPUs but the largest node has 0"),
        (Need(9, 1, 1), CLUSTER, "9 workers x 1 = 9 GPUs but the cluster has 8"),
    ],
)
def test_what_cannot_be_placed_is_refused_with_the_figures(need, capacity, text):
    with pytest.raises(PlacementError, match=text):
        concurrency(need, capacity)
