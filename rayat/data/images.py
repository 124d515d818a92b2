"""Encoded images to one uint8 array."""

from __future__ import annotations

import io
import warnings
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

    Every conversion is exact (palettes, gray as RGB, an alpha channel that is opaque everywhere) or
    refused. Pixels are taken as they are stored: an EXIF orientation turns nothing.

    Raises:
        DataError: an image that cannot be decoded, has no exact form in 8 bits of gray or RGB,
            holds several pictures, or is of another size than the first.
    """
    out: NDArray[np.uint8] | None = None
    for row, (name, source) in enumerate(images):
        image = _plain(name, _open(name, source))
        mode = mode or ("L" if image.mode == "L" else "RGB")
        if mode == "L" and image.mode != "L":
            image = _gray(name, image)
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
    """Return a decoded image; refuse what Pillow would cut to 8 bits while it decodes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata that is odd
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
            deep, frames = _is_deep(image), int(getattr(image, "n_frames", 1))
            image.load()
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(f"{name} is too large to be decoded ({error}); make it smaller") from error
    # Pillow raises nearly anything on damaged files: OSError, SyntaxError, struct.error, KeyError.
    except Exception as error:
        raise DataError(f"{name} cannot be decoded ({error}); remove or replace it") from error
    if deep:
        raise DataError(f"{name} has more than 8 bits per colour; save it with 8 bits")
    # The other pictures of a camera's MPO file are previews of the first.
    if frames > 1 and image.format != "MPO":
        raise DataError(f"{name} holds {frames} pictures; save one picture per file")
    return image


def _is_deep(image: Image.Image) -> bool:
    """Whether Pillow drops bits of this file: it has no mode for more than 8 bits per colour."""
    if image.mode.startswith(("I", "F")):
        return False  # kept whole, and judged by its mode
    for tile in getattr(image, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if tile[0].startswith("ppm") and int(arguments[-1]) > 255:
            return True
        raw = str(arguments[0])
        if ";16" in raw and not raw.startswith("BGR;16"):  # a bitmap's 5, 6 and 5 bits
            return True
    return False


def _plain(name: str, image: Image.Image) -> Image.Image:
    """Return the image as `L` or `RGB` with every pixel what it was, or refuse it."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            raise DataError(
                f"{name} has transparent pixels, which have no colour of their own; save it on a "
                "background, without an alpha channel"
            )
        return image.convert("RGB")
    if image.mode in {"1", "L"}:
        return image.convert("L")
    if image.mode in {"P", "RGB"}:
        return image.convert("RGB")
    raise DataError(
        f"{name} is of mode {image.mode}, which has no exact form in 8 bits; save it as 8-bit gray "
        "or RGB"
    )


def _gray(name: str, image: Image.Image) -> Image.Image:
    red, green, blue = (np.asarray(channel) for channel in image.split())
    if not (np.array_equal(red, green) and np.array_equal(red, blue)):
        raise DataError(
            f"{name} is in colour, the first image is gray; save all of them in gray or all as RGB"
        )
    return image.getchannel(0)


def _fit(image: Image.Image, size: int) -> Image.Image:
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return image.crop((left, top, left + size, top + size))
