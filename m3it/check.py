"""Does a repository keep the contracts? Every row of every shard: fields, types, base64, pictures, ids; and the counts
that the card states."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from M3IT import Repository, check_row, complete, find_shards, image_bytes, parse, read_rows
from m3it.images import ImageError, pixels, read_base64
from m3it.instance import FIELDS, ShardError
from m3it.layouts import Reading, layout, survey
from m3it.legacy import Legacy


class Finding(NamedTuple):
    """One thing that is wrong: the rule that is broken, where, and what was expected and found."""

    rule: str
    where: str
    message: str


def check(
    repository: Repository, config: str | None = None, fields: dict[str, str] | None = None
) -> Iterator[Finding | tuple[str, str, int] | Reading]:
    """Yield what is wrong, and (config, split, rows) for each split that was read to its end; of a published repository
    (M3IT, M3IT-80), which has hundreds of GB, a Reading of each config."""
    if fields or issubclass(layout(repository), Legacy):
        for reading in survey(repository, config, fields):
            yield reading
            if reading.error:
                yield Finding("mapping", f"{reading.config}, first row", reading.error)
        return
    counts: dict[tuple[str, str], int] = {}
    for name, listed in find_shards(repository).items():
        for split, shards in listed.items() if config in (None, name) else ():
            try:
                paths = complete(shards)
            except ShardError as error:
                yield Finding("shards", name, str(error))
                continue
            seen: dict[str, str] = {}
            for path in paths:
                try:
                    for where, row_id, finding in check_shard(repository, path):
                        counts[name, split] = counts.get((name, split), 0) + 1
                        if finding and (finding.rule, split) != ("outputs", "test"):  # some withhold the answers
                            yield finding
                        if row_id is not None and seen.setdefault(row_id, where) != where:
                            yield Finding("id", where, f"row id {row_id!r} stands at {seen[row_id]} already")
                except (OSError, ValueError, ShardError) as error:
                    yield Finding("file", path, f"expected a file that can be read to its end, {error}")
            counts.setdefault((name, split), 0)
            yield name, split, counts[name, split]
    yield from check_counts(repository, counts, config)


def check_shard(repository: Repository, path: str) -> Iterator[tuple[str, str | None, Finding | None]]:
    """Yield (place, row id or None, what is wrong with it or None) of every row of one file."""
    line_number, end = 1, 0
    for offset, line in read_rows(repository, (path, 0, repository.size(path))):
        if path.endswith(".jsonl"):  # counted as we go: to count from the file's start for each finding takes hours
            line_number += 1 if offset == end + 1 else repository.read(path, end, offset).count(b"\n")
            end = offset + len(line)
        where = f"{path}:{line_number}" if path.endswith(".jsonl") else repository.where(path, offset)
        try:
            row = parse(line) if isinstance(line, bytes) else line
            rule, message = row_problem(row)
            row_id = json.loads(row["meta"]).get("id") if not rule else None
        except ValueError as error:
            rule, message, row_id = "json", f"expected one JSON object, {error}", None
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


def check_counts(
    repository: Repository, counts: dict[tuple[str, str], int], config: str | None = None
) -> Iterator[Finding]:
    """Yield where dataset_infos.json, if there is one, states other numbers of rows than were found."""
    try:
        infos = json.loads(repository.fs.cat_file(f"{repository.root}/dataset_infos.json"))
        stated = {(n, s): splits["num_examples"] for n, info in infos.items() for s, splits in info["splits"].items()}
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
