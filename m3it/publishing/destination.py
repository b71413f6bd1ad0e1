"""Where a release may not be written: onto its own source, by whatever name, and over a card that no release made."""

import os
import posixpath
import re
from typing import Any

import huggingface_hub
from fsspec.implementations.cached import CachingFileSystem
from fsspec.implementations.local import LocalFileSystem

from M3IT import Repository
from m3it.rows.instance import M3ITError
from m3it.work.folder import Folder


def refuse_source(repository: Repository, out: str) -> None:
    """M3ITError if a release would lie where its rows are read from, whatever that place is called: a folder, a link, a
    URL; or in its data/, where the next reader would find it."""
    folder = Folder(out)
    source, target = place_of(repository.fs, repository.root), place_of(folder.fs, folder.root)
    rows, made = (
        place_of(fs, f"{root}/data") for fs, root in ((repository.fs, repository.root), (folder.fs, folder.root))
    )
    if source == target or rows in (target, made) or (rows[0] == target[0] and target[1].startswith(f"{rows[1]}/")):
        raise M3ITError(f"{out}: expected another folder than the one that is read. Pass another --out.")


def place_of(fs: Any, path: str) -> tuple[Any, str]:
    """(which storage, where in it): the same for one place by all of its names, links and revisions left out."""
    while isinstance(fs, CachingFileSystem):
        fs = fs.fs
    if isinstance(fs, LocalFileSystem):
        path = os.path.realpath(path)
    elif isinstance(fs, huggingface_hub.HfFileSystem):
        path = re.sub(r"@(refs/\w+/[^/]+|[^/]+)", "", path)
    return (type(fs), getattr(fs, "host", None)), posixpath.normpath(path)


def refuse_others_card(out: Folder) -> None:
    """M3ITError if a card lies there that no release has written: it would be overwritten."""
    others = [name for name in ("README.md", "LICENSES.md", "dataset_infos.json") if out.exists(name)]
    if others and not out.exists("run.json") and not out.records():
        raise M3ITError(
            f"{out.root}/{others[0]}: is there already, and no release made it: it would be overwritten. "
            "Pass another --out, or move it away."
        )


def refuse_others_files(out: Folder) -> None:
    """M3ITError if anything else lies there, such as a training run: an upload of the release would send it, too."""
    if out.exists("run.json") or out.exists(".work") or not out.fs.isdir(out.root):
        return  # a release, or one that was killed
    found = {posixpath.basename(name.rstrip("/")) for name in out.fs.ls(out.root, detail=False)}
    if others := sorted(name for name in found if name and name != "data" and not name.startswith(".")):
        raise M3ITError(
            f"{out.root}: holds {others[0]}, which no release made; an upload would send it, too. Pass another --out."
        )
