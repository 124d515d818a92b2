"""Which learning-rate shape trains a robust digits classifier sooner? Two minutes, no download."""

from ray import tune

from rayat.study import Study

# Sizes that separate the shapes on two cores: a 20k-parameter net, eps 0.3, one-step attacks.
study = Study(
    name="shapes",
    description=__doc__,
    base={
        "data.name": "digits",
        "model": {"name": "preactresnet", "width": 16, "blocks": [1, 1]},
        "epochs": 20,
        "batch_size": 64,
        "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4},
        "lr.peak": 0.2,
        "attack": {"name": "fgsm-rs", "eps": 0.3},
        "eval.steps": 5,
        # Validation stays below a quarter of a trial's passes (`rayat plan`).
        "eval.size": 128,
        "eval.every": 1,
    },
    space={
        "lr.shape": tune.grid_search(
            [
                "constant",
                "piecewise",
                "onedrop",
                "linear",
                "exponential",
                "cosine",
                "cyclic",
                "onecycle",
                "trapezoid",
                "accelat",
            ]
        ),
    },
    seeds=(0, 1, 2),
    target=0.4,  # fixed before the runs: what one-step attacks reach at this size
    metric="val_robust_acc",
    baseline="lr.shape=constant",
)
