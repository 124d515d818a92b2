"""Pictures: drawn for every state of a run, the same bytes twice, in one set of colours."""

from __future__ import annotations

import pytest

from rayat.compare import marks, plots
from rayat.compare.table import compare
from rayat.errors import RayatError

DRAWINGS = {
    "curves": plots.draw_curves,
    "cost": plots.draw_cost,
    "rates": plots.draw_rates,
    "pareto": lambda run, comparison: plots.draw_pareto(comparison),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_picture_is_written_and_repeatable(known, tmp_path, name):
    comparison = compare(known)
    path = plots.save(DRAWINGS[name](known, comparison), tmp_path / "pictures" / f"{name}.svg")
    text = path.read_text()
    assert "<svg" in text and "cyclic" in text
    again = plots.save(DRAWINGS[name](known, comparison), tmp_path / "again.svg")
    assert again.read_bytes() == path.read_bytes()


def test_a_picture_can_be_points(busy, tmp_path):
    path = plots.save(plots.draw_pareto(compare(busy)), tmp_path / "pareto.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_run_that_has_just_begun_can_be_drawn(builder, name):
    builder.trial("lr.shape=constant", 0, [None])
    builder.trial("lr.shape=$later_", 0, [], status="pending")
    run = builder.build()
    assert plots.picture(DRAWINGS[name](run, compare(run)), "svg")


def test_an_arm_keeps_its_colour_whatever_it_is_compared_with(busy):
    looks = marks.looks(compare(busy))
    assert len(set(looks.values())) == 7
    assert looks["lr.shape=constant"][0] == marks.BASELINE
    assert looks == marks.looks(compare(busy, target=0.3))


def test_more_arms_than_colours_differ_by_their_lines(builder):
    for number in range(20):
        builder.trial(f"lr.peak={number}", 0, [0.6])
    comparison = compare(builder.build(baseline=None))
    assert len(set(marks.looks(comparison).values())) == 20


def test_shapes_are_drawn_side_by_side(tmp_path):
    figure = plots.draw_shapes([("constant", [0.1] * 5), ("linear", [0.1, 0.05, 0.0])])
    svg = plots.picture(figure, "svg").decode()
    assert "constant" in svg and "linear" in svg
    with pytest.raises(RayatError, match="no shape to draw"):
        plots.draw_shapes([])


def test_a_picture_of_another_kind_or_place_is_refused(tmp_path):
    figure = plots.draw_shapes([("constant", [0.1])])
    with pytest.raises(RayatError, match=r"\.svg or \.png, got 'a\.pnj' \(did you mean 'png'\?\)"):
        plots.save(figure, tmp_path / "a.pnj")
    (tmp_path / "file").write_text("")
    with pytest.raises(RayatError, match="cannot be written"):
        plots.save(figure, tmp_path / "file" / "a.png")
