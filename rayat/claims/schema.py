"""The table of claims: every column with its unit, what it says and who writes it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

STUDY, COMPARED = "the paper's study", "comparison"
"""Who writes a column: copied from the claim, or computed from the run's trials."""


def _told(name: str, kind: Any, by: str, says: str, unit: str = "") -> Any:
    return pa.field(name, kind, metadata={"unit": unit, "says": says, "by": by})


def _figure(name: str, what: str) -> list[Any]:
    f, i, s = pa.float64(), pa.int64(), pa.string()
    unit = "factor, or difference of shares"
    return [
        _told(f"{name}_quantity", s, STUDY, f"{what}: sooner, cheaper or robust"),
        _told(name, f, COMPARED, f"{what}: the quantity here; null: no figure", unit),
        _told(f"{name}_low", f, COMPARED, "lower end of its interval", unit),
        _told(f"{name}_high", f, COMPARED, "upper end of its interval", unit),
        _told(f"{name}_bound", s, COMPARED, "`<` or `>`: it is a bound, as trials never got there"),
        _told(f"{name}_pairs", i, COMPARED, "that it rests on", "seeds"),
        _told(f"{name}_least", f, STUDY, "the claim asks for at least this", unit),
        _told(f"{name}_most", f, STUDY, "the claim asks for at most this", unit),
        _told(f"{name}_word", s, COMPARED, "whether the interval lies where the claim asks"),
    ]


def _schema() -> pa.Schema:
    f, s = pa.float64(), pa.string()
    return pa.schema(
        [
            _told("paper", s, STUDY, "its short name, as `rayat reproduce` takes it"),
            _told("tier", s, STUDY, "smoke, cpu or full"),
            _told("data", s, COMPARED, "names of the run's data sets"),
            _told("claim", s, STUDY, "its name"),
            _told("says", s, STUDY, "the claim in a sentence"),
            _told("arm", s, STUDY, "what is claimed of, in the honest reading"),
            _told("control", s, STUDY, "beside what, in the honest reading"),
            _told("controls", s, STUDY, "all controls that the claim needs"),
            _told("published", f, STUDY, "by the paper; null: none to trust", "as `faithful`"),
            _told("source", s, STUDY, "where that stands"),
            *_figure("faithful", "compared as the paper does"),
            *_figure("honest", "decided on validation, the control matched"),
            _told("difference", f, COMPARED, "honest less published", "as `honest`"),
            _told("passes", f, COMPARED, "of the arm's whole training, mean", "passes"),
            _told("control_passes", f, COMPARED, "of the control's, mean", "passes"),
            _told("seconds", f, COMPARED, "of the arm's whole training, mean", "s"),
            _told("control_seconds", f, COMPARED, "of the control's, mean", "s"),
            _told("verdict", s, COMPARED, "held, did not hold, not shown or not measured"),
            _told("why", s, COMPARED, "the reason, for a reader"),
        ]
    )


CLAIMS = _schema()
