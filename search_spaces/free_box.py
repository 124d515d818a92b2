"""Free adversarial training where half of the pixels are black: what should the box cut?"""

from rayat.study import Study

EPS = 0.1
FREE = {"name": "free", "eps": EPS, "replays": 4}

study = Study(
    name="free-box",
    description=__doc__,
    base={
        "data": {"name": "fashion-mnist", "train_size": 12_000, "val_size": 5_000},
        # As in methods.py: the tiny net of docs/papers.md 9.1, with BatchNorm.
        "model": {"name": "cnn", "norm": "batch"},
        "epochs": 12,
        "batch_size": 128,
        "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4},
        "lr": {"shape": "onecycle", "peak": 0.2},
        "eval": {"steps": 10, "size": 1_000, "final_steps": 50, "final_size": 1_000},
    },
    arms={
        "pgd-10": {"attack": {"name": "pgd", "eps": EPS, "steps": 10}},
        # Four updates on each batch: 6 epochs cost what 12 of FGSM do.
        "free-4-shown": {"attack": {**FREE, "box": "shown"}, "epochs": 6},
        "free-4-stored": {"attack": {**FREE, "box": "stored"}, "epochs": 6},
    },
    seeds=(0, 1, 2),
    metric="val_robust_acc",
    target=0.7,
    stop_collapsed=False,
    baseline="arm=pgd-10",
)
