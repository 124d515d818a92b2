"""A user's files, wrong in every plausible way: one sentence, no traceback, the files untouched."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from sizes import tries

FEW = settings(
    max_examples=tries(10, 50), suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def png(size=(8, 8), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture
def planned(rayat, tmp_path):
    """Return a function: `rayat plan` of a study on a source; its exit code and last line."""

    def ask(source):
        path = tmp_path / "mine.py"
        path.write_text(
            "from rayat.study import Study\n"
            f'study = Study(name="s", base={{"data": {source!r}, "model": {{"name": "cnn"}}, '
            '"epochs": 1, "attack": {"name": "fgsm", "eps": 0.1}, "eval": {"steps": 1}}, '
            "seeds=(0,))\n"
        )
        result = rayat("plan", path, "--cpus", 1)
        assert result.exit_code in (0, 2), (result.output, result.exception)
        assert "Traceback" not in result.output + result.stderr
        return result.exit_code, result.stderr.strip().splitlines()[-1]

    return ask


@FEW
@given(cut=st.integers(0, 200), noise=st.binary(max_size=30), place=st.integers(0, 300))
def test_a_damaged_image_is_named_or_read(planned, tmp_path_factory, cut, noise, place):
    root = tmp_path_factory.mktemp("pets")
    for split in ("train", "test"):
        for label in ("cat", "mouse"):
            (root / split / label).mkdir(parents=True)
            for index in range(12):
                (root / split / label / f"{index}.png").write_bytes(
                    png(seed=len(split + label) * 100 + index)
                )
    broken = root / "train" / "cat" / "3.png"
    whole = broken.read_bytes()
    damaged = whole[:place] + noise + whole[place + cut :]
    broken.write_bytes(damaged)
    code, said = planned({"name": "imagefolder", "path": str(root), "val_size": 8})
    assert code == 0 or "3.png" in said, said
    assert broken.read_bytes() == damaged


@FEW
@given(
    labels=st.lists(
        st.one_of(st.none(), st.integers(-2, 12), st.floats(), st.text(max_size=3)), max_size=30
    ),
    name=st.sampled_from(["label", "labels", "fine_label", "class"]),
    kind=st.sampled_from(["bytes", "struct", "path", "array"]),
)
def test_a_table_of_images_is_read_or_refused(planned, tmp_path_factory, labels, name, kind):
    root = tmp_path_factory.mktemp("table")
    images = [png(seed=index) for index in range(len(labels))]
    cell = {
        "bytes": lambda data: data,
        "struct": lambda data: {"bytes": data, "path": None},
        "path": lambda data: "somewhere.png",
        "array": lambda data: [0, 1, 2],
    }[kind]
    table = pd.DataFrame({"image": [cell(data) for data in images], name: labels})
    try:
        for split in ("train", "test"):
            table.to_parquet(root / f"{split}.parquet")
    except Exception:  # what no Parquet file can hold, no user has
        return
    planned({"name": "folder", "path": str(root)})


@FEW
@given(content=st.binary(max_size=200))
def test_bytes_that_are_no_data_are_refused(planned, tmp_path_factory, content):
    root = tmp_path_factory.mktemp("noise")
    for split in ("train", "test"):
        (root / f"{split}.parquet").write_bytes(content)
    code, said = planned({"name": "folder", "path": str(root)})
    assert code == 2 and "train.parquet" in said
    batches = root / "cifar-10-batches-py"
    batches.mkdir()
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"):
        (batches / name).write_bytes(content)
    code, said = planned({"name": "cifar10", "root": str(root)})
    assert code == 2 and "cifar" in said


WRONG = st.sampled_from(
    [
        None,
        -1,
        0.5,
        101,
        "0.5",
        "30.1%",
        "None",
        "nan",
        "",
        "a",
        "[1]",
        "1e400",
        1e300,
        float("inf"),
    ]
)
COLUMNS = ("trial_id", "epoch", "val_robust_acc", "val_clean_acc", "seconds", "seed")


@FEW
@example(lengths=[1], faults=[(0, "epoch", "1e400")])
@example(lengths=[1], faults=[(0, "seed", 1e300)])
@example(lengths=[1], faults=[(0, "epoch", 1e12)])
@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    faults=st.lists(st.tuples(st.integers(0, 11), st.sampled_from(COLUMNS), WRONG), max_size=2),
)
def test_a_table_of_trainings_is_taken_or_refused(rayat, tmp_path_factory, lengths, faults):
    """A sound table is taken; with a fault or two in its cells it is taken or refused."""
    folder = tmp_path_factory.mktemp("import")
    path, out = folder / "curves.csv", folder / "run"
    rows = [
        (f"t{trial}", epoch, 0.1 * epoch, 0.2 * epoch, 1.5, trial)
        for trial, length in enumerate(lengths)
        for epoch in range(1, length + 1)
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(object)
    faults = [fault for fault in faults if fault[0] < len(table)]
    for row, column, value in faults:
        table.loc[row, column] = value
    table.to_csv(path, index=False)
    before = path.read_bytes()
    result = rayat("import", "table", path, "--out", out)
    assert result.exit_code in ((2, 0, 3) if faults else (0,)), (result.output, result.exception)
    assert "Traceback" not in result.output + result.stderr
    assert path.read_bytes() == before and (result.exit_code == 0) == out.exists()
    if result.exit_code == 0:
        compared = rayat("compare", out)
        assert compared.exit_code in (0, 2, 3) and "Traceback" not in compared.stderr


@pytest.mark.parametrize("kind", ["table", "ray"])
def test_a_relative_path_is_imported(rayat, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep" / "a").mkdir(parents=True)
    table = pd.DataFrame(
        [("a", 1, 0.1, 0.2, 1.0, 1), ("a", 2, 0.2, 0.3, 2.0, 2)],
        columns=["trial_id", "epoch", "val_robust_acc", "val_clean_acc", "seconds", "time_total_s"],
    )
    table["training_iteration"] = table["epoch"]
    table.to_csv(tmp_path / "curves.csv", index=False)
    table.to_csv(tmp_path / "sweep" / "a" / "progress.csv", index=False)
    result = rayat("import", kind, "curves.csv" if kind == "table" else "sweep", "--out", "run")
    assert result.exit_code == 0, (result.output, result.exception)
    assert (tmp_path / "run" / "trials.parquet").exists()
