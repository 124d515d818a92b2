"""One step of a configuration on a few images, before anything is started: does it work at all?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rayat.config import TrialConfig
from rayat.data.base import Prepared
from rayat.data.loader import eval_batches
from rayat.errors import ConfigError, DataError, RayatError
from rayat.evaluation.checkpoint import final_suites_fit
from rayat.host.machine import memory_bytes
from rayat.planning.estimate import phases, selection, training_on
from rayat.training.epoch import train_epoch
from rayat.training.memory import kept_bytes, refuse_too_large, weights_bytes
from rayat.training.process import prepare_process
from rayat.training.run import validate

IMAGES = 4
"""Most images of the step; fewer where the trial's own step has fewer."""
MOST_WORDS = 300
"""Characters of an exception's text that are passed on."""


def rehearse(
    config: TrialConfig, prepared: Prepared, together: int = 1, device_free: int | None = None
) -> None:
    """Train and validate one step with the trial's own parts, on the CPU.

    A trial's step is on its share of the batch; this one is on the first `IMAGES` of it, and where
    the share is one image, on that one. A selection of images is made too, where there is one.

    Args:
        prepared: the configuration's data. together: workers of the trial that share this
            machine's memory.
        device_free: bytes free on the GPU that a worker gets; None: not known, or none asked for.

    Raises:
        ConfigError, DataError: what the trial would fail of, in one sentence.
    """
    final_suites_fit(config, prepared)
    size = len(prepared.train)
    share, most = smallest_share(config, size), min(config.batch_size, size) // config.workers
    images = min(share, IMAGES)
    if share == 1 and config.workers > 1 and config.batch_norm == "sync":
        images = 2  # of two workers: their layers see them together
    free, on_gpu = memory_bytes()[1], config.gpus_per_worker > 0
    weights = weights_bytes(config, prepared)
    # On a GPU the weights of this step alone are this machine's.
    refuse_too_large(config, weights * (1 if on_gpu else together), free)
    # A trial on a GPU may use operations that are not deterministic; what runs is on the CPU.
    prepare_process(config.threads, "cuda" if on_gpu else "cpu")
    part = config.replace({"workers": 1, "batch_size": images, "weights.awp_start": 0})
    whole = part.replace({"pruning": {"name": "none"}})
    with _in_one_sentence(config, images):
        training = training_on(whole, prepared, images, "cpu")
        _refuse_logits(config, training.model, prepared)
        kept = _kept_per_image(training.model, prepared)
        needed = weights + most * kept / (2 if config.precision == "bf16" else 1)
        if on_gpu and device_free is not None:
            refuse_too_large(config, needed, device_free)
        elif not on_gpu:
            refuse_too_large(config, needed * together, free)
        first = 1 if config.attack_schedule.kind == "none" else config.epochs // 2 + 1
        row = train_epoch(training, first)
        if not math.isfinite(row["train_loss"]):
            raise ConfigError(
                f"the loss of the first step is {row['train_loss']}, so nothing can be learned: "
                "look at the objective's parameters, precision and the data's range"
            )
        training.config = whole.replace({"eval.size": min(images, len(prepared.val))})
        validate(training, prepared.val)
        if "select" in phases(config):
            selection(part, prepared, images, "cpu")


def _refuse_logits(config: TrialConfig, model: torch.nn.Module, prepared: Prepared) -> None:
    """Refuse a network that does not give one logit a class: few images may not show it."""
    x, _ = next(eval_batches(prepared.val, 2, "cpu", 2))
    with torch.no_grad():
        logits = model.eval()(x)
    wanted = (len(x), len(prepared.classes))
    shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if shape != wanted:
        raise ConfigError(
            f"model {config.model.kind!r} gives {shape} for {len(x)} images of "
            f"{len(prepared.classes)} classes; it must give one logit a class, {wanted}"
        )


def _kept_per_image(model: torch.nn.Module, prepared: Prepared) -> float:
    """Return the bytes that a training pass keeps for its backward pass, per image."""
    x, _ = next(eval_batches(prepared.val, 2, "cpu", 2))
    return kept_bytes(model.train(), x) / len(x)


def smallest_share(config: TrialConfig, size: int) -> int:
    """Return the fewest images that one worker has in a step, over all of a training's epochs.

    Args:
        size: of the training split.

    Raises:
        DataError: a worker would have none.
    """
    kinds = set(phases(config))
    shown = [size] if "full" in kinds else []
    if kinds & {"select", "subset"}:
        shown.append(config.pruning.budget(size))
    fewest = min(shown, default=size)
    share = min(config.batch_size, fewest) // config.workers
    if share == 0:
        raise DataError(
            f"{fewest} training images cannot be split over workers={config.workers}; use fewer "
            "workers or more images"
        )
    return share


@contextmanager
def _in_one_sentence(config: TrialConfig, images: int) -> Iterator[None]:
    """Turn whatever is raised into a `ConfigError` that says what to change."""
    try:
        yield
    except RayatError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:MOST_WORDS]
        if images == 1 and "more than 1 value per channel" in said:
            text = (
                "BatchNorm in training mode cannot normalise a single image: raise batch_size or "
                "pruning.fraction, or lower workers, so that a worker has 2 images or more in "
                f"every step; got batch_size={config.batch_size}, workers={config.workers}"
            )
        elif isinstance(error, MemoryError | torch.OutOfMemoryError):
            text = f"{type(error).__name__}: {said}; use a smaller model or batch_size"
        else:
            text = (
                f"model {config.model.kind!r}, attack {config.attack.kind!r} and objective "
                f"{config.objective.kind!r} fail on this data in their first step "
                f"({type(error).__name__}: {said}); change one of them or its parameters"
            )
        raise ConfigError(text) from error
