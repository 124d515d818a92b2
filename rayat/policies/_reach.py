"""How far a trial can still get: one hierarchical linear model of all trials' curves, by MAP-EM.

Robust and clean accuracy of trial i after an epoch with coordinates phi (`schedule.py`):

    r = phi . w_i + e,  e ~ N(0, s_r^2);   c = phi . u_i + e,  e ~ N(0, s_c^2)
    (w_i, u_i) ~ N(mu, Sigma), 16 numbers a trial

Trials lend each other strength through mu and Sigma: two reports of a new trial already give a
forecast, with its standard deviation. Priors count as 3 trials for mu, 12 for Sigma, 40 reports for
the noise. `tests/policies/test_reach.py` holds the slow twin.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from rayat.policies.schedule import FEATURES

Array = NDArray[np.float64]

SIZE = 2 * FEATURES
PRIOR_MEAN = np.array(
    [
        *(0.10, 0.12, 0.10, 0.05, 0.04, 0.01, -0.03, 0.0),  # robust
        *(0.15, 0.20, 0.15, 0.10, 0.05, 0.02, 0.02, 0.0),  # clean
    ]
)
"""Fractions: the level at the start, then what each coordinate adds when it is 1."""
PRIOR_SD = np.array(
    [
        *(0.03, 0.08, 0.08, 0.06, 0.025, 0.015, 0.08, 0.05),
        *(0.05, 0.15, 0.15, 0.10, 0.04, 0.025, 0.08, 0.05),
    ]
)
PRIOR_NOISE = np.array([0.01, 0.015])
MEAN_WEIGHT = np.array(([300.0] + [3.0] * (FEATURES - 1)) * 2)
"""Trials that the prior of mu is worth. The start is pinned near chance: two-epoch curves do not
identify it, and a drifting start makes good trials look finished."""
SPREAD_WEIGHT = 12.0
"""Trials that the prior of Sigma is worth."""
NOISE_WEIGHT = 40.0
"""Reports that the prior of the noise is worth."""


class ReachModel:
    """The model's data and its current fit; rows are trials, numbered from 0 by the caller."""

    def __init__(self) -> None:
        self.mean, self.spread = PRIOR_MEAN.copy(), np.diag(PRIOR_SD**2)
        self.noise = PRIOR_NOISE**2
        self.size = 0
        # Sufficient statistics per trial and measure (0 robust, 1 clean).
        self._gram = np.zeros((8, 2, FEATURES, FEATURES))
        self._cross = np.zeros((8, 2, FEATURES))
        self._square = np.zeros((8, 2))
        self._count = np.zeros((8, 2))
        # What each trial measured where on its schedule, as a digest: equal ones have equal grams.
        self._paths: list[bytes] = []
        self._prepare()

    def add(self, trial: int, phi: Array, robust: float, clean: float | None) -> None:
        """Take one report: coordinates (8,), accuracies as fractions; None was not measured."""
        while trial >= len(self._gram):
            for name in ("_gram", "_cross", "_square", "_count"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros_like(old)]))
        self.size = max(self.size, trial + 1)
        self._paths += [b""] * (self.size - len(self._paths))
        step = self._paths[trial] + phi.tobytes() + bytes([clean is not None])
        self._paths[trial] = hashlib.blake2b(step, digest_size=16).digest()
        outer = phi[:, None] * phi
        for which, value in enumerate((robust, clean)):
            if value is not None:
                self._gram[trial, which] += outer
                self._cross[trial, which] += phi * value
                self._square[trial, which] += value * value
                self._count[trial, which] += 1

    def posterior(self, trial: int) -> tuple[Array, Array]:
        """Return mean (16,) and covariance (16, 16) of a trial's coefficients, robust first."""
        covariance = self._covariances(self._gram[trial : trial + 1])
        return self._means(covariance, slice(trial, trial + 1))[0], covariance[0]

    def refit(self) -> None:
        """Do one MAP-EM step over all trials: O(trials), whatever the number of reports."""
        n, rows = self.size, slice(0, self.size)
        # Trials that measured alike have one covariance, whatever they measured.
        places: dict[bytes, int] = {}
        alike = [places.setdefault(path, len(places)) for path in self._paths]
        firsts = dict(zip(reversed(alike), range(n - 1, -1, -1), strict=True))
        order = [firsts[place] for place in range(len(places))]
        covariances = self._covariances(self._gram[order])[alike]
        means = self._means(covariances, rows)
        mean = (MEAN_WEIGHT * PRIOR_MEAN + means.sum(axis=0)) / (MEAN_WEIGHT + n)
        off = means - mean
        shift = np.sqrt(MEAN_WEIGHT) * (mean - PRIOR_MEAN)
        scatter = off.T @ off + covariances.sum(axis=0) + np.outer(shift, shift)
        spread = (SPREAD_WEIGHT * np.diag(PRIOR_SD**2) + scatter) / (SPREAD_WEIGHT + n)
        square, count = self._square[rows].sum(axis=0), self._count[rows].sum(axis=0)
        for which in range(2):
            part = slice(which * FEATURES, (which + 1) * FEATURES)
            m, v = means[:, part], covariances[:, part, part]
            gram, cross = self._gram[rows, which], self._cross[rows, which]
            # Squared errors as expected: at the means, and what the doubt about them adds.
            error = np.vdot(m, np.einsum("nij,nj->ni", gram, m) - 2 * cross)
            misfit = square[which] + error + np.vdot(gram, v)
            total = NOISE_WEIGHT * PRIOR_NOISE[which] ** 2 + max(float(misfit), 0.0)
            self.noise[which] = total / (NOISE_WEIGHT + count[which])
        self.mean, self.spread = mean, spread
        self._prepare()

    def _prepare(self) -> None:
        self._precision = np.linalg.inv(self.spread)
        self._pull = self._precision @ self.mean

    def _covariances(self, gram: Array) -> Array:
        told = gram / self.noise[:, None, None]
        precision = np.empty((len(told), SIZE, SIZE))
        precision[:] = self._precision
        precision[:, :FEATURES, :FEATURES] += told[:, 0]
        precision[:, FEATURES:, FEATURES:] += told[:, 1]
        covariances: Array = np.linalg.inv(precision).astype(np.float64, copy=False)
        return covariances

    def _means(self, covariances: Array, rows: slice) -> Array:
        pull = (self._cross[rows] / self.noise[:, None]).reshape(-1, SIZE) + self._pull
        means: Array = np.einsum("nij,nj->ni", covariances, pull)
        return means
