"""Copies of files, made once and kept in the cache."""

import os
import shutil
from pathlib import Path
from typing import Any

from M3IT import RangeFile, Repository, ShardError, unpack
from m3it.work.cache import digest, keep

BLOCK_BYTES = 16 << 20


def is_remote(repository: Repository) -> bool:
    """Whether its files are not on this machine."""
    protocol = repository.fs.protocol
    return repository.commit is not None or "file" not in ([protocol] if isinstance(protocol, str) else protocol)


def state_of(stat: os.stat_result) -> tuple[int, int]:
    """What tells one state of a file from another."""
    return stat.st_size, stat.st_mtime_ns


class Copies(Repository):
    """A repository with local copies of some files; one that was unpacked goes by its name without the ending."""

    def __init__(self, repository: Repository, copies: dict[str, Path]):
        vars(self).update(vars(repository))
        self.copies = {self.plain(path): str(copy) for path, copy in copies.items()}
        self.names = {self.plain(path): path for path in copies}
        self.states = {path: state_of(os.stat(copy)) for path, copy in self.copies.items()}
        self._open: dict[str, int] = {}

    @staticmethod
    def plain(path: str) -> str:
        return path.removesuffix(".gz").removesuffix(".zst")

    def original(self, key: str) -> str:
        """A row's key by the name of the file that was unpacked."""
        path, colon, place = key.rpartition(":")
        return f"{self.names.get(path, path)}{colon}{place}"

    def size(self, path: str) -> int:
        return os.path.getsize(self.copies[path]) if path in self.copies else super().size(path)

    def read(self, path: str, start: int, stop: int) -> bytes:
        if path not in self.copies:
            return super().read(path, start, stop)
        if path not in self._open:
            self._open[path] = os.open(self.copies[path], os.O_RDONLY)
        data = os.pread(self._open[path], stop - start, start)
        if len(data) != stop - start or state_of(os.fstat(self._open[path])) != self.states[path]:
            raise ShardError(
                f"{self.copies[path]}: changed while it was read. Call again when it stands still.", "changed"
            )
        return data

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_open": {}}


def local_copy(repository: Repository, path: str, cache: Path) -> Path:
    """A local copy of a file, unpacked if it is compressed, made once."""

    def fetch(unfinished: Path) -> None:
        with open(unfinished, "wb") as file:
            shutil.copyfileobj(_unpacked(repository, path), file, BLOCK_BYTES)
        repository.check_unchanged(path)

    name = f"{digest(f'{repository.identity([path])} {path}')}{Path(Copies.plain(path)).suffix}"
    return keep("files", name, fetch, cache)


def _unpacked(repository: Repository, path: str) -> Any:
    """The bytes of a file as a stream, decompressed by its ending."""
    source = RangeFile(repository, path)
    return unpack(source) if path.endswith((".gz", ".zst")) else source
