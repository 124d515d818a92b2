"""CSV that loses nothing, LaTeX that a name cannot break, and the arms that were asked for."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess

import pytest

from rayat.compare.select import several_arms
from rayat.compare.table import compare
from rayat.errors import StudyError

LATEX = shutil.which("pdflatex")


def lines(comparison):
    return list(csv.DictReader(io.StringIO(comparison.csv())))


def test_csv_has_every_figure_as_it_is(busy):
    comparison = compare(busy)
    found = lines(comparison)
    assert [line["arm"] for line in found] == [row.arm for row in comparison.rows]
    for line, row in zip(found, comparison.rows, strict=True):
        assert json.loads(line["trials"]) == {str(k): v for k, v in row.trial_ids.items()}
        assert line["verdict"] == row.verdict and line["target"] == repr(comparison.target)
        for axis, estimate in row.speed_up.items():
            if estimate is None:
                assert line[f"speed_up_{axis}_value"] == ""
                continue
            assert float(line[f"speed_up_{axis}_value"]) == estimate.value
            low = line[f"speed_up_{axis}_low"]
            assert (float(low) if low else None) == estimate.low
        robust = row.robust["best"]
        assert float(line["robust_best_mean"]) == robust.mean
        assert float(line["robust_best_sd"]) == robust.sd
    assert sum(int(line["trials_stopped"]) for line in found) == 1


NASTY = 'arm=[50%_#&$~^\\{}|"`x`,y=é±<b>'


@pytest.fixture
def nasty(builder):
    builder.arm("lr.shape=constant", [[0.6]] * 3, test=(0.9, 0.5))
    return compare(builder.arm(NASTY, [[0.1, 0.6]] * 3, test=(0.9, 0.5)).build())


def test_a_name_breaks_neither_csv_nor_latex(nasty):
    assert lines(nasty)[1]["arm"] == NASTY
    text = nasty.latex()
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r" \\")]
    bare = [re.sub(r"\\[&%#_{}$]|\\text\w+\{\}|\$[^$]+\$", "", row) for row in rows]
    assert {row.count("&") for row in bare} == {10}
    assert not any(set(row) & set("%#_~^$<>|\"'`") for row in bare)
    assert all(row.startswith("{}") for row in rows), "a bracket is no argument of a line break"


@pytest.mark.skipif(LATEX is None, reason="pdflatex is not installed")
def test_latex_compiles(nasty, tmp_path):
    before = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{textcomp,booktabs}"
    text = f"{before}\n\\begin{{document}}\n{nasty.latex()}\n\\end{{document}}\n"
    (tmp_path / "t.tex").write_text(text, encoding="utf-8")
    command = [LATEX, "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout


def test_only_some_arms_are_shown_beside_their_baseline(busy):
    shown = compare(busy, only=["lr.shape=cosine,lr.shape=linear", "lr=cyclic"])
    everyone = {row.arm: row for row in compare(busy).rows}
    names = ["constant", "linear", "cosine", "cyclic"]
    assert {row.arm for row in shown.rows} == {f"lr.shape={name}" for name in names}
    assert all(row == everyone[row.arm] for row in shown.rows), "the figures are the same"
    assert shown.notes[0].startswith("Shown are 4 of the run's 7 arms")
    assert not compare(busy).notes[0].startswith("Shown")


def test_arms_are_named_by_labels_with_commas_by_parts_and_by_names(builder):
    labels = ["arm=a,lr.peak=0.1", "arm=a,lr.peak=0.2", "arm=b,lr.peak=0.1"]
    for label in labels:
        builder.arm(label, [[0.6]])
    run = builder.build(baseline=labels[0])
    assert several_arms(run, [labels[1]]) == [labels[1]]
    assert several_arms(run, ["b,a"]) == labels
    assert several_arms(run, ["lr.peak=0.1"]) == [labels[0], labels[2]]
    assert several_arms(run, ["arm=b,lr.peak=0.1"]) == [labels[2]]
    with pytest.raises(StudyError, match="no arm matches 'c'"):
        several_arms(run, ["a,c"])
