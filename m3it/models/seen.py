"""What a model sees, for people: tokens with what becomes of each, and pictures as they are after the processor.

In: a batch, as collator.py makes it, and the collator.  Out: `Seen` of a row to learn from, or of a packed sequence; a
text of a prompt; RGB images. All is read back from the tensors, so that what is shown is what the model got.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from transformers.image_processing_utils import select_best_resolution

UNFINISHED = "\ufffd"  # what a token that is a part of a letter decodes to
MOST_TOKENS_OF_A_LETTER = 8  # then it is no letter
TILE = re.compile(r"<row_(\d+)_col_(\d+)>|<global-img>")  # the marks of Idefics3's classes before a tile, or the whole
GAP_PIXELS = 2  # between tiles
LEARNED, READ, PICTURE = "learned", "read", "picture"  # kinds of pieces; "read": seen, and not learned
# Colours of a mask: what a token does not see, what it sees, what it sees where it is learned; padding.
UNSEEN_COLOUR, SEEN_COLOUR, LEARNED_COLOUR, PADDING_COLOUR = range(4)
PALETTE = (*(255, 255, 255), *(96, 128, 192), *(64, 160, 96), *(208, 208, 208))


class Piece(NamedTuple):
    """A token, the tokens of one letter, or those of a picture side by side: `num_tokens` of them. `kind`: "learned",
    where the loss is; "read", which is only seen; "picture", the places of pictures."""

    text: str
    kind: str
    num_tokens: int = 1


class Seen(NamedTuple):
    """What a model sees of a row, or of a packed sequence.

    pieces     in order; their texts are those of the prompt and the answer as the chat template renders them
    num_tokens of the row; `batch_length`: of the longest row of its batch, to which it is padded
    cut        texts that were too long for `max_length`, from where each was cut
    pictures   RGB images: what the processor made of each picture; of one in tiles these, as they lie in it, then the
               whole; nothing where its pixels have a form that is not known here
    mask       of a packed sequence which token, a line, sees which, a column
    """

    id: str
    pieces: list[Piece]
    num_tokens: int
    batch_length: int
    cut: Sequence[str] = ()
    pictures: Sequence[Image.Image] = ()
    mask: Image.Image | None = None

    @property
    def num_learned(self) -> int:
        """On how many tokens the loss is."""
        return sum(piece.num_tokens for piece in self.pieces if piece.kind == LEARNED)


def rows_of(collator: Any, rows: Sequence[Any]) -> list[Seen]:
    """What a model sees of rows that stand in one padded batch."""
    found = [_row(collator, row) for row in rows]
    longest = max((seen.num_tokens for seen in found), default=0)
    return [seen._replace(batch_length=longest) for seen in found]


def sequences_of(collator: Any, rows: Sequence[Any]) -> list[Seen]:
    """What a model sees of the sequences that a collator with `pack` lays rows into."""
    batch = collator(rows)
    count, length = batch["input_ids"].shape
    found = []
    for i in range(count):
        ids, labels = batch["input_ids"][i], batch["labels"][i]
        positions = batch["position_ids"].reshape(-1, count, length)[0, i]
        held = ((positions > 0) | (ids != collator.tokenizer.pad_token_id)).nonzero()
        size = int(held.max()) + 1  # padding comes last
        pieces = list(_pieces(collator, ids[:size].tolist(), labels[:size].tolist()))
        mask = _drawn(batch["attention_mask"][i, 0] == 0, labels != -100, size)
        found.append(Seen(f"Sequence {i + 1} of {count}", pieces, size, length, mask=mask))
    return found


def prompt_of(collator: Any, batch: dict[str, Any]) -> str:
    """The prompt in a batch of one row, its marks included; the places of a picture are counted."""
    ids = batch["input_ids"][0][batch["attention_mask"][0] == 1].tolist()
    pieces = _pieces(collator, ids, [-100] * len(ids))
    return "".join(f"{text} × {number} " if kind == PICTURE and number > 1 else text for text, kind, number in pieces)


# ---- tokens


def _row(collator: Any, row: Any) -> Seen:
    """What is seen of a row that stands alone."""
    whole = row if hasattr(row, "whole") else collator.prepare(row)
    batch, _, (cut,) = collator.learned([whole])
    held = batch["attention_mask"][0].bool()
    pieces = list(_pieces(collator, batch["input_ids"][0][held].tolist(), batch["labels"][0][held].tolist()))
    pictures = pictures_of(batch, collator.processor) if cut.images else []
    size = int(held.sum())
    return Seen(whole.id, pieces, size, size, _cut_texts(whole, cut), pictures)


def _pieces(collator: Any, ids: list[int], labels: list[int]) -> Iterator[Piece]:
    """The tokens as texts; those of a letter, and the places of a picture, are one piece."""
    decode, marks, start = collator.tokenizer.decode, _picture_ids(collator), 0
    kinds = [PICTURE if i in marks else READ if of == -100 else LEARNED for i, of in zip(ids, labels, strict=True)]
    while start < len(ids):
        stop, kind = start + 1, kinds[start]
        if kind == PICTURE:
            while stop < len(ids) and ids[stop] == ids[start]:
                stop += 1
            text = decode([ids[start]])
        else:
            text = decode(ids[start:stop])
            most = min(len(ids), start + MOST_TOKENS_OF_A_LETTER)
            while UNFINISHED in text and stop < most and kinds[stop] == kind:
                stop += 1
                text = decode(ids[start:stop])
            if UNFINISHED in text:  # no letter: the token alone
                stop, text = start + 1, decode([ids[start]])
        yield Piece(text, kind, stop - start)
        start = stop


def _picture_ids(collator: Any) -> set[int]:
    """The tokens that stand where a picture's features go."""
    names = [collator.places[0]] if collator.places else []
    told = [getattr(collator.processor, "image_token_id", None), *collator.tokenizer.convert_tokens_to_ids(names)]
    return {number for number in told if number is not None}


def _cut_texts(whole: Any, cut: Any) -> list[str]:
    """What each text has lost at its end."""
    texts = [
        [part["text"] for message in row.messages for part in message["content"] if part["type"] == "text"]
        for row in (whole, cut)
    ]
    return [before[len(after) :] for before, after in zip(*texts, strict=True) if len(after) < len(before)]


def _drawn(mask: torch.Tensor, learned: torch.Tensor, size: int) -> Image.Image:
    """The mask (length, length) of a sequence as a picture, a pixel for two tokens; from `size` on, padding."""
    colours = torch.where(mask, torch.where(learned, LEARNED_COLOUR, SEEN_COLOUR)[:, None], UNSEEN_COLOUR)
    colours[size:] = PADDING_COLOUR
    colours[:, size:] = PADDING_COLOUR
    picture = Image.fromarray(colours.byte().numpy(), "P")
    picture.putpalette(PALETTE)
    return picture


# ---- pictures


def pictures_of(batch: dict[str, Any], processor: Any) -> list[Image.Image]:
    """The pictures in a batch of one row, with the colours that they had before they were normalised; of one that the
    processor cuts into tiles first these, as they lie in it, then the whole."""
    if (values := batch.get("pixel_values")) is None:
        return []
    grids = batch.get("image_grid_thw")
    tiles = _of_patches(values, grids, processor.image_processor) if grids is not None else _of_planes(batch)
    drawn = [Image.fromarray(_as_colours(tile, processor.image_processor)) for tile in tiles]
    shapes, whole_first = _told_by_sizes(batch, processor), True
    if not shapes:
        shapes, whole_first = _told_by_marks(batch, processor), False
    if sum(rows * columns + 1 for rows, columns in shapes) != len(drawn):
        return drawn  # none is in tiles, or in a way that is not known here
    return list(_in_place(drawn, shapes, whole_first))


def _told_by_marks(batch: dict[str, Any], processor: Any) -> list[tuple[int, int]]:
    """Rows and columns of the tiles of each picture, 0 where it is whole, by the marks before them: of Idefics3."""
    shapes, shape = [], (0, 0)
    for row, column in TILE.findall(processor.tokenizer.decode(batch["input_ids"][0])):
        shape = (max(shape[0], int(row)), max(shape[1], int(column))) if row else shape
        if not row:  # the whole comes last
            shapes.append(shape)
            shape = (0, 0)
    return shapes


def _told_by_sizes(batch: dict[str, Any], processor: Any) -> list[tuple[int, int]]:
    """The same by the size that a picture had: of LLaVA-NeXT, which takes the best of some numbers of tiles for it."""
    numbers = getattr(processor.image_processor, "image_grid_pinpoints", None)
    if not numbers or "image_sizes" not in batch:
        return []
    *_, height, width = batch["pixel_values"].shape
    best = [select_best_resolution(size, numbers) for size in batch["image_sizes"].tolist()]
    return [(rows // height, columns // width) for rows, columns in best]


def _in_place(tiles: list[Image.Image], shapes: list[tuple[int, int]], whole_first: bool) -> Iterator[Image.Image]:
    """Of each picture its tiles as they lie in it, a narrow gap between them, and the whole."""
    start = 0
    for rows, columns in shapes:
        stop = start + rows * columns + 1
        own, whole = (
            (tiles[start + 1 : stop], tiles[start]) if whole_first else (tiles[start : stop - 1], tiles[stop - 1])
        )
        if own:
            width, height = own[0].width + GAP_PIXELS, own[0].height + GAP_PIXELS
            laid = Image.new("RGB", (columns * width - GAP_PIXELS, rows * height - GAP_PIXELS), "white")
            for i, tile in enumerate(own):
                laid.paste(tile, (i % columns * width, i // columns * height))
            yield laid
        yield whole
        start = stop


def _of_planes(batch: dict[str, Any]) -> list[Any]:
    """The tiles of pixel_values (..., 3, height, width), without those that only pad a batch."""
    values = batch["pixel_values"]
    if values.ndim < 4 or values.shape[-3] != 3:
        return []  # of a kind that we cannot read back
    tiles = list(values.reshape(-1, *values.shape[-3:]))
    mask = batch.get("pixel_attention_mask")
    if mask is None:
        return [tile for tile in tiles if tile.any()]
    seen = mask.reshape(-1, *mask.shape[-2:]).bool()
    return [
        tile[:, : rows.any(1).sum(), : rows.any(0).sum()] for tile, rows in zip(tiles, seen, strict=True) if rows.any()
    ]


def _of_patches(values: Any, grids: Any, image_processor: Any) -> list[Any]:
    """The pictures of Qwen's classes, whose pixel_values (patches, values) lie in squares that are merged later:
    rows and columns of squares, rows and columns in a square, then channels, frames, height and width of a patch."""
    side, merge, frames = image_processor.patch_size, image_processor.merge_size, image_processor.temporal_patch_size
    pictures, start = [], 0
    for _, rows, columns in grids.tolist():
        patches = values[start : start + rows * columns]
        start += rows * columns
        squares = patches.reshape(rows // merge, columns // merge, merge, merge, 3, frames, side, side)[
            :, :, :, :, :, 0
        ]
        planes = squares.permute(4, 0, 2, 5, 1, 3, 6)
        pictures.append(planes.reshape(3, rows * side, columns * side))
    return pictures


def _as_colours(tile: torch.Tensor, image_processor: Any) -> np.ndarray:
    """(3, height, width) as the processor gave it -> (height, width, 3) of 0 to 255."""
    tile = tile.detach().cpu().float()
    if getattr(image_processor, "do_normalize", False):
        mean, std = (
            torch.tensor(getattr(image_processor, name)).reshape(-1, 1, 1) for name in ("image_mean", "image_std")
        )
        tile = tile * std + mean
    tile = tile / (image_processor.rescale_factor if getattr(image_processor, "do_rescale", False) else 1)
    return tile.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
