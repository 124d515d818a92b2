"""Which arm is meant, and which of an arm's configurations represents it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rayat.arms import matching, split_parts
from rayat.compare.measured import against, differing, of_trials
from rayat.compare.naming import at_axes
from rayat.compare.text import printable
from rayat.errors import StudyError, nearest
from rayat.ledger.reader import Run
from rayat.ledger.status import Status

SOUND = [status for status in Status if status.is_sound]
"""Trials whose best value may choose a configuration; those that broke may not."""
WHOLE = [s for s in SOUND if s.is_final and s is not Status.STOPPED]
"""Of these the trials that no policy cut: only they share a mean."""


@dataclass(frozen=True)
class Choice:
    """The configuration that represents an arm.

    Attributes:
        arm: its label.
        config_id: the configuration that ranks first among its own.
        trial_ids: its trials by seed.
        tried: configurations that the arm had to choose from: its budget.
        tuned: what was chosen at the nuisance axes that act in it (`naming.at_axes`).
    """

    arm: str
    config_id: str
    trial_ids: Mapping[int, str]
    tried: int
    tuned: Mapping[str, Any]


def arms(run: Run) -> list[str]:
    """Return the arms in the study's order."""
    return [str(arm) for arm in run.trials.sort_values("trial_index")["arm"].unique()]


def match_arm(run: Run, text: str) -> str:
    """Return the one arm that `key=value[,key=value]` names.

    Raises:
        StudyError: no arm or more than one matches; the text lists them.
    """
    found = match_arms(run, text)
    if len(found) == 1:
        return found[0]
    raise StudyError(
        f"{printable(text)!r} matches {len(found)} arms: {_list(found)}; "
        "name one by another key=value after a comma"
    )


def match_arms(run: Run, text: str) -> list[str]:
    """Return the arms that `key=value[,key=value]` names, at least one, in the study's order.

    A key is an arm's axis (`lr.shape`), its part (`lr`, `attack`), or any configuration key that
    is equal over all of an arm's trials; a name alone is that of a named arm (`arm=name`). Numbers
    are compared as numbers.

    Raises:
        StudyError: no arm matches; the text lists them.
    """
    known = arms(run)
    found = matching(text, known, lambda arm, key: _held(run, arm, key))
    if not found:
        raise StudyError(
            f"no arm matches {printable(text)!r}{nearest(text, known)}; arms: {_list(known)}"
        )
    return found


def several_arms(run: Run, texts: Sequence[str]) -> list[str]:
    """Return the arms that texts name, in the study's order; each may name several by commas.

    A text is first what `match_arms` takes: a whole label, a name, or `key=value[,key=value]`, all
    of which must hold. Where a part has no key, or two have the same one, its parts are arms of
    their own: `pgd-2,pgd-10` or `lr.shape=cosine,lr.shape=linear`.

    Raises:
        StudyError: a text or a part that names no arm.
    """
    known, found = arms(run), set()
    for text in texts:
        parts = split_parts(text)
        keys = [part.partition("=")[0].strip() for part in parts if "=" in part]
        whole = text in known or len(parts) < 2
        together = whole or (len(keys) == len(parts) and len(set(keys)) == len(keys))
        for name in [text] if together else parts:
            found |= set(match_arms(run, name.strip()))
    return [arm for arm in known if arm in found]


def choose(run: Run, order: Sequence[str] = ()) -> dict[str, Choice]:
    """Return each arm's configuration, chosen by its mean best value over seeds.

    More sound seeds come before a better mean, so that no configuration wins by its lucky
    survivors. Every arm of a study has the same number of configurations: an equal budget.

    Args:
        order: configurations, best first, of a search that ranks them otherwise; an arm of which
            none is there is ranked by its values.

    Raises:
        StudyError: an arm's configurations were measured differently (`measured.measurement`).
    """
    nuisance = run.info["study"].get("nuisance") or ()
    choices = {}
    for arm in arms(run):
        trials = run.trials[run.trials["arm"] == arm]
        _alike(run, trials, f"arm {printable(arm)}")
        own = set(trials["config_id"])
        best = next((each for each in order if each in own), None) or _ranked(trials)[0]
        chosen = trials[trials["config_id"] == best].sort_values("seed")
        first = chosen.iloc[0]
        choices[arm] = Choice(
            arm,
            best,
            {int(s): str(t) for s, t in zip(chosen["seed"], chosen["trial_id"], strict=True)},
            trials["config_id"].nunique(),
            at_axes(json.loads(first["config_json"]), nuisance),
        )
    return choices


def best_trial(run: Run) -> tuple[str | None, str]:
    """Return the first seed's trial of the configuration with the best mean over its seeds.

    Returns:
        trial id and canonical JSON of its configuration; (None, "") when no trial has a value.

    Raises:
        StudyError: the trials were measured differently: a smaller radius would win by itself.
    """
    trials = run.trials
    valued = trials[trials["status"].isin(SOUND) & trials["best_value"].notna()]
    if valued.empty:
        return None, ""
    _alike(run, valued, "the run")
    first = valued[valued["config_id"] == _ranked(trials)[0]].sort_values("seed").iloc[0]
    return str(first["trial_id"]), str(first["config_json"])


def _alike(run: Run, trials: pd.DataFrame, what: str) -> None:
    """Refuse to choose among configurations that were not measured alike."""
    firsts = trials.drop_duplicates("config_id")["trial_id"]
    if len(firsts) < 2:
        return
    first, *others = of_trials(run, firsts).values()
    for other in others:
        differs = differing(first, other)
        if differs:
            raise StudyError(
                f"{what} has configurations that were measured differently ({against(differs)}), "
                "so none of them is the best: give all one measurement in the study (`eval.eps` "
                "for the radius), or compare them as arms"
            )


def _ranked(trials: pd.DataFrame) -> list[str]:
    """Return configuration ids, best first; ties in the study's order.

    A configuration's value is the mean over its trials that went to their end by themselves; only
    where all its sound trials were cut short (by a policy, or as they still run) is it theirs.
    """
    trials = trials.sort_values("trial_index")
    sound = trials[trials["status"].isin(SOUND) & trials["best_value"].notna()]
    whole = sound["status"].isin(WHOLE)
    some = whole.groupby(sound["config_id"]).transform("any")
    value = sound["best_value"].where(whole | ~some)
    table = value.groupby(sound["config_id"], sort=False).agg("mean").to_frame("mean")
    table["sound"] = sound.groupby("config_id")["trial_id"].count()
    table["whole"] = whole.groupby(sound["config_id"]).sum()
    rest = [name for name in trials["config_id"].unique() if name not in table.index]
    order = ["sound", "mean", "whole"]
    table = table.reset_index(names="config_id").sort_values(order, ascending=False, kind="stable")
    return [*map(str, table["config_id"]), *map(str, rest)]


def _held(run: Run, arm: str, key: str) -> list[Any]:
    """Return the values that an arm's trials have under a key; none where no trial has it."""
    if f"cfg.{key}" not in run.trials:
        return []
    return list(run.trials.loc[run.trials["arm"] == arm, f"cfg.{key}"].unique())


def _list(names: list[str]) -> str:
    return "; ".join(printable(name) for name in names)
