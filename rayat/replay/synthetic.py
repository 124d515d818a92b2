"""Curves that look like adversarial training's, for tests and for checks of policies.

    python -m rayat.replay.synthetic results/curves/synthetic.parquet

What is put in, from published curves: accuracy grows as a power law of the area under the learning
rate; annealing adds a jump that grows with the peak rate, so that curves cross; once cold, most
trials lose robust accuracy while clean accuracy rises (robust overfitting); single-step attacks may
collapse (catastrophic overfitting), and some of those recover; accuracies wobble from epoch to
epoch and are measured on a finite number of images. The truth is the accuracy without that noise.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from rayat.ledger.files import write_file
from rayat.policies.schedule import schedule
from rayat.registry import SHAPES

SHAPES_DRAWN = ("piecewise", "cosine", "linear", "cyclic", "constant", "onedrop")
ATTACKS_DRAWN = ("fgsm", "fgsm-rs", "pgd-2", "pgd-7")
COLLAPSES = {"fgsm": 0.45, "fgsm-rs": 0.20}
"""Share of an attack's trials that collapse."""
RECOVERS = 0.2
"""Share of the collapses that end by themselves."""
OVERFITS = 0.6
"""Share of the trials that lose robust accuracy once their rate is cold."""
SECONDS = {"fgsm": 2.0, "fgsm-rs": 2.1, "pgd-2": 3.0, "pgd-7": 8.0}
IMAGES = 1000
WOBBLE, MEMORY = 0.006, 0.5
"""Standard deviation and lag-1 correlation of an epoch's true deviation from the smooth curve."""


def synthetic(trials: int = 256, epochs: int = 40, seed: int = 0) -> pd.DataFrame:
    """Return a table with one row per trial and epoch, in the columns that `rayat replay` knows.

    `collapse_epoch` is the first collapsed epoch (null without), `recovers` whether it ends.
    """
    rng = np.random.default_rng(seed)
    return pd.concat([_trial(rng, number, epochs) for number in range(trials)], ignore_index=True)


def save(table: pd.DataFrame, path: Path) -> None:
    """Write the table; equal tables give equal files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, table.to_parquet(index=False, compression="zstd"))


def _trial(rng: np.random.Generator, number: int, epochs: int) -> pd.DataFrame:
    shape = SHAPES_DRAWN[number % len(SHAPES_DRAWN)]
    attack = ATTACKS_DRAWN[int(rng.integers(len(ATTACKS_DRAWN)))]
    heat = float(rng.uniform(0, 1))  # 0: peak rate 0.003, 1: peak rate 1
    rates = SHAPES.build({"shape": shape, "peak": 10 ** (2.5 * heat - 2.5)}).curve(epochs)
    phi = schedule(tuple(rates)).phi
    done, annealed, cold = phi[:, 0].cumsum() / epochs, phi[:, 4], phi[:, 6]
    multiplier = np.array(rates) / max(rates)
    area = np.cumsum(multiplier) / epochs
    # The accuracy follows a change of the rate within about two epochs.
    jumped = _lagged(annealed, 0.6)
    speed = rng.uniform(25, 60)
    growth = 1 - (1 + speed * area) ** -rng.uniform(0.7, 1.1)
    quality = rng.normal(0, 0.055) - 0.10 * (heat - 0.55) ** 2
    robust = 0.10 + (0.30 + quality) * growth + (0.03 + 0.07 * heat) * jumped * growth
    clean = 0.15 + (0.50 + 1.2 * quality) * growth + (0.03 + 0.10 * heat) * jumped * growth
    if rng.random() < OVERFITS:
        loss = rng.uniform(0.05, 0.25)
        robust = robust - loss * cold
        clean = clean + 0.3 * loss * cold
    robust = robust + rng.uniform(-0.01, 0.01) * done
    robust = robust + _ar1(rng, epochs) * (0.5 + multiplier)
    clean = clean + _ar1(rng, epochs) * (0.5 + multiplier)
    start, recovers = _collapse(rng, attack, epochs)
    if start is not None:
        end = start + 4 if recovers else epochs + 1
        at = np.arange(1, epochs + 1)
        hit = (at >= start) & (at < end)
        robust = np.where(hit, 0.15 * robust * np.exp(-0.5 * (at - start).clip(0)), robust)
        clean = np.where(hit, clean + 0.04, clean)
    truth, clean = robust.clip(0.0, 1.0), clean.clip(0.0, 1.0)
    return pd.DataFrame(
        {
            "trial_id": f"t{number:03d}",
            "attack": attack,
            "lr_shape": shape,
            "epoch": np.arange(1, epochs + 1),
            "lr": rates,
            "seconds": SECONDS[attack] * rng.uniform(0.9, 1.1) * rng.uniform(0.97, 1.03, epochs),
            "clean_acc": rng.binomial(IMAGES, clean) / IMAGES,
            "robust_acc": rng.binomial(IMAGES, truth) / IMAGES,
            "test_robust_acc": truth,
            "collapse_epoch": pd.array([start] * epochs, dtype="Int64"),
            "recovers": recovers,
        }
    )


def _collapse(rng: np.random.Generator, attack: str, epochs: int) -> tuple[int | None, bool]:
    if rng.random() >= COLLAPSES.get(attack, 0.0):
        return None, False
    return int(rng.integers(epochs // 5, epochs - 2)), bool(rng.random() < RECOVERS)


def _lagged(values: np.ndarray, keep: float) -> np.ndarray:
    result, level = np.empty_like(values), 0.0
    for i, value in enumerate(values):
        level = max(value, keep * level) if value < level else value + (level - value) * (1 - keep)
        result[i] = level
    return result


def _ar1(rng: np.random.Generator, length: int) -> np.ndarray:
    shocks = rng.normal(0, WOBBLE * np.sqrt(1 - MEMORY**2), length)
    result, level = np.empty(length), 0.0
    for i, shock in enumerate(shocks):
        level = MEMORY * level + shock
        result[i] = level
    return result


if __name__ == "__main__":
    save(synthetic(), Path(sys.argv[1]))
