"""m3it/showing/rows.py: rows as text and as a contact sheet."""

import base64
import re
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import scenes
from conftest import make_row
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from m3it.rows.images import ImageError, pixels
from m3it.showing.rows import CELL_PIXELS, Cell, contact_sheet, letters_of, load_font, missing_letters, row_text, wrap

COLOURS = [(250, 10, 20), (10, 200, 30), (20, 30, 240), (240, 200, 10)]


def make_coloured(*colours, size=(40, 30), **changes):
    """A row with one plain picture of each colour."""
    images = [scenes.encode(Image.new("RGB", size, colour), *size, "PNG") for colour in colours]
    return make_row(1, image_base64_str=[base64.b64encode(image).decode() for image in images], **changes)


def pixels_of(sheet, colour):
    """(top, left, bottom, right) of all pixels of exactly this colour; None if there are none."""
    rows, columns = np.nonzero((sheet == np.array(colour)).all(axis=2))
    return (rows.min(), columns.min(), rows.max(), columns.max()) if len(rows) else None


def test_the_sheet_holds_every_picture_in_its_place(tmp_path):
    rows = [make_coloured(*COLOURS[:2]), make_coloured(COLOURS[2]), make_coloured(), make_coloured(COLOURS[3])]
    assert contact_sheet(rows, tmp_path / "rows.png") == 4
    sheet = pixels((tmp_path / "rows.png").read_bytes())
    assert sheet.shape[1] == 3 * CELL_PIXELS
    left, right, second, below = (pixels_of(sheet, colour) for colour in COLOURS)
    assert left[3] < right[1] < right[3] < CELL_PIXELS  # two pictures of one row, side by side
    assert left[0] == right[0] == second[0] and CELL_PIXELS < second[1] < second[3] < 2 * CELL_PIXELS
    assert below[0] > left[2] and below[3] < CELL_PIXELS  # the fourth row begins a new line


@pytest.mark.parametrize(("size", "shape"), [((400, 100), 4.0), ((100, 400), 0.25), ((3, 3), 1.0)])
def test_pictures_keep_their_shape(tmp_path, size, shape):
    contact_sheet([make_coloured(COLOURS[0], size=size)], tmp_path / "rows.png")
    top, left, bottom, right = pixels_of(pixels((tmp_path / "rows.png").read_bytes()), COLOURS[0])
    assert (right - left + 1) / (bottom - top + 1) == pytest.approx(shape, rel=0.05)


def test_the_eight_frames_of_a_clip_are_all_there(tmp_path):
    colours = [(30 * k, 255 - 30 * k, 128) for k in range(8)]
    contact_sheet([make_coloured(*colours)], tmp_path / "rows.png")
    sheet = pixels((tmp_path / "rows.png").read_bytes())
    places = [pixels_of(sheet, colour) for colour in colours]
    assert all(places) and sorted(places, key=lambda place: place[:2]) == places


def test_letters_that_no_font_has_are_told_of_instead_of_boxes_in_silence(tmp_path, monkeypatch):
    dejavu = Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")
    monkeypatch.setattr("m3it.showing.rows._installed", lambda: [ImageFont.truetype(str(dejavu), 15)])
    with pytest.warns(UserWarning, match=r"2 letters, such as 图看, are drawn as boxes.* Install Noto Sans CJK"):
        contact_sheet([make_row(1, 0, inputs="看图")], tmp_path / "rows.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        contact_sheet([make_row(1, 0, inputs="look: é ش")], tmp_path / "rows.png")


def test_text_is_drawn_and_long_text_makes_the_sheet_longer(tmp_path):
    heights = []
    for words in (10, 200):
        contact_sheet([make_row(1, 0, inputs="word " * words)], tmp_path / "rows.png")
        sheet = pixels((tmp_path / "rows.png").read_bytes())
        heights.append(len(sheet))
        dark_rows = np.nonzero((sheet.max(axis=2) < 60).any(axis=1))[0]
        assert len(dark_rows) > 5 and dark_rows.max() < len(sheet) - 5  # black inputs, none cut off at the bottom
    assert heights[1] > 3 * heights[0]


@settings(max_examples=50, deadline=None)
@given(st.text(st.sampled_from("aMW i\u4e2d\u6587\u3002 \n"), max_size=150))
def test_wrapped_lines_fit_and_lose_no_letter(text):
    font = load_font()
    lines = wrap(text, font, 120)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(font.getlength(line) <= 120 for line in lines)


def test_words_stay_whole_where_they_fit():
    text = "The quick brown fox jumps over the lazy dog and reads the newspaper"
    lines = wrap(text, load_font(), 200)
    assert len(lines) > 2 and " ".join(lines) == text


def wrap_by_every_prefix(text, font, width):
    """The lines, each found by measuring all of its prefixes from the longest on."""
    lines = []
    for line in text.split("\n"):
        shown = ""
        for word in re.findall(r"\s*\S+", line):
            if shown and font.getlength(shown + word) > width >= font.getlength(word):
                lines.append(shown)
                shown, word = "", word.lstrip()
            shown += word
            while len(shown) > 1 and font.getlength(shown) > width:
                fits = next(n for n in range(len(shown) - 1, 0, -1) if n == 1 or font.getlength(shown[:n]) <= width)
                lines.append(shown[:fits])
                shown = shown[fits:]
        lines.append(shown)
    return lines


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(st.sampled_from("aMW i\u4e2d\u6587\u3002\u0301\u0627 \n"), max_size=90), st.sampled_from([5, 60, 340]))
def test_lines_break_where_measuring_every_prefix_breaks_them(text, width):
    assert wrap(text, load_font(), width) == wrap_by_every_prefix(text, load_font(), width)


@pytest.mark.parametrize("text", ["\u4e2d", "aM ", "W"])
def test_what_is_measured_grows_as_the_text_does(text):
    class Counting:
        letters = 0

        def getlength(self, text):
            self.letters += len(text)
            return 15.0 * len(text)

    measured = []
    for length in (2_000, 20_000):
        font = Counting()
        assert "".join("".join(wrap(text * length, font, 340)).split()) == "".join((text * length).split())
        measured.append(font.letters)
    assert measured[1] <= 11 * measured[0]


def test_rows_as_text_have_all_fields_and_the_sizes_of_the_pictures():
    text = row_text(make_row(3, 2, inputs="one\n\ntwo " + "long " * 40, outputs="\u4e2d\u6587 \U0001f600"))
    assert "8x6" in text and text.count(" bytes") == 2
    assert [line.split()[0] for line in text.split("\n") if line[:1].strip()] == [
        "instruction",
        "inputs",
        "images",
        "outputs",
    ]
    assert text.count("long") == 40 and max(map(len, text.split("\n"))) <= 100
    assert "\u4e2d\u6587 \U0001f600" in text
    assert "none" in row_text(make_row(3, 0))


def test_a_picture_that_cannot_be_drawn_is_named_by_its_row(tmp_path):
    row = make_row(3, image_base64_str=[base64.b64encode(b"<html>").decode()])
    for draw in (row_text, lambda row: contact_sheet([row], tmp_path / "rows.png")):
        with pytest.raises(ImageError, match="^row-3: expected an image, found an HTML page"):
            draw(row)


def test_letters_that_a_font_draws_as_boxes_are_told():
    latin = ImageFont.load_default(size=15)
    assert missing_letters("aZ. \n", latin) == ""
    assert missing_letters("a\u4e2d\u6587b", latin) == "\u4e2d\u6587"
    assert letters_of(Cell([], [("\u4e2d\u4e2d", "#000"), ("a", "#555")])) == "a\u4e2d"


def test_the_same_rows_give_the_same_sheet(tmp_path):
    for name in ("a.png", "b.png"):
        contact_sheet([make_row(i, title=f"row {i}") for i in range(2)], tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
