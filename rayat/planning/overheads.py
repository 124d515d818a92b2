"""What a run costs besides its trainings: Ray's start, its share of each trial, the final test."""

from __future__ import annotations

from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.evaluation.checkpoint import final_suites
from rayat.planning.estimate import Estimate, validations

RAY = {"cluster": 9.0, "process": 4.4, "trial": 0.375, "epoch": 0.028}
"""Seconds of a local Ray's start, of a worker process with torch, and of each trial and epoch: the
table of docs/performance.md ("Ray"), made by `rayat profile shapes --epochs 20 --ops 6
--through-ray` on two cores."""


def final_passes(config: TrialConfig, prepared: Prepared) -> tuple[int, int]:
    """Return the most forward and backward passes of a trial's final evaluation.

    Of best and last checkpoint, where a trial can have two, by every final suite, as if every image
    resisted every attack.
    """
    images = min(config.eval.final_size or len(prepared.test), len(prepared.test))
    checkpoints = min(2, validations(config))
    each = [suite.most(len(prepared.classes)) for suite in final_suites(config)]
    forward, backward = (sum(passes) * images * checkpoints for passes in zip(*each, strict=True))
    return forward, backward


def final_seconds(cost: Estimate, passes: int) -> float:
    """Return the seconds of so many passes at the speed of the validation that was measured."""
    return cost.eval_seconds * passes / (cost.eval_forward_passes + cost.eval_backward_passes)


def ray_seconds(trials: int, epochs: int, at_once: int, local: bool) -> float:
    """Return the seconds that Ray adds to a run's wall time.

    Args:
        at_once: trials that run at the same time and share what each trial and epoch costs.
        local: a Ray is started for the run; a cluster that is joined is there already.
    """
    start = (RAY["cluster"] if local else 0.0) + RAY["process"]
    return start + (RAY["trial"] * trials + RAY["epoch"] * epochs) / max(1, at_once)
