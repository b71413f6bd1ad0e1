"""The authors' files, read where they lie: one module per dataset, each with `convert(root, split)`.

`root` is a `SourcePath`: a folder as a user downloads it. A zip or tar archive in it counts as if it were unpacked beside itself, so
`root / "train2014" / "x.jpg"` is found in the folder `train2014` or in `train2014.zip`. Nothing is ever written there.
"""

import csv
import difflib
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from m3it.instance import SourceError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


class Archive:
    """One zip or tar archive; opened at first use, and again in every process that it travels to."""

    def __init__(self, path: Path):
        self.path = path

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    @cached_property
    def _file(self) -> Any:
        return zipfile.ZipFile(self.path) if self.path.suffix == ".zip" else tarfile.open(self.path)

    @cached_property
    def members(self) -> dict[str, Any]:
        """Member by its path inside, folders left out."""
        try:
            if isinstance(self._file, zipfile.ZipFile):
                return {_clean(m.filename): m for m in self._file.infolist() if not m.is_dir()}
            return {_clean(m.name): m for m in self._file.getmembers() if m.isfile()}
        except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
            raise SourceError(f"{self.path}: not a readable archive ({error}). Download it again.") from error

    def read_bytes(self, name: str) -> bytes:
        """The bytes of one member."""
        if isinstance(self._file, zipfile.ZipFile):
            return self._file.read(self.members[name])
        return self._file.extractfile(self.members[name]).read()


def _clean(name: str) -> str:
    return str(PurePosixPath(name)).removeprefix("./")


class Files:
    """What lies below one root, on disk and inside its archives."""

    def __init__(self, folder: Path, homepage: str = ""):
        self.folder, self.homepage = folder, homepage
        if not folder.is_dir():
            raise SourceError(f"{folder}: expected a folder with the source files; there is none. Pass it with --root.")

    @cached_property
    def archives(self) -> list[tuple[str, Archive]]:
        """(prefix, archive): the prefix is the folder that holds the archive."""
        found = sorted(p for p in self.folder.rglob("*") if p.name.endswith(ARCHIVES) and p.is_file())
        return [(_clean(p.parent.relative_to(self.folder).as_posix()), Archive(p)) for p in found]

    def locate(self, path: str) -> Path | tuple[Archive, str] | None:
        """Where the bytes of a path are: a file, an archive's member, or nowhere."""
        if (self.folder / path).is_file():
            return self.folder / path
        for prefix, archive in self.archives:
            inner = path if prefix == "." else path.removeprefix(prefix + "/")
            if inner in archive.members:
                return archive, inner
        return None

    @cached_property
    def names(self) -> list[str]:
        """Every path below the root, sorted; for error messages and listings."""
        names = {p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if p.is_file()}
        for prefix, archive in self.archives:
            names.update(_clean(f"{prefix}/{name}") for name in archive.members)
        return sorted(names)


class SourcePath:
    """A path below the root, on disk or in an archive: `/`, `name`, `exists`, `iterdir`, `read_bytes`, `read_text`."""

    def __init__(self, files: Files | Path | str, path: str = "."):
        self.files = files if isinstance(files, Files) else Files(Path(files).expanduser())
        self.path = path

    def __truediv__(self, name: str | int) -> "SourcePath":
        return SourcePath(self.files, _clean(f"{self.path}/{name}"))

    def __str__(self) -> str:
        return str(self.files.folder / self.path)

    __repr__ = __str__

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self.path).stem

    def exists(self) -> bool:
        """Whether it is a file here, on disk or in an archive (a folder is not)."""
        return self.files.locate(self.path) is not None

    def iterdir(self) -> Iterator["SourcePath"]:
        """The files directly below, and below its subfolders, in the order of their names."""
        prefix = "" if self.path == "." else self.path + "/"
        return (SourcePath(self.files, name) for name in self.files.names if name.startswith(prefix))

    def first(self, *names: str) -> "SourcePath":
        """The first of several names under which users hold the same file; SourceError if there is none."""
        for name in names:
            if (self / name).exists():
                return self / name
        raise self.missing(*names)

    def missing(self, *names: str) -> SourceError:
        """The error that says which file lacks, where it comes from, and what lies there instead."""
        wanted = " or ".join(names) or self.name
        near = difflib.get_close_matches(PurePosixPath(names[0] if names else self.path).name, self.files.names, 3, 0.5)
        tops = near or sorted({name.split("/")[0] for name in self.files.names})[:8]
        source = f" It is downloaded from {self.files.homepage}." if self.files.homepage else ""
        return SourceError(f"{self.files.folder}: {wanted} is not there; found {', '.join(tops) or 'nothing'}.{source}")

    def local(self) -> Path | None:
        """The real file, if it lies on disk and not in an archive."""
        place = self.files.locate(self.path)
        return place if isinstance(place, Path) else None

    def num_bytes(self) -> int:
        """Its size, 0 where it lacks."""
        place = self.files.locate(self.path)
        if place is None or isinstance(place, Path):
            return place.stat().st_size if place else 0
        member = place[0].members[place[1]]
        return member.file_size if isinstance(member, zipfile.ZipInfo) else member.size

    def read_bytes(self) -> bytes:
        """The bytes; SourceError where it lacks."""
        place = self.files.locate(self.path)
        if place is None:
            raise self.missing()
        return place.read_bytes() if isinstance(place, Path) else place[0].read_bytes(place[1])

    def read_text(self) -> str:
        """The text as UTF-8, a byte order mark left out, `.gz` unpacked."""
        raw = self.read_bytes()
        try:
            return (gzip.decompress(raw) if self.name.endswith(".gz") else raw).decode("utf-8-sig")
        except (UnicodeDecodeError, OSError, EOFError) as error:
            raise SourceError(f"{self}: expected UTF-8 text ({error}). Download it again.") from error


def read_json(path: SourcePath) -> Any:
    """The one JSON value of a file."""
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise SourceError(f"{path}: expected one JSON value, {error}. Download it again.") from error


def read_lines(path: SourcePath) -> list[str]:
    """The lines of a text file without their ends; a last empty line is none. Only \\n and \\r\\n end a line."""
    lines = path.read_text().split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def read_jsonl(path: SourcePath) -> Iterator[Any]:
    """The JSON value of each line; blank lines are passed over."""
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise SourceError(f"{path}:{number}: expected a JSON value, {error}. Download it again.") from error


def read_csv(path: SourcePath, delimiter: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> Iterator[dict[str, str]]:
    """The rows of a table with a header, each as column -> text."""
    yield from csv.DictReader(io.StringIO(path.read_text(), newline=""), delimiter=delimiter, quoting=quoting)
