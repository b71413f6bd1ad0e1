"""Files of rows: JSON Lines, one instance a line, written whole or not at all, read in any form that the builder reads.

A shard's line has exactly the fields `instruction, inputs, image_base64_str, outputs, meta`, in that order: a missing
or further field breaks plain `datasets` on one version or another. Names: `train.jsonl`, or
`train-00000-of-00003.jsonl` where there are several.
"""

import base64
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from M3IT import SHARD, SPLITS, image_bytes
from m3it.rows.instance import FIELDS, Instance, ShardError, bare_row, to_json

SHARD_BYTES = 500_000_000  # a shard ends with the row that reaches this size
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
        raise ShardError("expected base64 in image_base64_str, with no head and no line breaks")
    return b"".join(_parts(row, [image.encode() for image in images]))


def instance_line(instance: Instance) -> bytes:
    """The line of an instance whose images are bytes: `to_line(to_row(instance))`, without encoding base64 twice."""
    return b"".join(line_parts(instance))


def line_parts(instance: Instance) -> list[bytes]:
    """`instance_line` in parts, for who writes it: joined, each image would be copied once more."""
    from m3it.rows.images import pybase64

    return _parts(bare_row(instance), [pybase64.b64encode(image) for image in instance.images])


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


def write_shard(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write one file, complete or not at all; returns the number of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp")
    num_rows = 0
    with _removed_on_error(unfinished), open(unfinished, "wb") as file:
        for num_rows, row in enumerate(rows, 1):
            try:
                file.write(to_line(row))
            except ShardError as error:
                raise ShardError(f"{path}: row {num_rows}: {error}", error.reason) from error
    os.replace(unfinished, path)
    return num_rows


@contextmanager
def _removed_on_error(unfinished: Path) -> Iterator[None]:
    """Whatever ends the writing early, Ctrl-C too, leaves nothing half-written behind."""
    try:
        yield
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_shards(
    instances: Iterable[Instance], folder: Path | str, split: str, shard_bytes: int = SHARD_BYTES
) -> list[Path]:
    """Write a split into a folder and return its shards; none for no rows.

    Killed and called again with the same instances it goes on: a finished part is kept under a hidden name that says
    how many rows it holds, and as many are passed over. The parts get their names when the last one is finished,
    since a name says how many there are.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = iter(instances)
    parts: list[Path] = []
    while True:
        done = list(folder.glob(f".{split}-{len(parts):05d}.*-rows.part"))
        if done:
            num_rows = int(done[0].name.split(".")[-2].removesuffix("-rows"))
            if sum(1 for _ in islice(rows, num_rows)) < num_rows:
                raise ShardError(
                    f"{done[0]}: holds {num_rows} rows, the input now has fewer. "
                    f"Delete {folder}/.{split}-*.part and start again."
                )
            parts.append(done[0])
            continue
        part = _write_part(rows, folder / f".{split}-{len(parts):05d}", shard_bytes)
        if part is None:
            break
        parts.append(part)
    names = shard_names(split, len(parts))
    refuse_others(folder, split, names)
    for part, name in zip(parts, names, strict=True):
        os.replace(part, folder / name)
    return [folder / name for name in names]


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


def _write_part(instances: Iterator[Instance], stem: Path, shard_bytes: int) -> Path | None:
    """One part of about `shard_bytes`, named after its rows; None if there are no more."""
    unfinished, num_rows, num_bytes = stem.with_name(f"{stem.name}.tmp"), 0, 0
    with _removed_on_error(unfinished), open(unfinished, "wb") as file:
        for instance in instances:
            try:
                line = instance_line(instance)
            except ShardError as error:
                raise ShardError(f"row {instance.id!r}: {error}", error.reason) from error
            file.write(line)
            num_rows, num_bytes = num_rows + 1, num_bytes + len(line)
            if num_bytes >= shard_bytes:
                break
    if not num_rows:
        unfinished.unlink()
        return None
    part = stem.with_name(f"{stem.name}.{num_rows}-rows.part")
    os.replace(unfinished, part)
    return part


def read_shard(path: Path | str) -> Iterator[dict[str, Any]]:
    """Yield the rows of one local file, in order, as the builder would: JSON Lines, compressed or not, or Parquet.

    A row whose meta has no id gets the one that the builder gives it, so that it keeps it wherever it is written next.
    """
    from M3IT import Repository, check_row, parse, read_rows

    path = Path(path).absolute()
    repository = Repository.of_files(path.parent, [path.name])
    parts = path.parts[-5:]
    name = "/".join(parts[parts.index("data") :]) if "data" in parts[:-1] else path.name
    for offset, line in read_rows(repository, (path.name, 0, path.stat().st_size)):
        try:
            row = check_row(parse(line) if isinstance(line, bytes) else line)
            meta = json.loads(row["meta"])
            if isinstance(meta, dict) and "id" not in meta:
                row["meta"] = json.dumps({"id": f"{name}:{offset}", **meta}, ensure_ascii=False)
            yield row
        except (ValueError, ShardError) as error:
            raise ShardError(f"{path.parent}/{repository.where(path.name, offset)}: {error}") from error


def as_line(row: dict[str, Any]) -> dict[str, Any]:
    """The five fields of a shard's line, in their order; pictures of a Parquet file become base64."""
    if "image_base64_str" not in row:
        row["image_base64_str"] = [base64.b64encode(image).decode() for image in image_bytes(row)]
    return {name: row[name] for name in FIELDS}
