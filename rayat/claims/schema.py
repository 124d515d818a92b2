"""The table of claims: every column with its unit, what it says and who writes it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from rayat.ledger.schema import told

STUDY, COMPARED = "the paper's study", "comparison"
"""Who writes a column: copied from the claim, or computed from the run's trials."""


def _figure(name: str, what: str) -> list[Any]:
    f, i, s = pa.float64(), pa.int64(), pa.string()
    unit = "factor, or difference of shares"
    return [
        told(f"{name}_quantity", s, STUDY, f"{what}: sooner, cheaper or robust"),
        told(name, f, COMPARED, f"{what}: the quantity here; null: no figure", unit),
        told(f"{name}_low", f, COMPARED, "lower end of its interval", unit),
        told(f"{name}_high", f, COMPARED, "upper end of its interval", unit),
        told(f"{name}_bound", s, COMPARED, "`<` or `>`: it is a bound, as trials never got there"),
        told(f"{name}_pairs", i, COMPARED, "that it rests on", "seeds"),
        told(f"{name}_least", f, STUDY, "the claim asks for at least this", unit),
        told(f"{name}_most", f, STUDY, "the claim asks for at most this", unit),
        told(f"{name}_word", s, COMPARED, "whether the interval lies where the claim asks"),
    ]


def _schema() -> pa.Schema:
    f, s = pa.float64(), pa.string()
    return pa.schema(
        [
            told("paper", s, STUDY, "its short name, as `rayat reproduce` takes it"),
            told("tier", s, STUDY, "smoke, cpu or full"),
            told("data", s, COMPARED, "names of the run's data sets"),
            told("claim", s, STUDY, "its name"),
            told("says", s, STUDY, "the claim in a sentence"),
            told("arm", s, STUDY, "what is claimed of, in the honest reading"),
            told("control", s, STUDY, "beside what, in the honest reading"),
            told("controls", s, STUDY, "all controls that the claim needs"),
            told("published", f, STUDY, "by the paper; null: none to trust", "as `faithful`"),
            told("source", s, STUDY, "where that stands"),
            *_figure("faithful", "compared as the paper does"),
            *_figure("honest", "decided on validation, the control matched"),
            told("difference", f, COMPARED, "honest less published", "as `honest`"),
            told("passes", f, COMPARED, "of the arm's whole training, mean", "passes"),
            told("control_passes", f, COMPARED, "of the control's, mean", "passes"),
            told("seconds", f, COMPARED, "of the arm's whole training, mean", "s"),
            told("control_seconds", f, COMPARED, "of the control's, mean", "s"),
            told("verdict", s, COMPARED, "held, did not hold, not shown or not measured"),
            told("why", s, COMPARED, "the reason, for a reader"),
        ]
    )


CLAIMS = _schema()
