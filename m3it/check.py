"""Does a repository keep the contracts? Every row of every shard: fields, types, base64, pictures, ids; and the counts that the card states."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from m3it.images import ImageError, pixels, read_base64
from m3it.instance import FIELDS, ShardError
from M3IT import Repository, check_row, complete, find_shards, image_bytes, parse, read_rows


class Finding(NamedTuple):
    """One thing that is wrong: the rule that is broken, where, and what was expected and found."""

    rule: str
    where: str
    message: str


def check(repository: Repository, config: str | None = None) -> Iterator[Finding | tuple[str, str, int]]:
    """Yield what is wrong, and (config, split, rows) for each split that was read to its end."""
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
                for offset, row_id, finding in check_shard(repository, path):
                    counts[name, split] = counts.get((name, split), 0) + 1
                    if finding and (finding.rule, split) != ("outputs", "test"):  # the answers of some test splits are withheld
                        yield finding
                    if row_id is not None and seen.setdefault(row_id, f"{path}:{offset}") != f"{path}:{offset}":
                        yield Finding("id", repository.where(path, offset), f"row id {row_id!r} stands at {seen[row_id]} (byte) already")
            yield name, split, counts.get((name, split), 0)
    yield from check_counts(repository, counts)


def check_shard(repository: Repository, path: str) -> Iterator[tuple[int, str | None, Finding | None]]:
    """Yield (offset, row id or None, what is wrong with it or None) of every row of one file."""
    for offset, line in read_rows(repository, (path, 0, repository.size(path))):
        try:
            row = parse(line) if isinstance(line, bytes) else line
            rule, message = row_problem(row)
            row_id = json.loads(row["meta"]).get("id") if not rule and "meta" in row else None
        except ValueError as error:
            rule, message, row_id = "json", f"expected one JSON object, {error}", None
        yield offset, row_id, Finding(rule, repository.where(path, offset), message) if rule else None


def row_problem(row: Any) -> tuple[str, str]:
    """(rule, message) of the first thing wrong with a row of a shard; two empty texts if nothing is."""
    if isinstance(row, dict) and "images" not in row and tuple(row) != FIELDS and set(row) != set(FIELDS[:4]):
        return "fields", f"expected the fields {', '.join(FIELDS)}, found {', '.join(row)}"
    try:
        raw = dict(row) if isinstance(row, dict) else row
        images = image_bytes(check_row(row))
    except ShardError as error:
        return "types", str(error)
    if changed := [name for name in FIELDS if name in raw and name != "images" and raw[name] != row[name]]:
        return "types", f"{changed[0]}: expected a string (a list of plain base64 strings for images), found {str(raw[changed[0]])[:40]!r}"
    try:
        meta = json.loads(row["meta"])
    except ValueError as error:
        return "meta", f"expected a JSON string in meta, {error}"
    if not isinstance(meta, dict):
        return "meta", f"expected a JSON object in meta, found {row['meta'][:40]}"
    for number, image in enumerate(images, 1):
        try:
            pixels(image if "images" in row else read_base64(row["image_base64_str"][number - 1]))
        except ImageError as error:
            return "image", f"image {number} of {len(images)}: {error}"
    if not row["outputs"].strip():
        return "outputs", "expected an answer in outputs, found nothing"
    return "", ""


def check_counts(repository: Repository, counts: dict[tuple[str, str], int]) -> Iterator[Finding]:
    """Yield where dataset_infos.json, if there is one, states other numbers of rows than were found."""
    try:
        infos = json.loads(repository.fs.cat_file(f"{repository.root}/dataset_infos.json"))
    except FileNotFoundError:
        return
    for (config, split), num_rows in counts.items():
        stated = infos.get(config, {}).get("splits", {}).get(split, {}).get("num_examples")
        if stated != num_rows:
            yield Finding("counts", f"{config}/{split}", f"dataset_infos.json states {stated} rows, found {num_rows}. Run: m3it card")
