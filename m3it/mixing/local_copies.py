"""Copies of files and of what was counted in them, made once and kept in the cache."""

import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from filelock import FileLock

from M3IT import RangeFile, Repository, ShardError
from m3it.mixing.json_array import lines
from m3it.reading.row_index import mapped

BLOCK_BYTES = 16 << 20
OPEN_FILES = 64


def is_remote(repository: Repository) -> bool:
    """Whether its files are not on this machine."""
    protocol = repository.fs.protocol
    return repository.commit is not None or "file" not in ([protocol] if isinstance(protocol, str) else protocol)


class Copies(Repository):
    """A repository with local copies of some files; one that was unpacked goes by its name without the ending, an array
    in JSON by that of JSON Lines. No row is read of a file that has changed since it was listed or copied."""

    def __init__(self, repository: Repository, copies: dict[str, Path]):
        vars(self).update(vars(repository))
        self.copies = {self.plain(path): str(copy) for path, copy in copies.items()}
        self.names = {self.plain(path): path for path in copies}
        self.stamps = {path: stamp(os.stat(copy)) for path, copy in self.copies.items()}

    @staticmethod
    def plain(path: str) -> str:
        """The name of a file without the ending of its compression; of an array in JSON, with that of its lines."""
        return re.sub(r"\.json$", ".jsonl", path.removesuffix(".gz").removesuffix(".zst"))

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
        if stamp(os.fstat(file.number)) != self.stamps[path]:
            opened.cache_clear()
            raise ShardError(f"{copy}: has changed since it was listed. Start again when it stands still.")
        data = os.pread(file.number, stop - start, start)
        if len(data) != stop - start:
            raise ShardError(
                f"{copy}: asked for {stop - start} bytes from {start} on, got {len(data)}. Has it changed?"
            )
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
    name = f"{digest(f'{repository.identity([path])} {path}')}{Path(Copies.plain(path)).suffix}"
    target = cache / "m3it-files" / name
    with lock(cache, name):
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_name(f".{name}")
            with open(unfinished, "wb") as file:
                file.writelines(_unpacked(repository, path))
            if has_changed(repository, path):
                unfinished.unlink()
                raise ShardError(
                    f"{repository.path}/{path}: changed while it was copied. Start again when it is whole."
                )
            os.replace(unfinished, target)
    return target


def has_changed(repository: Repository, path: str) -> bool:
    """Whether a file is another than the one that was listed, by what both times say of it."""
    if repository.commit:
        return False
    repository.fs.invalidate_cache()
    listed, now = repository.files[path], repository.fs.info(f"{repository.root}/{path}")
    return any(listed[key] != now[key] for key in ("size", "ETag", "mtime") if key in listed and key in now)


def _unpacked(repository: Repository, path: str) -> Iterator[bytes]:
    """Yield the bytes of a file, decompressed by its ending; of an array in JSON, its lines."""
    stream: Any = RangeFile(repository, path)
    if kind := {".gz": "gzip", ".zst": "zstd"}.get(Path(path).suffix):
        stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(stream, mode="r"), kind)
    if path.endswith((".json", ".json.gz", ".json.zst")):
        yield from lines(stream, f"{repository.path}/{path}")
    while block := stream.read(BLOCK_BYTES):
        yield block


def kept(cache: Path, what: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """What `make` returns, from the cache if it was made before; memory-mapped, so that workers share it."""
    file = cache / "m3it-index" / f"{digest(what)}.npy"
    with lock(cache, file.stem):
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = file.with_name(f".{file.name}")
            np.save(unfinished, make())
            os.replace(unfinished, file)
    return mapped(file)


def lock(cache: Path, what: str) -> FileLock:
    """By which processes of one machine that start together wait for each other."""
    (cache / "m3it-locks").mkdir(parents=True, exist_ok=True)
    return FileLock(cache / "m3it-locks" / digest(what))


def digest(text: str) -> str:
    """A name for a file of the cache."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
