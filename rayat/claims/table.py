"""The claim table: published beside faithful and honest, with interval, cost and verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayat.claims.claim import Published
from rayat.claims.judge import WORDS, Judged, judge, shown, word
from rayat.claims.measure import Figure, Measured
from rayat.claims.paper import Paper
from rayat.compare.accuracy import MeanSd
from rayat.compare.comparison import plain
from rayat.compare.text import (
    NONE,
    cell,
    count,
    escaped,
    factor,
    fraction,
    percent,
    printable,
    seconds,
    wrapped,
)
from rayat.ledger.files import replace_file
from rayat.ledger.publish import parquet
from rayat.ledger.reader import Run

FILES = ("claims.parquet", "claims.md")
HEADER = (
    "claim",
    "published",
    "as published, here",
    "honest, here",
    "honest - published",
    "passes",
    "of control",
    "seconds",
    "of control",
    "verdict",
)
SMOKE = (
    "This is the smoke tier: it shows that the command works. Its verdicts are of a training of "
    "seconds on digits and say nothing about the paper."
)


@dataclass(frozen=True)
class ClaimTable:
    """The claims of a paper beside what one run gives for each.

    Attributes:
        paper, cites, tier: which study. data: names of the run's data sets. rows: the claims.
        notes: what a reader must know, a sentence each.
    """

    paper: str
    cites: str
    tier: str
    data: tuple[str, ...]
    rows: tuple[Judged, ...]
    notes: tuple[str, ...]

    @property
    def counts(self) -> str:
        """Return how many claims have which verdict: `3 held, 1 not shown`."""
        found = Counter(row.verdict for row in self.rows)
        return ", ".join(f"{found[verdict]} {verdict}" for verdict in WORDS if found[verdict])

    def render(self) -> str:
        """Return the table for a terminal: each claim with its verdict and its figures."""
        lines = [f"{self.title}: {self.counts}", ""]
        for row in self.rows:
            lines += [
                f"{row.claim.name}: {row.said}",
                f"  published  {published(row.claim.published)}, {row.claim.published.source}",
                f"  as published, here  {_figure(row.faithful)}",
                f"  honest, here        {_figure(row.honest)}",
                f"  cost of {row.claim.honest.arm}: {_cost(row.passes[0], count)} passes, "
                f"{_cost(row.seconds[0], seconds)}; of {row.claim.honest.control}: "
                f"{_cost(row.passes[1], count)} passes, {_cost(row.seconds[1], seconds)}",
                wrapped(row.why, "  "),
                "",
            ]
        lines += [wrapped(note, "! ") for note in self.notes]
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return the table for GitHub, then a sentence for each claim and the notes."""
        body = [
            (
                row.claim.name,
                published(row.claim.published),
                _figure(row.faithful),
                _figure(row.honest),
                _difference(row),
                _cost(row.passes[0], count),
                _cost(row.passes[1], count),
                _cost(row.seconds[0], seconds),
                _cost(row.seconds[1], seconds),
                row.said,
            )
            for row in self.rows
        ]
        lines = [
            "| " + " | ".join(map(cell, map(printable, line))) + " |" for line in (HEADER, *body)
        ]
        lines.insert(1, "| --- |" + " ---: |" * (len(HEADER) - 2) + " --- |")
        said = [
            f"- **{row.claim.name}**: {escaped(printable(row.why))} Published: "
            f"{published(row.claim.published)}, {escaped(printable(row.claim.published.source))}."
            for row in self.rows
        ]
        notes = [f"- {escaped(printable(note))}" for note in self.notes]
        return "\n".join([f"{self.title}: {self.counts}.", "", *lines, "", *said, "", *notes])

    @property
    def title(self) -> str:
        """Return the paper, the tier and the data in one line."""
        return f"{self.cites}, tier {self.tier} on {' and '.join(map(printable, self.data))}"

    def to_json(self) -> list[dict[str, Any]]:
        """Return a row for each claim, as `claims.parquet` holds it; null for unknown."""
        return [plain(self._row(row)) for row in self.rows]

    def write(self, folder: Path) -> list[Path]:
        """Write `claims.parquet` and `claims.md` into a run's folder and return their paths.

        Raises:
            LedgerError: they cannot be written.
        """
        import pyarrow as pa

        from rayat.claims.schema import CLAIMS

        rows = self.to_json()
        table = pa.table(
            {
                field.name: pa.array([row[field.name] for row in rows], field.type)
                for field in CLAIMS
            },
            schema=CLAIMS.with_metadata({"notes": "\n".join(self.notes)}),
        )
        replace_file(folder / FILES[0], parquet(table))
        replace_file(folder / FILES[1], (self.markdown() + "\n").encode())
        return [folder / name for name in FILES]

    def _row(self, row: Judged) -> dict[str, Any]:
        claim = row.claim
        return {
            "paper": self.paper,
            "tier": self.tier,
            "data": ", ".join(self.data),
            "claim": claim.name,
            "says": claim.says,
            "arm": claim.honest.arm,
            "control": claim.honest.control,
            "controls": ", ".join(arm for arm in claim.needed if claim.is_control(arm)),
            "published": claim.published.value,
            "source": claim.published.source,
            **_flat("faithful", row.faithful),
            **_flat("honest", row.honest),
            "difference": row.difference,
            "passes": _mean(row.passes[0]),
            "control_passes": _mean(row.passes[1]),
            "seconds": _mean(row.seconds[0]),
            "control_seconds": _mean(row.seconds[1]),
            "verdict": row.said,
            "why": row.why,
        }


def claim_table(paper: Paper[Any], tier: str, run: Run) -> ClaimTable:
    """Return the claim table of a paper's run.

    Raises:
        LedgerError: the run holds no report. StudyError: it is no run of the paper.
    """
    measured, rows = judge(run, paper.claims(tier))
    data = tuple(dict.fromkeys(str(each["name"]) for each in run.info.get("data") or ()))
    notes = [*([SMOKE] if tier == "smoke" else []), *paper.notes, *paper.tier_notes.get(tier, ())]
    for row in rows:
        for reading in row.claim.readings:
            if reading.says and (text := f"{row.claim.name}: {reading.says}") not in notes:
                notes.append(text)
    notes += _settings(measured)
    return ClaimTable(paper.name, paper.cites, tier, data, tuple(rows), tuple(notes))


def _settings(measured: Measured) -> list[str]:
    """Return by what the figures were made, a sentence each."""
    tested = measured.tested.source if measured.tested else "none: the test set was not looked at"
    return [
        f"Target {fraction(measured.target)} of {measured.run.info['metric']}, {measured.origin}; "
        f"robust accuracy: {tested}; {percent(measured.by.level)} {measured.by.method}, each for "
        "one comparison.",
        "Held: the whole interval lies where the claim asks. Did not hold: all of it lies outside, "
        "or the arm's training broke or never got there. Not shown: the interval holds both, or a "
        "figure is missing. Not measured: an arm that the claim needs has not run.",
        "Passes and seconds are those of a whole training with its validation, of the claim's arm "
        "and of its honest control; the final test is outside.",
    ]


def published(value: Published) -> str:
    """Return the published figure, `-` where it is blank."""
    if value.value is None:
        return NONE
    return factor(value.value)


def _figure(figure: Figure | None) -> str:
    return NONE if figure is None else f"{shown(figure)} ({word(figure)})"


def _difference(row: Judged) -> str:
    return fraction(row.difference, sign=True)


def _cost(value: MeanSd | None, unit: Any) -> str:
    return NONE if value is None else str(unit(value.mean))


def _mean(value: MeanSd | None) -> float | None:
    return None if value is None else value.mean


def _flat(name: str, figure: Figure | None) -> dict[str, Any]:
    found = None if figure is None else figure.estimate
    return {
        f"{name}_quantity": None if figure is None else figure.reading.quantity,
        name: None if found is None else found.value,
        f"{name}_low": None if found is None else found.low,
        f"{name}_high": None if found is None else found.high,
        f"{name}_bound": None if found is None else found.bound,
        f"{name}_pairs": None if found is None else found.pairs,
        f"{name}_least": None if figure is None else figure.reading.least,
        f"{name}_most": None if figure is None else figure.reading.most,
        f"{name}_word": None if figure is None else word(figure),
    }
