"""High rates on digits, nothing ended early: which falls of robust accuracy are a collapse?

rayat run unstable --out runs/unstable
python examples/collapse_rules.py runs/unstable
"""

from typing import Any

from ray import tune

from rayat.study import Study

EPS = 0.2


def attack(name: str, **parameters: Any) -> dict[str, Any]:
    """Return an attack; all have the same radius."""
    return {"name": name, "eps": EPS, **parameters}


study = Study(
    name="unstable",
    description=__doc__,
    base={
        "data": {"name": "digits", "val_size": 400},
        "model": {"name": "cnn", "norm": "batch"},
        "epochs": 14,
        "batch_size": 64,
        "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4},
        "lr": {"shape": "onecycle", "peak": 0.2},
        "eval": {"eps": EPS, "steps": 4},
    },
    space={
        "attack": tune.grid_search(
            [attack("pgd", steps=2, step_size=0.75 * EPS), attack("fgsm-rs"), attack("fgsm")]
        ),
        "lr.peak": tune.grid_search([0.2, 0.4]),
    },
    seeds=tuple(range(100, 112)),
    stop_collapsed=False,
    final_eval=False,
)
