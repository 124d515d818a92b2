"""torch's DDP without torch's compiler.

DDP imports the compiler when it is made and at its first forward pass, to ask it for a setting of
compiled code and to tell it what not to compile: 2 to 3 CPU-seconds of every fresh worker, for
nothing where nothing is compiled.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

COMPILER = "_dynamo"
DEFAULT = "ddp_optimizer"
"""What the setting is where nobody changed it; it speaks of compiled code alone."""


class EagerDataParallel(DistributedDataParallel):
    """A `DistributedDataParallel` of a network that is not compiled; the numbers are torch's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        with _answered():
            super().__init__(*arguments, **options)

    @contextlib.contextmanager
    def _inside_ddp_forward(self) -> Iterator[None]:
        """Tell the compiler nothing."""
        yield


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Answer for the compiler, which is imported when it is first named, unless it is there."""
    if f"torch.{COMPILER}" in sys.modules:
        yield
        return
    name = f"torch.{COMPILER}"
    utils = _Answers(f"{name}.utils", get_optimize_ddp_mode=lambda: DEFAULT)
    answers = _Answers(name, utils=utils)
    setattr(torch, COMPILER, answers)
    try:
        yield
    finally:
        if vars(torch).get(COMPILER) is answers:
            delattr(torch, COMPILER)


class _Answers(SimpleNamespace):
    """What DDP is known to ask, and the module itself for whatever another torch may ask."""

    def __init__(self, module: str, **known: Any) -> None:
        super().__init__(**known)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._module), name)
