"""B13: is what the fast engine trains as robust as what the plain loop trains?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from torch import nn

from rayat.bench import cases, peers
from rayat.bench.cases import Case
from rayat.bench.machine import fast_bf16
from rayat.bench.rows import Bar, BenchRow
from rayat.bench.timing import Settings
from rayat.data.loader import eval_batches
from rayat.registry import ATTACKS
from rayat.training.epoch import train_epoch
from rayat.training.validate import evaluate

SEEDS = (0, 1, 2)
EPOCHS = 15
FINAL_STEPS = 20


def b13(settings: Settings) -> list[BenchRow]:
    """Train digits PGD-5 with both, and compare their fp32 PGD-20 accuracy on the test images."""
    precision = "bf16" if fast_bf16() else "fp32"
    what = (
        f"digits PGD-5, test PGD-20 in fp32: engine {precision} less torchattacks fp32, "
        "in standard errors"
    )
    bar, judged = Bar(2.0, "<="), not settings.quick
    if not peers.has_torchattacks():
        return [BenchRow("B13", what, "SE", bar=bar, judged=judged, reason=peers.INSTALL)]
    base = cases.digits(settings.pick(cases.DIGITS_IMAGES, 64)).variant(
        lr={"shape": "onecycle", "peak": 0.2}, epochs=settings.pick(EPOCHS, 1)
    )
    ours, theirs = [], []
    for seed in SEEDS:
        case = base.variant(seed=seed)
        ours.append(robust_accuracy(train_ours(case.variant(precision=precision)), case))
        theirs.append(robust_accuracy(train_theirs(case), case))
    images = len(base.prepared.test)
    error = standard_error(ours, theirs, images)
    difference = statistics.mean(ours) - statistics.mean(theirs)
    context = {
        "engine": [round(v, 4) for v in ours],
        "torchattacks": [round(v, 4) for v in theirs],
        "difference": round(difference, 4),
        "standard_error": round(error, 4),
        "test_images": images,
        "epochs": base.config.epochs,
    }
    size = abs(difference) / error
    return [
        BenchRow("B13", what, "SE", size, size, size, len(SEEDS), bar, judged, context=context),
    ]


def standard_error(ours: Sequence[float], theirs: Sequence[float], images: int) -> float:
    """Return the standard error of the difference of two means over equally many seeds.

    From the spread over the seeds, but at least what `images` test images per seed leave open: a
    few seeds may happen to agree.
    """
    n = len(ours)
    seeds = (statistics.variance(ours) + statistics.variance(theirs)) / n
    share = min(max(statistics.mean([*ours, *theirs]), 1 / images), 1 - 1 / images)
    return math.sqrt(max(seeds, 2 * share * (1 - share) / (n * images)))


def train_ours(case: Case) -> nn.Module:
    """Return the network after the engine's training."""
    training = cases.training(case)
    for epoch in range(1, case.config.epochs + 1):
        train_epoch(training, epoch)
    return training.model


def train_theirs(case: Case) -> nn.Module:
    """Return the network after the torchattacks loop's, with the same rate at the same step."""
    peer, config = peers.Torchattacks(case), case.config
    total, done = config.epochs * len(peer.batches), 0

    def set_rate() -> None:
        nonlocal done
        done += 1
        for group in peer.optimizer.param_groups:
            group["lr"] = config.lr.lr(done / total, config.epochs, ())

    for _ in range(config.epochs):
        peer(set_rate)
    return peer.model


def robust_accuracy(model: nn.Module, case: Case) -> float:
    """Return the fp32 PGD-20 accuracy on the test images."""
    eps = case.config.attack.eps
    attack = ATTACKS.build({"name": "pgd", "eps": eps, "steps": FINAL_STEPS, "step_size": eps / 8})
    tally = evaluate(model, eval_batches(case.prepared.test, 500), attack, case.config.seed, "test")
    return tally.robust / tally.n
