"""What a plan takes a final evaluation to cost at most, counted on a network that none can fool."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.suites.base import suite


class Stubborn(nn.Module):
    """Always the first of `classes`, with a gradient: every image resists every attack."""

    def __init__(self, classes):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Linear(64, classes)
        self.first = torch.zeros(classes)
        self.first[0] = 20.0

    def forward(self, x):
        return self.layer(x.flatten(1)) + self.first


def counted(name, classes, **changes):
    built = suite(name).replace(**changes)
    x, y = torch.rand(3, 1, 8, 8), torch.zeros(3, dtype=torch.long)
    verdict = built.attack(Stubborn(classes), x, y, 0.1, torch.Generator().manual_seed(0))
    assert verdict.robust.all()
    found = verdict.passes.forward / len(x), verdict.passes.backward / len(x)
    return found, built.most(classes)


@pytest.mark.parametrize("name", ["fgsm", "pgd-7", "pgd-3x4", "cw-5"])
@pytest.mark.parametrize("classes", [2, 10])
def test_what_steps_cost_is_exact(name, classes):
    found, most = counted(name, classes)
    assert found == most


@pytest.mark.parametrize(
    ("attacks", "classes"),
    [
        ("apgd-ce", 2),
        ("apgd-dlr", 10),
        ("apgd-t", 4),
        ("apgd-t", 10),
        ("fab", 2),
        ("fab", 10),
        ("fab", 20),
        ("fab-t", 10),
    ],
)
def test_what_a_librarys_attack_costs_is_a_close_bound(attacks, classes):
    found, most = counted(f"autoattack:{attacks}", classes)
    for one, bound in zip(found, most, strict=True):
        assert 0.8 * bound <= one <= bound, (found, most)


@pytest.mark.parametrize("queries", [20, 60])
def test_what_square_costs_is_its_queries_and_a_few_looks(queries):
    (forward, backward), most = counted("square", 10, queries=queries)
    assert backward == most[1] == 0 and queries <= forward <= most[0] == queries + 5
    found, most = counted("autoattack:square", 10, queries=queries)
    assert queries <= found[0] <= most[0] <= queries + 15 and most[1] == 0
