"""What is refused before a run starts, over all of its trials."""

from __future__ import annotations

import pytest

from rayat.columns import Column
from rayat.errors import ConfigError
from rayat.planning.refusal import refuse_other_columns
from rayat.registry import ATTACKS


def test_trials_whose_methods_declare_a_column_differently_are_refused_by_name(tiny, monkeypatch):
    from ray import tune

    for name, unit in (("pgd", "nats"), ("fgsm", "bits")):
        column = Column("bend", "float", unit, "how far the loss bends")
        monkeypatch.setattr(ATTACKS.get(name), "columns", (column,), raising=False)
    trials = tiny(space={"attack.name": tune.grid_search(["pgd", "fgsm"])}).trials()
    refuse_other_columns(trials[:1])
    said = r"trial \S+ \(attack.name=fgsm\) cannot run: attack 'fgsm' declares .*bits.*'pgd'.*nats"
    with pytest.raises(ConfigError, match=said):
        refuse_other_columns(trials)
