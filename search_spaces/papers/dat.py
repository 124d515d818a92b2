"""DAT: does a layer-wise rate keep accuracy at large batches, and do workers and bits save time?

SGD with a linearly scaled rate is the control of the layer-wise one (docs/papers.md 3.9). Each
worker has one thread, so two workers have two cores where one has one.
"""

from dataclasses import dataclass
from typing import Any

from _tiers import CPU, EPS, FULL, SMOKE, merged

from rayat.claims.claim import Claim, Published, Reading
from rayat.claims.paper import Paper
from rayat.study import Study


@dataclass(frozen=True)
class Size:
    base: dict[str, Any]
    attack: dict[str, Any]
    small: int  # batch whose rate is the base rate
    large: int
    rate: float  # of SGD at the small batch; the layer-wise rate is 0.01 (3.6)
    workers: int
    target: float | None


def lr(warmup: float) -> dict[str, Any]:
    return {"shape": "cosine", "peak": 0.1, "warmup": warmup}


SIZES = {
    "smoke": Size(
        merged(SMOKE, epochs=5, lr=lr(0.2), workers=1),
        {"name": "pgd", "eps": EPS["smoke"], "steps": 3},
        small=32,
        large=128,
        rate=0.1,
        workers=2,
        target=0.2,
    ),
    "cpu": Size(
        merged(
            CPU,
            data={"train_size": 8_192},
            epochs=12,
            lr=lr(0.1),
            eval={"size": 500, "final_size": 100, "suites": ["autoattack"]},
        ),
        {"name": "pgd", "eps": EPS["cpu"], "steps": 10},
        small=128,
        large=1_024,
        rate=0.1,
        workers=2,
        target=0.5,
    ),
    # 3.6: batches of 2048, 5 epochs of warm-up and 100 after it.
    "full": Size(
        merged(FULL, epochs=105, lr=lr(5 / 105)),
        {"name": "pgd", "eps": EPS["full"], "steps": 10, "step_size": 2 / 255},
        small=128,
        large=2_048,
        rate=0.1,
        workers=4,
        target=None,
    ),
}


def study_of(size: Size) -> Study:
    def sgd(batch: int) -> dict[str, Any]:
        decay = {"momentum": 0.9, "weight_decay": 5e-4}
        scaled = {"scaling": "linear", "base_batch": size.small}
        return {
            "batch_size": batch,
            "optimizer": {"name": "sgd", **decay, **scaled},
            "lr.peak": size.rate,
        }

    def lalr(batch: int) -> dict[str, Any]:
        return {
            "batch_size": batch,
            "optimizer": {"name": "lamb", "weight_decay": 1e-4},
            "lr.peak": 0.01,
        }

    def workers(count: int, exchange: Any = "none") -> dict[str, Any]:
        return {**lalr(size.large), "workers": count, "exchange": exchange}

    seven = {"name": "qsgd", "bits": 7}
    return Study(
        name="dat",
        description=__doc__,
        # The released loss is that of attacked and of clean images together (3.2).
        base=merged(size.base, attack=size.attack, objective={"name": "dat"}),
        arms={
            "sgd-small": sgd(size.small),
            "sgd-large": sgd(size.large),
            "lalr-small": lalr(size.small),
            "lalr-large": workers(1),
            "lalr-workers": workers(size.workers),
            "bits-7": workers(size.workers, {**seven, "per": "bucket"}),
            # One norm a tensor, everything to everyone, as released (3.5).
            "bits-7-released": workers(size.workers, {**seven, "sides": 1, "scheme": "gather"}),
            "bits-2": workers(size.workers, {**seven, "bits": 2, "per": "bucket"}),
        },
        seeds=(0, 1, 2),
        target=size.target,
        baseline="arm=sgd-small",
    )


def claims_of(size: Size) -> tuple[Claim, ...]:
    words = "abstract, in words (docs/papers.md 3.7)"
    return (
        Claim(
            "large-batch",
            "with the layer-wise rate a large batch trains a more robust model than with SGD",
            Published(None, words),
            faithful=Reading("robust", "lalr-large", "lalr-small", -0.01, chosen_by="itself"),
            honest=Reading("robust", "lalr-large", "sgd-large", least=0.0),
            controls=("sgd-small",),
            fails="SGD with a scaled rate does as well",
        ),
        Claim(
            "accuracy-kept",
            "with the layer-wise rate a large batch loses no robustness, to a point",
            Published(None, words),
            honest=Reading("robust", "lalr-large", "sgd-small", least=-0.01),
            controls=("sgd-large",),
        ),
        Claim(
            "epoch-time",
            f"{size.workers} workers take an epoch in 1/{size.workers} of the time and what they "
            "send",
            Published(
                2.0, "independent replication, of twice as many machines (docs/papers.md 3.7)"
            ),
            # Three quarters of the ideal.
            honest=Reading(
                "cheaper",
                "lalr-workers",
                "lalr-large",
                least=0.75 * size.workers,
                counted="seconds",
            ),
            also=(Reading("robust", "lalr-workers", "lalr-large", least=-0.01),),
            controls=("sgd-large",),
            fails="workers that share a machine share its cores and memory",
        ),
        Claim(
            "fewer-bytes",
            "gradients of 7 bits are a quarter of the bytes and cost no robustness, to a point",
            Published(4.0, "derived: a byte for four (docs/papers.md 3.5, 3.9)"),
            faithful=Reading("cheaper", "bits-7-released", "lalr-workers", 3.5, counted="bytes")
            if size.workers == 2
            else None,
            honest=Reading("cheaper", "bits-7", "lalr-workers", least=3.5, counted="bytes"),
            also=(Reading("robust", "bits-7", "lalr-workers", least=-0.01),),
            controls=("lalr-large",),
        ),
        Claim(
            "two-bits",
            "gradients of 2 bits cost no robustness, to a point",
            Published(None, "no figure; accuracy falls below about 7 bits (docs/papers.md 3.9)"),
            honest=Reading("robust", "bits-2", "lalr-workers", least=-0.01),
            controls=("lalr-large",),
        ),
    )


paper = Paper(
    "dat",
    "DAT (Zhang et al., UAI 2022)",
    SIZES,
    study_of,
    claims_of,
    notes=(
        "Seconds are of workers that share one machine; docs/scaling.md says what links would add.",
    ),
    tier_notes={"full": ("The target is chosen after the runs; 500 K images more are not used.",)},
)
study = paper.study("cpu")
