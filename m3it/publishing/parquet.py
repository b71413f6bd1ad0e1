"""Rows of any layout -> one Parquet file of a release, with the id, the hashes and the digest of every row.

A row's digest is the sha256 of what it says (config, split, id, texts, the sha256 of each image file); that of a split
is over the sorted digests of its rows. Both are the same for the same rows in any layout, format or order: the proof
that a release holds what its source held.
"""

import hashlib
import itertools
import json
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from M3IT import M3IT, Repository, id_of
from m3it.rows.images import ImageError, read_base64, size
from m3it.rows.instance import Drop, ShardError
from m3it.work.runner import Made

GROUP_ROWS, GROUP_BYTES = 100, 100_000_000  # of a row group with pictures, whichever comes first

STRINGS = pa.list_(pa.string())
FILES = pa.list_(pa.struct({"bytes": pa.binary(), "path": pa.string()}))  # what the Image feature stores
MESSAGES = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
TURNS = pa.list_(pa.struct({"user": pa.string(), "assistant": pa.string()}))
TEXTS = {name: pa.string() for name in ("instruction", "inputs", "outputs")}
ABOUT = {name: pa.string() for name in ("task", "dataset", "language", "license")}
FILTERS = ABOUT | {name: pa.int32() for name in ("num_images", "width", "height")}
FILTERS |= {name: pa.string() for name in ("row_id", "source_file")}
TYPES = TEXTS | {"image_base64_str": STRINGS, "images": FILES} | FILTERS
TYPES |= {"messages": MESSAGES, "texts": TURNS, "image_sha256": STRINGS, "meta": pa.string(), "digest": pa.binary(32)}
COLUMNS = {
    "base64": ["instruction", "inputs", "image_base64_str", "outputs"],
    "images": ["instruction", "inputs", "images", "outputs", *FILTERS, "image_sha256", "meta"],
    "text": [*TEXTS, *FILTERS],
    "messages": ["messages", "images", "texts", *FILTERS],  # for other people's trainers
    "lines": ["instruction", "inputs", "image_base64_str", "outputs", "meta"],  # of our JSON Lines
    "rows": [*TEXTS, *FILTERS, "digest"],  # what the text config and the proof are made of; stays in .work/
}
SCHEMAS = {kind: pa.schema({name: TYPES[name] for name in names}) for kind, names in COLUMNS.items()}
REPEATED = {"instruction", "source_file", *ABOUT}  # few values: dictionaries
LONG = {
    "inputs",
    "outputs",
    "meta",
    "digest",
    "image_base64_str",
    "images",
    "image_sha256",
    "messages",
    "texts",
}  # no use as bounds


def write_shard(
    *paths: Path, builder: M3IT, config: str, split: str, kinds: list[str], about: dict[str, str], pieces: list[Any],
    source: str,
) -> Made:  # fmt: skip
    """Write the rows of some pieces into one file of each kind, and their texts and digests into the last file."""
    drops: list[Drop] = []
    num_rows = 0
    with ExitStack() as stack:
        writers = {
            k: stack.enter_context(open_writer(path, k)) for k, path in zip([*kinds, "rows"], paths, strict=True)
        }
        for group in groups(instances(builder, config, split, pieces, drops, keep_base64="base64" in kinds)):
            columns = as_columns(group, about, {name for kind in writers for name in COLUMNS[kind]})
            for kind, writer in writers.items():
                writer.write_table(pa.table([columns[name] for name in COLUMNS[kind]], schema=SCHEMAS[kind]))
            num_rows += len(group)
    check_unchanged(builder.repository, {piece[0] for piece in pieces})
    return Made(num_rows, drops)


def open_writer(path: Path, kind: str) -> pq.ParquetWriter:
    """A Parquet file of one kind: page index, zstd for all but image files, dictionaries where values repeat."""
    compression = {
        leaf: "none" if leaf == "images.list.element.bytes" else "zstd"
        for field in SCHEMAS[kind]
        for leaf in leaves(field.name, field.type)
    }
    names = COLUMNS[kind]
    return pq.ParquetWriter(
        path, SCHEMAS[kind], compression=compression, use_dictionary=[name for name in names if name in REPEATED],
        write_statistics=[name for name in names if name not in LONG], write_page_index=True, write_batch_size=16,
    )  # fmt: skip


def leaves(name: str, type: pa.DataType) -> list[str]:
    """What Parquet stores of a column, by the names that it has there."""
    if pa.types.is_list(type):
        return leaves(f"{name}.list.element", type.value_type)
    if pa.types.is_struct(type):
        return [leaf for field in type for leaf in leaves(f"{name}.{field.name}", field.type)]
    return [name]


def groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows as they share a row group."""
    group: list[dict[str, Any]] = []
    num_bytes = 0
    for row in rows:
        row_bytes = sum((len(file) + 2) // 3 * 4 for file in row["files"])  # as base64, the larger of the two
        if group and (len(group) == GROUP_ROWS or num_bytes + row_bytes > GROUP_BYTES):
            yield group
            group, num_bytes = [], 0
        group.append(row)
        num_bytes += row_bytes
    if group:
        yield group


def instances(
    builder: M3IT, config: str, split: str, pieces: Iterable[Any], drops: list[Drop], keep_base64: bool = False
) -> Iterator[dict[str, Any]]:
    """The rows of some pieces with all that a release says of them. What cannot be read raises, or is listed in `drops`
    where the builder's config says on_error="drop"."""

    def refuse(path: str, offset: int, key: str, error: Exception) -> None:
        if builder.config.on_error != "drop":
            type(builder)._refuse(builder, path, offset, key, error)
        drops.append(Drop(key, getattr(error, "reason", "not JSON")))

    builder._refuse = refuse  # type: ignore[method-assign]  # its own list would lie in the cache of a worker's machine
    try:
        for path, *bounds in pieces:
            for key, row in builder.read((path, *bounds)):
                try:
                    complete_row(row, config, split, path)
                except (ImageError, UnicodeError) as error:
                    reason = "image is not base64" if isinstance(error, ImageError) else "broken text"
                    refuse(path, int(key.rpartition(":")[2].partition("#")[0]), key, ShardError(str(error), reason))
                else:
                    if not keep_base64:
                        row.pop("image_base64_str", None)  # memory for texts of no use costs a twentieth of the time
                    yield row
    finally:
        del builder._refuse


def complete_row(row: dict[str, Any], config: str, split: str, path: str) -> None:
    """Add to a row its id, its image files, their hashes and number, the size of the first, and the row's digest."""
    stored = row.get("images")  # as bytes, where the source is a release
    files = [image["bytes"] for image in stored] if stored else [read_base64(text) for text in row["image_base64_str"]]
    row["files"], row["num_images"] = files, len(files)
    row["row_id"] = id_of(row)
    row["source_file"] = row.get("source_file") or path
    row["image_sha256"] = [hashlib.sha256(file).hexdigest() for file in files]
    row["width"], row["height"] = header_size(files[0]) if files else (None, None)
    row["digest"] = row_digest(config, split, row["row_id"], row, row["image_sha256"])


def header_size(image: bytes) -> tuple[int, int] | tuple[None, None]:
    """(width, height) of the upright picture, by its header; nothing where it is none that we read."""
    try:
        return size(image)
    except ImageError:
        return None, None


def as_columns(rows: list[dict[str, Any]], about: dict[str, str], names: set[str]) -> dict[str, pa.Array]:
    """The rows as Arrow arrays, by column."""
    columns = {name: pa.array([about[name]] * len(rows), pa.string()) for name in ABOUT}
    for name in names - set(ABOUT) - {"images", "messages", "texts"}:
        columns[name] = pa.array([row[name] for row in rows], TYPES[name])
    if "messages" in names:
        asked = ["\n".join(text for text in (row["instruction"], row["inputs"]) if text) for row in rows]
        columns["messages"] = pa.array([
            [{"role": "user", "content": "<image>" * row["num_images"] + text},
             {"role": "assistant", "content": row["outputs"]}]
            for row, text in zip(rows, asked, strict=True)
        ], MESSAGES)  # fmt: skip
        turns = [[{"user": text, "assistant": row["outputs"]}] for row, text in zip(rows, asked, strict=True)]
        columns["texts"] = pa.array(turns, TURNS)
    if "images" in names:
        files = pa.array([file for row in rows for file in row["files"]], pa.binary())
        structs = pa.StructArray.from_arrays([files, pa.nulls(len(files), pa.string())], names=["bytes", "path"])
        offsets = pa.array(itertools.accumulate((row["num_images"] for row in rows), initial=0), pa.int32())
        columns["images"] = pa.ListArray.from_arrays(offsets, structs)
    return columns


def check_unchanged(repository: Repository, paths: set[str]) -> None:
    """ShardError if a file is no longer the one that was listed: read while it changes, it would give a mixture."""
    if repository.commit:
        return
    repository.fs.invalidate_cache()
    for path in paths & set(repository.files):
        listed, now = repository.files[path], repository.fs.info(posixpath.join(repository.root, path))
        if any(listed.get(stamp) != now.get(stamp) for stamp in ("size", "ETag", "mtime")):
            raise ShardError(f"{repository.path}/{path}: changed while it was read. Call again when it stands still.")


# ---- the proof


def row_digest(config: str, split: str, row_id: str, row: dict[str, Any], image_sha256: list[str]) -> bytes:
    """sha256 of what a row says, 32 bytes."""
    texts = [row["instruction"], row["inputs"], row["outputs"]]
    return hashlib.sha256(
        json.dumps([config, split, row_id, *texts, image_sha256], ensure_ascii=False).encode()
    ).digest()


def split_digest(digests: Iterable[bytes]) -> str:
    """sha256 over the digests of a split's rows, as hex."""
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def read_digests(builder: M3IT, split: str) -> tuple[list[bytes], list[Drop]]:
    """The digests of a split's rows and its drops, by reading all of it."""
    drops: list[Drop] = []
    rows = instances(builder, builder.config.name, split, builder.pieces(split), drops)
    return [row["digest"] for row in rows], drops
