"""The rules of the Hub and its dataset viewer: what each demands, why, where that is written, and how to keep it.

A rule is named after what it demands. An error keeps `datasets` or the viewer from showing rows; a warning keeps them
from doing so well. RULES holds each limit once, with the place where it stands: files of huggingface/dataset-viewer
(its production settings are chart/env/prod.yaml), pages of huggingface/hub-docs, modules of `datasets`, as of 2026-08.
Who looks: hub_card.py at README.md and the names of files, hub_parquet.py into the files.
"""

import re
from typing import Any, NamedTuple


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
        5e9, "warning", "of a split the files up to 5 GB, uncompressed, are searched; of text formats no more is shown",
        "dataset-viewer libcommon/parquet_utils.py", "Make a release with its config of texts: m3it release"),
    "pictures-hold-bytes": Rule(
        {"bytes", "path"}, "error", "a picture is a struct of bytes and path; one without bytes is shown as nothing",
        "dataset-viewer viewer_utils/features.py", "Write the files' bytes into the column: m3it release"),
    "first-rows-fit": Rule(
        (200_000, 1000, 500), "error", "rows are cut to fit 200 kB, but not their columns: 1,000 of 500 letters",
        "dataset-viewer chart/values.yaml", "Put fewer columns into the config, of shorter names"),
    "row-groups-indexed": Rule(
        300_000_000, "error", "without a page index a page of rows costs a whole row group, of 300 MB in the file",
        "dataset-viewer prod.yaml rowsIndex", "Write it with write_page_index=True, or in row groups of 100 rows"),
    "files-listed": Rule(
        None, "error", "a file is shown under the config and the split that name it",
        "hub-docs datasets-manual-configuration.md", "List every file by its path: m3it release, or m3it card"),
    "configs-fit-viewer": Rule(
        4000, "error", "the viewer takes 4,000 configs",
        "dataset-viewer configNames.maxNumber", "Release fewer with --config, in several repositories"),
    "configs-fit-croissant": Rule(
        100, "warning", "Croissant and the code snippets for `datasets` know the first 100 configs by the alphabet",
        "dataset-viewer CROISSANT_MAX_CONFIGS",
        "Release fewer with --config, in several repositories, or each once with --images native"),
    "filter-columns-present": Rule(
        {"task", "dataset", "language", "license", "image_license", "num_images", "width", "height"}, "warning",
        "readers filter by columns; strings of few values become buttons",
        "hub-docs data-studio.md", "Add the columns: m3it release"),
    "split-names-valid": Rule(
        re.compile(r"\w+(\.\w+)*"), "error", "`datasets` refuses other names of splits, and then shows no config",
        "datasets/splits.py", "Rename the split to train, validation or test"),
    "config-names-valid": Rule(
        re.compile(r'[^<>:/\\|?*"]+'), "error", "`datasets` makes folders of the names of configs",
        "datasets/naming.py", "Rename the config"),
    "config-names-unique": Rule(
        1, "warning", "configs of the same name are shown as one, and `datasets` loads only the last",
        "datasets/utils/metadata.py", "Rename the config"),
    "files-within-limits": Rule(
        (100_000, 10_000, 200e9), "error", "100,000 files in a repository, 10,000 in a folder, 200 GB in a file",
        "hub-docs storage-limits.md", "Write shards of 200 to 500 MB"),
    "features-match-files": Rule(
        None, "error", "rows are cast to the features of the YAML; a column too many or of another type fails",
        "datasets/table.py", "Declare the columns that the files have: m3it release"),
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
        None, "error", "the Hub reads the head of README.md as YAML; with an entry of another shape it shows no config",
        "hub-docs datasets-cards.md", "Fix the head of README.md"),
    "card-head-small": Rule(
        500_000, "warning", "each of the viewer's jobs, several for each config and split, reads the whole head of "
        "README.md, a megabyte in about 8 seconds: 560 configs take it hours", "datasets/utils/metadata.py",
        "Release fewer with --config, in several repositories, or each once with --images native"),
    "viewer-left-on": Rule(
        "not-for-all-audiences", "error", "the Hub shows no rows where the card says so, or has that tag",
        "dataset-viewer libcommon/operations.py", "Take it out of the head of README.md"),
    "card-metadata-complete": Rule(
        None, "warning", "the Hub's search, and Croissant, need the card's license, languages, tasks and size",
        "hub-docs datasets-cards.md", "Fix the head of README.md"),
    "pictures-small": Rule(
        1_000_000, "warning", "pictures above 1 MB are slow to show",
        "hub-docs datasets-streaming.md", "Smaller copies would be another dataset: leave it, or say so in the card"),
    "page-of-rows-fits": Rule(
        (300_000_000, 100), "error", "a page of the viewer is 100 rows, for which it reads 300 MB of a row group",
        "dataset-viewer prod.yaml rowsIndex", "Write row groups of fewer rows: m3it release"),
    "filter-values-few": Rule(
        (10, 0.2, 1000), "warning", "a column of texts becomes buttons to filter by if it has 10 values or fewer, or "
        "1,000 or fewer that are no more than 20 % of the rows",
        "dataset-viewer libcommon/statistics_utils.py", "Make configs of fewer kinds of rows"),
    "statistics-computed": Rule(
        None, "warning", "a split gets no histograms and no buttons to filter by where numbers or lengths are n and "
        "n + 1 alone, where a column has one value, and where texts are numbers above 2**31",
        "dataset-viewer libcommon/statistics_utils.py", "Leave it, or say so in the card: rows are shown all the same"),
    "texts-not-years": Rule(
        re.compile(r"\d{4}"), "warning", "a column of four digits in every text is taken for years, and shown as dates",
        "dataset-viewer libcommon/statistics_utils.py", "Put a letter before the numbers, or leave it"),
    "splits-fit-viewer": Rule(
        30, "error", "a config with more than 30 splits is not shown",
        "dataset-viewer splitNames.maxNumber", "Make configs of them"),
    "paths-without-at": Rule(
        "@", "error", "a path is cut at @, and its file not found",
        "dataset-viewer config/parquet_and_info.py", "Rename the file"),
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


def broken(rule: str, where: str, found: str, level: str | None = None) -> Finding:
    """What a broken rule of the Hub comes to, at its usual level unless another is given."""
    _, usual, why, source, fix = RULES[rule]
    return Finding(rule, where, found, f"{why} ({source})", fix, level or usual)


def limit_of(rule: str) -> Any:
    """What a rule's check compares with."""
    return RULES[rule].limit
