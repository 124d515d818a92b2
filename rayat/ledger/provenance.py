"""Where numbers come from: code, packages and hardware, without importing what it describes.

No environment variable and no credential is read.
"""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import rayat

PACKAGES = (
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "ray",
    "safetensors",
    "scikit-learn",
    "timm",
    "torch",
    "torchvision",
)
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
"""Processor features that change the speed of training (Linux names)."""


def describe_environment() -> dict[str, Any]:
    """Return what a run's description says of the machine and the code, as JSON values.

    Returns:
        rayat, python, packages (name to version, None where not installed), git (revision and
        `dirty` of the working folder, or None), hardware (processor, features, cores usable,
        memory in bytes, gpus by name), system, host, time (UTC), command (the program's name and
        its arguments; paths below the working folder are relative to it).
    """
    return {
        "rayat": rayat.__version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": _git(),
        "hardware": _hardware(),
        "system": platform.platform(),
        "host": socket.gethostname(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": [Path(sys.argv[0]).name, *map(_shown, sys.argv[1:])],
    }


def machines(environments: Mapping[str, Mapping[str, Any]]) -> str:
    """Return in what environments differ that changes seconds, with each value; empty if nothing.

    Args:
        environments: what runs say of theirs (`describe_environment`), by a name of each.
    """
    found = []
    facts = {name: _facts(each) for name, each in environments.items()}
    for what in dict.fromkeys(key for each in facts.values() for key in each):
        values = {name: each.get(what) for name, each in facts.items()}
        if len(set(values.values())) > 1:
            said = ", ".join(f"{value or 'unknown'} in {name}" for name, value in values.items())
            found.append(f"{what} {said}")
    return "; ".join(found)


def _facts(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return what seconds depend on, as texts."""
    hardware = environment.get("hardware") or {}
    found = {
        "processor": hardware.get("processor"),
        "cores": hardware.get("cores"),
        "gpus": ", ".join(hardware.get("gpus") or ()) or "none",
        "rayat": environment.get("rayat"),
        "python": environment.get("python"),
        **(environment.get("packages") or {}),
    }
    return {name: str(value) for name, value in found.items() if value is not None}


def _shown(argument: str) -> str:
    """Return an argument as somebody in another checkout would give it."""
    here = Path.cwd()
    path = Path(argument)
    return str(path.relative_to(here)) if path.is_relative_to(here) else argument


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Return the revision of the working folder and whether files differ from it."""

    def ask(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        revision = ask("rev-parse", "HEAD")
        return {"revision": revision, "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None  # no git, no repository, or no commit yet


def _hardware() -> dict[str, Any]:
    processor, flags = platform.processor() or platform.machine(), set[str]()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                processor = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = set(value.split())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = None
    with contextlib.suppress(OSError, ValueError):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor,
        "features": [name for name in FEATURES if name in flags],
        "cores": usable,
        "memory_bytes": memory,
        "gpus": _gpus(),
    }


def _gpus() -> list[str]:
    """Return the models that the NVIDIA driver lists, in its order."""
    names: list[str] = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        with contextlib.suppress(OSError):
            fields = (line.partition(":") for line in path.read_text().splitlines())
            names.extend(value.strip() for key, _, value in fields if key == "Model")
    return names
