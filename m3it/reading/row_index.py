"""Where rows start in a shard: the index that lets a local file be read in any order, made at the speed of line
reading, kept in the cache."""

import hashlib
import os
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow

CHUNK_BYTES = 1 << 24


def row_starts(path: Path | str) -> np.ndarray:
    """Byte offset of each row of a JSON Lines file, and the file's size as the last entry: (rows + 1,) int64. Blank
    lines are no rows."""
    starts, blank = [], True
    with open(path, "rb", buffering=0) as file:
        offset = line_start = (
            3 if file.read(3) == b"\xef\xbb\xbf" else 0
        )  # a byte order mark is no part of the first row
        file.seek(offset)
        while chunk := file.read(CHUNK_BYTES):
            at = 0
            while (end := chunk.find(b"\n", at)) >= 0:
                if not (blank and _is_blank(chunk, at, end)):
                    starts.append(line_start)
                at = end + 1
                line_start, blank = offset + at, True
            if blank and not _is_blank(chunk, at, len(chunk)):
                blank = False
            offset += len(chunk)
    if not blank:
        starts.append(line_start)
    return np.array([*starts, offset], dtype=np.int64)


def _is_blank(chunk: bytes, start: int, stop: int) -> bool:
    """Whether a stretch is white space only; looks at the first byte before it copies anything."""
    return start == stop or (chunk[start] in b" \t\r\x0b\x0c" and chunk[start:stop].isspace())


def load_index(path: Path | str, cache_dir: Path | str | None = None) -> np.ndarray:
    """`row_starts` of a local file, from the cache if the file's size and time are those of then; memory-mapped, so
    that workers share it."""
    path = Path(path).absolute()
    stat = path.stat()
    name = hashlib.sha256(f"{path} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:32]
    cached = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser() / "m3it-index" / f"{name}.npy"
    if not cached.exists():
        cached.parent.mkdir(parents=True, exist_ok=True)
        unfinished = cached.with_name(f".{name}.{os.getpid()}.npy")
        np.save(unfinished, row_starts(path))
        os.replace(unfinished, cached)
    return mapped(cached)


class Mapped(np.ndarray):
    """An array that is memory-mapped from a file. It travels to other processes as the file's name, which they map
    again."""

    path: Path | None = None  # None for what was cut out of it

    def __reduce__(self) -> Any:
        return super().__reduce__() if self.path is None else (mapped, (self.path,))


def mapped(path: Path) -> np.ndarray:
    """The array in a .npy file, memory-mapped. Unlike NumPy's, it keeps no file open: a set may have a thousand."""
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        begin = file.tell()
    with pyarrow.memory_map(str(path)) as source:
        array = np.frombuffer(source.read_buffer(), dtype, offset=begin).reshape(shape).view(Mapped)
    array.path = path
    return array
