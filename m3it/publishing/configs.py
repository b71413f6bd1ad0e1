"""Which configs a release has: the source of each, what is known of it, and those that no release can hold."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from M3IT import CATALOGUE, M3IT, Repository, find_shards
from m3it.catalogue import catalogue_order, lookup
from m3it.reading.layouts import layout
from m3it.reading.load import load_builder
from m3it.reading.published.raw import Legacy
from m3it.rows.instance import M3ITError
from m3it.rows.jsonl import to_line

REFUSED = set('<>:/\\|?*"')  # `datasets` makes folders of config names


class Source(NamedTuple):
    """A config of the repository: who reads it, where its shards go, and what all of its rows have in common."""

    builder: M3IT
    config: str
    folder: str
    about: dict[str, str]  # task, dataset, language, license


class InSchema(M3IT):
    """Reads rows that plain `datasets` reads as they are: ShardError for any other."""

    BUILDER_CONFIGS = []

    def map_row(self, row: Any, place: str) -> list[dict[str, Any]]:
        to_line(row if isinstance(row, dict) else {})
        return [row]


def open_sources(
    repo: str,
    configs: Iterable[str] | None = None,
    fields: dict[str, str] | None = None,
    on_error: str = "raise",
    corrections: str | None = None,
) -> list[Source]:
    """The configs of a repository, or those that are asked for, each with its builder, in the catalogue's order."""
    repository = Repository(repo)  # listed once, whatever the number of configs
    names = sorted(set(configs or list_configs(repository)), key=catalogue_order)
    sources = []
    for name in names:
        if wrong := REFUSED & set(name):
            raise M3ITError(f"{name}: the Hub takes no {' '.join(sorted(wrong))} in a config name. Rename its folder.")
        if name == "text":
            raise M3ITError("text: a release has a config of this name, with the texts of all. Rename its folder.")
        if (pictures := f"{name}-images") in names:
            raise M3ITError(f"{pictures}: in a release this is {name} with its pictures. Rename its folder.")
        builder = load_builder(repository, name, meta=True, fields=fields, on_error=on_error, corrections=corrections)
        sources.append(describe(builder))
    if not sources:
        raise M3ITError(f"{repo}: no rows found in it, nothing to release.")
    return sources


def list_configs(repository: Repository) -> list[str]:
    """The configs of a repository of any layout; of a release, each dataset once."""
    kind = layout(repository)
    if issubclass(kind, Legacy):
        return kind.configs(repository)
    found = find_shards(repository)
    twins = {f"{name}-images" for name in found} & set(found)
    shards = {name: [path for listed in found[name].values() for path, _ in listed] for name in twins}
    return [name for name in found if name not in twins or not all(path.endswith(".parquet") for path in shards[name])]


def describe(builder: M3IT) -> Source:
    """What is known of a config; of one that the catalogue lacks, what its place says."""
    config = builder.config.name
    listed = lookup(config)
    dataset = listed.dataset.name if listed.dataset else getattr(builder, "dataset", config)
    known = CATALOGUE.get(dataset)
    language = listed.language if listed.dataset else known.language if known else "und"
    parts = next(iter(builder.shards(config).values()))[0].split("/")
    task = known.task if known else parts[1] if parts[0] == "data" and len(parts) > 3 else "other"
    license = f"{known.license} / {known.image_license}" if known else "unknown"
    folder = f"{dataset}/{language}" if listed.is_translation else config
    about = {"task": task, "dataset": dataset, "language": language, "license": license}
    return Source(builder, config, f"data/{task}/{folder}", about)
