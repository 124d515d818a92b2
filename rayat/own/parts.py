"""Which methods of a study are its own, and how its run keeps their code.

Trials travel to workers as names and values. So the run's folder, which every node sees, gets a
copy of the modules that its own methods come from, and `run.json` their names and SHA-256 hashes:
workers and `rayat resume` import from there, and need neither the study's file nor its folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from rayat.errors import LedgerError, StudyError
from rayat.ledger.files import make_folder, write_file
from rayat.ledger.info import RUN, read_info
from rayat.own.code import Code, is_installed, use, used
from rayat.own.sources import files_of
from rayat.registry import ROOMS, Part

CODE = "code"
"""The folder in a run's folder that holds the copies."""
KEY = "own_parts"
"""The key of `run.json` that says what they are; not there where a study has none."""


@dataclass(frozen=True)
class OwnParts:
    """What a run has to keep of methods that are not rayat's.

    Attributes:
        parts: room, name and `module:Class` of each. files: by name below `code/`.
        installed: modules of installed packages, which every node must have.
    """

    parts: list[dict[str, str]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    installed: dict[str, dict[str, str]] = field(default_factory=dict)

    def info(self) -> dict[str, Any]:
        """Return what stands in `run.json`: nothing where there are no own parts."""
        if not self.parts:
            return {}
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}
        return {KEY: {"parts": self.parts, "files": hashes, "installed": self.installed}}

    def write(self, folder: Path) -> None:
        """Write the files into a run's folder; those that it holds stay as they are."""
        for name, data in self.files.items():
            path = folder / CODE / name
            if path.exists() and path.read_bytes() == data:
                continue
            make_folder(path.parent)
            write_file(path, data)


def gather(trees: Iterable[Any]) -> OwnParts:
    """Return the own parts of a study and its configurations, with the files that they need.

    Raises:
        StudyError: a class that no other process can import, in one sentence.
    """
    found: dict[str, dict[str, str]] = {}
    own = OwnParts()
    for part in (part for tree in trees for part in _parts(tree)):
        cls = type(part)
        reference = getattr(cls, "reference", "") or cls.place()
        module = reference.partition(":")[0]
        if module.partition(".")[0] == "rayat" or reference in found:
            continue
        _refuse_local(reference, module)
        rooms = [registry.room for registry in ROOMS.values() if _is_of(cls, registry)]
        if rooms:  # else it stands inside of another part, whose class makes it
            found[reference] = {"room": rooms[0], "name": cls.kind, "class": reference}
        _add(own, module)
    own.parts.extend(found.values())
    return own


def _is_of(cls: type, registry: Any) -> bool:
    module, _, name = registry.base.partition(":")
    return any((base.__module__, base.__name__) == (module, name) for base in cls.__mro__)


def _refuse_local(reference: str, module: str) -> None:
    if module == "__main__" or "<locals>" in reference:
        where = "the script or notebook that started this" if module == "__main__" else "a function"
        raise StudyError(
            f"{reference.partition(':')[2]} is a class of {where}, which workers and `rayat "
            "resume` cannot import; put it into a file of its own beside, such as parts.py, and "
            "import it from there, or name it as 'parts:Class'"
        )


def _add(own: OwnParts, module: str) -> None:
    """Add the files of a module, or the package that it was installed with."""
    top = module.partition(".")[0]
    place = getattr(sys.modules.get(module), "__file__", None)
    if place is None:
        raise StudyError(f"the module {module!r} has no file, so workers cannot import it")
    path = Path(place).absolute()
    if is_installed(path):
        package = next(iter(metadata.packages_distributions().get(top, [])), "")
        version = metadata.version(package) if package else ""
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        own.installed[module] = {"package": package, "version": version, "sha256": sha256}
        return
    first = getattr(sys.modules.get(top), "__file__", None)
    depth = module.count(".") - (path.name != "__init__.py")
    # A package without an `__init__.py` has no file of its own.
    start = Path(first).absolute() if first else path.parents[depth] / "__init__.py"
    root = start.parent.parent if start.name == "__init__.py" else start.parent
    alone = module == top and start.name != "__init__.py"
    for name, file in files_of(top, path if alone else Path(), root).items():
        data = file.read_bytes()
        if own.files.setdefault(name, data) != data:
            raise StudyError(
                f"two of the study's modules are files named {name} with different contents; "
                "give one of them another name"
            )


def _parts(tree: Any) -> Iterator[Part]:
    """Yield every part of a configuration, in the order of its keys."""
    if isinstance(tree, Part):
        yield tree
    if hasattr(type(tree), "model_fields"):
        for name in type(tree).model_fields:
            yield from _parts(getattr(tree, name, None))
    elif isinstance(tree, Mapping):
        for each in tree.values():
            yield from _parts(each)
    elif isinstance(tree, list | tuple):
        for each in tree:
            yield from _parts(each)


def adopt(run: Path, rooms: Collection[str] = tuple(ROOMS), check: bool = True) -> None:
    """Make a run's own parts known by their names in this process; nothing is imported yet.

    Args:
        rooms: only if it has own parts of these. check: the files; once in the driver is enough.

    Raises:
        LedgerError: a file of them is missing or has changed, or a package is another one.
    """
    if not (run / RUN).exists():
        return
    held = read_info(run).get(KEY)
    if held is None or not any(part["room"] in rooms for part in held["parts"]):
        if check is False:
            use(None)  # a worker's process may have served another run before
        return
    if check:
        _refuse_changed(run, held)
    code, now = Code(run / CODE), used()
    if now != code:
        use(code)
        for part in held["parts"]:
            ROOMS[part["room"]].promise(part["name"], part["class"])


def _refuse_changed(run: Path, held: Mapping[str, Any]) -> None:
    """Refuse own parts that are not as the run began. Raises `LedgerError` with their names."""
    missing, changed = [], []
    for name, sha256 in held["files"].items():
        path = run / CODE / name
        if not path.is_file():
            missing.append(name)
        elif hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            changed.append(name)
    for what, names in (("missing", missing), ("changed since the run began", changed)):
        if names:
            raise LedgerError(
                f"{run / CODE}: {', '.join(names)} {what}; this run's own methods are in there: "
                "put back the files that it began with, or start a new run"
            )
    for module, entry in held["installed"].items():
        try:
            spec = importlib.util.find_spec(module)
        except ImportError:
            spec = None
        package = entry["package"] or module
        if spec is None or spec.origin is None:
            raise LedgerError(
                f"the run's own methods come from the package {package} {entry['version']}, which "
                "is not installed here; install it, or start a new run"
            )
        if hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest() != entry["sha256"]:
            raise LedgerError(
                f"{module} of the package {package} has changed since the run began, with version "
                f"{entry['version']}; install that again, or start a new run"
            )
