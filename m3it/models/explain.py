"""What a model sees of a row, for people: its tokens with what becomes of each, and its pictures as they are after the
processor.

In: a collator, and rows of a mixture.  Out: `Seen`, from the very tensors that training takes: what is shown here is
not said a second time elsewhere.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from PIL import Image

from m3it.models.seen import pictures_of

UNFINISHED = "\ufffd"  # what a token that is a part of a letter decodes to
MOST_TOKENS_OF_A_LETTER = 8  # then it is no letter
LEARNED, READ, PICTURE = "learned", "read", "picture"  # kinds of pieces; "read": seen, and not learned


class Piece(NamedTuple):
    """A token, the tokens of one letter, or those of a picture side by side: `num_tokens` of them. `kind`: "learned",
    where the loss is; "read", which is only seen; "picture", the places of pictures."""

    text: str
    kind: str
    num_tokens: int = 1


class Seen(NamedTuple):
    """What a model sees of a row.

    pieces     in order; their texts are those of the prompt and the answer as the chat template renders them
    cut        texts that were too long for `max_length`, from where each was cut
    pictures   a list for each picture: what the processor made of it, its tiles in reading order and then the whole, as
               RGB images; nothing where its pixels have a form that is not known here
    num_tokens of the row; `batch_length`: of the longest row of its batch, to which it is padded
    """

    id: str
    pieces: list[Piece]
    cut: list[str]
    pictures: list[Image.Image]
    num_tokens: int
    batch_length: int

    @property
    def num_learned(self) -> int:
        """On how many tokens the loss is."""
        return sum(piece.num_tokens for piece in self.pieces if piece.kind == LEARNED)


def explain(collator: Any, rows: Sequence[Any]) -> list[Seen]:
    """What a model sees of rows that stand in one batch."""
    found = [_seen(collator, row) for row in rows]
    longest = max((seen.num_tokens for seen in found), default=0)
    return [seen._replace(batch_length=longest) for seen in found]


def _seen(collator: Any, row: Any) -> Seen:
    """What is seen of a row that stands alone."""
    whole = row if hasattr(row, "whole") else collator.prepare(row)
    batch, _, (cut,) = collator.learned([whole])
    held = batch["attention_mask"][0].bool()
    ids, labels = batch["input_ids"][0][held].tolist(), batch["labels"][0][held].tolist()
    marks = _picture_ids(collator)
    kinds = [
        PICTURE if i in marks else READ if label == -100 else LEARNED for i, label in zip(ids, labels, strict=True)
    ]
    pieces = list(_pieces(collator.tokenizer, ids, kinds))
    pictures = pictures_of(batch, collator.processor.image_processor) if cut.images else []
    images = [Image.fromarray(picture) for picture in pictures]
    return Seen(whole.id, pieces, _cut_texts(whole, cut), images, len(ids), len(ids))


def _picture_ids(collator: Any) -> set[int]:
    """The tokens that stand where a picture's features go."""
    names = [collator.places[0]] if collator.places else []
    told = [getattr(collator.processor, "image_token_id", None), *collator.tokenizer.convert_tokens_to_ids(names)]
    return {number for number in told if number is not None}


def _pieces(tokenizer: Any, ids: list[int], kinds: list[str]) -> Iterator[Piece]:
    """The tokens as texts; those of a letter, and the places of a picture, are one piece."""
    start = 0
    while start < len(ids):
        stop, kind = start + 1, kinds[start]
        if kind == PICTURE:
            while stop < len(ids) and kinds[stop] == PICTURE:
                stop += 1
            text = tokenizer.decode([ids[start]])
        else:
            text = tokenizer.decode(ids[start:stop])
            most = min(len(ids), start + MOST_TOKENS_OF_A_LETTER)
            while UNFINISHED in text and stop < most and kinds[stop] == kind:
                stop += 1
                text = tokenizer.decode(ids[start:stop])
            if UNFINISHED in text:  # no letter: the token alone
                stop, text = start + 1, tokenizer.decode([ids[start]])
        yield Piece(text, kind, stop - start)
        start = stop


def _cut_texts(whole: Any, cut: Any) -> list[str]:
    """What each text has lost at its end."""
    texts = [
        [part["text"] for message in row.messages for part in message["content"] if part["type"] == "text"]
        for row in (whole, cut)
    ]
    return [before[len(after) :] for before, after in zip(*texts, strict=True) if len(after) < len(before)]
