"""What a batch shows a model, for a person to look at: the prompt, and the pictures as they were scaled.

In: a batch of one row, as collator.py makes it.  Out: a text, and uint8 arrays (height, width, 3). All is read back
from the tensors, so that what is shown is what the model got.
"""

from itertools import groupby
from typing import Any

import torch

MAX_REPEATS = 3  # of a token: so many and more, as for the places of a picture, are counted


def prompt_of(batch: dict[str, Any], tokenizer: Any) -> str:
    """The text that a batch of one row holds, its marks included; a token that is repeated is counted."""
    ids = batch["input_ids"][0][batch["attention_mask"][0] == 1].tolist()
    said: list[str] = []
    plain: list[int] = []
    for token, run in groupby(ids):
        count = len(list(run))
        if count <= MAX_REPEATS:
            plain += [token] * count
            continue
        said += [tokenizer.decode(plain), f"{tokenizer.decode([token])} × {count} "]
        plain = []
    return "".join([*said, tokenizer.decode(plain)])


def pictures_of(batch: dict[str, Any], image_processor: Any) -> list[Any]:
    """The pictures, or the tiles of them, with the colours that they had before they were normalised."""
    if (values := batch.get("pixel_values")) is None:
        return []
    grids = batch.get("image_grid_thw")
    tiles = _of_patches(values, grids, image_processor) if grids is not None else _of_planes(batch)
    return [_as_colours(tile, image_processor) for tile in tiles]


def _of_planes(batch: dict[str, Any]) -> list[Any]:
    """The tiles of pixel_values (..., 3, height, width), without those that only pad a batch."""
    values = batch["pixel_values"]
    if values.ndim < 4 or values.shape[-3] != 3:
        return []  # of a kind that we cannot read back
    tiles = list(values.reshape(-1, *values.shape[-3:]))
    mask = batch.get("pixel_attention_mask")
    if mask is None:
        return tiles
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


def _as_colours(tile: Any, image_processor: Any) -> Any:
    """(3, height, width) as the processor gave it -> (height, width, 3) of 0 to 255."""
    tile = tile.detach().cpu().float()
    if getattr(image_processor, "do_normalize", False):
        mean, std = (
            torch.tensor(getattr(image_processor, name)).reshape(-1, 1, 1) for name in ("image_mean", "image_std")
        )
        tile = tile * std + mean
    tile = tile / (image_processor.rescale_factor if getattr(image_processor, "do_rescale", False) else 1)
    return tile.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
