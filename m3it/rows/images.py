"""Bytes <-> pixels: the only place where an image is decoded.

In: the base64 text or the bytes of an image file (JPEG, PNG, GIF, WebP, BMP, TIFF; AVIF where Pillow has it).  Out:
bytes, sizes, and uint8 RGB arrays that stand upright (EXIF orientation applied), have no alpha (composed on white), and
show the first frame. ICC profiles are ignored, as most training code does: CMYK becomes RGB by the plain formula
(255 - ink) * (255 - K) / 255.
With simplejpeg and pybase64 (the extra `fast`) RGB and gray JPEGs are decoded by libjpeg-turbo directly, and
reduced by PyTorch where a program has loaded it, as a trainer has; pixels differ from Pillow's by less than 2/255 on
average. Whatever simplejpeg refuses goes to Pillow, whose verdict is the last.
"""

import base64
import io
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageChops

import M3IT
from M3IT import (
    MAX_PIXELS,
    NO_PICTURE,
    clean_base64,
    not_a_picture,
    open_picture,
    read_exif,
    strict_pillow,
    without_long_texts,
)
from m3it.rows.instance import M3ITError, ShardError

try:
    import simplejpeg
except ImportError:
    simplejpeg = None
try:
    import pybase64
except ImportError:
    pybase64 = base64  # type: ignore[misc]

# A JPEG is decoded at no less than so many times the size it is reduced to: at once the size, photographs differ from
# fully decoded ones by up to 3.4/255 on average, at twice the size by 1.1/255.
ROOM = 2

# Segments of a JPEG that say nothing of its size or its turn: by their marker, how they begin.
PLAIN_SEGMENTS = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0"}

# EXIF orientation -> how the stored rows and columns become the upright ones (EXIF 2.32, tag 0x0112).
ORIENTATION_TAG = 0x0112
TURNS = {
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: np.rot90(array, -1),
    7: lambda array: array[::-1, ::-1].swapaxes(0, 1),
    8: lambda array: np.rot90(array),
}


class ImageError(M3ITError):
    """Bytes or text that should hold an image, and do not; `reason` is what drops are counted by."""

    reason = "image cannot be read"


class Base64Error(ImageError):
    """Text that is no base64."""

    reason = "image is not base64"


def read_base64(text, row_id=""):
    """The bytes that a base64 text holds; a `data:image/png;base64,` head, blanks and line breaks may be there.

    Anything else that is not strict base64 (a missing padding, a foreign character) raises ImageError.
    """
    if not isinstance(text, str):
        raise _not_base64(row_id, f"a {type(text).__name__} where base64 text should be", str(text)[:16])
    try:
        if text:
            return pybase64.b64decode(text, validate=True)
    except ValueError:
        pass  # nearly all are base64 and nothing else: only of the others it matters why not
    body = clean_base64(text)
    if body[:5].lower() == "data:":
        raise _not_base64(row_id, "a data URI that does not say ';base64,'", text[:32])
    if not body:
        raise _not_base64(row_id, "an empty text where base64 should be", text[:16])
    try:
        return pybase64.b64decode(body, validate=True)
    except ValueError as error:
        raise _not_base64(row_id, f"text of {len(text)} characters that is not base64 ({error})", text[:32]) from error


def _not_base64(row_id, found, start):
    """The error for a text: what was expected, what was found, and how it begins."""
    return Base64Error(f"{row_id}: {not_a_picture(found, start)}" if row_id else not_a_picture(found, start))


def media_type(image_bytes, row_id=""):
    """The media type by the first bytes: image/jpeg, png, gif, webp, bmp, tiff or avif; ImageError names what else it
    is."""
    return _as_image_error(M3IT.media_type, image_bytes, row_id)


def size(image_bytes, row_id=""):
    """(width, height) of the upright image, from its header only: the rest of the file may still turn out broken."""
    if plain := _plain_jpeg_size(image_bytes) or _plain_png_size(image_bytes):
        return plain
    image = _open(image_bytes, row_id)
    width, height = _stored_size(image)
    return (height, width) if _orientation(image, image_bytes) in (5, 6, 7, 8) else (width, height)


def is_plain(image_bytes):
    """Whether a file's header holds nothing but what most have, so that whatever reads pictures says the same of it."""
    return bool(_plain_jpeg_size(image_bytes) or _plain_png_size(image_bytes))


def pixels(image_bytes, row_id="", max_side_pixels=None, exact=False):
    """The image as a uint8 array (height, width, 3), RGB, upright, writable; ImageError names `row_id` and the first
    bytes.

    With `max_side_pixels` a larger image is reduced (bicubic) so that its longer side has exactly that many pixels.
    `exact`: by Pillow alone, so that the values do not depend on which extras are there.
    """
    image = _open(image_bytes, row_id)
    target = _reduced_size(_stored_size(image), max_side_pixels)
    orientation = _orientation(image, image_bytes)
    array = None if exact else _decode_fast(image, image_bytes, target)
    if array is None:
        array = np.array(_decode(image, image_bytes, target, row_id))
    return _upright(array, orientation)


def decode(image_bytes, row_id=""):
    """The image as an upright PIL image of RGB: the values of `pixels` with `exact`, without a copy of them."""
    image = _open(image_bytes, row_id)
    orientation = _orientation(image, image_bytes)
    rgb = _decode(image, image_bytes, _stored_size(image), row_id)
    return Image.fromarray(_upright(np.array(rgb), orientation)) if orientation in TURNS else rgb


def encode(picture, format="JPEG", quality=95):
    """The picture, an array as `pixels` gives it or any PIL image, as a JPEG, PNG or WEBP file of RGB without metadata.

    The same pixels give the same bytes (of one Pillow version); `quality` is that of JPEG and WEBP.
    """
    if format not in ("JPEG", "PNG", "WEBP"):
        raise ValueError(f"Unknown image format {format!r}: encode writes 'JPEG', 'PNG' and 'WEBP'.")
    image = to_rgb(picture if isinstance(picture, Image.Image) else Image.fromarray(picture))
    image.info.clear()  # Pillow would write the source's ICC profile and comment again
    buffer = io.BytesIO()
    image.save(buffer, format, **({} if format == "PNG" else {"quality": quality}))
    return buffer.getvalue()


def reduce(image_bytes, max_side_pixels, row_id=""):
    """The very same bytes where no side is longer than `max_side_pixels`, else a reduced, upright file: JPEG at
    quality 95 if it was one, PNG for all others. Pillow alone does it, so that the bytes do not depend on which
    extras are there.
    """
    image = _open(image_bytes, row_id)
    full_size = _stored_size(image)
    target = _reduced_size(full_size, max_side_pixels)
    if target == full_size:
        return image_bytes
    orientation = _orientation(image, image_bytes)
    array = _upright(np.array(_decode(image, image_bytes, target, row_id)), orientation)
    return encode(array, "JPEG" if media_type(image_bytes) == "image/jpeg" else "PNG")


def _as_image_error(read, image_bytes, row_id):
    """What one of M3IT's readers of pictures says; ImageError, with the row, where it finds none."""
    try:
        return read(image_bytes)
    except ShardError as error:
        raise ImageError(f"{row_id}: {error}" if row_id else str(error)) from error


def _open(image_bytes, row_id):
    """The PIL image with its header read and its size checked; no pixel is decoded yet."""
    image = _as_image_error(lambda file: open_picture(without_long_texts(file)), image_bytes, row_id)
    if image.format == "PNG":
        _scale_color_key(image, depth=image_bytes[24])
    return image


def _plain_jpeg_size(image_bytes):
    """(width, height) of a JPEG whose header holds nothing but what most have, else None: Pillow is asked then. It
    takes what this takes, at ten times the time."""
    place, found, end = 2, None, len(image_bytes)
    if image_bytes[:2] != b"\xff\xd8":
        return None
    while place + 4 <= end and image_bytes[place] == 0xFF:
        kind, length = image_bytes[place + 1], int.from_bytes(image_bytes[place + 2 : place + 4], "big")
        segment = image_bytes[place + 4 : place + 2 + length]
        if len(segment) != length - 2:
            return None
        if kind == 0xDA:  # the pixels begin
            return found
        if kind in (0xC0, 0xC2):  # baseline, progressive
            height, width = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
            is_usual = len(segment) in (9, 15) and segment[0] == 8 and segment[5] * 3 + 6 == len(segment)
            if found or not is_usual or not 0 < width * height <= MAX_PIXELS:
                return None
            found = width, height
        elif kind == 0xDB:  # tables of 65 bytes, of 8 bits each
            if len(segment) % 65 or any(segment[i] >> 4 for i in range(0, len(segment), 65)):
                return None
        elif kind in PLAIN_SEGMENTS:
            if len(segment) < 14 or not segment.startswith(PLAIN_SEGMENTS[kind]):
                return None
        elif kind == 0xEE:
            if len(segment) < 12 or not segment.startswith(b"Adobe"):
                return None
        elif kind not in (0xC4, 0xDD, 0xFE):  # EXIF, which may turn the picture, and all others are Pillow's
            return None
        place += 2 + length
    return None


def _plain_png_size(image_bytes):
    """The same of a PNG that is nothing but its header and its pixels."""
    header = image_bytes[12:29]
    if image_bytes[:12] != b"\x89PNG\r\n\x1a\n\0\0\0\r" or image_bytes[37:41] != b"IDAT":
        return None
    kind, width, height, depth, color, compression, filters, interlace = struct.unpack(">4sIIBBBBB", header)
    is_usual = kind == b"IHDR" and depth == 8 and color in (0, 2, 4, 6) and not (compression or filters or interlace)
    if not is_usual or zlib.crc32(header) != int.from_bytes(image_bytes[29:33], "big"):
        return None
    place = 33
    while (kind := image_bytes[place + 4 : place + 8]) == b"IDAT":
        place += 12 + int.from_bytes(image_bytes[place : place + 4], "big")
    return (width, height) if kind in (b"IEND", b"") and 0 < width * height <= MAX_PIXELS else None


def _scale_color_key(image, depth):
    """Bring a PNG's transparent color to the scale of the pixels: Pillow brings these to 8 bits, and leaves that as
    it was."""
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int) and depth < 8:
        image.info["transparency"] = key * 255 // (2**depth - 1)
    if image.mode == "RGB" and isinstance(key, tuple) and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in key)


def _stored_size(image):
    """(width, height) of what Pillow will decode: TIFFs it turns itself, and only newer versions say so beforehand."""
    if image.format == "TIFF" and image.tag_v2.get(ORIENTATION_TAG) in (5, 6, 7, 8):
        return image.tag_v2[257], image.tag_v2[256]
    return image.size


def _orientation(image, image_bytes):
    """The EXIF orientation 1..8 that is still to be applied to the pixels; 1 where there is none or its block is
    broken."""
    if image.format == "TIFF":
        return 1  # Pillow turns these itself
    try:
        value = read_exif(image, image_bytes).get(ORIENTATION_TAG, 1)
    except NO_PICTURE:
        return 1
    return value if value in TURNS else 1


def _reduced_size(full_size, max_side_pixels):
    """(width, height) with the longer side at most `max_side_pixels` and the same shape, each side at least one
    pixel."""
    if max_side_pixels is None or max(full_size) <= max_side_pixels:
        return full_size
    if max_side_pixels < 1:
        raise ValueError(f"max_side_pixels must be 1 or more, not {max_side_pixels}.")
    longer = max(full_size)
    width, height = (max(1, (side * max_side_pixels + longer // 2) // longer) for side in full_size)
    return width, height


def _decode_fast(image, image_bytes, target):
    """The pixels at the target size, not yet upright, by libjpeg-turbo; None where that cannot read it, or is not
    there."""
    if simplejpeg is None or image.format not in ("JPEG", "MPO") or image.mode not in ("RGB", "L"):
        return None
    # libjpeg scales by n/8, and is fast at these
    shrink = min(full / side for full, side in zip(image.size, target))
    eighths = next((n for n in (1, 2, 4) if shrink >= 8 / n * ROOM), 8)
    width, height = (-(-side * eighths // 8) for side in image.size)
    least = {} if eighths == 8 else {"min_width": width, "min_height": height}
    try:
        array = simplejpeg.decode_jpeg(image_bytes, "RGB", strict=True, **least)
    except ValueError:
        return None  # Pillow judges: it raises on truncated data, and reads on after stray bytes
    if array.shape[:2] == (target[1], target[0]):
        return array
    return _resize(array, target, tuple(side * eighths / 8 for side in image.size))


def _resize(array, target, full_size):
    """The array, which shows a picture of `full_size`, maybe no whole numbers, at the target size.

    PyTorch's bicubic is Pillow's, four times as fast, and off by one in a value of two hundred; but it knows no parts
    of pixels.
    """
    torch = sys.modules.get("torch")  # importing it would take seconds, which only training has to spend anyhow
    if torch is not None and array.shape[1::-1] == full_size:
        planes = torch.from_numpy(array)[None].permute(0, 3, 1, 2)
        planes = torch.nn.functional.interpolate(planes, target[::-1], mode="bicubic", antialias=True)
        return planes.permute(0, 2, 3, 1)[0].contiguous().numpy()
    image = Image.fromarray(array)  # libjpeg rounds sizes up: the box is the part that holds the picture
    return np.array(image.resize(target, Image.Resampling.BICUBIC, box=(0, 0, *full_size), reducing_gap=3.0))


def _decode(image, image_bytes, target, row_id):
    """The image just opened as RGB at the target size, not yet upright, by Pillow."""
    try:
        # libjpeg skips what the target does not need: sizes are halved while they stay well above it
        least = tuple(ROOM * side for side in target)
        drafted = image.draft("RGB", least) if target != image.size else None
        box = drafted[1] if drafted else None
        with strict_pillow():
            image.load()
        rgb = image if image.mode == "RGB" and "transparency" not in image.info else to_rgb(image)
        if rgb.size != target:
            rgb = rgb.resize(target, Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
        return rgb
    except NO_PICTURE as error:
        told = not_a_picture(f"a truncated or broken {media_type(image_bytes)} file ({error})", image_bytes[:16])
        raise ImageError(f"{row_id}: {told}" if row_id else told) from error


def to_rgb(image):
    """The PIL image as RGB of 8 bits: 16 bit gray scaled, alpha composed on white, CMYK the way round that it was
    meant."""
    image.load()
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _scale_gray(image)
    if image.mode == "P" and image.palette is None:
        raise ValueError("it has no palette")
    if image.mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info:
        # Adobe stores ink inverted; Pillow takes every CMYK JPEG for Adobe's and has inverted this one for nothing
        image = ImageChops.invert(image)
    has_palette_alpha = image.mode == "P" and image.palette.mode == "RGBA"
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or has_palette_alpha or "transparency" in image.info:
        rgba = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _scale_gray(image):
    """Gray of 16 bits as RGB of 8: 65535 becomes 255 (Pillow's own conversion cuts off at 255)."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError(f"gray values of {values.min()} to {values.max()} in mode {image.mode!r}: no known white")
    if "transparency" in image.info:
        values = np.where(values == image.info["transparency"], 65535, values)
    return Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")


def _upright(array, orientation):
    """The array turned by its EXIF orientation, in one block of memory."""
    return np.ascontiguousarray(TURNS[orientation](array) if orientation in TURNS else array)
