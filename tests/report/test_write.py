"""The report: one safe, small file that holds the verdict and what it rests on."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError

import rayat.report
from rayat.compare.table import compare
from rayat.errors import LedgerError, RayatError
from rayat.ledger.reader import read_run
from rayat.ledger.writer import Ledger
from rayat.report.page import page
from rayat.report.write import write_report

VOID = {"meta", "br", "img"}
TEMPLATES = Path(rayat.report.__file__).parent / "templates"


class Page(HTMLParser):
    """Collects tags, attributes and text; a tag that does not fit its end is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend((name, value or "") for name, value in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend((name, value or "") for name, value in attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_verdict_comes_first_and_everything_else_follows(busy, tmp_path):
    path = write_report(busy, tmp_path / "new" / "report.html")
    assert path.stat().st_size < 3_000_000
    page = Page(path.read_text(encoding="utf-8"))
    text = " ".join(page.text)
    order = [
        compare(busy).headline,
        "chosen after the runs",
        "Comparison",
        "Robust accuracy over cost",
        "Trials that did not finish",
        "best 0.41 is below the median 0.47 of 5 trials",
        "train_loss is not finite",
        "All 21 trials",
        "rayat run known.py",
        "Environment",
        "10,000 paired bootstrap",
    ]
    places = [text.find(part) for part in order]
    assert -1 not in places and places == sorted(places)
    assert page.tags.count("figure") == 5
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_it_opens_without_a_network(known, tmp_path):
    text = write_report(known, tmp_path / "report.html").read_text(encoding="utf-8")
    # The chart library names outer places; the browser's test shows that none is asked.
    assert not re.search(r"https?://|//[a-z]", re.sub(r"(?s)<script>.*?</script>", "", text))
    page = Page(text)
    assert not {"link", "iframe", "object", "base", "form"} & set(page.tags)
    assert page.tags.count("script") == 3
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in {"href", "src", "xlink:href"}:
            assert value.startswith(
                ("#", "data:image/png;base64,", "data:application/octet-stream;")
            )


def test_names_and_reasons_are_text_and_never_markup(builder, tmp_path):
    evil = "lr.shape=<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[2J\u202e"
    for seed in range(3):
        builder.trial("lr.shape=constant", seed, [0.1, 0.6], test=(0.9, 0.5))
        builder.trial(evil, seed, [0.6], test=(0.9, 0.5), reason=evil, status="collapsed")
    builder.decision("0001-s0", 1, evil)
    run = builder.build(description=evil)
    run.info["command"] = ["rayat", evil]
    run.info["environment"] = {evil: evil}
    text = write_report(run, tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "img" not in page.tags and page.tags.count("script") == 3
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "\x1b" not in text and "\u202e" not in text
    assert "<script>alert(1)</script>" in "".join(page.text)
    rows = text[text.index('id="rows">') :]
    assert "<" not in rows[: rows.index("</script>")].removeprefix('id="rows">')


@pytest.mark.parametrize("name", sorted(p.name for p in TEMPLATES.iterdir()))
def test_no_template_lets_a_value_through_as_markup(name):
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe|autoescape|Markup", text)


def test_a_template_that_names_an_unknown_value_is_an_error():
    with pytest.raises(UndefinedError, match="said"):
        page("files.html", files=[])


@pytest.mark.slow
def test_a_large_study_stays_small(builder, tmp_path):
    random = np.random.default_rng(0)
    for arm in range(26):
        for seed in range(20):
            values = list(random.uniform(0.1, 0.7, 120))
            builder.trial(f"lr.peak={arm}", seed, values, reason="x" * 5000, status="stopped")
    path = write_report(builder.build(baseline=None, target=None), tmp_path / "report.html")
    assert path.stat().st_size < 3_000_000
    text = " ".join(Page(path.read_text(encoding="utf-8")).text)
    assert "The first 500 of 520" in text and "2 arms further down the table not drawn" in text


def test_a_real_run_is_reported_with_its_checksums(tmp_path):
    folder = tmp_path / "run"
    study = {"name": "small", "metric": "val_robust_acc", "seeds": [0], "baseline": None}
    info = {"study": study, "metric": "val_robust_acc", "command": ["rayat", "train"]}
    with Ledger.create(folder, info) as ledger:
        ledger.trial(
            trial_id="0000-a-s0",
            index=0,
            arm="all",
            config_id="a",
            config_sha256="b",
            config_json="{}",
            seed=0,
            epochs=2,
            workers=1,
        )
        attempt = ledger.attempt("0000-a-s0")
        for epoch, value in enumerate([0.4, 0.5], 1):
            report = {"epoch": epoch, "lr": 0.1, "val_robust_acc": value, "fwd_passes": 100}
            ledger.report("0000-a-s0", attempt, {**report, "train_seconds": 1.0})
        ledger.end("0000-a-s0", "finished")
        ledger.project()
    run = read_run(folder)
    text = write_report(run, folder / "report.html").read_text(encoding="utf-8")
    assert "SHA-256 of the tables" in text and "epochs.parquet" in text
    assert "all is the only arm" in text
    # The report is no part of the run: reading it again changes nothing.
    assert compare(read_run(folder)).to_json() == compare(run).to_json()


def test_a_place_that_cannot_be_written_is_an_error(known, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RayatError, match="the report cannot be written"):
        write_report(known, tmp_path / "file" / "report.html")


def test_a_run_without_reports_is_refused(builder, tmp_path):
    builder.trial("all", 0, [], status="pending")
    with pytest.raises(LedgerError, match="holds no reports yet"):
        write_report(builder.build(), tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_the_table_needs_neither_torch_nor_ray_nor_matplotlib():
    code = (
        "import sys, rayat.compare.table\n"
        "print([m for m in ('torch', 'ray', 'matplotlib') if m in sys.modules])\n"
        "import rayat.report.write\n"
        "print([m for m in ('torch', 'ray', 'matplotlib.pyplot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]
