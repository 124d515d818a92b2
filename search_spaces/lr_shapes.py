"""Eight learning-rate shapes on Fashion-MNIST at eps 0.1: which reaches robustness sooner?"""

from ray import tune

from rayat.study import Study

study = Study(
    name="lr_shapes",
    description=__doc__,
    base={
        # 8,000 images and three attack steps: 24 trials take about 20 minutes on two cores.
        "data": {"name": "fashion-mnist", "train_size": 8_000, "val_size": 5_000},
        "model": {"name": "preactresnet", "width": 16, "blocks": [1, 1, 1], "stem_stride": 2},
        "epochs": 12,
        "batch_size": 128,
        "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4},
        "lr.peak": 0.2,
        "attack": {"name": "pgd", "eps": 0.1, "steps": 3, "step_size": 0.05},
        "eval.steps": 10,
        "eval.size": 800,
        "eval.final_steps": 20,
        "eval.final_size": 1_500,
    },
    space={
        # Every shape has the same peak, AccelAT's among them: a larger rate is not an effect of the
        # rule (the matched-start control of docs/papers.md 2.6).
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
    # Fixed before the runs, on two pilot trials with seed 17, which is not among the seeds below.
    target=0.73,
    baseline="lr.shape=constant",
)
