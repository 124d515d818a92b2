"""Dynamic training by FOSC: does the quality of the attack matter late, and not early?

Two arms of equal passes attack well only early or only late (docs/papers.md 4.9 c). Dynamic
training stands beside PGD of as many epochs, and beside PGD of as many passes: fewer steps.
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
    eps: float
    steps: int  # K
    c_max: float  # threshold of the first epoch; FOSC scales with eps and the data (4.8)
    few: int  # steps of PGD at the passes of dynamic training
    target: float | None


SIZES = {
    "smoke": Size(
        merged(SMOKE, epochs=6, lr={"shape": "onecycle", "peak": 0.2}),
        EPS["smoke"],
        steps=6,
        c_max=1.0,
        few=5,
        target=0.3,
    ),
    # c_max near the median FOSC after one step of the first epoch; passes as in results/methods.
    "cpu": Size(
        merged(
            CPU,
            data={"train_size": 12_000},
            epochs=12,
            lr={"shape": "onecycle", "peak": 0.2},
            eval={"size": 750, "final_size": 150, "suites": ["autoattack"]},
        ),
        EPS["cpu"],
        steps=10,
        c_max=0.36,
        few=5,
        target=0.65,
    ),
    # 4.5: 120 epochs, rate 0.01 cut at 60 and 100, decay 1e-4, c_max 0.5.
    "full": Size(
        merged(
            FULL,
            epochs=120,
            optimizer={"weight_decay": 1e-4},
            lr={
                "shape": "piecewise",
                "peak": 0.01,
                "milestones": [60 / 120, 100 / 120],
                "multipliers": [1.0, 0.1, 0.01],
            },
        ),
        EPS["full"],
        steps=10,
        c_max=0.5,
        few=5,
        target=None,
    ),
}


def study_of(size: Size) -> Study:
    def attack(name: str = "pgd", **parameters: Any) -> dict[str, Any]:
        return {"attack": {"name": name, "eps": size.eps, "steps": size.steps, **parameters}}

    def switched(*stages: list[Any]) -> dict[str, Any]:
        return {**attack(), "attack_schedule": {"name": "stages", "stages": list(stages)}}

    one = {"steps": 1}
    return Study(
        name="dynamic",
        description=__doc__,
        base=size.base,
        arms={
            "pgd": attack(),
            "dynamic": attack("dynamic", c_max=size.c_max),
            # FOSC about the random start and losses weighted by themselves (4.6).
            "dynamic-released": {
                **attack("dynamic", c_max=size.c_max, fosc_reference="start", start="unclipped"),
                "objective": {"name": "madry", "loss_weighting": "self"},
            },
            "pgd-few": attack(steps=size.few),
            "curriculum": {**attack(), "attack_schedule": "curriculum"},
            # One step of eps / 4 is a poor attack; half of the epochs each.
            "well-late": switched([0.0, one], [0.5, {}]),
            "well-early": switched([0.5, one]),
        },
        seeds=(0, 1, 2),
        target=size.target,
        baseline="arm=pgd",
    )


def claims_of(size: Size) -> tuple[Claim, ...]:
    words = "abstract, in words (docs/papers.md 4.7); its tables are from memory and not used"
    return (
        Claim(
            "late-not-early",
            "a good attack in the second half alone trains a more robust model than in the first",
            Published(None, words),
            honest=Reading("robust", "well-late", "well-early", 0.0, checkpoint="last"),
            premises=(Reading("cheaper", "well-late", "well-early", least=0.95, most=1.05),),
            controls=("pgd",),
        ),
        Claim(
            "early-not-needed",
            "without a good attack in the first half nothing is lost, to a point",
            Published(None, words),
            honest=Reading("robust", "well-late", "pgd", least=-0.01),
            controls=("well-early", "pgd-few"),
        ),
        Claim(
            "dynamic-over-pgd",
            "dynamic training is as robust as PGD of as many epochs, to a point, at fewer passes",
            Published(None, words),
            faithful=Reading(
                "robust",
                "dynamic-released",
                "pgd",
                least=0.0,
                checkpoint="last",
                says="as published is the release's FOSC and weights, at the last epoch",
            ),
            honest=Reading("robust", "dynamic", "pgd", least=-0.01),
            also=(Reading("cheaper", "dynamic", "pgd", least=1.0),),
            controls=("pgd-few",),
        ),
        Claim(
            "over-equal-passes",
            "dynamic training is more robust than PGD of as many passes",
            Published(None, "no figure; the control of equal passes (docs/papers.md 4.9)"),
            honest=Reading("robust", "dynamic", "pgd-few", least=0.0),
            premises=(Reading("cheaper", "dynamic", "pgd-few", least=0.9, most=1.1),),
            controls=("pgd",),
            fails="PGD with fewer steps does as well at its price",
        ),
        Claim(
            "few-steps",
            "dynamic training takes far fewer attack steps than K",
            Published(None, "no figure (docs/papers.md 9.2)"),
            honest=Reading("cheaper", "dynamic", "pgd", least=1.5, counted="attack_steps"),
            controls=("pgd-few",),
        ),
    )


paper = Paper(
    "dynamic",
    "Dynamic training (Wang et al., ICML 2019)",
    SIZES,
    study_of,
    claims_of,
    tier_notes={
        "full": (
            "The target is chosen after the runs; PreActResNet-18 in place of the paper's nets.",
        )
    },
)
study = paper.study("cpu")
