"""A run that becomes a larger one: what may grow, what contradicts, which trials are missing.

Only seeds, draws and arms may grow. Everything that says how a trial is trained, judged or measured
must be as the run has it, so that old and new rows belong to one study.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rayat.errors import LedgerError, StudyError, quoted
from rayat.layers import flatten
from rayat.ledger.provenance import describe_environment
from rayat.ledger.reader import read_run
from rayat.ledger.writer import Ledger
from rayat.registry import POLICIES
from rayat.runs.resuming import refuse_merged
from rayat.search.plan import Trial
from rayat.study import Study

EXTENSIONS = "extensions"
"""The key of `run.json` that lists what was added to the run, in the order of the commands."""
FREE = ("description", "max_failures", "share")
"""Fields of a study that may change: no number depends on them."""
RULE = "a run grows by seeds, draws and arms alone"
UNSET = object()


@dataclass
class Growth:
    """What a study has that its run has not; all empty: nothing.

    Attributes:
        seeds, arms: those that are new. values: new values by scientific axis.
        draws: (then, now) where they grew.
    """

    seeds: list[int] = field(default_factory=list)
    arms: list[str] = field(default_factory=list)
    values: dict[str, list[Any]] = field(default_factory=dict)
    draws: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        return bool(self.seeds or self.arms or self.values or self.draws)

    def record(self) -> dict[str, Any]:
        """Return what `run.json` keeps of it."""
        found = {"seeds": self.seeds, "arms": self.arms, "values": self.values}
        kept: dict[str, Any] = {name: value for name, value in found.items() if value}
        return {**kept, **({"draws": list(self.draws)} if self.draws else {})}


def growth(folder: Path, held: Mapping[str, Any], study: Study) -> Growth:
    """Return by what a study is larger than the one that a run holds.

    Args:
        held: what `run.json` says.

    Raises:
        LedgerError: the run was imported.
        StudyError: the study contradicts the run; the text names the field and both values.
    """
    if "imported" in held:
        raise LedgerError(f"{folder} was imported: nothing can be trained there; choose another")
    before, after = complete(held["study"]), complete(study.tree())
    found = Growth()
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, UNSET), after.get(name, UNSET)
        if old == new or name in FREE or name == "only":  # arms are compared by their trials
            continue
        if name == "seeds":
            _refuse(folder, name, old, new, "give the run's seeds too", all(s in new for s in old))
            found.seeds = [seed for seed in new if seed not in old]
        elif name == "draws":
            _refuse(folder, name, old, new, "give at least as many", new >= old)
            found.draws = (old, new)
        elif name in ("arms", "controls"):
            found.arms += _new_arms(folder, name, old, new)
        elif name == "space":
            found.values = _new_values(folder, old, new, after["scientific"])
        else:
            refuse_difference(folder, name, old, new)
    if "search" in held:  # its trials are not known beforehand, its arms are
        _refuse_fewer(folder, held["search"]["arms"], study.plan().arms)
    if found and "search" in held:
        _refuse_search(folder, held["search"], found, study)
    if found:
        refuse_merged(folder, held)
    if found.seeds and study.policy.closed(study.ends):
        raise StudyError(
            f"{folder}: its policy {study.policy.kind!r} has judged which arms can still be called "
            f"faster by {len(before['seeds'])} seeds, so seeds {found.seeds} cannot be added; run "
            'all of them into another folder, or ask for the cost alone (ends="at-target")'
        )
    if found and study.policy.pauses:
        raise StudyError(
            f"{folder}: its policy {study.policy.kind!r} has ranked all trials of the run at once, "
            f"so none can be added; run what is missing into another folder, and compare the two "
            f"by `rayat compare {quoted(folder)} OTHER`"
        )
    return found


def complete(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored study with the defaults of fields that it does not name."""
    defaults = {}
    for name, each in Study.model_fields.items():
        value = each.get_default(call_default_factory=True)
        defaults[name] = list(value) if isinstance(value, tuple) else value
    defaults["search"] = {"name": "random"}
    required = ("name", "scientific", "nuisance", "policy")
    return {**{k: v for k, v in defaults.items() if k not in required}, **tree}


def _refuse(
    folder: Path, name: str, old: object, new: object, cure: str = "", unless: bool = False
) -> None:
    """Refuse a field that contradicts what the run has."""
    if unless:
        return
    raise StudyError(
        f"{folder} holds a run with {name} {shown(old)}, and the study has {shown(new)}: {RULE}; "
        f"{cure + ', or ' if cure else ''}choose another folder with --out"
    )


def refuse_difference(folder: Path, name: str, old: Any, new: Any) -> None:
    """Refuse two values that differ, with the first of their parts in which they do."""
    _refuse(folder, *first_difference(name, old, new))


def first_difference(name: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    """Return the first part in which two values differ: its dotted name and both values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            one, other = old.get(key, UNSET), new.get(key, UNSET)
            if one != other:
                return first_difference(f"{name}.{key}", one, other)
    return name, old, new


def shown(value: object) -> str:
    """Return a value of a study for a person, its beginning where it is long."""
    if value is UNSET or value is None:
        return "not set"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _new_arms(
    folder: Path, field: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> list[str]:
    if not old and field == "arms":
        _refuse(folder, "arms", None, list(new), "every label of an arm would change")
    for name, changes in old.items():
        if new.get(name, UNSET) != changes:
            refuse_difference(folder, f"{field}.{name}", changes, new.get(name, UNSET))
    return [name for name in new if name not in old]


def _new_values(
    folder: Path, old: Mapping[str, Any], new: Mapping[str, Any], scientific: Sequence[str]
) -> dict[str, list[Any]]:
    found = {}
    for axis in dict.fromkeys([*old, *new]):
        one, other = old.get(axis, UNSET), new.get(axis, UNSET)
        if one == other:
            continue
        then, now = grid(one), grid(other)
        if not then or not now or axis not in scientific:
            _refuse(folder, f"space.{axis}", one, other)
        kept = all(value in now for value in then)
        _refuse(folder, f"space.{axis}", then, now, "give the run's values too", kept)
        found[axis] = [value for value in now if value not in then]
    return {axis: values for axis, values in found.items() if values}


def grid(domain: object) -> list[Any]:
    """Return the values of a `grid_search`; none of anything else."""
    return list(domain.get("grid_search") or ()) if isinstance(domain, Mapping) else []


def _refuse_search(folder: Path, search: Mapping[str, Any], found: Growth, study: Study) -> None:
    """Refuse what would change the values that a search has made its proposals from."""
    if search.get("budget") is not None:
        raise StudyError(
            f"{folder}: its search spends a budget of {search['budget']}, of which each arm has "
            "its share, so nothing can be added; run a larger search into another folder"
        )
    if found.seeds:
        raise StudyError(
            f"{folder}: search {study.search.kind!r} has proposed its points from what seeds "
            f"{search['seeds']} reached, so seeds {found.seeds} cannot be added; train its best "
            f"on fresh seeds by `rayat confirm {quoted(folder)}`"
        )


def missing(
    folder: Path,
    held: Mapping[str, Mapping[str, Any]],
    trials: Sequence[Trial],
    asked_for: Collection[str] = (),
) -> list[Trial]:
    """Return the trials that a run lacks, in the study's order, numbered behind those it has.

    Args:
        held: the declarations of the run's trials. trials: all of the study.
        asked_for: trials of the run that are not the study's: looks have asked for them.

    Raises:
        StudyError: a trial of the run is none of the study.
    """
    asked = {(trial.arm, trial.config.sha256()): trial for trial in trials}
    for trial_id, entry in held.items():
        known_here = (entry["arm"], entry["config_sha256"]) in asked
        if not known_here and trial_id not in asked_for:
            _refuse_stranger(folder, trial_id, entry, trials)
    known = {(entry["arm"], entry["config_sha256"]) for entry in held.values()}
    start = 1 + max((int(entry["trial_index"]) for entry in held.values()), default=-1)
    new = [trial for key, trial in asked.items() if key not in known]
    return [Trial.of(start + n, t.arm, t.draw, t.config) for n, t in enumerate(new)]


def lacking(folder: Path, study: Study, trials: Sequence[Trial]) -> tuple[int, list[Trial]]:
    """Return how many trials a run has, and those of a study that it lacks; nothing is changed.

    Args:
        trials: those that the study is expected to have.

    Raises: like `growth`, and `LedgerError` for a folder that cannot be read.
    """
    run = read_run(folder)
    growth(folder, run.info, study)
    if "search" in run.info:  # which ones it will propose nobody knows
        return len(run.trials), list(trials[len(run.trials) :])
    records = run.trials.to_dict("records")
    held = {str(each["trial_id"]): {str(k): v for k, v in each.items()} for each in records}
    return len(held), missing(folder, held, trials)


def _refuse_fewer(folder: Path, held: Iterable[str], asked: Collection[str]) -> None:
    """Refuse a study that lacks an arm of the run, or calls it otherwise."""
    for arm in held:
        if arm not in asked:
            raise StudyError(
                f"{folder} holds a run of arm {arm!r}, which is not among the arms asked for: "
                f"{RULE}; name it too, or choose another folder with --out"
            )


def _refuse_stranger(
    folder: Path, trial_id: str, entry: Mapping[str, Any], trials: Sequence[Trial]
) -> None:
    arm, seed = entry["arm"], entry["seed"]
    _refuse_fewer(folder, [arm], [trial.arm for trial in trials])
    near = [t.config.flat() for t in trials if t.arm == arm and t.config.seed == seed]
    if len(near) == 1:
        old = flatten(json.loads(entry["config_json"]))
        for key in dict.fromkeys([*old, *near[0]]):
            if old.get(key, UNSET) != near[0].get(key, UNSET):
                what = f"{key} of trial {trial_id} ({arm})"
                _refuse(folder, what, old.get(key, UNSET), near[0].get(key, UNSET))
    raise StudyError(
        f"{folder} holds trial {trial_id} ({arm}, seed {seed}), which is none of the study's: "
        "something that the study computes (such as a sample_from) has changed, or rayat's "
        "defaults have; choose another folder with --out"
    )


def larger(
    ledger: Ledger,
    fresh: Mapping[str, Any],
    data: Sequence[Mapping[str, Any]],
    grown: Growth,
    trials: int | None,
) -> dict[str, Any]:
    """Return what `run.json` says of the larger run: as before, with the larger study.

    Args:
        fresh: what a new run of the study would say (`record.run_info`).
        data: of the larger run. trials: how many it has; None where a search proposes them.
    """
    held, before = ledger.info, len(ledger.trials())
    entry = {
        "time": describe_environment()["time"],
        "command": fresh["command"],
        "environment": fresh["environment"],
        "cluster": fresh["cluster"],
        "grew": grown.record(),
        "trials": {"before": before, "after": trials},
        "note": ranked_apart(held["study"]["policy"], before) if ledger.state.observed else "",
    }
    kept = {key: fresh[key] for key in ("study", "study_sha256", "search") if key in fresh}
    return {**held, **kept, "data": list(data), EXTENSIONS: [*held.get(EXTENSIONS, ()), entry]}


def ranked_apart(policy: Mapping[str, Any], trials: int) -> str:
    """Return what to know of a policy that compares trials; empty for one that does not."""
    built = POLICIES.build(policy)
    if built.alone:
        return ""
    return (
        f"policy {built.kind} judged what the first {trials} trials had reported without the "
        "later ones, so it may have stopped others than in a run that was whole from the start"
    )
