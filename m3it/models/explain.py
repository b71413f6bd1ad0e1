"""What a model sees of a row, for people: its tokens with what becomes of each, and its pictures as they are after the
processor.

In: a collator, and rows of a mixture.  Out: `Seen`, from the very tensors that training takes: what is shown here is
not said a second time elsewhere.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

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
    pictures = pictures_of(batch, collator.processor) if cut.images else []
    return Seen(whole.id, pieces, _cut_texts(whole, cut), pictures, len(ids), len(ids))


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


# ---- pictures


def pictures_of(batch: dict[str, Any], processor: Any) -> list[Image.Image]:
    """The pictures in a batch of one row as the model gets them: scaled, cut into tiles, and back in colours that
    people see. Empty where the batch holds pixels in a form that is not known here."""
    values = batch["pixel_values"] if "pixel_values" in batch else torch.empty(0)
    if "image_grid_thw" in batch:
        planes = list(_unfolded(values, batch["image_grid_thw"], processor.image_processor))
    elif values.ndim >= 4 and values.shape[-3] == 3:
        planes = list(values.flatten(0, -4))
        planes = [plane for plane in planes if plane.any()]  # tiles that only fill the tensor up are zero
    else:
        return []
    return [_coloured(plane, processor.image_processor) for plane in planes]


def _unfolded(values: torch.Tensor, grids: torch.Tensor, images: Any) -> Iterator[torch.Tensor]:
    """The pictures (3, height, width) of Qwen's classes, which flatten each into patches, `merge_size` squared of them
    side by side: (patches, channels x times x side x side)."""
    merge, side, times = images.merge_size, images.patch_size, images.temporal_patch_size
    sizes = [int(grid.prod()) for grid in grids]
    for patches, (frames, high, wide) in zip(values.split(sizes), grids.tolist(), strict=True):
        folded = patches.view(frames, high // merge, wide // merge, merge, merge, 3, times, side, side)
        plane = folded[..., 0, :, :].permute(0, 5, 1, 3, 6, 2, 4, 7)  # frames, 3, rows of pixels, columns of pixels
        yield from plane.reshape(frames, 3, high * side, wide * side)


def _coloured(plane: torch.Tensor, images: Any) -> Image.Image:
    """A plane (3, height, width) of the processor's numbers as an RGB image."""
    pixels = plane.float().permute(1, 2, 0).numpy()
    if getattr(images, "do_normalize", False):
        pixels = pixels * np.array(images.image_std) + np.array(images.image_mean)
    if getattr(images, "do_rescale", True):
        pixels = pixels / getattr(images, "rescale_factor", 1 / 255)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
