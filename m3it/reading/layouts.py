"""How a repository is laid out, and which builder reads a config of it: our shards, or a published layout.

For a config of the published ones m3it/reading/published/table.py decides: raw rows where their mapping is verified;
else the rows that the Hub's own branch refs/convert/parquet holds in the schema already, if it holds them to their end;
else raw rows after all, with a warning.
"""

import functools
import json
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub

from M3IT import M3IT, UNREADABLE, Repository, as_row, find_shards, http_status, twin_of
from m3it.reading.published.files import BRANCH, PARQUET, converted_files, locate
from m3it.reading.published.joined import TRANSLATED, Joined, Legacy80
from m3it.reading.published.raw import Converted, Legacy, code, say
from m3it.reading.published.table import TABLE, VER, tidy
from m3it.rows.instance import M3ITError, ShardError
from m3it.work import cache
from m3it.work.folder import write_text

# The builders by the words that stand for them in caches: a class may get another name, the words stay.
KINDS = {"ours": M3IT, "raw": Legacy, "joined": Legacy80, "converted": Converted}
WORDS = {kind: word for word, kind in KINDS.items()}


class Decision(NamedTuple):
    """How a config is read: the word for its builder, whether from the converted branch, the words for people, and
    whether one should look at the rows."""

    kind: str
    from_branch: bool = False
    says: str = ""
    look: bool = False


class Reading(NamedTuple):
    """What becomes of the first raw row of a config: its fields, and the row in our schema, or why there is none."""

    config: str
    says: str
    files: list[str]
    mapping: str
    fields: list[str]
    row: dict[str, Any] | None
    error: str


def layout(repository: Repository) -> type[M3IT]:
    """The class that reads a repository, by the names of its files."""
    files = repository.files
    if any(TRANSLATED.fullmatch(path) for path in files):
        return Legacy80
    if not any(path.startswith("data/") for path in files):
        return Converted if any(PARQUET.fullmatch(path) for path in files) else M3IT
    if any(posixpath.basename(path) in ("instructions.json", "instruction.json") for path in files):
        return Legacy
    return M3IT if find_shards(repository) or not any(locate(repository, raw) for raw in TABLE.values()) else Legacy


def list_configs(repository: Repository) -> list[str]:
    """The configs of a repository of any layout; of a release, each dataset once."""
    kind = layout(repository)
    if issubclass(kind, Legacy):
        return kind.configs(repository)
    found = find_shards(repository)
    twins = {twin for name in found if (twin := twin_of(repository, found, name)) != name}
    return [name for name in found if name not in twins]


def choose_builder(
    repository: Repository,
    name: str | None,
    pinned: bool = False,
    token: str | bool | None = None,
    cache_dir: str | None = None,
    fields: dict[str, str] | None = None,
) -> tuple[type[M3IT], Repository]:
    """The class that reads config `name`, and where from; says so once. What was decided at a commit is kept in the
    cache: what was loaded once loads offline. A `pinned` revision is read as it is, since the branch goes with main."""
    name = tidy(name) or "coco"
    if fields:
        kind = layout(repository)
        return kind if issubclass(kind, Legacy) else Legacy, repository
    asked = f"{code()} {huggingface_hub.constants.ENDPOINT} {repository.root} {name} {pinned}"
    kept = cache.folder("layouts", cache_dir) / cache.digest(asked)
    decision = _read_note(kept) if repository.commit else None
    if decision is None:
        decision = decide(repository, name, pinned, token, cache_dir)
        if repository.commit:
            write_text(kept, json.dumps(decision))
    advice = f". Look at its rows first: m3it check {repository.path} --config {name}" if decision.look else ""
    if decision.says:
        say(f"{repository.path} {name}: {decision.says}{advice}")
    return KINDS[decision.kind], _source(decision, repository, token, cache_dir)


def _read_note(path: Path) -> Decision | None:
    """A decision as it was kept; None where there is none, or one of other code, whose words we do not know."""
    try:
        decision = Decision(*json.loads(path.read_text("utf-8")))
    except (FileNotFoundError, TypeError, ValueError):
        return None
    return decision if decision.kind in KINDS else None


def decide(
    repository: Repository, name: str, pinned: bool = False, token: Any = None, cache_dir: str | None = None
) -> Decision:
    """How a config is to be read."""
    kind = layout(repository)
    if not issubclass(kind, Legacy) or kind is Converted:
        return Decision(WORDS[kind])
    status, evidence, splits = kind.about(repository, name)
    if not splits:
        return Decision(WORDS[kind])  # there is no such config: its builder says what there is
    raw = status == VER or pinned or repository.repo_id is None
    if not raw and splits <= _complete(str(repository.repo_id), name, token, cache_dir):
        return Decision("converted", True, f"rows of {BRANCH}; the mapping of raw rows is inferred ({evidence})")
    return Decision(WORDS[kind], False, f"raw rows, mapping {status} ({evidence})", status != VER)


@functools.lru_cache(8)  # one commit and one listing for all configs of a job
def _branch(repo_id: str, token: Any, cache_dir: str | None) -> Repository | None:
    """The converted branch of a repository; None where there is none."""
    try:
        return Repository(repo_id, BRANCH, token, None, cache_dir)
    except ShardError as error:
        if http_status(error) not in (401, 403, 404):
            raise
        return None


def _complete(repo_id: str, name: str, token: Any, cache_dir: str | None) -> set[str]:
    """The splits of a config that the converted branch holds to their end."""
    branch = _branch(repo_id, token, cache_dir)
    splits = converted_files(branch).get(name, {}) if branch else {}
    return {split for split, (_, partial) in splits.items() if not partial}


def _source(decision: Decision, repository: Repository, token: Any, cache_dir: str | None) -> Repository:
    if not decision.from_branch:
        return repository
    branch = _branch(str(repository.repo_id), token, cache_dir)
    return branch or Repository(repository.repo_id, BRANCH, token, None, cache_dir)  # raises if it has gone


def describe(reading: Reading) -> str:
    """A reading as a block of text."""
    row = reading.row or {}
    lines: dict[str, Any] = {
        "read": reading.says,
        "files": ", ".join(reading.files),
        "fields": ", ".join(reading.fields),
    }
    lines |= {"mapping": reading.mapping, **{name: row.get(name) for name in ("instruction", "inputs", "outputs")}}
    lines |= {"pictures": len(row.get("image_base64_str") or ()), "problem": reading.error}
    shown = (
        f"  {name:<12} {str(text)!r}" if name in row else f"  {name:<12} {text}" for name, text in lines.items() if text
    )
    return "\n".join([reading.config, *shown])


def survey(
    repository: Repository, config: str | None = None, fields: dict[str, str] | None = None
) -> Iterator[Reading]:
    """Yield a Reading of each config of a published repository."""
    kind = layout(repository)
    kind = kind if issubclass(kind, Legacy) else Legacy
    for name in [tidy(config) or config] if config else kind.configs(repository):
        decision = (
            Decision(WORDS[kind], says="raw rows") if fields else decide(repository, name, "@" in repository.path)
        )
        options = {"fields": fields} if fields else {}
        source = _source(decision, repository, None, None)
        names: list[str] = []
        row, error, says = None, "", decision.says or "rows in the schema"
        try:
            builder = KINDS[decision.kind](repository=source, config_name=name, **options)
        except ShardError as problem:  # which file holds which split?
            yield Reading(name, says, [], "", names, None, str(problem))
            continue
        try:
            line = builder.first_line()
            line = as_row(line)
            names = line.fields if isinstance(line, Joined) else list(line)
            row = builder.map_row(line, "the first row")[0]
        except StopIteration:
            error = "the file has no rows"
        except (*UNREADABLE, M3ITError) as problem:
            error = str(problem)
        files = [path for paths in builder.shards(name).values() for path in paths]
        yield Reading(name, says, files, builder.says, names, row, error)
