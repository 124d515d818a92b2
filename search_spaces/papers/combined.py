"""All five at once: which stack trains a robust model soonest, and which parts of it matter?

Each method alone beside PGD, all of them together, and all but one: time to one accuracy under
PGD-50 that was fixed before the runs. In the stack FGSM-SDI attacks first and dynamic training
last, as quality is said to matter late; two workers with a layer-wise rate share each batch.
"""

from dataclasses import dataclass
from typing import Any

from _tiers import CPU, EPS, SMOKE, merged

from rayat.claims.claim import Claim, Published, Reading
from rayat.claims.paper import Paper
from rayat.study import Study

METHODS = ("pruning", "dynamic", "sdi", "accelat", "lalr")
SWITCH = 0.6
"""Share of the training after which the stack attacks dynamically."""


@dataclass(frozen=True)
class Size:
    base: dict[str, Any]
    eps: float
    steps: int
    c_max: float
    rule: dict[str, Any]  # AccelAT's, for shorter trainings
    fraction: float
    every: int
    rate: float
    batch: int  # of the two workers
    target: float


SIZES = {
    "smoke": Size(
        merged(SMOKE, epochs=6, eval={"steps": 50, "size": 60, "final_steps": 50}),
        EPS["smoke"],
        steps=6,
        c_max=0.3,
        rule={"window": 2, "quiet": 2},
        fraction=0.5,
        every=6,
        rate=0.1,
        batch=64,
        target=0.25,
    ),
    "cpu": Size(
        merged(
            CPU,
            epochs=15,
            eval={"steps": 50, "size": 300},
        ),
        EPS["cpu"],
        steps=10,
        c_max=0.36,
        rule={},
        fraction=0.5,
        every=5,
        rate=0.1,
        batch=256,
        target=0.62,
    ),
}


def stacked(size: Size, parts: tuple[str, ...]) -> dict[str, Any]:
    """Return the configuration of PGD with some of the methods."""
    eps = {"eps": size.eps}
    dynamic = {"name": "dynamic", "steps": size.steps, "c_max": size.c_max, **eps}
    found: dict[str, Any] = {
        "attack": {"name": "pgd", "steps": size.steps, **eps},
        "lr": {"shape": "onecycle", "peak": size.rate},
    }
    if "dynamic" in parts:
        found["attack"] = dynamic
    if "sdi" in parts:
        found["attack"] = {"name": "fgsm-sdi", "width": 8, **eps}
        if "dynamic" in parts:
            found["attack_schedule"] = {"name": "switch", "at": SWITCH, "to": dynamic}
    if "pruning" in parts:
        kept = {"fraction": size.fraction, "every": size.every}
        found["pruning"] = {"name": "grad-match", **kept}
    if "accelat" in parts:
        found["lr"] = {"shape": "accelat", "peak": size.rate, **size.rule}
    if "lalr" in parts:
        found["optimizer"] = {"name": "lamb", "weight_decay": 1e-4}
        found["lr"] = {**found["lr"], "peak": 0.01}
        found["workers"], found["batch_size"] = 2, size.batch
    return found


def study_of(size: Size) -> Study:
    return Study(
        name="combined",
        description=__doc__,
        base=size.base,
        arms={
            "pgd": stacked(size, ()),
            **{method: stacked(size, (method,)) for method in METHODS},
            "stack": stacked(size, METHODS),
            **{
                f"no-{method}": stacked(size, tuple(m for m in METHODS if m != method))
                for method in METHODS
            },
        },
        seeds=(0, 1, 2),
        target=size.target,
        baseline="arm=pgd",
    )


def claims_of(size: Size) -> tuple[Claim, ...]:
    nobody = Published(None, "not published: nobody has combined them")
    return (
        Claim(
            "stack",
            "all five together reach the accuracy sooner than PGD",
            nobody,
            honest=Reading("sooner", "stack", "pgd", least=1.0),
            controls=METHODS,
        ),
        *(
            Claim(
                f"{method}-alone",
                f"{method} alone reaches the accuracy sooner than PGD",
                nobody,
                honest=Reading("sooner", method, "pgd", least=1.0),
            )
            for method in METHODS
        ),
        *(
            Claim(
                f"{method}-matters",
                f"the stack is sooner with {method} than without",
                nobody,
                honest=Reading("sooner", "stack", f"no-{method}", least=1.0),
                controls=("pgd",),
            )
            for method in METHODS
        ),
    )


paper = Paper(
    "combined",
    "The five methods combined",
    SIZES,
    study_of,
    claims_of,
    notes=(
        "Validation is PGD-50, of which the target is, and counts as a cost of every arm.",
        "Robust accuracy is that of PGD-50 as well.",
        "The stack's two workers train on larger batches than PGD's one does.",
    ),
)
study = paper.study("cpu")
