"""Downloads, through torchvision, which checks what it fetched."""

from __future__ import annotations

from pathlib import Path

from rayat.errors import DataError

CACHE = "~/.cache/rayat"
"""Where downloaded data sets are kept unless `root` says otherwise."""


def fetch(name: str, root: str) -> None:
    """Download torchvision's data set `name` into `root`, in torchvision's layout.

    Raises:
        DataError: no connection, no room, or not what was expected.
    """
    import torchvision  # a second to import, needed only here

    folder = Path(root).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        getattr(torchvision.datasets, name)(folder, download=True)
    # RuntimeError is what torchvision raises when every mirror failed or a checksum is wrong.
    except (OSError, RuntimeError) as error:
        raise DataError(f"{name} cannot be downloaded into {folder}: {error}") from error
