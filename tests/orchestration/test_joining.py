"""Joining a cluster: everything that can be wrong is one sentence, soon, and nothing is lost."""

from __future__ import annotations

import http.server
import os
import platform
import subprocess
import sys
import threading
from importlib import metadata

import pytest
from typer.testing import CliRunner

from rayat.cli.app import app
from rayat.errors import PlacementError
from rayat.host.headwatch import PERIOD_S, SILENT_S, HeadWatch
from rayat.orchestration.joining import joinable, judge

TRAIN = (
    *(sys.executable, "-m", "rayat.cli", "train", "--set", "data.name=digits"),
    *("--set", "data.train_size=64", "--set", "data.val_size=16", "--set", "batch_size=32"),
    *("--set", "model.width=4", "--set", "model.blocks=[1]", "--set", "attack.name=fgsm"),
    *("--set", "eval.steps=1", "--set", "eval.final_steps=1", "--set", "eval.final_size=8"),
)


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("http://head:8265/api", "is a web address: .* such as head:6379"),
        ("https://head", "such as head:6379"),
        ("ray://head:10001", "is a Ray Client address"),
        ("head", "has no port: .* such as head:6379"),
        ("head:", "is no port"),
        (":6379", "has no port"),
        ("head:ray", "'ray' is no port"),
        ("head:99999", "'99999' is no port"),
        ("local", "leave --address out"),
        ("no-such-host.invalid:6379", "the host 'no-such-host.invalid' cannot be resolved"),
        ("127.0.0.1:1", r"no Ray listens there \(Connection refused\); is its head running"),
    ],
)
def test_an_address_that_cannot_be_right_is_one_sentence(token, address, text):
    with pytest.raises(PlacementError, match=text) as caught:
        joinable(address, allow_open=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("verb", ["plan", "run", "train"])
def test_the_command_says_it_in_one_line_and_writes_nothing(token, verb, tmp_path):
    where = ["--address", "127.0.0.1:1"] + (
        [] if verb == "plan" else ["--out", str(tmp_path / "r")]
    )
    study = [] if verb == "train" else ["quickstart"]
    result = CliRunner().invoke(app, [verb, *study, *where], prog_name="rayat")
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1 and "no Ray listens there" in result.stderr
    assert not (tmp_path / "r").exists()


def test_auto_without_any_ray_and_with_a_stale_address_file(token, monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", frozenset)
    with pytest.raises(PlacementError, match="no Ray runs on this host"):
        joinable("auto", allow_open=False)
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    with pytest.raises(PlacementError, match=r":1 \(found by auto\): no Ray listens"):
        joinable("auto", allow_open=False)


def test_without_a_token_nothing_is_asked(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    with server, pytest.raises(PlacementError, match="there is no token here"):
        joinable(f"127.0.0.1:{server.server_port}", allow_open=False)


@pytest.mark.slow
@pytest.mark.own_ray
def test_a_process_that_has_joined_another_ray_does_not_work_there_in_silence(token, start_head):
    """A notebook that called `ray.init()`, and then names the cluster it wants to work on."""
    head = start_head()
    code = (
        "import ray, sys\n"
        "from rayat.errors import PlacementError\n"
        "from rayat.orchestration.cluster import cluster\n"
        "with cluster(cpus=3) as ours:\n"
        "    try:\n"
        "        with cluster(sys.argv[1]) as found:\n"
        "            print('worked on', found.cpus, 'CPUs')\n"
        "    except PlacementError as error:\n"
        "        print(error)\n"
        "    with cluster() as found:\n"
        "        print(found.cpus)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, head.address],
        env={**os.environ, **head.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    refused, cpus = done.stdout.strip().splitlines()[-2:]
    assert "has already joined the Ray at" in refused and "ray.shutdown()" in refused
    assert float(cpus) == 3


HERE = {"ray": metadata.version("ray"), "python": platform.python_version(), "here": True}


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({**HERE, "ray": "2.9.0"}, "the cluster runs ray 2.9.0, here is ray"),
        ({**HERE, "python": "3.9.1"}, "the cluster runs python 3.9.1, here is python"),
        ({**HERE, "here": False}, "this host is no node of that cluster"),
        ({"error": "AuthenticationError: RPC error"}, "refuses .*auth_token"),
        ({"error": ""}, "does not answer as Ray's head"),
    ],
)
def test_what_a_cluster_says_of_itself_is_judged(token, found, text):
    with pytest.raises(PlacementError, match=text):
        judge("head:6379", found)
    judge("head:6379", HERE)


@pytest.mark.slow
@pytest.mark.own_ray
def test_a_server_that_is_no_ray_and_a_wrong_token_are_named(token, monkeypatch, start_head):
    class Silent(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(PlacementError, match="does not answer as Ray's head"):
            joinable(f"127.0.0.1:{server.server_port}", allow_open=False)
        server.shutdown()
    head = start_head()
    assert joinable(head.address, allow_open=False) == head.address
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    with pytest.raises(PlacementError, match="refuses the token of this host"):
        joinable(head.address, allow_open=False)


def test_a_head_is_gone_when_it_refuses_three_times_or_is_silent_for_long():
    def seconds(answers: list[bool | None]) -> float | None:
        now, lost = [0.0], []
        states = iter(answers)

        def pause(time: float) -> bool:
            now[0] += time
            return now[0] > len(answers)

        HeadWatch(
            "head:1", None, lambda a: next(states), lambda *a: lost.append(now[0]), lambda: now[0],
            pause,
        ).watch()  # fmt: skip
        return lost[0] if lost else None

    assert seconds([True, False, False, False, True]) == 4 * PERIOD_S
    assert seconds([True, False, False, True] * 5) is None
    assert seconds([True, *[None] * 20]) == PERIOD_S + SILENT_S
    assert seconds([*[None] * 5, True] * 4) is None


@pytest.mark.slow
@pytest.mark.own_ray
def test_a_run_whose_head_is_killed_says_so_and_goes_on_elsewhere(start_head, tmp_path):
    """The whole way: joined by a user's command, killed in the middle, resumed on a local Ray."""
    head = start_head()
    folder = tmp_path / "run"
    joined = subprocess.Popen(
        [*TRAIN, "--set", "epochs=100000", "--address", head.address, "--out", str(folder)],
        env={**os.environ, **head.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = folder / "log" / "000001.rlog"
    while not log.exists() or b'"kind":"report"' not in log.read_bytes():
        try:
            joined.wait(0.2)
            raise AssertionError(joined.communicate())
        except subprocess.TimeoutExpired:
            continue
    head.kill()
    out, err = joined.communicate()
    assert joined.returncode == 3, (out, err)
    assert f"the head of the Ray cluster at {head.address} is gone; go on with: " in err
    assert f"rayat resume {folder}" in err.splitlines()[-1]
    assert "rpc_client" not in err and "Traceback" not in err
    status = subprocess.run(
        [sys.executable, "-m", "rayat.cli", "status", str(folder)], capture_output=True, text=True
    )
    assert status.returncode == 0 and "rayat resume" in status.stdout
