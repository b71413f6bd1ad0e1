"""Rows about the same pictures, next to each other, so that a batch has each of these once.

In: how the rows of a split are read (row_access.py), and what they show.  Out: the same rows; of those that can be read
one by one, up to SHARING about the same pictures are a unit; those of a row group stand together within it. All
pictures are looked at once, of a release their hashes, and what was found is kept in the cache. Pieces over a network
stay as they are: what they show is not known.
"""

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from M3IT import UNREADABLE, as_row, count_images, image_bytes, open_parquet, read_rows
from m3it.mixing.row_access import Grouped, Indexed, cache_of, named
from m3it.work.cache import keep_array

SHARING = 16  # rows about the same pictures that follow each other: more would make a batch of few pictures


def by_picture(rows: Indexed | Grouped, cache_dir: str | None = None) -> Indexed | Grouped:
    """The same rows, those about the same pictures together."""
    if isinstance(rows, Indexed):
        return ByPicture(rows, cache_dir) if rows.num_rows else rows
    if rows.firsts is not None:
        repository = rows.builder.repository
        rows.shown = {
            path: keep_array(
                f"pictures {rows.builder.hash} {repository.identity([path])} {path}",
                functools.partial(_shown_in_parquet, rows, path),
                cache_of(cache_dir),
            )
            for path in dict.fromkeys(path for path, _, _ in rows.pieces)
        }
        rows.order += f", in runs of {SHARING} rows by picture"
    return rows


class ByPicture(Grouped):
    """The rows of an `Indexed` split, those about the same pictures as a unit of up to `SHARING`."""

    together = True

    def __init__(self, rows: Indexed, cache_dir: str | None = None):
        builder = rows.builder
        about = f"pictures {builder.hash} {builder.repository.identity(rows.paths)} {rows.paths}"
        about += f" {named(builder.filter)}" if builder.filter else ""
        pictures = keep_array(about, functools.partial(_shown, rows), cache_of(cache_dir))
        self.rows = rows
        self.numbers, self.starts = _by_picture(np.asarray(pictures))
        super().__init__(builder, [(path, 0, 0) for path in rows.paths], np.diff(self.starts), 0)
        self.order = "full shuffle of pictures, with their rows"
        self.left_out, self.passing = rows.left_out, None if rows.passing is None else {"": rows.passing}

    def read(self, unit: int) -> list[tuple[str, dict[str, Any]] | None]:
        """(key, row) of the rows about the unit's pictures; None for a dropped one."""
        return [self.rows.read(number) for number in self.numbers[self.starts[unit] : self.starts[unit + 1]].tolist()]


def _shown(rows: Indexed) -> np.ndarray:
    """(rows,) a number for what each row shows."""
    found = np.empty(rows.num_rows, np.int64)
    for number in range(rows.num_rows):
        _, row = rows.read(number) or ("", {})
        pictures = row.get("image_base64_str") or [image["bytes"] for image in row.get("images", ())]
        found[number] = number_of(pictures, number)
    return found


def _shown_in_parquet(rows: Grouped, path: str) -> np.ndarray:
    """The same of all rows of a file of Parquet; of a release, by the hashes that it has of its pictures."""
    builder, whole = rows.builder, (path, 0, rows.builder.repository.size(path))
    hashes = ["image_sha256"] if "image_sha256" in builder.repository.columns(path) else None
    found = -1 - np.arange(open_parquet(builder.repository, path).metadata.num_rows)
    for number, line in read_rows(builder.repository, whole, hashes):
        try:
            row = as_row(line)
            if hashes:
                pictures = [str(each) for each in row["image_sha256"] or ()]
            else:
                mapped = builder.map_row(row, f"{path}:{number}")[0]
                pictures = image_bytes(mapped) if count_images(mapped) else []
        except (*UNREADABLE, TypeError):
            continue  # what becomes of it is decided where it is read
        found[number] = number_of(pictures, number)
    return found


def number_of(pictures: Sequence[str | bytes], number: int) -> int:
    """63 bits that tell pictures from others; of none, or of a row that cannot be read, the row's number, below 0."""
    digest = hashlib.blake2b(digest_size=8)
    for picture in pictures:
        data = picture.encode() if isinstance(picture, str) else picture
        digest.update(len(data).to_bytes(8, "little") + data)
    return int.from_bytes(digest.digest(), "little") >> 1 if pictures else -1 - number


def _by_picture(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of all rows, those about the same pictures next to each other; and where each `SHARING` of these
    begin, with the end."""
    numbers = np.argsort(pictures, kind="stable")
    places = np.arange(len(pictures))
    is_first = np.diff(pictures[numbers], prepend=pictures.min() - 1) != 0
    first = np.maximum.accumulate(np.where(is_first, places, 0))
    return numbers, np.append(np.flatnonzero((places - first) % SHARING == 0), len(pictures))
