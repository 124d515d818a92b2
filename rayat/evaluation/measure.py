"""A suite on a network: batch after batch, each with its own stream, each durable when done."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from rayat.attacks.view import attacked
from rayat.data.base import Prepared
from rayat.data.loader import eval_batches
from rayat.evaluation.journal import Journal
from rayat.suites.base import NEAR, Suite, Verdict
from rayat.training.streams import stream

Split = Literal["val", "test"]

CPU_PART = 128
"""Images computed at a time on a CPU, like a training batch: 500 at once hold more memory than
training does, 60 MB on Fashion-MNIST, and a process keeps it. It takes up to 6 % longer."""

CROWDED, CROWD = 0.1, 5
"""Share and number of images at the widest spread of the logits from which outputs count as
squashed: between networks trained on digits with plain logits and the same ones behind functions
that saturate, both in tests/suites/test_squashed.py; other data were not looked at."""


@dataclass(frozen=True)
class MeasureSettings:
    """What to measure.

    Attributes:
        suite: with its norm (`Suite.within`). eps: radius.
        size: the first so many images; None: all. batch_size: most per batch, on a CPU `CPU_PART`.
        seed: of the random starts, with the split and the batch's place. split: of the data.
        device: torch device. journal: folder of the finished batches; None: they are not kept.
        tell: told the batches done and their number after each.
    """

    suite: Suite
    eps: float
    size: int | None = None
    batch_size: int = 500
    seed: int = 0
    split: Split = "test"
    device: str = "cpu"
    journal: Path | None = None
    tell: Callable[[int, int], object] = lambda done, of: None


def measure(model: nn.Module, prepared: Prepared, question: MeasureSettings) -> dict[str, Any]:
    """Return the columns of the `evals` table that a measurement gives.

    The same network, data and question give the same values, but for `seconds`, in one piece or
    interrupted and asked again. The model is left as found. An accuracy is null where an image
    could not be measured (`suites.base.Verdict`); what was met stands in `flags_json`.

    Args:
        model: the bare network in fp32, on the question's device.

    Raises:
        ConfigError: the suite cannot attack such images or logits.
    """
    suite, eps, split = question.suite, question.eps, question.split
    arrays = prepared.test if split == "test" else prepared.val
    size = min(len(arrays), question.size or len(arrays))
    batch_size = question.batch_size
    if torch.device(question.device).type == "cpu":
        batch_size = min(batch_size, CPU_PART)
    journal, done = None, {}
    if question.journal is not None:
        journal = Journal(
            question.journal,
            {
                "weights": _fingerprint(model),
                "data": [prepared.checksum, prepared.split_hash],
                "suite": suite.spec(),
                **{"eps": eps, "size": size, "batch_size": batch_size},
                **{"seed": question.seed, "split": split, "counts": 3},
            },
        )
        done = journal.finished()
    batches = -(-size // batch_size)
    with attacked(model) as frozen:
        for index, (x, y) in enumerate(eval_batches(arrays, batch_size, question.device, size)):
            if index not in done:
                begin = time.perf_counter()
                noise = stream(question.seed, split, index, device=x.device)
                verdict = suite.attack(frozen, x, y, eps, noise)
                done[index] = {
                    **counts(verdict),
                    "seconds": time.perf_counter() - begin,
                }
                if journal is not None:
                    journal.add(index, done[index])
            question.tell(index + 1, batches)
    total = {name: sum(row[name] for row in done.values()) for name in done[0]}
    unknown, unmeasured = total["unknown"], total["unmeasured"]
    flat = total["flat"] / total["clean"] if total["gradients"] and total["clean"] else None
    return {
        "suite": suite.title,
        "split": split,
        "eps": eps,
        "n": size,
        "clean_acc": None if unknown else total["clean"] / size,
        "robust_acc": None if unmeasured else total["robust"] / size,
        "precision": "fp32",
        "fwd_passes": total["forward"],
        "bwd_passes": total["backward"],
        "seconds": total["seconds"],
        "unmeasured": unmeasured,
        "zero_gradient": flat,
        "flags_json": _met(total, size, total["bounded"] == len(done), list(done.values())),
    }


def counts(verdict: Verdict) -> dict[str, float]:
    """Return a batch's verdict as numbers; sums are those of all batches, but for its `Ends`."""
    flat = verdict.flat
    return {
        "clean": int(verdict.clean.sum()),
        "robust": int(verdict.robust.sum()),
        "unknown": int(verdict.unknown.sum()),
        "unmeasured": int(verdict.unmeasured.sum()),
        "gradients": int(flat is not None),
        "flat": 0 if flat is None else int(flat.sum()),
        "flat_robust": 0 if flat is None else int((flat & verdict.robust).sum()),
        "bounded": int(verdict.bounded),
        "widest": verdict.ends.widest,
        "near": verdict.ends.near,
        "classes": verdict.ends.classes,
        "forward": verdict.passes.forward,
        "backward": verdict.passes.backward,
    }


def _met(
    total: dict[str, Any], size: int, bounded: bool, batches: Sequence[Mapping[str, Any]]
) -> str | None:
    """Return the signs that one measurement shows by itself, as `flags_json` holds them."""
    signs: dict[str, dict[str, float]] = {}
    if total["unmeasured"]:
        signs["not_finite"] = {
            "images": total["unmeasured"],
            "robust at least": total["robust"] / size,
            "robust at most": (total["robust"] + total["unmeasured"]) / size,
        }
    if total["flat_robust"]:
        signs["zero_gradient"] = {
            "of those attacked": total["flat"] / total["clean"],
            "robust with one at least": (total["robust"] - total["flat_robust"]) / size,
        }
    if bounded:
        signs["bounded_outputs"] = {"of all outputs in [0, 1]": 1.0}
    else:
        signs |= _squashed(batches, size)
    return json.dumps(signs) if signs else None


def _squashed(batches: Sequence[Mapping[str, Any]], size: int) -> dict[str, dict[str, float]]:
    """Return the sign that outputs saturate at the ends of a range, from the batches' `Ends`.

    Images of one class alone are no sign: a network that gives all images one answer has them too.
    """
    widest = max(batch["widest"] for batch in batches)
    reaching = [batch for batch in batches if batch["widest"] >= (1 - NEAR) * widest]
    near = sum(batch["near"] for batch in reaching)
    classes = max(batch["classes"] for batch in reaching)
    if near < max(CROWD, CROWDED * size) or classes < 2:
        return {}
    return {"squashed_outputs": {"of the images": near / size, "apart": widest}}


def _fingerprint(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        if not isinstance(value, torch.Tensor):  # what a module of a user's keeps besides
            digest.update(repr(value).encode())
            continue
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
