"""Checkpoints on disk: complete or absent at every instant, and named when damaged.

A trial's folder holds `last` (to resume from) and `best` (to evaluate), and where a teacher made
labels its network, `teacher`; each with `model.safetensors`, `meta.json` and, for `last`,
`state.pt` and whatever each worker's gradient exchange remembers, `exchange-RANK.safetensors`. A
new one is written beside the old one and renamed into place; the old one is kept as `.last.old`
until then, so that a process killed between the two renames still finds it. Nothing on disk is a
pickle that could run code.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor

from rayat.config import TrialConfig
from rayat.errors import ConfigError, LedgerError
from rayat.ledger.checkpoint_files import (
    META,
    damaged,
    found,
    meta_of,
    place,
    read_meta,
    sha256,
    verified,
)
from rayat.ledger.files import write_file

FORMAT = 1
Name = Literal["best", "last", "teacher"]


@dataclass(frozen=True)
class Checkpoint:
    """What was read back, every byte verified.

    Attributes:
        path: the folder it was read from. epoch: the last epoch trained.
        rows: the reports of epochs 1..epoch, as they were or will be reported.
        states: what `save` was given, by name and on the CPU; `exchange` is this worker's own.
    """

    path: Path
    epoch: int
    rows: list[dict[str, Any]]
    states: dict[str, Any]

    @property
    def model(self) -> dict[str, Tensor]:
        """Return the state of the network that was validated."""
        state: dict[str, Tensor] = self.states["model"]
        return state

    @property
    def resumable(self) -> bool:
        """Return whether training may go on from here, as from `last`."""
        return "optimizer" in self.states


def save(
    folder: Path,
    name: Name,
    config: TrialConfig,
    rows: list[dict[str, Any]],
    states: Mapping[str, Any],
) -> None:
    """Write `folder/name` durably; a crash at any point leaves the old or the new one complete.

    Args:
        folder: the trial's; made if absent. One process at a time may write there.
        rows: the reports of epochs 1 to the one just trained; JSON values only.
        states: by name. `model`: the state of the bare network that was validated. `exchange`: what
            each worker's gradient exchange remembers, in the order of their ranks
            (`Exchange.collect`). And whatever else training goes on from (`Training.state_dict`),
            `optimizer` among it: tensors, numbers, texts and containers of them.

    Raises:
        LedgerError: the disk refuses.
    """
    files = {"model.safetensors": _weights(states["model"])}
    rest = {key: value for key, value in states.items() if key not in ("model", "exchange")}
    if rest:
        files["state.pt"] = _bytes(rest)
    files |= {_exchange(rank): content for rank, content in enumerate(states.get("exchange", ()))}
    body = {
        "format": FORMAT,
        "epoch": len(rows),
        "config_sha256": config.sha256(),
        "config": config.tree(),
        "files": {file: sha256(content) for file, content in files.items()},
        "rows": rows,
    }
    files[META] = meta_of(body)

    def fill(new: Path) -> None:
        for file, content in files.items():
            write_file(new / file, content)

    place(folder, name, fill)


def load(folder: Path, name: Name, config: TrialConfig, rank: int = 0) -> Checkpoint | None:
    """Return the verified checkpoint `folder/name`, or None where there is none yet.

    Args:
        rank: the worker whose state is read; the others' is neither read nor verified.

    Raises:
        LedgerError: a file is missing, damaged, of a newer format or of another configuration. A
            damaged checkpoint is never replaced in silence by training afresh.
    """
    path = found(folder, name)
    if path is None:
        return None
    body = read_meta(path)
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
    for file, expected in body["files"].items():
        if file.startswith("exchange-") and file != _exchange(rank):
            continue
        content[file] = verified(path, file, expected)
    states = {"model": safetensors.torch.load(content["model.safetensors"])}
    if "state.pt" in content:
        states |= _state(path / "state.pt", content["state.pt"])
    own = content.get(_exchange(rank))
    states["exchange"] = {} if own is None else safetensors.torch.load(own)
    return Checkpoint(path, body["epoch"], body["rows"], states)


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
        raise damaged(file, f"it holds more than a trial's state ({why})") from None
    return state


def _exchange(rank: int) -> str:
    return f"exchange-{rank}.safetensors"


def configuration(path: Path) -> TrialConfig:
    """Return the configuration that a checkpoint's folder holds.

    Raises:
        LedgerError: it is damaged, or older than the first version that stored it.
        ConfigError: this version of rayat does not know one of its keys.
    """
    body = read_meta(path)
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


def _weights(model: Mapping[str, Tensor]) -> bytes:
    # Copies: safetensors refuses channels-last strides and weights that share memory.
    state = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.items()
    }
    content: bytes = safetensors.torch.save(state)
    return content


def _bytes(state: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
