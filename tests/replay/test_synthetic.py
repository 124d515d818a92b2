"""The generated curves are what they say, and the committed table is the command's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rayat.replay.synthetic import COLLAPSES, save, synthetic

COMMITTED = Path(__file__).parents[2] / "results" / "curves" / "synthetic.parquet"


def test_equal_seeds_give_equal_tables():
    pd.testing.assert_frame_equal(synthetic(6, 10, 1), synthetic(6, 10, 1))
    assert not synthetic(6, 10, 1).equals(synthetic(6, 10, 2))


def test_accuracies_are_fractions_and_collapses_are_marked():
    table = synthetic(120, 30, 0)
    for column in ("robust_acc", "clean_acc", "test_robust_acc"):
        assert table[column].between(0, 1).all()
    shares = table.groupby("attack")["collapse_epoch"].apply(lambda c: c.notna().mean())
    assert (shares[["pgd-2", "pgd-7"]] == 0).all()
    assert shares["fgsm"] == pytest.approx(COLLAPSES["fgsm"], abs=0.2)
    hit = table[table["epoch"] == table["collapse_epoch"]]
    assert (hit["test_robust_acc"] < 0.12).all()


def test_the_committed_table_is_what_the_command_makes(tmp_path):
    if not COMMITTED.is_file():
        pytest.skip("the results are not part of this installation")
    save(synthetic(), tmp_path / "again.parquet")
    again, kept = pd.read_parquet(tmp_path / "again.parquet"), pd.read_parquet(COMMITTED)
    assert list(again) == list(kept)
    numbers = again.select_dtypes("float").columns
    assert np.allclose(again[numbers], kept[numbers], atol=0.05)
