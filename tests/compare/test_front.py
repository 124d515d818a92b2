"""A search as a whole: its front, its names, its axes counted, in text, picture and report."""

from __future__ import annotations

import dataclasses
import json

import pytest

from rayat.api.run import Run
from rayat.compare.front import front, pareto, searched
from rayat.compare.fronttable import axes_cells, cells
from rayat.errors import LedgerError
from rayat.report.write import write_report


@pytest.fixture
def search(builder):
    """A control and four searched configurations; the target is 0.5, an epoch 1000 passes."""

    def one(config, values, shape, attack, pruning, status="finished", arm="arm=searched"):
        cfg = {"lr": {"shape": shape}, "attack": attack, "pruning": pruning}
        for seed, curve in enumerate(values):
            builder.trial(arm, seed, curve, config=config, cfg=cfg, status=status)

    pgd, free = {"name": "pgd", "steps": 10}, {"name": "pgd", "steps": 2}
    none, half = {"name": "none", "fraction": 0.5}, {"name": "random", "fraction": 0.5}
    one("base", [[0.1, 0.2, 0.5, 0.6]] * 2, "flat", pgd, none, arm="arm=control")
    one("soon", [[0.1, 0.5], [0.2, 0.6]], "cyclic", free, half)
    one("late", [[0.1, 0.2, 0.3, 0.4, 0.9]] * 2, "cyclic", pgd, none)
    one("bad", [[0.1, 0.1, 0.3]] * 2, "flat", free, half | {"fraction": 0.3}, status="stopped")
    one("half", [[0.1, 0.7], [0.1, 0.2]], "flat", {"name": "fgsm"}, none)
    one("broke", [[0.99]], "flat", free, none, status="failed")
    return builder.build(
        baseline="control",
        controls={"control": {}},
        nuisance=["lr.shape", "attack", "pruning", "pruning.fraction"],
    )


def test_a_point_on_the_front_is_beaten_by_no_other():
    cost = {"a": 1.0, "b": 1.0, "c": 2.0, "d": 3.0, "e": 3.0, "f": 4.0}
    value = {"a": 0.5, "b": 0.4, "c": 0.5, "d": 0.7, "e": 0.7, "f": 0.6}
    assert pareto(cost, value) == {"a", "d", "e"}
    assert pareto({}, value) == set()


def test_configurations_by_cost_and_value_named_by_what_differs(search):
    found = front(search)
    by = {p.config_id: p for p in found.points}
    assert list(by) == ["soon", "base", "late", "half", "bad"]  # the rank; `broke` is not sound
    assert (by["soon"].cost, by["soon"].value, by["soon"].to_target) == (2000, 0.55, 2000)
    assert (by["late"].cost, by["late"].to_target) == (5000, 5000)
    assert by["half"].to_target is None and by["half"].reached == 1
    assert by["bad"].stopped and not by["late"].stopped and by["base"].is_baseline
    assert [p.config_id for p in found.front] == ["soon", "base", "late"]
    assert [p.config_id for p in found.target_front] == ["soon", "base", "late"]
    assert by["soon"].name == (
        "lr.shape=cyclic, attack=pgd(steps=2), pruning=random, pruning.fraction=0.5"
    )
    assert by["late"].name == "lr.shape=cyclic" and by["base"].name == "arm=control"
    assert "luck flatters the best" in found.warning and "rayat confirm" in found.warning
    assert json.dumps(found.to_json(), allow_nan=False)
    assert cells(found.points)[4][-2] == "stopped early"


def test_axes_count_only_what_has_them_and_controls_are_at_no_point(search):
    rows = {(row.axis, row.value): row for row in front(search).axes}
    cyclic, flat = rows["lr.shape", "cyclic"], rows["lr.shape", "flat"]
    assert (cyclic.configurations, cyclic.stopped, cyclic.reached) == (2, 0, 2)
    assert (cyclic.to_target, cyclic.best) == (3500, pytest.approx(0.725))
    assert (flat.configurations, flat.stopped, flat.reached, flat.to_target) == (2, 1, 0, None)
    # `none` keeps a fraction that does nothing in it.
    assert rows["pruning.fraction", "0.5"].configurations == 1
    assert rows["pruning.fraction", "0.3"].configurations == 1
    assert {value for axis, value in rows if axis == "attack"} == {
        "fgsm", "pgd(steps=2)", "pgd(steps=10)",
    }  # fmt: skip
    assert [line[0] for line in axes_cells(front(search).axes)][:3] == ["lr.shape", "", "attack"]


def test_many_numbers_of_an_axis_become_three_groups(builder):
    for number in range(1, 13):
        cfg = {"lr": {"peak": number / 100}}
        builder.trial("arm=searched", 0, [0.6], config=f"c{number}", cfg=cfg)
    found = front(builder.build(baseline="searched", nuisance=["lr.peak"]))
    assert [(row.value, row.configurations) for row in found.axes] == [
        ("0.01 to 0.04", 4), ("0.05 to 0.08", 4), ("0.09 to 0.12", 4),
    ]  # fmt: skip


def test_an_axis_that_the_arm_names_is_named_once(builder):
    for shape in ("flat", "cyclic"):
        cfg = {"lr": {"shape": shape, "peak": 0.1 if shape == "flat" else 0.2}}
        builder.trial(f"lr.shape={shape}", 0, [0.6], cfg=cfg)
    axes = {"scientific": ["lr.shape"], "nuisance": ["lr.peak"]}
    found = front(builder.build(baseline="lr.shape=flat", **axes))
    assert [p.name for p in found.points] == ["lr.shape=flat", "lr.shape=cyclic, lr.peak=0.2"]


def test_the_report_shows_it_where_an_arm_has_several_configurations(search, make_run, tmp_path):
    asked = Run(**{f.name: getattr(search, f.name) for f in dataclasses.fields(search)})
    assert asked.front() == front(search)
    text = write_report(search, tmp_path / "a.html").read_text()
    assert "All configurations of the search" in text and "attack=pgd(steps=2)" in text
    assert "each axis by itself" in text and "luck flatters the best" in text
    plain = make_run().arm("arm=a", [[0.6]]).arm("arm=b", [[0.4]]).build(baseline="a")
    assert not searched(plain)
    assert "All configurations" not in write_report(plain, tmp_path / "b.html").read_text()


def test_a_report_needs_no_value_of_the_baseline(make_run, tmp_path):
    builder = make_run()
    builder.trial("arm=a", 0, [None])
    for config in ("b", "c"):
        builder.trial("arm=b", 0, [0.6], config=config)
    text = write_report(builder.build(baseline="a"), tmp_path / "a.html").read_text()
    assert "All configurations" not in text


def test_without_recorded_passes_there_is_no_cost(search):
    nothing = search.trials.assign(fwd_passes=None, bwd_passes=None)
    for name in [c for c in nothing.columns if c.endswith("_passes")]:
        nothing[name] = None
    with pytest.raises(LedgerError, match="no passes were recorded"):
        front(dataclasses.replace(search, trials=nothing))
