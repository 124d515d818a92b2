"""O6: a study whose arms begin alike, with and without epochs that are trained once for several."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from ray import tune

from rayat.api import sweep
from rayat.bench.machine import load
from rayat.bench.rows import Bar, BenchRow, measured
from rayat.bench.timing import Settings
from rayat.bench.trials import CORES, lasting, study_of
from rayat.columns import SHARED_FROM
from rayat.data.identity import describe
from rayat.data.prepare import prepare
from rayat.ledger.reader import read_run
from rayat.ledger.status import Status
from rayat.orchestration.cluster import cluster
from rayat.planning.estimate import estimate
from rayat.sharing.tree import Tree
from rayat.study import Study
from rayat.training.keys import chain

OTHERWISE = (SHARED_FROM, "attempt", "reported_at")
"""What may differ between a row that was trained and one that was shared, besides its seconds."""


def o6(settings: Settings) -> list[BenchRow]:
    """Run a study of drops shared and unshared by turns, a seed at a time, and compare all rows."""
    whole = drops(settings)
    walls: dict[bool, list[float]] = {True: [], False: []}
    rows: dict[bool, list[pd.DataFrame]] = {True: [], False: []}
    for number, seed in enumerate(whole.seeds):
        for share in (True, False) if number % 2 == 0 else (False, True):
            seconds, table = _run(whole.replace(seeds=(seed,), share=share))
            walls[share].append(seconds)
            rows[share].append(table)
    shared, alone = pd.concat(rows[True]), pd.concat(rows[False])
    trained = int(shared[SHARED_FROM].isna().sum())
    ratios = [one / other for one, other in zip(walls[True], walls[False], strict=True)]
    data = describe(prepare(whole.trials()[0].config.data))
    counts = Tree({t.trial_id: chain(t.config, data) for t in whole.trials()}).counts()
    context = {
        "epochs": counts.asked,
        "shared_seconds": [round(s, 1) for s in walls[True]],
        "unshared_seconds": [round(s, 1) for s in walls[False]],
        "load": load(),
    }
    fair: dict[str, Any] = {"judged": not settings.quick, "context": context}
    name = f"{len(whole.trials())} trials of one peak and several drops"
    return [
        measured(
            "O6.a", f"{name}: epochs trained", [trained / len(shared)], bar=Bar(0.55, "<="), **fair
        ),
        measured("O6.b", f"{name}: wall, shared / unshared", ratios, bar=Bar(0.65, "<="), **fair),
        measured(
            "O6.c",
            f"{name}: rows that differ",
            [float(differing(shared, alone))],
            unit="rows",
            bar=Bar(0, "<="),
        ),
        measured(
            "O6.d",
            f"{name}: epochs trained beyond those planned",
            [float(trained - counts.trained)],
            unit="epochs",
            bar=Bar(0, "<="),
        ),
        overhead(settings),
    ]


def drops(settings: Settings) -> Study:
    """Return a study of drop points, factors and lengths at one peak."""
    base = {k: v for k, v in lasting(0.0, 8).tree().items() if k not in ("seed", "lr", "epochs")}
    few = settings.quick
    return Study(
        name="drops",
        base={**base, "lr": {"shape": "onedrop", "peak": 0.1}},
        space={
            "lr.at": tune.grid_search([0.5, 0.75] if few else [0.5, 0.625, 0.75, 0.875]),
            "lr.factor": tune.grid_search([0.1] if few else [0.05, 0.1, 0.3]),
            "epochs": tune.grid_search([4] if few else [8, 16]),
        },
        seeds=(0,) if few else (0, 1, 2),
        stop_collapsed=False,
        final_eval=False,
    )


def overhead(settings: Settings) -> BenchRow:
    """Compare what sharing asks of a study in which nothing can be shared with its training.

    CPU seconds of keys and tree, to those of the epochs as they are estimated.
    """
    config = lasting(0.0, settings.pick(20, 4))
    trials = study_of(config, settings.pick(20, 2)).trials()
    prepared = prepare(config.data)
    data, cost = describe(prepared), estimate(config, prepared)
    began = time.process_time()
    tree = Tree({trial.trial_id: chain(trial.config, data) for trial in trials})
    asked = time.process_time() - began
    assert not tree.forks
    training = sum(cost.trial_seconds(trial.config) for trial in trials)
    what = f"{len(trials)} trials with nothing in common: cost of finding that out / training"
    bar = Bar(0.02, "<=")
    return measured("O6.e", what, [asked / training], bar=bar, judged=not settings.quick)


def differing(one: pd.DataFrame, other: pd.DataFrame) -> int:
    """Return how many rows of two epochs tables differ in any column but seconds and who trained.

    To the bit; a row that only one of them has differs.
    """
    drop = [c for c in one.columns if "seconds" in c or c in OTHERWISE]
    key = ["trial_id", "epoch"]
    tables = [t.drop(columns=drop).set_index(key).sort_index() for t in (one, other)]
    if not tables[0].index.equals(tables[1].index):
        return max(map(len, tables))
    same = (tables[0] == tables[1]) | (tables[0].isna() & tables[1].isna())
    return int((~same.all(axis=1)).sum())


def _run(study: Study) -> tuple[float, pd.DataFrame]:
    """Return the wall seconds of a run on a Ray that is up, and its epochs."""
    with tempfile.TemporaryDirectory() as folder, cluster(cpus=CORES):
        began = time.perf_counter()
        summary = sweep.run(study, Path(folder) / "run")
        seconds = time.perf_counter() - began
        if set(summary.statuses) != {Status.FINISHED}:  # so the work is not the same
            raise RuntimeError(f"trials of the benchmark did not finish: {summary.statuses}")
        return seconds, read_run(Path(folder) / "run").epochs
