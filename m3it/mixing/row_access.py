"""How the rows of a split are read: one by one where an index tells where they begin, else a unit at a time.

one by one    local JSON Lines and WebDataset; compressed files, unpacked into the cache; a split over a network of up
              to 256 MiB, and WebDataset of any size, copied there; M3IT-80
a unit        row groups of Parquet, whose footers count the rows; pieces of bigger JSON Lines over a network, whose
              rows are estimated
Which it is depends on the files alone, never on what the cache holds, so that the order of rows does, too.

With filters only the rows that pass are rows: all are looked at once, of Parquet the columns that the filters name, and
which ones pass is kept in the cache. So an epoch has each of them once, batches are full, and a position is found at
once. Pieces over a network, too big to be looked through, give those that pass when they are read.
"""

import functools
import itertools
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import numpy as np
import pyarrow
from datasets.fingerprint import Hasher

from M3IT import M3IT, Repository, RowFilter, ShardError, begin_of, open_parquet
from m3it.mixing.local_copies import Copies, is_remote, local_copy
from m3it.mixing.webdataset import group
from m3it.reading.published.joined import Legacy80
from m3it.reading.published.raw import Legacy
from m3it.reading.row_index import load_index
from m3it.work.cache import keep_array

COPY_BYTES = 256 << 20  # over a network: a split up to this size is copied, and then read in any order
LANE_PIECE_BYTES = 4 << 20  # what is read at once of a bigger one: each of 64 lanes holds two or three


class Indexed:
    """A split whose rows can be read one by one: of each file, where its lines begin. `counts`: rows per line of each
    file, where a line may hold several. `lines`: whether they are lines of JSON, of which nothing is read beyond."""

    order = "full shuffle"
    sizes = None
    row_bytes = 0  # none are held
    together = False
    shown = None
    passing: np.ndarray | None = None  # the numbers of the rows that pass the filters, if there are any
    left_out = 0  # the number of the others

    def __init__(
        self,
        builder: M3IT,
        paths: list[str],
        starts: list[np.ndarray],
        counts: list[np.ndarray] | None = None,
        *,
        lines: bool = False,
    ):
        self.builder, self.paths, self.starts, self.counts, self.lines = builder, paths, starts, counts, lines
        self.ends = np.cumsum([len(array) - 1 for array in starts] if counts is None else [a.sum() for a in counts])
        self.num_rows = int(self.ends[-1])
        self._lines = [np.cumsum(array) for array in counts or ()]  # the rows that end with each line

    def keep(self, passing: np.ndarray) -> None:
        """Have these rows only."""
        self.passing, self.left_out, self.num_rows = passing, self.num_rows - len(passing), len(passing)

    def read(self, number: int, refused: Any = None) -> tuple[str, dict[str, Any]] | None:
        """(key, row) of a row by its number; None if it was dropped. `refused`: as for `M3IT.read`."""
        number = number if self.passing is None else int(self.passing[number])
        file = int(self.ends.searchsorted(number, "right"))
        line, ending = number - (int(self.ends[file - 1]) if file else 0), ""
        if self.counts is not None:
            row, line = line, int(self._lines[file].searchsorted(line, "right"))
            if self.counts[file][line] > 1:
                ending = f"#{row - int(self._lines[file][line] - self.counts[file][line])}"
        piece = (self.paths[file], int(self.starts[file][line]), int(self.starts[file][line + 1]))
        rows = self.builder.read(piece, refused)
        if self.lines:
            rows = self.builder.read_line(piece[0], piece[1], self.builder.repository.read(*piece), refused)
        return next((keyed for keyed in rows if keyed[0].endswith(ending)), None)


class Grouped:
    """A split that is read a unit at a time: row groups, with known numbers of rows, or pieces, with estimated ones."""

    together = False  # whether the rows of a unit follow each other
    shown: dict[str, np.ndarray] | None = None  # of each file a number for what each row shows, where it matters
    passing: dict[str, np.ndarray] | None = None  # of each file the numbers of the rows that pass, if there are filters
    left_out: int | None = 0  # the number of the others; None where it is not known

    def __init__(
        self,
        builder: M3IT,
        pieces: list[tuple[str, int, int]],
        sizes: np.ndarray,
        row_bytes: int,
        firsts: np.ndarray | None = None,
    ):
        self.builder, self.pieces, self.sizes, self.row_bytes, self.firsts = builder, pieces, sizes, row_bytes, firsts
        self.num_rows = int(sizes.sum())
        unit = "row groups" if firsts is not None else "pieces (rows estimated)"
        self.order = f"{unit}, shuffled in windows"

    def keep(self, passing: dict[str, np.ndarray]) -> None:
        """Have these rows of each file only, and the row groups that hold some."""
        assert self.firsts is not None
        files = [passing[path] for path, _, _ in self.pieces]
        starts = [int(numbers.searchsorted(first)) for numbers, first in zip(files, self.firsts, strict=True)]
        ends = self.firsts + self.sizes
        stops = [int(numbers.searchsorted(end)) for numbers, end in zip(files, ends, strict=True)]
        sizes = np.array(stops, np.int64) - np.array(starts, np.int64)
        filled = np.flatnonzero(sizes)
        self.passing, self.left_out, self.num_rows = passing, self.num_rows - int(sizes.sum()), int(sizes.sum())
        self.pieces, self.sizes = [self.pieces[i] for i in filled], sizes[filled]
        self.firsts = np.array(starts, np.int64)[filled]

    def in_file(self, unit: int) -> np.ndarray:
        """Of the rows of a row group, their numbers in its file."""
        assert self.firsts is not None
        first, size = int(self.firsts[unit]), int(self.sizes[unit])
        every = np.arange(first, first + size)
        return every if self.passing is None else self.passing[self.pieces[unit][0]][every]

    def pictures_of(self, unit: int) -> np.ndarray | None:
        """A number for what each row of a unit shows; None where it does not matter, or is not known."""
        return None if self.shown is None else self.shown[self.pieces[unit][0]][self.in_file(unit)]

    def read(self, unit: int) -> list[tuple[str, dict[str, Any]] | None]:
        """(key, row) of all rows of a unit; None for a dropped one of a row group. A piece without rows: the next."""
        if self.firsts is not None:
            rows = self.builder.read(self.pieces[unit], images=True)  # bytes as they are, not by way of base64
            found = {int(key.rpartition(":")[2]): (key, row) for key, row in rows}
            return [found.get(number) for number in self.in_file(unit).tolist()]
        for after in range(len(self.pieces)):
            piece = self.pieces[(unit + after) % len(self.pieces)]
            if read := list(self.builder.read(piece)):
                return read
        raise ShardError(f"{self.builder.config.name}: no row of it can be read")


def open_rows(
    builder: M3IT, split: str, cache_dir: str | None = None, wanted: RowFilter | None = None
) -> Indexed | Grouped:
    """How the rows of a split are read, or only those that are wanted, by kind, size and place of its files; what was
    counted is kept in the cache."""
    rows = _open_all(builder, split, cache_dir, wanted)
    if not wanted or rows.left_out is None:
        return rows
    builder.filter = wanted  # from here on: the index of a file counts all of its rows
    name, identity = f"passing {named(wanted)} {builder.hash}", builder.repository.identity
    if isinstance(rows, Indexed):
        about = f"{name} {identity(rows.paths)} {rows.paths}"
        rows.keep(keep_array(about, functools.partial(_passing, rows), cache_of(cache_dir)))
        return rows
    passing = {}
    for path in dict.fromkeys(piece[0] for piece in rows.pieces):
        find = functools.partial(_passing_of_parquet, builder, path)
        passing[path] = keep_array(f"{name} {identity([path])} {path}", find, cache_of(cache_dir))
    rows.keep(passing)
    return rows


def _open_all(builder: M3IT, split: str, cache_dir: str | None, wanted: RowFilter | None) -> Indexed | Grouped:
    """How the rows of a split are read: all of them, but those that are wanted of pieces over a network."""
    shards = builder.shards(builder.config.name)
    if split not in shards:
        raise ValueError(f"{builder.config.name} has no split {split!r}; it has {', '.join(shards) or 'none'}.")
    paths, repository = shards[split], builder.repository
    cache = cache_of(cache_dir)
    if isinstance(builder, Legacy):
        builder.pieces(split)  # reads the small files beside the rows, which then travel along
    if isinstance(builder, Legacy80):
        return _joined(builder, split)
    if paths[0].endswith(".parquet"):
        return _row_groups(builder, paths, cache)
    far = is_remote(repository) and sum(repository.size(path) for path in paths) > COPY_BYTES
    if far and all(path.endswith(".jsonl") for path in paths):
        builder.filter = wanted
        return _pieces(builder, paths, cache)
    return _indexed(builder, paths, cache)


def cache_of(cache_dir: str | None) -> Path:
    """The folder of the cache."""
    return Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser()


def named(wanted: RowFilter) -> str:
    """What tells filters from others, and a function from one of the same name."""
    return f"{wanted} {Hasher.hash([wanted.given, wanted.source]) if callable(wanted.given) else ''}"


def _passing(rows: Indexed) -> np.ndarray:
    """The numbers of the rows that pass the filters of their builder, and of those that cannot be read: what becomes of
    these is decided where they are read."""
    unread: list[Any] = []

    def numbers() -> Iterator[int]:
        for number in range(rows.num_rows):
            if rows.read(number, lambda *told: unread.append(told)) or unread:
                unread.clear()
                yield number

    return np.fromiter(numbers(), np.int64)


def _passing_of_parquet(builder: M3IT, path: str) -> np.ndarray:
    """The same of a file of Parquet, by its row numbers; only the columns that are asked about are read, where these
    tell all."""
    whole, held = (path, 0, builder.repository.size(path)), builder.repository.columns(path)
    told = asked = builder.asked_of_files
    if asked is not None and asked.expression is None:
        told = asked.told_by(held)
    if str(told) == str(builder.filter):
        rows = builder.read_rows(whole, columns=told.columns(held)[:1])
        return np.fromiter((number for number, _ in rows), np.int64)
    unread: list[int] = []

    def numbers() -> Iterator[int]:
        for key, _ in builder.read(whole, lambda path, number, *told: unread.append(number)):
            yield from unread
            unread.clear()
            yield int(key.rpartition(":")[2])
        yield from unread

    return np.fromiter(numbers(), np.int64)


def _indexed(builder: M3IT, paths: list[str], cache: Path) -> Indexed:
    """Rows of files that lie on this machine, or were copied or unpacked into its cache, each read by its place."""
    repository = builder.repository
    copies = {
        path: local_copy(repository, path, cache)
        if is_remote(repository) or path.endswith((".gz", ".zst", ".json", ".tsv"))
        else Path(repository.root, path)
        for path in paths
    }
    builder.repository = mirror = Copies(repository, copies)
    places = []
    for path, file in copies.items():
        places.append(_tar_starts(file, cache) if path.endswith(".tar") else load_index(file, cache))
    readable, counts = [mirror.plain(path) for path in paths], None
    if isinstance(builder, Legacy):
        counts = [_counts(builder, path, starts, cache) for path, starts in zip(readable, places, strict=True)]
    return Indexed(builder, readable, places, counts, lines=not paths[0].endswith(".tar"))


def _joined(builder: Legacy80, split: str) -> Indexed:
    """Rows of M3IT-80, told apart by their numbers; the file of pictures is fetched whole, as for `load_dataset`."""
    path, repository = builder.pictures_path(split), builder.repository
    if repository.commit:
        huggingface_hub.hf_hub_download(
            str(repository.repo_id), path, repo_type="dataset", revision=repository.commit, token=builder.token
        )
    return Indexed(builder, [path], [np.arange(len(builder.texts(path)) + 1)])


def _row_groups(builder: M3IT, paths: list[str], cache: Path) -> Grouped:
    """The row groups of Parquet files, by their footers."""
    pieces, sizes, size_bytes = [], [], 0
    for path in paths:
        about = f"groups {builder.repository.identity([path])} {path}"
        found = keep_array(about, functools.partial(_groups, builder.repository, path), cache)
        pieces += [(path, begin, begin + 1) for begin in found[0].tolist()]
        sizes.append(found[1])
        size_bytes += int(found[2].sum())
    counted = np.concatenate(sizes)
    firsts = np.concatenate([np.cumsum(array) - array for array in sizes])
    filled = np.flatnonzero(counted)
    rows = max(1, int(counted.sum()))
    return Grouped(builder, [pieces[i] for i in filled], counted[filled], size_bytes // rows, firsts[filled])


def _groups(repository: Repository, path: str) -> np.ndarray:
    """(3, row groups): where each begins, its rows, its bytes."""
    try:
        metadata = open_parquet(repository, path).metadata
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise ShardError(f"{path}: no Parquet ({error}). Download or write it again.") from error
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    table = [[begin_of(group), group.num_rows, group.total_byte_size] for group in groups]
    return np.array(table, np.int64).reshape(-1, 3).T


def _pieces(builder: M3IT, paths: list[str], cache: Path) -> Grouped:
    """Pieces of JSON Lines over a network; their rows are estimated from three of them."""
    pieces = []
    for path in paths:
        size = builder.repository.size(path)
        count = max(1, round(size / LANE_PIECE_BYTES))
        bounds = [size * i // count for i in range(count + 1)]
        pieces += [(path, start, stop) for start, stop in itertools.pairwise(bounds)]

    def estimate() -> np.ndarray:
        sample = [pieces[0], pieces[len(pieces) // 2], pieces[-1]]
        rows = sum(1 for piece in sample for _ in builder.read(piece))
        return np.array([sum(stop - start for _, start, stop in sample) // rows if rows else 0])

    about = f"estimate {builder.hash} {builder.repository.identity(paths)} {paths}"
    about += f" {named(builder.filter)}" if builder.filter else ""
    row_bytes = int(keep_array(about, estimate, cache)[0])
    if not row_bytes:
        found = f"{builder.config.name}: no row found in three pieces of {', '.join(paths)}"
        if builder.filter:
            raise ShardError(f"{found} that passes filters={builder.filter}. Change them, or download the files.")
        raise ShardError(f"{found}. Is it JSON Lines?")
    sizes = np.array([max(1, round((stop - start) / row_bytes)) for _, start, stop in pieces])
    rows = Grouped(builder, pieces, sizes, row_bytes)
    rows.left_out = None if builder.filter else 0
    return rows


def _counts(builder: M3IT, path: str, starts: np.ndarray, cache: Path) -> np.ndarray:
    """Rows per line of a raw file, whose lines may hold several answers: all are mapped, once. A line that cannot be
    mapped counts as one row."""

    def count() -> np.ndarray:
        rows = np.zeros(len(starts) - 1, np.int64)
        for key, _ in builder.read((path, 0, int(starts[-1]))):
            offset, _, number = key.rpartition(":")[2].partition("#")
            line = np.searchsorted(starts, int(offset))
            rows[line] = max(rows[line], int(number or 0) + 1)
        return np.maximum(rows, 1)

    return keep_array(f"counts {builder.hash} {builder.repository.identity([path])} {path}", count, cache)


def _tar_starts(path: Path, cache: Path) -> np.ndarray:
    """Where the rows of a WebDataset begin, and the end of the last one."""

    def scan() -> np.ndarray:
        starts, end = [], 0
        try:
            with tarfile.open(path, "r:") as archive:
                for _, files in group(archive):
                    starts.append(files[0][1].offset)
                    last = files[-1][1]
                    end = last.offset_data + -(-last.size // 512) * 512
        except tarfile.TarError as error:
            raise ShardError(f"{path}: no whole tar ({error}). Download or write it again.") from error
        return np.array([*starts, end], np.int64)

    stat = path.stat()
    return keep_array(f"tar rows {path} {stat.st_size} {stat.st_mtime_ns}", scan, cache)
