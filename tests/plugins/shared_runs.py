"""A run of small trainings through driver, ledger and sharing, without Ray; also as a process.

Two trials run by turns, an epoch each: what reports next follows from the ledger alone. As a
process (`python shared_runs.py FOLDER`) it starts or goes on with a run in a folder and prints a
line for each durable report, to be killed at any moment.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayat.config import TrialConfig
from rayat.data.identity import describe, source_key
from rayat.data.prepare import prepare
from rayat.ledger.files import checkpoint_folder
from rayat.ledger.writer import Ledger
from rayat.registry import POLICIES
from rayat.runs.driver import Driver
from rayat.runs.record import view
from rayat.sharing.live import Sharing
from rayat.training.keys import chains
from rayat.training.messages import Report, to_text
from rayat.training.run import run

BASE = {
    "data": {"name": "digits", "train_size": 128, "val_size": 32},
    "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
    "epochs": 4,
    "batch_size": 64,
    "attack": {"name": "pgd", "eps": 0.2, "steps": 1},
    "eval": {"steps": 1},
}
DROP = {"shape": "onedrop", "peak": 0.1}
ARMS = {
    "half": {"lr": {**DROP, "at": 0.5}},
    "half-less": {"lr": {**DROP, "at": 0.5, "factor": 0.3}},
    "late": {"lr": {**DROP, "at": 0.75}},
    "long": {"lr": {**DROP, "at": 0.75}, "epochs": 6},
    "constant": {"lr": {"shape": "constant", "peak": 0.1}},
    "other": {"lr": {"shape": "cosine", "peak": 0.1}},
}
"""From four epochs: 2, 2, 3, 4, 4 and 0 of the constant rate."""


def small_configs(arms: Mapping[str, Any] = ARMS) -> dict[str, TrialConfig]:
    """Return the configuration of each arm, one trial each."""
    return {name: TrialConfig.parse(BASE).replace(changes) for name, changes in arms.items()}


@dataclass
class Place:
    """A trial that runs, in a thread that goes on when it is its turn."""

    config: TrialConfig
    folder: Path
    reported: int
    keep: Mapping[int, str]
    rank: int = 0
    world_size: int = 1
    device: str = "cpu"
    rows: list[dict[str, Any]] = field(default_factory=list)
    over: bool = False

    def __post_init__(self) -> None:
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._dead = False
        self.error: BaseException | None = None
        threading.Thread(target=self._train, daemon=True).start()

    def data(self, source: Any) -> Any:
        return prepared(source)

    def report(self, row: Mapping[str, Any]) -> None:
        self.rows.append(dict(row))
        self._done.release()
        self._go.acquire()
        if self._dead:
            raise SystemExit

    def step(self) -> dict[str, Any] | None:
        """Return the next report; None where there is none any more."""
        self._go.release()
        self._done.acquire()
        if self.error is not None:
            raise self.error
        return None if self.over else self.rows[-1]

    def end(self) -> None:
        """Leave it at its report, as a trial that is stopped."""
        if not self.over:
            self._dead = True
            self._go.release()
            self._done.acquire()

    def _train(self) -> None:
        self._go.acquire()
        try:
            if not self._dead:
                run(self.config, self, self.keep)
        except SystemExit:
            pass
        except BaseException as error:
            self.error = error
        self.over = True
        self._done.release()


PREPARED: dict[str, Any] = {}


def prepared(source: Any) -> Any:
    """Return a source's data, read once."""
    key = source_key(source)
    if key not in PREPARED:
        PREPARED[key] = prepare(source)
    return PREPARED[key]


def shared_run(
    folder: Path,
    configs: Mapping[str, TrialConfig],
    share: bool = True,
    workers: int = 2,
    policy: Mapping[str, Any] | str = "none",
    stop: Callable[[str, int], bool] = lambda trial_id, epoch: False,
    warnings: list[str] | None = None,
    **settings: Any,
) -> dict[str, list[dict[str, Any]]]:
    """Start the run in `folder`, or go on with it; return the rows of each trial.

    Args:
        stop: asked after every durable report; True leaves everything as a kill does.
    """
    exists = (folder / "run.json").exists()
    built = POLICIES.build(policy)
    info = {"metric": "val_robust_acc", "study": {"name": "shared", "policy": built.spec()}}
    with Ledger.open(folder) if exists else Ledger.create(folder, info) as ledger:
        for number, (name, config) in enumerate(configs.items()):
            text = config.canonical()
            ledger.trial(
                name, number, name, config.config_id, config.sha256(), text, 0, config.epochs, 1
            )
        said = [] if warnings is None else warnings
        sharing = Sharing(folder, ledger, dict(configs), warn=said.append, **settings)
        if share:
            data = {source_key(c.data): describe(prepared(c.data)) for c in configs.values()}
            sharing.add(chains(configs, data))
        views = [view(name, config, name) for name, config in configs.items()]
        driver = Driver(ledger, built, views, "val_robust_acc", False, sharing=sharing)
        places: dict[str, Place] = {}
        while True:
            for name in driver.ready():
                if name not in places and len(places) < workers:
                    keep = driver.launch(name)
                    place = checkpoint_folder(folder, name)
                    places[name] = Place(configs[name], place, ledger.reported(name), keep)
                    break  # the next one is asked for again, as Tune does
            else:
                if not places:
                    driver.strand()
                    break
            if len(places) < workers and len(driver.ready()) > len(places):
                continue
            name = min(places, key=ledger.reported)
            row = places[name].step()
            if row is None:
                del places[name]
                driver.settle([name], {})
                sharing.left(name)
                continue
            start = f"here:{id(places[name])}"
            decision = driver.message(name, to_text(Report(row, start)))
            if stop(name, row["epoch"]):
                for each in places.values():
                    each.end()
                return {}
            if decision.action != "continue":
                places.pop(name).end()
                sharing.left(name)
        return {name: list(ledger.reports(name)) for name in configs}


TIMES = ("reported_at", "attempt", "shared_from")


def comparable(rows: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return rows without what may differ: seconds, attempts, and who trained them."""

    def kept(name: str) -> bool:
        return "seconds" not in name and name not in TIMES

    return {t: [{k: v for k, v in r.items() if kept(k)} for r in rs] for t, rs in rows.items()}


def trained(rows: Mapping[str, list[dict[str, Any]]]) -> int:
    """Return how many epochs were trained, others being shared."""
    return sum(row["shared_from"] is None for found in rows.values() for row in found)


def say(trial_id: str, epoch: int) -> bool:
    """Print a durable report."""
    print(trial_id, epoch, flush=True)
    return False


if __name__ == "__main__":
    shared_run(Path(sys.argv[1]), small_configs(), stop=say)
    print("whole", flush=True)
