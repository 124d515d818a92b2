"""Labels of axes' values, and domains as JSON."""

from __future__ import annotations

import pytest
from ray import tune

from rayat.search.labels import domain_json, label


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("cosine", "cosine"),
        (0.1, "0.1"),
        (8 / 255, "0.03137254901960784"),
        (1e-06, "1e-06"),
        (3, "3"),
        (None, "None"),
        ({"name": "pgd", "steps": 5}, "pgd(steps=5)"),
        ({"shape": "cosine"}, "cosine"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_label(value, text):
    assert label(value) == text


def test_domains_are_told_apart_in_their_json_form():
    domains = [
        tune.uniform(0, 1),
        tune.loguniform(1e-3, 1),
        tune.quniform(0, 1, 0.1),
        tune.quniform(0, 1, 0.2),
        tune.choice([0, 1]),
        tune.randint(0, 1),
    ]
    assert len({domain_json(domain) for domain in domains}) == len(domains)
