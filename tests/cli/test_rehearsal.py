"""What a study would fail of in its first step is said by `plan` and `run` before Ray starts."""

from __future__ import annotations

import itertools
import sys

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


def test_a_model_of_the_study_is_refused_with_its_class_and_the_way_out(rayat, tmp_path):
    text = HEAD + OWN.format(n=1).replace("from __future__ import annotations\n", "")
    text += f'study = Study(name="s", base={{{SMALL}, "model": "mine-1"}}, seeds=(0,))'
    for said in refused(rayat, tmp_path, text):
        assert "model 'mine-1' is the class Mine of the study's file" in said
        assert "rayat/models/ of a checkout" in said


def test_a_module_beside_the_study_gives_values_but_no_methods(rayat, tmp_path):
    (tmp_path / "helper_beside.py").write_text(OWN.format(n=2) + "EPOCHS = 1\n")
    values = f'{HEAD}import helper_beside\nstudy = Study(name="s", base={{{SMALL}, "model": '
    text = values + '{"name": "preactresnet", "width": 4, "blocks": [1]}}, seeds=(0,))'
    (tmp_path / "good.py").write_text(text)
    before = list(sys.path)
    result = rayat("plan", tmp_path / "good.py", "--cpus", 2)
    assert result.exit_code == 0, result.output
    assert "helper_beside" not in sys.modules and sys.path == before
    for said in refused(rayat, tmp_path, values + '"mine-2"}, seeds=(0,))'):
        assert "is the class Mine of the module 'helper_beside'" in said
