"""24 adversarial trainings of the tiny net on Fashion-MNIST: which policy finds the best one?

Made to tell stopping policies apart (docs/policy.md): shapes whose accuracy jumps when the rate
drops, late or never; peaks at which little is learned, or nothing is kept; attacks that are too
weak, so that the robustness that was won decays. Policies are compared by

    rayat run policies --policy accel --seeds 1 --order-seed 1 --out runs/policies/accel-1
"""

from typing import Any

from ray import tune

from rayat.study import Study

EPS = 0.1
"""The radius that counts: of every evaluation."""


def attack(eps: float) -> dict[str, Any]:
    """Return PGD with two large steps, the cheapest attack that does not collapse here."""
    return {"name": "pgd", "steps": 2, "eps": eps, "step_size": 0.75 * eps}


study = Study(
    name="policies",
    description=__doc__,
    base={
        "data": {"name": "fashion-mnist", "train_size": 2_500, "val_size": 500},
        "model": {"name": "cnn", "norm": "batch"},
        "epochs": 24,
        "batch_size": 128,
        "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4},
        "eval": {"steps": 3, "eps": EPS},
    },
    arms={"full": {"attack": attack(EPS)}, "weak": {"attack": attack(EPS / 4)}},
    space={
        "lr.shape": tune.grid_search(["constant", "piecewise", "onedrop", "cosine"]),
        "lr.peak": tune.grid_search([0.01, 0.1, 0.5]),
    },
    seeds=(1,),
    metric="val_robust_acc",
    # The test set is touched for the chosen trial alone, by `rayat evaluate --chosen`: so the time
    # of a sweep is that of its trainings.
    final_eval=False,
    # What a policy saves is asked here, not what trials have in common.
    share=False,
)
