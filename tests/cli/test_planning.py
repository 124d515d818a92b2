"""`rayat plan`: counts are exact, refusals come first."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayat.cli.planning import wall_seconds
from rayat.cli.studies import changed_study, parse_changes, run_folder
from rayat.errors import StudyError
from rayat.study import Study

STUDY = """
from ray import tune
from rayat.study import Study

study = Study(
    name="small",
    base={
        "data": {"name": "digits", "train_size": 256, "val_size": 64},
        "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
        "epochs": 3,
        "batch_size": 64,
        "attack": {"name": "pgd", "eps": 0.1, "steps": 2},
        "eval": {"steps": 2, "every": 2},
    },
    space={
        "lr.shape": tune.grid_search(["constant", "cosine"]),
        "attack.steps": tune.grid_search([1, 3]),
    },
    seeds=(0, 1),
)
"""


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(STUDY)
    return path


def test_the_plan_counts_trials_epochs_and_passes_exactly(rayat, study):
    result = rayat("plan", study, "--cpus", 2, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["trials"], facts["arms"], facts["epochs"]) == (8, 4, 24)
    assert facts["feasible"] is True
    assert facts["concurrency"] == 2
    # The rate's shape costs nothing, so four arms are two costs.
    one, three = facts["configurations"]
    assert one["trials"] == three["trials"] == 4
    # 256 images: a step of attack and the training pass itself, or three and one.
    assert one["forward_passes_per_epoch"] == one["backward_passes_per_epoch"] == 256 * 2
    assert three["forward_passes_per_epoch"] == three["backward_passes_per_epoch"] == 256 * 4
    # 64 images: clean, attacked, and two steps forward and backward.
    assert one["validation_passes"] == 64 * (2 + 2 + 2)
    # Validation after epochs 2 and 3.
    assert facts["passes"] == 4 * (3 * 256 * 4 + 2 * 384) + 4 * (3 * 256 * 8 + 2 * 384)
    assert facts["wall_seconds"] >= facts["trial_seconds"] / 2 > 0


def test_the_table_says_the_same_in_words(rayat, study):
    text = rayat("plan", study, "--cpus", 2, "--set", "epochs=1").stdout
    assert "8: 4 arms, seeds 0, 1" in text
    assert "2 trials at once" in text
    assert text.splitlines()[-1].split() == ["feasible", "yes"]


def test_dear_validation_is_named_with_what_to_change(rayat, study):
    facts = json.loads(rayat("plan", study, "--cpus", 2, "--json").stdout)
    assert facts["warnings"] == []
    # Two validations of 64 images, six passes each; training 3 epochs of 256, four passes or eight.
    assert [c["validation_share"] for c in facts["configurations"]] == [
        pytest.approx(768 / (768 + 3 * 1024)),
        pytest.approx(768 / (768 + 3 * 2048)),
    ]
    changed = ("--set", "eval.every=1", "--set", "eval.steps=3")
    facts = json.loads(rayat("plan", study, "--cpus", 2, *changed, "--json").stdout)
    # 3 x 512 of 3 x 1024; a third of the training is 1024.
    assert facts["warnings"] == [
        "validation is 33% of the passes of lr.shape=cosine,attack.steps=1 and 1 more arms, above "
        "25%: set eval.every=2 or eval.size=42 or eval.steps=1"
    ]
    lines = rayat("plan", study, "--cpus", 2, *changed).stdout.splitlines()
    assert sum(line.startswith("warning ") for line in lines) == 1


def test_wide_trials_are_named_where_others_wait_for_a_core(rayat, study):
    wide = ("--set", "threads=2", "--set", "cpus_per_worker=2", "--json")
    (warning,) = json.loads(rayat("plan", study, "--cpus", 2, *wide).stdout)["warnings"]
    assert warning.startswith("8 trials with threads=2, cpus_per_worker=2: on a CPU two trials")
    assert json.loads(rayat("plan", study, "--cpus", 16, *wide).stdout)["warnings"] == []


TIMES = st.lists(st.floats(0.1, 100), min_size=1, max_size=20)


@given(TIMES, st.integers(1, 8))
def test_the_wall_time_lies_between_its_bounds(times, slots):
    seconds = {str(i): t for i, t in enumerate(times)}
    wall = wall_seconds(seconds, dict.fromkeys(seconds, "one"), dict.fromkeys(seconds, slots))
    assert wall >= max(max(times), sum(times) / slots) - 1e-6
    assert wall <= sum(times) / slots + max(times) + 1e-6


def test_groups_of_other_needs_run_one_after_another():
    seconds = {"a": 1.0, "b": 2.0, "c": 4.0}
    needs = {"a": 1, "b": 1, "c": 2}
    assert wall_seconds(seconds, needs, {"a": 2, "b": 2, "c": 1}) == 2.0 + 4.0


def test_changes_are_json_or_text():
    texts = ["epochs=3", "lr.shape=cosine", 'data={"name": "digits"}', "a.b=x=y", "eval.size=null"]
    assert parse_changes(texts) == {
        "epochs": 3,
        "lr.shape": "cosine",
        "data": {"name": "digits"},
        "a.b": "x=y",
        "eval.size": None,
    }


def test_changes_go_into_the_base_of_the_study():
    study = Study(
        name="s", base={"epochs": 5, "model": {"name": "cnn"}}, space={"lr.shape": "cosine"}
    )
    changed = changed_study(study, {"epochs": 2, "lr.peak": 0.3})
    config = changed.trials()[0].config
    assert (config.epochs, config.lr.peak, config.lr.kind) == (2, 0.3, "cosine")
    assert study.base["epochs"] == 5
    with pytest.raises(StudyError, match="axis of study 's'"):
        changed_study(study, {"lr.shape": "linear"})


def test_a_run_has_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    default = run_folder("s", None, None)
    assert default.parent == tmp_path / "runs" / "s"
    assert len(default.name) == len("20260101-000000")
    assert run_folder("s", None, "mine") == tmp_path / "runs" / "s" / "mine"
    assert run_folder("s", tmp_path / "here", None) == tmp_path / "here"
