"""B12: two trials of one thread each, against one trial, and against one of two threads."""

from __future__ import annotations

import os
import statistics

from rayat.bench.machine import fast_bf16, load
from rayat.bench.processes import together, workers
from rayat.bench.rows import Bar, BenchRow, measured
from rayat.bench.timing import Settings

WHAT = {
    "a": ("Fashion net PGD-10, trials per second: 2 on 2 cores / 1 on 1 core", Bar(1.8)),
    "b": ("Fashion net PGD-10, trials per second: 2 of 1 thread / 1 of 2 threads", Bar(1.15)),
}


def b12(settings: Settings) -> list[BenchRow]:
    """Compare the wall time of packed and of widened trials, in processes of their own."""
    judged = not settings.quick
    if len(os.sched_getaffinity(0)) < 2:
        reason = "this needs two cores, and one is usable"
        return [
            BenchRow(f"B12.{k}", what, bar=bar, judged=judged, reason=reason)
            for k, (what, bar) in WHAT.items()
        ]
    batch, images = settings.pick(128, 16), settings.pick(512, 32)
    steps = {"batch": batch, "images": images, "device": "cpu"}
    steps["precision"] = "bf16" if fast_bf16() else "fp32"
    with workers(2, threads=1) as pair, workers(1, threads=2) as wide:
        together(pair, {"steps": {**steps, "threads": 1}})
        together(wide, {"steps": {**steps, "threads": 2}})
        go = {"go": settings.pick(3, 1)}
        times: dict[str, list[float]] = {"two": [], "one": [], "wide": []}
        for _ in range(settings.rounds):
            times["two"].append(together(pair, go))
            times["one"].append(together(pair[:1], go))
            times["wide"].append(together(wide, go))
    samples = {
        "a": [2 * one / two for one, two in zip(times["one"], times["two"], strict=True)],
        "b": [2 * wide / two for wide, two in zip(times["wide"], times["two"], strict=True)],
    }
    context = {
        "batch": batch,
        "wall_seconds": {k: round(statistics.median(v), 3) for k, v in times.items()},
        "load": load(),
    }
    return [
        measured(f"B12.{k}", what, samples[k], bar=bar, judged=judged, context=context)
        for k, (what, bar) in WHAT.items()
    ]
