"""m3it/curating/prints.py, near.py and overlay.py: by what a picture is known again."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageOps
from planted import KINDS, encoded
from scenes import draw, scene

from m3it.curating.near import near_pairs
from m3it.curating.overlay import Tiny
from m3it.curating.prints import print_of, within_frame
from m3it.rows.images import ImageError

pdqhash = pytest.importorskip("pdqhash", reason="m3it[curate] is not installed")
pytest.importorskip("usearch", reason="m3it[curate] is not installed")

DRAWN = [draw(scene(f"print {k}", num_things=5)) for k in range(12)]


def tiny_of(files):
    prints = [print_of(file) for file in files]
    return Tiny.of(*([getattr(one, name) for one in prints] for name in ("tiny", "inner")))


def test_the_same_pixels_have_one_hash_in_whatever_file_and_the_same_bytes_another():
    jpeg = encoded(DRAWN[0])
    png = encoded(Image.open(io.BytesIO(jpeg)), "PNG")
    one, other = print_of(jpeg), print_of(png)
    assert one.pixels_sha256 == other.pixels_sha256 and one.bytes_sha256 != other.bytes_sha256
    assert (one.pdq, one.tiny, one.width, one.height) == (other.pdq, other.tiny, 240, 180)


def test_a_turned_file_has_the_pixels_of_the_upright_one():
    exif = Image.Exif()
    exif[0x0112] = 3  # to be turned by half
    data = io.BytesIO()
    DRAWN[0].rotate(180).save(data, "PNG", exif=exif)
    assert print_of(data.getvalue()).pixels_sha256 == print_of(encoded(DRAWN[0], "PNG")).pixels_sha256


def test_bytes_that_are_no_picture_are_said_with_their_row():
    with pytest.raises(ImageError, match="row-7: expected an image"):
        print_of(b"<html>", "row-7")


def test_a_picture_of_one_pixel_has_a_print():
    assert print_of(encoded(Image.new("RGB", (1, 1)), "PNG")).inner == bytes([0, 0, 255, 255])


def test_a_frame_and_a_bar_with_words_are_found_and_a_plain_ground_is_none():
    bare = np.asarray(DRAWN[0].convert("L"))
    assert within_frame(bare) == bytes([0, 0, 255, 255])
    framed = np.asarray(ImageOps.expand(DRAWN[0], 20, fill=(0, 0, 0)).convert("L"))
    sides = [20 / 280, 20 / 220, 260 / 280, 200 / 220]
    assert np.allclose(list(within_frame(framed)), [255 * side for side in sides], atol=1)
    barred = Image.new("L", (240, 210))
    barred.paste(DRAWN[0].convert("L"), (0, 0))
    ImageDraw.Draw(barred).text((10, 186), "some words below", 255)
    assert np.allclose(list(within_frame(np.asarray(barred))), [0, 0, 255, 255 * 180 / 210], atol=1)


@pytest.mark.parametrize("kind", KINDS)
def test_an_altered_copy_is_found_and_no_other_picture(kind):
    random = np.random.default_rng(0)
    originals = tiny_of([encoded(image) for image in DRAWN])
    copies = tiny_of([KINDS[kind](image, random) for image in DRAWN[:4]])
    found = near_pairs(originals, copies)
    pairs = set(zip(found.one.tolist(), found.other.tolist(), strict=True))
    assert pairs <= {(k, k) for k in range(4)} and len(pairs) >= 3


@pytest.mark.parametrize("change", [{"colour": "green"}, {"kind": "robot"}, {"column": 3}])
def test_a_drawing_that_differs_in_one_thing_is_another_picture(change):
    record = scene("print 0", num_things=5)
    assert all(getattr(thing, name) != value for thing in record.things[:1] for name, value in change.items())
    other = replace(record, things=(replace(record.things[0], **change), *record.things[1:]))
    assert len(near_pairs(tiny_of([encoded(draw(record))]), tiny_of([encoded(draw(other))])).one) == 0


def test_a_thing_alone_is_not_known_again_elsewhere():
    record = scene("print 1", num_things=1)
    moved = ImageChops.offset(draw(record), 8, 0)
    assert len(near_pairs(tiny_of([encoded(draw(record))]), tiny_of([encoded(draw(record), quality=30)])).one) == 1
    assert len(near_pairs(tiny_of([encoded(draw(record))]), tiny_of([encoded(moved)])).one) == 0


def test_a_blank_picture_is_near_to_none():
    blank = tiny_of([encoded(Image.new("RGB", (64, 64), "white")), encoded(Image.new("RGB", (80, 64), "white"))])
    assert len(near_pairs(blank, blank).one) == 0 and blank.is_blank().all()
