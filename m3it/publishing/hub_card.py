"""Does a repository keep the Hub's rules, as far as can be seen in the files? `m3it check` of a folder before the
upload, or of a repository that is there.

In: README.md with its YAML, the names and sizes of files; hub_parquet.py reads the files that the YAML lists. Out: a
Finding for each rule that is broken.
"""

import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pyarrow.parquet as pq

from M3IT import SHARD, Repository
from m3it.publishing.card_yaml import as_list, cut_head, mappings, parse_head, read_readme
from m3it.publishing.hub_parquet import check_split, memory_bytes, try_to_count
from m3it.publishing.hub_rules import Finding, broken, limit_of
from m3it.publishing.statistics import Tally, check_statistics
from m3it.work.terminal import as_size

LANGUAGE = re.compile("[a-z]{2,3}|code|multilingual")
TASKS = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B"}


def check_hub(repository: Repository, tallies: dict[str, Tally] | None = None) -> Iterator[Finding]:
    """Yield what the Hub would not like. `tallies`: path -> what was counted in a file whose rows were read already;
    other Parquet files are counted here."""
    top = {posixpath.basename(name) for name in repository.fs.ls(repository.root, detail=False)}
    yield from check_files(repository, top)
    if "README.md" not in top:  # of a folder, a warning: it is not published yet
        found = "expected a README.md, found none. Run: m3it card"
        yield broken("card-head-readable", "README.md", found, None if repository.repo_id else "warning")
        return
    head, problem = read_head(repository)
    size, limit = len((cut_head(read_readme(repository))[0] or "").encode()), limit_of("card-head-small")
    if size > limit:
        found = f"expected a head of {as_size(limit)} at most, found {as_size(size)}"
        yield broken("card-head-small", "README.md", found)
    if problem:
        yield broken("card-head-readable", "README.md", problem)
    if head.get("viewer") is False:
        yield broken("viewer-left-on", "README.md", "found viewer: false")
    if (tag := limit_of("viewer-left-on")) in as_list(head.get("tags")):
        yield broken("viewer-left-on", "README.md", f"found the tag {tag}")
    for problem in incomplete(head):
        yield broken("card-metadata-complete", "README.md", problem)
    yield from check_configs(repository, head, tallies or {})


def read_head(repository: Repository) -> tuple[dict[str, Any], str]:
    """The YAML of README.md, or why it cannot be read."""
    text, _ = cut_head(read_readme(repository))
    try:
        _, head = parse_head(text or "")
    except ValueError as error:
        return {}, str(error)
    if not isinstance(head, dict):
        return {}, "expected a head between two lines ---, found none"
    return head, ""


def check_files(repository: Repository, top: set[str]) -> Iterator[Finding]:
    """Yield scripts, folders that are too full, files that are too large."""
    name = posixpath.basename(repository.repo_id or repository.root.rstrip("/"))
    for script in sorted(file for file in top if file.endswith(".py")):
        level = "error" if script == f"{name}.py" else "warning"
        note = "" if level == "error" else f"; in a repository called {script[:-3]} it would be run"
        yield broken("no-script", script, f"expected no script beside data/, found {script}{note}", level)
    rule = "files-within-limits"
    most, most_in_folder, most_bytes = limit_of(rule)
    counts = Counter(map(posixpath.dirname, repository.files))
    if counts.total() > most:
        yield broken(rule, repository.path, f"expected at most {most:,} files, found {counts.total():,}")
    for folder, count in counts.items():
        if count > most_in_folder:
            yield broken(rule, folder, f"expected at most {most_in_folder:,} files in a folder, found {count:,}")
    for path in repository.files:
        if repository.size(path) > most_bytes:
            yield broken(rule, path, f"expected at most {as_size(most_bytes)}, found {as_size(repository.size(path))}")


def incomplete(head: dict[str, Any]) -> Iterator[str]:
    """Yield what is missing in the card's metadata, or not as the Hub has it."""
    if not head.get("license"):
        yield "expected a license, found none"
    link = head.get("license_link")
    if link is not None and link not in ("LICENSE", "LICENSE.md") and not str(link).startswith("https://"):
        yield f"license_link: expected LICENSE, LICENSE.md or a URL, found {link}"
    for key, good in (("language", LANGUAGE), ("task_categories", TASKS)):
        values = as_list(head.get(key))
        wrong = [value for value in values if not isinstance(value, str) or not good.fullmatch(value)]
        if wrong or not values:
            yield f"{key}: expected codes of the Hub's list, found {wrong or 'none'}"
    sizes = as_list(head.get("size_categories"))
    if not sizes or set(map(str, sizes)) - SIZES:
        yield f"size_categories: expected e.g. 1M<n<10M, found {sizes or 'none'}"


def check_configs(repository: Repository, head: dict[str, Any], tallies: dict[str, Tally]) -> Iterator[Finding]:
    """Yield what is wrong with the configs of the YAML, and with the files that they name or do not name."""
    configs, infos = mappings(head.get("configs")), mappings(head.get("dataset_info"))
    for key, values in (("configs", configs), ("dataset_info", infos)):
        if odd := [value for value in as_list(head.get(key)) if value not in values]:
            yield broken("card-head-readable", "README.md", f"{key}: expected a list of mappings, found {odd[0]!r}")
    yield from check_all_configs(configs, infos)
    names = [config.get("config_name") for config in configs]
    info_by_config = {str(info.get("config_name")): info for info in infos}
    has_texts = any(is_text(info) for info in infos)
    listed: set[str] = set()
    for number, (config, name) in enumerate(zip(configs, names, strict=True)):
        if not isinstance(name, str) or not limit_of("config-names-valid").fullmatch(name):
            yield broken("config-names-valid", "README.md", f"expected a config_name, found {name!r}")
            continue
        if name in names[number + 1 :]:
            found = f"expected names that differ, found {name!r} more than once"
            yield broken("config-names-unique", "README.md", found)
        info = info_by_config.get(name, {})
        splits = list(splits_of(repository, name, config))
        has_types = any(path.endswith(".parquet") for _, paths, _ in splits for path in paths)  # JSON's are inferred
        if has_types and not mappings(info.get("features")):
            yield broken("features-match-files", f"README.md, {name}", "expected features in dataset_info, found none")
        listed.update(path for _, paths, _ in splits for path in paths)
        yield from check_splits(repository, name, splits, info, has_texts and not is_text(info), tallies)
    for path in repository.files:
        if SHARD.fullmatch(posixpath.basename(path)) and path not in listed:
            yield broken("files-listed", path, "no config of README.md lists this file")


def check_splits(
    repository: Repository,
    name: str,
    splits: list[tuple[str, list[str], list[Finding]]],
    info: dict[str, Any],
    has_texts: bool,
    tallies: dict[str, Tally],
) -> Iterator[Finding]:
    """Yield what is wrong with the splits of a config, as `splits_of` gives them. `has_texts`: whether another config
    has its texts, to search in."""
    if len(splits) > limit_of("splits-fit-viewer"):
        found = f"expected at most {limit_of('splits-fit-viewer')} splits, found {len(splits)}"
        yield broken("splits-fit-viewer", f"README.md, {name}", found)
    for number, (split, paths, problems) in enumerate(splits):
        where = f"{name}/{split}"
        yield from problems
        opened: dict[str, pq.ParquetFile] = {}
        yield from check_split(repository, where, paths, info, opened, is_first=not number)
        searched = files_searched(repository, paths, opened)
        yield from check_sizes(repository, where, paths, searched, has_texts)
        counted = [tallies.get(path) or try_to_count(opened.get(path)) for path in searched]
        if counted and None not in counted:  # nothing is said of files that could not be read
            yield from check_statistics(where, Tally().merge(filter(None, counted)))


def check_all_configs(configs: list[dict[str, Any]], infos: list[dict[str, Any]]) -> Iterator[Finding]:
    """Yield what is wrong with the configs of the YAML together: their number, their size, which opens first."""
    for rule in ("configs-fit-viewer", "configs-fit-croissant"):
        if len(configs) > limit_of(rule):
            late = in_viewer_order(configs)[limit_of(rule) :]
            few = ", ".join(late[:5]) + ", ..." * (len(late) > 5)
            found = f"expected at most {limit_of(rule):,} configs, found {len(configs):,}: without {few}"
            yield broken(rule, "README.md", found)
            break
    size, limit = len(json.dumps(infos, default=str, skipkeys=True)), limit_of("features-fit-answer")
    if size > limit:
        found = f"expected dataset_info of {as_size(limit)} at most, found {as_size(size)}"
        yield broken("features-fit-answer", "README.md", found)
    defaults = [str(config.get("config_name")) for config in configs if config.get("default")]
    if len(defaults) > limit_of("one-default-config"):
        found = f"expected default: true at one config, found it at {', '.join(defaults)}"
        yield broken("one-default-config", "README.md", found)
    if configs and not any(columns_of(info) & limit_of("config-with-pictures") for info in infos):
        yield broken("config-with-pictures", "README.md", "expected a config with a column of pictures, found none")


def in_viewer_order(configs: list[dict[str, Any]]) -> list[str]:
    """The names of configs as the viewer lists them: the one that opens first, then by the alphabet."""
    ordered = sorted(configs, key=lambda config: (not config.get("default"), str(config.get("config_name"))))
    return [str(config.get("config_name")) for config in ordered]


def files_searched(repository: Repository, paths: list[str], opened: dict[str, pq.ParquetFile]) -> list[str]:
    """The files of a split that the viewer searches and counts: whole ones, up to the first that crosses its limit."""
    num_bytes, searched = 0, []
    for path in paths:
        searched.append(path)
        num_bytes += memory_bytes(opened[path].metadata) if path in opened else repository.size(path)
        if num_bytes > limit_of("split-searchable"):
            break
    return searched


def check_sizes(
    repository: Repository, where: str, paths: list[str], searched: list[str], has_texts: bool
) -> Iterator[Finding]:
    """Yield that a split is larger than what is searched, or shown; and its largest file, if that is too large."""
    size, limit = sum(map(repository.size, paths)), limit_of("split-searchable")
    if all(path.endswith(".parquet") for path in paths):  # shown to its end; other formats to the limit
        if searched != paths and not has_texts:
            found = f"found more than that in the first {len(searched)} of {len(paths)} files"
            yield broken("split-searchable", where, f"expected {as_size(limit)}, or a config of texts; {found}")
    elif size > limit:
        found = f"expected {as_size(limit)}, or Parquet and a config of texts; found {as_size(size)}"
        yield broken("split-searchable", where, found)
    largest, limit = max(paths, key=repository.size, default=None), limit_of("shards-small")
    if largest and repository.size(largest) > limit:
        found = f"expected files of {as_size(limit)} at most, found {as_size(repository.size(largest))}"
        yield broken("shards-small", largest, found)


def splits_of(
    repository: Repository, name: str, config: dict[str, Any]
) -> Iterator[tuple[str, list[str], list[Finding]]]:
    """Yield (split, the files of it that are there, what is wrong with the list) of a config of the YAML."""
    where, entries = f"README.md, {name}", config.get("data_files")
    if entries is None and isinstance(config.get("data_dir"), str):
        entries = f"{config['data_dir']}/**"
    entries = as_list(entries)
    if entries and all(isinstance(entry, str) for entry in entries):
        entries = [{"split": "train", "path": entries}]
    if not entries or not all(isinstance(entry, dict) and as_list(entry.get("path")) for entry in entries):
        yield "", [], [broken("files-listed", where, "expected data_files, a list of split and path")]
        return
    splits = [str(entry.get("split")) for entry in entries]
    for number, (split, entry) in enumerate(zip(splits, entries, strict=True)):
        problems, paths = [], []
        if not limit_of("split-names-valid").fullmatch(split):
            found = f"expected a split of letters, digits and _, found {split!r}"
            problems.append(broken("split-names-valid", where, found))
        if split in splits[:number]:
            found = f"expected one list for each split, found {split} more than once"
            problems.append(broken("files-listed", where, found))
        for path in map(str, as_list(entry["path"])):
            pattern = re.search(r"[*?\[]", path)
            files = [path] if path in repository.files else matching(repository, path) if pattern else []
            paths += files
            if not files:
                problems.append(broken("files-listed", where, f"expected {path}, found no such file"))
            elif path not in repository.files:
                problems.append(broken("files-listed", where, f"{path} also takes files that come later", "warning"))
        paths = list(dict.fromkeys(paths))
        odd = [path for path in paths if limit_of("paths-without-at") in path]
        problems += [broken("paths-without-at", where, f"expected a path without @, found {path}") for path in odd]
        yield split, paths, problems


def matching(repository: Repository, pattern: str) -> list[str]:
    """The files that a pattern of the YAML takes: * within a folder, ** for any folders."""
    parts = posixpath.normpath(pattern).split("/")
    parts = [part for part, before in zip(parts, [None, *parts], strict=False) if (part, before) != ("**", "**")]
    return [path for path in repository.files if is_taken(path.split("/"), parts)]


def is_taken(names: list[str], parts: list[str]) -> bool:
    """Whether a pattern, by its parts, takes a path, by its names. All ways through the pattern are followed at once,
    so that none is gone twice; `at` are the parts that the next name may belong to."""
    at = {0}
    for name in names:
        at |= {i + 1 for i in at if i < len(parts) - 1 and parts[i] == "**"}  # no folder at all
        going = [i for i in at if i < len(parts) and (parts[i] == "**" or fnmatchcase(name, parts[i]))]
        at = {i + 1 for i in going} | {i for i in going if parts[i] == "**"}
    return len(parts) in at


def columns_of(info: dict[str, Any]) -> set[str]:
    """The columns of a config of the YAML."""
    return {str(feature.get("name")) for feature in mappings(info.get("features"))}


def is_text(info: dict[str, Any]) -> bool:
    """Whether a config of the YAML holds rows without pictures."""
    columns = columns_of(info)
    return bool(columns) and not columns & {"images", "image", "image_base64_str"}
