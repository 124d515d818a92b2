"""Which of five trainings reaches its target sooner, and what does the answer cost?

Digits, two minutes.
Only the cost is asked, so trials end at the target, and an arm of which one seed never got there
trains no further. The verdicts are those of training everything:

    rayat run verdict --out runs/verdict
    rayat run verdict --policy none --out runs/everything
"""

from rayat.study import Study

EPS = 0.2

study = Study(
    name="verdict",
    description=__doc__,
    base={
        "data": {"name": "digits", "val_size": 300},
        "model": {"name": "cnn", "norm": "batch"},
        "epochs": 14,
        "batch_size": 64,
        "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4},
        "lr": {"shape": "constant", "peak": 0.1},
        "attack": {"name": "pgd", "eps": EPS, "steps": 10},
        "eval": {"eps": EPS, "steps": 4},
    },
    arms={
        "pgd-10": {},
        "pgd-2": {"attack.steps": 2, "attack.step_size": 0.75 * EPS},
        "fgsm-rs": {"attack": "fgsm-rs"},
        "slow": {"lr.peak": 0.01},
        "clean": {"attack": "none"},
    },
    metric="val_robust_acc",
    # That of the quickstart: below what PGD-10 reached in pilot runs with seeds 17 to 19.
    target=0.69,
    baseline="arm=pgd-10",
    policy="verdict",
    ends="at-target",
)
