"""What data pruning saves by its cost formula; docs/papers.md 5.6."""

from __future__ import annotations

from rayat.errors import StudyError

FEATURES = 0.7
"""Passes of one look at an image for its features, beside the attack's: a forward pass and what the
selector does with it."""


def speed_up(fraction: float, epochs: int, selections: int, steps: int, passes: float) -> float:
    """Return S(f) = 1 / (f + n (K + 0.7) / (E c)): how much cheaper training on a share f is.

    Args:
        fraction: f, share of the images kept. epochs: E. selections: n, how often it is chosen.
        steps: K of the attack; a selection attacks every image. passes: c, gradient passes of a
            training step (K + 1 for PGD-K, K + 2 for TRADES and MART).
    """
    return 1 / (fraction + _overhead(epochs, selections, steps, passes))


def fraction_for(factor: float, epochs: int, selections: int, steps: int, passes: float) -> float:
    """Return the share of the images at which S(f) is `factor`.

    Raises:
        StudyError: the selections alone cost more than that.
    """
    found = 1 / factor - _overhead(epochs, selections, steps, passes)
    if found <= 0:
        raise StudyError(
            f"{selections} selections in {epochs} epochs cost more than a speed-up of {factor:g} "
            "leaves; give more epochs or fewer selections"
        )
    return found


def _overhead(epochs: int, selections: int, steps: int, passes: float) -> float:
    return selections * (steps + FEATURES) / (epochs * passes)
