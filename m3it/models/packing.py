"""Rows of a batch in fewer, fuller sequences; rows about the same pictures share them.

In: a padded batch, as the processor gives it. Out: the same rows, laid into sequences of about one length, with what
keeps them apart: a mask, in which a token sees those of its own row only, and positions that begin anew for each row.
Rows that share pictures stand as branches: what they have in common, pictures and all, is there once; each branch goes
on from there and sees no other. The loss is that of the padded batch, and so are the gradients.

Which rows stand where depends on the batch alone: a packed run takes, skips and resumes exactly the rows of a padded.
"""

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

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
SEQUENCE = 256  # tokens, where rows are short: with a mask, attention costs the square of the length


class Bundle(NamedTuple):
    """Rows that stand together, as branches after the first `shared` tokens, which are the same in all."""

    rows: list[int]
    shared: int


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
    sizes = [bundle.shared + sum(lengths[row] - bundle.shared for row in bundle.rows) for bundle in bundles]
    sequences = [[bundles[i] for i in places] for places in fill(sizes, longest)]
    index, group, branch = lay_out(sequences, lengths, mask.shape[1])
    empty, at = index < 0, index.clamp(min=0)
    fill_with = {"input_ids": processor.tokenizer.pad_token_id, "labels": -100}
    packed = {
        key: value.flatten()[at].masked_fill(empty, fill_with.get(key, 0))
        for key, value in batch.items()
        if key in TOKENS and key != "attention_mask"
    }
    whose = sorted(set(owners))
    counts = [num_images[row] for row in whose]
    shown = [whose.index(owners[bundle.rows[0]]) for sequence in sequences for bundle in sequence]
    pictures = pictures_of(batch, held, shown, counts)
    positions = torch.arange(mask.shape[1]).expand(mask.shape)
    if held == "patches":
        positions = rope_positions(batch, [whose.index(owner) for owner in owners], counts, processor)
    packed["position_ids"] = positions.flatten(-2)[..., at].masked_fill(empty, 0)
    others = {key: value for key, value in batch.items() if key not in TOKENS and key not in pictures}
    return {**packed, "attention_mask": mask_of(group, branch), **pictures, **others}


# ---- which rows stand together


def bundles_of(batch: dict[str, Any], owners: Sequence[int], lengths: Sequence[int], longest: int) -> Iterator[Bundle]:
    """The rows in bundles of no more than `longest` tokens: those of one owner together."""
    ids, learned = batch["input_ids"], batch["labels"] != -100
    by_owner: dict[int, list[int]] = {}
    for row, owner in enumerate(owners):
        by_owner.setdefault(owner, []).append(row)
    for rows in by_owner.values():
        shared = common(ids[rows], learned[rows], min(lengths[row] for row in rows)) if len(rows) > 1 else 0
        bundle, size = Bundle([], shared), shared
        for row in rows:
            own = lengths[row] - shared
            if bundle.rows and size + own > longest:
                yield bundle
                bundle, size = Bundle([], shared), shared
            bundle.rows.append(row)
            size += own
        yield bundle


def common(ids: torch.Tensor, learned: torch.Tensor, shortest: int) -> int:
    """How many first tokens rows have in common and do not learn. Of what follows, the first token is learned from the
    one before it: where it is learned at all, each branch has that one for itself."""
    ends = (ids != ids[0]).any(0) | learned.any(0)
    ends[shortest:] = True
    fork = int(ends.int().argmax()) if ends.any() else shortest
    return fork - int(fork < len(ends) and bool(learned[:, fork].any()))


def fill(sizes: Sequence[int], longest: int) -> list[list[int]]:
    """Which bundles stand in which sequence: the largest first, each where most room is left, in as many sequences as
    leave the least padding; the fewest of those."""
    order = sorted(range(len(sizes)), key=lambda i: -sizes[i])
    fewest = -(-sum(sizes) // longest)
    fitting: list[tuple[int, list[list[int]]]] = []  # tokens, padding included
    for count in range(fewest, 2 * fewest + 1):  # in twice as many all fit, however large each is
        filled = [(0, at) for at in range(count)]
        places: list[list[int]] = [[] for _ in range(count)]
        for i in order:
            size, at = filled[0]
            heapq.heapreplace(filled, (size + sizes[i], at))
            places[at].append(i)
        if (largest := max(filled)[0]) <= longest:
            fitting.append((count * largest, [place for place in places if place]))
    return min(fitting, key=lambda each: each[0])[1]


# ---- how they are laid out


def lay_out(
    sequences: list[list[Bundle]], lengths: Sequence[int], width: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three of (sequences, length) int64: which token of the flattened batch stands where, -1 for none; the bundle
    that it is of; its branch there, 0 for what all share."""
    lines: list[list[list[int]]] = []
    for sequence in sequences:
        line: list[list[int]] = [[], [], []]
        index, group, branch = line
        for number, (rows, shared) in enumerate(sequence):
            parts = [(rows[0], 0, shared)] + [(row, shared, lengths[row]) for row in rows]
            for turn, (row, start, stop) in enumerate(parts):
                index += range(row * width + start, row * width + stop)
                group += [number] * (stop - start)
                branch += [turn] * (stop - start)
        lines.append(line)
    length = max(len(index) for index, *_ in lines)
    table = torch.tensor([[part + [-1] * (length - len(part)) for part in line] for line in lines])
    return table[:, 0], table[:, 1], table[:, 2]


def mask_of(group: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
    """(sequences, 1, length, length) float32: 0 where a token sees another, the least number elsewhere."""
    same = group[:, :, None] == group[:, None, :]
    seen = same & ((branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :]))
    seen = seen.tril()
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
