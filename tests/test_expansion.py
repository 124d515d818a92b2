"""Shipped studies and the cards' examples: what they expand to, today and as recorded."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ray import tune

from rayat.layers import flatten
from rayat.study import Study, load_study

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "expansions.json"
RECORDED = [path.parent.name for path in sorted(ROOT.glob("results/*/run.json"))]
CARDS = sorted((ROOT / "docs" / "methods").glob("*.md"))


def digest(trial, keys) -> str:
    """Return what a trial is, by the keys that there were when it was written down."""
    flat = flatten(trial.config.tree())
    known = {key: flat.get(key) for key in keys}
    text = json.dumps([trial.index, trial.arm, trial.draw, trial.config.seed, known])
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", sorted(json.loads(GOLDEN.read_text())))
def test_a_shipped_study_is_what_it_was(name):
    """Written with `digest` over the keys of that time: a key that is added later changes none."""
    golden = json.loads(GOLDEN.read_text())[name]
    trials = load_study(ROOT / "search_spaces" / f"{name}.py").trials()
    found = [digest(trial, golden["keys"]) for trial in trials]
    assert len(found) == golden["trials"]
    assert hashlib.sha256("".join(found).encode()).hexdigest() == golden["sha256"]


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_run_is_what_its_study_expands_to(name):
    table = pq.read_table(ROOT / "results" / name / "trials.parquet").to_pylist()
    ran = json.loads((ROOT / "results" / name / "run.json").read_text())["study"]
    path = ROOT / "search_spaces" / f"{ran['name'].replace('-', '_')}.py"
    # What `--set` and `--arm` changed; the first ledgers do not have the two fields.
    changes = {"sets": ran.get("sets", {}), "only": tuple(ran.get("only", ()))}
    trials = load_study(path).replace(**changes).trials()
    recorded = sorted(table, key=lambda row: row["trial_index"])
    assert [(r["arm"], r["seed"]) for r in recorded] == [(t.arm, t.config.seed) for t in trials]
    for row, trial in zip(recorded, trials, strict=True):
        then, now = flatten(json.loads(row["config_json"])), trial.config.flat()
        assert {k: now.get(k) for k in then} == then, row["trial_id"]


def examples(card: Path) -> list[dict[str, dict]]:
    """Return the studies of a card's Python blocks: each `base`, with the block's `space`."""
    found = []
    for block in re.findall(r"```python\n(.*?)```", card.read_text(), re.S):
        bases, space = [], {}
        for statement in ast.parse(block).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id="base")]):
                    bases.append(value(statement.value))
                case ast.Assign(targets=[ast.Name(id="space")]):
                    space = value(statement.value)
        found += [{"base": base, "space": space} for base in bases or ([{}] if space else [])]
    return found


def value(node: ast.expr) -> dict:
    return eval(compile(ast.Expression(node), "card", "eval"), {"tune": tune})


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.stem)
def test_the_study_of_a_card_runs_what_it_says(card):
    for fields in examples(card):
        trials = Study(name="card", seeds=(0,), **fields).trials()
        grids = [v["grid_search"] for v in fields["space"].values() if isinstance(v, dict)]
        assert len(trials) == max([1, *map(len, grids)])
        for trial in trials:
            tree = flatten(trial.config.tree())
            for key, wanted in flatten({**fields["base"], **fields["space"]}).items():
                if key.endswith("grid_search") or key not in tree:
                    continue  # checked below, or of the methods of other arms
                is_list = isinstance(wanted, tuple)
                assert tree[key] == (list(wanted) if is_list else wanted), (card.stem, key)
        for key, domain in fields["space"].items():
            if isinstance(domain, dict):
                found = [flatten(trial.config.tree())[key] for trial in trials]
                assert found == domain["grid_search"]


def test_the_cards_of_schedules_show_what_they_promise():
    (ramp,) = examples(ROOT / "docs/methods/schedule-ramp.md")
    schedules = [t.config.attack_schedule for t in Study(name="a", seeds=(0,), **ramp).trials()]
    assert [(s.kind, s.eps, s.until) for s in schedules] == [
        ("ramp", 0.0, until) for until in (0.25, 0.5, 1.0)
    ]
    (switch,) = examples(ROOT / "docs/methods/schedule-switch.md")
    configs = [t.config for t in Study(name="a", seeds=(0,), **switch).trials()]
    assert {c.attack.kind for c in configs} == {"fgsm-rs"}
    assert [(c.attack_schedule.at, c.attack_schedule.to) for c in configs] == [
        (at, {"name": "pgd", "steps": 10}) for at in (0.5, 0.7, 0.9)
    ]
