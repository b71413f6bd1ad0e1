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
from m3it.instance import ShardError
from m3it.release_card import STRUCT_FIELD, spelling


class Finding(NamedTuple):
    """One thing that is wrong: the rule that is broken, where, and what was expected and found. A rule of the Hub also
    says why it is one, and how to mend it."""

    rule: str
    where: str
    message: str
    why: str = ""
    mend: str = ""
    level: str = "error"

    def __str__(self) -> str:
        because = f" Why: {self.why}. {self.mend}." if self.why else ""
        return f"{self.where}: {'warning: ' * (self.level == 'warning')}{self.message} [{self.rule}]{because}"


class Rule(NamedTuple):
    """`limit` is what the check compares with; `source` is where the rule is written."""

    limit: Any
    level: str
    why: str
    source: str
    mend: str


# fmt: off
RULES = {
    "hub-01": Rule(
        None, "error", "a script switches the viewer off, and datasets >= 4 refuses it",
        "dataset-viewer libcommon/exceptions.py", "Leave it out, or make a release: m3it release"),
    "hub-02": Rule(
        5e9, "warning", "of a split the first 5 GB are searched, and of text formats no more is shown",
        "dataset-viewer prod.yaml duckDBIndex", "Make a release with its config of texts: m3it release"),
    "hub-03": Rule(
        {"bytes", "path"}, "error", "a picture is a struct of bytes and path; one without bytes is shown as nothing",
        "dataset-viewer viewer_utils/features.py", "Write the files' bytes into the column: m3it release"),
    "hub-04": Rule(
        (200_000, 100, 1000, 500), "error", "ten rows, cut to 100 bytes a cell, must fit 200 kB, in 1,000 columns",
        "dataset-viewer chart/values.yaml", "Put fewer or smaller columns into the config"),
    "hub-05": Rule(
        300_000_000, "error", "without a page index a page of rows costs a whole row group, of 300 MB at most",
        "dataset-viewer prod.yaml rowsIndex", "Write it with write_page_index=True, or in row groups of 100 rows"),
    "hub-06": Rule(
        None, "error", "a file is shown under the config and the split that name it",
        "hub-docs datasets-manual-configuration.md", "List every file by its path: m3it release, or m3it card"),
    "hub-07": Rule(
        4000, "error", "the viewer takes 4,000 configs",
        "dataset-viewer configNames.maxNumber", "Release fewer with --config, in several repositories"),
    "hub-08": Rule(
        100, "warning", "Croissant and the code snippets know the first 100 configs",
        "dataset-viewer CROISSANT_MAX_CONFIGS", "Release fewer with --config, in several repositories"),
    "hub-09": Rule(
        {"task", "dataset", "language", "license", "num_images", "width", "height"}, "warning",
        "readers filter by columns; of strings, those with 30 values or fewer become buttons",
        "hub-docs data-studio.md", "Add the columns: m3it release"),
    "hub-10": Rule(
        re.compile(r"\w+(\.\w+)*"), "error", "`datasets` refuses other names of splits",
        "datasets/splits.py", "Rename the split to train, validation or test"),
    "hub-11": Rule(
        re.compile(r'[^<>:/\\|?*"]+'), "error", "`datasets` makes folders of the names of configs",
        "datasets/naming.py", "Rename the config"),
    "hub-12": Rule(
        (100_000, 10_000, 200e9), "error", "100,000 files in a repository, 10,000 in a folder, 200 GB in a file",
        "hub-docs storage-limits.md", "Write shards of 200 to 500 MB"),
    "hub-13": Rule(
        None, "error", "rows are cast to the features of the YAML; a column too many or of another type fails",
        "datasets/table.py", "Declare the columns that the files have, in their order: m3it release"),
    "hub-14": Rule(
        b'List"', "error", "datasets < 4 cannot parse the lists that newer versions note under `huggingface`",
        "datasets/features.py", "Write the file without schema metadata"),
    "hub-15": Rule(
        None, "error", "`datasets` refuses a split with other numbers of rows than the card states",
        "datasets/utils/info_utils.py", "Upload all files of one release, with its own README.md"),
    "hub-16": Rule(
        None, "error", "a file that cannot be opened is shown as an error",
        "datasets/packaged_modules/parquet", "Get the file again, or make it again"),
    "hub-17": Rule(
        None, "error", "the Hub reads the head of README.md as YAML, and shows no rows where it says viewer: false",
        "hub-docs datasets-cards.md", "Mend the head of README.md"),
    "hub-18": Rule(
        None, "warning", "the Hub's search, and Croissant, need the card's license, languages, tasks and size",
        "hub-docs datasets-cards.md", "Mend the head of README.md"),
    "hub-19": Rule(
        1_000_000, "warning", "pictures above 1 MB are slow to show",
        "hub-docs datasets-streaming.md", "Smaller copies would be another dataset: leave it, or say so in the card"),
    "hub-20": Rule(
        300_000_000, "error", "one row must fit what is read for a page, 300 MB",
        "dataset-viewer prod.yaml rowsIndex", "Put fewer pictures into a row"),
}
# fmt: on
TASKS = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B"}
IMAGE_CELL_BYTES = 600  # of a signed URL with width and height, which stands for a picture in the viewer's answer


def finding(rule: str, where: str, found: str, level: str | None = None) -> Finding:
    """A rule's Finding."""
    limit, usual, why, source, mend = RULES[rule]
    return Finding(rule, where, found, f"{why} ({source})", mend, level or usual)


def check_hub(repository: Repository) -> Iterator[Finding]:
    """Yield what the Hub would not like."""
    top = {posixpath.basename(name) for name in repository.fs.ls(repository.root, detail=False)}
    yield from check_files(repository, top)
    head, problem = read_head(repository) if "README.md" in top else ({}, "expected a README.md, found none")
    if problem:
        yield finding("hub-17", "README.md", problem)
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


def check_files(repository: Repository, top: set[str]) -> Iterator[Finding]:
    """Yield scripts, folders that are too full, files that are too large."""
    name = posixpath.basename(repository.repo_id or repository.root.rstrip("/"))
    for script in sorted(file for file in top if file.endswith(".py")):
        level = "error" if script == f"{name}.py" else "warning"
        note = "" if level == "error" else f"; in a repository called {script[:-3]} it would be run"
        yield finding("hub-01", script, f"expected no script beside data/, found {script}{note}", level)
    most, most_in_folder, most_bytes = RULES["hub-12"].limit
    counts = Counter(map(posixpath.dirname, repository.files))
    if counts.total() > most:
        yield finding("hub-12", repository.path, f"expected at most {most:,} files, found {counts.total():,}")
    for folder, count in counts.items():
        if count > most_in_folder:
            yield finding("hub-12", folder, f"expected at most {most_in_folder:,} files in a folder, found {count:,}")
    for path in repository.files:
        if repository.size(path) > most_bytes:
            yield finding("hub-12", path, f"expected at most {gb(most_bytes)}, found {gb(repository.size(path))}")


def gb(num_bytes: float) -> str:
    """A number of bytes in words."""
    return f"{num_bytes / 1e9:.3g} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.3g} MB"


def check_head(head: dict[str, Any]) -> Iterator[Finding]:
    """Yield what the card's metadata lack."""
    if head.get("viewer") is False:
        yield finding("hub-17", "README.md", "viewer: false")
    if not head.get("license"):
        yield finding("hub-18", "README.md", "expected a license, found none")
    link = head.get("license_link")
    if link is not None and link not in ("LICENSE", "LICENSE.md") and not str(link).startswith("https://"):
        yield finding("hub-18", "README.md", f"license_link: expected LICENSE, LICENSE.md or a URL, found {link}")
    for key, good in (("language", re.compile("[a-z]{2,3}")), ("task_categories", TASKS)):
        values = head.get(key) or []
        wrong = [value for value in values if not isinstance(value, str) or not good.fullmatch(value)]
        if wrong or not values:
            yield finding("hub-18", "README.md", f"{key}: expected codes of the Hub's list, found {wrong or 'none'}")
    sizes = head.get("size_categories") or []
    if not sizes or set(sizes) - SIZES:
        yield finding("hub-18", "README.md", f"size_categories: expected e.g. 1M<n<10M, found {sizes or 'none'}")


def check_configs(repository: Repository, head: dict[str, Any]) -> Iterator[Finding]:
    """Yield what is wrong with the configs of the YAML, and with the files that they name or do not name."""
    configs = head.get("configs") or []
    for rule in ("hub-07", "hub-08"):
        if len(configs) > RULES[rule].limit:
            found = f"expected at most {RULES[rule].limit:,} configs, found {len(configs):,}"
            yield finding(rule, "README.md", found)
            break
    infos = head.get("dataset_info") or []
    info_by_config = {info.get("config_name"): info for info in (infos if isinstance(infos, list) else [infos])}
    has_texts = any(is_text(info) for info in info_by_config.values())
    listed: list[str] = []
    for config in configs:
        name, info = config.get("config_name"), info_by_config.get(config.get("config_name"), {})
        if not isinstance(name, str) or not RULES["hub-11"].limit.fullmatch(name):
            yield finding("hub-11", "README.md", f"expected a config_name, found {name!r}")
            continue
        if not info.get("features"):
            yield finding("hub-13", f"README.md, {name}", "expected features in dataset_info, found none")
        opened: list[str] = []
        for split, paths, problems in splits_of(repository, name, config):
            yield from problems
            listed += paths
            size, limit = sum(map(repository.size, paths)), RULES["hub-02"].limit
            if size > limit and (is_text(info) or not has_texts):
                found = f"expected {gb(limit)}, or a config of texts beside it; found {gb(size)}"
                yield finding("hub-02", f"{name}/{split}", found)
            yield from check_split(repository, f"{name}/{split}", paths, info, opened)
    for path in repository.files:
        if SHARD.fullmatch(posixpath.basename(path)) and path not in listed:
            yield finding("hub-06", path, "no config of README.md lists this file")


def check_split(
    repository: Repository, where: str, paths: list[str], info: dict[str, Any], opened: list[str]
) -> Iterator[Finding]:
    """Yield what is wrong with the Parquet files of a split; the rows of the first file of a config are looked at."""
    num_rows = 0
    for path in paths:
        if not path.endswith(".parquet"):
            return
        try:
            file = pq.ParquetFile(RangeFile(repository, path))
            num_rows += file.metadata.num_rows
            yield from check_columns(path, file.schema_arrow, info)
            yield from check_row_groups(path, file.metadata)
            if not opened:
                yield from check_first_rows(path, file)
            opened.append(path)
        except (pa.ArrowException, OSError, ShardError) as error:
            yield finding("hub-16", path, f"expected a Parquet file, {error}")
    stated = {said.get("name"): said.get("num_examples") for said in info.get("splits") or []}
    expected = stated.get(where.rpartition("/")[2])
    if paths and expected not in (None, num_rows):
        yield finding("hub-15", f"README.md, {where}", f"it states {expected:,} rows, the files hold {num_rows:,}")


def splits_of(
    repository: Repository, name: str, config: dict[str, Any]
) -> Iterator[tuple[str, list[str], list[Finding]]]:
    """Yield (split, the files of it that are there, what is wrong with the list) of a config of the YAML."""
    where = f"README.md, {name}"
    entries = config.get("data_files")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and entry.get("path") for entry in entries):
        yield "", [], [finding("hub-06", where, "expected data_files, a list of split and path")]
        return
    for entry in entries:
        split, paths = str(entry.get("split")), entry["path"]
        paths = [paths] if isinstance(paths, str) else list(paths)
        problems = []
        if not RULES["hub-10"].limit.fullmatch(split):
            problems.append(finding("hub-10", where, f"expected a split of letters, digits and _, found {split!r}"))
        for path in paths:
            if re.search(r"[*?{\[]", path):
                problems.append(finding("hub-06", where, f"{path} also takes files that come later", "warning"))
            elif path not in repository.files:
                problems.append(finding("hub-06", where, f"expected {path}, found no such file"))
        yield split, [path for path in paths if path in repository.files], problems


def is_text(info: dict[str, Any]) -> bool:
    """Whether a config of the YAML holds rows without pictures."""
    columns = {feature.get("name") for feature in info.get("features") or []}
    return bool(columns) and not columns & {"images", "image", "image_base64_str"}


def check_columns(path: str, schema: pa.Schema, info: dict[str, Any]) -> Iterator[Finding]:
    """Yield columns that are not as the YAML says, that stop an older `datasets`, or that lack."""
    found = [(field.name, spelling(field.type)) for field in schema]
    declared = [(feature.get("name"), spelling_of(feature)) for feature in info.get("features") or []]
    if declared and declared != found:
        odd = sorted({f"{name} ({kind})" for name, kind in set(found) ^ set(declared)})
        yield finding("hub-13", path, f"columns differ from README.md's features: {', '.join(odd) or 'their order'}")
    if RULES["hub-14"].limit in (schema.metadata or {}).get(b"huggingface", b""):
        yield finding("hub-14", path, "found `huggingface` metadata that say _type: List")
    lacking = RULES["hub-09"].limit - set(schema.names)
    if "images" in schema.names and lacking:
        yield finding("hub-09", path, f"expected columns to filter by, {', '.join(sorted(lacking))} lack")


def check_row_groups(path: str, metadata: pq.FileMetaData) -> Iterator[Finding]:
    """Yield row groups that cannot be shown, or only slowly."""
    for i in range(metadata.num_row_groups):
        group, where = metadata.row_group(i), f"{path}, row group {i}"
        columns = [group.column(k) for k in range(group.num_columns)]
        size, limit = group.total_byte_size, RULES["hub-05"].limit
        if size > limit and not all(column.has_offset_index for column in columns):
            yield finding("hub-05", where, f"expected a page index or at most {gb(limit)}, found {gb(size)}")
        if size / max(1, group.num_rows) > RULES["hub-20"].limit:
            yield finding("hub-20", where, f"found rows of {gb(size / group.num_rows)}")
        for column in columns:
            mean = column.total_uncompressed_size / max(1, column.num_values)
            if column.path_in_schema.endswith(".bytes") and mean > RULES["hub-19"].limit:
                yield finding("hub-19", where, f"found pictures of {gb(mean)} on average")


def spelling_of(feature: dict[str, Any]) -> str:
    """A feature of the YAML in the words of `release_card.spelling`."""
    inner = feature.get("list") or feature.get("sequence")
    if isinstance(inner, list):
        inner = f"[{', '.join(STRUCT_FIELD.format(**column) for column in inner)}]"
    return f"list: {inner}" if inner else str(feature.get("dtype"))


def check_first_rows(path: str, file: pq.ParquetFile) -> Iterator[Finding]:
    """Yield what keeps the viewer from showing the first rows of a file, or its pictures."""
    most_bytes, cell_bytes, most_columns, longest = RULES["hub-04"].limit
    schema, total = file.schema_arrow, 0
    if len(schema) > most_columns or any(len(name) > longest for name in schema.names):
        yield finding("hub-04", path, f"expected {most_columns:,} columns at most, of {longest} letters")
    for name in {"image", "images"} & set(schema.names):
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_list(kind) else kind
        if not pa.types.is_struct(kind) or {field.name for field in kind} != RULES["hub-03"].limit:
            yield finding("hub-03", f"{path}, {name}", f"expected a struct of bytes and path, found {kind}")
    for batch in itertools.islice(file.iter_batches(batch_size=10, row_groups=range(min(1, file.num_row_groups))), 1):
        for name, value in ((name, value) for row in batch.to_pylist() for name, value in row.items()):
            cells = [cell for cell in (value if isinstance(value, list) else [value]) if isinstance(cell, dict)]
            text = [] if cells else json.dumps(value, default=str, ensure_ascii=False).encode()
            total += IMAGE_CELL_BYTES * len(cells) + min(cell_bytes, len(text)) + len(name)
            if lost := [cell for cell in cells if cell.get("path") and cell.get("bytes") is None]:
                yield finding("hub-03", f"{path}, {name}", f"expected bytes, found the path {lost[0]['path']!r} alone")
    if total > most_bytes:
        yield finding("hub-04", path, f"expected ten rows in {most_bytes // 1000} kB, found {total // 1000} kB")
