"""Data pruning: does a chosen part of the images train as well, as much sooner as its formula says?

The ratios are those at which the cost formula S(f) gives the published speed-ups (docs/papers.md
5.6): `a` for 3.44, `b` for 2.02. A random part of the same size and all images for as long are the
controls without which no verdict is made (5.8).
"""

from dataclasses import dataclass
from typing import Any

from _tiers import CPU, EPS, FULL, SMOKE, merged

from rayat.claims.claim import Claim, Published, Reading
from rayat.claims.formula import fraction_for, speed_up
from rayat.claims.paper import Paper
from rayat.study import Study

FACTORS = {"a": 3.44, "b": 2.02}
NEAR = 0.9
"""A factor has come out where it is no more than a tenth below the published one."""


PGD_50 = (
    "AutoAttack of so many trainings takes longer than the rest: robust accuracy is that of PGD-50 "
    "until `rayat evaluate RUN` has run; the same command then judges by AutoAttack."
)


@dataclass(frozen=True)
class Size:
    base: dict[str, Any]
    eps: float
    steps: int
    epochs: int
    every: int  # epochs between selections
    mart_rate: float
    target: float | None

    def costs(self) -> dict[str, Any]:
        """Return what the formula asks: E, n, K and c, which is K + 2 for TRADES and MART."""
        chosen = -(-self.epochs // self.every)
        passes = self.steps + 2
        return {
            "epochs": self.epochs,
            "selections": chosen,
            "steps": self.steps,
            "passes": passes,
        }

    def fraction(self, ratio: str) -> float:
        return fraction_for(FACTORS[ratio], **self.costs())


SIZES = {
    "smoke": Size(
        # Whole batches are chosen: sizes at which they are nearly the fraction asked for.
        merged(
            SMOKE,
            data={"train_size": 288},
            batch_size=16,
            lr={"shape": "onecycle", "peak": 0.1},
        ),
        EPS["smoke"],
        steps=3,
        epochs=10,
        every=10,
        mart_rate=0.1,
        target=0.25,
    ),
    "cpu": Size(
        merged(
            CPU,
            data={"train_size": 4_400},
            lr={"shape": "onecycle", "peak": 0.1},
            eval={"size": 500, "every": 2},
        ),
        EPS["cpu"],
        steps=10,
        epochs=20,
        every=10,
        mart_rate=0.1,
        target=0.6,
    ),
    # Fractions, epochs and interval of the paper are not known (5.7): 100 epochs of TRADES as in
    # its authors' setting, chosen every 20 as in CORDS.
    "full": Size(
        merged(
            FULL,
            optimizer={"weight_decay": 2e-4},
            lr={"shape": "piecewise", "peak": 0.1, "milestones": [0.75, 0.9]},
        ),
        EPS["full"],
        steps=10,
        epochs=100,
        every=20,
        mart_rate=0.01,
        target=None,
    ),
}


def study_of(size: Size) -> Study:
    attack = {
        "name": "pgd",
        "eps": size.eps,
        "steps": size.steps,
        "random_start": "gaussian",
    }
    bullet = {"attack": {**attack, "name": "bullet-train"}}
    trades = {"objective": "trades", "attack": attack}
    mart = {"objective": "mart", "attack": attack, "lr.peak": size.mart_rate}

    def pruned(name: str, ratio: str) -> dict[str, Any]:
        kept = size.fraction(ratio)
        return {"pruning": {"name": name, "fraction": kept, "every": size.every}}

    def as_long(ratio: str) -> dict[str, Any]:
        return {"epochs": round(size.epochs / FACTORS[ratio])}

    chosen = {ratio: pruned("grad-match", ratio) for ratio in FACTORS}
    return Study(
        name="pruning",
        description=__doc__,
        base=merged(size.base, epochs=size.epochs),
        arms={
            "trades": trades,
            "mart": mart,
            **{f"trades-{r}": {**trades, **chosen[r]} for r in FACTORS},
            **{f"mart-{r}": {**mart, **chosen[r]} for r in FACTORS},
            "trades-glister-a": {**trades, **pruned("glister", "a")},
            **{f"trades-random-{r}": {**trades, **pruned("random", r)} for r in FACTORS},
            **{f"mart-random-{r}": {**mart, **pruned("random", r)} for r in FACTORS},
            **{f"trades-as-long-{r}": {**trades, **as_long(r)} for r in FACTORS},
            **{f"mart-as-long-{r}": {**mart, **as_long(r)} for r in FACTORS},
            **{f"trades-{r}-bullet": {**trades, **chosen[r], **bullet} for r in FACTORS},
            **{f"mart-{r}-bullet": {**mart, **chosen[r], **bullet} for r in FACTORS},
        },
        seeds=(0, 1, 2),
        target=size.target,
        baseline="arm=trades",
    )


def claims_of(size: Size) -> tuple[Claim, ...]:
    def factor(
        name: str, objective: str, ratio: str, value: float, source: str, bullet: str = ""
    ) -> Claim:
        arm, full = f"{objective}-{ratio}{bullet}", objective
        return Claim(
            name,
            f"{arm.replace('-', ' ')} is {value:g} times as fast as {full} on all images, and as "
            "robust to 3 points",
            Published(value, source),
            faithful=Reading("cheaper", arm, full, least=NEAR * value),
            honest=Reading("sooner", arm, full, least=NEAR * value),
            also=(Reading("robust", arm, full, least=-0.03),),
            controls=(f"{objective}-random-{ratio}", f"{objective}-as-long-{ratio}"),
        )

    def formula(objective: str, ratio: str) -> Claim:
        predicted = speed_up(size.fraction(ratio), **size.costs())
        return Claim(
            f"formula-{objective}-{ratio}",
            f"on {size.fraction(ratio):.3f} of the images {objective} costs what S(f) says, "
            "to a tenth",
            Published(FACTORS[ratio], "the formula at this ratio, derived (docs/papers.md 5.6)"),
            honest=Reading(
                "cheaper",
                f"{objective}-{ratio}",
                objective,
                least=0.9 * predicted,
                most=1.1 * predicted,
            ),
            controls=(f"{objective}-random-{ratio}",),
        )

    def over(arm: str, control: str, says: str, fails: str) -> Claim:
        objective, ratio = control.split("-")[0], control[-1]
        return Claim(
            f"{arm}-over-{control.removeprefix(f'{objective}-')}",
            says,
            Published(None, "no figure; the control of docs/papers.md 5.8 and 9.2"),
            honest=Reading("robust", arm, control, least=0.0),
            controls=(f"{objective}-random-{ratio}", f"{objective}-as-long-{ratio}", objective),
            fails=fails,
        )

    alone = "abstract: pruning alone, up to, on {} (docs/papers.md 5.7)"
    both = "abstract: with BulletTrain, on {} (docs/papers.md 5.7)"
    ten, hundred = "CIFAR-10", "CIFAR-100"
    return (
        factor("alone-3.44", "trades", "a", 3.44, alone.format(ten)),
        factor("alone-2.02", "trades", "b", 2.02, alone.format(hundred)),
        factor("trades-bullet-5.66", "trades", "a", 5.66, both.format(ten), "-bullet"),
        factor("mart-bullet-5.12", "mart", "a", 5.12, both.format(ten), "-bullet"),
        factor("trades-bullet-3.67", "trades", "b", 3.67, both.format(hundred), "-bullet"),
        factor("mart-bullet-3.07", "mart", "b", 3.07, both.format(hundred), "-bullet"),
        *(formula(objective, ratio) for objective in ("trades", "mart") for ratio in FACTORS),
        *(
            over(
                arm,
                f"trades-random-{arm[-1]}",
                f"{arm.replace('-', ' ')} is more robust than a random part of its size",
                "a random part does as well",
            )
            for arm in ("trades-a", "trades-b", "trades-glister-a")
        ),
        *(
            over(
                f"trades-{ratio}",
                f"trades-as-long-{ratio}",
                f"trades {ratio} is more robust than TRADES on all images for as long",
                "fewer epochs on all images do as well",
            )
            for ratio in FACTORS
        ),
    )


paper = Paper(
    "pruning",
    "Less is More (Li et al., SafeAI at AAAI 2023)",
    SIZES,
    study_of,
    claims_of,
    notes=(
        "The paper's fractions, intervals and epochs are not known: `a` and `b` keep as many "
        "images as the cost formula needs for 3.44 and 2.02. As published counts whole trainings "
        "of equal epochs; honest counts to the same accuracy.",
        "The figures of CIFAR-100 (2.02, 3.67, 3.07) are judged on this run's own data.",
    ),
    tier_notes={
        "cpu": (PGD_50,),
        "full": ("The target is chosen after the runs; --data cifar100 for the others.",),
    },
)
study = paper.study("cpu")
