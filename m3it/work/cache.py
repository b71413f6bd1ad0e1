"""What we keep in the cache of `datasets`: a folder a kind, each file there whole or not at all, and made once.

In: a kind, a name, what makes the file.  Out: its path, from the first process that needed it; of several that start
together on one machine the others wait. M3IT.py, which runs alone, writes the lists of rows and the commits itself.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from stat import S_ISDIR
from typing import Any, BinaryIO, NamedTuple

import datasets
import numpy as np
import pyarrow
from filelock import FileLock

from m3it.work.folder import Folder


class Kind(NamedTuple):
    """What a folder of the cache holds."""

    folder: str
    holds: str


KINDS = {
    "files": Kind("m3it-files", "copies of files from a network, and unpacked ones"),
    "indexes": Kind("m3it-index", "where the rows of a file begin, and how many there are"),
    "layouts": Kind("m3it-layouts", "how the configs of published repositories are read"),
    "commits": Kind("m3it-commits", "the commit that a branch had last, to load it offline"),
    "drops": Kind("m3it-drops", "lists of dropped rows, with their reasons"),
    "corrected": Kind("m3it-corrected", "lists of rows that corrections were put into"),
    "translations": Kind("m3it-translations", "what translation models wrote"),
    "replies": Kind("m3it-replies", "what model servers replied: asking again may cost money"),
    "locks": Kind("m3it-locks", "what processes wait for each other by; empty files"),
}


class Held(NamedTuple):
    """What the cache holds of a kind: files, and when the oldest and the newest of them were written."""

    kind: str
    holds: str
    folder: str
    num_files: int
    num_bytes: int
    oldest: datetime | None
    newest: datetime | None


def folder(kind: str, cache_dir: Path | str | None = None) -> Path:
    """Where files of a kind lie: below `cache_dir`, or where `datasets` keeps its own."""
    return Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser() / KINDS[kind].folder


def digest(text: str) -> str:
    """A name for the file that is kept for what the text says."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def lock(name: str, cache_dir: Path | str | None = None) -> FileLock:
    """By which processes of one machine that start together wait for each other."""
    locks = folder("locks", cache_dir)
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / digest(name))


def keep(kind: str, name: str, make: Callable[[Path], object], cache_dir: Path | str | None = None) -> Path:
    """The file of that name, which `make` writes to the path it is given where there is none yet."""
    path = folder(kind, cache_dir) / name
    if path.exists():
        return path
    with lock(name, cache_dir):
        if not path.exists():
            kept = Folder(path.parent)
            kept.clear(name)  # what a killed process has left
            with kept.writing(name) as unfinished:
                make(unfinished)
    return path


def keep_array(
    about: str, make: Callable[[], np.ndarray | Iterator[np.ndarray]], cache_dir: Path | str | None = None
) -> np.ndarray:
    """What `make` returns, an index that is kept for what `about` says; memory-mapped, so that workers share it. A long
    one of integers can come in parts, which are written one by one and never held together."""

    def save(unfinished: Path) -> None:
        with open(unfinished, "wb") as file:  # given a path, numpy would add .npy to it
            made = make()
            if isinstance(made, np.ndarray):
                np.save(file, made)
            else:
                _save_parts(file, made)

    path = keep("indexes", f"{digest(about)}.npy", save, cache_dir)
    try:
        return mapped(path)
    except ValueError:  # half a file: the machine went off before it was on the disk
        path.unlink(missing_ok=True)
        return mapped(keep("indexes", path.name, save, cache_dir))


def _save_parts(file: BinaryIO, parts: Iterator[np.ndarray]) -> None:
    """Write the .npy file of the parts, one after the other, as one array of int64."""
    header = np.lib.format.header_data_from_array_1_0(np.empty(0, np.int64))
    np.lib.format.write_array_header_1_0(file, header)
    count = sum(file.write(part.astype(np.int64).tobytes()) // 8 for part in parts)
    file.seek(0)  # the header is padded: it takes as many bytes with the true length
    np.lib.format.write_array_header_1_0(file, {**header, "shape": (count,)})


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
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
        begin = file.tell()
    with pyarrow.memory_map(str(path)) as source:
        flat = np.frombuffer(source.read_buffer(), dtype, offset=begin)
        array = flat.reshape(shape, order="F" if by_columns else "C").view(Mapped)
    array.path = path
    return array


def measure(kind: str, cache_dir: Path | str | None = None) -> Held:
    """What the cache holds of a kind, unfinished files too."""
    at = folder(kind, cache_dir)
    infos = [info for _, info in files_of(at)]
    times = [datetime.fromtimestamp(int(info.st_mtime), timezone.utc) for info in infos]
    size = sum(info.st_size for info in infos)
    return Held(kind, KINDS[kind].holds, str(at), len(infos), size, min(times, default=None), max(times, default=None))


def clear(kind: str, cache_dir: Path | str | None = None) -> Held:
    """Remove what the cache holds of a kind; returns what that was. A run that is using it may fail: start it again."""
    held, at = measure(kind, cache_dir), folder(kind, cache_dir)
    for path, _ in files_of(at):
        path.unlink(missing_ok=True)
    for path in sorted(at.rglob("*"), reverse=True):
        path.rmdir()
    return held


def files_of(at: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """(path, size and times) of the files below a folder."""
    for path in at.rglob("*"):
        with suppress(FileNotFoundError):  # a run at work renames its unfinished files
            info = path.lstat()
            if not S_ISDIR(info.st_mode):
                yield path, info
