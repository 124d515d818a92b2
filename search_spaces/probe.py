"""Does a cool-down tell more than a hot accuracy? 24 trainings of the tiny net, each probed thrice.

The trainings are those of `policies`, in fp32 and with three seeds. After three epochs of each the
rate falls to zero in a copy, whose accuracy is recorded (docs/probe.md). No policy stops anything:

    rayat run probe --out results/probe
    python examples/probe.py results/probe
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
    name="probe",
    description=__doc__,
    base={
        "data": {"name": "fashion-mnist", "train_size": 2_500, "val_size": 1_000},
        "model": {"name": "cnn", "norm": "batch"},
        "epochs": 24,
        "batch_size": 128,
        "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4},
        "eval": {"steps": 3, "eps": EPS},
        "probe": {"at": [4, 8, 12], "epochs": 2},
    },
    arms={"full": {"attack": attack(EPS)}, "weak": {"attack": attack(EPS / 4)}},
    space={
        "lr.shape": tune.grid_search(["constant", "piecewise", "onedrop", "cosine"]),
        "lr.peak": tune.grid_search([0.01, 0.1, 0.5]),
    },
    seeds=(1, 2, 3),
    metric="val_robust_acc",
    final_eval=False,
)
