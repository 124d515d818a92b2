"""Checkpoints on disk: complete or absent at every instant, and named when damaged.

A trial's folder holds `last` (to resume from) and `best` (to evaluate), and where a teacher made
labels its network, `teacher`; each with `model.safetensors`, `meta.json` and, for `last`,
`state.pt` and whatever each worker's gradient exchange remembers, `exchange-RANK.safetensors`. A
new one is written beside the old one and renamed into place; the old one is kept as `.last.old`
until then, so that a process killed between the two renames still finds it. Nothing on disk is a
pickle that could run code.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rayat.config import TrialConfig
from rayat.errors import ConfigError, LedgerError
from rayat.pruning.base import Selection

FORMAT = 1
Name = Literal["best", "last", "teacher"]


@dataclass(frozen=True)
class Checkpoint:
    """What was read back, every byte verified.

    Attributes:
        path: the folder it was read from. epoch: the last epoch trained.
        rows: the reports of epochs 1..epoch, as they were or will be reported.
        model: the state by name of the network that was validated, on the CPU.
        optimizer: the optimiser's state on the CPU; None in `best`.
        inner: what attacks remember, by name (`Inner.state_dict`).
        trained: the state that training goes on from, where `model` is a mean of `averaged` ones.
        exchange: what this worker's gradient exchange remembers, on the CPU; may be empty.
    """

    path: Path
    epoch: int
    rows: list[dict[str, Any]]
    model: dict[str, Tensor]
    optimizer: dict[str, Any] | None
    selection: Selection | None = None
    inner: dict[str, Any] = field(default_factory=dict)
    trained: dict[str, Tensor] | None = None
    averaged: int = 0
    exchange: dict[str, Tensor] = field(default_factory=dict)


def save(
    folder: Path,
    name: Name,
    config: TrialConfig,
    rows: list[dict[str, Any]],
    model: nn.Module,
    optimizer: Optimizer | None = None,
    selection: Selection | None = None,
    inner: dict[str, Any] | None = None,
    trained: nn.Module | None = None,
    averaged: int = 0,
    exchange: Sequence[bytes] = (),
) -> None:
    """Write `folder/name` durably; a crash at any point leaves the old or the new one complete.

    Args:
        folder: the trial's; made if absent. One process at a time may write there.
        rows: the reports of epochs 1 to the one just trained; JSON values only.
        model: the bare network that was validated. optimizer: given where training may resume from
            here; with it `trained`, the network that is trained where `model` is a mean of
            `averaged` of its states.
        exchange: what each worker's gradient exchange remembers (`Exchange.collect`).
    """
    files = {"model.safetensors": _weights(model)}
    if optimizer is not None:
        files["state.pt"] = _bytes(
            {
                "optimizer": optimizer.state_dict(),
                "selection": None
                if selection is None
                else {"indices": selection.indices, "weights": selection.weights},
                "inner": inner or {},
                "trained": None if trained is None else trained.state_dict(),
                "averaged": averaged,
            }
        )
    files |= {_exchange(rank): content for rank, content in enumerate(exchange)}
    body = {
        "format": FORMAT,
        "epoch": len(rows),
        "config_sha256": config.sha256(),
        "config": config.tree(),
        "files": {file: _sha256(content) for file, content in files.items()},
        "rows": rows,
    }
    meta = {"sha256": _sha256(_canonical(body)), "body": body}
    files["meta.json"] = json.dumps(meta, indent=1, allow_nan=False).encode()

    folder.mkdir(parents=True, exist_ok=True)
    final, old = folder / name, folder / f".{name}.old"
    for stale in folder.glob(f".{name}.new-*"):  # of a process killed while writing
        shutil.rmtree(stale)
    new = folder / f".{name}.new-{secrets.token_hex(4)}"
    new.mkdir()
    for file, content in files.items():
        with open(new / file, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    _fsync_folder(new)
    if final.exists():
        if old.exists():
            shutil.rmtree(old)
        os.rename(final, old)
    os.rename(new, final)
    _fsync_folder(folder)
    if old.exists():
        shutil.rmtree(old)


def load(folder: Path, name: Name, config: TrialConfig, rank: int = 0) -> Checkpoint | None:
    """Return the verified checkpoint `folder/name`, or None where there is none yet.

    Args:
        rank: the worker whose state is read; the others' is neither read nor verified.

    Raises:
        LedgerError: a file is missing, damaged, of a newer format or of another configuration. A
            damaged checkpoint is never replaced in silence by training afresh.
    """
    path = folder / name
    if not path.exists():
        path = folder / f".{name}.old"  # killed between the two renames of `save`
        if not path.exists():
            return None
    body = _meta(path)
    if body["format"] > FORMAT:
        raise LedgerError(
            f"checkpoint {path} has format {body['format']}, this version reads up to {FORMAT}; "
            "read it with the version of rayat that wrote it"
        )
    if not _same(body, config):
        raise LedgerError(
            f"checkpoint {path} belongs to another configuration (sha256 "
            f"{body['config_sha256'][:12]}, this trial has {config.sha256()[:12]}); "
            "give this trial another folder"
        )
    content = {}
    for file, sha256 in body["files"].items():
        if file.startswith("exchange-") and file != _exchange(rank):
            continue
        content[file] = _read(path / file)
        if _sha256(content[file]) != sha256:
            raise _damaged(path / file, "its SHA-256 is not the one in meta.json")
    optimizer, selection, inner, trained, averaged = None, None, {}, None, 0
    if "state.pt" in content:
        state = _state(path / "state.pt", content["state.pt"])
        optimizer = state["optimizer"]
        if state.get("selection") is not None:
            selection = Selection(**state["selection"])
        inner = state.get("inner", {})
        trained, averaged = state.get("trained"), state.get("averaged", 0)
    model = safetensors.torch.load(content["model.safetensors"])
    own = content.get(_exchange(rank))
    return Checkpoint(
        path,
        body["epoch"],
        body["rows"],
        model,
        optimizer,
        selection,
        inner,
        trained,
        averaged,
        {} if own is None else safetensors.torch.load(own),
    )


def _state(file: Path, content: bytes) -> dict[str, Any]:
    """Return tensors, numbers and containers of them.

    Raises:
        LedgerError: it holds anything else, which could run code; nothing of it was called.
    """
    try:
        state: dict[str, Any] = torch.load(
            io.BytesIO(content), weights_only=True, map_location="cpu"
        )
        state["optimizer"]
    # Its sum was right, so that no disk did this; torch refuses with errors of many kinds.
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _damaged(file, f"it holds more than a trial's state ({why})") from None
    return state


def _exchange(rank: int) -> str:
    return f"exchange-{rank}.safetensors"


def configuration(path: Path) -> TrialConfig:
    """Return the configuration that a checkpoint's folder holds.

    Raises:
        LedgerError: it is damaged, or older than the first version that stored it.
        ConfigError: this version of rayat does not know one of its keys.
    """
    body = _meta(path)
    if "config" not in body:
        raise LedgerError(
            f"checkpoint {path} does not hold its configuration, as those of earlier versions; "
            "evaluate the run that it belongs to"
        )
    return TrialConfig.parse(body["config"])


def _same(body: dict[str, Any], config: TrialConfig) -> bool:
    """Return whether a checkpoint is of `config`, also if it knew fewer keys when it was written.

    A key that a later version added has its default in the older trials.
    """
    if body["config_sha256"] == config.sha256():
        return True
    try:
        return TrialConfig.parse(body["config"]).sha256() == config.sha256()
    except (KeyError, ConfigError):
        return False


def _weights(model: nn.Module) -> bytes:
    # Copies: safetensors refuses channels-last strides and weights that share memory.
    state = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    content: bytes = safetensors.torch.save(state)
    return content


def _bytes(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None


def _meta(path: Path) -> dict[str, Any]:
    file = path / "meta.json"
    try:
        meta = json.loads(_read(file))
        body: dict[str, Any] = meta["body"]
        intact = _sha256(_canonical(body)) == meta["sha256"]
    except (ValueError, KeyError, TypeError):
        raise _damaged(file, "it is not the JSON that was written") from None
    if not intact:
        raise _damaged(file, "its SHA-256 is not the one it holds")
    return body


def _damaged(file: Path, why: str) -> LedgerError:
    return LedgerError(
        f"checkpoint file {file} is damaged: {why}; restore it from a copy, or delete "
        f"{file.parent} to train this trial again from its first epoch"
    )
