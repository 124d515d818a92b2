"""rayat: find out which schedule trains a robust model sooner.

    import rayat

    run = rayat.run("quickstart", cpus=2)
    print(run.compare().render())
    model = run.load_model()

Everything here is loaded when it is first used: `import rayat` costs no torch, Ray or pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from rayat.api.confirming import confirm as confirm
    from rayat.api.how import How as How
    from rayat.api.reproducing import reproduce as reproduce
    from rayat.api.run import Run as Run
    from rayat.api.verbs import compare as compare
    from rayat.api.verbs import merge as merge
    from rayat.api.verbs import open as open
    from rayat.api.verbs import plan as plan
    from rayat.api.verbs import resume as resume
    from rayat.api.verbs import run as run
    from rayat.config import TrialConfig as TrialConfig
    from rayat.errors import RayatError as RayatError
    from rayat.study import Study as Study
    from rayat.study import load_study as load_study

_PLACES = {
    "run": "rayat.api.verbs",
    "resume": "rayat.api.verbs",
    "plan": "rayat.api.verbs",
    "open": "rayat.api.verbs",
    "compare": "rayat.api.verbs",
    "merge": "rayat.api.verbs",
    "confirm": "rayat.api.confirming",
    "reproduce": "rayat.api.reproducing",
    "How": "rayat.api.verbs",
    "Run": "rayat.api.run",
    "Study": "rayat.study",
    "load_study": "rayat.study",
    "TrialConfig": "rayat.config",
    "RayatError": "rayat.errors",
}

__all__ = [
    "How",
    "RayatError",
    "Run",
    "Study",
    "TrialConfig",
    "__version__",
    "compare",
    "confirm",
    "load_study",
    "merge",
    "open",
    "plan",
    "reproduce",
    "resume",
    "run",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module 'rayat' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
