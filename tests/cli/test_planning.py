"""`rayat plan`: counts are exact, refusals come first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray import tune

from rayat.api.studies import changed_study, run_folder
from rayat.cli.studies import parse_changes
from rayat.errors import StudyError
from rayat.planning.plan import wall_seconds
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


def test_seeds_until_decided_are_planned_at_their_most(rayat, study):
    text = STUDY.replace("seeds=(0, 1)", 'seeds=(0, 1), target=0.3, baseline="attack.steps=3"')
    study.write_text(text.replace('"lr.shape": tune.grid_search(["constant", "cosine"]),', ""))
    result = rayat("plan", study, "--cpus", 2, "--until-decided", "--max-seeds", 5, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["trials"], facts["seeds"]) == (10, [0, 1, 2, 3, 4])
    assert facts["until_decided"] == {"first": 3, "most": 5}
    text = rayat("plan", study, "--cpus", 2, "--until-decided").output
    assert "20: 2 arms, seeds 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in text
    assert "after 3 seeds or more gets another, 10 at most" in text
    for arguments, said in (
        (("--max-seeds", 5), "give that too"),
        (("--until-decided", "--max-seeds", 2), "at least 3 seeds"),
        (("--until-decided", "--policy", "asha"), "give --policy none"),
    ):
        refused = rayat("plan", study, *arguments)
        assert refused.exit_code == 2 and said in refused.stderr


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
        "validation is 33% of the passes of lr.shape=cosine,attack.steps=1, above 25%, in 1 more "
        "configuration too: set eval.every=2 or eval.size=42 or eval.steps=1"
    ]
    lines = rayat("plan", study, "--cpus", 2, *changed).stdout.splitlines()
    assert sum(line.startswith("warning ") for line in lines) == 1


def test_wide_trials_are_named_where_others_wait_for_a_core(rayat, study):
    wide = ("--set", "threads=2", "--set", "cpus_per_worker=2", "--set", "eval.eps=0.6", "--json")
    grey, warning = json.loads(rayat("plan", study, "--cpus", 2, *wide).stdout)["warnings"]
    # What a configuration would do that nobody means stands beside it (planning/advice.py).
    assert "and 3 more arms: eval.eps=0.6 lets every image become grey" in grey
    assert warning.startswith("8 trials with threads=2, cpus_per_worker=2: on a CPU two trials")
    assert json.loads(rayat("plan", study, "--cpus", 16, *wide).stdout)["warnings"] == [grey]


def test_several_workers_are_predicted_before_anyone_has_them(rayat, study):
    asked = ("plan", study, "--cpus", 2, "--set", "exchange.name=qsgd", "--workers", "4,1,2")
    facts = json.loads(rayat(*asked, "--link", "100Mbit/s", "--json").stdout)
    assert facts["link"] == "100Mbit/s"
    one, two, four = facts["scaling"]
    assert [row["workers"] for row in (one, two, four)] == [1, 2, 4]
    assert [row["batch_per_worker"] for row in (one, two, four)] == [64, 32, 16]
    assert (one["exchange_seconds"], one["bytes_per_step"], one["speed_up"]) == (0, 0, 1)
    for row in (two, four):
        assert row["network_seconds"] > row["bytes_per_step"] / 12.5e6 > 0
        step = row["compute_seconds"] + row["exchange_seconds"]
        assert row["step_seconds"] == pytest.approx(step)
        assert row["speed_up"] == pytest.approx(one["step_seconds"] / row["step_seconds"])
    text = rayat(*asked, "--link", "1Gbit/s").stdout
    assert "predicted for hosts like this one, links of 1Gbit/s" in text
    slow = json.loads(rayat(*asked, "--link", "1Mbit/s", "--json").stdout)["scaling"][1]
    assert slow["network_seconds"] > 10 * two["network_seconds"]


def test_configurations_with_several_workers_are_in_the_plan_by_themselves(rayat, study):
    text = rayat("plan", study, "--cpus", 2, "--set", "workers=2", "--set", "epochs=1").stdout
    assert "predicted on this machine" in text
    assert text.splitlines()[-1].split() == ["feasible", "yes"]
    assert "predicted" not in rayat("plan", study, "--cpus", 2, "--set", "epochs=1").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--workers", "0,2"), "--workers needs counts such as 1,2,4, got '0,2'"),
        (("--workers", "two"), "--workers needs counts such as 1,2,4, got 'two'"),
        (("--workers", "3"), "batch_size must be a multiple of workers=3, got 64"),
        (("--workers", "2", "--link", "fast"), "such as 1Gbit/s or 100Mbit/s,50us; got 'fast'"),
    ],
)
def test_counts_and_links_that_are_none_are_refused(rayat, study, arguments, said):
    result = rayat("plan", study, "--cpus", 2, "--set", "epochs=1", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


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
    # A constant of the space is no axis.
    assert changed_study(study, {"lr.shape": "linear"}).trials()[0].config.lr.kind == "linear"
    axis = study.replace(space={"lr.shape": tune.grid_search(["cosine"])})
    with pytest.raises(StudyError, match="axis of study 's'"):
        changed_study(axis, {"lr.shape": "linear"})


def test_a_run_has_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    default = run_folder("s", None, None)
    assert default.parent == tmp_path / "runs" / "s"
    assert len(default.name) == len("20260101-000000")
    assert run_folder("s", None, "mine") == tmp_path / "runs" / "s" / "mine"
    assert run_folder("s", tmp_path / "here", None) == tmp_path / "here"


@pytest.mark.parametrize("out", ["s3://bucket/run", "file:///tmp/run", "gs:/half"])
def test_a_run_cannot_live_in_an_object_store(out):
    with pytest.raises(StudyError, match=r"then `rayat copy RUN URI`"):
        run_folder("s", Path(out), None)


def test_which_label_is_which_and_what_the_data_lacks_is_said_and_kept(rayat, study, tmp_path):
    from PIL import Image

    from rayat.data.identity import describe
    from rayat.data.prepare import prepare
    from rayat.registry import SOURCES

    text = rayat("plan", study, "--cpus", 2).stdout
    assert "digits: labels 0 to 9, as in the files" in text
    for name, shift in (("cat", 0), ("dog", 40), ("emu", 80)):
        for split, count in (("train", 8), ("test", 2)):
            if (name, split) != ("emu", "test"):
                (tmp_path / "pets" / split / name).mkdir(parents=True)
                for i in range(count):
                    picture = Image.new("L", (8, 8), shift + i)
                    picture.save(tmp_path / "pets" / split / name / f"{i}.png")
    own = tmp_path / "own.py"
    own.write_text(
        "from rayat.study import Study\n"
        "study = Study(name='own', seeds=(0,), space={}, base={'epochs': 1, 'model': 'cnn', "
        f"'batch_size': 8, 'data': {{'name': 'imagefolder', 'path': {str(tmp_path / 'pets')!r}, "
        "'val_size': 3}})\n"
    )
    text = rayat("plan", own, "--cpus", 1).stdout
    assert "imagefolder:pets: labels 0 cat, 1 dog, 2 emu" in text
    assert "4 of 4 test images are also in the training set" in text
    assert "no image of 1 of the training split's classes (emu)" in text
    kept = describe(prepare(SOURCES.build({"name": "imagefolder", "path": str(tmp_path / "pets")})))
    assert kept["labels"] == ["cat", "dog", "emu"] and len(kept["notes"]) == 2


def test_plan_warns_of_bf16_where_the_cpu_emulates_it(rayat, study, monkeypatch):
    monkeypatch.setattr("rayat.planning.plan.native_bf16", lambda: False)
    plain = json.loads(rayat("plan", study, "--cpus", 2, "--json").stdout)["warnings"]
    changed = ("--set", "precision=bf16")
    told = json.loads(rayat("plan", study, "--cpus", 2, "--json", *changed).stdout)["warnings"]
    (text,) = [each for each in told if each not in plain]
    assert "precision=bf16 is emulated on this machine's CPU" in text
