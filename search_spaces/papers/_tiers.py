"""What the tiers of all papers share: a test of the command, two cores, and a GPU."""

from typing import Any

SMOKE: dict[str, Any] = {
    "data": {"name": "digits", "train_size": 256, "val_size": 200},
    "model": {"name": "cnn", "norm": "batch"},
    "batch_size": 32,
    "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4},
    "eval": {"steps": 3, "size": 100, "final_steps": 10, "final_size": 200},
}

CPU: dict[str, Any] = {
    "data": {"name": "fashion-mnist", "train_size": 8_000, "val_size": 5_000},
    # The tiny net of docs/papers.md 9.1, with BatchNorm.
    "model": {"name": "cnn", "norm": "batch"},
    "batch_size": 128,
    "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4},
    "eval": {"steps": 10, "size": 1_000, "final_steps": 50, "final_size": 1_000},
}

FULL: dict[str, Any] = {
    "data": {"name": "cifar10", "augment": "crop-flip", "val_size": 5_000},
    "model": {"name": "preactresnet18"},
    "batch_size": 128,
    "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4},
    "precision": "bf16",
    "gpus_per_worker": 1,
    "cpus_per_worker": 4,
    "eval": {
        "steps": 10,
        "size": 1_000,
        "final_steps": 50,
        "final_size": 1_000,
        "suites": ["autoattack"],
    },
}

EPS = {"smoke": 0.2, "cpu": 0.1, "full": 8 / 255}


def merged(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a base with changes; a mapping changes the keys that it names."""
    found = dict(base)
    for key, value in changes.items():
        inner = isinstance(value, dict) and isinstance(found.get(key), dict)
        found[key] = {**found[key], **value} if inner else value
    return found
