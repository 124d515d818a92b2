"""The benchmarks of this room, by name: what a run costs beyond its trials."""

from __future__ import annotations

from rayat.bench.driver_cost import o2
from rayat.bench.kills import r1, r2
from rayat.bench.launchers import o5
from rayat.bench.memory import o3
from rayat.bench.sharing import o6
from rayat.bench.suite import Benchmark
from rayat.bench.trials import o1, o4

ORCHESTRATION: dict[str, Benchmark] = {
    "O1": Benchmark("a run through Ray against bare processes", o1),
    "O2": Benchmark("the driver's cost of a report", o2),
    "O3": Benchmark("the memory of trials, and whether they share data", o3),
    "O4": Benchmark("200 trials of a second", o4, "--long"),
    "O5": Benchmark("the launchers of trials with several workers", o5, "--long"),
    "O6": Benchmark("trials that have epochs in common", o6, "--long"),
    "R1": Benchmark("a driver that is killed 100 times", r1, "--long"),
    "R2": Benchmark("ten thousand trials through policy and ledger", r2, "--long"),
}
