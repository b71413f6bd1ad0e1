"""The files of the published repositories: which hold the rows of a config, and whether they are there at all."""

import fnmatch
import posixpath
import re

from M3IT import SPLITS, Repository
from m3it.reading.published.table import INF, TABLE, Raw
from m3it.rows.instance import ShardError

BRANCH = "refs/convert/parquet"
PARQUET = re.compile(
    r"([^/]+)/(?:(partial-)?(train|validation|test)/\d+|[\w.-]*?(train|validation|test)(?:-\d+-of-\d+)?)\.parquet"
)
SPLIT_WORD = re.compile("(?<![a-z])(train|validation|val|dev|test)(?![a-z])")
SHARD = re.compile(r"-\d+-of-\d+")
POINTER = b"version https://git-lfs"
POINTER_BYTES = 1024  # by Git LFS's specification a pointer is smaller


def locate(repository: Repository, raw: Raw) -> dict[str, list[str]]:
    """Split -> paths: under the newest name that is there and not empty; in another group's folder if it moved. Of a
    folder that the table does not know, all that are there."""
    found: dict[str, list[str]] = {}
    if not raw.files:
        words = {path: SPLIT_WORD.findall(posixpath.basename(path))[:1] for path in rows_in(repository, raw.folder)}
        named = any(words.values())
        for path, (word, *_) in ((path, [*split, "train"]) for path, split in words.items() if split or not named):
            found.setdefault(SPLITS[word], []).append(path)
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
    known_folders = {posixpath.basename(raw.folder) for raw in TABLE.values()}
    paths = (path.split("/") for path in repository.files if path.endswith(".jsonl"))
    folders = (parts[1:3] for parts in paths if len(parts) == 4 and parts[0] == "data")
    return {
        name.replace("_", "-"): Raw(f"{group}/{name}", "", "", None, INF, "not in the table")
        for group, name in folders
        if name not in known_folders
    }


def rows_in(repository: Repository, folder: str) -> list[str]:
    """The JSON Lines of a folder below data/."""
    return [p for p in repository.files if posixpath.dirname(p) == f"data/{folder}" and p.endswith(".jsonl")]


def check_alone(found: dict[str, list[str]]) -> None:
    """ShardError where a split has several files that are not the shards of one: which of them it is, is not known."""
    for split, paths in found.items():
        if len({SHARD.sub("", path) for path in paths}) > 1:
            raise ShardError(
                f"{' and '.join(paths)} could both be the {split} split; expected one. Move the others away."
            )


def converted_files(repository: Repository) -> dict[str, dict[str, tuple[list[str], bool]]]:
    """Config -> split -> (paths, whether the split is cut off) of the converted branch."""
    found: dict[str, dict[str, tuple[list[str], bool]]] = {}
    for match in filter(None, map(PARQUET.fullmatch, repository.files)):
        paths, _ = found.setdefault(match[1], {}).setdefault(match[3] or match[4], ([], bool(match[2])))
        paths.append(match[0])
    return found


def check_file(repository: Repository, path: str) -> None:
    """ShardError where a clone has a Git LFS pointer instead of the data."""
    size = repository.size(path)
    head = repository.read(path, 0, size) if 0 < size < POINTER_BYTES else b""
    if head.startswith(POINTER):
        stated = re.search(rb"^size (\d+)", head, re.MULTILINE)
        expected = f"expected {int(stated[1]) if stated else 0:,} bytes of data, found a Git LFS pointer instead"
        raise ShardError(f"{path}: {expected}. Run in that clone: git lfs pull --include '{path}'", "Git LFS pointer")


def read_text(repository: Repository, path: str) -> str:
    """A small file as text."""
    check_file(repository, path)
    data = repository.read(path, 0, repository.size(path))
    repository.check_unchanged(path)
    return data.decode("utf-8-sig")
