"""Which axes matter: the one that does comes first, and what is too little says nothing."""

from __future__ import annotations

import numpy as np
import pytest

from rayat.report.data import as_json, thinned
from rayat.report.searching import importance


def search(n: int) -> tuple[dict[str, float], dict[str, dict[str, object]]]:
    random = np.random.default_rng(0)
    held = {
        f"c{at}": {
            "lr.peak": float(random.choice([0.05, 0.1, 0.2])),
            "attack": str(random.choice(["pgd", "fgsm"])),
            "idle": float(random.random()),
        }
        for at in range(n)
    }
    values = {
        key: 0.5 + 0.2 * (row["attack"] == "pgd") + 0.01 * random.random()
        for key, row in held.items()
    }
    return values, held


def test_the_axis_that_matters_is_first_and_others_lose_nothing():
    found = importance(*search(40))
    assert found is not None and found.r2 > 0.9
    (first, (loss, _)), *others = found.loss.items()
    assert first == "attack" and loss > 1
    assert all(abs(mean) < 0.05 for _, (mean, _) in others)
    assert "means little" not in found.warning


def test_what_foretells_nothing_says_so():
    values, held = search(40)
    noise = np.random.default_rng(1).permutation(list(values.values()))
    found = importance(dict(zip(values, map(float, noise), strict=True)), held)
    assert found is not None and found.r2 < 0.3 and "means little" in found.warning


def test_few_configurations_have_no_measure():
    assert importance(*search(14)) is None


def test_rows_for_scripts_end_no_element_and_hold_no_nan():
    text = as_json({"name": "</script>", "value": float("nan"), "long": 1 / 3})
    assert text == '{"name":"\\u003c/script>","value":null,"long":0.333333}'


@pytest.mark.parametrize("n", [0, 1, 200, 201, 1001])
def test_a_long_curve_keeps_its_ends(n):
    epochs = list(range(1, n + 1))
    kept = thinned(epochs)
    assert len(kept) <= 202 and kept[:1] == epochs[:1] and kept[-1:] == epochs[-1:]
