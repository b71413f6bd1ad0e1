"""Rows for people: as text in a terminal, or as a contact sheet, a picture of the rows with their images and texts."""

import io
import json
import re
import textwrap
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from M3IT import M3ITError, id_of, image_bytes
from m3it.rows.images import pixels, size

CELL_PIXELS = 360  # width of a row on the sheet
TEXT_PIXELS = 15
FONTS = (
    "NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf",  # Linux, the last with Arabic
    "wqy-zenhei.ttc", "wqy-microhei.ttc", "DroidSansFallbackFull.ttf", "DroidSansFallback.ttf",
    "Arial Unicode.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc", "msyh.ttc", "Nirmala.ttf",  # macOS, Windows
)  # fmt: skip
TEXTS = ("instruction", "inputs", "outputs")
LINE_LETTERS = 64  # about as many as a line of the sheet holds


def as_text(row: dict[str, Any], width: int = 100) -> str:
    """One row as a block of text: its four fields, the images as their sizes."""
    images = [f"{w}x{h} {len(image):,} bytes" for image in image_bytes(row) for w, h in [size(image, row_id_of(row))]]
    fields = {
        "instruction": row["instruction"],
        "inputs": row["inputs"],
        "images": "; ".join(images) or "none",
        "outputs": row["outputs"],
    }
    lines = []
    for name, value in fields.items():
        wrapped = [part for line in value.split("\n") for part in textwrap.wrap(line, width - 13) or [""]]
        lines += [f"{name if i == 0 else '':<12} {part}" for i, part in enumerate(wrapped or [""])]
    return "\n".join(lines)


def rows_of(builder: Any, splits: Sequence[str], ids: frozenset[str]) -> list[dict[str, Any]]:
    """The rows that have these ids, in file order, of the first split that has each; M3ITError where one is missing."""
    found, left = [], set(ids)
    for row in (row for split in splits for row in builder.rows(split)):
        if id_of(row) in left:
            found.append(row)
            left.remove(id_of(row))
        if not left:
            return found
    missing = ", ".join(map(repr, sorted(left)[:5]))
    raise M3ITError(
        f"{builder.config.name}: expected rows of these ids in {', '.join(splits)}, found none of {missing}."
    )


def row_id_of(row: dict[str, Any]) -> str:
    """The row's id, for errors that name it; "" where the rows were read without their meta."""
    return json.loads(row.get("meta") or "{}").get("id", "")


def contact_sheet(rows: Iterable[dict[str, Any]], path: Path | str, columns: int = 3) -> int:
    """Draw rows (with an extra key `title`, if any) into one PNG file; returns how many."""
    from PIL import Image

    cells, boxes = [], ""
    for row in rows:
        cells.append(_cell(row))
        boxes += lacking(letters_of([row]))
    if boxes:
        warnings.warn(
            f"{len(set(boxes))} letters, such as {boxes[:3]}, are drawn as boxes: no font found here has them. Install "
            "Noto Sans CJK (Chinese, Japanese, Korean) or Noto Sans of that script.",
            stacklevel=2,
        )
    heights = [max(cell.height for cell in cells[i : i + columns]) for i in range(0, len(cells), columns)]
    sheet = Image.new("RGB", (CELL_PIXELS * min(columns, max(1, len(cells))), max(1, sum(heights))), "white")
    for i, cell in enumerate(cells):
        sheet.paste(cell, (CELL_PIXELS * (i % columns), sum(heights[: i // columns])))
    data = io.BytesIO()
    sheet.save(data, "PNG", optimize=True)
    Path(path).write_bytes(data.getvalue())
    return len(cells)


def _cell(row: dict[str, Any]) -> Any:
    """One row as a picture: title, images side by side, then the texts."""
    from PIL import Image, ImageDraw

    font, margin, line_height = load_font(letters_of([row])), 10, TEXT_PIXELS + 5
    images = [Image.fromarray(pixels(image, row_id_of(row))) for image in image_bytes(row)]
    across = min(4, len(images)) or 1
    side = (CELL_PIXELS - 2 * margin) // across
    thumbs = [image.resize(_fit(image.size, side)) for image in images]
    texts = [
        (row.get("title", ""), "#888"),
        (row["instruction"], "#666"),
        (row["inputs"], "#000"),
        (f"→ {row['outputs']}", "#0a5"),
    ]
    lines = [(part, colour) for text, colour in texts for part in wrap(text, font, CELL_PIXELS - 2 * margin) if part]
    picture_rows = [max(t.height for t in thumbs[i : i + across]) + 4 for i in range(0, len(thumbs), across)]
    cell = Image.new("RGB", (CELL_PIXELS, sum(picture_rows) + line_height * len(lines) + 3 * margin), "white")
    for i, thumb in enumerate(thumbs):
        cell.paste(thumb, (margin + side * (i % across), margin + sum(picture_rows[: i // across])))
    pen = ImageDraw.Draw(cell)
    for i, (part, colour) in enumerate(lines):
        pen.text((margin, 1.5 * margin + sum(picture_rows) + line_height * i), part, font=font, fill=colour)
    return cell


def _fit(wh: tuple[int, int], side: int) -> tuple[int, int]:
    scale = min((side - 4) / wh[0], 240 / wh[1])
    return max(1, round(wh[0] * scale)), max(1, round(wh[1] * scale))


@cache
def _installed() -> list[Any]:
    """Those of FONTS that are on this machine, and Pillow's own, which knows Latin only."""
    from PIL import ImageFont

    fonts = []
    for name in FONTS:
        with suppress(OSError):
            fonts.append(ImageFont.truetype(name, TEXT_PIXELS))
    return [*fonts, ImageFont.load_default(size=TEXT_PIXELS)]


def load_font(letters: str = "") -> Any:
    """The installed font that lacks the fewest of the letters, the first of FONTS where several are as good."""
    return min(_installed(), key=lambda font: len(lacking(letters, font)))


def lacking(letters: str, font: Any = None) -> str:
    """Those of the letters for which a font, or the best one that is installed, draws an empty box."""
    font = font or load_font(letters)
    box = bytes(font.getmask("\uffff"))  # no character: what a font draws for one that it does not have
    return "".join(letter for letter in letters if letter.isalpha() and bytes(font.getmask(letter)) == box)


def letters_of(rows: Iterable[dict[str, Any]]) -> str:
    """The letters of the rows' texts, each once."""
    return "".join(sorted({letter for row in rows for name in TEXTS for letter in row[name]}))


def wrap(text: str, font: Any, width: int) -> list[str]:
    """Lines of at most `width` pixels, broken at blanks, or anywhere where a word alone is too long, as in languages
    without blanks."""
    lines = []
    for line in text.split("\n"):
        shown = ""
        for word in re.findall(r"\s*\S+", line):
            if shown and not fits(shown + word, font, width) and fits(word, font, width):
                lines.append(shown)
                shown, word = "", word.lstrip()
            shown, start = shown + word, 0
            while (stop := end_of_line(shown, start, font, width)) < len(shown):
                lines.append(shown[start:stop])
                start = stop
            shown = shown[start:]
        lines.append(shown)
    return lines


def fits(text: str, font: Any, width: int) -> bool:
    """Whether a text is at most `width` pixels wide; of a long one no more is measured than says so."""
    return end_of_line(text, 0, font, width) == len(text)


def end_of_line(text: str, start: int, font: Any, width: int) -> int:
    """Where the longest line ends that begins at `start` and is at most `width` pixels wide; it has a letter or more.

    Measured are stretches of twice the length each, until one is too wide: a text of any length costs what its lines
    cost, not the square or the cube of it.
    """
    length = LINE_LETTERS
    while font.getlength(text[start : start + length]) <= width:
        if start + length >= len(text):
            return len(text)
        length *= 2
    low, high = start + 1, min(start + length, len(text))  # high is too wide; low is taken, whatever its width
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if font.getlength(text[start:middle]) <= width else (low, middle)
    return low
