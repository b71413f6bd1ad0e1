"""The files of the published repositories: which hold the rows of a config, and whether they are there at all."""

import fnmatch
import posixpath
import re

from M3IT import SPLITS, Repository
from m3it.instance import ShardError
from m3it.legacy_table import INF, TABLE, Raw

BRANCH = "refs/convert/parquet"
PARQUET = re.compile(
    r"([^/]+)/(?:(partial-)?(train|validation|test)/\d+|[\w.-]*?(train|validation|test)(?:-\d+-of-\d+)?)\.parquet"
)
SPLIT_WORD = re.compile("train|validation|val|dev|test")
POINTER = b"version https://git-lfs"
POINTER_BYTES = 1024  # by Git LFS's specification a pointer is smaller


def locate(repository: Repository, raw: Raw) -> dict[str, list[str]]:
    """Split -> paths: under the newest name that is there and not empty; in another group's folder if it moved."""
    found: dict[str, list[str]] = {}
    for stems in raw.files.split():
        split = SPLITS[SPLIT_WORD.findall(stems)[0]]
        for folder in (raw.folder, f"*/{posixpath.basename(raw.folder)}"):
            names = (fnmatch.filter(repository.files, f"data/{folder}/{stem}.jsonl") for stem in stems.split("|"))
            paths = sorted(filter(None, names), key=lambda paths: not any(map(repository.size, paths)))
            if paths:
                found[split] = paths[0]
                break
    return found


def known(repository: Repository, config_name: str) -> Raw | None:
    """What the table says of a config, or what can be seen of a folder that it does not know."""
    return TABLE.get(config_name) or strangers(repository).get(config_name)


def strangers(repository: Repository) -> dict[str, Raw]:
    """Config -> Raw of the folders that the table does not know."""
    folders = {posixpath.basename(raw.folder) for raw in TABLE.values()}
    stems: dict[str, list[str]] = {}
    for path in repository.files:
        *parents, name = path.split("/")  # the script and the card lie at the root, below no folder
        top, parts = parents[:1], parents[1:]
        if top == ["data"] and len(parts) == 2 and parts[1] not in folders and name.endswith(".jsonl"):
            stems.setdefault("/".join(parts), []).extend([name[:-6]] if SPLIT_WORD.search(name) else [])
    return {
        posixpath.basename(folder).replace("_", "-"): Raw(folder, " ".join(names), "", None, INF, "not in the table")
        for folder, names in stems.items()
    }


def converted_files(repository: Repository) -> dict[str, dict[str, tuple[list[str], bool]]]:
    """Config -> split -> (paths, whether the split is cut off) of the converted branch."""
    found: dict[str, dict[str, tuple[list[str], bool]]] = {}
    for match in filter(None, map(PARQUET.fullmatch, repository.files)):
        paths, _ = found.setdefault(match[1], {}).setdefault(match[3] or match[4], ([], bool(match[2])))
        paths.append(match[0])
    return found


def check_file(repository: Repository, path: str) -> None:
    """ShardError where a clone has a Git LFS pointer in place of the data."""
    size = repository.size(path)
    head = repository.read(path, 0, size) if 0 < size < POINTER_BYTES else b""
    if head.startswith(POINTER):
        stated = re.search(rb"^size (\d+)", head, re.MULTILINE)
        expected = f"expected {int(stated[1]) if stated else 0:,} bytes of data, found a Git LFS pointer in their place"
        raise ShardError(f"{path}: {expected}. Run in that clone: git lfs pull --include '{path}'", "Git LFS pointer")


def read_text(repository: Repository, path: str) -> str:
    """A small file as text."""
    check_file(repository, path)
    return repository.read(path, 0, repository.size(path)).decode("utf-8-sig")
