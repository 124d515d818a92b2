"""Text for terminals: aligned, rounded, one line a row."""

from __future__ import annotations

import json
import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayat.cli.text import as_json, columns, duration, size

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()))


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT), min_size=1, max_size=5))
def test_every_row_is_one_line_with_nothing_invisible(rows):
    lines = columns(rows).split("\n")
    assert len(lines) == len(rows)
    for line in lines:
        line.encode()
        assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in line)


def test_columns_line_up_under_their_header():
    text = columns([("a", 1), ("bbbb", 22)], ("name", "n"))
    assert text == "name  n\na     1\nbbbb  22"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (100 * 3600, "4 d 4 h"),
        (None, "-"),
        (math.nan, "-"),
        (math.inf, "-"),
    ],
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


def test_sizes_have_a_unit():
    assert size(512 * 2**20) == "512 MiB"
    assert size(84 * 2**10) == "84 KiB"
    assert size(3.2 * 2**30) == "3.2 GiB"


def test_json_for_machines_has_no_nan():
    assert json.loads(as_json({"a": math.nan, "b": [math.inf, 1.5], 3: ("x",)})) == {
        "a": None,
        "b": [None, 1.5],
        "3": ["x"],
    }
