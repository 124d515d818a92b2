"""Encoded images to one uint8 array."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rayat.errors import DataError


def decode_all(
    images: Iterable[tuple[str, Path | bytes]], count: int, size: int | None, mode: str | None
) -> tuple[NDArray[np.uint8], str]:
    """Decode images of one shape into one array.

    Args:
        images: a name for errors, and the file or its bytes. count: how many there are, at least 1.
        size: None keeps images as they are; otherwise the shorter side is scaled to `size` pixels
            (bilinear) and the middle `size` x `size` is cut out.
        mode: `L` (gray) or `RGB`, to which all are converted; None: gray if the first is.

    Returns:
        The array (N, H, W, C) and the mode.

    Raises:
        DataError: an image that cannot be decoded, or of another size than the first.
    """
    out: NDArray[np.uint8] | None = None
    for row, (name, source) in enumerate(images):
        image = _open(name, source)
        mode = mode or ("L" if image.mode in {"1", "L"} else "RGB")
        image = image.convert(mode)
        if size is not None:
            image = _fit(image, size)
        pixels = np.asarray(image).reshape(image.height, image.width, -1)
        if out is None:
            out = np.empty((count, *pixels.shape), dtype=np.uint8)
        if pixels.shape != out.shape[1:]:
            raise DataError(
                f"{name} is {image.height}x{image.width} pixels, the first image is "
                f"{out.shape[1]}x{out.shape[2]}; give data.size to scale all to one size"
            )
        out[row] = pixels
    if out is None or mode is None:
        raise ValueError("decode_all needs at least one image")
    return out, mode


def _open(name: str, source: Path | bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
        image.load()
    # Pillow raises all three on damaged files.
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{name} cannot be decoded ({error}); remove or replace it") from error
    return image


def _fit(image: Image.Image, size: int) -> Image.Image:
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return image.crop((left, top, left + size, top + size))
