"""A folder of modules that this process can import; one at a time, and another one replaces it.

Two studies may each have a `helper.py` and an attack `mine`: what the one's modules are and have
registered is taken away when the other's turn comes, and put back when it comes again.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from rayat.registry import ROOMS

INSTALLED = ("site-packages", "dist-packages")


@dataclass
class Code:
    """The modules directly in a folder: a study's own, or the copy of them that a run holds.

    Attributes:
        folder: absolute. names: of modules that are this study's wherever they lie.
    """

    folder: Path
    names: tuple[str, ...] = ()
    _modules: dict[str, ModuleType] = field(default_factory=dict, compare=False, repr=False)
    _parts: dict[str, dict[str, Any]] = field(default_factory=dict, compare=False, repr=False)
    _known: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    def _enter(self) -> None:
        importlib.invalidate_caches()  # the folder may have been written a moment ago
        self._known = frozenset(sys.modules)
        sys.path.insert(0, str(self.folder))
        sys.modules.update(self._modules)
        for room, parts in self._parts.items():
            ROOMS[room].restore(parts)

    def _leave(self) -> None:
        if str(self.folder) in sys.path:
            sys.path.remove(str(self.folder))
        new = {*self._modules, *(set(sys.modules) - self._known)}
        tops = {name for name in new if "." not in name and self._holds(name)}
        self._modules = {
            name: sys.modules.pop(name)
            for name in new
            if name.partition(".")[0] in tops and name in sys.modules
        }
        self._parts = {room: each.withdraw(self._modules) for room, each in ROOMS.items()}

    def _holds(self, name: str) -> bool:
        """Return whether a module or package lies directly in the folder, not somewhere below."""
        module = sys.modules.get(name)
        if module is None or name == "rayat":
            return False
        file = getattr(module, "__file__", None)
        places = [file] if file else list(getattr(module, "__path__", []))
        return name in self.names or any(
            self.folder in (Path(place).parent, Path(place).parent.parent)
            for place in places
            if Path(place).stem in (name, "__init__")
        )


_current: Code | None = None


def use(code: Code | None) -> None:
    """Make a folder's modules importable, and forget those of the folder before; None: of all."""
    global _current
    if code is _current:
        return
    if _current is not None:
        _current._leave()
    _current = code
    if code is not None:
        code._enter()


def used() -> Code | None:
    """Return the folder whose modules can be imported now."""
    return _current


def is_installed(path: Path) -> bool:
    """Return whether a module's file belongs to Python or to an installed package."""
    return bool(set(path.parts) & set(INSTALLED)) or path.is_relative_to(Path(sys.base_prefix))
