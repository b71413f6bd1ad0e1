"""How a repository is laid out, and which builder reads a config of it: our shards, or one of the published layouts.

For a config of a published layout the table of m3it/legacy.py decides: raw rows where their mapping is verified; else the rows that the Hub's own
branch refs/convert/parquet holds in the schema already, if it holds them to their end; else raw rows after all, with a warning.
"""

import hashlib
import json
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import huggingface_hub

from M3IT import M3IT, Repository, _status, find_shards, parse
from m3it.instance import ShardError
from m3it.legacy import BRANCH, INF, PARQUET, TABLE, VER, Converted, Legacy, code, converted_files, locate, say, tidy
from m3it.legacy80 import TRANSLATED, Legacy80

KINDS = {kind.__name__: kind for kind in (M3IT, Legacy, Legacy80, Converted)}


def layout(repository: Repository) -> type[M3IT]:
    """The class that reads a repository, by the names of its files."""
    files = repository.files
    if any(TRANSLATED.fullmatch(path) for path in files):
        return Legacy80
    if any(path.startswith("data/") for path in files):
        beside = any(posixpath.basename(path) in ("instructions.json", "instruction.json") for path in files)
        return (
            Legacy
            if beside or not find_shards(repository) and any(locate(repository, raw) for raw in TABLE.values())
            else M3IT
        )
    return Converted if any(PARQUET.fullmatch(path) for path in files) else M3IT


def choose_builder(
    repository: Repository,
    name: str | None,
    pinned: bool = False,
    token: str | bool | None = None,
    cache_dir: str | None = None,
    fields: dict[str, str] | None = None,
) -> tuple[type[M3IT], Repository]:
    """The class that reads config `name`, and where from. The table decides, and says so once; what was decided at a commit is kept in the cache,
    so that what was loaded once loads offline. A revision that is `pinned` is read as it is: the converted branch stands beside main only."""
    name = tidy(name) or "coco"
    if fields:
        kind = layout(repository)
        return kind if issubclass(kind, Legacy) else Legacy, repository
    asked = f"{code()} {huggingface_hub.constants.ENDPOINT} {repository.root} {name} {pinned}"
    cache = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser()
    kept = cache / "m3it-layouts" / hashlib.sha256(asked.encode()).hexdigest()[:32]
    if repository.commit and kept.exists():
        decision = Decision(*json.loads(kept.read_text("utf-8")))
    else:
        decision = decide(repository, name, pinned, token, cache_dir)
        if repository.commit:
            kept.parent.mkdir(parents=True, exist_ok=True)
            unfinished = kept.with_name(f"{kept.name}.{os.getpid()}")
            unfinished.write_text(json.dumps(decision), "utf-8")
            os.replace(unfinished, kept)
    if decision.says:
        say(f"{repository.path} {name}: {decision.says}")
    return _read_by(decision, repository, token, cache_dir)


class Decision(NamedTuple):
    """How a config is read: the class's name, whether from the converted branch, and the words for it."""

    kind: str
    from_branch: bool = False
    says: str = ""


def decide(
    repository: Repository, name: str, pinned: bool = False, token: Any = None, cache_dir: str | None = None
) -> Decision:
    """Raw rows where their mapping is verified, else the converted ones where they are complete, else raw ones with a warning."""
    kind = layout(repository)
    if not issubclass(kind, Legacy) or kind is Converted:
        return Decision(kind.__name__)
    status, evidence, splits = kind.about(repository, name)
    if not splits:
        return Decision(kind.__name__)
    if (
        status == INF
        and repository.repo_id
        and not pinned
        and splits <= _complete(repository.repo_id, name, token, cache_dir)
    ):
        return Decision(
            "Converted", True, f"rows of the branch {BRANCH}; the mapping of its raw rows is only inferred ({evidence})"
        )
    advice = "" if status == VER else f"; look at its rows first: m3it check {repository.path} --config {name}"
    return Decision(kind.__name__, False, f"raw rows, mapping {status} ({evidence}){advice}")


def _read_by(
    decision: Decision, repository: Repository, token: Any, cache_dir: str | None
) -> tuple[type[M3IT], Repository]:
    if decision.from_branch:
        repository = Repository(repository.repo_id, BRANCH, token, None, cache_dir)
    return KINDS[decision.kind], repository


def _complete(repo_id: str, name: str, token: Any, cache_dir: str | None) -> set[str]:
    """The splits of a config that the converted branch holds to their end; none where there is no such branch."""
    try:
        splits = converted_files(Repository(repo_id, BRANCH, token, None, cache_dir)).get(name, {})
    except ShardError as error:
        if _status(error) not in (401, 403, 404):
            raise
        return set()
    return {split for split, (_, partial) in splits.items() if not partial}


class Reading(NamedTuple):
    """How a config is read: its files, the fields of its first raw row, what becomes of it, and the first row or why there is none."""

    config: str
    decision: str
    files: list[str]
    fields: list[str]
    mapping: str
    row: Row | None
    error: str


def survey(
    repository: Repository, config: str | None = None, fields: dict[str, str] | None = None
) -> Iterator[Reading]:
    """Yield a Reading of each config of a repository of an old layout, from the first row of its first split."""
    for name in [tidy(config) or config] if config else layout(repository).configs(repository):
        decision = decide(repository, name)
        kind, source = _read_by(decision, repository, None, None)
        options = {"fields": fields} if fields else {}
        builder = kind(repository=source, config_name=name, **options)
        files = [path for paths in builder.shards(name).values() for path in paths]
        names, row, error = [], None, ""
        try:
            line = builder.first_line()
            names = line.fields if hasattr(line, "fields") else list(parse(line) if isinstance(line, bytes) else line)
            row = builder.map_row(parse(line) if isinstance(line, bytes) else line, files[0])[0]
        except (ValueError, ShardError) as problem:
            error = str(problem)
        yield Reading(name, decision.says or "rows in the schema", files, names, builder.says, row, error)
