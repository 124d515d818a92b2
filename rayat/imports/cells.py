"""CSV as spreadsheets and languages write it: which separator, which decimal sign, which spaces."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pandas as pd

from rayat.compare.text import plural
from rayat.errors import LedgerError

SEPARATORS = (",", ";", "\t")


def read_csv(path: Path) -> pd.DataFrame:
    """Return a table with commas, semicolons or tabs between its cells, whichever its heading has.

    Spaces around names and texts are no part of them. Between semicolons a comma is a decimal one.
    """
    with path.open(encoding="utf-8-sig") as file:
        heading = re.sub(r'"[^"]*"', "", file.readline())
    separator = max(SEPARATORS, key=heading.count)
    decimal = "," if separator == ";" else "."
    table = pd.read_csv(
        path, sep=separator, decimal=decimal, skipinitialspace=True, encoding="utf-8-sig"
    )
    table.columns = [str(name).strip() for name in table.columns]
    double = [name for name, n in Counter(table.columns).items() if n > 1]
    if double:
        raise LedgerError(f"{path}: has {plural(len(double), 'name')} twice: {', '.join(double)}")
    texts = table.select_dtypes(include=["object", "string"]).columns
    table[texts] = table[texts].apply(
        lambda cells: cells.map(lambda cell: cell.strip() if isinstance(cell, str) else cell)
    )
    return table
