"""Cards as HTML. All that a row and a model say is other people's: it is escaped; a picture comes as its bytes.

In: the cards of a page.  Out: one text of HTML, with no script and no address but that of data.
"""

import base64
import html
import json
from collections.abc import Sequence

from m3it.catalogue import lookup
from m3it.rows.images import ImageError, encode, media_type, pixels, reduce, size
from m3it.showing.browse.pages import Answer, Card, Entry, language_of
from m3it.work.terminal import printable

SIDE_PIXELS = 1024  # of a picture as it is sent; the browser shows it smaller, until it is clicked
TINY_PIXELS = 100  # below that a picture is enlarged pixel by pixel
SHOWN = ("image/jpeg", "image/png", "image/gif", "image/webp")  # by every browser
MARKS = {"right": "✓ right", "partly": "◐ partly", "wrong": "✗ wrong", "failed": "failed"}


def cards_html(cards: Sequence[Card], entries: dict[str, Entry]) -> str:
    """The cards of a page, one below the other."""
    return f'<div class="cards">{"".join(_card(card, entries) for card in cards)}</div>'


def note_html(text: str, is_error: bool = False) -> str:
    """A sentence above the cards."""
    return f'<p class="note{" error" if is_error else ""}" role="{"alert" if is_error else "status"}">{said(text)}</p>'


def said(text: str) -> str:
    """The text for HTML: escaped, and what would turn the direction of a line spelled out."""
    return html.escape(printable(text))


def _card(card: Card, entries: dict[str, Entry]) -> str:
    head = f"<h2>{card.number:,} <small>{said(card.id)}</small></h2>"
    if card.error:
        return f'<article class="card">{head}{note_html(card.error, True)}</article>'
    texts = _texts(card, entries)
    if card.beside:
        other = card.beside
        there = note_html(other.error, True) if other.error else _texts(other, entries)
        texts = f'<div class="pair"><section>{texts}</section><section>{there}</section></div>'
    return f'<article class="card">{head}{_pictures(card)}{texts}{_meta(card)}</article>'


def _texts(card: Card, entries: dict[str, Entry]) -> str:
    """Instruction, inputs and outputs, in the direction of their language, and what models answered."""
    language = language_of(entries[card.config])
    spoken = f'lang="{language.code}" dir="{"rtl" if language.rtl else "auto"}"'
    lines = [
        f'<dt>{name}</dt><dd class="{name}" {spoken}>{said(card.row[name])}</dd>'
        for name in ("instruction", "inputs", "outputs")
        if card.row[name]
    ]
    return f"<dl>{''.join(lines)}{''.join(_answer(answer, spoken) for answer in card.answers)}</dl>"


def _answer(answer: Answer, spoken: str) -> str:
    mark = f' <span class="mark {answer.mark}">{MARKS[answer.mark]}</span>' if answer.mark else ""
    points = f" <small>{said(answer.points)}</small>" if answer.points else ""
    return f'<dt>{said(answer.model)}{mark}{points}</dt><dd class="answer" {spoken}>{said(answer.text)}</dd>'


def _pictures(card: Card) -> str:
    files = [image["bytes"] for image in card.row["images"]]
    dataset = lookup(card.config).dataset
    word = "frame" if dataset and dataset.modality == "video" else "picture"
    shown = "".join(picture_html(file, f"{word} {i} of {len(files)}") for i, file in enumerate(files, 1))
    return f'<div class="pictures">{shown}</div>' if files else ""


def picture_html(file: bytes, name: str) -> str:
    """A picture that a click, or the space bar, enlarges; or why it cannot be shown."""
    try:
        width, height = size(file)
        small = reduce(file, SIDE_PIXELS)
        kind = media_type(small)
        if kind not in SHOWN:
            small, kind = encode(pixels(small), "PNG"), "image/png"
    except ImageError as error:
        return note_html(f"{name}: {error}", True)
    data = f"data:{kind};base64,{base64.b64encode(small).decode()}"
    tiny = ' class="tiny"' if max(width, height) < TINY_PIXELS else ""
    image = f'<img{tiny} src="{data}" width="{width}" height="{height}" alt="{name}">'
    return f'<label class="picture"><input type="checkbox" aria-label="enlarge {name}">{image}</label>'


def _meta(card: Card) -> str:
    meta = json.dumps(json.loads(card.row["meta"]), indent=1, ensure_ascii=False)
    return f"<details><summary>meta</summary><pre>{said(meta)}</pre></details>"
