"""Distributed adversarial training on Fashion-MNIST: large batches, few bits, several workers."""

from typing import Any

from rayat.study import Study

SGD = {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4, "scaling": "linear"}
# DAT's layer-wise adaptive rate with its own base rate; which rule links that rate to the batch is
# not known (docs/papers.md 3.6), so both optimisers are tried with two.
LALR = {"name": "lamb", "weight_decay": 1e-4}
LALR_RATE = {"lr.peak": 0.01}


def batch(size: int, optimizer: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return an arm that trains with batches of `size` on one worker."""
    return {"batch_size": size, "optimizer": optimizer, **changes}


def workers(count: int, exchange: Any = "none") -> dict[str, Any]:
    """Return an arm of `count` workers with a thread each, which has the whole of two cores."""
    return {
        "batch_size": 512,
        "workers": count,
        "exchange": exchange,
        "cpus_per_worker": 2 / count,
    }


def qsgd(bits: int, sides: int = 2, **parameters: Any) -> dict[str, Any]:
    """Return QSGD with a norm for every 512 neighbours, as its authors have it."""
    return {"name": "qsgd", "bits": bits, "per": "bucket", "sides": sides, **parameters}


study = Study(
    name="dat",
    description=__doc__,
    base={
        "data": {"name": "fashion-mnist", "train_size": 8_192, "val_size": 5_000},
        # The tiny net of docs/papers.md 9.1, with BatchNorm.
        "model": {"name": "cnn", "norm": "batch"},
        "epochs": 8,
        "optimizer": SGD,
        "lr": {"shape": "cosine", "peak": 0.1, "warmup": 0.125},
        "attack": {"name": "pgd", "eps": 0.1, "steps": 2, "step_size": 0.075},
        "precision": "bf16",
        "eval": {"steps": 10, "size": 600, "final_steps": 20, "final_size": 1_000},
    },
    arms={
        # (a) Growing batches at equal epochs.
        **{f"sgd-{size}": batch(size, SGD) for size in (128, 512, 2048)},
        **{f"sgd-sqrt-{size}": batch(size, {**SGD, "scaling": "sqrt"}) for size in (512, 2048)},
        **{f"lalr-{size}": batch(size, LALR, **LALR_RATE) for size in (128, 512, 2048)},
        **{
            f"lalr-sqrt-{size}": batch(size, {**LALR, "scaling": "sqrt"}, **LALR_RATE)
            for size in (512, 2048)
        },
        # (b) Fewer bits a gradient's number, two workers, batch 512 with SGD.
        "m2": workers(2),
        **{f"m2-q{bits}-1side": workers(2, qsgd(bits, sides=1)) for bits in (7, 4, 2, 1)},
        **{f"m2-q{bits}-2side": workers(2, qsgd(bits)) for bits in (7, 4, 2, 1)},
        **{
            f"m2-q{bits}-2side-ef": workers(2, qsgd(bits, error_feedback=True))
            for bits in (7, 4, 2, 1)
        },
        # As DAT was released: one norm a tensor.
        "m2-q7-dat": workers(2, {"name": "qsgd", "bits": 7, "sides": 1, "scheme": "gather"}),
        # (c) The same batch on one, two (above) and four workers.
        "m1": workers(1),
        "m4": workers(4),
        "m4-q7-2side": workers(4, qsgd(7)),
    },
    seeds=(0, 1, 2),
    metric="val_robust_acc",
    # Fixed before the runs, on a pilot trial of the baseline with seed 17, which is not among the
    # seeds: it reached 0.67.
    target=0.65,
    baseline="arm=sgd-128",
)
