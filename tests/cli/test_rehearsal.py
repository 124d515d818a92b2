"""What a study would fail of in its first step is said by `plan` and `run` before Ray starts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

HEAD = "from ray import tune\nfrom rayat.study import Study\n"
SMALL = (
    '"data": {"name": "digits", "train_size": 64, "val_size": 32}, "epochs": 1, '
    '"attack": {"name": "fgsm", "eps": 0.1}, "eval": {"steps": 1}'
)


def refused(rayat, tmp_path, text, *arguments, code=2):
    """Return what plan and run say of a study's file; both refuse and leave no folder."""
    path = tmp_path / "mine.py"
    path.write_text(text)
    said = []
    for verb, more in (("plan", ()), ("run", ("--out", tmp_path / "out"))):
        result = rayat(verb, path, "--cpus", 2, *more, *arguments)
        assert result.exit_code == code, (verb, result.output, result.exception)
        assert "Traceback" not in result.output
        said.append(result.stderr.strip().splitlines()[-1])
    assert not (tmp_path / "out").exists()
    return said


@pytest.mark.parametrize(
    ("base", "text"),
    [
        ('"model": "timm:vit_tiny_patch16_224"', "fail on this data in their first step"),
        ('"model": "preactresnet18", "batch_size": 1', "BatchNorm in training mode cannot"),
        (
            '"model": {"name": "preactresnet18"}, "batch_size": 2, "threads": 1, '
            '"pruning": {"name": "random", "fraction": 0.01}',
            "BatchNorm in training mode cannot",
        ),
        (
            '"model": {"name": "wideresnet", "width": 100000}',
            "of memory and",
        ),
    ],
)
def test_what_fails_in_the_first_step_is_named_with_its_arm(rayat, tmp_path, base, text):
    study = (
        f'{HEAD}study = Study(name="s", base={{{SMALL}, {base}}}, '
        'space={"lr.shape": tune.grid_search(["constant"])}, seeds=(0,))'
    )
    for said in refused(rayat, tmp_path, study):
        assert text in said
        assert "(lr.shape=constant) cannot run:" in said


def test_a_final_suite_that_the_data_cannot_have_is_refused(rayat, tmp_path):
    generator = np.random.default_rng(0)
    for split, label, index in itertools.product(("train", "test"), ("cat", "dog"), range(24)):
        path = tmp_path / "pets" / split / label / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
    study = (
        f'{HEAD}study = Study(name="s", base={{"data": {{"name": "imagefolder", "path": '
        f'{str(tmp_path / "pets")!r}}}, "epochs": 1, "eval.suites": ["autoattack"]}}, seeds=(0,))'
    )
    for said in refused(rayat, tmp_path, study):
        assert "eval.suites: autoattack cannot run on imagefolder" in said
        assert "needs at least 4 classes, this network has 2; use autoattack:apgd-ce,fab" in said


OWN = """
from __future__ import annotations
from torch import nn
from rayat.models.base import Model
from rayat.registry import MODELS
@MODELS.register("mine-{n}")
class Mine(Model):
    '''My own.'''
    def body(self, shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
"""


def test_a_model_of_the_study_or_of_a_module_beside_is_planned_like_any_other(rayat, tmp_path):
    text = HEAD + OWN.format(n=1).replace("from __future__ import annotations\n", "")
    (tmp_path / "helper_beside.py").write_text(OWN.format(n=2))
    text += (
        f'import helper_beside\nstudy = Study(name="s", base={{{SMALL}}}, seeds=(0,), '
        'arms={"one": {"model": "mine-1"}, "two": {"model": "mine-2"}})'
    )
    (tmp_path / "good.py").write_text(text)
    result = rayat("plan", tmp_path / "good.py", "--cpus", 2)
    assert result.exit_code == 0, result.output
    assert "2: 2 arms" in result.output


def test_a_class_of_a_function_is_refused_with_the_way_out(rayat, tmp_path):
    inner = OWN.format(n=3).replace("from __future__ import annotations\n", "")
    inner = "".join(f"    {line}\n" for line in inner.splitlines())
    text = f"{HEAD}def make():\n{inner}\nmake()\n"
    text += f'study = Study(name="s", base={{{SMALL}, "model": "mine-3"}}, seeds=(0,))'
    for said in refused(rayat, tmp_path, text):
        assert "make.<locals>.Mine is a class of a function" in said
        assert "put it into a file of its own beside" in said
