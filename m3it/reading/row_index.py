"""Where rows start in a shard: the index that lets a local file be read in any order, made at the speed of line
reading, kept in the cache."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from m3it.rows.instance import ShardError
from m3it.work.cache import keep_array

CHUNK_BYTES = 1 << 20  # fits the processor's own memory: in chunks of 16 MiB the search takes half as long again
DENSE_BYTES = 1 << 12  # a line: below that, comparing all bytes at once is faster than to look for each end
NEWLINE, SPACE = ord("\n"), np.isin(np.arange(256), list(b" \t\n\r\x0b\x0c"))


def row_starts(path: Path | str) -> Iterator[np.ndarray]:
    """Yield the byte offsets of the rows of a JSON Lines file, in parts of int64, and at last the file's size. Blank
    lines are no rows."""
    blank, is_dense = True, False  # whether the line that a chunk ends in is blank so far; whether its lines are short
    with open(path, "rb", buffering=0) as file:
        offset = begin = 3 if file.read(3) == b"\xef\xbb\xbf" else 0  # a byte order mark is no part of the first row
        file.seek(offset)
        while chunk := file.read(CHUNK_BYTES):
            data = np.frombuffer(chunk, np.uint8)
            lines = np.append(0, _newlines(chunk, is_dense) + 1)  # the first one began before, the last one goes on
            is_dense = len(lines) * DENSE_BYTES > len(chunk)
            holds = ~SPACE[data[lines[:-1]]]  # of most lines the first byte tells that they hold something
            for i in np.flatnonzero(~holds).tolist():
                holds[i] = not chunk[lines[i] : lines[i + 1]].isspace()
            if len(holds):
                holds[0] |= not blank
                starts = lines[:-1] + offset
                starts[0] = begin
                yield starts[holds]
                begin, blank = offset + int(lines[-1]), True
            blank = blank and bool(SPACE[data[lines[-1] :]].all())
            offset += len(chunk)
    yield np.array([offset] if blank else [begin, offset])


def _newlines(chunk: bytes, is_dense: bool) -> np.ndarray:
    """Where lines end in a chunk: all bytes compared at once, or, of long lines as pictures make, from one to the
    next."""
    if is_dense:
        return np.flatnonzero(np.frombuffer(chunk, np.uint8) == NEWLINE)
    found, at = [], -1
    while (at := chunk.find(b"\n", at + 1)) >= 0:
        found.append(at)
    return np.array(found, np.int64)


def load_index(path: Path | str, cache_dir: Path | str | None = None) -> np.ndarray:
    """The byte offset of each row of a local JSON Lines file, and the file's size as the last entry: (rows + 1,) int64;
    from the cache if the file's size and time are those of then, memory-mapped, so that workers share it."""
    path = Path(path).absolute()
    stat = path.stat()

    def find() -> Iterator[np.ndarray]:
        yield from row_starts(path)
        after = path.stat()
        if (after.st_size, after.st_mtime_ns) != (stat.st_size, stat.st_mtime_ns):
            raise ShardError(f"{path}: changed while it was read. Call again when it stands still.", "changed")

    return keep_array(f"{path} {stat.st_size} {stat.st_mtime_ns}", find, cache_dir)
