"""The cost formula of data pruning beside the table of docs/papers.md 5.6."""

import pytest

from rayat.claims.formula import fraction_for, speed_up
from rayat.errors import StudyError

TRADES = {"epochs": 100, "steps": 10, "passes": 12}
TABLE = {
    0.20: (4.41, 4.09, 3.46),
    0.25: (3.61, 3.39, 2.95),
    0.30: (3.06, 2.90, 2.57),
    0.40: (2.34, 2.25, 2.04),
    0.50: (1.90, 1.84, 1.70),
}


@pytest.mark.parametrize("fraction", TABLE)
def test_the_formula_gives_the_table(fraction):
    for selections, wanted in zip((3, 5, 10), TABLE[fraction], strict=True):
        assert speed_up(fraction, selections=selections, **TRADES) == pytest.approx(
            wanted, abs=0.006
        )


@pytest.mark.parametrize("factor", [5.66, 3.44, 2.02])
def test_the_share_for_a_factor_is_the_formula_turned_round(factor):
    share = fraction_for(factor, selections=3, **TRADES)
    assert speed_up(share, selections=3, **TRADES) == pytest.approx(factor)


def test_selections_that_cost_more_than_is_left_are_refused():
    with pytest.raises(StudyError, match="10 selections in 10 epochs"):
        fraction_for(3.0, epochs=10, selections=10, steps=10, passes=12)
