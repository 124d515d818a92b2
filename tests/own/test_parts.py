"""Methods of a study's own: found by name, kept by the run, the same class again from its copy."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from rayat.config import TrialConfig
from rayat.errors import ConfigError, LedgerError, StudyError
from rayat.own.code import use, used
from rayat.own.parts import CODE, adopt, gather
from rayat.registry import ATTACKS, MODELS, SHAPES
from rayat.study import load_study

STUDY = '''
from rayat.attacks.fgsm import FGSM
from rayat.registry import ATTACKS
from rayat.study import Study
import beside

class Strange(FGSM):
    """Never registered."""
    extra: float = {extra}

@ATTACKS.register("mine")
class Mine(Strange):
    """Of the study's own file."""

study = Study(
    name="own",
    base={{
        "attack": {{"name": "mine", "eps": 0.2}},
        "lr": {{"shape": "halved", "peak": 0.1}},
        "model": "nets.small:build",
    }},
    arms={{"a": {{}}, "b": {{"attack": Strange(eps=0.2), "lr.shape": "beside:Whole"}}}},
    policy="rules:Patient",
    seeds=(0,),
)
'''
FILES = {
    "beside.py": '''
from rayat.lr_shapes.base import LRShape
from rayat.registry import SHAPES

@SHAPES.register("halved")
class Halved(LRShape):
    """Half of the peak."""
    def multiplier(self, progress):
        import late
        return late.HALF

class Whole(Halved):
    """All of it."""
''',
    "late.py": "HALF = 0.5\n",
    "rules.py": '''
from rayat.policies.patience import Patience
class Patient(Patience):
    """Waits."""
''',
    "nets/__init__.py": "",
    "nets/small.py": '''
from torch import nn
def build(shape, classes, width: int = 3):
    """A linear network."""
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes))
''',
    "unused.py": "raise RuntimeError('nobody asked for this')\n",
}


def written(folder: Path, extra: float = 1.0) -> Path:
    for name, text in {**FILES, "my-study.py": STUDY.format(extra=extra)}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "my-study.py"


@pytest.fixture
def run(tmp_path):
    """Return a run's folder with the study's own parts, and its trials' configurations."""
    study = load_study(written(tmp_path / "study"))
    trials = study.trials()
    own = gather([study, *(trial.config for trial in trials)])
    folder = tmp_path / "run"
    folder.mkdir()
    info = {"schema_version": 1, **json.loads(json.dumps(own.info()))}
    (folder / "run.json").write_text(json.dumps(info))
    own.write(folder)
    texts = [trial.config.canonical() for trial in trials]
    use(None)
    return folder, texts


def test_names_places_and_instances_of_the_study_build(tmp_path):
    before = list(sys.path), set(sys.modules)
    study = load_study(written(tmp_path))
    first, second = (trial.config for trial in study.trials())
    assert (first.attack.kind, first.lr.kind) == ("mine", "halved")
    assert second.lr.kind == "beside:Whole"
    assert second.attack.kind == "rayat_study_my_study:Strange" and second.attack.eps == 0.2
    assert study.policy.kind == "rules:Patient"
    assert first.model.kind == "nets.small:build" and first.model.width == 3
    use(None)
    assert sys.path == before[0]
    assert not {"beside", "nets", "nets.small", "late", "rayat_study_my_study"} & set(sys.modules)
    with pytest.raises(ConfigError, match="unknown attack 'mine'"):
        ATTACKS.build("mine")


def test_a_run_keeps_the_files_that_its_own_parts_need_and_no_others(run):
    folder, _ = run
    held = json.loads((folder / "run.json").read_text())["own_parts"]
    assert set(held["files"]) == {
        "rayat_study_my_study.py",
        *(name for name in FILES if name != "unused.py"),
    }
    assert {(part["room"], part["name"]) for part in held["parts"]} == {
        ("attacks", "mine"),
        ("attacks", "rayat_study_my_study:Strange"),
        ("shapes", "halved"),
        ("shapes", "beside:Whole"),
        ("models", "nets.small:build"),
        ("policies", "rules:Patient"),
    }
    for name in held["files"]:
        assert (folder / CODE / name).is_file()


def test_configurations_read_from_the_run_are_those_of_the_study(run):
    folder, texts = run
    adopt(folder)
    for text in texts:
        config = TrialConfig.parse(json.loads(text))
        assert config.canonical() == text
        assert Path(sys.modules[type(config.attack).__module__].__file__).parent == folder / CODE
        assert config.lr.lr(0.5, 10) == pytest.approx(0.05)
    assert used() is not None and used().folder == folder / CODE


@pytest.mark.parametrize("change", ["edit", "remove"])
def test_a_changed_file_is_refused_by_its_name(run, change):
    folder, _ = run
    path = folder / CODE / "nets" / "small.py"
    if change == "edit":
        path.write_text(path.read_text() + "# later\n")
    else:
        path.unlink()
    what = "changed since the run began" if change == "edit" else "missing"
    with pytest.raises(LedgerError, match=f"code: nets/small.py {what}"):
        adopt(folder)
    adopt(folder, check=False)  # what the driver has looked at, a worker need not


def test_a_reader_that_needs_no_policy_needs_no_files(run):
    folder, _ = run
    (folder / CODE / "late.py").unlink()
    adopt(folder, rooms=["searchers"])
    with pytest.raises(LedgerError, match=r"late.py missing"):
        adopt(folder, rooms=["policies"])


def test_two_studies_may_use_one_name_and_each_keeps_its_own(tmp_path):
    one = load_study(written(tmp_path / "one", extra=1.0))
    two = load_study(written(tmp_path / "two", extra=2.0))
    extras = [[study.trials()[0].config.attack.extra for study in (one, two)] for _ in range(2)]
    assert extras == [[1.0, 2.0], [1.0, 2.0]]
    assert one.replace(seeds=(3,)).trials()[0].config.attack.extra == 1.0


@pytest.mark.parametrize(
    ("registry", "name", "text"),
    [
        (ATTACKS, "no_such_module:X", "there is no module 'no_such_module', neither beside the"),
        (ATTACKS, "json:X", "the module 'json' has no 'X'"),
        (ATTACKS, "json:JSONDecoder", "json:JSONDecoder does not derive from rayat.attacks.base.A"),
        (SHAPES, "rayat.attacks.pgd:PGD", "does not derive from rayat.lr_shapes.base.LRShape"),
        (ATTACKS, "pdg:5", "'pdg', neither .* (did you mean 'pgd'?)"),
        (ATTACKS, ":X", "give package.module:Class"),
        (MODELS, "math:pi", "is a float and no factory; give a function"),
    ],
)
def test_a_place_without_a_class_is_refused_in_one_sentence(registry, name, text):
    with pytest.raises(ConfigError) as error:
        registry.build(name)
    for piece in text.split(".*"):
        assert piece.strip() in str(error.value)
    assert "\n" not in str(error.value)


def test_a_module_that_raises_or_is_no_python_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the present folder is searched too
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    (tmp_path / "raises_here.py").write_text("1 / 0\n")
    (tmp_path / "broken_here.py").write_text("def (:\n")
    with pytest.raises(ConfigError, match="its module raised ZeroDivisionError: division by zero"):
        ATTACKS.build("raises_here:X")
    with pytest.raises(ConfigError, match=r"line 1 of .*broken_here.py is no Python"):
        ATTACKS.build("broken_here:X")


def test_the_name_of_a_class_that_has_one_is_used():
    assert ATTACKS.build("rayat.attacks.pgd:PGD") == ATTACKS.build("pgd")
    assert not gather([ATTACKS.build("rayat.attacks.pgd:PGD")]).info()


def test_a_class_of_the_script_itself_is_refused():
    fgsm = ATTACKS.get("fgsm")
    inner = type("Local", (fgsm,), {"__module__": "__main__", "__qualname__": "Local"})
    with pytest.raises(StudyError, match="Local is a class of the script or notebook"):
        gather([ATTACKS.build(inner(eps=0.1))])
