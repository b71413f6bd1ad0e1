"""How the rows of a split are read: one by one where an index tells where they begin, else a unit at a time.

one by one    local JSON Lines and WebDataset; compressed files, unpacked into the cache; a split over a network of up
              to 256 MiB, and WebDataset of any size, copied there; M3IT-80
a unit        row groups of Parquet, whose footers count the rows; pieces of bigger JSON Lines over a network, whose
              rows are estimated
Which it is depends on the files alone, never on what the cache holds, so that the order of rows does, too.
"""

import functools
import itertools
import tarfile
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import numpy as np
import pyarrow

from M3IT import M3IT, Repository, ShardError, begin_of, open_parquet
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

    def read(self, number: int) -> tuple[str, dict[str, Any]] | None:
        """(key, row) of a row by its number; None if it was dropped."""
        file = int(self.ends.searchsorted(number, "right"))
        line, ending = number - (int(self.ends[file - 1]) if file else 0), ""
        if self.counts is not None:
            row, line = line, int(self._lines[file].searchsorted(line, "right"))
            if self.counts[file][line] > 1:
                ending = f"#{row - int(self._lines[file][line] - self.counts[file][line])}"
        piece = (self.paths[file], int(self.starts[file][line]), int(self.starts[file][line + 1]))
        rows = self.builder.read(piece)
        if self.lines:
            rows = self.builder.read_line(piece[0], piece[1], self.builder.repository.read(*piece))
        return next((keyed for keyed in rows if keyed[0].endswith(ending)), None)


class Grouped:
    """A split that is read a unit at a time: row groups, with known numbers of rows, or pieces, with estimated ones."""

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

    def read(self, unit: int) -> list[tuple[str, dict[str, Any]] | None]:
        """(key, row) of all rows of a unit; None for a dropped one of a row group. A piece without rows: the next."""
        if self.firsts is not None:
            rows = self.builder.read(self.pieces[unit], images=True)  # bytes as they are, not by way of base64
            found = {int(key.rpartition(":")[2]): (key, row) for key, row in rows}
            return [found.get(int(self.firsts[unit]) + i) for i in range(int(self.sizes[unit]))]
        for after in range(len(self.pieces)):
            piece = self.pieces[(unit + after) % len(self.pieces)]
            if read := list(self.builder.read(piece)):
                return read
        raise ShardError(f"{self.builder.config.name}: no row of it can be read")


def open_rows(builder: M3IT, split: str, cache_dir: str | None = None) -> Indexed | Grouped:
    """How the rows of a split are read, by kind, size and place of its files; what was counted is kept in the cache."""
    shards = builder.shards(builder.config.name)
    if split not in shards:
        raise ValueError(f"{builder.config.name} has no split {split!r}; it has {', '.join(shards) or 'none'}.")
    paths, repository = shards[split], builder.repository
    cache = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser()
    if isinstance(builder, Legacy):
        builder.pieces(split)  # reads the small files beside the rows, which then travel along
    if isinstance(builder, Legacy80):
        return _joined(builder, split)
    if paths[0].endswith(".parquet"):
        return _row_groups(builder, paths, cache)
    far = is_remote(repository) and sum(repository.size(path) for path in paths) > COPY_BYTES
    if far and all(path.endswith(".jsonl") for path in paths):
        return _pieces(builder, paths, cache)
    return _indexed(builder, paths, cache)


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
    row_bytes = int(keep_array(about, estimate, cache)[0])
    if not row_bytes:
        raise ShardError(
            f"{builder.config.name}: no row found in three pieces of {', '.join(paths)}. Is it JSON Lines?"
        )
    sizes = np.array([max(1, round((stop - start) / row_bytes)) for _, start, stop in pieces])
    return Grouped(builder, pieces, sizes, row_bytes)


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
