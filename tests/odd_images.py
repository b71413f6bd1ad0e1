"""Odd image files as strangers send them, each with what a reader must say of it: the mean colour, the size and the
upper left pixel of the upright picture, or why it is none. Every file is made here; beside a colour that the file was
not simply made of stands how it was got."""

import base64
import io
import struct
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image, features

ORANGE = (200, 120, 40)
BLUE = (0, 0, 255)
INK = (40, 120, 200, 30)  # C, M, Y, K
INK_AS_RGB = (190, 119, 49)  # (255 - 40) * (255 - 30) / 255 = 189.7;  135 * 225 / 255 = 119.1;  55 * 225 / 255 = 48.5
BLUE_RED = (130, 10, 100)  # the mean of (10, 20, 200) and (250, 0, 0)
BLUE_WHITE = (132.5, 137.5, 227.5)  # of (10, 20, 200) and white
PALE = (255, 127, 127)  # red of alpha 128 on white: 255 * (1 - 128 / 255)
WHITE = (255, 255, 255)
SIGNATURE = b"\x89PNG\r\n\x1a\n"

# The stored corners of an upright picture AB/CD, read off the EXIF 2.32 text: 6 says "row 0 is the visual right-hand
# side, column 0 the visual top", so the first stored row is B D.
STORED = {1: "AB/CD", 2: "BA/DC", 3: "DC/BA", 4: "CD/AB", 5: "AC/BD", 6: "BD/AC", 7: "DB/CA", 8: "CA/DB"}
CORNERS = {"A": (220, 30, 30), "B": (30, 200, 30), "C": (30, 30, 220), "D": (230, 220, 40)}
FOUR = (127.5, 120, 80)  # the mean of the corners


class Odd(NamedTuple):
    """A file, or a base64 text as it stands in a row, and what it shows: `mean` of all pixels and `corner`, the upper
    left one (None: the same); or why it is refused: `by` its header, which all readers look at, or by its pixels,
    which some decode."""

    data: bytes | str
    mean: tuple[float, ...] = ()
    size: tuple[int, int] = (64, 48)
    corner: tuple[float, ...] | None = None
    refused: str = ""
    by: str = "header"


# ---- how files are made


def file_of(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def flat(mode, color, size=(64, 48)):
    return Image.new(mode, size, color)


def halves(mode, left, right, size=(64, 48)):
    image = Image.new(mode, size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, depth, color_type, rows=b"", before=(), after=(), interlace=0):
    """A PNG chunk by chunk, for what Pillow does not write: small depths, late EXIF, headers without pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlace)
    chunks = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(rows)), *after, (b"IEND", b"")]
    return SIGNATURE + b"".join(chunk(*each) for each in chunks)


def with_chunk(png, kind, data, before=b"IDAT"):
    """The PNG with one more chunk, in front of the first one of a kind."""
    place = png.index(before) - 4
    return png[:place] + chunk(kind, data) + png[place:]


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def inverted(ink):
    return tuple(255 - value for value in ink)


def cmyk_jpeg_of_adobe():
    """Pillow inverts the ink when it writes and adds APP14, as Photoshop does."""
    return file_of(flat("CMYK", INK), "JPEG", quality=95)


def cmyk_jpeg_without_marker():
    """The ink as it is (inverted here, once more by Pillow), and the APP14 segment of 16 bytes cut out."""
    data = file_of(flat("CMYK", inverted(INK)), "JPEG", quality=95)
    start = data.index(b"\xff\xee\x00\x0eAdobe")
    return data[:start] + data[start + 16 :]


def ycck_jpeg():
    """CMYK planes that hold YCCK: the decoder makes 255 - RGB(Y, Cb, Cr), which must be Adobe's inverted ink: RGB =
    C, M, Y."""
    y, cb, cr = Image.new("RGB", (1, 1), INK[:3]).convert("YCbCr").getpixel((0, 0))
    data = file_of(flat("CMYK", (*inverted((y, cb, cr)), INK[3])), "JPEG", quality=95)
    transform = data.index(b"\xff\xee\x00\x0eAdobe") + 15
    assert data[transform] == 0  # "no transform": CMYK
    return data[:transform] + b"\x02" + data[transform + 1 :]


def palette_png(**options):
    """Left half (10, 20, 200), right half (250, 0, 0)."""
    image = halves("P", 0, 1)
    image.putpalette([10, 20, 200, 250, 0, 0])
    return file_of(image, "PNG", **options)


def gray_png_with_key():
    """4 bit gray: left 5 (5 * 17 = 85), right 15 (white) in a row of 2 pixels a byte; gray 5 is the transparent one."""
    return png_of(8, 2, 4, 0, rows=b"\0\x55\x55\xff\xff" * 2, before=[(b"tRNS", struct.pack(">H", 5))])


def interlaced_png():
    """8 x 8 in the seven passes of Adam7: of 1, 1, 2, 4, 8, 16 and 32 pixels."""
    passes = [(1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4)]  # width, height
    rows = b"".join((b"\0" + bytes(ORANGE) * width) * height for width, height in passes)
    return png_of(8, 8, 8, 2, rows, interlace=1)


def animated(format, **options):
    return file_of(flat("RGB", ORANGE), format, save_all=True, append_images=[flat("RGB", BLUE)], **options)


def gray_16_bit(format):
    """Gray 30000 of 65535; cut off it would be white."""
    return file_of(Image.fromarray(np.full((48, 64), 30000, np.uint16)), format)


def corners_of(orientation):
    """An upright picture of 64 x 32 pixels, as this orientation stores it; blocks hold whole 16 x 16 JPEG units."""
    rows = STORED[orientation].split("/")
    width, height = (16, 32) if orientation >= 5 else (32, 16)
    return Image.fromarray(
        np.vstack([np.hstack([np.full((height, width, 3), CORNERS[c], np.uint8) for c in row]) for row in rows])
    )


def turned(format, orientation):
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(format, {})
    return file_of(corners_of(orientation), format, exif=exif_of(orientation), **options)


def oriented_jpeg(orientation):
    return turned("JPEG", orientation)


def xmp_of(orientation):
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


def png_turned_by_xmp():
    return with_chunk(file_of(corners_of(6), "PNG"), b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_of(6))


def bmp_of(bits, pixels, width=8, height=4, compression=0, palette=b"", header=40):
    """A BMP by hand; `height` below zero: stored from the top."""
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, abs(height), 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(pixels), 0, 0, 0, 0)
    start = 14 + len(info) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + info + palette + pixels


def gif_with_small_frame():
    """A canvas of 64 x 48 whose first frame fills the left half; the rest has the color of the background, the first
    of the palette."""
    image = flat("P", 1, (32, 48))
    image.putpalette([10, 20, 200, *ORANGE])
    image.putpixel((0, 47), 0)  # else Pillow would leave out the color that is not used
    return changed(file_of(image, "GIF"), 6, struct.pack("<H", 64))


def noise(size=(64, 48)):
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8))


def changed(data, place, new):
    return data[:place] + new + data[place + len(new) :]


def jpeg_of_size(width, height):
    """A JPEG whose header lies."""
    data = file_of(flat("RGB", ORANGE), "JPEG")
    return changed(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


# ---- the table

JPEG = file_of(flat("RGB", ORANGE), "JPEG", quality=95)
PNG = file_of(flat("RGB", ORANGE), "PNG")
WEBP = file_of(flat("RGB", ORANGE), "WEBP", lossless=True)
GIF = file_of(flat("RGB", ORANGE), "GIF")
TIFF = file_of(flat("RGB", ORANGE), "TIFF")
BMP = file_of(flat("RGB", ORANGE), "BMP")
ROWS = (b"\0" + bytes(ORANGE) * 4) * 2  # of a PNG of 4 x 2
TURNED_BY_A_WORD = b"Exif\0\0II*\0" + struct.pack("<IHHHI4sI", 8, 1, 0x0112, 2, 3, b"up", 0)
MEGABYTES = bytes(3_000_000)
BOMBS = {
    "profile": (b"iCCP", b"profile\0\0" + zlib.compress(MEGABYTES)),
    "compressed text": (b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 3_000_000)),
    "international text": (b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(b"a" * 3_000_000)),
    "text": (b"tEXt", b"Comment\0" + b"a" * 3_000_000),
}

PICTURES = {
    "RGB JPEG": Odd(JPEG, ORANGE),
    "progressive JPEG": Odd(file_of(flat("RGB", ORANGE), "JPEG", quality=95, progressive=True), ORANGE),
    "gray JPEG": Odd(file_of(flat("L", 77), "JPEG", quality=95), (77, 77, 77)),
    "JPEG that stores RGB": Odd(file_of(flat("RGB", ORANGE), "JPEG", quality=95, keep_rgb=True), ORANGE),
    "JPEG of full color": Odd(file_of(flat("RGB", ORANGE), "JPEG", quality=95, subsampling=0), ORANGE),
    "JPEG with restarts": Odd(file_of(flat("RGB", ORANGE), "JPEG", quality=95, restart_marker_blocks=1), ORANGE),
    "JPEG with a comment": Odd(file_of(flat("RGB", ORANGE), "JPEG", quality=95, comment=b"x" * 60_000), ORANGE),
    "JPEG with a profile that is none": Odd(file_of(flat("RGB", ORANGE), "JPEG", icc_profile=b"i" * 99), ORANGE),
    "JPEG with a broken EXIF block": Odd(
        file_of(flat("RGB", ORANGE), "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\x7fgarbage"), ORANGE
    ),
    "JPEG with an empty EXIF block": Odd(file_of(flat("RGB", ORANGE), "JPEG", exif=b"Exif\0\0"), ORANGE),
    "JPEG with an EXIF block that is none": Odd(file_of(flat("RGB", ORANGE), "JPEG", exif=b"Exif\0\0nonsense"), ORANGE),
    "JPEG turned by 0": Odd(file_of(flat("RGB", ORANGE), "JPEG", exif=exif_of(0)), ORANGE),
    "JPEG turned by 9": Odd(file_of(flat("RGB", ORANGE), "JPEG", exif=exif_of(9)), ORANGE),
    "JPEG turned by a word": Odd(file_of(flat("RGB", ORANGE), "JPEG", exif=TURNED_BY_A_WORD), ORANGE),
    "JPEG turned by XMP": Odd(file_of(corners_of(6), "JPEG", quality=95, xmp=xmp_of(6)), FOUR, (64, 32), CORNERS["A"]),
    "PNG turned by XMP": Odd(png_turned_by_xmp(), FOUR, (64, 32), CORNERS["A"]),
    "PNG turned by XMP behind the pixels": Odd(
        with_chunk(file_of(corners_of(6), "PNG"), b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_of(6), b"IEND"),
        FOUR,
        (64, 32),
        CORNERS["A"],
    ),
    "WebP with an EXIF block that is none": Odd(
        file_of(flat("RGB", ORANGE), "WEBP", lossless=True, exif=b"nonsense"), ORANGE
    ),
    "WebP turned by XMP": Odd(
        file_of(corners_of(6), "WEBP", lossless=True, xmp=xmp_of(6)), FOUR, (64, 32), CORNERS["A"]
    ),
    "JPEG with rubbish behind": Odd(JPEG + b"rubbish" * 99, ORANGE),
    "JPEG with zeros behind": Odd(JPEG + bytes(4096), ORANGE),
    "JPEG with the usual tables left out, as in videos": Odd(JPEG.replace(b"\xff\xc4", b"\xff\xfe"), ORANGE),
    # 48 rows of 4800; all decoders show gray where a file says that it ends, and has not all
    "JPEG that says it ends early": Odd(jpeg_of_size(64, 4800), (128.8, 127.9, 127.1), (64, 4800), ORANGE),
    "CMYK JPEG of Adobe, ink inverted": Odd(cmyk_jpeg_of_adobe(), INK_AS_RGB),
    "CMYK JPEG without marker, ink as it is": Odd(cmyk_jpeg_without_marker(), INK_AS_RGB),
    "YCCK JPEG of Adobe": Odd(ycck_jpeg(), INK_AS_RGB),
    "MPO, the first of two": Odd(animated("MPO", quality=95), ORANGE),
    "JPEG of 1 x 1": Odd(file_of(flat("RGB", ORANGE, (1, 1)), "JPEG", quality=95), ORANGE, (1, 1)),
    "JPEG of 1 x 3000": Odd(file_of(flat("RGB", ORANGE, (1, 3000)), "JPEG", quality=95), ORANGE, (1, 3000)),
    "RGB PNG": Odd(PNG, ORANGE),
    "palette PNG": Odd(palette_png(), BLUE_RED, corner=(10, 20, 200)),
    "palette PNG of 1 bit": Odd(palette_png(bits=1), BLUE_RED, corner=(10, 20, 200)),
    "palette PNG of 4 bits": Odd(palette_png(bits=4), BLUE_RED, corner=(10, 20, 200)),
    "palette PNG, one color transparent": Odd(palette_png(transparency=1), BLUE_WHITE, corner=(10, 20, 200)),
    # the left half keeps alpha 204: 10 * 0.8 + 255 * 0.2 = 59, 67, 211; the right half is white
    "palette PNG, alpha by color": Odd(palette_png(transparency=b"\xcc\x00"), (157, 161, 233), corner=(59, 67, 211)),
    "LA PNG": Odd(file_of(flat("LA", (0, 51)), "PNG"), (204, 204, 204)),  # 255 * (1 - 51 / 255)
    "RGBA PNG": Odd(file_of(flat("RGBA", (255, 0, 0, 128)), "PNG"), PALE),
    "RGBA PNG, wholly transparent": Odd(file_of(flat("RGBA", (255, 0, 0, 0)), "PNG"), WHITE),
    "RGB PNG with a color key": Odd(
        file_of(halves("RGB", (10, 20, 200), ORANGE), "PNG", transparency=ORANGE), BLUE_WHITE, corner=(10, 20, 200)
    ),
    "4 bit gray PNG with a color key": Odd(gray_png_with_key(), WHITE, (8, 2)),  # key and white
    "2 bit gray PNG": Odd(png_of(4, 1, 2, 0, rows=b"\0\x55"), (85, 85, 85), (4, 1)),  # 1 of 3
    "16 bit gray PNG": Odd(gray_16_bit("PNG"), (117,) * 3),  # 30000 / 257
    "16 bit gray PNG with a color key": Odd(
        png_of(2, 1, 16, 0, rows=b"\0\x75\x30\x75\x30", before=[(b"tRNS", b"\x75\x30")]), WHITE, (2, 1)
    ),
    "16 bit RGB PNG": Odd(
        png_of(2, 1, 16, 2, rows=b"\0" + bytes([200, 9, 120, 9, 40, 9] * 2)), ORANGE, (2, 1)
    ),  # the high bytes
    "16 bit RGBA PNG": Odd(png_of(2, 1, 16, 6, rows=b"\0" + b"\xff\xff\0\0\0\0\x80\0" * 2), PALE, (2, 1)),
    "16 bit LA PNG": Odd(png_of(2, 1, 16, 4, rows=b"\0" + b"\0\0\x33\0" * 2), (204, 204, 204), (2, 1)),
    "1 bit PNG": Odd(file_of(halves("1", 0, 1), "PNG"), (127.5,) * 3, corner=(0, 0, 0)),
    "interlaced PNG": Odd(interlaced_png(), ORANGE, (8, 8)),
    "animated PNG": Odd(animated("PNG"), ORANGE),
    "animated PNG with a cover": Odd(animated("PNG", default_image=True), ORANGE),
    "PNG with EXIF behind the pixels": Odd(
        png_of(4, 2, 8, 2, ROWS, after=[(b"eXIf", exif_of(6).removeprefix(b"Exif\0\0"))]), ORANGE, (2, 4)
    ),
    "PNG with a broken EXIF block": Odd(with_chunk(PNG, b"eXIf", b"II*\0\xff\xff\xff\x7f"), ORANGE),
    "PNG with an EXIF block that is none": Odd(with_chunk(PNG, b"eXIf", b"nonsense"), ORANGE),
    "PNG with a gamma": Odd(with_chunk(PNG, b"gAMA", struct.pack(">I", 10_000)), ORANGE),
    "PNG with a profile that is none": Odd(with_chunk(PNG, b"iCCP", b"x\0\0" + zlib.compress(b"none")), ORANGE),
    "PNG with a chunk of its own": Odd(with_chunk(PNG, b"wxYz", b"anything"), ORANGE),
    "PNG with rubbish behind": Odd(PNG + b"rubbish" * 99, ORANGE),
    "PNG of 1 x 1": Odd(file_of(flat("RGB", ORANGE, (1, 1)), "PNG"), ORANGE, (1, 1)),
    "PNG of 5000 x 1": Odd(file_of(flat("RGB", ORANGE, (5000, 1)), "PNG"), ORANGE, (5000, 1)),
    **{
        f"PNG with megabytes of {name}{behind}": Odd(with_chunk(PNG, *bomb, before), ORANGE)
        for name, bomb in BOMBS.items()
        for behind, before in (("", b"IDAT"), (" behind", b"IEND"))
    },
    "GIF": Odd(GIF, ORANGE),
    "animated GIF": Odd(animated("GIF"), ORANGE),
    "interlaced GIF": Odd(file_of(flat("RGB", ORANGE), "GIF", interlace=1), ORANGE),
    "GIF of 1987": Odd(b"GIF87a" + GIF[6:], ORANGE),
    "transparent GIF": Odd(file_of(flat("P", 1), "GIF", transparency=1), WHITE),
    "GIF whose header says no width": Odd(changed(GIF, 6, b"\0\0"), ORANGE),
    "GIF whose frame is half its canvas": Odd(gif_with_small_frame(), (105, 70, 120), corner=ORANGE),
    "GIF with rubbish behind": Odd(GIF + b"rubbish" * 99, ORANGE),
    "WebP": Odd(file_of(flat("RGB", ORANGE), "WEBP", quality=95), ORANGE),
    "lossless WebP": Odd(WEBP, ORANGE),
    "animated WebP": Odd(animated("WEBP", lossless=True), ORANGE),
    "WebP with alpha": Odd(file_of(flat("RGBA", (255, 0, 0, 128)), "WEBP", lossless=True), PALE),
    "WebP with rubbish behind": Odd(WEBP + b"rubbish" * 99, ORANGE),
    "BMP": Odd(BMP, ORANGE),
    "gray BMP": Odd(file_of(flat("L", 77), "BMP"), (77, 77, 77)),
    "BMP of 1 bit": Odd(file_of(halves("1", 0, 1), "BMP"), (127.5,) * 3, corner=(0, 0, 0)),
    "BMP from the top": Odd(
        bmp_of(24, bytes([40, 120, 200] * 8) + bytes([255, 0, 0] * 8), height=-2), (100, 60, 147.5), (8, 2), ORANGE
    ),
    "BMP of 16 bits": Odd(bmp_of(16, struct.pack("<H", 31 << 10) * 32), (255, 0, 0), (8, 4)),
    "BMP of 32 bits": Odd(bmp_of(32, bytes([40, 120, 200, 0] * 32)), ORANGE, (8, 4)),
    "BMP of OS/2": Odd(bmp_of(24, bytes([40, 120, 200] * 32), header=12), ORANGE, (8, 4)),
    "BMP in runs": Odd(
        bmp_of(8, b"\x08\x01\0\0" * 4 + b"\0\1", compression=1, palette=bytes([0, 0, 0, 0, 40, 120, 200, 0] * 128)),
        ORANGE,
        (8, 4),
    ),
    "TIFF": Odd(TIFF, ORANGE),
    "big-endian TIFF": Odd(file_of(flat("RGB", ORANGE), "TIFF", tiffinfo={}, big_tiff=False), ORANGE),
    "big TIFF": Odd(file_of(flat("RGB", ORANGE), "TIFF", big_tiff=True), ORANGE),
    **{
        f"TIFF of {name}": Odd(file_of(flat("RGB", ORANGE), "TIFF", compression=name), ORANGE)
        for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    },
    "TIFF of two pages": Odd(animated("TIFF"), ORANGE),
    "CMYK TIFF": Odd(file_of(flat("CMYK", INK), "TIFF"), INK_AS_RGB),  # TIFF's ink is never inverted
    "16 bit gray TIFF": Odd(gray_16_bit("TIFF"), (117,) * 3),
    "1 bit TIFF": Odd(file_of(halves("1", 0, 1), "TIFF"), (127.5,) * 3, corner=(0, 0, 0)),
    "TIFF with alpha": Odd(file_of(flat("RGBA", (255, 0, 0, 128)), "TIFF"), PALE),
    "palette TIFF": Odd(file_of(flat("RGB", ORANGE).quantize(4), "TIFF"), ORANGE),
    **{
        f"{format} turned by {n}": Odd(turned(format, n), FOUR, (64, 32), CORNERS["A"])
        for format in ("JPEG", "PNG", "WEBP", "TIFF")
        for n in STORED
    },
    # as a row's base64 text
    "data URI": Odd("data:image/png;base64," + base64.b64encode(PNG).decode(), ORANGE),
    "data URI of another type": Odd("data:image/gif;base64," + base64.b64encode(JPEG).decode(), ORANGE),
    "DATA URI with a charset": Odd("DATA:image/png;charset=utf-8;BASE64," + base64.b64encode(PNG).decode(), ORANGE),
    "base64 in lines": Odd(base64.encodebytes(PNG).decode(), ORANGE),
}
if features.check("avif"):
    PICTURES["AVIF"] = Odd(file_of(flat("RGB", ORANGE), "AVIF", quality=100), ORANGE)
    PICTURES["animated AVIF"] = Odd(animated("AVIF", quality=100), ORANGE)
    PICTURES["AVIF turned by 6"] = Odd(
        file_of(corners_of(6), "AVIF", quality=100, exif=exif_of(6)), FOUR, (64, 32), CORNERS["A"]
    )

ICO = file_of(flat("RGB", ORANGE, (32, 32)), "ICO")
OTHER_KINDS = {
    "icon": Odd(ICO, refused="an icon"),
    "PPM": Odd(file_of(flat("RGB", ORANGE), "PPM"), refused="no image format"),
    "TGA": Odd(file_of(flat("RGB", ORANGE), "TGA"), refused="no image format"),
    "PCX": Odd(file_of(flat("RGB", ORANGE), "PCX"), refused="no image format"),
    "DDS": Odd(file_of(flat("RGB", ORANGE), "DDS"), refused="no image format"),
    "EPS, which is a program": Odd(file_of(flat("RGB", ORANGE), "EPS"), refused="no image format"),
    "XBM, which is a text": Odd(file_of(flat("1", 0), "XBM"), refused="no image format"),
    "HEIC": Odd(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", refused="a HEIC picture"),
    "JPEG XL": Odd(b"\xff\x0a\xfa\x7f\x01\x90\x08\x06", refused="a JPEG XL picture"),
    "Photoshop": Odd(b"8BPS\0\1" + bytes(20), refused="a Photoshop document"),
    "PDF": Odd(b"%PDF-1.7\n", refused="a PDF document"),
    "empty": Odd(b"", refused="no bytes at all|empty text"),
    "HTML": Odd(b"\n<!DOCTYPE html><html><body>404</body></html>", refused="an HTML page"),
    "SVG": Odd(b'<svg xmlns="http://www.w3.org/2000/svg"/>', refused="an SVG drawing"),
    "JSON": Odd(b'{"error": "rate limit"}', refused="a JSON text"),
    "Git LFS pointer": Odd(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n", refused="git lfs pull"
    ),
    "base64 twice": Odd(base64.b64encode(JPEG), refused="base64 text of a JPEG"),
    "unknown": Odd(b"\x00\x01\x02\x03 no image", refused="no image format"),
    "text that begins like a BMP": Odd(b"BM is a car maker's name without its W", refused="no image format"),
    "rubbish before a PNG": Odd(b"\0" + PNG, refused="no image format"),
    "base64 of URLs": Odd(base64.urlsafe_b64encode(b"\xff" * 30).decode(), refused="not base64|Only base64|base64"),
    "base64 cut short": Odd(base64.b64encode(PNG).decode()[:-3], refused="base64"),
    "URL": Odd("https://example.org/a.png", refused="base64"),
}
if features.check("jpg_2000"):
    OTHER_KINDS["JPEG 2000"] = Odd(file_of(flat("RGB", ORANGE), "JPEG2000"), refused="a JPEG 2000 picture")

NOISE = {format: file_of(noise(), format) for format in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")}
NOISE["progressive JPEG"] = file_of(noise(), "JPEG", progressive=True)
BROKEN = {
    **{f"{name} cut to 20 bytes": Odd(data[:20], refused="broken|no image format") for name, data in NOISE.items()},
    **{
        f"{name} cut to {round(kept * 100)} %": Odd(
            data[: int(len(data) * kept)], refused="broken", by="header" if name == "WEBP" else "pixels"
        )
        for name, data in NOISE.items()
        for kept in (0.6, 0.95)
    },
    "PNG of no width": Odd(png_of(0, 4, 8, 2), refused="broken|pixels"),
    "PNG of no height": Odd(png_of(4, 0, 8, 2), refused="broken|pixels"),
    "PNG of 20000 x 10000": Odd(png_of(20_000, 10_000, 8, 2), refused="pixels"),
    "PNG of 10000 x 9000": Odd(png_of(10_000, 9_000, 8, 2), refused="pixels"),
    "PNG wider than 2^31": Odd(png_of(1 << 31, 4, 8, 2), refused="broken|pixels"),
    "PNG of wrong check sum": Odd(changed(PNG, 29, b"\0\0\0\0"), refused="broken"),
    "PNG of 3 bits": Odd(png_of(4, 2, 3, 2, ROWS), refused="broken"),
    "palette PNG without its palette": Odd(png_of(4, 4, 8, 3, b"\0\1\2\3\4" * 4), refused="broken", by="pixels"),
    "PNG of pixels that are none": Odd(
        SIGNATURE + chunk(b"IHDR", PNG[16:29]) + chunk(b"IDAT", b"none") + chunk(b"IEND"), refused="broken", by="pixels"
    ),
    "PNG without pixels": Odd(SIGNATURE + chunk(b"IHDR", PNG[16:29]) + chunk(b"IEND"), refused="broken", by="pixels"),
    "JPEG of 65535 x 65535": Odd(jpeg_of_size(65535, 65535), refused="pixels"),
    "JPEG of 0 x 0": Odd(jpeg_of_size(0, 0), refused="broken|pixels"),
    "JPEG of 12 bits": Odd(changed(JPEG, JPEG.index(b"\xff\xc0") + 4, b"\x0c"), refused="broken"),
    "GIF of no frame": Odd(b"GIF89a\x40\0\x30\0\0\0\0;", refused="broken"),
    "WebP of no picture": Odd(b"RIFF\x0c\0\0\0WEBPVP8 \0\0\0\0", refused="broken"),
    "TIFF of no picture": Odd(b"II*\0\x08\0\0\0\0\0\0\0\0\0", refused="broken"),
    "BMP of no width": Odd(bmp_of(24, b"", width=0), refused="broken|pixels"),
    "BMP of 2^30 pixels": Odd(bmp_of(24, b"", width=1 << 15, height=1 << 15), refused="pixels"),
    # what no plain reading can show
    "TIFF of fractions": Odd(file_of(flat("F", 0.5), "TIFF"), refused="no known white"),
    "TIFF of 32 bits": Odd(file_of(flat("I", 1 << 20), "TIFF"), refused="no known white", by="pixels"),
}
ODD = PICTURES | OTHER_KINDS | BROKEN
