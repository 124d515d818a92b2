"""What is read from an image file is what was in it, or the file is refused by name."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from rayat.data.images import decode_all
from rayat.errors import DataError

GRAY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)


def encoded(image, form="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def deep_png(kind, channels):
    """Return a PNG of 16 bits per channel, which Pillow can read but not write in colour."""
    values = np.arange(16 * channels, dtype=">u2").reshape(4, -1) * 300
    raw = b"".join(b"\0" + row.tobytes() for row in values)
    head = struct.pack(">IIBBBBB", 4, 4, 16, kind, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def decode(*files, mode=None):
    named = [(f"image {i}", file) for i, file in enumerate(files)]
    return decode_all(named, len(files), None, mode)


def with_alpha(alpha):
    return Image.fromarray(np.dstack([COLOUR, np.full((3, 4), alpha, np.uint8)]))


def palette(pixels):
    image = Image.fromarray(pixels // 20)
    image.putpalette(bytes(range(60)))
    return image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(GRAY), GRAY[..., None]),
        (Image.fromarray(GRAY > 100), (GRAY > 100)[..., None] * 255),
        (Image.fromarray(COLOUR), COLOUR),
        (with_alpha(255), COLOUR),
        (palette(GRAY), np.arange(60).reshape(20, 3)[GRAY // 20]),
    ],
)
def test_what_has_eight_bits_is_read_exactly(image, expected):
    found, _ = decode(encoded(image))
    np.testing.assert_array_equal(found[0], expected)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (encoded(Image.fromarray(GRAY.astype(np.uint16) * 257)), "mode I;16"),
        (encoded(Image.fromarray(GRAY.astype(np.int32)), "TIFF"), "mode I,"),
        (encoded(Image.fromarray(GRAY.astype(np.float32) / 255), "TIFF"), "mode F"),
        (encoded(Image.fromarray(COLOUR).convert("CMYK"), "TIFF"), "mode CMYK"),
        (deep_png(2, 3), "more than 8 bits per colour"),
        (deep_png(4, 2), "more than 8 bits per colour"),
        (deep_png(6, 4), "more than 8 bits per colour"),
        (b"P6\n4 3\n65535\n" + bytes(72), "more than 8 bits per colour"),
        (encoded(with_alpha(0)), "transparent pixels"),
        (encoded(Image.fromarray(GRAY), transparency=20), "transparent pixels"),
        (
            encoded(
                Image.fromarray(GRAY),
                "TIFF",
                save_all=True,
                append_images=[Image.fromarray(GRAY + 1)],
            ),
            "holds 2 pictures",
        ),
        (encoded(Image.fromarray(GRAY))[:52], "cannot be decoded"),
        (b"<html>", "cannot be decoded"),
        (b"", "cannot be decoded"),
    ],
)
def test_what_has_no_exact_form_is_refused(file, text):
    with pytest.raises(DataError, match=text):
        decode(file)


@pytest.mark.parametrize(
    "side", [10_000, 20_000]
)  # Pillow warns of the first, raises at the second
def test_a_decompression_bomb_is_refused(side, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60_000_000)
    head = struct.pack(">II", side, side) + bytes((1, 0, 0, 0, 0))
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    with pytest.raises(DataError, match="too large to be decoded"):
        decode(b"\x89PNG\r\n\x1a\n" + chunk + bytes(4) + b"IDAT")


def test_gray_among_colours_is_exact_and_colours_among_grays_are_refused():
    gray, colour = encoded(Image.fromarray(GRAY)), encoded(Image.fromarray(COLOUR))
    found, mode = decode(colour, gray)
    assert mode == "RGB"
    np.testing.assert_array_equal(found[1], np.dstack([GRAY] * 3))
    found, _ = decode(gray, encoded(Image.fromarray(np.dstack([GRAY] * 3))))
    np.testing.assert_array_equal(found[1], GRAY[..., None])
    with pytest.raises(DataError, match="is in colour, the first image is gray"):
        decode(gray, colour)
