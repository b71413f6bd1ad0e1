"""The print of a picture: by what it is known again, though not a byte of it is the same.

In: the bytes of an image file.  Out: `Print`: the sha256 of the bytes, that of the upright RGB pixels, the PDQ hash of
what it shows (pdqhash: github.com/facebook/ThreatExchange, pdq), a tiny copy of it, and the part that lies within a
frame. Pillow alone decodes, so that the same bytes have the same print whatever extras are there; another version of
Pillow may read a JPEG's pixels a little otherwise.
"""

import hashlib
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from m3it.rows.images import pixels
from m3it.rows.instance import M3ITError
from m3it.work.extras import install

VERSION = 2  # of what is measured: prints of another one are not compared
SIDE, COLOURS = 48, 16  # pixels a side of the tiny copy, and of its two colours, which need fewer as in a JPEG
FRAME_SHARE = 4  # a frame takes at most a fourth of a side
SAME_SHADE = 12  # of 255: what belongs to a frame


class Print(NamedTuple):
    """What is kept of a picture. `tiny`: SIDE * SIDE bytes of gray, then COLOURS * COLOURS of Cb and as many of Cr.
    `inner`: left, top, right and bottom of the part within a frame, in 255ths of width and height."""

    bytes_sha256: bytes
    pixels_sha256: bytes
    pdq: bytes  # 256 bits
    tiny: bytes
    inner: bytes
    width: int
    height: int


def print_of(image_bytes: bytes, row_id: str = "") -> Print:
    """The print of a picture; ImageError where the bytes are none."""
    array = pixels(image_bytes, row_id, exact=True)
    height, width = array.shape[:2]
    size_and_pixels = hashlib.sha256(f"{width} {height} ".encode())
    size_and_pixels.update(array)
    small = Image.fromarray(array)
    if least := min(small.size) // 64:  # whole pixels are averaged first: the fast way
        small = small.reduce(least)
    square = np.asarray(small.resize((64, 64), Image.Resampling.BOX if least else Image.Resampling.BILINEAR))
    return Print(
        hashlib.sha256(image_bytes).digest(),
        size_and_pixels.digest(),
        np.packbits(_pdqhash().compute(square)[0]).tobytes(),
        _tiny(small),
        within_frame(np.asarray(small.convert("L"))),
        width,
        height,
    )


def _pdqhash() -> Any:
    try:
        import pdqhash
    except ImportError as error:
        raise M3ITError(f"Fingerprints need pdqhash: {install('curate')}") from error
    return pdqhash


def _tiny(small: Image.Image) -> bytes:
    """The tiny copy of a picture."""
    image = small.resize((SIDE, SIDE), Image.Resampling.BOX).convert("YCbCr")
    gray, *colours = image.split()
    return b"".join([gray.tobytes(), *(c.resize((COLOURS, COLOURS), Image.Resampling.BOX).tobytes() for c in colours)])


def within_frame(gray: np.ndarray) -> bytes:
    """Left, top, right and bottom, in 255ths, of what lies within a frame or between bars of one shade: all of a
    picture (height, width) that has none."""
    top, bottom = _frame(gray), _frame(gray[::-1])
    left, right = _frame(gray.T), _frame(gray.T[::-1])
    return bytes([round(255 * side) for side in (left, top, 1 - right, 1 - bottom)])


def _frame(lines: np.ndarray) -> float:
    """The share of the lines, from the first on, that are a frame: of one shade, words on it aside, up to a line that
    is all another; 0 where no such line ends it, as in a plain sky."""
    edge = lines[: len(lines) // FRAME_SHARE].astype(np.int16)
    if not len(edge):
        return 0.0
    share = (np.abs(edge - np.median(edge[0])) <= SAME_SHADE).mean(axis=1)
    ends = share < 0.3
    return int(ends.argmax()) / len(lines) if share[0] >= 0.9 and ends.any() else 0.0
