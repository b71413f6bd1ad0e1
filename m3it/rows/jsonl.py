"""Files of rows: the lines of shards, their names, and rows read from any file that the builder reads.

A shard is JSON Lines, one instance a line, with exactly the fields `instruction, inputs, image_base64_str, outputs,
meta`, in that order: a missing or further field breaks plain `datasets` on one version or another. Names:
`train.jsonl`, or `train-00000-of-00003.jsonl` where there are several.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from M3IT import (
    SHARD,
    SPLITS,
    UNREADABLE,
    Repository,
    as_row,
    check_row,
    image_bytes,
    read_meta,
    read_rows,
    reason_of,
    whole_text,
)
from m3it.rows.images import pybase64
from m3it.rows.instance import FIELDS, Instance, ShardError, to_json

BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="


def to_line(row: dict[str, Any]) -> bytes:
    """One line of a shard, its end included; ShardError unless the row has the five fields, all texts and a list of
    texts."""
    if tuple(row) != FIELDS:
        raise ShardError(f"expected the fields {', '.join(FIELDS)} in this order, found {', '.join(row)}")
    images = row["image_base64_str"]
    texts = [row[name] for name in FIELDS if name != "image_base64_str"]
    if not isinstance(images, list) or not all(isinstance(text, str) for text in texts):
        raise ShardError("expected a list of strings in image_base64_str and strings in all other fields")
    # Base64 needs no escapes: joined here instead of scanned by the JSON encoder, which is the slower by far.
    if not all(
        isinstance(image, str) and image.isascii() and not image.encode().translate(None, BASE64) for image in images
    ):
        told = "expected base64 in image_base64_str, with no head and no line breaks"
        raise ShardError(told, "image is not base64")
    return b"".join(_parts(row, [image.encode() for image in images]))


def line_parts(instance: Instance) -> list[bytes]:
    """The line of an instance whose images are bytes, in parts: joined, each image would be copied once more."""
    row = {
        "instruction": instance.instruction,
        "inputs": instance.inputs,
        "image_base64_str": [],
        "outputs": instance.outputs,
        "meta": to_json({"id": "", **instance.meta} | {"id": instance.id}),
    }
    return _parts(row, [pybase64.b64encode(image) for image in instance.images])


def _parts(row: dict[str, Any], images: list[bytes]) -> list[bytes]:
    """The line of a row with the given base64 as its images, in parts."""
    try:
        rest = to_json({**row, "image_base64_str": []}).encode()
    except UnicodeEncodeError as error:
        found = error.object[error.start - 20 : error.start + 20]
        raise ShardError(
            f"expected text, found half a character (a lone surrogate) in {found!r}", "broken text"
        ) from error
    head, tail = rest.split(b'"image_base64_str": []', 1)
    between = [part for image in images for part in (b'", "', image)][1:]
    opening, closing = (b'"image_base64_str": ["', b'"]') if images else (b'"image_base64_str": [', b"]")
    return [head + opening, *between, closing + tail + b"\n"]


def shard_names(split: str, total: int) -> list[str]:
    """The file names of a split in `total` shards."""
    return [f"{split}.jsonl"] if total == 1 else [f"{split}-{i:05d}-of-{total:05d}.jsonl" for i in range(total)]


def refuse_others(folder: Path, split: str, names: list[str]) -> None:
    """ShardError if the folder holds the split under further names: readers would find it twice."""
    shards = {path.name: SHARD.fullmatch(path.name) for path in sorted(folder.glob("*")) if path.name not in names}
    others = [name for name, shard in shards.items() if shard and SPLITS[shard[1]] == SPLITS.get(split, split)]
    if names and others:
        found = f"{', '.join(others[:3])}{' ...' if len(others) > 3 else ''}"
        raise ShardError(
            f"{folder}: holds {found} already; {names[0]} would be the same split again. Delete the old files first."
        )


def read_shard(path: Path | str) -> Iterator[dict[str, Any]]:
    """Yield the rows of one local file, in order, as the builder would: JSON Lines, compressed or not, or Parquet.

    A row whose meta has no id gets the one that the builder gives it, so that it keeps it wherever it is written next.
    """
    path = Path(path).absolute()
    repository = Repository.of_files(path.parent, [path.name])
    parts = path.parts[-5:]
    name = "/".join(parts[parts.index("data") :]) if "data" in parts[:-1] else path.name
    for offset, line in read_rows(repository, (path.name, 0, path.stat().st_size)):
        try:
            row = check_row(as_row(line))
            meta = read_meta(row)
            told = whole_text(json.dumps({"id": f"{name}:{offset}", **meta}, ensure_ascii=False), "meta")
            row["meta"] = row["meta"] if "id" in meta else told
            yield row
        except UNREADABLE as error:
            where = f"{path.parent}/{repository.where(path.name, offset)}"
            raise ShardError(f"{where}: {error}", reason_of(error)) from error


def as_line(row: dict[str, Any]) -> dict[str, Any]:
    """The five fields of a shard's line, in their order; pictures of a Parquet file become base64."""
    if "image_base64_str" not in row:
        row["image_base64_str"] = [pybase64.b64encode(image).decode() for image in image_bytes(row)]
    return {name: row[name] for name in FIELDS}
