"""torch's optimisers without torch's compiler.

`torch.optim` imports the compiler at an optimiser's first call, to tell it what not to compile:
2 to 3 CPU-seconds of every fresh worker, for nothing where nothing is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.optim import Optimizer


@cache
def eager(cls: type[Optimizer]) -> Callable[..., Optimizer]:
    """Return a subclass of a torch optimiser whose methods are the plain ones below torch's wraps.

    The numbers, the state and its names are `cls`'s own. It may not be stepped in compiled code.
    """

    def plain(name: str) -> Any:
        method = getattr(cls, name)
        return getattr(method, "__wrapped__", method)

    names = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    methods = {name: plain(name) for name in names}
    methods["step"] = torch.no_grad()(plain("step"))
    return type(cls.__name__, (cls,), methods)
