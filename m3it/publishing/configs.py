"""Which configs a release has: who reads each, what is known of it, and the names that no release can hold."""

import hashlib
import posixpath
from collections.abc import Iterable
from typing import Any, NamedTuple

from M3IT import M3IT, Repository
from m3it.catalogue import catalogue_order, lookup
from m3it.reading.layouts import list_configs
from m3it.reading.load import load_builder
from m3it.rows.instance import M3ITError

REFUSED = set('<>:/\\|?*"')  # `datasets` makes folders of config names


class ReleaseConfig(NamedTuple):
    """A config of the repository: who reads it, where its shards go, and what all of its rows have in common."""

    builder: M3IT
    name: str
    folder: str
    about: dict[str, str]  # task, dataset, language; license and image_license of the dataset

    @classmethod
    def of(cls, builder: M3IT) -> "ReleaseConfig":
        """What is known of the config that a builder reads; where the catalogue has none such, what its place says."""
        name, about = builder.config.name, builder.common
        folder = f"{about['dataset']}/{about['language']}" if lookup(name).is_translation else name
        return cls(builder, name, f"data/{about['task']}/{folder}", about)


def open_configs(
    repo: str,
    configs: Iterable[str] | None = None,
    fields: dict[str, str] | None = None,
    on_error: str = "raise",
    corrections: str | None = None,
    exclude: str | None = None,
    license: str | None = None,
) -> list[ReleaseConfig]:
    """The configs of a repository, or those that are asked for, each with its builder, in the catalogue's order."""
    repository = Repository(repo)  # listed once, whatever the number of configs
    names = sorted(set(configs or list_configs(repository)), key=catalogue_order)
    opened = []
    for name in names:
        if wrong := REFUSED & set(name):
            raise M3ITError(f"{name}: the Hub takes no {' '.join(sorted(wrong))} in a config name. Rename its folder.")
        if name == "text":
            raise M3ITError("text: a release has a config of this name, with the texts of all. Rename its folder.")
        if (pictures := f"{name}-images") in names:
            raise M3ITError(f"{pictures}: in a release this is {name} with its pictures. Rename its folder.")
        choice: dict[str, Any] = {"corrections": corrections, "exclude": exclude, "license": license}
        builder = load_builder(repository, name, meta=True, fields=fields, on_error=on_error, **choice)
        opened.append(ReleaseConfig.of(builder))
    if not opened:
        raise M3ITError(f"{repo}: no rows found in it, nothing to release.")
    return opened


def origin(opened: list[ReleaseConfig], splits: dict[str, Any]) -> dict[str, Any]:
    """What run.json says of where the rows are from, and the proof that they are the same."""
    read = {public_name(config.builder.repository): config.builder.repository.commit for config in opened}
    return {"source": read, "digest": digest_of_all(splits), "splits": splits}


def digest_of_all(splits: dict[str, Any]) -> str:
    """sha256 over the digests of the splits, as hex: the same rows, the same digest."""
    return hashlib.sha256("".join(sorted(proof["digest"] for proof in splits.values())).encode()).hexdigest()


def public_name(repository: Repository) -> str:
    """The Hub id or URL of a repository; of a folder its name alone, since a release is made to be published."""
    return repository.repo_id or (posixpath.basename(repository.root) if repository.local else repository.path)
