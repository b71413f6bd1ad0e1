"""`load_dataset` without remote code: from a folder, an fsspec URL or a Hub repository, under any `datasets` from
2.16.1 on."""

import inspect
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import datasets

from M3IT import M3IT, M3ITError, Repository, ShardError, config_names, find_shards, id_of
from m3it.catalogue import check_license, lookup, why_not_commercial
from m3it.reading.as_is import AsIs, is_as_is, texts_of
from m3it.reading.corrections import check_configs, read_corrections, unused
from m3it.reading.drop_list import read_drop_list, strangers
from m3it.reading.layouts import choose_builder, layout
from m3it.reading.published.raw import Legacy

# Arguments of `datasets.load_dataset` that change nothing here, and those that would change the rows.
WITHOUT_EFFECT = (
    "trust_remote_code",
    "verification_mode",
    "ignore_verifications",
    "save_infos",
    "download_config",
    "task",
)
INSTEAD = {
    "data_files": "a config names its files. For files of your own: datasets.load_dataset('json', data_files=...).",
    "data_dir": "pass the folder that holds data/ as path.",
    "features": "the columns are the dataset's. Call .cast(features) on what you loaded.",
}
logger = logging.getLogger(__name__)


def load_builder(
    path: str | os.PathLike | Repository = "MMInstruction/M3IT",
    name: str | None = None,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | None = None,
    storage_options: dict[str, Any] | None = None,
    fields: dict[str, str] | None = None,
    corrections: str | os.PathLike | None = None,
    exclude: Any = None,
    license: str | None = None,
    **options: Any,
) -> M3IT:
    """The builder that reads config `name` of the repository at `path`; `options` are M3ITConfig's: images, meta,
    on_error. `corrections`: a TSV file (m3it/reading/corrections.py). `exclude`: rows to leave out, ids or a file
    (m3it/reading/drop_list.py), and `license="commercial"`, those whose licenses do not allow it; its own `read` gives
    them all the same. A `path` that is a Repository is listed once for all of its configs."""
    repository = path if isinstance(path, Repository) else Repository(path, revision, token, storage_options, cache_dir)
    pinned = revision not in (None, "main") or "@" in repository.path
    kind, repository = choose_builder(repository, name, pinned, token, cache_dir, fields)
    options |= {"fields": fields} if fields else {}
    options |= {"corrections": read_corrections(corrections) or None} if corrections else {}
    options |= {"exclude": read_drop_list(exclude) or None} if exclude else {}
    check_license(license)
    options |= {"leave_out": not_commercial} if license else {}
    builder = kind(
        cache_dir=cache_dir, repository=repository, config_name=name, token=token, repo_id=repository.repo_id, **options
    )
    check_configs(builder.config.corrections or {}, lambda: [*config_names(), *builder.found()])
    return builder


def dataset_of(builder: M3IT) -> str:
    """The name of the dataset that a builder's rows are of; its config's, for one of a user's own."""
    listed = lookup(builder.config.name).dataset
    return listed.name if listed else getattr(builder, "dataset", builder.config.name)


def not_commercial(builder: M3IT, meta: Mapping[str, Any]) -> str:
    """Why a row of a builder is not for commercial use; "" for one that is."""
    return why_not_commercial(dataset_of(builder), meta)


load_dataset_builder = load_builder  # the name that `datasets` has for it


def load_dataset(
    path: str | os.PathLike = "MMInstruction/M3IT",
    name: str | None = None,
    *,
    split: str | None = None,
    streaming: bool = False,
    images: bool = False,
    meta: bool = False,
    on_error: str = "raise",
    fields: dict[str, str] | None = None,
    corrections: str | os.PathLike | None = None,
    exclude: Any = None,
    license: str | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | None = None,
    num_proc: int | None = None,
    download_mode: Any = None,
    storage_options: dict[str, Any] | None = None,
    columns: list[str] | None = None,
    filters: Any = None,
    keep_in_memory: bool = False,
    **other: Any,
) -> Any:
    """What `datasets.load_dataset` would return: a Dataset or a DatasetDict, or with `streaming=True` their iterable
    kin.

    `images`: a column of decoded images instead of base64 strings; the header of each is looked at, and with
    `on_error="drop"` each is decoded once more, so that a truncated one is left out too. Base64 strings are passed on
    unread: `m3it check` looks at them. `meta`: one more column, a JSON string with the row id and what the source knew.
    `on_error="drop"`: rows that cannot be read are left out, counted by reason, and listed in the builder's manifest.
    `fields`: where raw rows that m3it cannot map keep their inputs, outputs, images (docs/it-broke.md). `corrections`:
    a TSV file of corrected texts, read instead of theirs (docs/translate.md). `exclude`: row ids, or a drop list as
    `m3it leaks` writes it: these rows are left out, counted and listed as dropped ones are (docs/curate.md).
    `license="commercial"`: so are rows whose license or image_license does not allow it; M3ITError where that is the
    whole dataset (docs/licenses.md).
    `columns`: the only ones to give. `filters`: which rows to give, [("num_images", "<=", 4), ("meta.split", "==",
    "train2014")], as `datasets` and pyarrow take them, or a function of a row (docs/load.md). In Parquet no picture is
    read of a row group without a row that passes.
    The configs `text` and `<dataset>-images` of a release come with all of their columns, as from plain `datasets`.
    Other arguments of `datasets.load_dataset` are taken too, so that old programs run unchanged: trust_remote_code,
    verification_mode and their like change nothing here, no remote code ever runs; what would change the rows, such as
    data_files, is a TypeError that says what to do instead.
    """
    token = _passed_by(other) or token
    if name is not None and not isinstance(name, str):
        raise ValueError(f"name={name!r}: expected the name of one config. Several: m3it.Mixture(path, configs=[...])")
    repository = path if isinstance(path, Repository) else Repository(path, revision, token, storage_options, cache_dir)
    options = {"on_error": on_error, "columns": columns, "filters": filters}
    if name is not None and (name == "text" or name.endswith("-images")) and is_as_is(repository, name):
        if fields or corrections or exclude or license:
            say = "comes as it is, without fields, corrections, exclude and license. Leave them out."
            raise M3ITError(f"{name}: {say}")
        builder: M3IT = AsIs(cache_dir, repository=repository, config_name=name, token=token, **options)
    else:
        options |= {"images": images, "meta": meta, "fields": fields, "corrections": corrections}
        options |= {"exclude": exclude, "license": license}
        builder = load_builder(repository, name, revision=revision, token=token, cache_dir=cache_dir, **options)
        if license and (reason := why_not_commercial(dataset_of(builder))):
            say = f"no row of it is for commercial use ({reason}). Choose another:"
            raise M3ITError(f"{builder.config.name}: {say} m3it list --license commercial")
    if streaming:
        return builder.as_streaming_dataset(split=split)
    asked = inspect.signature(builder.download_and_prepare).parameters
    no_mirror = (
        {"try_from_hf_gcs": False} if "try_from_hf_gcs" in asked else {}
    )  # `datasets` 2.x looks for a prepared copy elsewhere
    builder.download_and_prepare(download_mode=download_mode, num_proc=num_proc, **no_mirror)
    drops = count_drops(builder)
    _say_what_is_missing(builder, drops)
    return _filled(builder, split, drops, keep_in_memory)


def _say_what_is_missing(builder: M3IT, drops: Counter) -> None:
    """Warn of rows that were dropped, and of corrections that no row took."""
    if drops:
        counts = ", ".join(f"{number} {reason}" for reason, number in drops.most_common())
        logger.warning(
            "%s: dropped %s rows (%s); they are listed in %s",
            builder.config.name,
            drops.total(),
            counts,
            builder.manifest,
        )
    excluded, splits = (
        builder.config.exclude or {},
        builder.shards(builder.config.name) if builder.config.exclude else (),
    )
    if left := strangers(excluded, builder.config.name, splits, _dropped_ids(builder)):
        logger.warning(
            "%s: %s rows of the drop list are not in it, the first is %s. Is it the list of another release?",
            builder.config.name,
            len(left),
            left[0],
        )
    if left := unused(builder.config.corrections or {}, builder.config.name, corrected_ids(builder)):
        logger.warning(
            "%s: %s corrections name a row that it does not have: %s. Fix their ids, or leave them out.",
            builder.config.name,
            len(left),
            ", ".join(left[:8]),
        )


def _passed_by(other: dict[str, Any]) -> Any:
    """The token among the arguments of `datasets.load_dataset` that are not ours; TypeError for one that would change
    the rows."""
    for argument, value in other.items():
        if argument not in (*WITHOUT_EFFECT, *INSTEAD, "use_auth_token"):
            raise TypeError(f"load_dataset() got an unexpected keyword argument {argument!r}")
        if argument in INSTEAD and value is not None:
            raise TypeError(f"load_dataset({argument}=...) has no use here: {INSTEAD[argument]}")
    return other.get("use_auth_token")


def get_dataset_config_names(path: str | os.PathLike | Repository = "MMInstruction/M3IT", **access: Any) -> list[str]:
    """The names of the configs of a repository. `access`: revision, token, storage_options, cache_dir."""
    repository = path if isinstance(path, Repository) else Repository(path, **access)
    kind = layout(repository)
    if issubclass(kind, Legacy):
        return kind.configs(repository)
    return [*find_shards(repository), *(["text"] if is_as_is(repository, "text") else [])]


def get_dataset_split_names(
    path: str | os.PathLike = "MMInstruction/M3IT", config_name: str | None = None, **access: Any
) -> list[str]:
    """The names of the splits of a config. `access`: revision, token, storage_options, cache_dir."""
    repository = Repository(path, **access)
    if config_name == "text" and is_as_is(repository, config_name):
        return list(texts_of(repository))
    builder = load_builder(repository, config_name, **access)
    return list(builder.shards(builder.config.name))


def _filled(builder: M3IT, split: str | None, drops: Counter, keep_in_memory: bool) -> Any:
    """The prepared splits; `datasets` refuses one without rows, so that of several it is left out."""
    name = builder.config.name
    empty = [each for each, info in builder.info.splits.items() if not info.num_examples]
    if split in empty or len(empty) == len(builder.info.splits):
        counts = f"; {drops.total()} were dropped, they are listed in {builder.manifest}" if drops else ""
        wanted = f" that passes filters={builder.filter}" if builder.filter else ""
        advice = f' Change them; "m3it show {name} --json" shows what rows hold.' if builder.filter else ""
        raise ShardError(f"{name}/{split or ', '.join(empty)}: expected rows, found none{wanted}{counts}.{advice}")
    if not empty or split is not None:
        return builder.as_dataset(split=split, in_memory=keep_in_memory)
    logger.warning("%s: no rows in %s, left out", name, ", ".join(empty))
    full = [each for each in builder.info.splits if each not in empty]
    return datasets.DatasetDict({each: builder.as_dataset(split=each, in_memory=keep_in_memory) for each in full})


def corrected_ids(builder: M3IT) -> list[str]:
    """The ids of the rows that corrections were put into while the config was prepared."""
    path = builder.listed("m3it-corrected")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line)["id"] for line in file]


def _dropped_ids(builder: M3IT) -> set[str]:
    """The ids of the rows that were left out."""
    if not os.path.exists(builder.manifest):
        return set()
    with open(builder.manifest, "rb") as file:
        return {json.loads(line)["id"] for line in file}


def count_drops(builder: M3IT, start: int = 0) -> Counter:
    """Reason -> number of distinct rows that were dropped while reading with `on_error="drop"`; of those listed after
    byte `start` of the manifest."""
    if not os.path.exists(builder.manifest):
        return Counter()
    with open(builder.manifest, "rb") as file:
        file.seek(start)
        reason_by_id = {drop["id"]: drop["reason"] for drop in map(json.loads, file)}
    return Counter(reason_by_id.values())


def find_rows(repo: str, config: str, split: str, ids: set[str], **access: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(id, row) of the rows of a split that are asked for; reading ends with the last of them. `access`: token,
    storage_options and cache_dir, as `load_builder` takes them."""
    builder, left = load_builder(repo, config, meta=True, **access), set(ids)
    for row in builder.rows(split) if split in builder.shards(config) else ():
        if not left:
            return
        if (found := id_of(row)) in left:
            left.remove(found)
            yield found, row
