"""Before a cluster is joined: everything that can be wrong with it, each in one sentence."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import threading
from importlib import metadata
from pathlib import Path
from typing import Any

from rayat.errors import PlacementError

CONNECT_SECONDS = 3.0
PROBE_SECONDS = 11.0
"""Ray's own clients would try for minutes; a refusal comes within 15 s in all."""
LOAD_SECONDS = 120.0
"""How long Ray may take to be loaded, a second or two on a free machine, before it is asked."""
START = "on the head `ray start --head --port=6379`, then give its host:6379"


def joinable(address: str, allow_open: bool) -> str:
    """Return the `host:port` to join.

    Raises:
        PlacementError: an address of another form, nobody or no Ray there, no token or a wrong one,
            other versions, or no node of that cluster on this host.
    """
    if os.environ.get("RAY_AUTH_MODE") != "token" and not allow_open:
        raise PlacementError(
            "RAY_AUTH_MODE is not 'token', so anyone who reaches the cluster runs code on it: "
            "set it on every node, or pass --allow-open-cluster"
        )
    found, source = (automatic(), " (found by auto)") if address == "auto" else (address, "")
    host, port = parsed(found)
    name = f"{found}{source}"
    try:
        with socket.create_connection((host, port), timeout=CONNECT_SECONDS):
            pass
    except socket.gaierror:
        raise PlacementError(f"--address {name}: the host {host!r} cannot be resolved") from None
    except OSError as error:
        why = "nobody answers" if isinstance(error, TimeoutError) else error.strerror or error
        raise PlacementError(
            f"--address {name}: no Ray listens there ({why}); is its head running? {START}"
        ) from None
    if os.environ.get("RAY_AUTH_MODE") == "token" and not has_token():
        raise PlacementError(
            "there is no token here to join a cluster with: copy the head's ~/.ray/auth_token "
            "to this host (mode 600), or set RAY_AUTH_TOKEN"
        )
    judge(name, asked(found))
    return found


def same(address: str, joined: str, allow_open: bool) -> None:
    """Refuse an address that is not that of the Ray which this process has joined already.

    Args:
        address: what was asked for.
        joined: `host:port` of the Ray that this process has joined.
        allow_open: as in `joinable`.

    Raises:
        PlacementError: as `joinable`, or another Ray is meant.
    """
    found = joinable(address, allow_open)
    (host, port), (here, its) = parsed(found), parsed(joined)
    if port != its or not set(numbers(host)) & set(numbers(here)):
        raise PlacementError(
            f"--address {address}: this process has already joined the Ray at {joined}, and work "
            "would go there; leave the address out to use it, or call ray.shutdown() first"
        )


def numbers(host: str) -> list[str]:
    """Return the IP addresses of a host; empty if it has none."""
    try:
        return [str(info[4][0]) for info in socket.getaddrinfo(host, None)]
    except OSError:
        return []


def automatic() -> str:
    """Return the address that Ray means by `auto`. Raises `PlacementError` if there is none."""
    from ray._private.services import canonicalize_bootstrap_address

    try:
        found = canonicalize_bootstrap_address("auto")
    except (ConnectionError, ValueError, OSError):
        found = None
    if found is None:
        raise PlacementError(
            "--address auto: no Ray runs on this host; start a node of the cluster with "
            "`ray start --address=HOST:PORT`, or leave --address out for a local run"
        )
    return str(found)


def parsed(address: str) -> tuple[str, int]:
    """Return host and port. Raises `PlacementError` for any other form."""
    scheme, separator, rest = address.partition("://")
    if separator and scheme == "ray":
        raise PlacementError(
            f"{address} is a Ray Client address: run rayat on a node of the cluster "
            "with --address auto"
        )
    if separator:
        raise PlacementError(
            f"--address {address} is a web address: run rayat on a node of the cluster with "
            "--address auto, or give the head's host:port, such as "
            f"{rest.partition('/')[0].partition(':')[0] or 'host'}:6379"
        )
    if address == "local":
        raise PlacementError("--address local: leave --address out, a run is local without it")
    host, colon, port = address.rpartition(":")
    host = host.strip("[]")
    if not colon or not host:
        raise PlacementError(
            f"--address {address!r} has no port: give host:port as `ray start --head` printed it, "
            f"such as {(address.strip(':') or 'host')}:6379"
        )
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise PlacementError(f"--address {address!r}: {port!r} is no port, give host:6379, say")
    return host, int(port)


def has_token() -> bool:
    """Return whether Ray would find a token here."""
    path = os.environ.get("RAY_AUTH_TOKEN_PATH")
    default = Path.home() / ".ray" / "auth_token"
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or (Path(path) if path else default).is_file()


def asked(address: str) -> dict[str, Any]:
    """Return what `probe` learns of the Ray at `address`; `{"error": ""}` if it is silent."""
    command = [sys.executable, "-m", "rayat.orchestration.probe", address]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as probe:
        assert probe.stdout is not None
        late = threading.Timer(LOAD_SECONDS, probe.kill)
        late.start()
        first = probe.stdout.readline()
        # It is loaded: only from now on does the time count that the other side takes.
        late.cancel()
        try:
            rest = probe.communicate(timeout=PROBE_SECONDS)[0]
            found: dict[str, Any] = json.loads((first + rest).splitlines()[-1])
        except (subprocess.TimeoutExpired, ValueError, IndexError):
            probe.kill()
            return {"error": ""}
    return found


def judge(name: str, found: dict[str, Any]) -> None:
    """Refuse a cluster by what it said of itself. Raises `PlacementError`."""
    error = found.get("error")
    if error is not None and error.startswith("AuthenticationError"):
        mode = os.environ.get("RAY_AUTH_MODE")
        ours = "the token of this host" if mode == "token" else f"RAY_AUTH_MODE={mode} here"
        raise PlacementError(
            f"--address {name}: the cluster refuses {ours}; set RAY_AUTH_MODE=token and copy its "
            "head's ~/.ray/auth_token to this host, or set RAY_AUTH_TOKEN"
        )
    if error is not None:
        raise PlacementError(
            f"--address {name}: something listens there but it does not answer as Ray's head"
            f"{f' ({error.splitlines()[0][:160]})' if error else ''}; {START}"
        )
    mine = {"ray": metadata.version("ray"), "python": platform.python_version()}
    for what, version in mine.items():
        if found[what] not in (None, version):
            raise PlacementError(
                f"--address {name}: the cluster runs {what} {found[what]}, here is {what} "
                f"{version}; use the same versions on every node"
            )
    if not found["here"]:
        raise PlacementError(
            f"--address {name}: this host is no node of that cluster; run rayat on one, or join "
            f"first with `ray start --address={name.partition(' ')[0]}`"
        )
