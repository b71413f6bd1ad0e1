"""A table with tabs between its columns, as VLMEvalKit's, as lines of JSON: an object a row, of texts."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from m3it.rows.instance import ShardError, to_json

FIELD_BYTES = 1 << 30  # of pictures in base64: the csv module takes no more than 128 kB unless it is told so


def table_lines(stream: Any, name: str) -> Iterator[bytes]:
    """Yield the rows of a table in a stream of bytes, a line of JSON each, without empty cells; `image`, or where there
    is none `image_path`, that is a list in JSON becomes one. ShardError where the file is no table in UTF-8."""
    before = csv.field_size_limit(FIELD_BYTES)
    try:
        text = io.TextIOWrapper(io.BufferedReader(stream, 1 << 20), "utf-8-sig", newline="")
        reader = csv.DictReader(text, delimiter="\t")
        for row in reader:
            row = {name: text for name, text in row.items() if text}
            image = row.get("image", row.get("image_path"))
            with suppress(ValueError):
                row |= {"image": json.loads(image) if image.startswith("[") else image} if image else {}
            broken = None in row  # it has more columns than the table: one row, and no object
            yield to_json([*row.values()] if broken else row).encode() + b"\n"
    except (csv.Error, ValueError) as error:
        raise ShardError(f"{name}: expected a table with tabs in UTF-8 ({error}). Download it again.") from error
    finally:
        csv.field_size_limit(before)
