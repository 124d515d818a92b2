"""The data sets and the own methods of two runs that become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rayat.errors import DataError, StudyError
from rayat.own.parts import KEY, OwnParts


def joined_data(
    held: Sequence[Mapping[str, Any]],
    found: Mapping[str, Mapping[str, Any]],
    known: set[str],
) -> list[dict[str, Any]]:
    """Return the data sets of the larger run, those of new arms behind the old.

    Args:
        held: what `run.json` says. found: what is there now, by source.
        known: the sources of the trials that the run has.

    Raises:
        DataError: what the run's trials were trained on has changed.
    """
    before = [(entry["split_hash"], entry["checksum"]) for entry in held]
    joined = [dict(entry) for entry in held]
    for source, entry in found.items():
        identity = (entry["split_hash"], entry["checksum"])
        if source in known and identity not in before:
            expected = ", ".join(sorted({checksum[:12] for _, checksum in before}))
            raise DataError(
                f"data set {entry['name']!r} has changed since the run began: expected checksum "
                f"{expected}, found {entry['checksum'][:12]}; restore the data, or run into "
                "another folder"
            )
        if identity not in before:
            joined.append(dict(entry))
            before.append(identity)
    return joined


def joined_parts(folder: Path, held: Mapping[str, Any], own: OwnParts) -> dict[str, Any]:
    """Return what `run.json` says of the larger run's own methods; nothing where it has none.

    Raises:
        StudyError: a file or a package that the run's methods came from has changed.
    """
    now, before = own.info().get(KEY), held.get(KEY)
    if before is None or now is None:
        found = now or before
        return {} if found is None else {KEY: found}
    for name in ("files", "installed"):
        for each, value in now[name].items():
            if before[name].get(each, value) != value:
                raise StudyError(
                    f"{folder}: {each}, from which the run's own methods come, has changed since: "
                    "put back what the run began with (a copy is in its folder `code`), or choose "
                    "another folder with --out"
                )
    parts = [*before["parts"], *(part for part in now["parts"] if part not in before["parts"])]
    both = {name: {**before[name], **now[name]} for name in ("files", "installed")}
    return {KEY: {"parts": parts, **both}}
