"""Copies of files, made once and kept in the cache."""

import functools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from M3IT import RangeFile, Repository, ShardError, unpack
from m3it.mixing.json_array import lines
from m3it.mixing.tab_table import table_lines
from m3it.work.cache import digest, keep

BLOCK_BYTES = 16 << 20
OPEN_FILES = 64


def is_remote(repository: Repository) -> bool:
    """Whether its files are not on this machine."""
    protocol = repository.fs.protocol
    return repository.commit is not None or "file" not in ([protocol] if isinstance(protocol, str) else protocol)


class Copies(Repository):
    """A repository with local copies of some files; one that was unpacked goes by its name without the ending, an array
    in JSON and a table by that of JSON Lines. No row is read of a file that has changed since it was listed or
    copied."""

    def __init__(self, repository: Repository, copies: dict[str, Path]):
        vars(self).update(vars(repository))
        self.copies = {self.plain(path): str(copy) for path, copy in copies.items()}
        self.names = {self.plain(path): path for path in copies}
        self.stamps = {path: stamp(os.stat(copy)) for path, copy in self.copies.items()}

    @staticmethod
    def plain(path: str) -> str:
        """The name of a file without the ending of its compression; of an array in JSON, with that of its lines."""
        return re.sub(r"\.(json|tsv)$", ".jsonl", path.removesuffix(".gz").removesuffix(".zst"))

    def original(self, key: str) -> str:
        """A row's key by the name of the file that was unpacked."""
        path, colon, place = key.rpartition(":")
        return f"{self.names.get(path, path)}{colon}{place}"

    def where(self, path: str, offset: int) -> str:
        place: str = super().where(path, offset)
        return self.names.get(path, path) + place.removeprefix(path)

    def size(self, path: str) -> int:
        return self.stamps[path][0] if path in self.copies else super().size(path)

    def read(self, path: str, start: int, stop: int) -> bytes:
        if path not in self.copies:
            return super().read(path, start, stop)
        copy = self.copies[path]
        file = opened(copy, self.stamps[path])
        data = os.pread(file.number, stop - start, start)
        if len(data) != stop - start or stamp(os.fstat(file.number)) != self.stamps[path]:
            opened.cache_clear()
            raise ShardError(f"{copy}: changed while it was read. Call again when it stands still.", "changed")
        return data


class File:
    """A file that is open for reading until nobody needs it."""

    def __init__(self, path: str):
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:  # at the exit of Python `os` may be gone
        if hasattr(self, "number"):
            close(self.number)


@functools.lru_cache(OPEN_FILES)
def opened(path: str, version: tuple[int, int]) -> File:
    """An open file. A process keeps the ones it used last: a training may read a thousand shards, in any order."""
    return File(path)


def stamp(stat: os.stat_result) -> tuple[int, int]:
    """(size, time) of a file, by which a change is seen."""
    return stat.st_size, stat.st_mtime_ns


def local_copy(repository: Repository, path: str, cache: Path) -> Path:
    """A local copy of a file, unpacked if it is compressed, made once; ShardError if the file changed meanwhile."""

    def fetch(unfinished: Path) -> None:
        with open(unfinished, "wb") as file:
            file.writelines(_unpacked(repository, path))
        repository.check_unchanged(path)

    name = f"{digest(f'{repository.identity([path])} {path}')}{Path(Copies.plain(path)).suffix}"
    return keep("files", name, fetch, cache)


def _unpacked(repository: Repository, path: str) -> Iterator[bytes]:
    """Yield the bytes of a file, decompressed by its ending; of an array in JSON, its lines."""
    stream: Any = RangeFile(repository, path)
    if path.endswith((".gz", ".zst")):
        stream = unpack(stream)
    if path.endswith((".json", ".json.gz", ".json.zst")):
        yield from lines(stream, f"{repository.path}/{path}")
    if path.endswith(".tsv"):
        yield from table_lines(stream, f"{repository.path}/{path}")
        return
    while block := stream.read(BLOCK_BYTES):
        yield block
