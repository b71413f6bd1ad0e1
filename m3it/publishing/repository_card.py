"""data/ and README.md of a repository -> dataset_infos.json and README.md: what is measured from the rows, what is
rendered from CATALOGUE.

People decide in CATALOGUE, this module measures; nothing rendered is ever edited by hand. In README.md that is what
stands between markers, `<!-- m3it: tasks -->` ... `<!-- /m3it -->`, and three keys of the YAML head: configs,
dataset_info, size_categories. All else in the head is the user's, and stays byte for byte.
"""

import difflib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from M3IT import CATALOGUE, LANGUAGES, Repository, complete, find_shards, read_rows
from m3it.catalogue import catalogue_order
from m3it.publishing.card_yaml import (
    CATEGORIES,
    SPLIT_ORDER,
    TEXT,
    cut_head,
    replace_keys,
    scalar,
    size_category,
)
from m3it.rows.instance import FIELDS, M3ITError
from m3it.work.folder import text_of, write_text
from m3it.work.runner import Progress, silent

FEATURES = {name: {"feature": TEXT, "_type": "Sequence"} if name == "image_base64_str" else TEXT for name in FIELDS}
BLOCK = re.compile(r"(<!-- m3it: (\S+) -->\n)(.*?)(<!-- /m3it -->)", re.DOTALL)


def measure_splits(repository: Repository, progress: Progress = silent) -> dict[str, Any]:
    """dataset_infos.json of a repository: config -> features, splits with rows and bytes, sizes; every row is read.
    `progress` gets the rows of each file."""
    infos = {}
    for config, listed in sorted(find_shards(repository).items(), key=lambda item: catalogue_order(item[0])):
        splits, total = {}, 0
        for split in (split for split in SPLIT_ORDER if split in listed):
            paths = complete(listed[split])
            num_bytes = sum(repository.size(path) for path in paths)
            pieces = [(path, 0, repository.size(path)) for path in paths]
            num_rows = sum(1 for piece in pieces for _ in progress(read_rows(repository, piece), piece[0]))
            sizes = {"num_bytes": num_bytes, "num_examples": num_rows}
            splits[split] = {"name": split, **sizes, "dataset_name": "m3it"}
            total += num_bytes
        sizes = {"download_size": total, "dataset_size": total, "size_in_bytes": total}
        infos[config] = {"features": FEATURES, "splits": splits, **sizes}
    return infos


def measured_keys(repository: Repository, infos: dict[str, Any]) -> dict[str, str]:
    """Key -> its lines of YAML, of the keys that let plain `datasets` load the repository: exact paths and the features
    of every config, in a spelling all versions read. The size stands with them, for the Hub's search."""
    listed = find_shards(repository)
    num_rows = sum(split["num_examples"] for info in infos.values() for split in info["splits"].values())
    configs, features = ["configs:"], ["dataset_info:"]
    for config, info in infos.items():
        configs += [f"- config_name: {scalar(config)}", "  data_files:"]
        for split in info["splits"]:
            first, *others = map(scalar, complete(listed[config][split]))
            configs += [f"  - split: {split}", f"    path: {first}"]
            if others:
                configs[-1:] = ["    path:", *(f"    - {path}" for path in (first, *others))]
        features += [f"- config_name: {scalar(config)}", "  features:"]
        for name in FIELDS:
            kind = "list: string" if name == "image_base64_str" else "dtype: string"
            features += [f"  - name: {name}", f"    {kind}"]
    size = ["size_categories:", f"- {size_category(num_rows)}"]
    return {lines[0][:-1]: "\n".join([*lines, ""]) for lines in (size, configs, features)}


def first_head(infos: dict[str, Any]) -> str:
    """What a README.md without a head gets besides what is measured; from then on it is the user's."""
    here = {code for d in CATALOGUE.values() if d.translated for code in LANGUAGES if f"{d.name}-{code}" in infos}
    languages = sorted({"en", *(d.language for d in CATALOGUE.values()), *here})
    lines = ["pretty_name: M3IT", "license: other", "license_name: per-dataset"]
    lines += ["license_link: https://huggingface.co/datasets/MMInstruction/M3IT"]
    lines += ["language:", *(f"- {scalar(code)}" for code in languages)]
    lines += ["task_categories:", *(f"- {category}" for category in CATEGORIES)]
    return "\n".join([*lines, ""])


def tasks_table(infos: dict[str, Any]) -> str:
    """One line per dataset: what it is, its published size, and how many rows of it lie here."""
    lines = [
        "| task | dataset | language | train | validation | test | rows here | held out | translated |",
        "|---|---|---|---:|---:|---:|---:|---|---|",
    ]
    for d in CATALOGUE.values():
        here = sum(split["num_examples"] for split in infos.get(d.name, {}).get("splits", {}).values())
        marks = ["yes" if mark else "" for mark in (d.held_out, d.translated)]
        kind = f"{d.language}, video" if d.modality == "video" else d.language
        sizes = [f"{size:,}" for size in (d.train, d.validation, d.test)]
        lines.append("| " + " | ".join([d.task, f"`{d.name}`", kind, *sizes, str(here or ""), *marks]) + " |")
    return "\n".join(lines)


def totals_table(infos: dict[str, Any]) -> str:
    """Published sizes by the paper's reporting groups: a Chinese or video dataset counts in its own group, not in its
    task."""
    groups: dict[str, list[int]] = {}
    for d in CATALOGUE.values():
        group = "Chinese" if d.language == "zh" else "video" if d.modality == "video" else d.task
        sizes = groups.setdefault(group, [0, 0, 0, 0])
        for i, number in enumerate((1, d.train, d.validation, d.test)):
            sizes[i] += number
    lines = ["| group | datasets | train | validation | test |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {group} | {n} | {train:,} | {validation:,} | {test:,} |"
        for group, (n, train, validation, test) in groups.items()
    ]
    total = [sum(column) for column in zip(*groups.values(), strict=True)]
    return "\n".join([*lines, f"| **all** | {total[0]} | {total[1]:,} | {total[2]:,} | {total[3]:,} |"])


def licenses_table(infos: dict[str, Any]) -> str:
    """One line per dataset: the terms of its annotations and of its pictures, and where they come from."""
    lines = ["| dataset | annotations | pictures | source | paper |", "|---|---|---|---|---|"]
    lines += [
        f"| `{d.name}` | {d.license} | {d.image_license} | [site]({d.homepage}) | [paper]({d.paper}) |"
        for d in CATALOGUE.values()
    ]
    return "\n".join(lines)


def languages_list(infos: dict[str, Any]) -> str:
    """The 80 codes with their English and own names; those that a competent reader has checked are marked."""
    listed = [
        f"{x.name}{'' if x.own_name == x.name else f' ({x.own_name})'} `{x.code}`{' ✓' if x.checked else ''}"
        for x in LANGUAGES.values()
    ]
    checked = sum(x.checked for x in LANGUAGES.values())
    return f"{', '.join(listed)}.\n\n✓: a competent reader has checked our translations: {checked} of {len(listed)}."


BLOCKS: dict[str, Callable[[dict[str, Any]], str]] = {
    "tasks": tasks_table, "totals": totals_table, "licenses": licenses_table, "languages": languages_list,
}  # fmt: skip


def render_readme(readme: str, repository: Repository, infos: dict[str, Any]) -> str:
    """README.md with its marked blocks and, of its YAML head, the measured keys made anew; the rest as it was. A block
    `bench_load` is bench/results/load.md."""

    def block(match: re.Match) -> str:
        measured = Path(repository.root) / "bench" / "results" / f"{match[2].removeprefix('bench_')}.md"
        if match[2] not in BLOCKS and not measured.exists():
            known = f"{', '.join(BLOCKS)}, and bench_NAME for bench/results/NAME.md"
            raise M3ITError(f"README.md: unknown block {match[2]!r}; known are {known}.")
        text = BLOCKS[match[2]](infos) if match[2] in BLOCKS else text_of(measured).strip()
        if "<!-- m3it:" in match[3]:
            raise M3ITError(f"README.md: block {match[2]!r} has no end. Add <!-- /m3it --> where it should be.")
        return f"{match[1]}{text}\n{match[4]}"

    head, body = cut_head(readme)
    try:
        head = replace_keys(first_head(infos) if head is None else head, measured_keys(repository, infos))
    except ValueError as error:
        raise M3ITError(f"README.md: {error}. Fix what stands between its two lines ---, or take it out.") from error
    return f"---\n{head}---\n" + BLOCK.sub(block, body)


def card(folder: Path | str, check: bool = False, progress: Progress = silent) -> list[str]:
    """Measure and write dataset_infos.json and README.md of a local repository; with `check` write nothing. Returns
    the diffs, none if all was up to date."""
    folder = Path(folder)
    if not folder.is_dir():
        raise M3ITError(f"{folder}: expected a repository's folder, with data/; there is none.")
    repository = Repository(folder)
    infos = measure_splits(repository, progress)
    if not infos:
        raise M3ITError(f"{folder}: expected shards in data/<task>/<dataset>/, found none.")
    readme = folder / "README.md"
    fresh = {
        folder / "dataset_infos.json": json.dumps(infos, indent=1, ensure_ascii=False) + "\n",
        readme: render_readme(text_of(readme) if readme.exists() else "", repository, infos),
    }
    diffs = []
    for path, text in fresh.items():
        old = text_of(path) if path.exists() else ""
        if old != text:
            both, names = (old.split("\n"), text.split("\n")), (f"{path.name} (is)", f"{path.name} (measured)")
            diffs.append("\n".join(difflib.unified_diff(*both, *names, lineterm="", n=1)))
            if not check:
                write_text(path, text)
    return diffs
