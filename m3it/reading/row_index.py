"""Where rows start in a shard: the index that lets a local file be read in any order, made at the speed of line
reading, kept in the cache."""

from pathlib import Path

import numpy as np

from m3it.rows.instance import ShardError
from m3it.work.cache import keep_array

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

    def find() -> np.ndarray:
        starts, after = row_starts(path), path.stat()
        if (after.st_size, after.st_mtime_ns) != (stat.st_size, stat.st_mtime_ns):
            raise ShardError(f"{path}: changed while it was read. Call again when it stands still.", "changed")
        return starts

    return keep_array(f"{path} {stat.st_size} {stat.st_mtime_ns}", find, cache_dir)
