"""A study's file is read as it stands, and its folder stays as it is."""

from __future__ import annotations

import os
import sys

from rayat.study import load_study

STUDY = """
from rayat.study import Study
from beside import EPOCHS
study = Study(name="s", base={"epochs": EPOCHS, "batch_size": 16}, seeds=(0,))
"""


def test_a_file_that_was_saved_again_within_a_second_is_read_again(tmp_path, monkeypatch):
    """Python tells what a file compiled to by its size and the second of its time."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    found = []
    for batch, epochs in ((16, 3), (32, 5)):
        texts = {"study.py": STUDY.replace("16", str(batch)), "beside.py": f"EPOCHS = {epochs}\n"}
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
            os.utime(tmp_path / name, (10**9, 10**9))
        (trial,) = load_study(tmp_path / "study.py").trials()
        found.append((trial.config.batch_size, trial.config.epochs))
    assert found == [(16, 3), (32, 5)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beside.py", "study.py"]
    assert not sys.dont_write_bytecode
