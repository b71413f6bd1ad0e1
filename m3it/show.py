"""Rows for people: as text in a terminal, or as a contact sheet, a picture of the rows with their images and texts."""

import io
import re
import textwrap
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from M3IT import image_bytes
from m3it.images import pixels, size

CELL_PIXELS = 360  # width of a row on the sheet
TEXT_PIXELS = 15
FONTS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",
)  # the first found; Pillow's own knows Latin only
UNSPACED = re.compile(
    "[\u2e80-\u9fff\uac00-\ud7af]"
)  # Chinese, Japanese, Korean: the first of the fonts alone has them


def as_text(row: dict[str, Any], width: int = 100) -> str:
    """One row as a block of text: its four fields, the images as their sizes."""
    images = [f"{w}x{h} {len(image):,} bytes" for image in image_bytes(row) for w, h in [size(image)]]
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


def contact_sheet(rows: Iterable[dict[str, Any]], path: Path | str, columns: int = 3) -> int:
    """Draw rows (with an extra key `title`, if any) into one PNG file; returns how many."""
    from PIL import Image

    cells = [_cell(row) for row in rows]
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

    font, margin, line_height = load_font(), 10, TEXT_PIXELS + 5
    if UNSPACED.search(row["inputs"] + row["outputs"] + row["instruction"]) and not has_letter(font, "看"):
        warnings.warn(
            f"Chinese, Japanese and Korean are drawn as boxes: install {FONTS[0]} (Noto Sans CJK).", stacklevel=3
        )
    images = [Image.fromarray(pixels(image)) for image in image_bytes(row)]
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


def load_font() -> Any:
    """The first font of FONTS that is installed, for Pillow."""
    from PIL import ImageFont

    for name in FONTS:
        try:
            return ImageFont.truetype(name, TEXT_PIXELS)
        except OSError:
            continue
    return ImageFont.load_default(size=TEXT_PIXELS)


def has_letter(font: Any, letter: str) -> bool:
    """Whether the font draws the letter as itself, not as the box or blank that stands for all it lacks."""
    return bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


def wrap(text: str, font: Any, width: int) -> list[str]:
    """Lines of at most `width` pixels, broken at blanks, or anywhere where a word alone is too long, as in languages
    without blanks."""
    lines = []
    for line in text.split("\n"):
        shown = ""
        for word in re.findall(r"\s*\S+", line):
            if shown and font.getlength(shown + word) > width >= font.getlength(word):
                lines.append(shown)
                shown, word = "", word.lstrip()
            shown += word
            while font.getlength(shown) > width:
                fits = next(n for n in range(len(shown) - 1, 0, -1) if n == 1 or font.getlength(shown[:n]) <= width)
                lines.append(shown[:fits])
                shown = shown[fits:]
        lines.append(shown)
    return lines
