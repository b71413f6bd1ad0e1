"""Rows for people: as text in a terminal, or as a contact sheet, a picture of the rows with their images and texts."""

import json
import re
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from M3IT import PNG, M3ITError, id_of, image_bytes
from m3it.rows.images import pixels, size
from m3it.work import terminal
from m3it.work.folder import refuse_other, writing

CELL_PIXELS = 360  # width of a row on the sheet
TEXT_PIXELS, LINE_PIXELS = 15, 20
MARGIN_PIXELS, GAP_PIXELS = 10, 15  # around a cell; between its pictures and its texts, and below them
FONTS = (
    "NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf",  # Linux, the last with Arabic
    "wqy-zenhei.ttc", "wqy-microhei.ttc", "DroidSansFallbackFull.ttf", "DroidSansFallback.ttf",
    "Arial Unicode.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc", "msyh.ttc", "Nirmala.ttf",  # macOS, Windows
)  # fmt: skip
LINE_LETTERS = 64  # about as many as a line of the sheet holds


class Cell(NamedTuple):
    """What a sheet shows of a row: image files, and texts with their colours. `name`: the row, for errors."""

    images: list[bytes]
    texts: list[tuple[str, str]]
    name: str = ""


# ---- rows


def row_text(row: dict[str, Any], width: int = 100) -> str:
    """One row as a block of text of this width: its four fields, the images as their sizes."""
    images = [f"{w}x{h} {len(image):,} bytes" for image in image_bytes(row) for w, h in [size(image, row_id_of(row))]]
    fields = {
        "instruction": row["instruction"],
        "inputs": row["inputs"],
        "images": "; ".join(images) or "none",
        "outputs": row["outputs"],
    }
    lines = []
    for name, value in fields.items():
        parts = enumerate(terminal.wrap(value, max(width - 13, 10)))
        lines += [f"{name if i == 0 else '':<12} {part}".rstrip() for i, part in parts]
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
    return draw_sheet((_cell(row) for row in rows), path, columns)


def _cell(row: dict[str, Any]) -> Cell:
    texts = [
        (row.get("title", ""), "#888"),
        (row["instruction"], "#666"),
        (row["inputs"], "#000"),
        (f"→ {row['outputs']}", "#0a5"),
    ]
    return Cell(image_bytes(row), texts, row_id_of(row))


# ---- sheets


def draw_sheet(
    cells: Iterable[Cell],
    path: Path | str,
    columns: int = 3,
    *,
    width: int = CELL_PIXELS,
    beside: int = 0,
    max_lines: int | None = None,
) -> int:
    """Draw cells of `width` pixels into one PNG file, side by side in `columns`; returns how many. Pictures stand above
    the texts or, in a column of `beside` pixels, left of them; a text is cut after `max_lines`."""
    from PIL import Image

    drawn, boxes = [], ""
    for cell in cells:
        drawn.append(_drawn(cell, width, beside=beside, max_lines=max_lines))
        boxes += missing_letters(letters_of(cell))
    if boxes:
        warnings.warn(
            f"{len(set(boxes))} letters, such as {boxes[:3]}, are drawn as boxes: no font found here has them. Install "
            "Noto Sans CJK (Chinese, Japanese, Korean) or Noto Sans of that script.",
            stacklevel=2,
        )
    heights = [max(cell.height for cell in drawn[i : i + columns]) for i in range(0, len(drawn), columns)]
    sheet = Image.new("RGB", (width * min(columns, max(1, len(drawn))), max(1, sum(heights))), "white")
    for i, cell_image in enumerate(drawn):
        sheet.paste(cell_image, (width * (i % columns), sum(heights[: i // columns])))
    refuse_other(path, PNG, "a PNG picture")
    with writing(path) as unfinished:
        sheet.save(unfinished, "PNG", optimize=True)
    return len(drawn)


def _drawn(cell: Cell, width: int, *, beside: int, max_lines: int | None) -> Any:
    """The picture of a cell: its images in lines of up to four, of two in a column of their own, and its texts."""
    from PIL import Image, ImageDraw

    images = [Image.fromarray(pixels(image, cell.name)) for image in cell.images]
    across = min(2 if beside else 4, len(images)) or 1
    side = ((beside or width) - 2 * MARGIN_PIXELS) // across
    thumbs = [image.resize(_fit(image.size, side)) for image in images]
    heights = [max(t.height for t in thumbs[i : i + across]) + 4 for i in range(0, len(thumbs), across)]
    left, top = (beside, MARGIN_PIXELS) if beside else (MARGIN_PIXELS, GAP_PIXELS + sum(heights))
    font, lines = load_font(letters_of(cell)), []
    for text, colour in cell.texts:
        parts = wrap(text, font, width - left - MARGIN_PIXELS)
        if max_lines and len(parts) > max_lines:
            parts = [*parts[: max_lines - 1], f"{parts[max_lines - 1]} …"]
        lines += [(part, colour) for part in parts if part]
    bottom = max(MARGIN_PIXELS + sum(heights), top + LINE_PIXELS * len(lines))
    drawn = Image.new("RGB", (width, bottom + GAP_PIXELS), "white")
    for i, thumb in enumerate(thumbs):
        drawn.paste(thumb, (MARGIN_PIXELS + side * (i % across), MARGIN_PIXELS + sum(heights[: i // across])))
    pen = ImageDraw.Draw(drawn)
    for i, (part, colour) in enumerate(lines):
        pen.text((left, top + LINE_PIXELS * i), part, font=font, fill=colour)
    return drawn


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
    """The installed font that has the most of the letters, the first of FONTS where several are as good."""
    return min(_installed(), key=lambda font: len(missing_letters(letters, font)))


def missing_letters(letters: str, font: Any = None) -> str:
    """Those of the letters for which a font, or the best one that is installed, draws an empty box."""
    font = font or load_font(letters)
    box = bytes(font.getmask("\uffff"))  # no character: what a font draws for one that it does not have
    return "".join(letter for letter in letters if letter.isalpha() and bytes(font.getmask(letter)) == box)


def letters_of(cell: Cell) -> str:
    """The letters of the cell's texts, each once."""
    return "".join(sorted({letter for text, _ in cell.texts for letter in text}))


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
