"""What the Hub and its dataset viewer ask of a repository, as far as it can be seen in the files: `m3it check` of a
folder before the upload, or of a repository that is there.

In: README.md with its YAML, the names and sizes of files, Parquet footers, the first rows of each config. Out: a
Finding for each rule that is broken. An error keeps `datasets` or the viewer from showing rows; a warning keeps them
from doing so well. RULES holds each limit once, with the place where it stands: files of huggingface/dataset-viewer
(its production settings are chart/env/prod.yaml), pages of huggingface/hub-docs, modules of `datasets`, as of 2026-08.
"""

import itertools
import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from M3IT import SHARD, RangeFile, Repository
from m3it.publishing.card_yaml import STRUCT_FIELD, spelling
from m3it.rows.instance import ShardError


class Finding(NamedTuple):
    """One thing that is wrong: the rule that is broken, where, and what was expected and found. A rule of the Hub also
    says why it is one, and how to fix it."""

    rule: str
    where: str
    message: str
    why: str = ""
    fix: str = ""
    level: str = "error"

    def __str__(self) -> str:
        because = f" Why: {self.why}. {self.fix}." if self.why else ""
        return f"{self.where}: {'warning: ' * (self.level == 'warning')}{self.message} [{self.rule}]{because}"


class Rule(NamedTuple):
    """`limit` is what the check compares with; `source` is where the rule is written."""

    limit: Any
    level: str
    why: str
    source: str
    fix: str


# fmt: off
RULES = {
    "no-script": Rule(
        None, "error", "a script switches the viewer off, and datasets >= 4 refuses it",
        "dataset-viewer libcommon/exceptions.py", "Leave it out, or make a release: m3it release"),
    "split-searchable": Rule(
        5e9, "warning", "of a split the first 5 GB are searched, and of text formats no more is shown",
        "dataset-viewer prod.yaml duckDBIndex", "Make a release with its config of texts: m3it release"),
    "pictures-hold-bytes": Rule(
        {"bytes", "path"}, "error", "a picture is a struct of bytes and path; one without bytes is shown as nothing",
        "dataset-viewer viewer_utils/features.py", "Write the files' bytes into the column: m3it release"),
    "first-rows-fit": Rule(
        (200_000, 100, 1000, 500), "error", "ten rows, cut to 100 bytes a cell, must fit 200 kB, in 1,000 columns",
        "dataset-viewer chart/values.yaml", "Put fewer or smaller columns into the config"),
    "row-groups-indexed": Rule(
        300_000_000, "error", "without a page index a page of rows costs a whole row group, of 300 MB at most",
        "dataset-viewer prod.yaml rowsIndex", "Write it with write_page_index=True, or in row groups of 100 rows"),
    "files-listed": Rule(
        None, "error", "a file is shown under the config and the split that name it",
        "hub-docs datasets-manual-configuration.md", "List every file by its path: m3it release, or m3it card"),
    "configs-fit-viewer": Rule(
        4000, "error", "the viewer takes 4,000 configs",
        "dataset-viewer configNames.maxNumber", "Release fewer with --config, in several repositories"),
    "configs-fit-croissant": Rule(
        100, "warning", "Croissant and the code snippets know the first 100 configs",
        "dataset-viewer CROISSANT_MAX_CONFIGS", "Release fewer with --config, in several repositories"),
    "filter-columns-present": Rule(
        {"task", "dataset", "language", "license", "num_images", "width", "height"}, "warning",
        "readers filter by columns; of strings, those with 30 values or fewer become buttons",
        "hub-docs data-studio.md", "Add the columns: m3it release"),
    "split-names-valid": Rule(
        re.compile(r"\w+(\.\w+)*"), "error", "`datasets` refuses other names of splits",
        "datasets/splits.py", "Rename the split to train, validation or test"),
    "config-names-valid": Rule(
        re.compile(r'[^<>:/\\|?*"]+'), "error", "`datasets` makes folders of the names of configs",
        "datasets/naming.py", "Rename the config"),
    "config-names-unique": Rule(
        1, "error", "of several configs with the same name, `datasets` loads only the last",
        "datasets/utils/metadata.py", "Rename the config"),
    "files-within-limits": Rule(
        (100_000, 10_000, 200e9), "error", "100,000 files in a repository, 10,000 in a folder, 200 GB in a file",
        "hub-docs storage-limits.md", "Write shards of 200 to 500 MB"),
    "features-match-files": Rule(
        None, "error", "rows are cast to the features of the YAML; a column too many or of another type fails",
        "datasets/table.py", "Declare the columns that the files have, in their order: m3it release"),
    "metadata-without-lists": Rule(
        b'List"', "error", "datasets < 4 cannot parse the lists that newer versions note under `huggingface`",
        "datasets/features.py", "Write the file without schema metadata"),
    "row-counts-match": Rule(
        None, "error", "`datasets` refuses a split with other numbers of rows than the card states",
        "datasets/utils/info_utils.py", "Upload all files of one release, with its own README.md"),
    "parquet-readable": Rule(
        None, "error", "a file that cannot be opened is shown as an error",
        "datasets/packaged_modules/parquet", "Get the file again, or make it again"),
    "card-head-readable": Rule(
        None, "error", "the Hub reads the head of README.md as YAML, and shows no rows where it says viewer: false",
        "hub-docs datasets-cards.md", "Fix the head of README.md"),
    "card-metadata-complete": Rule(
        None, "warning", "the Hub's search, and Croissant, need the card's license, languages, tasks and size",
        "hub-docs datasets-cards.md", "Fix the head of README.md"),
    "pictures-small": Rule(
        1_000_000, "warning", "pictures above 1 MB are slow to show",
        "hub-docs datasets-streaming.md", "Smaller copies would be another dataset: leave it, or say so in the card"),
    "page-of-rows-fits": Rule(
        (300_000_000, 100), "error", "a page of the viewer is 100 rows, for which it reads 300 MB at most",
        "dataset-viewer prod.yaml rowsIndex", "Put fewer pictures into a row"),
    "filter-values-few": Rule(
        30, "warning", "a column of texts with 30 values or fewer becomes buttons to filter by",
        "hub-docs data-studio.md", "Make configs of fewer kinds of rows"),
    "one-default-config": Rule(
        1, "error", "one config opens first; `datasets` refuses a repository with several defaults",
        "datasets/utils/metadata.py", "Leave default: true at one config"),
    "config-with-pictures": Rule(
        {"image", "images"}, "warning", "base64 is shown as text, cut off, and never as a picture",
        "dataset-viewer viewer_utils/features.py", "Add a config with image files: m3it release"),
    "row-groups-small": Rule(
        100_000_000, "warning", "who streams reads whole row groups, of about 100 MB",
        "hub-docs datasets-streaming.md", "Write row groups of 100 rows"),
    "shards-small": Rule(
        500_000_000, "warning", "viewer, streaming and the shuffle of `datasets` do best with files of 200 to 500 MB",
        "hub-docs storage-limits.md, datasets#8669", "Release it with a smaller --shard-size"),
    "features-fit-answer": Rule(
        10_000_000, "error", "the viewer's answers hold 10 MB, and one holds the features of all configs",
        "dataset-viewer chart/values.yaml", "Release fewer configs with --config, or fewer columns"),
}
# fmt: on
LANGUAGE = re.compile("[a-z]{2,3}|code|multilingual")
TASKS = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B"}
IMAGE_CELL_BYTES = 600  # of a signed URL with width and height, which stands for a picture in the viewer's answer


def finding(rule: str, where: str, found: str, level: str | None = None) -> Finding:
    """A rule's Finding."""
    limit, usual, why, source, fix = RULES[rule]
    return Finding(rule, where, found, f"{why} ({source})", fix, level or usual)


def check_hub(repository: Repository) -> Iterator[Finding]:
    """Yield what the Hub would not like."""
    top = {posixpath.basename(name) for name in repository.fs.ls(repository.root, detail=False)}
    yield from check_files(repository, top)
    head, problem = read_head(repository) if "README.md" in top else ({}, "expected a README.md, found none")
    if problem:
        yield finding("card-head-readable", "README.md", problem)
    yield from check_head(head)
    yield from check_configs(repository, head)


def read_head(repository: Repository) -> tuple[dict[str, Any], str]:
    """The YAML of README.md, or why it cannot be read."""
    import yaml

    text = repository.fs.cat_file(f"{repository.root}/README.md").decode("utf-8", "replace")
    match = re.match(r"\ufeff?---\r?\n(.*?)\r?\n---\s*(\n|$)", text, re.DOTALL)
    try:
        head = yaml.load(match[1], getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if match else None
    except yaml.YAMLError as error:
        return {}, f"expected YAML in its head, {' '.join(str(error).split())}"
    if not isinstance(head, dict):
        return {}, "expected a head between two lines ---, found none"
    return head, ""


def as_list(value: Any) -> list[Any]:
    """What YAML has as one value or as several; none for nothing."""
    return value if isinstance(value, list) else [] if value is None else [value]


def mappings(value: Any) -> list[dict[str, Any]]:
    """Those of the values that are mappings."""
    return [entry for entry in as_list(value) if isinstance(entry, dict)]


def check_files(repository: Repository, top: set[str]) -> Iterator[Finding]:
    """Yield scripts, folders that are too full, files that are too large."""
    name = posixpath.basename(repository.repo_id or repository.root.rstrip("/"))
    for script in sorted(file for file in top if file.endswith(".py")):
        level = "error" if script == f"{name}.py" else "warning"
        note = "" if level == "error" else f"; in a repository called {script[:-3]} it would be run"
        yield finding("no-script", script, f"expected no script beside data/, found {script}{note}", level)
    most, most_in_folder, most_bytes = RULES["files-within-limits"].limit
    counts = Counter(map(posixpath.dirname, repository.files))
    if counts.total() > most:
        yield finding(
            "files-within-limits", repository.path, f"expected at most {most:,} files, found {counts.total():,}"
        )
    for folder, count in counts.items():
        if count > most_in_folder:
            yield finding(
                "files-within-limits", folder, f"expected at most {most_in_folder:,} files in a folder, found {count:,}"
            )
    for path in repository.files:
        if repository.size(path) > most_bytes:
            yield finding(
                "files-within-limits", path, f"expected at most {gb(most_bytes)}, found {gb(repository.size(path))}"
            )


def gb(num_bytes: float) -> str:
    """A number of bytes in words."""
    return f"{num_bytes / 1e9:.3g} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.3g} MB"


def check_head(head: dict[str, Any]) -> Iterator[Finding]:
    """Yield what is missing in the card's metadata."""
    if head.get("viewer") is False:
        yield finding("card-head-readable", "README.md", "viewer: false")
    if not head.get("license"):
        yield finding("card-metadata-complete", "README.md", "expected a license, found none")
    link = head.get("license_link")
    if link is not None and link not in ("LICENSE", "LICENSE.md") and not str(link).startswith("https://"):
        yield finding(
            "card-metadata-complete", "README.md", f"license_link: expected LICENSE, LICENSE.md or a URL, found {link}"
        )
    for key, good in (("language", LANGUAGE), ("task_categories", TASKS)):
        values = as_list(head.get(key))
        wrong = [value for value in values if not isinstance(value, str) or not good.fullmatch(value)]
        if wrong or not values:
            yield finding(
                "card-metadata-complete",
                "README.md",
                f"{key}: expected codes of the Hub's list, found {wrong or 'none'}",
            )
    sizes = as_list(head.get("size_categories"))
    if not sizes or set(map(str, sizes)) - SIZES:
        yield finding(
            "card-metadata-complete", "README.md", f"size_categories: expected e.g. 1M<n<10M, found {sizes or 'none'}"
        )


def check_configs(repository: Repository, head: dict[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong with the configs of the YAML, and with the files that they name or do not name."""
    configs, infos = mappings(head.get("configs")), mappings(head.get("dataset_info"))
    for key, values in (("configs", configs), ("dataset_info", infos)):
        if odd := [value for value in as_list(head.get(key)) if value not in values]:
            yield finding("card-head-readable", "README.md", f"{key}: expected a list of mappings, found {odd[0]!r}")
    for rule in ("configs-fit-viewer", "configs-fit-croissant"):
        if len(configs) > RULES[rule].limit:
            found = f"expected at most {RULES[rule].limit:,} configs, found {len(configs):,}"
            yield finding(rule, "README.md", found)
            break
    size, limit = len(json.dumps(infos, default=str)), RULES["features-fit-answer"].limit
    if size > limit:
        yield finding(
            "features-fit-answer", "README.md", f"expected dataset_info of {gb(limit)} at most, found {gb(size)}"
        )
    names = [config.get("config_name") for config in configs]
    defaults = [str(config.get("config_name")) for config in configs if config.get("default")]
    if len(defaults) > RULES["one-default-config"].limit:
        yield finding(
            "one-default-config",
            "README.md",
            f"expected default: true at one config, found it at {', '.join(defaults)}",
        )
    info_by_config = {str(info.get("config_name")): info for info in infos}
    has_texts = any(is_text(info) for info in infos)
    if infos and not any(columns_of(info) & RULES["config-with-pictures"].limit for info in infos):
        yield finding("config-with-pictures", "README.md", "expected a config with a column of pictures, found none")
    listed: list[str] = []
    for config, name in zip(configs, names, strict=True):
        if not isinstance(name, str) or not RULES["config-names-valid"].limit.fullmatch(name):
            yield finding("config-names-valid", "README.md", f"expected a config_name, found {name!r}")
            continue
        if names.index(name) < len(names) - 1 - names[::-1].index(name):
            yield finding(
                "config-names-unique", "README.md", f"expected names that differ, found {name!r} more than once"
            )
        info = info_by_config.get(name, {})
        if not mappings(info.get("features")):
            yield finding("features-match-files", f"README.md, {name}", "expected features in dataset_info, found none")
        seen: list[pq.FileMetaData] = []
        for split, paths, problems in splits_of(repository, name, config):
            yield from problems
            listed += paths
            yield from check_sizes(repository, f"{name}/{split}", paths, has_texts and not is_text(info))
            yield from check_split(repository, f"{name}/{split}", paths, info, seen)
        yield from check_values(name, seen)
    for path in repository.files:
        if SHARD.fullmatch(posixpath.basename(path)) and path not in listed:
            yield finding("files-listed", path, "no config of README.md lists this file")


def check_sizes(repository: Repository, where: str, paths: list[str], has_texts: bool) -> Iterator[Finding]:
    """Yield that a split is larger than what is searched, or shown; and its largest file, if that is too large."""
    size, limit = sum(map(repository.size, paths)), RULES["split-searchable"].limit
    shown = all(path.endswith(".parquet") for path in paths)  # to its end; other formats to the limit
    if size > limit and not (shown and has_texts):
        yield finding(
            "split-searchable", where, f"expected {gb(limit)}, or Parquet and a config of texts; found {gb(size)}"
        )
    largest = max(paths, key=repository.size, default=None)
    if largest and repository.size(largest) > RULES["shards-small"].limit:
        found = f"expected files of {gb(RULES['shards-small'].limit)} at most, found {gb(repository.size(largest))}"
        yield finding("shards-small", largest, found)


def check_split(
    repository: Repository, where: str, paths: list[str], info: dict[str, Any], seen: list[pq.FileMetaData]
) -> Iterator[Finding]:
    """Yield what is wrong with the Parquet files of a split; the rows of the first file of a config are looked at.
    `seen` gathers the footers of a config."""
    num_rows = 0
    for path in paths:
        if not path.endswith(".parquet"):
            return
        try:
            file = pq.ParquetFile(RangeFile(repository, path))
            num_rows += file.metadata.num_rows
            yield from check_columns(path, file.schema_arrow, info)
            yield from check_row_groups(path, file.metadata)
            if not seen:
                yield from check_first_rows(path, file)
            seen.append(file.metadata)
        except (pa.ArrowException, OSError, ShardError) as error:
            yield finding("parquet-readable", path, f"expected a Parquet file, {error}")
    stated = {said.get("name"): said.get("num_examples") for said in mappings(info.get("splits"))}
    expected = stated.get(where.rpartition("/")[2])
    if paths and expected not in (None, num_rows):
        yield finding(
            "row-counts-match", f"README.md, {where}", f"it states {expected} rows, the files hold {num_rows}"
        )


def check_values(name: str, seen: list[pq.FileMetaData]) -> Iterator[Finding]:
    """Yield columns to filter by that have too many values, as far as the bounds in the footers tell."""
    values: dict[str, set[str]] = {}
    groups = (metadata.row_group(i) for metadata in seen for i in range(metadata.num_row_groups))
    for column in (group.column(k) for group in groups for k in range(group.num_columns)):
        texts = column.path_in_schema in RULES["filter-columns-present"].limit and column.physical_type == "BYTE_ARRAY"
        if texts and column.statistics and column.statistics.has_min_max:
            values.setdefault(column.path_in_schema, set()).update((column.statistics.min, column.statistics.max))
    for column, found in values.items():
        if len(found) > RULES["filter-values-few"].limit:
            message = (
                f"expected {RULES['filter-values-few'].limit} values at most in {column}, found {len(found)} or more"
            )
            yield finding("filter-values-few", name, message)


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
        yield "", [], [finding("files-listed", where, "expected data_files, a list of split and path")]
        return
    splits = [str(entry.get("split")) for entry in entries]
    for number, (split, entry) in enumerate(zip(splits, entries, strict=True)):
        problems, paths = [], []
        if not RULES["split-names-valid"].limit.fullmatch(split):
            problems.append(
                finding("split-names-valid", where, f"expected a split of letters, digits and _, found {split!r}")
            )
        if split in splits[:number]:
            problems.append(
                finding("files-listed", where, f"expected one list for each split, found {split} more than once")
            )
        for path in map(str, as_list(entry["path"])):
            pattern = re.search(r"[*?\[]", path)
            found = [path] if path in repository.files else matching(repository, path) if pattern else []
            paths += found
            if not found:
                problems.append(finding("files-listed", where, f"expected {path}, found no such file"))
            elif path not in repository.files:
                problems.append(finding("files-listed", where, f"{path} also takes files that come later", "warning"))
        yield split, list(dict.fromkeys(paths)), problems


def matching(repository: Repository, pattern: str) -> list[str]:
    """The files that a pattern of the YAML takes: * within a folder, ** in all below."""
    signs = {"**": ".*", "**/": "(.*/)?", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/?|\*|\?|\[[^]]*\])", posixpath.normpath(pattern))
    regex = re.compile("".join(signs.get(p, p.replace("[!", "[^") if p[:1] == "[" else re.escape(p)) for p in parts))
    return [path for path in repository.files if regex.fullmatch(path)]


def columns_of(info: dict[str, Any]) -> set[str]:
    """The columns of a config of the YAML."""
    return {str(feature.get("name")) for feature in mappings(info.get("features"))}


def is_text(info: dict[str, Any]) -> bool:
    """Whether a config of the YAML holds rows without pictures."""
    columns = columns_of(info)
    return bool(columns) and not columns & {"images", "image", "image_base64_str"}


def check_columns(path: str, schema: pa.Schema, info: dict[str, Any]) -> Iterator[Finding]:
    """Yield columns that are not as the YAML says, that stop an older `datasets`, or that are missing."""
    columns = [(field.name, spelling(field.type)) for field in schema]
    declared = [(feature.get("name"), spelling_of(feature)) for feature in mappings(info.get("features"))]
    if declared and declared != columns:
        odd = sorted({f"{name} ({kind})" for name, kind in set(columns) ^ set(declared)})
        level = None if odd else "warning"  # columns are found by their names
        found = f"columns differ from README.md's features: {', '.join(odd) or 'their order'}"
        yield finding("features-match-files", path, found, level)
    if RULES["metadata-without-lists"].limit in (schema.metadata or {}).get(b"huggingface", b""):
        yield finding("metadata-without-lists", path, "found `huggingface` metadata that say _type: List")
    missing = RULES["filter-columns-present"].limit - set(schema.names)
    if "images" in schema.names and missing:
        found = f"expected columns to filter by, missing are {', '.join(sorted(missing))}"
        yield finding("filter-columns-present", path, found)


def check_row_groups(path: str, metadata: pq.FileMetaData) -> Iterator[Finding]:
    """Yield row groups that cannot be shown, or only slowly."""
    for i in range(metadata.num_row_groups):
        group, where = metadata.row_group(i), f"{path}, row group {i}"
        columns = [group.column(k) for k in range(group.num_columns)]
        size, limit = group.total_byte_size, RULES["row-groups-indexed"].limit
        if size > limit and not all(column.has_offset_index for column in columns):
            yield finding(
                "row-groups-indexed", where, f"expected a page index or at most {gb(limit)}, found {gb(size)}"
            )
        mean, (page_bytes, page_rows) = size / max(1, group.num_rows), RULES["page-of-rows-fits"].limit
        if mean * min(page_rows, metadata.num_rows) > page_bytes:
            level = None if mean > page_bytes else "warning"  # fewer rows can be asked for, and the first are shown
            yield finding("page-of-rows-fits", where, f"found rows of {gb(mean)}", level)
        if size - mean > RULES["row-groups-small"].limit:  # even without its last row
            yield finding(
                "row-groups-small", where, f"expected about {gb(RULES['row-groups-small'].limit)}, found {gb(size)}"
            )
        for column in columns:
            mean = column.total_uncompressed_size / max(1, column.num_values)
            if column.path_in_schema.endswith(".bytes") and mean > RULES["pictures-small"].limit:
                yield finding("pictures-small", where, f"found pictures of {gb(mean)} on average")


def spelling_of(feature: dict[str, Any]) -> str:
    """A feature of the YAML in the words of `release_card.spelling`."""
    inner = feature.get("list") or feature.get("sequence")
    if isinstance(inner, list):
        inner = f"[{', '.join(STRUCT_FIELD.format(**column) for column in inner)}]"
    return f"list: {inner}" if inner else str(feature.get("dtype"))


def check_first_rows(path: str, file: pq.ParquetFile) -> Iterator[Finding]:
    """Yield what keeps the viewer from showing the first rows of a file, or its pictures."""
    most_bytes, cell_bytes, most_columns, longest = RULES["first-rows-fit"].limit
    schema, total = file.schema_arrow, 0
    if len(schema) > most_columns or any(len(name) > longest for name in schema.names):
        yield finding("first-rows-fit", path, f"expected {most_columns:,} columns at most, of {longest} letters")
    for name in {"image", "images"} & set(schema.names):
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_list(kind) else kind
        if not pa.types.is_struct(kind) or {field.name for field in kind} != RULES["pictures-hold-bytes"].limit:
            yield finding(
                "pictures-hold-bytes", f"{path}, {name}", f"expected a struct of bytes and path, found {kind}"
            )
    for batch in itertools.islice(file.iter_batches(batch_size=10, row_groups=range(min(1, file.num_row_groups))), 1):
        for name, value in ((name, value) for row in batch.to_pylist() for name, value in row.items()):
            cells = [cell for cell in (value if isinstance(value, list) else [value]) if isinstance(cell, dict)]
            text = [] if cells else json.dumps(value, default=str, ensure_ascii=False).encode()
            total += IMAGE_CELL_BYTES * len(cells) + min(cell_bytes, len(text)) + len(name)
            if lost := [cell for cell in cells if cell.get("path") and cell.get("bytes") is None]:
                yield finding(
                    "pictures-hold-bytes",
                    f"{path}, {name}",
                    f"expected bytes, found the path {lost[0]['path']!r} alone",
                )
    if total > most_bytes:
        yield finding("first-rows-fit", path, f"expected ten rows in {most_bytes // 1000} kB, found {total // 1000} kB")
