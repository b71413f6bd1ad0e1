"""Rows of a batch in fewer, fuller sequences; rows about the same pictures share them.

In: a padded batch, as the processor gives it. Out: the same rows, laid into sequences of about one length, with what
keeps them apart: a mask, in which a token sees those of its own row only, and positions that begin anew for each row.
Rows that share pictures stand as the branches of a tree: what some have in common, pictures and all, is there once;
each goes on from there and sees no other. The loss is that of the padded batch, and so are the gradients.

Which rows stand where depends on the batch alone: a packed run takes, skips and resumes exactly the rows of a padded.
"""

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from m3it.models.plain_text import TOKENS
from m3it.rows.instance import M3ITError

# How a processor's batch holds pictures: an entry for each, or a list for each row, or the patches of all.
HELD = {
    **dict.fromkeys(("LlavaProcessor", "InstructBlipProcessor"), "pictures"),
    **dict.fromkeys(("Idefics3Processor", "SmolVLMProcessor"), "rows"),
    **dict.fromkeys(("Qwen2_5_VLProcessor", "Qwen3VLProcessor"), "patches"),
}
PICTURE_KEYS = {  # of a batch, by how it holds pictures
    "pictures": ("pixel_values", "qformer_input_ids", "qformer_attention_mask"),
    "rows": ("pixel_values", "pixel_attention_mask"),
    "patches": ("pixel_values", "image_grid_thw"),
}
ATTENTION = 1024  # tokens of a sequence at which attention costs as much as all else: of small models, fewer
MOST_TRIED = 64  # numbers of sequences
SEQUENCE = 256  # tokens, where rows are short: with a mask, attention costs the square of the length


class Branch(NamedTuple):
    """A row from its `start`-th token on: those before it has in common with the branch before it."""

    row: int
    start: int


Bundle = list[Branch]  # rows that stand together: a tree of texts, as a directory lists its files


def how_held(processor: Any) -> str:
    """How a processor's batch holds pictures; M3ITError where it is none of those that are known."""
    names = [kind.__name__ for kind in type(processor).__mro__]
    if found := next((HELD[name] for name in names if name in HELD), None):
        return found
    raise M3ITError(
        f"{names[0]}: its rows cannot be packed, only those of {', '.join(HELD)}. Leave out --pack, --share-pictures."
    )


def pack(
    batch: dict[str, Any], owners: Sequence[int], num_images: Sequence[int], processor: Any, max_length: int | None
) -> dict[str, Any]:
    """The batch in sequences of no more than `max_length` tokens: input_ids and labels (sequences, length),
    position_ids likewise (3 of them for Qwen), attention_mask (sequences, 1, length, length) float32, to be added.

    owners        of each row the one whose pictures it shares, itself if none; the batch has pictures of owners only
    num_images    of each row
    """
    held, mask = how_held(processor), batch["attention_mask"]
    lengths = mask.sum(1).tolist()
    longest = max(max(lengths), min(max_length or SEQUENCE, max(SEQUENCE, 2 * max(lengths))))
    bundles = list(bundles_of(batch, owners, lengths, longest))
    sizes = [sum(lengths[row] - start for row, start in bundle) for bundle in bundles]
    sequences = [[bundles[i] for i in places] for places in fill(sizes, longest)]
    index, until = lay_out(sequences, lengths, mask.shape[1])
    empty, at = index < 0, index.clamp(min=0)
    fill_with = {"input_ids": processor.tokenizer.pad_token_id, "labels": -100}
    packed = {
        key: value.flatten()[at].masked_fill(empty, fill_with.get(key, 0))
        for key, value in batch.items()
        if key in TOKENS and key != "attention_mask"
    }
    whose = sorted(set(owners))
    counts = [num_images[row] for row in whose]
    shown = [whose.index(owners[bundle[0].row]) for sequence in sequences for bundle in sequence]
    pictures = pictures_of(batch, held, shown, counts)
    positions = torch.arange(mask.shape[1]).expand(mask.shape)
    if held == "patches":
        positions = rope_positions(batch, [whose.index(owner) for owner in owners], counts, processor)
    packed["position_ids"] = positions.flatten(-2)[..., at].masked_fill(empty, 0)
    others = {key: value for key, value in batch.items() if key not in TOKENS and key not in pictures}
    return {**packed, "attention_mask": mask_of(until), **pictures, **others}


# ---- which rows stand together


def bundles_of(batch: dict[str, Any], owners: Sequence[int], lengths: Sequence[int], longest: int) -> Iterator[Bundle]:
    """The rows in bundles of no more than `longest` tokens: those of one owner together."""
    by_owner: dict[int, list[int]] = {}
    for row, owner in enumerate(owners):
        by_owner.setdefault(owner, []).append(row)
    for rows in by_owner.values():
        bundle, size = Bundle(), 0
        for row, start in branches(batch, rows, lengths):
            if bundle and size + lengths[row] - start > longest:
                yield bundle
                bundle, size, start = Bundle(), 0, 0
            bundle.append(Branch(row, start))
            size += lengths[row] - start
        yield bundle


def branches(batch: dict[str, Any], rows: list[int], lengths: Sequence[int]) -> list[Branch]:
    """The rows in the order of their tokens, so that those with most in common are neighbours.

    Nothing that is learned is shared: it counts once for each row. Nor is the token before it, of which it is learned.
    """
    if len(rows) == 1:
        return [Branch(rows[0], 0)]
    ids, learned = batch["input_ids"][rows], batch["labels"][rows] != -100
    order = sorted(range(len(rows)), key=ids.tolist().__getitem__)
    ends = torch.tensor([lengths[row] for row in rows])
    ends = ends.where(~learned.any(1), learned.int().argmax(1) - 1)[order]
    differ = ids[order].diff(dim=0) != 0
    same = differ.int().argmax(1).where(differ.any(1), ids.shape[1])
    starts = torch.minimum(same, torch.minimum(ends[1:], ends[:-1])).clamp(min=0).tolist()
    return [Branch(rows[i], start) for i, start in zip(order, [0, *starts], strict=True)]


def fill(sizes: Sequence[int], longest: int) -> list[list[int]]:
    """Which bundles stand in which sequence: the largest first, each where most room is left, in as many sequences as
    cost least; the fewest of those."""
    order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
    fewest = -(-sum(sizes) // longest)
    fitting: list[tuple[float, list[list[int]]]] = []
    for count in range(fewest, len(sizes) + 1, -(-len(sizes) // MOST_TRIED)):
        filled = [(0, at) for at in range(count)]
        places: list[list[int]] = [[] for _ in range(count)]
        for i in order:
            size, at = filled[0]
            heapq.heapreplace(filled, (size + sizes[i], at))
            places[at].append(i)
        if (largest := max(filled)[0]) <= longest:
            cost = count * largest * (1 + largest / ATTENTION)
            fitting.append((cost, [place for place in places if place]))
    return min(fitting, key=lambda each: each[0])[1] if fitting else [[i] for i in order]


# ---- how they are laid out


def lay_out(sequences: list[list[Bundle]], lengths: Sequence[int], width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Two of (sequences, length) int64: which token of the flattened batch stands where, -1 for none; and up to where,
    exclusive, the tokens after it see it: those of its row, and of the rows that share it."""
    length = max(sum(lengths[row] - start for bundle in one for row, start in bundle) for one in sequences)
    index = np.full((len(sequences), length), -1)
    until = np.tile(np.arange(1, length + 1), (len(sequences), 1))  # padding sees itself: a softmax needs something
    path = np.empty(width, np.int64)  # where the tokens of the row are that was laid out last
    for i, sequence in enumerate(sequences):
        now = 0
        for bundle in sequence:
            depth = 0
            for row, start in bundle:
                until[i, path[start:depth]] = now  # the branch before has ended, but for what this one shares
                depth, stop = lengths[row], now + lengths[row] - start
                path[start:depth] = np.arange(now, stop)
                index[i, now:stop] = np.arange(row * width + start, row * width + depth)
                now = stop
            until[i, path[:depth]] = now
    return torch.from_numpy(index), torch.from_numpy(until)


def mask_of(until: torch.Tensor) -> torch.Tensor:
    """(sequences, 1, length, length) float32: 0 where a token sees another, the least number elsewhere."""
    place = torch.arange(until.shape[1])
    seen = (place[:, None] >= place) & (place[:, None] < until[:, None, :])
    return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[:, None]


def pictures_of(batch: dict[str, Any], held: str, rows: Sequence[int], counts: Sequence[int]) -> dict[str, Any]:
    """What the batch holds of pictures, for these rows in this order; `counts`: how many each row has."""
    found = {key: batch[key] for key in PICTURE_KEYS[held] if key in batch}
    if not found or not any(counts):  # none, or the gray one that stands for none
        return found
    if held == "rows":
        return {key: value[list(rows)] for key, value in found.items()}
    starts = [0, *itertools.accumulate(counts)]
    chosen = [number for row in rows for number in range(starts[row], starts[row + 1])]
    if held == "pictures":
        return {key: value[chosen] for key, value in found.items()}
    grids = found["image_grid_thw"]
    patches = found["pixel_values"].split(grids.prod(1).tolist())
    return {"pixel_values": torch.cat([patches[number] for number in chosen]), "image_grid_thw": grids[chosen]}


def rope_positions(batch: dict[str, Any], which: Sequence[int], counts: Sequence[int], processor: Any) -> torch.Tensor:
    """(3, batch, length) int64: time, height and width of each token, as Qwen's models count them for pictures: all
    three go on by one at a token of text; a picture has its own grid, and takes as much as its longer side."""
    ids, merge = batch["input_ids"], processor.image_processor.merge_size
    starts = [0, *itertools.accumulate(counts)]
    grids = batch["image_grid_thw"].tolist() if "image_grid_thw" in batch else []
    positions = torch.zeros((3, *ids.shape), dtype=torch.int64)
    for i, row in enumerate(which):
        at, now, places = 0, 0, (ids[i] == processor.image_token_id).nonzero().flatten().tolist()
        for time, height, width in grids[starts[row] : starts[row + 1]]:
            sides = (time, height // merge, width // merge)
            first = next(place for place in places if place >= at)
            positions[:, i, at:first] = torch.arange(now, now + first - at)
            now += first - at
            grid = torch.cartesian_prod(*(torch.arange(side) for side in sides)).T + now
            at = first + grid.shape[1]
            positions[:, i, first:at] = grid
            now += max(sides[1:])
        positions[:, i, at:] = torch.arange(now, now + ids.shape[1] - at)
    return positions


# ---- which models can


def check_packs(model: Any, collator: Any, rows: Iterable[Any]) -> None:
    """M3ITError where a model does not give rows the same loss packed as padded: it takes no mask of ours (flash
    attention, a recurrent state), or counts positions by itself."""
    name = type(model).__name__
    text = model.config.get_text_config()
    if text.is_encoder_decoder:
        raise M3ITError(f"{name} cannot learn packed rows: its encoder reads whole sequences. Leave out --pack.")
    if "flash" in str(text._attn_implementation):
        raise M3ITError(f"{name} cannot learn packed rows by flash attention, which takes no mask: use sdpa.")
    rows, was_training, losses = [*rows], model.training, []
    device, dtype = model.device, model.dtype
    exact = dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(device.type)
    model.eval()
    with torch.no_grad():
        for collate in (collator.padded(), collator):
            batch = {key: value.to(device) for key, value in collate(rows).items() if hasattr(value, "to")}
            losses.append(float(model(**batch).loss))
    model.train(was_training)
    if abs(losses[0] - losses[1]) > (1e-5 if exact else 2e-2) * abs(losses[0]):
        raise M3ITError(
            f"{name} cannot learn packed rows: their loss is {losses[1]:.4f}, one by one it is {losses[0]:.4f}. "
            "Leave out --pack and --share-pictures."
        )
