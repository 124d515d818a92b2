"""Where the time of one trial goes: its parts by wall time, and torch's operators by CPU time."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile

from rayat.bench.cases import Case, training
from rayat.bench.context import PlainContext
from rayat.config import TrialConfig
from rayat.data.base import Arrays, Prepared
from rayat.data.prepare import prepare
from rayat.training.counters import PARTS
from rayat.training.epoch import train_epoch
from rayat.training.process import prepare_process
from rayat.training.run import run

# The profiler's library writes to standard error, among others that there is no GPU.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

STEPS_TRACED = 4
"""Training steps that the operators are counted in; a trace of an epoch would fill the memory."""

Send = Callable[[Mapping[str, Any]], object]


@dataclass(frozen=True)
class Profile:
    """One trial's time.

    Attributes:
        epochs: trained. wall: seconds from the start of the body to its end.
        parts: seconds by part: those of the epochs' rows, then `loading` (reading and preparing
            the data), `start` (imports, the network, the optimiser), `reporting` (the reports' way
            to the disk) and `other`, which is the rest.
        operators: name, share of the CPU time, calls per training step; the dearest first.
    """

    epochs: int
    wall: float
    parts: dict[str, float]
    operators: list[tuple[str, float, float]]

    @property
    def shares(self) -> dict[str, float]:
        """Return the share of the wall time that each part takes; they add up to 1."""
        return {name: seconds / self.wall for name, seconds in self.parts.items()}


def profile_trial(
    config: TrialConfig, epochs: int, operators: int = 0, send: Send | None = None
) -> Profile:
    """Run a trial for some epochs in this process and say where its time went.

    Args:
        config: of the trial. epochs: at least 2, they replace its own number.
        operators: how many to list.
        send: what a report costs beyond keeping it, such as a driver's `message`.

    Raises:
        ConfigError, DataError: the configuration and the data do not fit.
    """
    config = config.replace({"epochs": epochs, "workers": 1})
    with tempfile.TemporaryDirectory() as folder:
        context = PlainContext(Path(folder), send=send)
        began = time.perf_counter()
        run(config, context)
        wall = time.perf_counter() - began
    parts: dict[str, float] = {
        part: sum(row[f"{part}_seconds"] for row in context.rows) for part in PARTS
    }
    parts["loading"], parts["reporting"] = context.prepared_seconds, context.report_seconds
    parts["start"] = start_seconds(context, began)
    parts["other"] = max(0.0, wall - sum(parts.values()))
    listed = dearest(config, prepare(config.data), operators) if operators else []
    return Profile(len(context.rows), wall, parts, listed)


def start_seconds(context: PlainContext, began: float) -> float:
    """Return what passed before the first report and stands in no row.

    The first checkpoint comes before the first report, but its seconds stand in the second row.
    """
    first, second = context.rows[:2]
    known: float = first["seconds_cum"] + second["checkpoint_seconds"] + context.prepared_seconds
    return max(0.0, context.first_report_at - began - known)


def dearest(config: TrialConfig, prepared: Prepared, count: int) -> list[tuple[str, float, float]]:
    """Return torch's operators that take most of the CPU time of a few training steps.

    Time inside an operator that it calls counts for that one. The trace itself slows small
    operators down, so shares of networks that are tiny lean towards them.
    """
    prepare_process(config.threads)
    case = Case("traced", config, _first(prepared, STEPS_TRACED * config.batch_size))
    engine = training(case)
    train_epoch(engine, 1)
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        train_epoch(engine, 2)
    events = trace.key_averages()
    total = sum(event.self_cpu_time_total for event in events) or 1.0
    events = sorted(events, key=lambda event: event.self_cpu_time_total, reverse=True)
    return [
        (event.key, event.self_cpu_time_total / total, event.count / engine.steps)
        for event in events[:count]
    ]


def _first(prepared: Prepared, images: int) -> Prepared:
    """Return the data with the first `images` of the training split."""
    rows = Arrays(prepared.train.x[:images], prepared.train.y[:images])
    windows = None if prepared.windows is None else prepared.windows[:images]
    return dataclasses.replace(prepared, train=rows, windows=windows)
