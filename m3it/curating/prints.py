"""The print of a picture: by what it is known again, though not a byte of it is the same.

In: the bytes of an image file.  Out: `Print`: the sha256 of the bytes, that of the upright RGB pixels (as the PPM file
of them, which says their width and height, too), the PDQ hash of what it shows (pdqhash: github.com/facebook/
ThreatExchange, pdq), a tiny copy of it, and the part that lies within a frame. Pillow alone decodes, so that the same
bytes have the same print whatever extras are there; another version of Pillow may read a JPEG's pixels a little
otherwise.
"""

import hashlib
import io
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from m3it.rows.images import decode
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
    image = decode(image_bytes, row_id)
    ppm = _Sha256()
    image.save(ppm, "PPM")  # to the hash in pieces: a copy of the pixels would take half as long as to decode them
    small = image
    if least := min(small.size) // 64:  # whole pixels are averaged first: the fast way
        small = small.reduce(least)
    square = np.asarray(small.resize((64, 64), Image.Resampling.BOX if least else Image.Resampling.BILINEAR))
    return Print(
        hashlib.sha256(image_bytes).digest(),
        ppm.sha256.digest(),
        np.packbits(_pdqhash().compute(square)[0]).tobytes(),
        _tiny(small),
        within_frame(np.asarray(small.convert("L"))),
        *image.size,
    )


class _Sha256(io.BytesIO):
    """A file that keeps nothing but the sha256 of what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sha256 = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return len(data)


def _pdqhash() -> Any:
    try:
        import pdqhash
    except ImportError as error:
        raise M3ITError(f"Fingerprints need pdqhash: {install('curate')}") from error
    return pdqhash


def _tiny(small: Image.Image) -> bytes:
    """The tiny copy of a picture."""
    image = small.resize((SIDE, SIDE), Image.Resampling.BOX).convert("YCbCr")
    gray, colours = np.asarray(image)[..., 0], np.asarray(image.reduce(SIDE // COLOURS))[..., 1:]
    return gray.tobytes() + np.moveaxis(colours, 2, 0).tobytes()


def within_frame(gray: np.ndarray) -> bytes:
    """Left, top, right and bottom, in 255ths, of what lies within a frame or between bars of one shade: all of a
    picture (height, width) that has none."""
    top, bottom = _frame(gray), _frame(gray[::-1])
    left, right = _frame(gray.T), _frame(gray.T[::-1])
    return bytes([round(255 * side) for side in (left, top, 1 - right, 1 - bottom)])


def _frame(lines: np.ndarray) -> float:
    """The share of the lines, from the first on, that are a frame: of one shade, words on it aside, up to a line that
    is all another; 0 where no such line ends it, as in a plain sky."""
    width, edge = lines.shape[1], lines[: len(lines) // FRAME_SHARE]
    shade = int(np.sort(lines[0])[width // 2])
    if not len(edge) or _of_shade(lines[0], shade).sum() < 0.9 * width:  # as of most pictures
        return 0.0
    ends = _of_shade(edge, shade).sum(axis=1) < 0.3 * width
    return int(ends.argmax()) / len(lines) if ends.any() else 0.0


def _of_shade(gray: np.ndarray, shade: int) -> np.ndarray:
    """Whether each pixel has about this shade."""
    return (gray >= max(0, shade - SAME_SHADE)) & (gray <= min(255, shade + SAME_SHADE))
