"""The claim table: its form, its files, and what stays blank."""

import pyarrow.parquet as pq

from rayat.claims.claim import Claim, Published, Reading
from rayat.claims.paper import Paper
from rayat.claims.table import FILES, HEADER, SMOKE, claim_table
from rayat.study import Study

ROBUST = Reading("robust", "new", "full", least=-0.03, says="taken | so")
PAPER = Paper(
    "known",
    "Known (Nobody, 2026)",
    {"smoke": None, "cpu": None},
    lambda size: Study(name="known"),
    lambda size: (
        Claim(
            "sooner",
            "new is sooner",
            Published(2.0, "abstract"),
            Reading("sooner", "new", "full", least=1.2),
        ),
        Claim("kept", "new is <as robust>", Published(None, "no figure"), ROBUST),
        Claim(
            "gone",
            "gone is sooner",
            Published(3.0, "abstract"),
            Reading("sooner", "gone", "full", 1),
        ),
    ),
    notes=("A note.",),
)


def table(runs, tier="cpu"):
    return claim_table(PAPER, tier, runs.arm("full").arm("new", passes=500).build())


def test_a_row_for_each_claim_with_blanks_where_nothing_is_known(runs):
    markdown = table(runs).markdown()
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert rows[0] == "| " + " | ".join(HEADER) + " |"
    assert len(rows) == 2 + 3 and len({row.count("|") for row in rows}) == 1
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows[2:]]
    assert cells[0] == [
        *("sooner", "2.00", "-", "2.00 [2.00, 2.00] (held)", "+0.000"),
        *("2 k", "4 k", "8 s", "8 s", "held"),
    ]
    assert cells[1][1:5] == ["-", "-", "+0.000 [+0.000, +0.000] (held)", "-"]
    assert cells[2][2:] == ["-", "-", "-", "-", "4 k", "-", "8 s", "not measured: gone was not run"]
    assert "2 held, 1 not measured" in markdown
    assert "&lt;as robust>" in markdown and "A note." in markdown and "kept: taken | so" in markdown


def test_the_smoke_tier_says_that_it_is_no_evidence(runs):
    assert SMOKE in table(runs, "smoke").notes
    assert SMOKE not in table(type(runs)()).notes


def test_the_files_hold_what_is_printed(runs, tmp_path):
    found = table(runs)
    assert [path.name for path in found.write(tmp_path)] == list(FILES)
    rows = pq.read_table(tmp_path / FILES[0]).to_pylist()
    assert rows == found.to_json()
    assert [row["verdict"] for row in rows] == ["held", "held", "not measured: gone was not run"]
    assert [row["published"] for row in rows] == [2.0, None, 3.0]
    assert rows[2]["honest"] is None and rows[0]["honest_least"] == 1.2
    assert (tmp_path / FILES[1]).read_text() == found.markdown() + "\n"
    for row in found.rows:
        assert row.claim.name in found.render() and row.said in found.render()


def test_another_run_gives_another_verdict(runs):
    slow = claim_table(PAPER, "cpu", runs.arm("full").arm("new", passes=2000).build())
    assert next(row["verdict"] for row in slow.to_json()) == "did not hold"
