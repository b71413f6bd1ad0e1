"""Pictures and answers as HTML: all that is said in them is other people's, and is escaped.

In: a round.  Out: a text of HTML, with no script and no address but that of data.
"""

from collections.abc import Sequence

from m3it.evaluating.answering import ModelInput
from m3it.rows.images import encode
from m3it.showing.browse.cards import picture_html, said
from m3it.showing.demo.rounds import Round

SIDES = ("Left", "Right")


def strip_html(pictures: Sequence[bytes]) -> str:
    """The pictures of a question in a strip; each is enlarged by a click, or by the space bar."""
    shown = "".join(picture_html(file, f"picture {i} of {len(pictures)}") for i, file in enumerate(pictures, 1))
    return f'<div class="cards"><div class="pictures">{shown}</div></div>' if pictures else ""


def answers_html(
    asked: Round, names: Sequence[str], seen: Sequence[ModelInput] = (), vote: str = "", done: bool = False
) -> str:
    """The answers as far as they have come, from the left; with `seen` what each model saw, and, of two, their names;
    once all is `done`, the reference."""
    parts = [
        _answer(side, asked.answers[which], names[which] if seen else "", seen[which] if seen else None)
        for side, which in zip(SIDES if len(names) == 2 else ("Answer",), asked.places, strict=True)
    ]
    reference = f'<dl><dt>reference</dt><dd class="outputs" dir="auto">{said(asked.reference)}</dd></dl>'
    below = reference if done and asked.reference else ""
    chosen = f'<p class="note">You voted: {said(vote)}.</p>' if vote else ""
    card = f'<article class="card"><div class="pair">{"".join(parts)}</div>{below}{chosen}</article>'
    return f'<div class="cards">{card}</div>'


def _answer(side: str, text: str, name: str, seen: ModelInput | None) -> str:
    head = f"<h2>{side} <small>{said(name)}</small></h2>"
    return f'<section>{head}<p class="answer" dir="auto">{said(text)}</p>{_seen(seen)}</section>'


def _seen(seen: ModelInput | None) -> str:
    """What a model saw, folded: enlarged pixel by pixel where it is small."""
    if seen is None:
        return ""
    pictures = strip_html([encode(picture, "PNG") for picture in seen.pictures])
    return f"<details><summary>What the model saw</summary>{pictures}<pre>{said(seen.prompt)}</pre></details>"
