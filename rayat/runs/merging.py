"""Runs of one study as one: which study, which trials, and what must not contradict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rayat.compare.beside import data_of, labels, source_of
from rayat.compare.intervals import UNTIL
from rayat.errors import DataError, LedgerError, StudyError, quoted
from rayat.ledger.files import located
from rayat.ledger.merging import MERGED, Held, Part, merged, write_merged
from rayat.ledger.provenance import describe_environment, machines
from rayat.ledger.schema import EPOCHS
from rayat.ledger.state import PASSES
from rayat.own.parts import KEY
from rayat.policies.question import AT_END
from rayat.registry import POLICIES
from rayat.runs.extending import EXTENSIONS, FREE, UNSET, complete, first_difference, grid, shown

EXACT = tuple(
    name
    for name in EPOCHS.names
    if name.endswith("_acc") or name in PASSES or name in ("samples", "comm_bytes")
)
"""What two reports of one epoch must share: counts and accuracies."""

Identity = tuple[str, str]
"""A trial's arm and the hash of its configuration, seed included."""


def merge(folders: Sequence[str | Path], out: str | Path, command: Sequence[str]) -> Path:
    """Write runs of one study as one run and return its folder.

    Args:
        folders: at least two. out: a folder that is not there, or an empty one.

    Raises:
        StudyError: runs of different studies, or a trial of which they hold different rows.
        DataError: the data differ. LedgerError: a folder that is no run, is written or is damaged;
            `out` holds something. Nothing was written.
    """
    place = located(out)
    if len(folders) < 2:
        raise StudyError("merge takes at least two runs")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise LedgerError(f"{place} holds something already; merge into a new folder")
    runs = [Held.read(folder) for folder in folders]
    names = labels([run.folder for run in runs])
    for number, run in enumerate(runs):
        if run.folder in [other.folder for other in runs[:number]]:
            raise StudyError(f"{run.folder} is given twice; name each run once")
        _refuse_unfit(run)
    study = united([complete(run.info["study"]) for run in runs], names)
    _refuse_closed(runs[0].folder, study)
    parts = _parts(runs, names)
    info = {
        "study": study,
        "study_sha256": None,
        "metric": runs[0].info["metric"],
        "data": _data(runs, names),
        "environment": describe_environment(),
        "cluster": None,
        "command": list(command),
        "origin": {
            MERGED: [_record(part) for part in parts],
            "machines": machines(
                {n: r.info.get("environment") or {} for n, r in zip(names, runs, strict=True)}
            ),
        },
        **_own_parts(runs, names),
    }
    write_merged(place, info, parts)
    return place


def _refuse_unfit(run: Held) -> None:
    for key, why in (
        ("imported", "was imported"),
        (UNTIL, "has added its seeds by its own verdicts"),
        ("search", "has proposed its trials from its own results, as a search of its own"),
    ):
        if key in run.info:
            raise StudyError(
                f"{run.folder} {why}, so it cannot be a part of another run; set it beside the "
                f"others by `rayat compare {quoted(run.folder)} OTHER`"
            )
    if merged(run.info) and not POLICIES.build(run.info["study"]["policy"]).alone:
        raise StudyError(
            f"{run.folder} was merged itself, of runs that their policy judged apart; merge its "
            f"parts: {', '.join(quoted(part['run']) for part in merged(run.info))}"
        )


def _refuse_closed(folder: Path, study: Mapping[str, Any]) -> None:
    policy = POLICIES.build(study.get("policy", "none"))
    if policy.closed(study.get("ends", AT_END)):
        raise StudyError(
            f"{folder}: its policy {policy.kind!r} has judged which arms can still be called "
            "faster by the seeds of its own run, so it cannot be a part of another; run all "
            'of them into one folder, or ask for the cost alone (ends="at-target")'
        )


def united(studies: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """Return the smallest study of which all are parts.

    Raises:
        StudyError: they differ in a field that may not grow, with both values.
    """
    found = dict(studies[0])
    for name, study in zip(names[1:], studies[1:], strict=True):
        for key in dict.fromkeys([*found, *study]):
            old, new = found.get(key, UNSET), study.get(key, UNSET)
            if old == new or key in FREE:
                continue
            if key == "seeds":
                found[key] = [*old, *(seed for seed in new if seed not in old)]
            elif key == "draws":
                found[key] = max(old, new)
            elif key == "only":
                found[key] = [*dict.fromkeys([*old, *new])] if old and new else []
            elif key in ("arms", "controls") and old and new:
                both = [arm for arm in old if arm in new]
                mine, theirs = ({arm: each[arm] for arm in both} for each in (old, new))
                _refuse_apart(names[0], name, key, mine, theirs)
                found[key] = {**old, **new}
            elif key == "space":
                found[key] = _spaces(old, new, found["scientific"], names[0], name)
            else:
                _refuse_apart(names[0], name, key, old, new)
    return found


def _spaces(
    old: Mapping[str, Any], new: Mapping[str, Any], scientific: Sequence[str], one: str, other: str
) -> dict[str, Any]:
    found = dict(old)
    for axis in dict.fromkeys([*old, *new]):
        mine, theirs = old.get(axis, UNSET), new.get(axis, UNSET)
        if mine == theirs:
            continue
        first, second = grid(mine), grid(theirs)
        if not first or not second or axis not in scientific:
            _refuse_apart(one, other, f"space.{axis}", mine, theirs)
        found[axis] = {"grid_search": [*first, *(v for v in second if v not in first)]}
    return found


def _refuse_apart(one: str, other: str, name: str, old: Any, new: Any) -> None:
    if old == new:
        return
    where, mine, theirs = first_difference(name, old, new)
    raise StudyError(
        f"{one} and {other} are runs of different studies, as {where} is {shown(mine)} in the one "
        f"and {shown(theirs)} in the other; set them side by side by `rayat compare`"
    )


def _parts(runs: Sequence[Held], names: Sequence[str]) -> list[Part]:
    """Return what is taken from each run: a trial that several hold once, from the furthest."""
    owners: dict[Identity, int] = {}
    for number, run in enumerate(runs):
        for trial_id, identity in identities(run).items():
            before = owners.get(identity)
            if before is None:
                owners[identity] = number
                continue
            other = runs[before]
            twin = next(t for t, each in identities(other).items() if each == identity)
            refuse_contradiction((names[before], other, twin), (names[number], run, trial_id))
            if _reach(run, trial_id) > _reach(other, twin):
                owners[identity] = number
    ids: dict[Identity, tuple[str, int]] = {}
    for number, run in enumerate(runs):
        for trial_id, identity in identities(run).items():
            if owners[identity] == number:
                entry = run.state.trials[trial_id].declared
                name = f"{len(ids):04d}-{entry['config_id'][:8]}-s{entry['seed']}"
                ids[identity] = name, len(ids)
    return [
        Part(
            run,
            {t: ids[identity][0] for t, identity in identities(run).items()},
            {t: ids[i][1] for t, i in identities(run).items() if owners[i] == number},
        )
        for number, run in enumerate(runs)
    ]


def identities(run: Held) -> dict[str, Identity]:
    """Return what each trial of a run is, whatever its number, in the order of its numbers."""
    trials = sorted(run.state.trials.values(), key=lambda t: t.declared["trial_index"])
    declared = [trial.declared for trial in trials]
    return {each["trial_id"]: (each["arm"], each["config_sha256"]) for each in declared}


def _reach(run: Held, trial_id: str) -> tuple[bool, int, int]:
    """Return how far a trial got: one that ended soundly, then epochs, then final evaluations."""
    trial = run.state.trials[trial_id]
    tested = sum(row["trial_id"] == trial_id for row in run.state.evals.values())
    return trial.status.is_measurable, trial.last, tested


def refuse_contradiction(one: tuple[str, Held, str], other: tuple[str, Held, str]) -> None:
    """Refuse two records of one trial whose counts or accuracies differ, with both values.

    Args:
        one, other: the run's name, the run, the trial's id there.

    Raises:
        StudyError: with the epoch or evaluation, the column and both values.
    """
    (first, a, mine), (second, b, theirs) = one, other
    trials = a.state.trials[mine], b.state.trials[theirs]
    arm, seed = trials[0].declared["arm"], trials[0].declared["seed"]

    def refuse(where: str, column: str, values: Sequence[object]) -> None:
        raise StudyError(
            f"{first} and {second} both hold {arm} with seed {seed} and contradict each other: "
            f"{column} {where} is {values[0]} in {first} and {values[1]} in {second}; leave one "
            "run out"
        )

    for rows in zip(*(trial.rows() for trial in trials), strict=False):
        for column in EXACT:
            values = [row.get(column) for row in rows]
            if values[0] != values[1]:
                refuse(f"after epoch {rows[0]['epoch']}", column, values)
    if all(trial.status.is_measurable for trial in trials):
        ends = [f"{trial.status} after epoch {trial.last}" for trial in trials]
        if ends[0] != ends[1]:
            refuse("at its end", "its status", ends)
    tests = [_tests(run, trial_id) for run, trial_id in ((a, mine), (b, theirs))]
    for key in tests[0].keys() & tests[1].keys():
        for column in ("clean_acc", "robust_acc"):
            values = [each[key].get(column) for each in tests]
            if values[0] != values[1]:
                refuse(f"of {key[0]} by {key[1]}", column, values)


def _tests(run: Held, trial_id: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {key[1:]: row for key, row in run.state.evals.items() if row["trial_id"] == trial_id}


def _data(runs: Sequence[Held], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the data sets of all trials, in the order in which they name them."""
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    rest: dict[str, dict[str, Any]] = {}
    for name, run in zip(names, runs, strict=True):
        texts = [run.state.trials[t].declared["config_json"] for t in identities(run)]
        known = data_of(run.info, texts)
        if not known:
            rest |= {str(entry.get("split_hash")): entry for entry in run.info.get("data") or ()}
        for source, entry in known.items():
            other, before = found.setdefault(source, (name, entry))
            for key in ("checksum", "split_hash"):
                if before.get(key) != entry.get(key):
                    raise DataError(
                        f"data set {entry['name']!r} is not the same in {other} and {name} "
                        f"({key} {str(before.get(key))[:12]} and {str(entry.get(key))[:12]}): "
                        "their trials cannot be of one run"
                    )
    order = [t for run in runs for t in run.state.trials.values()]
    sources = dict.fromkeys(source_of(trial.declared["config_json"]) for trial in order)
    named = {str(entry.get("split_hash")): dict(entry) for _, entry in found.values()}
    ordered = [dict(found[source][1]) for source in sources if source in found]
    return [*ordered, *(entry for key, entry in rest.items() if key not in named)]


def _own_parts(runs: Sequence[Held], names: Sequence[str]) -> dict[str, Any]:
    """Return what `run.json` says of own methods. Raises `StudyError` where their code differs."""
    found: dict[str, Any] = {}
    for name, run in zip(names, runs, strict=True):
        held = run.info.get(KEY)
        if held is None:
            continue
        found = found or {"parts": [], "files": {}, "installed": {}}
        for kind in ("files", "installed"):
            for each, value in held[kind].items():
                if found[kind].setdefault(each, value) != value:
                    raise StudyError(
                        f"{each}, from which the runs' own methods come, is another one in {name} "
                        f"than in {names[0]}: their trials cannot be of one run"
                    )
        found["parts"] += [part for part in held["parts"] if part not in found["parts"]]
    return {KEY: found} if found else {}


def _record(part: Part) -> dict[str, Any]:
    """Return what the new run keeps of one that it was merged from."""
    info = part.held.info
    kept = (
        *("created_at", "environment", "cluster", "command", "study_sha256"),
        *("collapse_rule", EXTENSIONS, "origin"),
    )
    return {
        "run": str(part.held.folder),
        **{key: info[key] for key in kept if info.get(key)},
        "trials": {part.ids[old]: old for old in part.indices},
        "left_out": {part.ids[old]: old for old in part.ids if old not in part.indices},
    }
