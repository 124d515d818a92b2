"""A search and its confirmation without training: known curves through the real driver and ledger.

As a script, `python searches.py FOLDER KILLS`, a driver in a process of its own does both in
FOLDER/killed-1, is killed KILLS times and begun again until it ends by itself; another one does so
undisturbed in FOLDER/whole. Printed is, as JSON, what was acknowledged before the kills.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from ray import tune

from rayat.api.confirming import _refuse_another, _study
from rayat.compare.confirmed import RECOMMENDED, chosen, configuration
from rayat.compare.table import compare
from rayat.config import TrialConfig
from rayat.ledger.files import replace_file
from rayat.ledger.info import RUN
from rayat.ledger.reader import read_run
from rayat.ledger.writer import Ledger
from rayat.policies.groups import recorded
from rayat.runs.driver import Driver
from rayat.runs.extending import missing
from rayat.runs.record import run_info, view
from rayat.runs.search import Search, identity
from rayat.study import Study
from rayat.training.messages import Evaluated, Report, to_text

EPOCHS = 8
PASSES = 100
"""Of each epoch."""
WORKERS = 2
LOADED = ("optuna", "pyarrow.parquet", "pandas", "scipy.special", "rayat.ledger.tables")
NOISE = 0.01
SUITE = {"suite": "pgd-20", "split": "test", "eps": 0.1, "n": 100}
Value = Callable[[TrialConfig, int], float]
Said = Callable[[str], object]


def study(**fields) -> Study:
    """Return a search for speed by two arms beside a control, with a budget and a policy."""
    return Study(
        **{
            "name": "searched",
            "base": {"epochs": EPOCHS},
            "controls": {"constant": {"lr": {"shape": "constant", "peak": 0.001}}},
            "space": {
                "lr.shape": tune.grid_search(["cosine", "linear"]),
                "lr.peak": tune.loguniform(1e-3, 1),
            },
            "nuisance": ("lr.peak",),
            "seeds": (0, 1),
            "draws": 400,
            "budget": "12 kpasses",
            "objective": "cost",
            "search": {"name": "optuna", "batch": 3, "startup": 3},
            "policy": {"name": "median", "grace": 2},
            "target": 0.45,
            "baseline": "arm=constant",
            **fields,
        }
    )


def rises(config: TrialConfig, epoch: int) -> float:
    """Return an accuracy that reaches the target the sooner the nearer the rate is to 0.1."""
    noise = random.Random(f"{config.lr.peak} {config.seed} {epoch}").gauss(0, NOISE)
    slow = 1 + abs(math.log10(config.lr.peak) + 1)
    return 0.6 * (1 - math.exp(-epoch / slow)) + noise


def soonest(live: list[str], ledger: Ledger) -> str:
    """Return the trial that reports next of two workers in step: the ledger alone says which."""
    return min(live[:WORKERS], key=ledger.reported)


def drive(
    ledger: Ledger,
    value: Value = rises,
    said: Said = lambda text: None,
    pick: Callable[[list[str], Ledger], str] = soonest,
    upto: float = math.inf,
) -> None:
    """Go on with a run to its end, or until so many reports came.

    Args:
        value: the metric of a configuration after an epoch. said: told what was acknowledged.
        pick: which of the trials that may run reports next.
    """
    search, configs = Search.of(ledger), {}

    def grow():
        said(f"{ledger.folder.name}-next")
        new = [] if search is None else search.grow()
        configs.update({trial.trial_id: trial.config for trial in new})
        return [view(trial.trial_id, trial.config, trial.arm) for trial in new]

    views = []
    for trial_id, entry in ledger.trials().items():
        configs[trial_id] = TrialConfig.parse(json.loads(entry["config_json"]))
        views.append(view(trial_id, configs[trial_id], entry["arm"]))
    policy = recorded(ledger.info["study"]["policy"])
    driver = Driver(ledger, policy, views, "val_robust_acc", grow=grow)
    while (live := driver.ready()) and upto > 0:
        upto -= 1
        trial_id = pick(live, ledger)
        epoch = ledger.reported(trial_id) + 1
        row = {
            "epoch": epoch,
            "val_robust_acc": value(configs[trial_id], epoch),
            "fwd_passes": PASSES,
        }
        driver.message(trial_id, to_text(Report(row, f"h:{os.getpid()}:{trial_id}")))
        said(f"{ledger.folder.name} {trial_id} {epoch}")
    known = {row["trial_id"] for row in ledger.evaluations()}
    for trial_id in configs:
        if trial_id not in known and ledger.reported(trial_id):
            last = configs[trial_id].epochs
            got = value(configs[trial_id], last)
            row = {**SUITE, "trial_id": trial_id, "checkpoint": "best", "epoch": last}
            rows = [{**row, "robust_acc": got, "clean_acc": got + 0.2}]
            driver.message(trial_id, to_text(Evaluated(rows)))


def searched(folder: Path, asked: Study, value: Value = rises, said: Said = lambda t: None) -> None:
    """Search, or go on with it."""
    said("begin")
    with (
        Ledger.open(folder)
        if (folder / RUN).exists()
        else Ledger.create(folder, run_info(asked, [], None, ["test"]))
    ) as ledger:
        drive(ledger, value, said)


def confirmed(
    search: Path,
    folder: Path,
    value: Value = rises,
    said: Said = lambda text: None,
    top: int = 3,
    seeds: int = 5,
) -> str:
    """Confirm the best of a search, or go on with it; return the answer."""
    asked, origin = _study(read_run(search), search, folder, top, seeds, None, None)
    said("begin")
    if (folder / RUN).exists():
        _refuse_another(folder, search, asked, origin)
        ledger = Ledger.open(folder)
    else:
        ledger = Ledger.create(folder, run_info(asked, [], None, ["test"], origin))
    said("declare")
    with ledger:
        new = missing(folder, ledger.trials(), asked.trials())
        if new:
            ledger.extend(ledger.info, map(identity, new))
        drive(ledger, value, said)
    said("answer")
    run = read_run(folder)
    best = chosen(compare(run).rows)
    if best is not None:
        replace_file(folder / RECOMMENDED, configuration(run, best.arm).encode())
    return compare(run).render()


def life(folder: Path, said: Said) -> None:
    """Search, confirm and keep the answer; what is done already stays done."""
    searched(folder / "search", study(), rises, said)
    text = confirmed(folder / "search", folder / "confirm", rises, said)
    (folder / "answer").write_text(text)


def born(folder: Path, kill_at: int | None) -> tuple[int, list[str]]:
    """Fork one driver and kill it once its n-th word is heard; return its end and its words."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        code = 1
        try:
            life(folder, lambda text: os.write(theirs, f"{text}\n".encode()))
            code = 0
        finally:
            os._exit(code)
    os.close(theirs)
    heard = []
    with os.fdopen(ours) as pipe:
        for line in pipe:
            heard.append(line.strip())
            if len(heard) == kill_at:
                # It did not wait for us: what it does by now is in the middle of something.
                os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), heard


def main(folder: Path, wanted: int) -> None:
    """Do it once undisturbed, then once killed `wanted` times, spread over all of it."""
    for module in LOADED:  # once, not in each driver
        importlib.import_module(module)
    study().sha256()  # with torch
    (folder / "whole").mkdir()
    draw = random.Random(0)
    code, words = born(folder / "whole", None)
    assert code == 0
    kills, rounds = 0, 0
    acknowledged: list[list[str]] = []
    ends: list[str] = []
    while kills < wanted:  # a driver that came to its end before all kills begins another run
        rounds += 1
        place, heard_of, code = folder / f"killed-{rounds}", set(), None
        place.mkdir()
        while code != 0:
            step = draw.randint(1, max(2, len(words) // wanted))
            code, heard = born(place, step if kills < wanted else None)
            assert code in (0, -signal.SIGKILL), f"the driver ended with {code} after {heard[-3:]}"
            if code != 0:
                kills += 1
                ends.append(heard[-1])
            heard_of |= {word for word in heard if " " in word}
        acknowledged.append(sorted(heard_of))
    print(json.dumps({"kills": kills, "acknowledged": acknowledged, "ends": ends}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
