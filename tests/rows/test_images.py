"""Pixels from bytes: every file is made here, every expected color is written out with how it was got."""

import base64
import io
import random
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from M3IT import ShardError, check_row, image_bytes
from m3it.rows import images

ORANGE = (200, 120, 40)
INK = (40, 120, 200, 30)  # C, M, Y, K
INK_AS_RGB = (190, 119, 49)  # (255 - 40) * (255 - 30) / 255 = 189.7;  135 * 225 / 255 = 119.1;  55 * 225 / 255 = 48.5


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


def photograph(width, height, seed=0):
    """Smooth shapes of many sizes with a little noise: compresses and scales as a photograph does."""
    random = np.random.default_rng(seed)
    total = np.full((height, width, 3), 128.0)
    for cells, contrast in ((4, 60), (16, 30), (64, 15), (160, 9)):
        noise = random.normal(0, contrast, (cells, cells, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(np.ascontiguousarray(noise[..., channel]))
            total[..., channel] += np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(total + random.normal(0, 4, total.shape), 0, 255).astype(np.uint8)


def png_of(width, height, depth, color_type, rows=b"", before=(), after=()):
    """A PNG chunk by chunk, for what Pillow does not write: small depths, late EXIF, headers without pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)), *before]
    chunks += [(b"IDAT", zlib.compress(rows)), *after, (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        png += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png


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


def animated(format, **options):
    return file_of(flat("RGB", ORANGE), format, save_all=True, append_images=[flat("RGB", (0, 0, 255))], **options)


def gray_16_bit(format):
    """Gray 30000 of 65535; cut off it would be white."""
    return file_of(Image.fromarray(np.full((48, 64), 30000, np.uint16)), format)


def broken_exif_jpeg():
    return file_of(flat("RGB", ORANGE), "JPEG", quality=95, exif=b"Exif\0\0II*\0\xff\xff\xff\x7fgarbage")


BLUE_RED = (130, 10, 100)  # the mean of (10, 20, 200) and (250, 0, 0)
BLUE_WHITE = (132.5, 137.5, 227.5)  # of (10, 20, 200) and white

# name, bytes, mean color; beside it how it was got, where it is not simply the color that the file was made of
FILES = [
    ("RGB JPEG", file_of(flat("RGB", ORANGE), "JPEG", quality=95), ORANGE),
    ("progressive JPEG", file_of(flat("RGB", ORANGE), "JPEG", quality=95, progressive=True), ORANGE),
    ("gray JPEG", file_of(flat("L", 77), "JPEG", quality=95), (77, 77, 77)),
    ("JPEG with a broken EXIF block", broken_exif_jpeg(), ORANGE),
    ("CMYK JPEG of Adobe, ink inverted", cmyk_jpeg_of_adobe(), INK_AS_RGB),
    ("CMYK JPEG without marker, ink as it is", cmyk_jpeg_without_marker(), INK_AS_RGB),
    ("YCCK JPEG of Adobe", ycck_jpeg(), INK_AS_RGB),
    ("RGB PNG", file_of(flat("RGB", ORANGE), "PNG"), ORANGE),
    ("palette PNG", palette_png(), BLUE_RED),
    ("palette PNG, one color transparent", palette_png(transparency=1), BLUE_WHITE),
    # the left half keeps alpha 204: 10 * 0.8 + 255 * 0.2 = 59, 67, 211; the right half is white
    ("palette PNG, alpha by color", palette_png(transparency=b"\xcc\x00"), (157, 161, 233)),
    ("LA PNG", file_of(flat("LA", (0, 51)), "PNG"), (204, 204, 204)),  # 255 * (1 - 51 / 255)
    ("RGBA PNG", file_of(flat("RGBA", (255, 0, 0, 128)), "PNG"), (255, 127, 127)),  # 255 * (1 - 128 / 255)
    ("RGB PNG with a color key", file_of(halves("RGB", (10, 20, 200), ORANGE), "PNG", transparency=ORANGE), BLUE_WHITE),
    ("4 bit gray PNG with a color key", gray_png_with_key(), (255, 255, 255)),  # key and white
    ("16 bit gray PNG", gray_16_bit("PNG"), (117,) * 3),  # 30000 / 257
    ("16 bit RGB PNG", png_of(2, 1, 16, 2, rows=b"\0" + bytes([200, 9, 120, 9, 40, 9] * 2)), ORANGE),  # the high bytes
    ("1 bit PNG", file_of(halves("1", 0, 1), "PNG"), (127.5, 127.5, 127.5)),
    ("animated GIF", animated("GIF"), ORANGE),
    ("animated WebP", animated("WEBP", lossless=True), ORANGE),
    ("WebP with alpha", file_of(flat("RGBA", (255, 0, 0, 128)), "WEBP", lossless=True), (255, 127, 127)),
    ("BMP", file_of(flat("RGB", ORANGE), "BMP"), ORANGE),
    ("TIFF", file_of(flat("RGB", ORANGE), "TIFF"), ORANGE),
    ("CMYK TIFF", file_of(flat("CMYK", INK), "TIFF"), INK_AS_RGB),  # TIFF's ink is never inverted
    ("16 bit gray TIFF", gray_16_bit("TIFF"), (117,) * 3),
]

# The stored corners of an upright picture AB/CD, read off the EXIF 2.32 text: 6 says "row 0 is the visual right-hand
# side, column 0 the visual top", so the first stored row is B D.
STORED = {1: "AB/CD", 2: "BA/DC", 3: "DC/BA", 4: "CD/AB", 5: "AC/BD", 6: "BD/AC", 7: "DB/CA", 8: "CA/DB"}
CORNERS = {"A": (220, 30, 30), "B": (30, 200, 30), "C": (30, 30, 220), "D": (230, 220, 40)}

IMPOSTORS = [
    ("empty", b"", "no bytes at all"),
    ("HTML", b"\n<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
    ("JSON", b'{"error": "rate limit"}', "a JSON text"),
    ("Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
    ("base64 text", base64.b64encode(FILES[0][1]), "base64 text of a JPEG"),
    ("unknown", b"\x00\x01\x02\x03 no image", "no image format"),
    ("text that begins like a BMP", b"BM is a car maker's name without its W", "no image format"),
]


@pytest.fixture(params=["simplejpeg", "Pillow"])
def decoder(request, monkeypatch):
    """Both ways to decode, one after the other."""
    if request.param == "Pillow":
        monkeypatch.setattr(images, "simplejpeg", None)
    else:
        pytest.importorskip("simplejpeg", reason="the fast path needs the extra 'fast'")
    return request.param


def oriented_jpeg(orientation):
    """An upright picture of 64 x 32 pixels, stored as this orientation stores it; blocks hold whole 16 x 16 JPEG
    units."""
    rows = STORED[orientation].split("/")
    width, height = (16, 32) if orientation >= 5 else (32, 16)
    stored = np.vstack([np.hstack([np.full((height, width, 3), CORNERS[c], np.uint8) for c in row]) for row in rows])
    return file_of(Image.fromarray(stored), "JPEG", quality=95, exif=exif_of(orientation))


@pytest.mark.parametrize("data, expected", [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_mean_color_is_that_of_the_picture(data, expected, decoder):
    result = images.pixels(data, "row 1")
    assert result.dtype == np.uint8 and result.shape[2] == 3 and result.flags.writeable
    assert result.shape[1::-1] == images.size(data)
    assert result.mean(axis=(0, 1)) == pytest.approx(expected, abs=1.5)  # JPEG rounds; all others are within 0.5


@pytest.mark.parametrize("orientation", STORED)
def test_every_exif_orientation_stands_upright(orientation, decoder):
    data = oriented_jpeg(orientation)
    result = images.pixels(data)
    assert result.shape == (32, 64, 3)
    assert images.size(data) == (64, 32)
    for letter, (y, x) in {"A": (8, 16), "B": (8, 48), "C": (24, 16), "D": (24, 48)}.items():
        assert result[y, x].tolist() == pytest.approx(CORNERS[letter], abs=4), letter


@pytest.mark.parametrize("orientation", STORED)
def test_reduced_pictures_stand_upright_too(orientation, decoder):
    result = images.pixels(oriented_jpeg(orientation), max_side_pixels=16)
    assert result.shape == (8, 16, 3)
    assert result[1, 2].tolist() == pytest.approx(CORNERS["A"], abs=8)
    assert result[6, 2].tolist() == pytest.approx(CORNERS["C"], abs=8)


def test_exif_block_behind_the_pixels_of_a_png_is_seen():
    rows = b"".join(b"\0" + bytes(ORANGE * 4) for _ in range(2))
    data = png_of(4, 2, 8, 2, rows=rows, after=[(b"eXIf", exif_of(6).removeprefix(b"Exif\0\0"))])
    assert images.size(data) == (2, 4)
    assert images.pixels(data).shape == (4, 2, 3)


def test_tiff_is_turned_once():
    image = Image.fromarray(np.full((20, 40, 3), ORANGE, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = file_of(image, "TIFF", exif=exif)
    assert images.size(data) == (20, 40)
    assert images.pixels(data).shape == (40, 20, 3)
    assert images.pixels(data, max_side_pixels=10).shape == (10, 5, 3)


def test_scale_of_16_bit_gray_keeps_black_and_white():
    values = np.array([[0, 128, 129, 32768, 65535]], np.uint16)
    result = images.pixels(file_of(Image.fromarray(values), "PNG"))
    # value / 257 rounded: 0.498 -> 0, 0.502 -> 1, 127.502 -> 128
    assert result[0, :, 0].tolist() == [0, 0, 1, 128, 255]


@pytest.mark.parametrize("data, words", [case[1:] for case in IMPOSTORS], ids=[case[0] for case in IMPOSTORS])
def test_what_is_no_image_is_named_with_row_id_and_first_bytes(data, words):
    for read in (images.pixels, images.size, images.media_type):
        with pytest.raises(images.ImageError) as caught:
            read(data, "okvqa:17")
        message = str(caught.value)
        assert message.startswith("okvqa:17: expected an image, found ")
        assert words in message and repr(data[:16]) in message


@pytest.mark.parametrize("kept", [0.02, 0.4, 0.9])
@pytest.mark.parametrize("format", ["JPEG", "progressive JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_truncated_file_raises(format, kept, decoder):
    picture = Image.fromarray(photograph(160, 120))
    data = file_of(picture, format.removeprefix("progressive "), **({"progressive": True} if " " in format else {}))
    assert images.pixels(data).shape == (120, 160, 3)
    for max_side_pixels in (None, 48):
        with pytest.raises(images.ImageError, match="okvqa:17: expected an image, found .*broken") as caught:
            images.pixels(data[: int(len(data) * kept)], "okvqa:17", max_side_pixels)
        assert repr(data[:16]) in str(caught.value)


def test_picture_of_200_megapixels_is_refused_by_its_header():
    data = png_of(20_000, 10_000, 8, 2)  # no pixels behind it: reading on would give another error
    for read in (images.pixels, images.size):
        with pytest.raises(images.ImageError, match="okvqa:17: .*200000000 pixels"):
            read(data, "okvqa:17")


def test_limit_of_pixels_holds_where_the_one_of_pillow_is_off(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(images.ImageError, match="20000 x 10000 pixels, more than the 89478485"):
        images.pixels(png_of(20_000, 10_000, 8, 2), "okvqa:17")


@pytest.mark.parametrize(
    "start, expected",
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
        (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "image/bmp"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
    ],
)
def test_media_type_is_told_by_the_first_bytes(start, expected):
    assert images.media_type(start) == expected


def plain(data, shape):
    """The whole picture decoded, then reduced, by Pillow."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize(shape[1::-1], Image.Resampling.BICUBIC))


def far(one, two):
    """How far two arrays of pixels differ, on average."""
    return np.abs(one.astype(int) - two.astype(int)).mean()


@pytest.mark.parametrize("torch", ["with torch", "without torch"])
def test_a_photograph_differs_from_plain_pillow_by_less_than_2_of_255(torch, decoder, monkeypatch):
    """Of any size that it is reduced to; the photograph (512 x 600) comes with matplotlib."""
    cbook = pytest.importorskip("matplotlib.cbook", reason="it has a photograph")
    if torch == "with torch":
        pytest.importorskip("torch", reason="torch is an extra")
    else:
        monkeypatch.delitem(sys.modules, "torch", raising=False)
    data = cbook.get_sample_data("grace_hopper.jpg").read()
    for side in (*range(20, 600, 20), 75, 150, 299, 301):
        result = images.pixels(data, "", side)
        assert max(result.shape) == side and result.flags.writeable and result.flags.c_contiguous
        assert far(result, plain(data, result.shape)) <= 1.5, side


@pytest.mark.parametrize("max_side_pixels", [None, 336, 224, 100, 31])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 50}], ids=str)
@pytest.mark.parametrize("width, height", [(640, 480), (333, 501), (1021, 607)])
def test_fast_path_differs_from_pillow_by_less_than_2_of_255(width, height, options, max_side_pixels, monkeypatch):
    pytest.importorskip("simplejpeg", reason="the fast path needs the extra 'fast'")
    data = file_of(Image.fromarray(photograph(width, height, seed=width)), "JPEG", **{"quality": 90, **options})
    fast = images.pixels(data, "", max_side_pixels)
    monkeypatch.setattr(images, "simplejpeg", None)
    slow = images.pixels(data, "", max_side_pixels)
    assert fast.shape == slow.shape
    assert far(fast, slow) <= 2
    # and both from the plain way: the whole picture decoded, then reduced
    for result in (fast, slow):
        assert far(result, plain(data, result.shape)) <= 2


@pytest.mark.parametrize(
    "width, height, expected",
    [(640, 480, (336, 252)), (480, 640, (252, 336)), (336, 10, (336, 10)), (900, 1, (336, 1))],
)
def test_longer_side_is_exactly_the_limit(width, height, expected, decoder):
    for format in ("JPEG", "PNG"):
        result = images.pixels(file_of(flat("RGB", ORANGE, (width, height)), format), max_side_pixels=336)
        assert result.shape[1::-1] == expected


def test_limit_below_one_pixel_is_a_wrong_argument():
    with pytest.raises(ValueError, match="max_side_pixels must be 1 or more, not 0"):
        images.pixels(FILES[0][1], max_side_pixels=0)


@pytest.mark.parametrize("library", ["pybase64", "base64"])
@pytest.mark.parametrize(
    "text",
    ["{}", "data:image/png;base64,{}", "DATA:image/png;charset=utf-8;BASE64,{}", "\n{} \n"],
    ids=["bare", "data URI", "upper case data URI", "blanks around"],
)
def test_base64_text_gives_the_bytes(text, library, monkeypatch):
    if library == "base64":
        monkeypatch.setattr(images, "pybase64", base64)
    data = FILES[7][1]
    assert images.read_base64(text.format(base64.b64encode(data).decode())) == data
    assert images.read_base64(text.format(base64.encodebytes(data).decode())) == data  # wrapped at 76 characters
    assert images.read_base64(text.format(base64.encodebytes(data).decode().replace("\n", "\r\n"))) == data


@pytest.mark.parametrize("library", ["pybase64", "base64"])
@pytest.mark.parametrize(
    "text, words",
    [
        ("iVBORw0KGgo", "is not base64"),  # its padding "=" is missing
        ("iVBORw0KGgoA-_==", "is not base64"),  # the URL alphabet
        ("iVBORw0KGgo=AAAA", "is not base64"),
        ("iVBORw0KGgé=", "is not base64"),
        ("https://example.org/a.png", "is not base64"),
        ("data:image/png,%89PNG", "does not say ';base64,'"),
        ("", "empty text"),
        ("data:image/png;base64,", "empty text"),
        (None, "NoneType"),
    ],
)
def test_text_that_is_not_base64_raises_with_its_first_characters(text, words, library, monkeypatch):
    if library == "base64":
        monkeypatch.setattr(images, "pybase64", base64)
    with pytest.raises(images.ImageError) as caught:
        images.read_base64(text, "okvqa:17")
    assert words in str(caught.value) and str(caught.value).startswith("okvqa:17: ")
    assert str(text)[:12] in str(caught.value)


@pytest.mark.parametrize("data", [case[1] for case in FILES], ids=[case[0] for case in FILES])
def test_reduce_keeps_the_bytes_of_a_small_picture(data):
    assert images.reduce(data, 64) is data


@pytest.mark.parametrize("format, expected", [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("BMP", "image/png")])
def test_reduce_writes_jpeg_for_jpeg_and_png_for_all_others(format, expected):
    data = file_of(Image.fromarray(photograph(800, 400)), format)
    reduced = images.reduce(data, 600)
    assert images.media_type(reduced) == expected
    assert images.size(reduced) == (600, 300)
    # PNG keeps every pixel; JPEG halves the color planes, which in this colorful picture costs 2.5 of 255 on average
    difference = np.abs(images.pixels(reduced).astype(int) - images.pixels(data, "", 600).astype(int)).mean()
    assert difference <= (3 if format == "JPEG" else 0)


def test_reduce_gives_an_upright_file_whose_exif_turns_it_no_more():
    reduced = images.reduce(oriented_jpeg(6), 32)
    assert Image.open(io.BytesIO(reduced)).size == (32, 16) == images.size(reduced)
    assert images.pixels(reduced)[2, 4].tolist() == pytest.approx(CORNERS["A"], abs=8)


def test_reduce_gives_the_same_bytes_with_and_without_the_fast_extra(monkeypatch):
    data = file_of(Image.fromarray(photograph(640, 480)), "JPEG")
    first = images.reduce(data, 336)
    monkeypatch.setattr(images, "simplejpeg", None)
    assert images.reduce(data, 336) == first


def test_encode_writes_no_metadata_and_the_same_bytes_again():
    image = Image.fromarray(photograph(64, 48))
    image.info.update(icc_profile=b"a profile", comment=b"a comment")
    for format in ("JPEG", "PNG", "WEBP"):
        written = images.encode(image, format)
        assert written == images.encode(np.asarray(image), format) == images.encode(image, format)
        assert not {"icc_profile", "comment", "exif"} & set(Image.open(io.BytesIO(written)).info)
    assert image.info["comment"] == b"a comment"


def test_encode_composes_alpha_on_white():
    written = images.encode(flat("RGBA", (255, 0, 0, 128)), "PNG")
    assert images.pixels(written)[0, 0].tolist() == [255, 127, 127]


def test_encode_refuses_a_format_it_does_not_write():
    with pytest.raises(ValueError, match="Unknown image format 'jpg'"):
        images.encode(np.zeros((2, 2, 3), np.uint8), "jpg")


def saved(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_the_size_of_a_plain_file_is_pillows_and_nothing_passes_that_pillow_refuses():
    pictures = [photograph(w, h) for w, h in ((1, 1), (17, 640), (300, 2), (40, 30))]
    last = Image.fromarray(pictures[-1])
    jpegs = [images.encode(picture) for picture in pictures]
    for options in (
        {"progressive": True},
        {"comment": b"x" * 99},
        {"restart_marker_rows": 1},
        {"icc_profile": b"i" * 99},
    ):
        jpegs.append(saved(last, **options))
    of_adobe = b"\xff\xee\0\x0eAdobe\0d\0\0\0\0\x01"  # its segment, which says YCbCr
    jpegs += [saved(last.convert("L")), jpegs[-1][:2] + of_adobe + jpegs[-1][2:]]
    pngs = [images.encode(picture, "PNG") for picture in pictures]
    pngs += [file_of(last.convert(mode), "PNG") for mode in ("L", "LA", "RGBA")]
    draw, taken = random.Random(0), dict.fromkeys(("JPEG", "PNG"), 0)
    for kind, whole in [*(("JPEG", file) for file in jpegs), *(("PNG", file) for file in pngs)]:
        plain_size = images._plain_jpeg_size if kind == "JPEG" else images._plain_png_size
        assert plain_size(whole) == Image.open(io.BytesIO(whole)).size
        for _ in range(400):
            data = bytearray(whole)
            for _ in range(draw.choice((0, 1, 1, 2))):
                data[draw.randrange(min(len(data), 700 if kind == "JPEG" else 60))] = draw.randrange(256)
            data = bytes(data[: draw.choice((len(data), draw.randrange(len(data))))])
            if found := plain_size(data):
                taken[kind] += 1
                assert found == Image.open(io.BytesIO(data), formats=[kind]).size
    assert min(taken.values()) > 400


def test_other_files_have_no_plain_size():
    turned, indexed = oriented_jpeg(6), palette_png()
    late = png_of(4, 2, 8, 2, after=[(b"eXIf", exif_of(6).removeprefix(b"Exif\0\0"))])
    for data in (
        b"",
        b"\xff\xd8\xff",
        cmyk_jpeg_of_adobe(),
        turned,
        indexed,
        late,
        png_of(20_000, 10_000, 8, 2),
        animated("GIF"),
    ):
        assert images._plain_jpeg_size(data) is None and images._plain_png_size(data) is None


@pytest.mark.parametrize(
    "text",
    [
        "{}", "data:image/png;base64,{}", "DATA:image/png;charset=utf-8;BASE64,{}", "\n{} \n", "\t{}\r\n",
        "data:image/png,{}", "data:{}", "{}=", "-{}", "", " ", "data:image/png;base64,",
    ],
)  # fmt: skip
def test_reader_and_pixels_take_the_same_texts(text):
    data = FILES[7][1]
    text = text.format(base64.b64encode(data).decode())
    row = {"instruction": "", "inputs": "", "image_base64_str": [text], "outputs": ""}
    try:
        expected = images.read_base64(text)
    except images.ImageError:
        with pytest.raises(ShardError, match="expected base64 in image_base64_str") as caught:
            image_bytes(check_row(row))
        assert caught.value.reason == "image is not base64"
    else:
        assert image_bytes(check_row(row)) == [expected] == [data]


# ---- what other people's files and programs bring


def with_chunk(png, kind, data, before=b"IDAT"):
    """The PNG with one more chunk, in front of the first one of a kind."""
    place = png.index(before) - 4
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:place] + chunk + png[place:]


@pytest.mark.parametrize("max_side_pixels", [None, 4])
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize(
    "kind, data",
    [
        (b"iCCP", b"profile\0\0" + zlib.compress(bytes(3_000_000))),
        (b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 3_000_000)),
        (b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(b"a" * 3_000_000)),
        (b"tEXt", b"Comment\0" + b"a" * 3_000_000),
    ],
    ids=["profile", "compressed text", "international text", "text"],
)
def test_a_png_with_megabytes_of_text_is_read_as_without(kind, data, before, max_side_pixels):
    plain = file_of(flat("RGB", ORANGE), "PNG")
    assert (images.pixels(with_chunk(plain, kind, data, before), "", max_side_pixels) == ORANGE).all()


def test_half_a_picture_is_none_whatever_another_library_has_set(monkeypatch, decoder):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    for format in ("PNG", "JPEG"):
        data = file_of(noise, format)
        with pytest.raises(images.ImageError, match="truncated or broken"):
            images.pixels(data[: len(data) // 2])
        images.pixels(data)
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_palette_png_without_its_palette_is_broken_and_no_crash():
    with pytest.raises(images.ImageError, match="broken"):
        images.pixels(png_of(4, 4, 8, 3, b"\0\1\2\3\4" * 4))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read():
    data = file_of(flat("RGB", ORANGE), "AVIF", quality=100)
    assert images.media_type(data) == "image/avif" and images.size(data) == images.pixels(data).shape[1::-1]
    assert np.abs(images.pixels(data).mean((0, 1)) - ORANGE).max() < 3


@pytest.mark.parametrize(
    "data, words",
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC picture: convert it to JPEG or PNG"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", "a JPEG 2000 picture"),
        (b"\xff\x4f\xff\x51\0\x2f", "a JPEG 2000 picture"),
        (b"\0\0\1\0\1\0\x10\x10", "an icon"),
        (b"%PDF-1.7\n", "a PDF document"),
    ],
)
def test_pictures_of_other_kinds_are_named(data, words):
    with pytest.raises(images.ImageError, match=f"r1: expected an image, found {words}"):
        images.media_type(data, "r1")


def test_avif_of_an_older_pillow_says_so(monkeypatch):
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(images.ImageError, match="an AVIF picture, which needs Pillow 11.3 or newer"):
        images.media_type(b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf")
