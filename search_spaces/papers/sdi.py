"""FGSM-SDI: is one step from a learned start as robust as PGD-AT, at a third of its time?

PGD-2 costs what FGSM-SDI does and is the control that a one-step method must beat; FGSM and
FGSM-RS are there to collapse (docs/papers.md 6.9, 9.2).
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
    steps: int  # of PGD-AT
    width: int  # of the generator, scaled with the network (6.4)
    target: float | None


SIZES = {
    "smoke": Size(
        merged(SMOKE, epochs=6, lr={"shape": "onecycle", "peak": 0.2}),
        EPS["smoke"],
        steps=10,
        width=8,
        target=0.3,
    ),
    # One-step training from the image collapses at this radius, not at 0.1 (docs/collapse.md).
    "cpu": Size(
        merged(
            CPU,
            epochs=12,
            lr={"shape": "onecycle", "peak": 0.1},
            eval={"size": 500, "final_size": 200, "suites": ["autoattack"]},
        ),
        0.2,
        steps=10,
        width=8,
        target=0.5,
    ),
    # 6.5: 110 epochs, the rate cut after 100 and 105.
    "full": Size(
        merged(
            FULL,
            epochs=110,
            lr={
                "shape": "piecewise",
                "peak": 0.1,
                "milestones": [100 / 110, 105 / 110],
                "multipliers": [1.0, 0.1, 0.01],
            },
        ),
        EPS["full"],
        steps=10,
        width=64,
        target=None,
    ),
}


def study_of(size: Size) -> Study:
    def attack(name: str, **parameters: Any) -> dict[str, Any]:
        return {"attack": {"name": name, "eps": size.eps, **parameters}}

    return Study(
        name="sdi",
        description=__doc__,
        base=size.base,
        arms={
            "pgd-at": attack("pgd", steps=size.steps),
            "sdi": attack("fgsm-sdi", width=size.width),
            # Both players smoothed as released until August 2023, images not clipped, norms in
            # training mode (6.2, 6.6): q = 0.9 is a label smoothing of 1/9 over ten classes.
            "sdi-released": {
                **attack("fgsm-sdi", width=size.width, q=0.9, clip=False, bn_mode="batch"),
                "objective": {"name": "madry", "label_smoothing": 1 / 9},
            },
            # Three passes a step, as FGSM-SDI.
            "pgd-2": attack("pgd", steps=2, step_size=0.75 * size.eps),
            "fgsm": attack("fgsm"),
            "fgsm-rs": attack("fgsm-rs"),
        },
        seeds=(0, 1, 2),
        target=size.target,
        # A collapse is an outcome here: the others' last epochs are compared with its own.
        stop_collapsed=False,
        baseline="arm=pgd-at",
    )


def claims_of(size: Size) -> tuple[Claim, ...]:
    leak = (
        "as published takes the figure of the images that chose the checkpoint: the release "
        "selects on its test set"
    )
    words = "abstract, in words (docs/papers.md 6.1)"
    return (
        Claim(
            "third-of-the-time",
            "FGSM-SDI trains as robustly as PGD-AT, to 3 points, at about a third of its passes",
            Published(3.0, words),
            faithful=Reading("cheaper", "sdi-released", "pgd-at", least=2.7),
            honest=Reading("cheaper", "sdi", "pgd-at", least=2.7),
            also=(Reading("robust", "sdi", "pgd-at", least=-0.03),),
            controls=("pgd-2", "fgsm-rs"),
        ),
        Claim(
            "third-in-seconds",
            "FGSM-SDI takes about a third of PGD-AT's time, its generator included",
            Published(3.0, words),
            honest=Reading("cheaper", "sdi", "pgd-at", least=2.7, counted="seconds"),
            controls=("pgd-2",),
            fails="the generator costs more here than its passes of the network say",
        ),
        Claim(
            "as-robust",
            "FGSM-SDI is within 3 points of PGD-AT",
            Published(None, f"{words}; its tables are from memory and not used (6.7)"),
            faithful=Reading(
                "robust", "sdi-released", "pgd-at", -0.03, chosen_by="itself", says=leak
            ),
            honest=Reading("robust", "sdi", "pgd-at", least=-0.03),
            controls=("pgd-2",),
        ),
        Claim(
            "beats-pgd-2",
            "at equal passes FGSM-SDI is more robust than PGD with two steps",
            Published(None, "no figure; the control of docs/papers.md 9.2"),
            honest=Reading("robust", "sdi", "pgd-2", least=0.0),
            premises=(Reading("cheaper", "sdi", "pgd-2", least=0.9, most=1.1),),
            controls=("pgd-at",),
            fails="two steps of PGD do as well at its price",
        ),
        Claim(
            "no-collapse",
            "FGSM-SDI keeps to its last epoch what one-step training loses by collapse",
            Published(None, "words of the abstract; FGSM-RS ends at 0.00 under AutoAttack (6.7)"),
            honest=Reading("robust", "sdi", "pgd-at", least=-0.05, checkpoint="last"),
            # A collapse is a fall by 20 points (1.6): where none is seen nothing can be shown.
            premises=(Reading("robust", "fgsm", "pgd-at", most=-0.2, checkpoint="last"),),
            controls=("fgsm-rs",),
        ),
    )


paper = Paper(
    "sdi",
    "FGSM-SDI (Jia et al., IEEE TIP 2022)",
    SIZES,
    study_of,
    claims_of,
    notes=("Passes are those of the trained network; the generator's own are in seconds alone.",),
    tier_notes={"full": ("The target is chosen after the runs.",)},
)
study = paper.study("cpu")
