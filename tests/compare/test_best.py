"""The best of a run: the one that `confirm` would confirm first, and how sure that is."""

from __future__ import annotations

import dataclasses
import json

import pytest

from rayat.api.run import Run
from rayat.compare.best import best, settings
from rayat.compare.confirmed import as_found
from rayat.compare.ranking import ranked
from rayat.errors import ConfigError, LedgerError, StudyError

SOON, LATE = [0.1, 0.6], [0.1, 0.1, 0.1, 0.6]


def run_of(builder, **arms):
    for arm, curves in arms.items():
        builder.arm(f"arm={arm}", curves, cfg={"lr": arm}, test=(0.9, 0.5))
    return builder.build(baseline="base")


def test_the_best_is_the_first_to_the_target_with_its_interval_and_the_doubt_that_is_left(builder):
    found = best(run_of(builder, base=[LATE] * 3, soon=[SOON] * 3, never=[[0.2, 0.4]] * 3), top=2)
    first, second = found.rows
    assert (first.arm, second.arm) == ("arm=soon", "arm=base")
    assert first.cost == 2000 and first.reached == 3 and first.verdict == "faster"
    assert first.speed_up["passes"].value == 2 and second.speed_up["passes"] is None
    assert found.answer.startswith("arm=soon (arm=soon) reached 0.500 in all of its 3 seeds")
    assert "the best of 3 configurations is partly luck: `rayat confirm runs/known`" in found.sure
    assert "speed-up 2.00 [2.00, 2.00] in passes" in found.sure
    assert settings(first)[1] == "lr soon (baseline base)"
    assert json.dumps(found.to_json(), allow_nan=False)


def test_a_single_seed_is_unconfirmed(builder):
    found = best(run_of(builder, base=[LATE], soon=[SOON]))
    assert len(found.rows) == 1 and found.rows[0].speed_up["passes"].low is None
    assert found.sure.startswith("One seed: unconfirmed")


def test_without_a_target_that_anyone_reached_the_value_ranks(builder):
    found = best(run_of(builder, base=[[0.1, 0.2]] * 3, better=[[0.1, 0.4], [0.1, 0.4]]))
    assert found.rows[0].arm == "arm=better" and found.rows[0].cost is None
    assert "reached 0.500 in 0 of 2 seeds, and no configuration" in found.answer


def test_the_baseline_may_be_the_best_and_what_was_measured_otherwise_is_not_ranked(builder):
    builder.arm("arm=base", [SOON] * 3, cfg={"attack.eps": 0.1, "attack": {"eps": 0.1}})
    builder.arm("arm=late", [LATE] * 3, cfg={"attack.eps": 0.1, "attack": {"eps": 0.1}})
    builder.arm("arm=easy", [[0.9]] * 3, cfg={"attack.eps": 0.01, "attack": {"eps": 0.01}})
    found = best(builder.build(baseline="base"), top=9)
    assert [row.arm for row in found.rows] == ["arm=base", "arm=late"]
    assert found.sure.startswith("The baseline itself ranks first")
    assert found.notes[0].startswith("1 configuration of 3 were measured otherwise")


def test_of_a_confirmation_its_answer_is_the_answer(builder, make_run):
    search = run_of(builder, base=[LATE] * 3, lucky=[SOON] * 3)
    lucky, base = ranked(search, 0.5)
    fresh = make_run()
    for arm, curve in (("arm=baseline", LATE), ("arm=found-1", SOON)):
        fresh.arm(arm, [curve] * 3, test=(0.9, 0.5))
    run = fresh.build(baseline="baseline")
    confirms = {"arm=baseline": as_found(base), "arm=found-1": as_found(lucky)}
    run = dataclasses.replace(run, info={**run.info, "origin": {"confirms": confirms}})
    found = best(run)
    assert found.rows[0].arm == "arm=found-1"
    assert found.sure.startswith("Train with this: arm=lucky.")
    nothing = dataclasses.replace(run, trials=run.trials.assign(status="stopped"))
    nothing.epochs.loc[:, "val_robust_acc"] = 0.1
    assert best(nothing).sure.startswith("Nothing confirmed")


def test_the_file_is_a_configuration_without_a_seed(builder, tmp_path):
    run = run_of(builder, base=[LATE] * 3, soon=[SOON] * 3)
    found = best(run)
    tree = json.loads(found.write(tmp_path / "best.json").read_text())
    assert tree == found.config == {"arm": "arm=soon", "lr": "soon"}
    with pytest.raises(ConfigError, match="is a folder; name a file"):
        found.write(tmp_path)
    imported = dataclasses.replace(run, info={**run.info, "imported": {"from": "a table"}})
    with pytest.raises(LedgerError, match="was imported"):
        best(imported).write(tmp_path / "best.json")
    with pytest.raises(StudyError, match="top is how many configurations"):
        best(run, top=0)


def test_from_python_it_is_asked_of_the_run(builder):
    run = run_of(builder, base=[LATE] * 3, soon=[SOON] * 3)
    asked = Run(**{f.name: getattr(run, f.name) for f in dataclasses.fields(run)})
    assert asked.best().config["arm"] == "arm=soon"
    assert asked.chosen()["arm"] == "arm=base"  # equal values: the study's order
