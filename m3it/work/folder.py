"""Where work is written: a local folder or an fsspec URL, in which a file appears whole or not at all."""

import glob
import hashlib
import json
import os
import posixpath
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from fsspec.implementations.local import LocalFileSystem

from M3IT import M3ITError, open_url


class Folder:
    """Where a run writes: a local folder, or an fsspec URL such as s3://bucket/m3it. A file appears there whole or not
    at all."""

    def __init__(self, path: Path | str):
        self.fs, self.root = open_url(path, use_listings_cache=False)
        self.is_local = isinstance(self.fs, LocalFileSystem)

    @contextmanager
    def writing(self, path: str) -> Iterator[Path]:
        """A local name to write to, this thread's alone. The file gets its own when the block ends well; nothing stays
        when it does not."""
        target = posixpath.join(self.root, path)
        folder = Path(target).parent if self.is_local else Path(tempfile.mkdtemp(prefix="m3it-"))
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".{posixpath.basename(path)}.{os.getpid()}-{threading.get_ident()}.tmp"
        try:
            yield unfinished
            if self.is_local:
                os.replace(unfinished, target)
            else:
                self.fs.put_file(str(unfinished), target)
        finally:
            if folder.is_dir():
                unfinished.unlink(missing_ok=True)  # whatever ended the work, Ctrl-C too
            if not self.is_local:
                shutil.rmtree(folder, ignore_errors=True)

    def write(self, path: str, text: str) -> None:
        """Write a small file; two processes may do so at once."""
        with self.writing(path) as unfinished:
            unfinished.write_text(text, "utf-8", newline="\n")

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return self.fs.exists(posixpath.join(self.root, path))

    def sizes(self) -> dict[str, int]:
        """path -> size in bytes of all files, by one listing."""
        root = self.fs._strip_protocol(self.root)
        found = self.fs.find(root, detail=True)
        return {posixpath.relpath(name, root): info["size"] for name, info in found.items()}

    def open(self, path: str) -> Any:
        """The file, to read from."""
        return self.fs.open(posixpath.join(self.root, path), "rb")

    def size(self, path: str) -> int:
        """The file's size in bytes."""
        return self.fs.size(posixpath.join(self.root, path))

    def clear(self, path: str) -> None:
        """Remove what a killed process has left of a file; one that outlives its run fails then, and cannot meddle."""
        if self.is_local:
            target = Path(self.root, path)
            for unfinished in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
                unfinished.unlink(missing_ok=True)

    def remove(self, path: str) -> None:
        """Remove a finished file and its record."""
        for name in (path, record_of(path)):
            if self.exists(name):
                self.fs.rm_file(posixpath.join(self.root, name))

    def sweep(self) -> None:
        """The same for every shard of the folder, for when no process is at work in it."""
        if self.is_local:
            for pattern in ("data/**/.*.parquet.*tmp", "*/.*.[0-9]*-[0-9]*.tmp", "*/images/*/.*.tmp"):
                for unfinished in Path(self.root).glob(pattern):
                    unfinished.unlink(missing_ok=True)

    def records(self) -> list[dict[str, Any]]:
        """What the finished pieces left in `.work/`, by name."""
        names = sorted(self.fs.glob(posixpath.join(self.root, ".work", "*.json")))
        found = []
        for name in names:
            try:
                found.append(json.loads(self.fs.cat_file(name)))
            except ValueError as error:
                say = f"expected the record of a finished file, {error}. Delete it and the file that it is named after."
                raise M3ITError(f"{name}: {say}") from error
        return found


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Within, no other process is at work in the local folder, and what killed ones left unfinished there and in its
    replies/ is gone; M3ITError where another one is at work."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise M3ITError(
            f"{folder}: another process is at work in it. Wait until it has ended, or name another folder."
        ) from error
    try:
        for unfinished in (*folder.glob(".*.tmp"), *folder.glob("replies/*/.*.tmp")):
            unfinished.unlink(missing_ok=True)
        yield
    finally:
        (folder / ".lock").unlink(missing_ok=True)  # before it is released: what another one makes then is its own
        lock.release()


def record_of(path: str) -> str:
    """Where a run keeps the record of a file that it has finished."""
    return f".work/{path.replace('/', '--')}.json"


def absolute(path: Path | str) -> str:
    """The path of a folder from anywhere on this machine; a URL as it is."""
    return str(path) if "://" in str(path) else os.path.abspath(os.path.expanduser(path))


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as hex."""
    with open(path, "rb") as file:
        return digest_of(file)


def digest_of(file: Any) -> str:
    """The sha256 of what an open file holds, as hex."""
    digest = hashlib.sha256()
    while block := file.read(1 << 22):
        digest.update(block)
    return digest.hexdigest()


def text_of(path: Path | str) -> str:
    """What a text file holds; M3ITError where it is no UTF-8."""
    return "".join(lines_of(path))


def lines_of(path: Path | str) -> Iterator[str]:
    """Yield the lines of a text file, ends included; M3ITError where it is no UTF-8."""
    try:
        with open(path, encoding="utf-8") as lines:
            yield from lines
    except UnicodeDecodeError as error:
        raise M3ITError(
            f"{path}: expected text in UTF-8, {error}. Is it the right file? Else write it anew."
        ) from error


def refuse_other(path: Path | str, start: bytes, kind: str) -> None:
    """M3ITError where a file stands that does not begin as one of the kind does: nobody's notes are overwritten."""
    if Path(path).is_file():
        with open(path, "rb") as file:
            head = file.read(64)
        if head and not head.lower().startswith(start.lower()):
            raise M3ITError(f"{path}: holds something else than {kind}, found {head[:16]!r}. Name another file.")


def write_json(path: Path | str, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path | str, text: str) -> None:
    """Write a small file, whole or not at all."""
    folder, name = posixpath.split(absolute(path))
    Folder(folder).write(name, text)


def writing(path: Path | str) -> AbstractContextManager[Path]:
    """A local name to write a file to, that appears whole or not at all when the block ends."""
    folder, name = posixpath.split(absolute(path))
    return Folder(folder).writing(name)
