"""What the Hub's viewer counts in a column, gathered from rows: which columns it has buttons for, and where its
statistics fail.

In: rows as they stand in a file. Out: a Tally of a file, several of which make that of a split; a Finding where the
viewer's own code (huggingface/dataset-viewer, libcommon/statistics_utils.py, as of 2026-08) would fail on it.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow.parquet as pq

from m3it.publishing.hub_rules import Finding, broken, limit_of

FIRST = 100  # values by which the viewer takes a column of texts for one of dates
MOST_TEXTS = limit_of("filter-values-few")[2]
C_INT = 2**31  # a year from this on is more than Python's dates can be given
DATE_DIGITS = (6, 8, 12, 14)  # YYMMDD, YYYYMMDD, with hour and minute, with seconds


class Column:
    """The values of a column: how many; the least and the most of numbers, and of the lengths of texts and lists; the
    first texts; the texts that differ, by their hashes: None where they are more than buttons are made for."""

    def __init__(self) -> None:
        self.num_values, self.least, self.most = 0, 0, 0
        self.first: list[str] = []
        self.texts: set[int] | None = set()

    def add(self, value: Any) -> None:
        """Count a value; of null, truth values, fractions, bytes and structs nothing is counted that could fail."""
        is_text = isinstance(value, str)
        if is_text or isinstance(value, list):
            size = len(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            size = value
        else:
            return
        self._widen(size, size, 1)
        if is_text:
            if len(self.first) < FIRST:
                self.first.append(value)
            if self.texts is not None:
                self.texts.add(hash(value))
                self._join(set())

    def merge(self, other: "Column") -> None:
        """Count the values of another file of the split, too."""
        if other.num_values:
            self._widen(other.least, other.most, other.num_values)
        self.first += other.first[: FIRST - len(self.first)]
        self._join(other.texts)

    def _widen(self, least: int, most: int, num_values: int) -> None:
        self.least = min(self.least, least) if self.num_values else least
        self.most = max(self.most, most) if self.num_values else most
        self.num_values += num_values

    def _join(self, texts: set[int] | None) -> None:
        if self.texts is not None and texts is not None:
            self.texts |= texts
        self.texts = None if texts is None or self.texts is None or len(self.texts) > MOST_TEXTS else self.texts

    def is_category(self, num_rows: int) -> bool:
        """Whether the viewer makes buttons of the texts; null counts as one of them."""
        few, share, most = limit_of("filter-values-few")
        num_texts = most + 1 if self.texts is None else len(self.texts) + (self.num_values < num_rows)
        return num_texts <= few or (num_texts <= most and num_texts <= share * num_rows)

    def overflows(self) -> bool:
        """Whether the viewer, which tries the first texts as dates one by one, comes to one that is too large."""
        for text in self.first:
            if not text.isdecimal() or len(text) in DATE_DIGITS:
                return False
            if len(text) > 4:
                return int(text) >= C_INT
        return False


class Tally:
    """The columns of a file or a split, and its rows."""

    def __init__(self) -> None:
        self.num_rows = 0
        self.columns: dict[str, Column] = {}

    def add(self, row: Any) -> None:
        """Count a row; one that is none is left out, as it is by readers."""
        if isinstance(row, dict):
            self.num_rows += 1
            for name, value in row.items():
                self.columns.setdefault(name, Column()).add(value)

    def merge(self, others: Iterable["Tally"]) -> "Tally":
        """Itself, with the rows of other files."""
        for other in others:
            self.num_rows += other.num_rows
            for name, column in other.columns.items():
                self.columns.setdefault(name, Column()).merge(column)
        return self


def tally_parquet(file: pq.ParquetFile) -> Tally:
    """The Tally of a Parquet file, without reading the bytes of its pictures."""
    tally, paths = Tally(), [file.schema.column(i).path for i in range(len(file.schema))]
    for batch in file.iter_batches(batch_size=100, columns=[path for path in paths if not path.endswith(".bytes")]):
        for row in batch.to_pylist():
            tally.add(row)
    return tally


def check_statistics(where: str, tally: Tally) -> Iterator[Finding]:
    """Yield what the viewer cannot count in a split, or takes for what it is not; columns to filter by that it makes
    no buttons of."""
    if tally.num_rows < 2:
        yield broken("statistics-computed", where, f"expected two rows at least, found {tally.num_rows or 'none'}")
        return
    failing, years = [], []
    for name, column in tally.columns.items():
        is_text, is_category = bool(column.first), column.is_category(tally.num_rows)
        if is_text and column.overflows():
            failing.append(f"{name} (numbers as texts, above {C_INT:,})")
        elif is_text and is_category:
            pass
        elif column.num_values == 1:
            failing.append(f"{name} (one value)")
        elif column.num_values and column.most - column.least == limit_of("statistics-computed"):
            failing.append(f"{name} ({column.least} and {column.most}{' letters' * is_text})")
        elif is_text and all(map(limit_of("ids-not-years").fullmatch, column.first)):
            years.append(name)
        if is_text and not is_category and name in limit_of("filter-columns-present"):
            few, share, most = limit_of("filter-values-few")
            found = "more" if column.texts is None else f"{len(column.texts):,} in {tally.num_rows:,} rows"
            expected = f"expected {few} values of {name} at most, or {most:,} and {share:.0%} of the rows"
            yield broken("filter-values-few", where, f"{expected}; found {found}")
    if failing:
        found = f"expected no column of n and n + 1 alone, found {', '.join(failing)}"
        yield broken("statistics-computed", where, found)
    if years:
        yield broken("ids-not-years", where, f"found nothing but numbers of four digits at most in {', '.join(years)}")
