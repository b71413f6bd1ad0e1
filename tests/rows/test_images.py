"""Pixels from bytes: every file is made here, every expected color is written out with how it was got."""

import base64
import io
import random
import sys

import numpy as np
import pytest
from odd_images import (
    BOMBS,
    CORNERS,
    JPEG,
    ORANGE,
    PICTURES,
    PNG,
    STORED,
    animated,
    cmyk_jpeg_of_adobe,
    exif_of,
    file_of,
    flat,
    oriented_jpeg,
    palette_png,
    png_of,
    with_chunk,
)  # fmt: skip
from PIL import Image, ImageFile, features

from M3IT import ShardError, check_row, image_bytes
from m3it.rows import images

FILES = {name: odd for name, odd in PICTURES.items() if isinstance(odd.data, bytes)}


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


IMPOSTORS = [
    ("empty", b"", "no bytes at all"),
    ("HTML", b"\n<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
    ("JSON", b'{"error": "rate limit"}', "a JSON text"),
    ("Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
    ("base64 text", base64.b64encode(JPEG), "base64 text of a JPEG"),
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


@pytest.mark.parametrize("odd", FILES.values(), ids=FILES)
def test_mean_color_is_that_of_the_picture(odd, decoder):
    data, expected = odd.data, odd.mean
    result = images.pixels(data, "row 1")
    assert result.dtype == np.uint8 and result.shape[2] == 3 and result.flags.writeable
    assert result.shape[1::-1] == images.size(data)
    assert result.mean(axis=(0, 1)) == pytest.approx(expected, abs=2)  # JPEG and AVIF round; all others are within 0.5


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
        images.pixels(JPEG, max_side_pixels=0)


@pytest.mark.parametrize("library", ["pybase64", "base64"])
@pytest.mark.parametrize(
    "text",
    ["{}", "data:image/png;base64,{}", "DATA:image/png;charset=utf-8;BASE64,{}", "\n{} \n"],
    ids=["bare", "data URI", "upper case data URI", "blanks around"],
)
def test_base64_text_gives_the_bytes(text, library, monkeypatch):
    if library == "base64":
        monkeypatch.setattr(images, "pybase64", base64)
    data = PNG
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


@pytest.mark.parametrize("odd", FILES.values(), ids=FILES)
def test_reduce_keeps_the_bytes_of_a_small_picture(odd):
    assert images.reduce(odd.data, max(odd.size)) is odd.data


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
    data = PNG
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


@pytest.mark.parametrize("max_side_pixels", [None, 4])
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize("kind, data", BOMBS.values(), ids=BOMBS)
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
