"""The hierarchical model against a naive twin, trial by trial, report by report."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayat.policies import _reach
from rayat.policies._reach import FEATURES, SIZE, ReachModel


def reports(rng, trials):
    """Return {trial: [(phi, robust, clean or None)]}; some trials have none.

    Of two schedules, so that trials measure alike, or nearly.
    """
    schedules = rng.uniform(0, 1, (2, 7, FEATURES))
    data = {}
    for trial in range(trials):
        phis = schedules[rng.integers(2)][: rng.integers(0, 7)]
        data[trial] = [
            (phi, rng.uniform(0, 0.6), rng.uniform(0, 0.9) if rng.random() < 0.7 else None)
            for phi in phis
        ]
    return data


def twin_posterior(seen, mean, spread, noise):
    """Condition a Gaussian on stacked observations (the textbook formula with a gain)."""
    rows, values, variances = [], [], []
    for phi, robust, clean in seen:
        rows.append(np.concatenate([phi, np.zeros(FEATURES)]))
        values.append(robust)
        variances.append(noise[0])
        if clean is not None:
            rows.append(np.concatenate([np.zeros(FEATURES), phi]))
            values.append(clean)
            variances.append(noise[1])
    if not rows:
        return mean, spread
    design = np.array(rows)
    gain = spread @ design.T @ np.linalg.inv(design @ spread @ design.T + np.diag(variances))
    return mean + gain @ (np.array(values) - design @ mean), spread - gain @ design @ spread


def twin_refit(data, mean, spread, noise):
    """One MAP-EM step with plain loops."""
    posts = [twin_posterior(seen, mean, spread, noise) for seen in data.values()]
    n, weight = len(posts), _reach.MEAN_WEIGHT
    new = (weight * _reach.PRIOR_MEAN + sum(m for m, _ in posts)) / (weight + n)
    scatter = sum(v + np.outer(m - new, m - new) for m, v in posts)
    shift = np.sqrt(weight) * (new - _reach.PRIOR_MEAN)
    scatter = scatter + np.outer(shift, shift)
    prior = _reach.SPREAD_WEIGHT * np.diag(_reach.PRIOR_SD**2)
    errors, counts = np.zeros(2), np.zeros(2)
    for seen, (m, v) in zip(data.values(), posts, strict=True):
        for phi, *values in seen:
            for which, value in enumerate(values):
                if value is not None:
                    part = slice(which * FEATURES, (which + 1) * FEATURES)
                    errors[which] += (value - phi @ m[part]) ** 2 + phi @ v[part, part] @ phi
                    counts[which] += 1
    weight = _reach.NOISE_WEIGHT
    noise = (weight * _reach.PRIOR_NOISE**2 + errors) / (weight + counts)
    return new, (prior + scatter) / (_reach.SPREAD_WEIGHT + n), noise


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), trials=st.integers(1, 12), steps=st.integers(0, 3))
def test_agrees_with_the_twin(seed, trials, steps):
    data = reports(np.random.default_rng(seed), trials)
    model = ReachModel()
    for trial, seen in data.items():
        for phi, robust, clean in seen:
            model.add(trial, phi, robust, clean)
    data = {trial: seen for trial, seen in data.items() if trial < model.size}
    mean, spread, noise = _reach.PRIOR_MEAN, np.diag(_reach.PRIOR_SD**2), _reach.PRIOR_NOISE**2
    for _ in range(steps):
        model.refit()
        mean, spread, noise = twin_refit(data, mean, spread, noise)
    assert model.noise == pytest.approx(noise, rel=1e-6)
    assert np.allclose(model.mean, mean, atol=1e-8)
    assert np.allclose(model.spread, spread, atol=1e-8)
    for trial, seen in data.items():
        m, v = model.posterior(trial)
        expected_m, expected_v = twin_posterior(seen, mean, spread, noise)
        assert np.allclose(m, expected_m, atol=1e-7)
        assert np.allclose(v, expected_v, atol=1e-7)


def test_a_trial_without_reports_has_the_population_as_its_forecast():
    model = ReachModel()
    m, v = model.posterior(0)
    assert np.allclose(m, _reach.PRIOR_MEAN)
    assert np.allclose(np.sqrt(np.diag(v)), _reach.PRIOR_SD)
    assert m.shape == (SIZE,)


def test_other_trials_teach_a_new_one():
    rng, model = np.random.default_rng(0), ReachModel()
    for trial in range(30):
        for _ in range(20):
            phi = rng.uniform(0, 1, FEATURES)
            model.add(trial, phi, 0.1 + 0.1 * phi[4], None)
    before = model.mean[4]
    for _ in range(20):
        model.refit()
    assert model.mean[4] > before + 0.03
    assert model.posterior(30)[0][4] == pytest.approx(model.mean[4])
