"""The authors' files, read where they lie.

`root` is a `SourcePath`: a folder as a user downloads it. A zip or tar archive in it counts as if it were unpacked
beside itself, so `root / "train2014" / "x.jpg"` is found in the folder `train2014` or in `train2014.zip`. Nothing is
ever written there.
"""

import csv
import difflib
import gzip
import io
import json
import os
import posixpath
import re
import shutil
import tarfile
import tempfile
import threading
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

from m3it.rows.instance import SourceError

COMPRESSED = (".tar.gz", ".tgz")
ARCHIVES = (".zip", ".tar", *COMPRESSED)
# Archives a thread: ImageNet's training pictures are a thousand, and a process may open 256 files on some systems.
MAX_OPEN = 48
BETWEEN = re.compile(r"[\s,:]*")  # what stands between the values of a JSON list or object
AFTER = re.compile(r"\s*[,:\]}]")  # what tells that a value is at its end
NUM_CHARACTERS = 1 << 20  # of a piece of a large JSON file
OPENING_CHARACTERS = 1 << 10  # the most that what opens a list of values takes
BLOCK_BYTES = 1 << 20  # read at a time where two files are compared
MAX_FIELD_CHARACTERS = (1 << 31) - 1  # of a table's field: the most that Python takes on every system
FIELD_LIMIT = threading.Lock()  # held while the limit of the whole process is another one


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
                found = {_clean(m.filename): m for m in self._file.infolist() if not m.is_dir()}
            else:
                found = _tar_members(self._file.getmembers())
            return {name: member for name, member in found.items() if not _is_outside(name)}
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
            return _same_bytes(mine, theirs)

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
    found = {_clean(m.name): m for m in listed if m.isfile()}
    links = {_clean(m.name): m for m in listed if m.islnk() or m.issym()}
    for name, link in links.items():
        seen: set[str] = set()
        target = name
        while target in links and target not in seen:
            seen.add(target)
            link = links[target]
            target = _clean(link.linkname if link.islnk() else f"{posixpath.dirname(target)}/{link.linkname}")
        if target in found:
            found.setdefault(name, found[target])
    return found


def _same_bytes(mine: IO[bytes], theirs: IO[bytes]) -> bool:
    """Whether two opened files hold the same bytes."""
    while True:
        block = mine.read(BLOCK_BYTES)
        if block != theirs.read(BLOCK_BYTES):
            return False
        if not block:
            return True


def _clean(name: str) -> str:
    """The path without empty parts and dots, as `str(PurePosixPath(name))` at a tenth of its time: each row asks. What
    leads out of the folder begins with ".."."""
    if ".." in name:
        return posixpath.normpath(name.lstrip("/"))
    return "/".join(part for part in name.split("/") if part not in ("", ".")) or "."


def _is_outside(path: str) -> bool:
    """Whether a path is none below the root: a file that annotations may not name."""
    return path.startswith(("../", "/")) or path == ".."


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
        if _is_outside(path):
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
            names.update(_clean(f"{prefix}/{name}") for name in archive.members)
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
            listed = [entry for entry in entries if not entry.name.startswith("._")]  # what macOS adds to each file
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
        return SourcePath(self.files, path if path.startswith("/") else _clean(path))

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
        return _is_outside(self.path)

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
            return _same_bytes(mine, theirs)

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


def read_json(path: SourcePath) -> Any:
    """The one JSON value of a file."""
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise SourceError(f"{path}: expected one JSON value, {error}. Download it again.") from error


def read_values(path: SourcePath, opening: str) -> Iterator[Any]:
    """The JSON values from the bracket that the pattern `opening` ends in to the one that closes it, one at a time.

    An object gives key, value, key, value. The file is read piece by piece: at once, one of a gigabyte would take ten.
    """
    decode, source, place = json.JSONDecoder().raw_decode, "", -1  # -1: the opening is not found yet
    try:
        with io.TextIOWrapper(path.open(), "utf-8-sig") as file:
            while piece := file.read(max(NUM_CHARACTERS, len(source))):
                source += piece
                if place < 0 and (start := re.search(opening, source)):
                    place = start.end()
                while 0 <= place < len(source):
                    place = BETWEEN.match(source, place).end()  # type: ignore[union-attr]
                    if source[place : place + 1] in ("]", "}"):
                        return
                    try:
                        value, stop = decode(source, place)
                    except json.JSONDecodeError:
                        break  # it goes on in the next piece
                    if not AFTER.match(source, stop):
                        break  # so may a number
                    yield value
                    place = stop
                source, place = (source[place:], 0) if place >= 0 else (source[-OPENING_CHARACTERS:], place)
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise SourceError(f"{path}: expected UTF-8 text ({error}). Download it again.") from error
    found = "the file breaks off or is no JSON" if place >= 0 else "there is none"
    raise SourceError(f"{path}: expected JSON with {opening!r}; {found}. Download it again.")


def read_lines(path: SourcePath) -> list[str]:
    """The lines of a text file without their ends; a last empty line is none. Only \\n and \\r\\n end a line."""
    lines = path.read_text().split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def read_jsonl(path: SourcePath) -> Iterator[Any]:
    """The JSON value of each line; blank lines are skipped."""
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise SourceError(f"{path}:{number}: expected a JSON value, {error}. Download it again.") from error


def read_csv(path: SourcePath, delimiter: str = ",") -> Iterator[dict[str, str]]:
    """The rows of a table with a header, each as column -> text; a field may be as long as an article."""
    rows = csv.DictReader(io.StringIO(path.read_text(), newline=""), delimiter=delimiter)
    while True:
        with FIELD_LIMIT:
            limit = csv.field_size_limit(MAX_FIELD_CHARACTERS)  # of the whole process, so given back before others run
            try:
                row = next(rows, None)
            finally:
                csv.field_size_limit(limit)
        if row is None:
            return
        yield row


def coco_2014(image_id: int) -> list[str]:
    """Where a COCO image of 2014 may lie by its number, for those whose part is not known."""
    return [f"{part}/COCO_{part}_{image_id:012d}.jpg" for part in ("train2014", "val2014")]
