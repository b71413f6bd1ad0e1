"""The rows of one split by their numbers, from 0, as `datasets` counts them; nothing is copied.

In: a builder.  Out: the rows from a number on. What tells where a row begins is found when it is needed: the footers
of Parquet, the index of a local file of JSON Lines, which the cache keeps; other files are counted as they are read.
"""

from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from M3IT import M3IT, M3ITError, begin_of, open_parquet, reason_of
from m3it.reading.published.joined import Legacy80
from m3it.reading.published.raw import Converted, Legacy
from m3it.reading.row_index import load_index

PIECE_BYTES = 1 << 20  # of JSON Lines, read at once
SMALL_BYTES = 64 << 20  # local files up to this size are indexed at once: it takes less time than a page
REACH_ROWS = 10_000  # of rows that are counted as they are read, how many at most are read to reach one


class Numbered(NamedTuple):
    """A row by its number; `error`: why it cannot be read, in a sentence."""

    number: int
    row: dict[str, Any]
    error: str = ""


class NumberedRows:
    """The rows of a split. `firsts`: the number of the first row of each piece, as far as it is known; one more at the
    end, when all are."""

    def __init__(self, builder: M3IT, split: str):
        shards = builder.shards(builder.config.name)
        if split not in shards:
            raise M3ITError(f"{builder.config.name} has no split {split!r}; it has {', '.join(shards)}.")
        self.builder, self.repository, self.paths = builder, builder.repository, shards[split]
        self.one_each = not isinstance(builder, Legacy) or isinstance(builder, (Converted, Legacy80))
        self.lines = all(path.endswith(".jsonl") for path in self.paths) and not isinstance(builder, Legacy80)
        self.firsts: list[int] = [0]
        self.pieces: list[tuple[str, int, int]] = []
        self._unopened = list(self.paths) if self.paths[0].endswith(".parquet") else []
        if isinstance(builder, Legacy):
            self.pieces = builder.pieces(split)  # reads the small files beside the rows
        elif not self._unopened:
            self.pieces = builder.pieces(split)
        if self.lines:
            self.pieces = [piece for path in self.paths for piece in _cut(path, self.repository.size(path))]
        self.num_bytes = sum(self.repository.size(path) for path in self.paths)
        if self.repository.local and (self._unopened or self.num_bytes <= SMALL_BYTES):
            self.count()

    @property
    def num_rows(self) -> int | None:
        """How many rows there are; None where that is not known yet."""
        whole = not self._unopened and len(self.firsts) == len(self.pieces) + 1
        return self.firsts[-1] if whole else None

    def count(self) -> int | None:
        """The number of rows, where footers or an index tell it; else None, until all are read."""
        while self._unopened:
            self._open()
        if self.num_rows is None and self.lines and self.one_each and self.repository.local:
            self.firsts = self._by_index()
        return self.num_rows

    def from_number(self, start: int = 0) -> Iterator[Numbered]:
        """Yield the rows from a number on; M3ITError for a number that is out of reach."""
        at = self._piece_of(start)
        while at < len(self.pieces) or (self._unopened and self._open()):
            number = self.firsts[at]
            for offset, line in self.builder.lines(self.pieces[at]):
                if self.one_each and number < start:  # unread
                    number += 1
                    continue
                for numbered in self._read(self.pieces[at][0], offset, line, number):
                    if numbered.number >= start:
                        yield numbered
                    number += 1
            at += 1
            if at == len(self.firsts):
                self.firsts.append(number)

    def _read(self, path: str, offset: int, line: Any, number: int) -> list[Numbered]:
        """The rows of a line; one that cannot be read is there with its error."""
        found: list[Numbered] = []

        def refused(path: str, offset: int, key: str, error: Exception) -> None:
            unit = "row" if path.endswith(".parquet") else "byte"
            said = f"{path}, {unit} {offset}: {error} ({reason_of(error)})"
            found.append(Numbered(number + len(found), {}, said))

        for _, row in self.builder.read_line(path, offset, line, refused, images=True):
            found.append(Numbered(number + len(found), row))
        return found

    def _piece_of(self, number: int) -> int:
        """The last piece known to begin at or before a row."""
        while number >= self.firsts[-1] and self._unopened:
            self._open()
        if number >= self.firsts[-1] + REACH_ROWS and self.num_rows is None:
            self.count()
        if self.num_rows is None and number >= self.firsts[-1] + REACH_ROWS:
            reach = f"expected a number below {self.firsts[-1] + REACH_ROWS:,}, found {number:,}"
            raise M3ITError(f"{self.paths[0]}: {reach}. Its rows are counted as they are read: go there in steps.")
        if self.num_rows is not None and number >= self.num_rows:
            return len(self.pieces)
        return bisect_right(self.firsts, number) - 1

    def _open(self) -> bool:
        """Add the row groups of the next Parquet file, with rows; whether there are some."""
        path, before = self._unopened.pop(0), len(self.pieces)
        self.repository.columns(path)  # a file that is no Parquet is said
        metadata = open_parquet(self.repository, path).metadata
        for i in range(metadata.num_row_groups):
            group = metadata.row_group(i)
            if group.num_rows:
                begin = begin_of(group)
                self.pieces.append((path, begin, begin + 1))
                self.firsts.append(self.firsts[-1] + group.num_rows)
        return len(self.pieces) > before or bool(self._unopened and self._open())

    def _by_index(self) -> list[int]:
        """The number of the first row of each piece, and of all rows, by the index of each file."""
        index = {path: load_index(Path(self.repository.root, path)) for path in self.paths}
        firsts, before = [], 0
        for path in self.paths:
            starts = index[path]
            begins = [start for name, start, _ in self.pieces if name == path]
            firsts += (before + np.searchsorted(starts[:-1], begins)).tolist()
            before += len(starts) - 1
        return [*firsts, before]


def _cut(path: str, size: int) -> list[tuple[str, int, int]]:
    return [(path, start, min(start + PIECE_BYTES, size)) for start in range(0, size, PIECE_BYTES)]
