"""data/, README.md and docs/ of a repository -> dataset_infos.json, and the rendered parts of README.md and docs/*.md.

People decide in CATALOGUE, this module measures; nothing rendered is ever edited by hand. Rendered is what stands
between markers, `<!-- m3it: tasks -->` ... `<!-- /m3it -->`, and three keys of README.md's YAML head: configs,
dataset_info, size_categories. All else is the user's, and stays byte for byte.
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
from m3it.sources.kit.downloads import KNOWN_ON, ByHand, File, files_of, in_total
from m3it.work.folder import text_of, write_text
from m3it.work.runner import Progress, silent

TYPES = ", ".join(f"{{name: {name}, {'list' if name == 'image_base64_str' else 'dtype'}: string}}" for name in FIELDS)
FEATURES = {name: {"feature": TEXT, "_type": "Sequence"} if name == "image_base64_str" else TEXT for name in FIELDS}
BLOCK = re.compile(r"(<!-- m3it: (\S+) -->\n)(.*?)(<!-- /m3it -->)", re.DOTALL)
NO_PICTURE = re.compile(rb'"image_base64_str":\s*\[\s*\]')


def measure_splits(repository: Repository, progress: Progress = silent) -> tuple[dict[str, Any], set[str]]:
    """(dataset_infos.json of a repository: config -> features, splits with rows and bytes, sizes; the configs that have
    a row of JSON without pictures). Every row is read; `progress` gets the rows of each file."""
    infos, bare = {}, set()
    for config, listed in sorted(find_shards(repository).items(), key=lambda item: catalogue_order(item[0])):
        splits, total = {}, 0
        for split in (split for split in SPLIT_ORDER if split in listed):
            paths = complete(listed[split])
            num_bytes = sum(repository.size(path) for path in paths)
            pieces = [(path, 0, repository.size(path)) for path in paths]
            num_rows = 0
            for piece in pieces:
                for _, row in progress(read_rows(repository, piece), piece[0]):
                    num_rows += 1
                    if isinstance(row, bytes) and NO_PICTURE.search(row):
                        bare.add(config)
            sizes = {"num_bytes": num_bytes, "num_examples": num_rows}
            splits[split] = {"name": split, **sizes, "dataset_name": "m3it"}
            total += num_bytes
        sizes = {"download_size": total, "dataset_size": total, "size_in_bytes": total}
        infos[config] = {"features": FEATURES, "splits": splits, **sizes}
    return infos, bare


def measured_keys(repository: Repository, infos: dict[str, Any], bare: set[str]) -> dict[str, str]:
    """Key -> its lines of YAML, of the keys that let plain `datasets` load the repository: the exact paths of every
    config, a line each, and the types of those in `bare`: what an empty list holds, no version can know. The size
    stands with them, for the Hub's search."""
    listed = find_shards(repository)
    num_rows = sum(split["num_examples"] for info in infos.values() for split in info["splits"].values())
    lines = {"size_categories": [size_category(num_rows)], "configs": [], "dataset_info": []}
    for config, info in infos.items():
        files = ", ".join(
            f"{{split: {split}, path: {_paths(complete(listed[config][split]))}}}" for split in info["splits"]
        )
        lines["configs"].append(f"{{config_name: {scalar(config)}, data_files: [{files}]}}")
        if config in bare:
            lines["dataset_info"].append(f"{{config_name: {scalar(config)}, features: [{TYPES}]}}")
    return {
        key: "".join([f"{key}:\n", *(f"- {line}\n" for line in found)]) if found else "" for key, found in lines.items()
    }


def _paths(paths: list[str]) -> str:
    """One path, or a list of several, as YAML."""
    return scalar(paths[0]) if len(paths) == 1 else f"[{', '.join(map(scalar, paths))}]"


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


def downloads_table(infos: dict[str, Any]) -> str:
    """One line per dataset: what `m3it download` fetches, and what a person must get where."""
    told = f"The addresses were last known to be true on {KNOWN_ON}."
    lines = [told, "", "| dataset | fetched | by hand | annotations | pictures |", "|---|---|---|---|---|"]
    for d in CATALOGUE.values():
        sources = files_of(d.name)
        files = [source for source in sources if isinstance(source, File)]
        pages: dict[tuple[str, str], list[str]] = {}
        for source in sources:
            if isinstance(source, ByHand):
                pages.setdefault((source.page, source.why), []).append(f"`{source.path}`")
        by_hand = "; ".join(f"{', '.join(paths)}: [{why}]({page})" for (page, why), paths in pages.items())
        fetched = in_total(file.num_bytes for file in files) if files else ""
        lines.append(f"| `{d.name}` | {fetched} | {by_hand} | {d.license} | {d.image_license} |")
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
    "downloads": downloads_table,
}  # fmt: skip


def render_blocks(text: str, name: str, folder: Path, infos: dict[str, Any]) -> str:
    """A page with its marked blocks made anew. A block `bench_load` is bench/results/load.md."""

    def block(match: re.Match) -> str:
        measured = folder / "bench" / "results" / f"{match[2].removeprefix('bench_')}.md"
        if match[2] not in BLOCKS and not measured.exists():
            known = f"{', '.join(BLOCKS)}, and bench_NAME for bench/results/NAME.md"
            raise M3ITError(f"{name}: unknown block {match[2]!r}; known are {known}.")
        fresh = BLOCKS[match[2]](infos) if match[2] in BLOCKS else text_of(measured).strip()
        if "<!-- m3it:" in match[3]:
            raise M3ITError(f"{name}: block {match[2]!r} has no end. Add <!-- /m3it --> where it should be.")
        return f"{match[1]}{fresh}\n{match[4]}"

    return BLOCK.sub(block, text)


def render_head(readme: str, infos: dict[str, Any], keys: dict[str, str]) -> str:
    """README.md with the measured keys of its YAML head made anew; the rest as it was."""
    head, body = cut_head(readme)
    try:
        return f"---\n{replace_keys(first_head(infos) if head is None else head, keys)}---\n{body}"
    except ValueError as error:
        raise M3ITError(f"README.md: {error}. Fix what stands between its two lines ---, or take it out.") from error


def card(folder: Path | str, check: bool = False, progress: Progress = silent) -> list[str]:
    """Measure and write dataset_infos.json of a local repository, and what is rendered in its README.md and docs/*.md;
    with `check` write nothing. Returns the diffs, none if all was up to date."""
    folder = Path(folder)
    if not folder.is_dir():
        raise M3ITError(f"{folder}: expected a repository's folder, with data/; there is none.")
    repository = Repository(folder)
    infos, bare = measure_splits(repository, progress)
    if not infos:
        raise M3ITError(f"{folder}: expected shards in data/<task>/<dataset>/, found none.")
    readme = folder / "README.md"
    pages = {path: text_of(path) for path in sorted(folder.glob("docs/*.md"))}
    pages[readme] = text_of(readme) if readme.exists() else ""
    pages[readme] = render_head(pages[readme], infos, measured_keys(repository, infos, bare))
    fresh = {folder / "dataset_infos.json": json.dumps(infos, indent=1, ensure_ascii=False) + "\n"}
    fresh |= {path: render_blocks(text, path.name, folder, infos) for path, text in pages.items()}
    diffs = []
    for path, text in fresh.items():
        old = text_of(path) if path.exists() else ""
        if old != text:
            both, names = (old.split("\n"), text.split("\n")), (f"{path.name} (is)", f"{path.name} (measured)")
            diffs.append("\n".join(difflib.unified_diff(*both, *names, lineterm="", n=1)))
            if not check:
                write_text(path, text)
    return diffs
