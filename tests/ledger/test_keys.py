"""What is known of the tables without loading Arrow, and that a driver starts without it."""

from __future__ import annotations

import subprocess
import sys

from rayat.columns import SHARED_FROM
from rayat.ledger.keys import DERIVED, REPORT_KEYS, TABLE_NAMES, VALUES
from rayat.ledger.schema import EPOCHS, TABLES

HEAVY = ("pyarrow", "numpy", "pandas", "torch", "ray")


def test_the_names_are_those_of_the_tables():
    assert tuple(TABLES) == TABLE_NAMES
    kept = [n for n in EPOCHS.names if n in REPORT_KEYS and n not in DERIVED and n != "epoch"]
    assert (*kept, "outcome", SHARED_FROM) == VALUES


def test_what_a_run_is_loads_nothing_heavy():
    code = (
        "import sys, rayat.runs.driver, rayat.runs.record, rayat.runs.search\n"
        "import rayat.runs.following, rayat.ledger.writer, rayat.ledger.reader\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
