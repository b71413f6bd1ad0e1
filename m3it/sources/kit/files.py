"""The authors' files, read where they lie.

`root` is a `SourcePath`: a folder as a user downloads it. A zip or tar archive in it counts as if it were unpacked
beside itself, so `root / "train2014" / "x.jpg"` is found in the folder `train2014` or in `train2014.zip`. Nothing is
ever written there.
"""

import difflib
import gzip
import os
import posixpath
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

from m3it.rows.instance import SourceError
from m3it.sources.kit.archives import ARCHIVES, Archive, Opened, clean, is_outside, same_bytes


class Files:
    """What lies below one root, on disk and inside its archives; threads may share it, and it travels by its folder."""

    def __init__(self, folder: Path, homepage: str = ""):
        self.folder, self.homepage, self._opened = folder, homepage, Opened()
        self.base = str(folder)  # each row asks
        self.missed = ""  # the first path at which a picture of the split was looked for in vain
        if not folder.is_dir():
            raise SourceError(f"{folder}: expected a folder with the source files; there is none. Pass it with --root.")

    def __reduce__(self) -> tuple[Any, ...]:
        return Files, (self.folder, self.homepage)

    @cached_property
    def on_disk(self) -> list[str]:
        """Every file's path below the root, sorted; those in linked folders too."""
        return sorted(_walk(self.base))

    @cached_property
    def archives(self) -> list[tuple[str, Archive]]:
        """(prefix, archive): the prefix is the folder that holds the archive."""
        found = [name for name in self.on_disk if name.endswith(ARCHIVES)]
        return [(posixpath.dirname(name) or ".", Archive(self.folder / name, self._opened)) for name in found]

    def locate(self, path: str) -> str | tuple[Archive, str] | None:
        """Where the bytes of a path are: a file, an archive's member, or nowhere, as all is that is not below the
        root."""
        if is_outside(path):
            return None
        file = f"{self.base}/{path}"
        if os.path.isfile(file):
            return file
        found = None
        for prefix, archive in self.archives:
            inner = path if prefix == "." else path.removeprefix(prefix + "/")
            if found and archive.is_dear:
                continue  # not unpacked only to see whether it holds the same file again
            if inner in archive.members:
                if found and not archive.has_bytes_of(inner, *found):
                    raise SourceError(
                        f"{archive.path}: its {inner} has other bytes than that of {found[0].path}. Take one of the "
                        "two archives away."
                    )
                found = found or (archive, inner)
        if found is None and not path.isascii():
            spelt = self.spellings.get(unicodedata.normalize("NFC", path), path)
            return None if spelt == path else self.locate(spelt)
        return found

    @cached_property
    def spellings(self) -> dict[str, str]:
        """The path of each file by its form NFC: macOS writes accents as characters of their own."""
        return {unicodedata.normalize("NFC", name): name for name in self.names if not name.isascii()}

    @cached_property
    def names(self) -> list[str]:
        """Every path below the root, sorted; for error messages and listings."""
        names = set(self.on_disk)
        for prefix, archive in self.archives:
            names.update(clean(f"{prefix}/{name}") for name in archive.members)
        return sorted(names)

    def hint(self, path: str) -> str:
        """Where a file of that name lies instead, as a sentence; empty where none does."""
        name = posixpath.basename(path)
        for found in self.on_disk:
            if posixpath.basename(found) == name:
                return f" A file of that name lies in {self.folder / posixpath.dirname(found)}."
        for _, archive in self.archives:
            for member in archive.members:
                if posixpath.basename(member) == name:
                    return f" A file of that name lies in {archive.path}, as {member}."
        return ""


def _walk(folder: str, prefix: str = "", above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """The path below `folder` of each file; a link that leads back to a folder above it is not entered again."""
    found = os.stat(folder)
    here = (found.st_dev, found.st_ino)
    if here in above:
        return
    try:
        with os.scandir(folder) as entries:
            # Left out: what macOS adds to each file, and where a download keeps what is not whole yet.
            listed = [entry for entry in entries if not entry.name.startswith("._") and entry.name != ".work"]
    except PermissionError:
        return  # such as lost+found; what is needed of it is said to be missing
    for entry in listed:
        if entry.is_dir():
            yield from _walk(entry.path, f"{prefix}{entry.name}/", (*above, here))
        elif entry.is_file():
            yield f"{prefix}{entry.name}"


class SourcePath:
    """A path below the root, on disk or in an archive: used as `pathlib.Path` is, as far as it goes."""

    def __init__(self, files: Files | Path | str, path: str = "."):
        self.files = files if isinstance(files, Files) else Files(Path(files).expanduser())
        self.path = path

    def __truediv__(self, name: str | int) -> "SourcePath":
        path = str(name) if str(name).startswith("/") else f"{self.path}/{name}"  # as of `pathlib.Path`
        return SourcePath(self.files, path if path.startswith("/") else clean(path))

    def __str__(self) -> str:
        return str(self.files.folder / self.path)

    def __repr__(self) -> str:  # the same wherever the root lies: rows are compared by it
        return f"SourcePath({self.path!r})"

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self.path).stem

    @property
    def is_outside(self) -> bool:
        """Whether it leads out of the root, as "../photo.png" and "/home/photo.png" do: such a file is never read."""
        return is_outside(self.path)

    def exists(self) -> bool:
        """Whether it is a file here, on disk or in an archive (a folder is not)."""
        return self.files.locate(self.path) is not None

    def iterdir(self) -> Iterator["SourcePath"]:
        """The files directly below, and below its subfolders, in the order of their names."""
        prefix = "" if self.path == "." else self.path + "/"
        found = [name for name in self.files.names if name.startswith(prefix)]
        if not found:
            self.files.missed = self.files.missed or prefix
        return (SourcePath(self.files, name) for name in found)

    def named(self, endings: tuple[str, ...] = ("",), key: Callable[["SourcePath"], str] | None = None) -> "Named":
        """The files below by their names, or by what `key` makes of them, whatever folder they lie in."""
        return Named((path for path in self.iterdir() if path.name.endswith(endings)), key)

    def first(self, *names: str) -> "SourcePath":
        """The first of several names under which users hold the same file; SourceError if there is none."""
        for name in names:
            if (self / name).exists():
                return self / name
        raise self.missing(*names)

    def either(self, *names: str) -> "SourcePath":
        """The first of several names under which a picture may lie; where none is there, the first of all."""
        paths = [self / name for name in names]
        found = next((path for path in paths if path.exists()), None)
        if found is None:
            self.files.missed = self.files.missed or paths[0].path
        return found or paths[0]

    def missing(self, *names: str) -> SourceError:
        """The error that says which file is missing, where it comes from, and what lies there instead."""
        if self.is_outside:
            return SourceError(f"{self.files.folder}: {self.path} lies outside of this folder: it is not read.")
        wanted = " or ".join((self / name).path for name in names) or self.path
        near = difflib.get_close_matches(PurePosixPath(names[0] if names else self.path).name, self.files.names, 3, 0.5)
        tops = near or sorted({name.split("/")[0] for name in self.files.names})[:8]
        source = f" It is downloaded from {self.files.homepage}." if self.files.homepage else ""
        hint = self.files.hint(names[0] if names else self.path)
        return SourceError(
            f"{self.files.folder}: {wanted} is not there; found {', '.join(tops) or 'nothing'}.{hint}{source}"
        )

    def local(self) -> Path | None:
        """The real file, if it lies on disk and not in an archive."""
        place = self.files.locate(self.path)
        return Path(place) if isinstance(place, str) else None

    def state(self) -> tuple[int, int]:
        """(its size in bytes, when it was changed last, in ns), the time of its archive if it lies in one; zeros where
        it is missing."""
        try:
            if self.is_outside:
                return 0, 0
            found = os.stat(f"{self.files.base}/{self.path}")
            return found.st_size, found.st_mtime_ns
        except (OSError, ValueError):
            place = self.files.locate(self.path)
        if place is None:
            return 0, 0
        if isinstance(place, str):  # under another spelling
            return os.stat(place).st_size, os.stat(place).st_mtime_ns
        archive, name = place
        member = archive.members[name]
        return (
            member.file_size if isinstance(member, zipfile.ZipInfo) else member.size,
            os.stat(archive.path).st_mtime_ns,
        )

    def has_bytes_of(self, other: "SourcePath") -> bool:
        """Whether both files hold the same bytes."""
        if self.state()[0] != other.state()[0]:
            return False
        with self.open() as mine, other.open() as theirs:
            return same_bytes(mine, theirs)

    def open(self) -> IO[bytes]:
        """The file, opened for reading; SourceError where it is missing."""
        place = self.files.locate(self.path)
        if place is None:
            raise self.missing()
        return open(place, "rb") if isinstance(place, str) else place[0].open(place[1])

    def read_bytes(self) -> bytes:
        """The bytes; SourceError where it is missing."""
        content = self.read_if_there()
        if content is None:
            raise self.missing()
        return content

    def read_if_there(self) -> bytes | None:
        """The bytes; None where it is missing."""
        place = self.files.locate(self.path)
        if place is None:
            return None
        try:
            with open(place, "rb", 0) if isinstance(place, str) else place[0].open(place[1]) as file:
                return file.read()
        except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
            raise SourceError(f"{self}: cannot be unpacked ({error}). Download its archive again.") from error

    def read_text(self) -> str:
        """The text as UTF-8, a byte order mark left out, `.gz` unpacked."""
        raw = self.read_bytes()
        try:
            return (gzip.decompress(raw) if self.name.endswith(".gz") else raw).decode("utf-8-sig")
        except (UnicodeDecodeError, OSError, EOFError) as error:
            raise SourceError(f"{self}: expected UTF-8 text ({error}). Download it again.") from error


class Named:
    """Files by name. Two of one name may be copies of one another; where they differ nobody knows which is meant:
    SourceError for who asks for them."""

    def __init__(self, paths: Iterable[SourcePath], key: Callable[[SourcePath], str] | None = None):
        self._paths: dict[str, SourcePath] = {}
        self._others: dict[str, list[SourcePath]] = {}  # of a name that is not unique, all but the last
        for path in paths:
            name = unicodedata.normalize("NFC", key(path) if key else path.name)
            if name in self._paths:
                self._others.setdefault(name, []).append(self._paths[name])
            self._paths[name] = path

    def __contains__(self, name: str) -> bool:
        return unicodedata.normalize("NFC", name) in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def get(self, name: str, default: SourcePath) -> SourcePath:
        """The file of that name, else the default; SourceError where there are several that differ."""
        name = unicodedata.normalize("NFC", name)
        path = self._paths.get(name, default)
        for other in self._others.get(name, ()):
            if not other.has_bytes_of(path):
                raise SourceError(f"{path}: {other} has the same name and other bytes. Take one of them away.")
        self._others.pop(name, None)  # compared once
        return path


def coco_2014(image_id: int) -> list[str]:
    """Where a COCO image of 2014 may lie by its number, for those whose part is not known."""
    return [f"{part}/COCO_{part}_{image_id:012d}.jpg" for part in ("train2014", "val2014")]
