"""Files of rows: JSON Lines, one instance a line, written whole or not at all, read in any form that the builder reads.

A shard's line has exactly the fields `instruction, inputs, image_base64_str, outputs, meta`, in that order: a missing
or further field breaks plain `datasets` on one version or another. Names: `train.jsonl`, or
`train-00000-of-00003.jsonl` where there are several.
"""

import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from m3it.instance import FIELDS, Instance, ShardError, to_row

SHARD_BYTES = 500_000_000  # a shard ends with the row that reaches this size


def to_line(row: dict[str, Any]) -> bytes:
    """One line of a shard, its end included; ShardError unless the row has the five fields, all texts and a list of
    texts."""
    if tuple(row) != FIELDS:
        raise ShardError(f"expected the fields {', '.join(FIELDS)} in this order, found {', '.join(row)}")
    images = row["image_base64_str"]
    if not all(isinstance(row[name], str) for name in FIELDS if name != "image_base64_str") or not isinstance(
        images, list
    ):
        raise ShardError("expected a list of strings in image_base64_str and strings in all other fields")
    # Base64 needs no escapes: joined here instead of scanned by the JSON encoder, which is the slower by far.
    if not all(
        isinstance(image, str) and image.isascii() and '"' not in image and "\\" not in image for image in images
    ):
        raise ShardError("expected base64 in image_base64_str")
    rest = json.dumps({**row, "image_base64_str": []}, ensure_ascii=False)
    head, tail = rest.split('"image_base64_str": []', 1)
    listed = ", ".join(f'"{image}"' for image in images)
    return f'{head}"image_base64_str": [{listed}]{tail}\n'.encode("utf-8", "surrogatepass")


def write_shard(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write one file, complete or not at all; returns the number of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp")
    num_rows = 0
    with open(unfinished, "wb") as file:
        for row in rows:
            file.write(to_line(row))
            num_rows += 1
    os.replace(unfinished, path)
    return num_rows


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
    names = (
        [f"{split}.jsonl"]
        if len(parts) == 1
        else [f"{split}-{i:05d}-of-{len(parts):05d}.jsonl" for i in range(len(parts))]
    )
    for part, name in zip(parts, names, strict=True):
        os.replace(part, folder / name)
    return [folder / name for name in names]


def _write_part(instances: Iterator[Instance], stem: Path, shard_bytes: int) -> Path | None:
    """One part of about `shard_bytes`, named after its rows; None if there are no more."""
    unfinished, num_rows, num_bytes = stem.with_name(f"{stem.name}.tmp"), 0, 0
    with open(unfinished, "wb") as file:
        for instance in instances:
            line = to_line(to_row(instance))
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
    """Yield the rows of one local file, in order, as the builder would: JSON Lines, compressed or not, or Parquet."""
    from M3IT import Repository, check_row, parse, read_rows

    path = Path(path).absolute()
    repository = Repository(path.parent)
    repository.files = {path.name: {"size": path.stat().st_size}}
    for offset, line in read_rows(repository, (path.name, 0, path.stat().st_size)):
        try:
            yield check_row(parse(line) if isinstance(line, bytes) else line)
        except (ValueError, ShardError) as error:
            raise ShardError(f"{path}: byte {offset}: {error}") from error
