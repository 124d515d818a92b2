"""Joining a cluster: everything that can be wrong is one sentence, soon, and nothing is lost."""

from __future__ import annotations

import http.server
import platform
import threading
from importlib import metadata

import pytest
from typer.testing import CliRunner

from rayat.cli.app import app
from rayat.errors import PlacementError
from rayat.host.headwatch import PERIOD_S, SILENT_S, HeadWatch
from rayat.orchestration.joining import joinable, judge


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
def test_a_server_that_is_no_ray_is_named(token):
    class Silent(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(PlacementError, match="does not answer as Ray's head"):
            joinable(f"127.0.0.1:{server.server_port}", allow_open=False)
        server.shutdown()


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
