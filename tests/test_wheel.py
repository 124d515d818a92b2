"""The built wheel holds all that a study needs, and works in another folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.own_ray
def test_a_study_runs_from_the_built_wheel_in_another_folder(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {Path(name) for name in archive.namelist()}
        templates = [p.relative_to(ROOT) for p in ROOT.glob("rayat/report/templates/*")]
        assert templates and set(templates) <= held
        papers = [
            Path("rayat") / p.relative_to(ROOT) for p in ROOT.glob("search_spaces/papers/*.py")
        ]
        assert len(papers) > 5 and set(papers) <= held
        archive.extractall(tmp_path / "site")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    # The extracted wheel comes before the editable install of the checkout.
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [
        *(sys.executable, "-m", "rayat.cli", "run", "quickstart", "--json", "--out", "run"),
        *("--set", "epochs=1", "--set", "data.train_size=128", "--set", "eval.final_size=64"),
    ]
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    where = [sys.executable, "-c", "import rayat; print(rayat.__file__)"]
    found = subprocess.run(where, cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert str(tmp_path) in found.stdout
    assert (elsewhere / "run" / "trials.parquet").exists()
