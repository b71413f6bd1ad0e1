"""Do the Parquet files of a split keep the Hub's rules? Their footers against README.md's YAML and the viewer's limits,
and the first rows of each config."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from M3IT import RangeFile, Repository
from m3it.publishing.card_yaml import mappings, spelling, spelling_of
from m3it.publishing.hub_rules import Finding, broken, limit_of
from m3it.publishing.statistics import Tally, tally_parquet
from m3it.rows.instance import ShardError
from m3it.work.terminal import as_size

NUMBER = re.compile(r"u?int(8|16|32|64)|float(16|32|64)?|halffloat|double")
UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError, ShardError)


def memory_bytes(metadata: pq.FileMetaData) -> int:
    """The bytes of a file's row groups, uncompressed."""
    return sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))


def try_to_count(file: pq.ParquetFile | None) -> Tally | None:
    """What is counted in a Parquet file; None where there is none, or it cannot be read to its end."""
    try:
        return tally_parquet(file) if file else None
    except UNREADABLE:
        return None


def check_split(
    repository: Repository,
    where: str,
    paths: list[str],
    info: dict[str, Any],
    opened: dict[str, pq.ParquetFile],
    is_first: bool,
) -> Iterator[Finding]:
    """Yield what is wrong with the Parquet files of a split; the rows of the first file are looked at in the first
    split of a config. `opened` gathers the files, by path."""
    num_rows = 0
    for path in paths:
        if not path.endswith(".parquet"):
            return
        try:
            file = pq.ParquetFile(RangeFile(repository, path))
            num_rows += file.metadata.num_rows
            yield from check_columns(path, file.schema_arrow, info)
            yield from check_row_groups(path, file.metadata)
            if is_first and not opened:
                yield from check_first_rows(path, file)
            opened[path] = file
        except UNREADABLE as error:
            yield broken("parquet-readable", path, f"expected a Parquet file, {error}")
    stated = {str(said.get("name")): said.get("num_examples") for said in mappings(info.get("splits"))}
    expected = stated.get(where.rpartition("/")[2])
    if paths and expected not in (None, num_rows):
        found = f"it states {expected} rows, the files hold {num_rows}"
        yield broken("row-counts-match", f"README.md, {where}", found)


def check_columns(path: str, schema: pa.Schema, info: dict[str, Any]) -> Iterator[Finding]:
    """Yield columns that are not as the YAML says, that stop an older `datasets`, or that are missing."""
    columns = [(field.name, spelling(field.type)) for field in schema]
    declared = [(str(feature.get("name")), spelling_of(feature)) for feature in mappings(info.get("features"))]
    if declared and (odd := sorted(set(columns) ^ set(declared))):  # columns are found by their names, in any order
        kinds, declared_kinds = dict(columns), dict(declared)
        fits = all(is_cast(name, kinds, declared_kinds) for name, _ in odd)
        found = f"columns differ from README.md's features: {', '.join(f'{name} ({kind})' for name, kind in odd)}"
        yield broken("features-match-files", path, found, "warning" if fits else None)
    if limit_of("metadata-without-lists") in (schema.metadata or {}).get(b"huggingface", b""):
        yield broken("metadata-without-lists", path, "found `huggingface` metadata that say _type: List")
    missing = limit_of("filter-columns-present") - set(schema.names)
    if "images" in schema.names and missing:
        found = f"expected columns to filter by, missing are {', '.join(sorted(missing))}"
        yield broken("filter-columns-present", path, found)


def is_cast(name: str, columns: dict[str, str], declared: dict[str, str]) -> bool:
    """Whether a column that is not as declared is shown all the same: it is missing, which gives nulls, or a number of
    another kind."""
    kinds = {declared.get(name, ""), columns.get(name, declared.get(name, ""))}
    return name in declared and (name not in columns or all(map(NUMBER.fullmatch, kinds)))


def check_row_groups(path: str, metadata: pq.FileMetaData) -> Iterator[Finding]:
    """Yield row groups that cannot be shown, or only slowly."""
    for i in range(metadata.num_row_groups):
        group, where = metadata.row_group(i), f"{path}, row group {i}"
        columns = [group.column(k) for k in range(group.num_columns)]
        stored, limit = sum(column.total_compressed_size for column in columns), limit_of("row-groups-indexed")
        if stored > limit and not all(column.has_offset_index for column in columns):
            found = f"expected a page index or at most {as_size(limit)}, found {as_size(stored)}"
            yield broken("row-groups-indexed", where, found)
        page_bytes, page_rows = limit_of("page-of-rows-fits")
        page = stored / max(1, group.num_rows) * min(page_rows, group.num_rows)
        if page > page_bytes:
            found = f"expected {as_size(page_bytes)} at most in {page_rows} rows, found {as_size(page)}"
            yield broken("page-of-rows-fits", where, found)
        size, limit = group.total_byte_size, limit_of("row-groups-small")
        mean = size / max(1, group.num_rows)
        if size - mean > limit:  # even without its last row
            yield broken("row-groups-small", where, f"expected about {as_size(limit)}, found {as_size(size)}")
        for column in columns:
            mean = column.total_uncompressed_size / max(1, column.num_values)
            if column.path_in_schema.endswith(".bytes") and mean > limit_of("pictures-small"):
                yield broken("pictures-small", where, f"found pictures of {as_size(mean)} on average")


def check_first_rows(path: str, file: pq.ParquetFile) -> Iterator[Finding]:
    """Yield what keeps the viewer from showing the first rows of a file, or its pictures."""
    most_bytes, most_columns, longest = limit_of("first-rows-fit")
    schema = file.schema_arrow
    if len(schema) > most_columns or any(len(name) > longest for name in schema.names):
        yield broken("first-rows-fit", path, f"expected {most_columns:,} columns at most, of {longest} letters")
    size = len(json.dumps([{"name": field.name, "type": spelling(field.type)} for field in schema]))
    if size > most_bytes:
        found = f"expected columns in {most_bytes // 1000} kB, found {size // 1000} kB of names and types"
        yield broken("first-rows-fit", path, found)
    for name in {"image", "images"} & set(schema.names):
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_list(kind) else kind
        if not pa.types.is_struct(kind) or {field.name for field in kind} != limit_of("pictures-hold-bytes"):
            found = f"expected a struct of bytes and path, found {kind}"
            yield broken("pictures-hold-bytes", f"{path}, {name}", found)
    for batch in itertools.islice(file.iter_batches(batch_size=10, row_groups=range(min(1, file.num_row_groups))), 1):
        for name, value in ((name, value) for row in batch.to_pylist() for name, value in row.items()):
            cells = [cell for cell in (value if isinstance(value, list) else [value]) if isinstance(cell, dict)]
            if lost := [cell for cell in cells if cell.get("path") and cell.get("bytes") is None]:
                found = f"expected bytes, found the path {lost[0]['path']!r} alone"
                yield broken("pictures-hold-bytes", f"{path}, {name}", found)
