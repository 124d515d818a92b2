"""Eight learning-rate shapes on Fashion-MNIST at eps 0.1: which reaches robustness sooner?"""

from ray import tune

from rayat.study import Study

study = Study(
    name="lr_shapes",
    description=__doc__,
    base={
        # 15,000 images and eps 0.1: the shapes separate, and 24 trials fit two cores.
        "data": {"name": "fashion-mnist", "train_size": 15_000, "val_size": 5_000},
        "model": {"name": "preactresnet", "width": 16, "blocks": [1, 1, 1], "stem_stride": 2},
        "epochs": 12,
        "batch_size": 128,
        "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4},
        "lr.peak": 0.2,
        "attack": {"name": "fgsm-rs", "eps": 0.1},
        "eval.steps": 10,
        "eval.size": 1_000,
        "eval.final_steps": 20,
        "eval.final_size": 2_000,
    },
    space={
        # Every shape has the same peak, AccelAT's among them: a larger rate is not an effect of the
        # rule (the matched-start control of papers.md 2.6).
        "lr.shape": tune.grid_search(
            [
                "constant",
                "piecewise",
                "linear",
                "exponential",
                "cosine",
                "cyclic",
                "onecycle",
                "accelat",
            ]
        ),
    },
    seeds=(0, 1, 2),
    metric="val_robust_acc",
    target=0.65,  # chosen before the runs, from other runs' range of 0.6 to 0.7 at this size
    baseline="lr.shape=constant",
)
