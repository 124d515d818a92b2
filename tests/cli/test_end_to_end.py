"""The whole way of a user: run a study on a real Ray, ask about it, interrupt, go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rayat.study import load_study

STUDY = """
from ray import tune
from rayat.study import Study

study = Study(
    name="small",
    base={
        "data": {"name": "digits", "train_size": 256, "val_size": 64},
        "model": {"name": "preactresnet", "width": 4, "blocks": [1]},
        "epochs": 2,
        "batch_size": 64,
        "attack": {"name": "fgsm-rs", "eps": 0.1},
        "eval": {"steps": 2, "final_steps": 2, "final_size": 64},
    },
    space={"lr.shape": tune.grid_search(["constant", "cosine"])},
    seeds=(0,),
    baseline="lr.shape=constant",
)
"""

COMMAND = [sys.executable, "-m", "rayat.cli"]

SECRETS = {
    f"{name}_{kind}": f"planted-{number}-{kind.lower()}-5f3a9c"
    for number, (name, kind) in enumerate(
        (name, kind)
        for name in ("AWS", "WANDB_API", "RAYAT", "HF", "MY")
        for kind in ("KEY", "TOKEN", "SECRET", "PASSWORD")
    )
}
"""Twenty of them, in the environment of a run and of all its processes."""


def process(*arguments: object, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, **more},
    )


@pytest.mark.slow
@pytest.mark.own_ray
def test_run_then_status_compare_report(rayat, tmp_path, monkeypatch):
    (tmp_path / "small.py").write_text(STUDY)
    ran = process(
        "run", "small.py", "--cpus", 2, "--name", "one", "--report", "--follow", "tensorboard",
        folder=tmp_path, **SECRETS,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    said = [*written, ran.stdout.encode(), ran.stderr.encode()]
    found = [name for name, value in SECRETS.items() if any(value.encode() in x for x in said)]
    print(f"secrets: {len(SECRETS)} planted, {len(written)} files, {len(found)} found")
    assert len(SECRETS) == 20 and not found
    assert len(list(tmp_path.glob("runs/small/one/followers/tensorboard/*/events*"))) == 2
    assert "runs/small/one: 2 finished" in ran.stdout
    assert "next: rayat compare runs/small/one" in ran.stdout
    assert (tmp_path / "runs/small/one/report.html").is_file()
    assert all(line.split()[0] != "Traceback" for line in ran.stderr.splitlines() if line)
    # Every line is the driver's own: Ray says nothing. That another Ray is on the host may be said.
    lines = [x for x in ran.stderr.lower().splitlines() if not x.startswith("note: a local run")]
    foreign = [x for x in lines if "ray" in x.replace("rayat", "")]
    assert not foreign, ran.stderr

    monkeypatch.chdir(tmp_path)
    facts = json.loads(rayat("status", "runs/small/one", "--json").stdout)
    assert facts["statuses"] == {"finished": 2}
    assert facts["evaluated"] == 2
    compared = rayat("compare", "runs/small/one", "--json")
    assert json.loads(compared.stdout)["baseline"] == "lr.shape=constant"


@pytest.mark.slow
@pytest.mark.own_ray
def test_a_stop_of_the_whole_group_says_how_to_go_on_and_resume_goes_on(
    rayat, tmp_path, monkeypatch
):
    """As `timeout`, a scheduler and a container stop a run: everything in its group at once."""
    (tmp_path / "small.py").write_text(STUDY)
    arguments = "run small.py --cpus 2 --out cut --concurrency 1 --set epochs=30"
    stopped = subprocess.Popen(
        [*COMMAND, *arguments.split(" ")],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert stopped.stderr is not None
    # Said when the driver has begun; before it, that another Ray is on the host.
    first = next(line for line in stopped.stderr if not line.startswith("note: "))
    log = tmp_path / "cut" / "log" / "000001.rlog"
    while b'"kind":"report"' not in log.read_bytes():
        with pytest.raises(subprocess.TimeoutExpired):
            stopped.wait(0.2)
    os.killpg(stopped.pid, signal.SIGTERM)
    _, rest = stopped.communicate()
    assert "2 of 2 trials to run, 1 at once" in first
    assert stopped.returncode == 130, rest
    assert "go on with: rayat resume cut" in rest

    monkeypatch.chdir(tmp_path)
    assert json.loads(rayat("status", "cut", "--json").stdout)["complete"] is False
    resumed = process("resume", "cut", "--cpus", 1, "--json", folder=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["statuses"] == {"finished": 2}


@pytest.mark.slow
def test_a_trial_that_fails_is_exit_code_four_and_the_best_of_the_rest_is_refitted(
    rayat, local_ray, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.py").write_text(STUDY)
    # Its checkpoints cannot be written: an error of the trial, which no first step shows.
    first, second = (trial.trial_id for trial in load_study(tmp_path / "small.py").trials())
    (tmp_path / "bad" / "checkpoints").mkdir(parents=True)
    (tmp_path / "bad" / "checkpoints" / first).write_text("in the way")
    ran = rayat("run", "small.py", "--cpus", 2, "--concurrency", 1, "--out", "bad")
    assert ran.exit_code == 4, ran.output
    assert "some trials failed or were lost; see: rayat status bad" in ran.stderr

    refitted = rayat("refit", "bad", "--cpus", 2, "--set", "epochs=1", "--out", "best", "--json")
    assert refitted.exit_code == 0, refitted.output
    assert json.loads(refitted.stdout)["statuses"] == {"finished": 1}
    origin = json.loads((tmp_path / "best" / "run.json").read_text())["origin"]
    assert origin["trial_id"] == second
