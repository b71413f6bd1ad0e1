"""The kinds of files that a release is made of: their columns, what fills them, and how rows become one file.

In: rows as `parquet.instances` gives them. Out: Parquet with a page index, zstd for all but image files, dictionaries
where values repeat: what the Hub's viewer, DuckDB and any `datasets` read well.
"""

import inspect
import itertools
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from M3IT import media_type
from m3it.reading.ratings import RATINGS

Rows = list[dict[str, Any]]

STRINGS = pa.list_(pa.string())
IMAGES = pa.list_(pa.struct({"bytes": pa.binary(), "path": pa.string()}))  # what the Image feature stores
TEXTS = {name: pa.string() for name in ("instruction", "inputs", "outputs")}
ABOUT = {name: pa.string() for name in ("task", "dataset", "language")}
TERMS = {name: pa.string() for name in ("license", "image_license")}
FILTERS = ABOUT | TERMS | {name: pa.int32() for name in ("num_images", "width", "height")}
FILTERS |= {name: pa.string() for name in ("row_id", "source_file", "image_attribution")}
RATED = {name: pa.int32() for name in RATINGS}  # of releases with ratings only
TYPES = TEXTS | {"image_base64_str": STRINGS, "images": IMAGES} | FILTERS | RATED
MESSAGES = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
SAID = {"prompt": MESSAGES, "completion": MESSAGES, "references": STRINGS}
TYPES |= {"image_sha256": STRINGS, "meta": pa.string(), "digest": pa.binary(32), **SAID}
COLUMNS = {
    "base64": ["instruction", "inputs", "image_base64_str", "outputs"],
    "images": ["instruction", "inputs", "images", "outputs", *FILTERS, "image_sha256", *SAID, "meta"],
    "text": [*TEXTS, *FILTERS],
    "lines": ["instruction", "inputs", "image_base64_str", "outputs", "meta"],  # of our JSON Lines
    "rows": [*TEXTS, *FILTERS, "digest"],  # what the text config and the proof are made of; stays in .work/
}
REPEATED = {"instruction", "source_file", *ABOUT, *TERMS}  # few values: dictionaries
# Pages are cut by what they hold, so that a later release sends the Hub only what has changed. pyarrow >= 21 can do so.
CHUNKED = "use_content_defined_chunking" in inspect.signature(pq.ParquetWriter).parameters
ENDINGS = {f"image/{kind}": kind for kind in ("png", "gif", "webp", "bmp", "tiff", "avif")} | {"image/jpeg": "jpg"}
BOUNDED = {"instruction", *FILTERS, *RATED}  # short values: their bounds in the footers are of use


class Writer(Protocol):
    """A file to write rows to, some at a time. `about`: task, dataset and language of all of them."""

    def write(self, rows: Rows, about: dict[str, str]) -> None: ...


def no_columns(rows: Rows) -> dict[str, pa.Array]:
    """What fills the columns of a kind of file that has none of its own."""
    return {}


class ParquetRows(pq.ParquetWriter):
    """A Parquet file to write rows to. `own` fills the columns that only this kind of file has."""

    def __init__(self, path: Path, schema: pa.Schema, own: Callable[[Rows], dict[str, pa.Array]] = no_columns):
        stored = [leaf for field in schema for leaf in leaves(field.name, field.type)]
        super().__init__(
            path, schema,
            compression={leaf: "none" if leaf == "images.list.element.bytes" else "zstd" for leaf in stored},
            use_dictionary=[name for name in schema.names if name in REPEATED],
            write_statistics=[name for name in schema.names if name in BOUNDED],
            write_page_index=True, write_batch_size=16,
            **({"use_content_defined_chunking": True} if CHUNKED else {}),
        )  # fmt: skip
        self.own = own
        if CHUNKED:  # what `datasets` writes, and the Hub reads: the tag optimized-parquet goes by it
            self.add_key_value_metadata({"content_defined_chunking": "true"})

    def write(self, rows: Rows, about: dict[str, str]) -> None:
        """Write the rows as one row group."""
        columns = as_columns(rows, about, {*self.schema.names} & {*TYPES}) | self.own(rows)
        self.write_table(pa.table([columns[name] for name in self.schema.names], schema=self.schema))


def picture_names(files: Iterable[bytes]) -> list[str]:
    """A name for each picture of a row, by its place and its true kind: 0.jpg, 1.png."""
    return [f"{place}.{ENDINGS[media_type(file)]}" for place, file in enumerate(files)]


def leaves(name: str, type: pa.DataType) -> list[str]:
    """What Parquet stores of a column, by the names that it has there."""
    if pa.types.is_list(type):
        return leaves(f"{name}.list.element", type.value_type)
    if pa.types.is_struct(type):
        return [leaf for field in type for leaf in leaves(f"{name}.{field.name}", field.type)]
    return [name]


def as_columns(rows: Rows, about: dict[str, str], names: set[str]) -> dict[str, pa.Array]:
    """The rows as Arrow arrays, by column."""
    columns = {name: pa.array([about[name]] * len(rows), pa.string()) for name in ABOUT}
    for name in names - set(ABOUT) - {"images"}:
        columns[name] = pa.array([row[name] for row in rows], TYPES[name])
    if "images" in names:
        files = pa.array([file for row in rows for file in row["files"]], pa.binary())
        paths = pa.array([path for row in rows for path in picture_names(row["files"])], pa.string())
        structs = pa.StructArray.from_arrays([files, paths], names=["bytes", "path"])
        offsets = pa.array(itertools.accumulate((row["num_images"] for row in rows), initial=0), pa.int32())
        columns["images"] = pa.ListArray.from_arrays(offsets, structs)
    return columns


def tally_parquet(file: Any) -> tuple[int, int]:
    """The rows of a Parquet file and their bytes in memory, by its footer."""
    footer = pq.read_metadata(file)
    return footer.num_rows, sum(footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))


class FileKind(NamedTuple):
    """One kind of file: what plain `datasets` makes of it, how it is written, how its rows and bytes are counted."""

    schema: pa.Schema
    open_writer: Callable[..., AbstractContextManager[Writer]]  # of a path
    tally: Callable[[Any], tuple[int, int]] = tally_parquet
    ending: str = "parquet"

    def rated(self) -> "FileKind":
        """The same with the columns of ratings, where it has columns to filter by."""
        if "row_id" not in self.schema.names:
            return self
        schema = pa.schema([*self.schema, *pa.schema(RATED)])
        return self._replace(schema=schema, open_writer=partial(self.open_writer, schema=schema))


def parquet_kind(schema: pa.Schema, own: Callable[[Rows], dict[str, pa.Array]] = no_columns) -> FileKind:
    """A kind of Parquet file; `own` fills the columns that are not in TYPES."""
    return FileKind(schema, partial(ParquetRows, schema=schema, own=own))


OWN_KINDS = {kind: parquet_kind(pa.schema({name: TYPES[name] for name in names})) for kind, names in COLUMNS.items()}
