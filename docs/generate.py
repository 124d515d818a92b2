"""Write the pages that follow from the code: `python docs/generate.py` (part of `make docs`).

`dictionary.md` from the tables' schemas, `options.md` from the command line. Whoever changes either
runs this; `tests/test_generated.py` compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import typer

from rayat.claims.schema import CLAIMS
from rayat.cli.app import app
from rayat.ledger.schema import TABLES

FOLDER = Path(__file__).parent
ROWS = {
    "trials": "One row per trial: what it was told to do and what came of it.",
    "epochs": "One row per trial and epoch. Columns that a method declares follow "
    "([columns](columns.md)).",
    "decisions": "One row per decision of the stopping policy, in their order.",
    "evals": "One row per checkpoint, suite, split and radius ([evaluation](evaluation.md)).",
    "claims": "One row per claim of a paper; only beside runs of `rayat reproduce` "
    "([reproduce](reproduce.md)).",
}
DICTIONARY = """# Data dictionary

Every column of a run's Parquet tables. This page is made from the schema by
`python docs/generate.py`; the same words are in each file, as the fields' metadata.

Accuracies are fractions of 1, costs are passes of single images. What is not known is null, not a
number that stands for it; *never* in the column `null`: every row has a value. The writer is the
`driver` (of the run), the `training` (the trial's process), the `evaluation`, or the `ledger`,
which computes it from other rows. [How to read them](tables.md)."""
TYPES = {pa.float64(): "float64", pa.int64(): "int64", pa.string(): "text"}


def dictionary() -> str:
    """Return the data dictionary."""
    lines = [DICTIONARY]
    for name, schema in {**TABLES, "claims": CLAIMS}.items():
        lines += ["", f"## {name}.parquet", "", ROWS[name], ""]
        lines += ["| column | type | unit | null | meaning | written by |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        for field in schema:
            told = {key.decode(): value.decode() for key, value in field.metadata.items()}
            kind = TYPES.get(field.type, "time, UTC")
            null = "" if field.nullable else "never"
            cells = [f"`{field.name}`", kind, told["unit"], null, told["says"], told["by"]]
            lines.append(f"| {' | '.join(cells)} |")
        if name == "trials":
            says = "one column per leaf of the configuration; lists and mixed types as JSON"
            lines.append(f"| `cfg.<key>` | its own | |  | {says} | driver |")
    return "\n".join(lines) + "\n"


def options() -> str:
    """Return every verb with its arguments and options, as its `--help` has them."""
    group = typer.main.get_command(app)
    lines = [
        "# Every option",
        "",
        "What `rayat VERB --help` says, made from the program by `python docs/generate.py`.",
        "[The command line](cli.md) says what the verbs mean.",
    ]
    parent = group.make_context("rayat", [], resilient_parsing=True)
    lines += _table(group, parent)
    for name, verb in group.commands.items():
        said = re.sub(r"(?<!\n)\n(?!\n)", " ", verb.help or "").strip()
        lines += ["", f"## rayat {name}", "", said]
        lines += _table(verb, verb.make_context(name, [], parent=parent, resilient_parsing=True))
    return "\n".join(lines) + "\n"


def _table(command: Any, context: Any) -> Iterable[str]:
    records = [p.get_help_record(context) for p in command.get_params(context)]
    shown = [record for record in records if record and "--help" not in record[0]]
    if not shown:
        return
    yield from ("", "| | |", "| --- | --- |")
    for usage, said in shown:
        said = " ".join(said.split()).replace("<", "&lt;")
        cells = [cell.replace("|", r"\|") for cell in (f"`{usage}`", said)]
        yield f"| {' | '.join(cells)} |"


PAGES = {"dictionary.md": dictionary, "options.md": options}

if __name__ == "__main__":
    for page, made in PAGES.items():
        (FOLDER / page).write_text(made(), encoding="utf-8")
