"""What surrounds a local Ray: another Ray, which it must not see, and a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rayat.errors import PlacementError, RayatError

FOREIGN = {
    "RAY_ADDRESS": "the address of another Ray",
    "RAY_NAMESPACE": "the namespace of another Ray",
    "RAY_REDIS_ADDRESS": "the store of another Ray",
    "RAY_GCS_SERVER_PORT": "the port of another Ray",
    "RAY_JOB_CONFIG_JSON_ENV_VAR": "the settings of the Ray job around this process",
    "RAY_JOB_ID": "the Ray job around this process",
    "RAY_RAYLET_PID": "the Ray node around this process",
    "RAY_RUNTIME_ENV_HOOK": "a hook of another Ray's environments",
    "RAY_OVERRIDE_RESOURCES": "the resources of another Ray's node",
    "RAY_OVERRIDE_LABELS": "the labels of another Ray's node",
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": "the name of another Ray's node",
}
"""Variables by which `ray.init` or the processes that it starts would follow another Ray."""

SOCKET_BYTES = 107 if os.uname().sysname == "Linux" else 103
"""Longest path of a Unix socket; the longest one of Ray is `SOCKETS` below its temporary folder."""
SOCKETS = "/r/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
PREFIX = "rayat-"
ADDRESS_FILE = "ray_current_cluster"
"""Where `ray start` writes its address; it stays when the head is killed."""


@contextlib.contextmanager
def apart() -> Iterator[Path]:
    """Hide what belongs to another Ray, and give a temporary folder that only this user may open.

    Both are as before afterwards; the folder is kept after an unforeseen error, for Ray's logs.

    Raises:
        PlacementError: no temporary folder is writable and short enough.
    """
    folder = temporary()
    hidden = {name: os.environ.pop(name) for name in FOREIGN if name in os.environ}
    try:
        # Ray opens its folder to everybody, so it gets one below a closed one.
        yield folder / "r"
    except RayatError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.environ.update(hidden)
    shutil.rmtree(folder, ignore_errors=True)


def temporary() -> Path:
    """Return a new folder for Ray's own files: where the user wants it, else where it works.

    Raises:
        PlacementError: none is writable and short enough for Ray's sockets; the text names them.
    """
    wanted = [os.environ.get(name) for name in ("RAY_TMPDIR", "TMPDIR")]
    refused = []
    for place in dict.fromkeys(filter(None, [*wanted, "/tmp", "/var/tmp"])):
        root = os.path.abspath(os.path.expanduser(place))
        room = SOCKET_BYTES - len(os.fsencode(root + "/" + PREFIX)) - 8 - len(SOCKETS)
        if room < 0:
            refused.append(f"{root} is {-room} bytes too long for Ray's sockets")
            continue
        try:
            return Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        except OSError as error:
            refused.append(f"{root}: {error.strerror}")
    raise PlacementError(
        f"Ray has no place for its temporary files ({'; '.join(refused)}): set RAY_TMPDIR to a "
        "writable folder with a short path"
    )


def surroundings() -> str:
    """Return a sentence on the other Ray here, which a local run ignores; empty if none."""
    said = [
        f"{name}={os.environ[name]} ({meaning})"
        if len(os.environ[name]) <= 60
        else f"{name} ({meaning})"
        for name, meaning in FOREIGN.items()
        if name in os.environ
    ]
    found = [f"set here: {', '.join(said)}"] if said else []
    file = address_file()
    try:
        address = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        address = ""
    alive = bool(address) and answer(address)
    if address:
        state = "a Ray listens there" if alive else "nothing listens there any more"
        found.append(f"{file} names the Ray at {address}; {state}")
    if not found:
        return ""
    join = ": --address auto joins it" if alive or said else ""
    return f"a local run ignores the other Ray ({'; '.join(found)}){join}"


def address_file() -> Path:
    """Return where `ray start` on this host notes its address."""
    root = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    return Path(root) / "ray" / ADDRESS_FILE


def answer(address: str, seconds: float = 2.0) -> bool | None:
    """Return whether `host:port` takes connections: False if it refuses, None if it is silent."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=seconds):
            return True
    except ConnectionRefusedError:
        return False
    except (OSError, ValueError, OverflowError):
        return None
