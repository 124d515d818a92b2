"""When should the rate drop, how far, and after how many epochs is one done? Digits, one peak.

Every arm trains at the peak rate until its drop, so all arms of a seed are one training until then:
what of it is trained once for several is in docs/sharing.md.
"""

from ray import tune

from rayat.study import Study

study = Study(
    name="drops",
    description=__doc__,
    base={
        "data": {"name": "digits", "val_size": 400},
        "model": {"name": "cnn", "norm": "batch"},
        "batch_size": 64,
        "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4},
        "lr": {"shape": "onedrop", "peak": 0.1},
        "attack": {"name": "pgd", "eps": 0.2, "steps": 3},
        "eval": {"steps": 3, "size": 200, "final_size": 200},
    },
    space={
        "lr.at": tune.grid_search([0.5, 0.625, 0.75, 0.875]),
        "lr.factor": tune.grid_search([0.05, 0.1, 0.3]),
        "epochs": tune.grid_search([8, 16]),
    },
    seeds=(0, 1, 2),
    metric="val_robust_acc",
    baseline="lr.at=0.5,lr.factor=0.1,epochs=16",
)
