"""Zip and tar archives read in place, each member by its name; a compressed tar by a plain copy of its own."""

import gzip
import io
import os
import posixpath
import shutil
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from m3it.rows.instance import SourceError

COMPRESSED = (".tar.gz", ".tgz")
ARCHIVES = (".zip", ".tar", *COMPRESSED)
# Archives a thread: ImageNet's training pictures are a thousand, and a process may open 256 files on some systems.
MAX_OPEN = 48
BLOCK_BYTES = 1 << 20  # read at a time where two files are compared


class Opened(threading.local):
    """The archives that a thread has open: another thread, or a forked process, would share the place in the file."""

    def __init__(self) -> None:
        self.files: dict[tuple[int, Path], Any] = {}

    def file(self, path: Path, unpack: Callable[[], "Unpacked | None"]) -> Any:
        """The archive at the path, opened; of a compressed one what `unpack` gives."""
        key = (os.getpid(), path)
        file = self.files.pop(key, None)
        if file is None:
            file = zipfile.ZipFile(path) if path.suffix == ".zip" else tarfile.open(path, fileobj=unpack())  # noqa: SIM115
        self.files[key] = file  # the last used stands last
        if len(self.files) > MAX_OPEN:
            self.files.pop(next(iter(self.files))).close()
        return file


class Unpacked(io.RawIOBase):
    """A temporary file without a name, read from a place of one's own: threads and forked processes share the file, and
    it is gone with the last of them, however that ends."""

    def __init__(self, file: IO[bytes]):
        self._file, self._place = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = 0) -> int:
        base = (0, self._place, os.fstat(self._file.fileno()).st_size)[whence]
        self._place = base + place
        return self._place

    def readinto(self, buffer: Any) -> int:
        read = os.pread(self._file.fileno(), len(buffer), self._place)
        buffer[: len(read)] = read
        self._place += len(read)
        return len(read)


class Archive:
    """One zip or tar archive, opened at first use in each thread and each forked process."""

    def __init__(self, path: Path, opened: Opened):
        self.path, self._opened, self._unpacking = path, opened, threading.Lock()
        self._copy: IO[bytes] | None = None

    @property
    def _file(self) -> Any:
        return self._opened.file(self.path, self._unpack)

    def _unpack(self) -> Unpacked | None:
        """Of a compressed tar a plain copy among the temporary files, since each step back in it would unpack it anew
        from its beginning; None of any other, which is read where it lies."""
        if not self.path.name.endswith(COMPRESSED):
            return None
        with self._unpacking:
            if self._copy is None:
                self._copy = _unpacked(self.path)
        return Unpacked(self._copy)

    @cached_property
    def members(self) -> dict[str, Any]:
        """Member by its path inside; folders, and what would be unpacked elsewhere, are left out. A link is the file
        that it leads to."""
        try:
            found: dict[str, Any]
            if isinstance(self._file, zipfile.ZipFile):
                found = {clean(m.filename): m for m in self._file.infolist() if not m.is_dir()}
            else:
                found = _tar_members(self._file.getmembers())
            return {name: member for name, member in found.items() if not is_outside(name)}
        except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # of the disk, not of what is on it
                raise SourceError(f"{self.path}: cannot be opened, {error}.") from error
            raise SourceError(f"{self.path}: not a readable archive ({error}). Download it again.") from error

    @property
    def is_dear(self) -> bool:
        """Whether its members are not known yet, and it must be unpacked to know them."""
        return self._copy is None and self.path.name.endswith(COMPRESSED)

    def has_bytes_of(self, name: str, other: "Archive", other_name: str) -> bool:
        """Whether a member holds the bytes of another archive's."""
        with self.open(name) as mine, other.open(other_name) as theirs:
            return same_bytes(mine, theirs)

    def open(self, name: str) -> IO[bytes]:
        """One member, opened for reading."""
        if not isinstance(self._file, zipfile.ZipFile):
            return self._file.extractfile(self.members[name])
        try:
            return self._file.open(self.members[name])
        except RuntimeError as error:  # a password is asked for, or it is packed in a way that Python does not know
            raise SourceError(f"{self.path}: {error}. Unpack it by hand, and take the archive away.") from error


def _unpacked(path: Path) -> IO[bytes]:
    """The plain copy of a compressed tar, without a name; SourceError, before or after, where it has no room."""
    folder = tempfile.gettempdir()
    needed, free = _unpacked_bytes(path), shutil.disk_usage(folder).free
    advice = "Unpack it by hand beside itself, or set TMPDIR to a folder with more room."
    if needed > free:
        raise SourceError(
            f"{path}: unpacking it takes about {needed / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free. {advice}"
        )
    copy = tempfile.TemporaryFile(prefix="m3it-")  # noqa: SIM115
    try:
        with gzip.open(path) as file:
            shutil.copyfileobj(file, copy, BLOCK_BYTES)
        copy.flush()
    except OSError as error:
        copy.close()
        if not error.errno:  # the file itself is broken
            raise
        raise SourceError(f"{path}: cannot be unpacked into {folder}, {error}. {advice}") from error
    except BaseException:
        copy.close()
        raise
    return copy


def _unpacked_bytes(path: Path) -> int:
    """About how many bytes a gzip file holds: its last four say the number, but for multiples of 4 GiB; pictures and
    clips hardly shrink."""
    packed = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(max(0, packed - 4))
        said = int.from_bytes(file.read(4), "little")
    return said + max(0, -(-(packed - packed // 50 - said) // (1 << 32))) * (1 << 32)


def _tar_members(listed: list[tarfile.TarInfo]) -> dict[str, tarfile.TarInfo]:
    """The files of a tar by their paths, links under their own paths, too."""
    found = {clean(m.name): m for m in listed if m.isfile()}
    links = {clean(m.name): m for m in listed if m.islnk() or m.issym()}
    for name, link in links.items():
        seen: set[str] = set()
        target = name
        while target in links and target not in seen:
            seen.add(target)
            link = links[target]
            target = clean(link.linkname if link.islnk() else f"{posixpath.dirname(target)}/{link.linkname}")
        if target in found:
            found.setdefault(name, found[target])
    return found


def same_bytes(mine: IO[bytes], theirs: IO[bytes]) -> bool:
    """Whether two opened files hold the same bytes."""
    while True:
        block = mine.read(BLOCK_BYTES)
        if block != theirs.read(BLOCK_BYTES):
            return False
        if not block:
            return True


def clean(name: str) -> str:
    """The path without empty parts and dots, as `str(PurePosixPath(name))` at a tenth of its time: each row asks. What
    leads out of the folder begins with ".."."""
    if ".." in name:
        return posixpath.normpath(name.lstrip("/"))
    return "/".join(part for part in name.split("/") if part not in ("", ".")) or "."


def is_outside(path: str) -> bool:
    """Whether a path is none below the root: a file that annotations may not name."""
    return path.startswith(("../", "/")) or path == ".."
