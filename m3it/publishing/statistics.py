"""What the Hub's viewer counts in a split: which columns get buttons to filter by, and which spoil its statistics.

In: rows as they stand in a file. Out: a Tally of a file, several of which make that of a split; a Finding where the
viewer (huggingface/dataset-viewer, libcommon/statistics_utils.py, as of 2026-08) fails on it.
"""

import math
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow.parquet as pq

from m3it.publishing.hub_rules import Finding, broken, limit_of

FIRST = 100  # texts by which the viewer takes a column for one of dates
FEW_TEXTS, SHARE, MOST_TEXTS = limit_of("filter-values-few")


class Column:
    """The values of a column: how many; the least and the most of numbers, and of the lengths of texts and lists; the
    first texts; whether all texts are years; the texts that differ, by their hashes: None where they are too many for
    buttons."""

    def __init__(self) -> None:
        self.num_values, self.least, self.most = 0, math.inf, -math.inf
        self.first: list[str] = []
        self.are_years = True
        self.texts: set[int] | None = set()

    def add(self, value: Any) -> None:
        """Count a whole number, a text or a list. Of other values the viewer counts nothing that our columns have."""
        kind = type(value)
        if kind is not int and kind is not str and kind is not list:
            return
        size = value if kind is int else len(value)
        self.num_values += 1
        if size < self.least:
            self.least = size
        if size > self.most:
            self.most = size
        if kind is str:
            self._add_text(value)

    def _add_text(self, text: str) -> None:
        if len(self.first) < FIRST:
            self.first.append(text)
        if self.are_years:
            self.are_years = bool(limit_of("texts-not-years").fullmatch(text))
        if self.texts is not None:
            self.texts.add(hash(text))
            if len(self.texts) > MOST_TEXTS:
                self.texts = None

    def merge(self, other: "Column") -> None:
        """Count the values of another file of the split, too."""
        self.num_values += other.num_values
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        self.first += other.first[: FIRST - len(self.first)]
        self.are_years &= other.are_years
        self.texts = None if self.texts is None or other.texts is None else self.texts | other.texts

    def num_texts(self, num_rows: int) -> int:
        """How many texts differ, as far as it is known; null counts as one of them."""
        return MOST_TEXTS + 1 if self.texts is None else len(self.texts) + (self.num_values < num_rows)

    def has_buttons(self, num_rows: int) -> bool:
        """Whether the viewer makes buttons of the texts."""
        num_texts = self.num_texts(num_rows)
        return bool(self.first) and num_texts <= max(FEW_TEXTS, min(MOST_TEXTS, SHARE * num_rows))

    def problem(self, num_rows: int) -> str:
        """Why the viewer's statistics fail at this column; "" where they do not."""
        if overflows(self.first):
            return "a number as text, above 2**31"
        if not self.num_values or self.has_buttons(num_rows) or (self.first and self.are_years):
            return ""
        if self.num_values == 1:
            return "one value"
        of_what = "letters" if self.first else "values or lengths"
        return f"{self.least} and {self.most} {of_what}" if self.most - self.least == 1 else ""


def overflows(texts: list[str]) -> bool:
    """Whether the viewer, which tries the first texts as dates until one is none, comes to a number that is too large
    for a year."""
    from dateutil.parser import parse  # as the viewer does

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of time zones that it does not know
        for text in texts:
            try:
                parse(text)
            except ValueError:
                return False
            except OverflowError:
                return True
    return False


class Tally:
    """The columns of a file or a split, and its rows."""

    def __init__(self) -> None:
        self.num_rows = 0
        self.columns: dict[str, Column] = {}

    def add(self, row: Any) -> None:
        """Count a row; what is no row has no columns."""
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
    """Yield the columns of a split that the viewer cannot count, or takes for what they are not, and those to filter by
    that get no buttons."""
    if not tally.num_rows:
        yield broken("statistics-computed", where, "expected rows, found none")
    problems = {name: problem for name, column in tally.columns.items() if (problem := column.problem(tally.num_rows))}
    if problems:
        found = ", ".join(f"{name} ({problem})" for name, problem in problems.items())
        yield broken("statistics-computed", where, f"the viewer cannot count {found}")
    if years := [name for name, column in tally.columns.items() if column.first and column.are_years]:
        yield broken("texts-not-years", where, f"found numbers of four digits alone in {', '.join(years)}")
    for name in sorted(limit_of("filter-columns-present") & set(tally.columns)):
        column = tally.columns[name]
        if column.first and not column.has_buttons(tally.num_rows):
            num_texts = column.num_texts(tally.num_rows)
            found = f"more than {MOST_TEXTS:,}" if num_texts > MOST_TEXTS else f"{num_texts:,}"
            expected = f"expected {FEW_TEXTS} values of {name} at most, or {MOST_TEXTS:,} and {SHARE:.0%} of the rows"
            yield broken("filter-values-few", where, f"{expected}; found {found} in {tally.num_rows:,} rows")
