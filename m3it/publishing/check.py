"""Does a repository keep the contracts? Every row of every shard: fields, types, base64, pictures, ids; the counts that
the card states; what the Hub asks (hub_rules.py). And do two repositories hold the same rows? Findings are told as they
are found, since a repository may take an hour; a Report holds them all at the end."""

import json
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any, NamedTuple

from M3IT import UNREADABLE, Repository, as_row, check_row, complete, find_shards, image_bytes, read_rows, twin_of
from m3it.publishing.card_yaml import read_readme
from m3it.publishing.configs import open_configs
from m3it.publishing.hub_card import check_hub
from m3it.publishing.hub_rules import Finding
from m3it.publishing.parquet import instances
from m3it.publishing.statistics import Tally
from m3it.reading.layouts import Reading, describe, layout, survey
from m3it.reading.published.raw import Legacy
from m3it.rows.images import ImageError, pixels, read_base64
from m3it.rows.instance import FIELDS, Drop, ShardError
from m3it.rows.messages import from_messages
from m3it.work.runner import Progress, silent

ROWS = re.compile(r"^(?!drops\.jsonl$|\.).*\.(jsonl|parquet)(\.gz|\.zst)?$", re.IGNORECASE)  # names of files of rows
Counts = dict[tuple[str, str], int]  # (config, split) -> rows

MOST_TOLD = 2  # warnings by one rule


class Report(NamedTuple):
    """What a check has found: what is wrong; the rows of each split that was read to its end (or that two repositories
    hold alike); of a published repository, how each config is read."""

    findings: list[Finding]
    counts: Counts
    readings: list[Reading]


def quiet(text: str) -> None:
    """A `tell` that says nothing."""


def check(
    repository: Repository,
    config: str | None = None,
    fields: dict[str, str] | None = None,
    *,
    tell: Callable[[str], None] = quiet,
    progress: Progress = silent,
) -> Report:
    """Every row, every file and the card of a repository; of a published one (M3IT, M3IT-80), which has hundreds of GB,
    how each config is read. `tell` gets each finding and each reading as text as soon as it is found; `progress` gets
    the rows of each file."""
    if fields or issubclass(layout(repository), Legacy):
        return check_published(repository, config, fields, tell)
    counts: Counts = {}
    tallies: dict[str, Tally] = {}
    checks = [check_rows(repository, counts, config, progress, tallies), check_names(repository, config)]
    checks += [check_counts(repository, counts, config), check_twins(repository, config)]
    if config is None and (find_shards(repository) or read_readme(repository)):
        checks.append(check_hub(repository, tallies))
    return Report(told(chain.from_iterable(checks), tell), counts, [])


def told(findings: Iterable[Finding], tell: Callable[[str], None]) -> list[Finding]:
    """The findings, each told as it is found; of warnings by one rule the first MOST_TOLD, and how many more there
    are: an error among them is to be seen."""
    found, warned = list[Finding](), Counter[str]()
    for finding in findings:
        found.append(finding)
        warned[finding.rule] += finding.level == "warning"
        if finding.level != "warning" or warned[finding.rule] <= MOST_TOLD:
            tell(str(finding))
    for rule, number in warned.items():
        if number > MOST_TOLD:
            tell(f"{rule}: {number - MOST_TOLD:,} more warnings by this rule; m3it check --json lists all")
    return found


def check_published(
    repository: Repository, config: str | None, fields: dict[str, str] | None, tell: Callable[[str], None]
) -> Report:
    """How each config of a published repository is read, by its first row."""
    report = Report([], {}, [])
    for reading in survey(repository, config, fields):
        tell(describe(reading))
        report.readings.append(reading)
        wrong = [Finding("mapping", f"{reading.config}, first row", reading.error)] if reading.error else []
        report.findings.extend(told(wrong, tell))
    return report


def check_rows(
    repository: Repository,
    counts: Counts,
    config: str | None = None,
    progress: Progress = silent,
    tallies: dict[str, Tally] | None = None,
) -> Iterator[Finding]:
    """Yield what is wrong with the rows of each split, and count them; `tallies` gets what was counted in each file, by
    its path, once it was read to its end."""
    for name, listed in find_shards(repository).items():
        for split, shards in listed.items() if config in (None, name) else ():
            try:
                paths = complete(shards)
            except ShardError as error:
                yield Finding("shards", name, str(error))
                continue
            counts[name, split] = 0
            seen: dict[str, str] = {}
            for path in paths:
                tally = Tally()
                try:
                    for where, row_id, finding in progress(check_shard(repository, path, tally), path):
                        counts[name, split] += 1
                        if finding and (finding.rule, split) != ("outputs", "test"):  # some withhold the answers
                            yield finding
                        if row_id is not None and seen.setdefault(row_id, where) != where:
                            yield Finding("id", where, f"row id {row_id!r} stands at {seen[row_id]} already")
                    if tallies is not None:
                        tallies[path] = tally
                except (OSError, ValueError, ShardError) as error:
                    yield Finding("file", path, f"expected a file that can be read to its end, {error}")


def check_names(repository: Repository, config: str | None = None) -> Iterator[Finding]:
    """Yield the files of rows below data/ that no config finds, and the card does not name."""
    card = read_readme(repository)
    read = {path for listed in find_shards(repository).values() for shards in listed.values() for path, _ in shards}
    for path in repository.files if config is None else ():
        name = posixpath.basename(path)
        if path.startswith("data/") and path not in read and ROWS.search(name) and path not in card:
            shape = "data/<task>/<dataset>[/<language>]/<split>[-00000-of-00003].jsonl"
            message = f"no config has this file: expected {shape}. Rename it, or take it out."
            yield Finding("name", path, message, level="warning")


def check_shard(repository: Repository, path: str, tally: Tally) -> Iterator[tuple[str, str | None, Finding | None]]:
    """Yield (place, row id or None, what is wrong with it or None) of every row of one file; `tally` counts them."""
    line_number, end = 1, 0
    for offset, line in read_rows(repository, (path, 0, repository.size(path))):
        if path.endswith(".jsonl"):  # counted as we go: to count from the file's start for each finding takes hours
            line_number += 1 if offset == end + 1 else repository.read(path, end, offset).count(b"\n")
            end = offset + len(line)
        where = f"{path}:{line_number}" if path.endswith(".jsonl") else repository.where(path, offset)
        try:
            row = as_row(line)
            tally.add(row)
            if path.endswith(".parquet") and "outputs" in row:  # a release has the published four columns
                row.setdefault("meta", "{}")
            if isinstance(row, dict) and "messages" in row:  # of `m3it release --format messages`
                row = {**from_messages(row), "images": row.get("images") or []}
            rule, message = row_problem(row)
            row_id = json.loads(row["meta"]).get("id") if not rule else None
        except UNREADABLE as error:
            rule, message, row_id = "json", str(error), None
        yield where, row_id, Finding(rule, where, message) if rule else None


def row_problem(row: Any) -> tuple[str, str]:
    """(rule, message) of the first thing wrong with a row of a shard; two empty texts if nothing is."""
    if isinstance(row, dict) and "images" not in row and tuple(row) != FIELDS:
        return "fields", f"expected the fields {', '.join(FIELDS)}, found {', '.join(row)}"
    try:
        raw = dict(row) if isinstance(row, dict) else row
        row = check_row(row)
        "".join(row[name] for name in FIELDS if name != "image_base64_str").encode()
    except (ShardError, UnicodeEncodeError) as error:
        return "types", str(error)
    try:
        images = image_bytes(row)
    except (ShardError, ValueError) as error:
        return "base64", str(error)
    if changed := [name for name in FIELDS if name in raw and name != "images" and raw[name] != row[name]]:
        found = str(raw[changed[0]])[:40]
        return "types", f"{changed[0]}: expected a string (a list of plain base64 strings for images), found {found!r}"
    try:
        meta = json.loads(row["meta"])
    except ValueError as error:
        return "meta", f"expected a JSON string in meta, {error}"
    if not isinstance(meta, dict):
        return "meta", f"expected a JSON object in meta, found {row['meta'][:40]}"
    if not isinstance(meta.get("id", ""), str):
        return "meta", f"expected a string as the id in meta, found {json.dumps(meta['id'])[:40]}"
    for number, image in enumerate(images, 1):
        try:
            pixels(image if "images" in row else read_base64(row["image_base64_str"][number - 1]))
        except ImageError as error:
            return "image", f"image {number} of {len(images)}: {error}"
    if not row["outputs"].strip():
        return "outputs", "expected an answer in outputs, found nothing"
    return "", ""


def check_counts(repository: Repository, counts: Counts, config: str | None = None) -> Iterator[Finding]:
    """Yield where dataset_infos.json, if there is one, states other numbers of rows than were found."""
    try:
        infos = json.loads(repository.fs.cat_file(f"{repository.root}/dataset_infos.json"))
        stated = {
            (n, s): splits["num_examples"]
            for n, info in infos.items()
            if n != "text"
            for s, splits in info["splits"].items()
        }
    except FileNotFoundError:
        return
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        message = f"expected config -> splits -> num_examples, {type(error).__name__}: {error}. Run: m3it card"
        yield Finding("counts", "dataset_infos.json", message)
        return
    for name, split in dict.fromkeys([*counts, *stated]):
        says, found = stated.get((name, split), "no"), counts.get((name, split), "none")
        if config in (None, name) and says != found:
            yield Finding(
                "counts", f"{name}/{split}", f"dataset_infos.json states {says} rows, found {found}. Run: m3it card"
            )


def check_twins(repository: Repository, config: str | None = None) -> Iterator[Finding]:
    """Yield where a release's base64 rows are not those of its image files: the ids of both stand with the latter."""
    found = find_shards(repository)
    for name in (name for name in found if config in (None, name)):
        with suppress(OSError, *UNREADABLE):  # what cannot be read is found, and said, by check_rows
            if twin_of(repository, found, name) != name:
                yield from differing_files(repository, found, name)


def differing_files(repository: Repository, found: dict[str, Any], name: str) -> Iterator[Finding]:
    """Yield the files of a config that have no twin with image files, or one with other rows."""
    twins = [path for listed in found[f"{name}-images"].values() for path, _ in listed]
    pictures = {path.replace("-images/", "/"): path for path in twins}
    for path in (path for listed in found[name].values() for path, _ in listed):
        if path not in pictures:
            yield Finding("twin", path, f"expected the same file in {name}-images, found none")
            continue
        with suppress(OSError, *UNREADABLE):
            yield from differing_row(repository, path, pictures[path])


def differing_row(repository: Repository, path: str, pictures: str) -> Iterator[Finding]:
    """Yield the first row of a base64 file that is not that of its twin with image files."""
    both = ((repository, (each, 0, repository.size(each))) for each in (path, pictures))
    for (number, row), (_, twin) in zip_longest(*(read_rows(*each) for each in both), fillvalue=(0, {})):
        row, twin = as_row(row), as_row(twin)
        if not row or not twin or said_by(row) != said_by(twin):
            found = f"expected row {twin.get('row_id')} of {pictures}, found another"
            yield Finding("twin", f"{path}, row {number}", found)
            return


def said_by(row: dict[str, Any]) -> list[Any]:
    """The texts and the image files of a row as it stands in a release."""
    row = check_row(dict(row))
    return [row["instruction"], row["inputs"], row["outputs"], image_bytes(row)]


def compare(
    ours: str,
    theirs: str,
    config: str | None = None,
    fields: dict[str, str] | None = None,
    *,
    tell: Callable[[str], None] = quiet,
) -> Report:
    """What differs between two repositories of any layout: ids, texts, bytes of image files; and the rows of each split
    that both hold alike. Rows that cannot be read are left out on both sides, and said."""
    counts: Counts = {}
    return Report(told(compare_rows(ours, theirs, counts, config, fields), tell), counts, [])


def compare_rows(
    ours: str, theirs: str, counts: Counts, config: str | None = None, fields: dict[str, str] | None = None
) -> Iterator[Finding]:
    """Yield what differs, and count the rows of each split that is the same."""
    names = [config] if config else None
    both = [{c.name: c.builder for c in open_configs(path, names, fields, "drop")} for path in (ours, theirs)]
    for path, builders, others in ((theirs, both[0], both[1]), (ours, both[1], both[0])):
        if missing := [name for name in builders if name not in others]:
            few = ", ".join(missing[:5]) + ", ..." * (len(missing) > 5)
            message = f"expected the same configs in both, here is none of these {len(missing)}: {few}"
            yield Finding("against", path, message)
    for name in (name for name in both[0] if name in both[1]):
        splits = [builders[name].shards(name) for builders in both]
        for split in dict.fromkeys([*splits[0], *splits[1]]):
            where = f"{name}/{split}"
            rows: list[list[tuple[str, bytes]]] = []
            for path, builders, listed in zip((ours, theirs), both, splits, strict=True):
                if split not in listed:
                    yield Finding("against", where, f"expected in both, found none in {path}")
                    break
                rows.append([])
                drops: list[Drop] = []
                for row in instances(builders[name], name, split, builders[name].pieces(split), drops):
                    rows[-1].append((row["row_id"], row["digest"]))
                for drop in drops[:1]:
                    message = f"{len(drops)} rows of {path} cannot be read, e.g. {drop.id}: {drop.reason}"
                    yield Finding("against", where, message, level="warning")
            else:
                if sorted(rows[0]) == sorted(rows[1]):
                    counts[name, split] = len(rows[0])
                else:
                    yield Finding("against", where, f"expected the same rows, found {differences(*rows)}")


def differences(ours: list[tuple[str, bytes]], theirs: list[tuple[str, bytes]]) -> str:
    """How two lists of (row id, digest) differ, with the first ids of each kind."""
    a, b = dict(ours), dict(theirs)
    kinds = {"only in the first": [row_id for row_id in a if row_id not in b]}
    kinds |= {"only in the second": [row_id for row_id in b if row_id not in a]}
    kinds |= {"of other content": [row_id for row_id in a if b.get(row_id, a[row_id]) != a[row_id]]}
    said = [f"{len(ids)} {kind} ({', '.join(ids[:3])}{', ...' * (len(ids) > 3)})" for kind, ids in kinds.items() if ids]
    return "; ".join(said) or f"ids that occur twice: {len(ours)} and {len(theirs)} rows"
