"""The example cluster files stay valid: Ray's own schema for one, the fields used for the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def test_the_cluster_file_is_valid_for_ray():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((ROOT / "examples/cluster/ray-up.yaml").read_text())
    validate_config(prepare_config(dict(config)))
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        started = [c for c in config[commands] if "ray start" in c]
        assert started, commands
        assert all("RAY_AUTH_MODE=token" in c for c in started), commands


def test_the_rayjob_asks_for_authentication_and_shared_storage():
    job = yaml.safe_load((ROOT / "examples/cluster/rayjob.yaml").read_text())
    assert job["kind"] == "RayJob"
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"]["mode"] == "token"
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        mounts = {m["name"] for c in pod["containers"] for m in c["volumeMounts"]}
        assert mounts <= {v["name"] for v in pod["volumes"]}
    out = job["spec"]["entrypoint"].split("--out ")[1]
    paths = {m["mountPath"] for m in groups[0]["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert any(out.startswith(p) for p in paths)


JOB = {"apiVersion", "kind", "metadata", "spec"}
# Names of the fields of ray.io/v1 in KubeRay's API reference.
SPEC = {
    "activeDeadlineSeconds",
    "backoffLimit",
    "clusterSelector",
    "deletionStrategy",
    "entrypoint",
    "entrypointNumCpus",
    "entrypointNumGpus",
    "entrypointResources",
    "jobId",
    "managedBy",
    "metadata",
    "rayClusterSpec",
    "runtimeEnvYAML",
    "shutdownAfterJobFinishes",
    "submissionMode",
    "submitterConfig",
    "submitterPodTemplate",
    "suspend",
    "ttlSecondsAfterFinished",
}
CLUSTER = {
    "authOptions",
    "autoscalerOptions",
    "enableInTreeAutoscaling",
    "gcsFaultToleranceOptions",
    "headGroupSpec",
    "headServiceAnnotations",
    "managedBy",
    "rayVersion",
    "suspend",
    "workerGroupSpecs",
}
HEAD = {"enableIngress", "headService", "rayStartParams", "serviceType", "template"}
WORKERS = {
    "groupName",
    "idleTimeoutSeconds",
    "maxReplicas",
    "minReplicas",
    "numOfHosts",
    "rayStartParams",
    "replicas",
    "scaleStrategy",
    "suspend",
    "template",
}


def test_the_rayjob_has_only_fields_that_kuberay_knows():
    """The API server drops an unknown field without a word."""
    job = yaml.safe_load((ROOT / "examples/cluster/rayjob.yaml").read_text())
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    assert set(job) == JOB and job["apiVersion"] == "ray.io/v1"
    assert set(spec) <= SPEC and set(cluster) <= CLUSTER
    assert set(cluster["headGroupSpec"]) <= HEAD
    for group in cluster["workerGroupSpecs"]:
        assert set(group) <= WORKERS
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        started = group["rayStartParams"]
        assert all(isinstance(value, str) for value in started.values()), "a map of texts"
    # Token authentication came with Ray 2.52, and KubeRay refuses it for older ones.
    assert tuple(map(int, cluster["rayVersion"].split("."))) >= (2, 52, 0)
    # A retry would be refused: the folder is taken, and `rayat resume` is what goes on.
    assert spec.get("backoffLimit", 0) == 0


def test_the_examples_start_rayat_with_options_it_has():
    from typer.main import get_command

    from rayat.cli.app import app

    verbs = get_command(app).commands
    job = yaml.safe_load((ROOT / "examples/cluster/rayjob.yaml").read_text())
    head = (ROOT / "examples/cluster/ray-up.yaml").read_text().split("`")[3]
    assert head.startswith("RAY_AUTH_MODE=token ")
    for line in (job["spec"]["entrypoint"], head.partition(" ")[2]):
        program, verb, *arguments = line.split()
        assert program == "rayat"
        context = verbs[verb].make_context(verb, list(arguments))
        assert context.params["address"] == "auto"
        assert context.params["out"].is_absolute()


def test_the_examples_ray_is_the_packages():
    import ray

    job = yaml.safe_load((ROOT / "examples/cluster/rayjob.yaml").read_text())
    series = job["spec"]["rayClusterSpec"]["rayVersion"].rpartition(".")[0]
    assert ray.__version__.startswith(f"{series}.")


def test_the_slurm_script_parses_and_starts_rayat_with_options_it_has(tmp_path):
    """Run with stand-ins for Slurm's commands and Ray's: what it would start, both times."""
    from typer.main import get_command

    from rayat.cli.app import app

    script = ROOT / "examples/cluster/slurm.sbatch"
    subprocess.run(["bash", "-n", script], check=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/activate").write_text("")
    for name, text in {
        "scontrol": 'test "$*" = "show hostnames a[1-2]" && printf "a1\na2\n"',
        "srun": 'test ${#RAY_AUTH_TOKEN} -ge 32 && echo "$RAY_AUTH_MODE" "$@"',
    }.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    path = f"{tmp_path}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
    slurm = {
        "SLURM_JOB_NODELIST": "a[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "RAYAT_VENV": str(tmp_path),
    }
    run = tmp_path / "run"
    for verb in ("run", "resume"):
        command = ["bash", script, "study.py", str(run)]
        done = subprocess.run(
            command, env={**os.environ, **slurm, "PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        ray, _, started = done.stdout.strip().partition(" -- ")
        assert ray.startswith("token ray symmetric-run --address a1:6379 --min-nodes 2 ")
        program, said, *arguments = started.split()
        assert (program, said) == ("rayat", verb)
        context = get_command(app).commands[verb].make_context(verb, arguments)
        assert context.params["address"] == "auto" and context.params["time_budget"]
        run.mkdir(exist_ok=True)
        (run / "run.json").write_text("{}")
    assert "#SBATCH --exclusive" in script.read_text(), "`ray stop` would end others' Rays"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "search_spaces").rglob("[!_]*.py")), ids=lambda p: p.stem
)
def test_every_shipped_study_expands(path):
    from rayat.study import load_study

    study = load_study(path)
    trials = study.trials()
    assert trials
    assert len({t.trial_id for t in trials}) == len(trials)


@pytest.mark.parametrize(
    ("script", "arguments", "page"),
    [
        ("scaling_table.py", ["dat", "m1", "m2", "m2-q7-2side", "m4", "m4-q7-2side"], "scaling.md"),
        ("collapse_table.py", ["collapse"], "collapse.md"),
        ("collapse_table.py", ["collapse_mended"], "collapse.md"),
        ("collapse_rules.py", ["unstable"], "collapse.md"),
        ("collapse_rules.py", ["policies/none-5"], "collapse.md"),
        ("joint_table.py", ["joint"], "joint.md"),
        ("probe.py", ["probe", "--told"], "probe.md"),
        ("suites_table.py", ["methods", "pgd-50", "autoattack", "0"], "methods-study.md"),
    ],
)
def test_the_tables_of_the_documents_are_what_their_commands_print(script, arguments, page):
    folder = str(ROOT / "results" / arguments[0])
    command = [sys.executable, str(ROOT / "examples" / script), folder, *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # The page adds columns and spaces of its own: each cell of a row, in that row, in order.
    lines = [line.replace(" %", "%") for line in (ROOT / "docs" / page).read_text().splitlines()]
    for row in done.stdout.splitlines():
        if row.startswith("| ") and "---" not in row:
            cells = [re.escape(cell.strip()) for cell in row.strip("| ").split("|") if cell.strip()]
            assert any(re.search(r".*\| ".join(cells), line) for line in lines), row


@pytest.mark.parametrize(
    ("folder", "page"),
    [
        ("lr_shapes", "README.md"),
        ("methods", "docs/methods-study.md"),
        ("methods_mended", "docs/methods-study.md"),
        ("free_box", "docs/methods-study.md"),
        ("joint/accel-0-autoattack", "README.md"),
        ("transfer", "docs/joint.md"),
    ],
)
def test_the_results_of_the_documents_are_what_compare_prints(folder, page):
    from rayat.compare.table import compare
    from rayat.ledger.reader import read_run

    printed = compare(read_run(ROOT / "results" / folder)).markdown().splitlines()
    missing = set(printed) - set((ROOT / page).read_text().splitlines())
    assert not [line for line in missing if line.startswith("| ")]


def test_a_run_says_whether_it_trained_what_was_planned():
    command = [sys.executable, str(ROOT / "examples/shared_rows.py"), *["results/drops"] * 2]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "results/drops: planned 864 epochs asked, 312 to train (64 % shared)",
        "results/drops: reported 864 epochs, 312 of them trained (64 % shared)",
        "results/drops: 864 rows of 72 trials, 552 of them shared in results/drops: 0 differ",
    ]


def test_the_table_of_policies_names_what_each_table_would_choose():
    code = "import policy_table as t; t.main(['fresh:7'], ['pasha', 'asha'], [], [0.1], 1)"
    command = [sys.executable, "-c", code]
    examples = ROOT / "examples"
    printed = subprocess.run(command, cwd=examples, capture_output=True, text=True, check=True)
    rows = [line.split(" | ") for line in printed.stdout.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[2:4]] == ["| pasha", "| asha"]
    pasha, asha = (float(row[1].split(",")[0]) for row in rows[2:4])
    assert 0.1 < pasha < asha < 1, "it trains fewer of them on"
    assert printed.stdout.splitlines()[-1].startswith("chosen without fresh:7: 0.1, there 0.")
