"""Robust accuracy: PGD in fp32 on a model in evaluation mode, the same whoever asks and when."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rayat.attacks._view import attacked
from rayat.attacks.base import Adversarial, Attack
from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.distributed.exchange import Exchange
from rayat.errors import ConfigError, LedgerError
from rayat.registry import SUITES
from rayat.suites.base import Suite, finite
from rayat.training import checkpoints
from rayat.training.answers import depends_on_nothing_else, looks
from rayat.training.measure import CPU_PART, Question, Split, measure
from rayat.training.network import build_model
from rayat.training.streams import stream


@dataclass
class Tally:
    """Counts of an evaluation; integers, so that sums over workers are exact.

    Attributes:
        n: images. clean, robust: classified rightly as they are, and after the attack.
        unknown: images whose own logits are not finite: neither right nor wrong.
        unmeasured: of those, and of the images that are not fooled, those at which the attack's
            end met logits or a gradient that are not finite.
        forward, backward: passes summed over the images.
    """

    n: int = 0
    clean: int = 0
    robust: int = 0
    unknown: int = 0
    unmeasured: int = 0
    forward: int = 0
    backward: int = 0

    @property
    def clean_acc(self) -> float:
        """Return the clean accuracy; NaN where an image has no answer."""
        return math.nan if self.unknown else self.clean / self.n

    @property
    def robust_acc(self) -> float:
        """Return the robust accuracy; NaN where an image could not be measured."""
        return math.nan if self.unmeasured else self.robust / self.n


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    attack: Attack,
    seed: int,
    split: Split,
    exchange: Exchange | None = None,
) -> Tally:
    """Count what `model` gets right, clean and under `attack`; the model is left as found.

    The random start of batch i comes from a stream of (seed, split, i) alone: the counts are the
    same however many workers share the batches and however often it is asked, and no stream of the
    training moves. On a CPU the parts of a batch draw from its stream one after another.

    Args:
        model: the bare network, in fp32. batches: images in [0, 1] and labels, all of them on every
            worker. attack: such as PGD with 10 steps of `eps / 4`.
        seed: the trial's. split: names the stream.
        exchange: the workers that share the batches; the counts returned are the sums over them.
    """
    exchange = exchange or Exchange()
    tally = Tally()
    found = torch.zeros(4, dtype=torch.int64, device=exchange.device)
    with attacked(model) as frozen, torch.no_grad():
        for index, (x, y) in enumerate(batches):
            if index % exchange.world_size != exchange.rank:
                continue
            noise = stream(seed, split, index, device=x.device)
            part = CPU_PART if x.device.type == "cpu" else len(x)
            for some, labels in zip(torch.split(x, part), torch.split(y, part), strict=True):
                adv = attack(model, some, labels, noise)
                found = found + _judged(frozen(some), frozen(adv.x), labels, adv)
                tally.n += len(labels)
                tally.forward += 2 * len(labels) + adv.forward
                tally.backward += adv.backward
    # The only wait for the device.
    tally.clean, tally.robust, tally.unknown, tally.unmeasured = found.tolist()
    return Tally(**exchange.sums(dataclasses.asdict(tally)))


def _judged(logits: Tensor, attacked: Tensor, y: Tensor, adv: Adversarial) -> Tensor:
    """Return how many are right, still right, unknown and unmeasured (`Tally`), shape (4,)."""
    unknown, lost = ~finite(logits), ~finite(attacked)
    right = (logits.argmax(1) == y) & ~unknown
    held = (attacked.argmax(1) == y) | lost
    broken = lost | ~adv.info["grad_l1"].isfinite() if "grad_l1" in adv.info else lost
    unmeasured = unknown | (held & broken)
    return torch.stack([n.sum() for n in (right, held & ~unmeasured, unknown, unmeasured)])


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
        asked: other fields of `measure.Question`; their defaults are the configuration's.

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
    question = Question(
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


def evaluation_eps(config: TrialConfig) -> float:
    """Return the radius of the evaluation attacks: `eval.eps`, or the training attack's."""
    return config.attack.eps if config.eval.eps is None else config.eval.eps
