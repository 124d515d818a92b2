"""A configuration in words."""

from __future__ import annotations

from rayat.compare.naming import told_apart
from rayat.config import TrialConfig

BASE = TrialConfig.parse(
    {"lr": {"shape": "piecewise", "peak": 0.2}, "attack": {"name": "pgd", "eps": 0.1}, "seed": 1}
)


def test_what_differs_is_named_and_nothing_else():
    other = BASE.replace(
        {
            "lr": {"shape": "onecycle", "peak": 0.1},
            "attack.step_size": 0.07500000000000001,
            "attack_schedule": "curriculum",
            "pruning": {"name": "random", "fraction": 0.5, "every": 3},
            "epochs": 7,
            "seed": 5,
            "eval.size": 99,
        }
    )
    said = told_apart(other.tree(), BASE.tree())
    assert "pruning=random(fraction=0.5, every=3, warm_start=0)" in said
    for part in ("lr=onecycle(peak=0.1)", "attack.step_size=0.075", "attack_schedule=curriculum"):
        assert part in said.split(", ")
    assert "epochs=7" in said and "eval" not in said and "seed" not in said
    assert told_apart(BASE.tree(), BASE.replace({"seed": 9}).tree()) == ""


def test_a_method_that_is_not_here_is_named_with_all_that_differs():
    own = {"attack": {"name": "mine:Attack", "eps": 0.1, "width": 3}}
    base = {"attack": {"name": "pgd", "eps": 0.1}}
    assert told_apart(own, base) == "attack=mine:Attack(width=3)"
