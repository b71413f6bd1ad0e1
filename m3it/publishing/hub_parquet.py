"""Do the Parquet files of a split keep the Hub's rules? Their footers against README.md's YAML and the viewer's limits,
and the first rows of each config."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from M3IT import RangeFile, Repository
from m3it.publishing.card_yaml import mappings, spelling, spelling_of
from m3it.publishing.hub_rules import Finding, as_size, broken, limit_of
from m3it.rows.instance import ShardError

IMAGE_CELL_BYTES = 600  # of a signed URL with width and height, which stands for a picture in the viewer's answer


def check_split(
    repository: Repository, where: str, paths: list[str], info: dict[str, Any], seen: list[pq.FileMetaData]
) -> Iterator[Finding]:
    """Yield what is wrong with the Parquet files of a split; the rows of the first file of a config are looked at.
    `seen` gathers the footers of a config."""
    num_rows = 0
    for path in paths:
        if not path.endswith(".parquet"):
            return
        try:
            file = pq.ParquetFile(RangeFile(repository, path))
            num_rows += file.metadata.num_rows
            yield from check_columns(path, file.schema_arrow, info)
            yield from check_row_groups(path, file.metadata)
            if not seen:
                yield from check_first_rows(path, file)
            seen.append(file.metadata)
        except (pa.ArrowException, OSError, ShardError) as error:
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
    if declared and declared != columns:
        odd = sorted({f"{name} ({kind})" for name, kind in set(columns) ^ set(declared)})
        level = None if odd else "warning"  # columns are found by their names
        found = f"columns differ from README.md's features: {', '.join(odd) or 'their order'}"
        yield broken("features-match-files", path, found, level)
    if limit_of("metadata-without-lists") in (schema.metadata or {}).get(b"huggingface", b""):
        yield broken("metadata-without-lists", path, "found `huggingface` metadata that say _type: List")
    missing = limit_of("filter-columns-present") - set(schema.names)
    if "images" in schema.names and missing:
        found = f"expected columns to filter by, missing are {', '.join(sorted(missing))}"
        yield broken("filter-columns-present", path, found)


def check_row_groups(path: str, metadata: pq.FileMetaData) -> Iterator[Finding]:
    """Yield row groups that cannot be shown, or only slowly."""
    for i in range(metadata.num_row_groups):
        group, where = metadata.row_group(i), f"{path}, row group {i}"
        columns = [group.column(k) for k in range(group.num_columns)]
        size, limit = group.total_byte_size, limit_of("row-groups-indexed")
        if size > limit and not all(column.has_offset_index for column in columns):
            found = f"expected a page index or at most {as_size(limit)}, found {as_size(size)}"
            yield broken("row-groups-indexed", where, found)
        mean, (page_bytes, page_rows) = size / max(1, group.num_rows), limit_of("page-of-rows-fits")
        if mean * min(page_rows, metadata.num_rows) > page_bytes:
            level = None if mean > page_bytes else "warning"  # fewer rows can be asked for, and the first are shown
            yield broken("page-of-rows-fits", where, f"found rows of {as_size(mean)}", level)
        limit = limit_of("row-groups-small")
        if size - mean > limit:  # even without its last row
            yield broken("row-groups-small", where, f"expected about {as_size(limit)}, found {as_size(size)}")
        for column in columns:
            mean = column.total_uncompressed_size / max(1, column.num_values)
            if column.path_in_schema.endswith(".bytes") and mean > limit_of("pictures-small"):
                yield broken("pictures-small", where, f"found pictures of {as_size(mean)} on average")


def check_first_rows(path: str, file: pq.ParquetFile) -> Iterator[Finding]:
    """Yield what keeps the viewer from showing the first rows of a file, or its pictures."""
    most_bytes, cell_bytes, most_columns, longest = limit_of("first-rows-fit")
    schema, total = file.schema_arrow, 0
    if len(schema) > most_columns or any(len(name) > longest for name in schema.names):
        yield broken("first-rows-fit", path, f"expected {most_columns:,} columns at most, of {longest} letters")
    for name in {"image", "images"} & set(schema.names):
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_list(kind) else kind
        if not pa.types.is_struct(kind) or {field.name for field in kind} != limit_of("pictures-hold-bytes"):
            found = f"expected a struct of bytes and path, found {kind}"
            yield broken("pictures-hold-bytes", f"{path}, {name}", found)
    for batch in itertools.islice(file.iter_batches(batch_size=10, row_groups=range(min(1, file.num_row_groups))), 1):
        for name, value in ((name, value) for row in batch.to_pylist() for name, value in row.items()):
            cells = [cell for cell in (value if isinstance(value, list) else [value]) if isinstance(cell, dict)]
            text = [] if cells else json.dumps(value, default=str, ensure_ascii=False).encode()
            total += IMAGE_CELL_BYTES * len(cells) + min(cell_bytes, len(text)) + len(name)
            if lost := [cell for cell in cells if cell.get("path") and cell.get("bytes") is None]:
                found = f"expected bytes, found the path {lost[0]['path']!r} alone"
                yield broken("pictures-hold-bytes", f"{path}, {name}", found)
    if total > most_bytes:
        yield broken("first-rows-fit", path, f"expected ten rows in {most_bytes // 1000} kB, found {total // 1000} kB")


def check_values(name: str, seen: list[pq.FileMetaData]) -> Iterator[Finding]:
    """Yield columns to filter by that have too many values, as far as the bounds in the footers tell."""
    values: dict[str, set[str]] = {}
    groups = (metadata.row_group(i) for metadata in seen for i in range(metadata.num_row_groups))
    for column in (group.column(k) for group in groups for k in range(group.num_columns)):
        texts = column.path_in_schema in limit_of("filter-columns-present") and column.physical_type == "BYTE_ARRAY"
        if texts and column.statistics and column.statistics.has_min_max:
            values.setdefault(column.path_in_schema, set()).update((column.statistics.min, column.statistics.max))
    limit = limit_of("filter-values-few")
    for column, bounds in values.items():
        if len(bounds) > limit:
            found = f"expected {limit} values at most in {column}, found {len(bounds)} or more"
            yield broken("filter-values-few", name, found)
