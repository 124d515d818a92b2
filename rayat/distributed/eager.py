"""torch's DDP without torch's compiler.

DDP imports the compiler when it is made and at its first forward pass, to ask it for a setting of
compiled code and to tell it what not to compile: 2 to 3 CPU-seconds of every fresh worker, for
nothing where nothing is compiled.
"""

from __future__ import annotations

import contextlib
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
    said = SimpleNamespace(get_optimize_ddp_mode=lambda: DEFAULT)
    setattr(torch, COMPILER, SimpleNamespace(utils=said))
    try:
        yield
    finally:
        delattr(torch, COMPILER)
