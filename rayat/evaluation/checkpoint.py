"""How robust a trial's checkpoint is: the suites of its end, and the row that they give."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from rayat.attacks.view import attacked
from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.errors import ConfigError, LedgerError
from rayat.evaluation.answers import depends_on_nothing_else, looks
from rayat.evaluation.measure import MeasureSettings, measure
from rayat.registry import SUITES
from rayat.suites.base import Suite
from rayat.training import checkpoints
from rayat.training.network import build_model
from rayat.training.validate import Split, evaluation_eps


def evaluate_checkpoint(
    folder: Path,
    name: checkpoints.Name,
    config: TrialConfig,
    prepared: Prepared,
    split: Split = "test",
    device: str = "cpu",
    suite: Suite | None = None,
    **asked: Any,
) -> dict[str, Any]:
    """Return the row of the `evals` table (without trial_id) for one checkpoint of a trial.

    The same checkpoint, configuration and question give the same row, but for `seconds`.

    Args:
        folder: the trial's. name: which of its checkpoints. split: where to evaluate; the test set
            is for the end of a study.
        suite: default: PGD with `eval.final_steps` steps (`final_suites`).
        asked: other fields of `measure.MeasureSettings`; their defaults are the configuration's.

    Raises:
        LedgerError: there is no such checkpoint, or it is damaged or of another configuration.
        ConfigError: the suite cannot attack such a network, or the network's answer to an image
            is no function of the image (`answers`).
    """
    checkpoint = checkpoints.load(folder, name, config)
    if checkpoint is None:
        raise LedgerError(
            f"no checkpoint {folder / name}: the trial ended before its first one; train it again"
        )
    model = build_model(config, prepared, device)
    model.load_state_dict(checkpoint.model)
    question = MeasureSettings(
        suite=(suite or final_suites(config)[0]).within(config.attack.norm),
        eps=evaluation_eps(config),
        size=config.eval.final_size,
        batch_size=config.eval.batch_size,
        seed=config.seed,
        split=split,
        device=device,
    )
    question = dataclasses.replace(question, **asked)
    arrays = prepared.test if split == "test" else prepared.val
    with attacked(model) as frozen:
        looked = depends_on_nothing_else(frozen, looks(arrays, device, question.size))
    row = measure(model, prepared, question)
    row["fwd_passes"] += looked
    return {"checkpoint": name, "epoch": checkpoint.epoch, **row}


def final_suites(config: TrialConfig) -> list[Suite]:
    """Return what a trial's checkpoints are measured by at its end, each suite once.

    PGD with `eval.final_steps` steps and one random start, then `eval.suites`.
    """
    steps = SUITES.build({"name": "pgd", "steps": config.eval.final_steps})
    suites = [suite.within(config.attack.norm) for suite in (steps, *config.eval.suites)]
    return list({suite.title: suite for suite in suites}.values())


def final_suites_fit(config: TrialConfig, prepared: Prepared) -> None:
    """Refuse final suites that cannot run on a trial's data, before it is trained.

    Raises:
        ConfigError: with the suite and what does.
    """
    for suite in final_suites(config):
        try:
            suite.sized(evaluation_eps(config))
            suite.fits(prepared.shape, len(prepared.classes))
        except ConfigError as error:
            raise ConfigError(
                f"eval.suites: {suite.title} cannot run on {prepared.name}: {error}"
            ) from None
