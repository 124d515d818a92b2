"""What `rayat doctor` looks at, one function each; nothing is started and nothing is left."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from rayat.cli.text import size
from rayat.errors import DataError, PlacementError
from rayat.host.machine import BF16_UNITS, ONE_THREAD, cpu_flags, memory_bytes

GIB = 2**30
MEMORY_PER_CORE = 1 * GIB
"""A trial's process holds Python, torch, a small network and its data in about half of it."""
SHARED_MEMORY = 1 * GIB
"""Below it Ray's object store falls back to files in /tmp."""
DISK = 2 * GIB


@dataclass(frozen=True)
class Check:
    """One finding: `ok`, `warn` (slower or smaller than it could be) or `fail` (no run can work).

    Attributes:
        advice: what to do about it; empty where nothing need be done.
    """

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


def python() -> Iterator[Check]:
    """Python and the packages that train."""
    yield Check("python", "ok", platform.python_version())
    for name in ("torch", "torchvision", "ray", "pyarrow"):
        try:
            yield Check(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Check(name, "fail", "not installed", f"pip install {name}")


def processor() -> Iterator[Check]:
    """Cores, vector units and thread settings."""
    cores = len(os.sched_getaffinity(0))
    limit = cpu_limit()
    if limit is not None and limit < cores:
        yield Check(
            "cores",
            "warn",
            f"{cores} usable, but the container may use {limit:g}",
            f"pass --cpus {max(1, int(limit))}",
        )
    else:
        yield Check("cores", "ok", f"{cores} usable")
    flags = cpu_flags()
    bf16 = sorted(BF16_UNITS & flags)
    advice = "" if bf16 else "keep precision=fp32 on this CPU: bf16 would be emulated"
    yield Check("bf16 on CPU", "ok", ", ".join(bf16) or "no unit for it", advice)
    names = [name for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ]
    said = "".join(f"; {name}={os.environ[name]}" for name in names)
    yield Check("threads", "ok", f"the configuration's `threads`, 1 a trial: {ONE_THREAD}{said}")


def memory() -> Iterator[Check]:
    """Memory, shared memory and disk."""
    total, free = memory_bytes()
    cores = len(os.sched_getaffinity(0))
    found = f"{size(free)} free of {size(total)}"
    if free < MEMORY_PER_CORE * cores:
        held = max(1, int(free // MEMORY_PER_CORE))
        yield Check("memory", "warn", found, f"run at most {held} at once: --concurrency {held}")
    else:
        yield Check("memory", "ok", found)
    with contextlib.suppress(OSError):
        shared = shutil.disk_usage("/dev/shm").free
        small = shared < SHARED_MEMORY
        advice = "give the container more: docker run --shm-size=2g" if small else ""
        yield Check("shared memory", "warn" if small else "ok", f"{size(shared)} free", advice)
    here = Path.cwd()
    free_disk = shutil.disk_usage(here).free
    if not os.access(here, os.W_OK):
        yield Check("disk", "warn", f"{here} is not writable", "give --out, or work elsewhere")
    elif free_disk < DISK:
        yield Check("disk", "warn", f"{size(free_disk)} free in {here}", "free some, or give --out")
    else:
        yield Check("disk", "ok", f"{size(free_disk)} free in {here}")


def devices() -> Iterator[Check]:
    """GPUs that torch can use."""
    try:
        import torch
    except ImportError as error:
        yield Check("gpu", "fail", f"torch cannot be imported: {error}", "install torch again")
        return
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            yield Check(f"gpu {index}", "ok", f"{properties.name}, {size(properties.total_memory)}")
    elif Path("/proc/driver/nvidia/gpus").is_dir():
        build = "built for the CPU" if torch.version.cuda is None else "cannot use it"
        yield Check("gpu", "warn", f"a GPU is here, torch is {build}", "install torch for CUDA")
    else:
        yield Check("gpu", "ok", "none; trials run on the CPU")


def data() -> Iterator[Check]:
    """Data sets that need no path: read whole, so a damaged one shows here."""
    from rayat.registry import SOURCES

    found = 0
    for name in SOURCES.names():
        cls = SOURCES.get(name)
        if any(field.is_required() for field in cls.model_fields.values()):
            continue
        try:
            held = cls().read()
        except DataError as error:
            yield Check(f"data {name}", "warn", "not found", str(error))
            continue
        found += 1
        yield Check(
            f"data {name}", "ok", f"{len(held.train)} training, {len(held.test)} test images"
        )
    if not found:
        yield Check("data", "fail", "no data set at all", "install scikit-learn for `digits`")


def ray_safety() -> Iterator[Check]:
    """Who could reach the Ray that rayat starts."""
    from rayat.host.ray_settings import AUTH_MODE, TOKEN
    from rayat.host.rays import surroundings, temporary

    mode = os.environ.get(AUTH_MODE, TOKEN)  # what a run sets unless the user did
    if mode == TOKEN:
        yield Check("ray authentication", "ok", "token")
    else:
        yield Check(
            "ray authentication",
            "warn",
            f"RAY_AUTH_MODE={mode}",
            "unset RAY_AUTH_MODE: without a token, whoever reaches a Ray port runs code here",
        )
    token = Path.home() / ".ray" / "auth_token"
    with contextlib.suppress(OSError):
        if token.is_file() and stat.S_IMODE(token.stat().st_mode) & 0o077:
            yield Check("ray token", "warn", f"others can read {token}", f"chmod 600 {token}")
    if not os.access(Path.home(), os.W_OK) and not token.is_file():
        yield Check("ray token", "fail", f"{token} cannot be made", "set HOME to a writable folder")
    other = surroundings()
    yield Check("other ray", "ok", other or "none")
    try:
        temporary().rmdir()
        yield Check("ray temporary folder", "ok", "writable, and short enough for sockets")
    except PlacementError as error:
        yield Check("ray temporary folder", "fail", str(error), "set RAY_TMPDIR")
    try:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
        yield Check("ray loopback", "ok", "a local Ray listens on 127.0.0.1 only")
    except OSError as error:
        yield Check(
            "ray loopback", "fail", f"no port on 127.0.0.1: {error}", "bring the interface lo up"
        )


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    python,
    processor,
    memory,
    devices,
    ray_safety,
    data,
)


def cpu_limit() -> float | None:
    """Return the CPUs that the control group (version 2) grants, None without a limit."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            return int(quota) / int(period)
    return None
