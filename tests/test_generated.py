"""The pages that are made from the code are what it says now, and every column explains itself."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rayat.claims.schema import CLAIMS
from rayat.ledger.publish import parquet
from rayat.ledger.schema import TABLES

DOCS = Path(__file__).parents[1] / "docs"
SCHEMAS = {**TABLES, "claims": CLAIMS}


def generating():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["dictionary.md", "options.md"])
def test_a_generated_page_is_what_the_code_says(page):
    made = generating().PAGES[page]()
    assert (DOCS / page).read_text(encoding="utf-8") == made, "run: python docs/generate.py"


def test_every_verb_and_option_is_in_the_reference():
    import typer

    from rayat.cli.app import app

    text = generating().options().replace(r"\|", "|")
    for name, verb in typer.main.get_command(app).commands.items():
        part = text.partition(f"## rayat {name}\n")[2].partition("\n## ")[0]
        for option in verb.params:
            shown = (
                option.opts[0] if option.opts[0].startswith("-") else option.metavar or option.name
            )
            assert f"`{shown}" in part, f"{name} {shown}"


@pytest.mark.parametrize(
    ("table", "field"), [(name, field) for name, schema in SCHEMAS.items() for field in schema]
)
def test_a_column_says_what_it_is_and_who_writes_it(table, field):
    told = {key.decode(): value.decode() for key, value in field.metadata.items()}
    assert set(told) == {"unit", "says", "by"}
    assert told["says"] and told["by"] and len(told["says"]) < 120
    assert told["unit"] or not field.name.endswith(("_seconds", "_passes", "_bytes", "_acc"))


def test_a_parquet_file_explains_itself():
    table = TABLES["evals"].empty_table()
    read = pq.read_schema(io.BytesIO(parquet(table)))
    assert read.field("eps").metadata[b"unit"] == b"pixel scale or l2 length"
    assert read.field("robust_acc").metadata[b"by"] == b"evaluation"
