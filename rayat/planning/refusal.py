"""What a run would fail of in its first steps, found before Ray is started."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rayat.columns import Declared, add
from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.data.identity import source_key
from rayat.data.prepare import prepare
from rayat.errors import RayatError
from rayat.own.parts import OwnParts, gather
from rayat.planning.estimate import cost_key
from rayat.planning.rehearsal import rehearse
from rayat.planning.searching import searching
from rayat.search.plan import Trial
from rayat.study import Study

SECONDS = 30.0
"""Most time that a run spends on it; a plan measures every configuration anyway."""


def refuse_what_fails(
    study: Study,
    trials: Sequence[Trial],
    local: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Prepared]:
    """Try one step of every distinct configuration; return the data that was read for it.

    Configurations that name other methods come first, so that where the time does not suffice
    those are left out that differ from a tried one in a number alone.

    Args:
        trials: those that are known before the start. local: all workers share this machine.

    Raises:
        StudyError, ConfigError, DataError: what fails, with the trial and its arm.
    """
    own_parts(study, trials)
    refuse_other_columns(trials)
    searching(study)
    data: dict[str, Prepared] = {}
    began = clock()
    for number, trial in enumerate(_distinct(trials)):
        if number and clock() - began > SECONDS:
            break
        with named(trial):
            config, key = trial.config, source_key(trial.config.data)
            if key not in data:
                data[key] = prepare(config.data)
            rehearse(config, data[key], config.workers if local else 1)
    return data


def refuse_other_columns(trials: Iterable[Trial]) -> None:
    """Refuse two trials whose methods declare one report column differently.

    Raises:
        ConfigError: with the later trial, the column and both methods.
    """
    known: dict[str, Declared] = {}
    for trial in trials:
        with named(trial):
            for column in trial.config.declared_columns().values():
                add(known, column)


def own_parts(study: Study, trials: Sequence[Trial]) -> OwnParts:
    """Return what the run has to keep of methods that are not rayat's. Raises like `gather`."""
    return gather([study, *(trial.config for trial in trials)])


def _distinct(trials: Sequence[Trial]) -> list[Trial]:
    """Return the first trial of every distinct cost, those first that name new methods."""
    firsts: dict[str, Trial] = {}
    for trial in trials:
        firsts.setdefault(cost_key(trial.config), trial)
    seen: set[str] = set()
    early: list[Trial] = []
    late: list[Trial] = []
    for trial in firsts.values():
        kinds = _names(trial.config)
        (late if kinds in seen else early).append(trial)
        seen.add(kinds)
    return early + late


def _names(config: TrialConfig) -> str:
    """Return everything of a configuration that is no real number."""
    flat = {k: v for k, v in config.flat().items() if not isinstance(v, float) and k != "seed"}
    return repr(sorted(flat.items(), key=lambda item: item[0]))


@contextmanager
def named(trial: Trial) -> Iterator[None]:
    """Say in a refusal which trial it is of."""
    try:
        yield
    except RayatError as error:
        text = f"trial {trial.trial_id} ({trial.arm}) cannot run: {error}"
        raise type(error)(text) from error
