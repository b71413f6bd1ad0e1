"""What a model thinks of rows: what `m3it rate` writes, and how a release carries it, for filters.

A list is JSON Lines, an object for each row: config, split, id, and a whole number from 1 to 5, or null, under each
name in RATINGS; a line with `error` has no rating. In a row of a release they are columns, and `ratings` of its meta,
which other formats keep, too.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from M3IT import M3ITError

RATINGS = ("image_correspondence", "relevance")  # of the question to the picture, of the answer to the question
VALUES = range(1, 6)
FIELDS = ("config", "split", "id")

RowRatings = dict[str, dict[str, int | None]]  # row id -> rating -> value
Ratings = dict[str, RowRatings]  # "config/split" -> of its rows


def read_ratings(paths: Iterable[str | os.PathLike]) -> Ratings:
    """The ratings in some files; M3ITError names the line that is not as expected, or rates a row again."""
    found: Ratings = {}
    for path in paths:
        try:
            lines = Path(path).read_bytes().decode("utf-8-sig").split("\n")  # an id may hold another line separator
        except (OSError, UnicodeDecodeError) as error:
            raise M3ITError(f"{path}: expected ratings.jsonl of m3it rate: {error}") from error
        for number, line in enumerate(lines, 1):
            if line.strip():
                _add(found, line, f"{path}:{number}")
    return found


def _add(found: Ratings, line: str, where: str) -> None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise M3ITError(f"{where}: expected a JSON object, {error}. Rate the rows again: m3it rate") from error
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in FIELDS):
        raise M3ITError(f"{where}: expected an object with config, split and id, found {line[:60]!r}. Fix the line.")
    if "error" in row:
        return
    values = {name: row.get(name) for name in RATINGS}
    if (odd := [value for value in values.values() if not _is_rating(value)]) or not any(values.values()):
        told = f"found {odd[0]!r}" if odd else f"found no {' and no '.join(RATINGS)}"
        raise M3ITError(f"{where}: expected whole numbers from 1 to 5, {told}. Fix the line.")
    rows = found.setdefault(f"{row['config']}/{row['split']}", {})
    if row["id"] in rows:
        told = f"row {row['id']!r} of {row['config']}/{row['split']} is rated twice. Keep one of the lines."
        raise M3ITError(f"{where}: {told}")
    rows[row["id"]] = values


def _is_rating(value: Any) -> bool:
    return value is None or (type(value) is int and value in VALUES)


def ratings_of(meta: Mapping[str, Any]) -> dict[str, int | None]:
    """The ratings in a row's meta; None for each that it does not have."""
    said = meta.get("ratings")
    values = {name: said.get(name) if isinstance(said, dict) else None for name in RATINGS}
    return {name: value if _is_rating(value) else None for name, value in values.items()}
