"""A repository of any layout -> a release: Parquet that plain `datasets` loads and the Hub's viewer shows.

In: whatever `load_builder` reads. Out, below one folder or URL:

    data/<task>/<dataset>[/<language>]/<split>*.parquet          config viquae: the four published features, base64
    data/<task>/<dataset>[/<language>]-images/<split>*.parquet   config viquae-images: image files, columns to filter by
    data/text/<split>*.parquet                                   config text: all rows without pictures, to search in
    README.md, dataset_infos.json, LICENSES.md, run.json; drops.jsonl where rows were left out

or, where other tools read no such folders (--format llava, webdataset), below <config>/.

One call writes the same rows into the first two, side by side: row n of a file is row n of its twin, which holds its
id. What the Hub asks of such files stands in hub_rules.py, with its sources; what other tools read, in formats/.
"""

import os
import posixpath
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq

from m3it.catalogue import why_not_commercial
from m3it.publishing.card_yaml import SPLIT_ORDER
from m3it.publishing.columns import CHUNKED, TERMS, ParquetRows
from m3it.publishing.configs import ReleaseConfig, open_configs, origin
from m3it.publishing.destination import refuse_others_card, refuse_others_files, refuse_source
from m3it.publishing.formats import FORMATS, FURTHER_KINDS
from m3it.publishing.jsonl import release_lines
from m3it.publishing.parquet import FILE_KINDS, file_kind, split_digest, write_shard
from m3it.publishing.release_card import write_card
from m3it.reading.corrections import unused
from m3it.reading.drop_list import strangers
from m3it.reading.ratings import RATINGS, Ratings, read_ratings
from m3it.rows.instance import M3ITError
from m3it.work.folder import Folder, absolute, digest_of, sha256_of
from m3it.work.runner import Made, Piece, Progress, map_shards, open_executor, silent, write_drops, write_run

SHARD_BYTES = 400_000_000  # of the source; 200-500 MB suit viewer, streaming and shuffling
TEXT_GROUP_ROWS = 10_000  # about 5 MB
ACCEPTED_FORMATS = ("parquet", "jsonl", *FORMATS)
KINDS_BY_IMAGES = {"both": ["images", "base64"], "native": ["images"], "base64": ["base64"]}


def release(
    repo: str,
    out: Path | str,
    configs: Iterable[str] | None = None,
    *,
    format: str = "parquet",
    images: str = "both",
    shard_bytes: int = SHARD_BYTES,
    on_error: str = "raise",
    fields: dict[str, str] | None = None,
    corrections: str | None = None,
    exclude: str | None = None,
    license: str | None = None,
    ratings: Iterable[str | os.PathLike] = (),
    workers: int = 1,
    cluster: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Make a release of a repository in a folder or below a URL; returns what run.json holds.

    `images`: "both", "native" (image files only, under the names of the datasets) or "base64". `format`: "parquet";
    "jsonl", a card without a script for rows that are in the schema already; or a name in FORMATS, what other tools
    read. `corrections`: a TSV file of corrected texts; run.json counts them, and lists those that name no row.
    `exclude`: a drop list as `m3it leaks` writes it; run.json counts its rows by reason. `license="commercial"`: what
    the licenses of annotations and pictures allow, a dataset as a whole or row by row; run.json says what was left out
    and why. `ratings`: files of `m3it rate`, which become columns to filter by; run.json counts the rows that have one,
    those that have none, and the ratings that name no row. Killed and called again, it goes on.
    """
    out, ratings = absolute(out), [*ratings]
    refuse_wishes(images, format, corrections, exclude, license, ratings, out)
    values = read_ratings(ratings)
    opened = open_configs(repo, configs, fields, on_error, corrections, exclude, license)
    for config in opened:
        refuse_source(config.builder.repository, out)
    refuse_others_card(Folder(out))
    if format == "jsonl":
        return release_lines(repo, out, opened)
    refuse_others_files(Folder(out))
    refused = {name: why for _, name, _, about in opened if license and (why := why_not_commercial(about["dataset"]))}
    opened = [config for config in opened if config.name not in refused]
    holds = format if format in FORMATS else images
    kinds = [*FORMATS[format].KINDS] if format in FORMATS else KINDS_BY_IMAGES[images]
    options: dict[str, Any] = {"configs": [config.name for config in opened], "images": holds}
    options |= {"shard_bytes": shard_bytes, "on_error": on_error}
    options |= {"chunks": "content-defined"} if CHUNKED else {}  # other bytes: begun without, it is not gone on with
    lists = {"corrections": corrections, "exclude": exclude}
    options |= {name: sha256_of(Path(path)) for name, path in lists.items() if path}
    options |= {"ratings": [sha256_of(Path(path)) for path in ratings]} if ratings else {}
    options |= {"license": license} if license else {}
    has_configs = format not in FORMATS or FORMATS[format].HAS_CONFIGS
    rated = values if values or any(map(has_ratings, opened)) else None
    pieces = [
        piece
        for config in opened
        for piece in plan_shards(config, kinds, shard_bytes, config.folder if has_configs else config.name, rated)
    ]
    kept = {record["path"] for record in Folder(out).records()}  # of a call before this one

    def make(function: Callable[..., Made], pieces: list[Piece]) -> dict[str, dict[str, Any]]:
        made = map_shards(function, pieces, out, options, executor, progress, "release")
        records = {piece.path: made[piece.path] for piece in pieces}
        check_kept(out, [record for path, record in records.items() if path in kept])
        return records

    with open_executor(workers, cluster) as executor:
        listed = records = make(write_shard, pieces)
        if license:  # of a split without a row no file stays; those of its rows that were left out are listed, too
            records, empty = without_empty(out, records)
            refused |= empty
        if not records:
            raise M3ITError(f"{repo}: no row is for commercial use: {as_reasons(refused)}. Leave out license.")
        if format in FORMATS and (further := FORMATS[format].further):
            check_further(out, kept & records.keys(), further)
        texts = [] if format in FORMATS else list(plan_text_shards(out, records, shard_bytes))
        of_texts = make(write_text_shard, texts)
    splits, terms = prove(out, records), count_terms(out, records)
    records |= of_texts
    opened = [config for config in opened if any(split.startswith(f"{config.name}/") for split in splits)]
    write_card(out, describe_configs(out, records), opened, holds, splits, terms)
    if any(record["drops"] for record in listed.values()):
        write_drops(f"{out}/drops.jsonl", listed)
    for record in records.values():  # the texts and digests of the rows are no part of the release
        record["beside"] = {path: file for path, file in record["beside"].items() if not path.startswith(".work/")}
    Folder(out).sweep()
    told = {"corrections": count_corrections(out, records, opened)} if corrections else {}
    told |= {"exclude": count_excluded(records, opened)} if exclude else {}
    told |= {"license": {"use": license, "left_out": refused}} if license else {}
    told |= {"ratings": count_ratings(out, records, values)} if ratings else {}
    return write_run(f"{out}/run.json", "release", options, records, **origin(opened, splits), **told)


def refuse_wishes(
    images: str, format: str, corrections: str | None, exclude: str | None, license: str | None, ratings: list[Any],
    out: str,
) -> None:  # fmt: skip
    """ValueError or M3ITError for options that do not go together."""
    if images not in KINDS_BY_IMAGES or format not in ACCEPTED_FORMATS:
        known = f"{', '.join(KINDS_BY_IMAGES)}; {', '.join(ACCEPTED_FORMATS)}"
        raise ValueError(f"images={images!r}, format={format!r}: expected {known}")
    if format != "parquet" and images != "both":
        raise ValueError(f"images={images!r}: format={format!r} has one kind of files. Leave it out.")
    if "://" in out and format in FORMATS and FORMATS[format].further:
        raise M3ITError(f"{out}: format {format} makes a file of each picture, in a folder. Pass a folder as --out.")
    if format == "jsonl" and (corrections or ratings):
        raise M3ITError(f"{corrections or ratings[0]}: its rows must be written anew. Pass --format parquet.")
    if (exclude or license) and format == "jsonl":
        raise M3ITError(f"{exclude or license}: what is left of the rows must be written anew. Pass --format parquet.")


def upload_line(out: str) -> str:
    """The command that publishes a release, as the installed huggingface_hub has it: newer ones have one for all sizes,
    which goes on where it was interrupted. It reads folders alone."""
    if "://" in out:
        return f"To publish it, copy {out} to a disk and call hf upload there: docs/cluster.md"
    out = shlex.quote(out)
    large = hasattr(huggingface_hub.HfApi, "upload_large_folder")
    command = f"hf upload-large-folder ORG/NAME {out}" if large else f"hf upload ORG/NAME {out} ."
    return f"{command} --repo-type dataset --exclude '.work/*'"


def plan_shards(
    config: ReleaseConfig, kinds: list[str], shard_bytes: int, folder: str, ratings: Ratings | None = None
) -> Iterator[Piece]:
    """The shards of a config, below a folder: pieces of the source in their order, about `shard_bytes` of them
    together. `ratings`: of rows, None where there are no columns for them."""
    builder = config.builder
    weigh = getattr(builder, "piece_bytes", lambda piece: piece[2] - piece[1])
    twins = len(kinds) > 1
    for split in builder.shards(config.name):
        pieces = builder.pieces(split)
        for name, group in into_shards(split, pieces, list(map(weigh, pieces)), shard_bytes):
            path, *beside = (
                f"{folder}{'-images' * (twins and kind == 'images')}/{name}.{FILE_KINDS[kind].ending}" for kind in kinds
            )
            arguments = {"config": config.name, "split": split, "kinds": kinds, "about": config.about}
            arguments["pieces"] = [list(piece) for piece in group]
            arguments["source"] = builder.hash  # of its commit, or its files' sizes and times
            arguments |= {"rated": True} if ratings is not None else {}
            hidden = {"builder": builder, "ratings": (ratings or {}).get(f"{config.name}/{split}")}
            yield Piece(path, arguments, (*beside, rows_path(path)), hidden)


def has_ratings(config: ReleaseConfig) -> bool:
    """Whether a config is of a release that has columns of ratings."""
    paths = next(iter(config.builder.shards(config.name).values()))
    return paths[0].endswith(".parquet") and {*RATINGS} <= {*config.builder.repository.columns(paths[0])}


def into_shards(split: str, things: list[Any], sizes: list[int], shard_bytes: int) -> Iterator[tuple[str, list[Any]]]:
    """Yield (name of a shard, what goes into it), in order, as equal in size as the things allow: one, or an even
    number of them, so that two workers end together."""
    total = max(1, sum(sizes))
    count = round(total / shard_bytes)
    count = max(1, min(len(things), count + (count > 1 and count % 2)))
    groups: list[list[Any]] = [[] for _ in range(count)]
    done = 0
    for thing, size in zip(things, sizes, strict=True):
        groups[min(count - 1, done * count // total)].append(thing)
        done += size
    groups = [group for group in groups if group]
    for number, group in enumerate(groups):
        yield (f"{split}-{number:05d}-of-{len(groups):05d}" if len(groups) > 1 else split), group


def rows_path(path: str) -> str:
    """Where the texts and digests of a shard's rows are kept."""
    return f".work/rows/{path}"


def plan_text_shards(out: str, records: dict[str, dict[str, Any]], shard_bytes: int) -> Iterator[Piece]:
    """The shards of the config `text`: the texts of all shards, by split."""
    for split in SPLIT_ORDER:
        parts = [path for path, record in records.items() if record["arguments"]["split"] == split]
        sizes = [records[path]["beside"][rows_path(path)]["num_bytes"] for path in parts]
        for name, group in into_shards(split, parts, sizes, shard_bytes):
            arguments: dict[str, Any] = {"config": "text", "split": split, "kinds": ["text"], "parts": group}
            arguments |= {"rated": True} if "rated" in records[group[0]]["arguments"] else {}
            yield Piece(f"data/text/{name}.parquet", arguments, (), {"out": out})


def write_text_shard(path: Path, *, out: str, parts: list[str], rated: bool = False, **said: Any) -> Made:
    """Join the texts of some shards into one file."""
    folder, num_rows, schema = Folder(out), 0, file_kind("text", rated).schema
    kept: list[pa.Table] = []
    with ParquetRows(path, schema) as writer:
        for number, part in enumerate(parts, 1):
            with folder.open(rows_path(part)) as file:
                kept.append(pq.read_table(file, columns=schema.names))
            num_rows += kept[-1].num_rows
            if number == len(parts) or sum(table.num_rows for table in kept) >= TEXT_GROUP_ROWS:
                writer.write_table(pa.concat_tables(kept).combine_chunks(), row_group_size=TEXT_GROUP_ROWS)
                kept = []
    return Made(num_rows, [])


def check_kept(out: str, records: Iterable[dict[str, Any]]) -> None:
    """M3ITError if a file that an earlier call made holds other bytes than it recorded: no proof may rest on it."""
    folder = Folder(out)
    for record in records:
        for path, file in {record["path"]: record, **record["beside"]}.items():
            with folder.open(path) as opened:
                if digest_of(opened) != file["sha256"]:
                    say = "its bytes have changed since they were recorded. Delete it to make it anew."
                    raise M3ITError(f"{out}/{path}: {say}")


def check_further(out: str, paths: Iterable[str], further: Callable[[Any], Iterable[str]]) -> None:
    """M3ITError if a further file that one of the files names, such as a picture, is missing."""
    folder = Folder(out)
    for path in sorted(paths):
        with folder.open(path) as file:
            names = dict.fromkeys(further(file))
        if missing := [name for name in names if not Path(folder.root, posixpath.dirname(path), name).is_file()]:
            more = f" and {len(missing) - 1:,} more are" if missing[1:] else " is"
            raise M3ITError(f"{out}/{path}: {missing[0]}{more} missing. Delete {path} to make them anew.")


def prove(out: str, records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """`config/split` -> rows in, rows out, drops by reason, digest; M3ITError if a file holds other than was read."""
    folder = Folder(out)
    splits: dict[str, Any] = {}
    digests: dict[str, list[bytes]] = {}
    for path, record in records.items():
        given = record["arguments"]
        name = f"{given['config']}/{given['split']}"
        proof = splits.setdefault(name, {"rows_in": 0, "rows_out": 0, "drops": {}})
        for kind, made in zip([*given["kinds"], "rows"], (path, *record["beside"]), strict=True):
            with folder.open(made) as file:
                num_rows, _ = FILE_KINDS[kind].tally(file)
            if num_rows != record["num_rows"]:
                say = f"{record['num_rows']} rows were read, it holds {num_rows}. Delete it and go on."
                raise M3ITError(f"{made}: {say}")
        with folder.open(rows_path(path)) as file:
            digests.setdefault(name, []).extend(pq.read_table(file, columns=["digest"])["digest"].to_pylist())
        proof["rows_in"] += record["num_rows"] + len(record["drops"])
        proof["rows_out"] += num_rows
        proof["drops"] = dict(Counter(proof["drops"]) + Counter(reason for _, reason in record["drops"]))
    for name, proof in splits.items():
        if not proof["rows_out"]:
            say = f"no row of {proof['rows_in']} is left. Fix its rows, or leave it out with --config."
            raise M3ITError(f"{name}: {say}")
        proof["digest"] = split_digest(digests[name])
    return splits


def without_empty(out: str, records: dict[str, dict[str, Any]]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """(The records of the splits that have rows, `config/split` -> why it has none): pictures with licenses of their
    own may leave no row of a split. The files of such a split are removed."""
    num_rows: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    split_by_path = {p: f"{r['arguments']['config']}/{r['arguments']['split']}" for p, r in records.items()}
    for path, split in split_by_path.items():
        num_rows[split] += records[path]["num_rows"]
        reasons.setdefault(split, Counter()).update(reason for _, reason in records[path]["drops"])
    empty = {split: as_counts(reasons[split]) for split in reasons if not num_rows[split]}
    for path, split in split_by_path.items():
        for name in (path, *records[path]["beside"]) if split in empty else ():
            Folder(out).remove(name)
    return {path: record for path, record in records.items() if split_by_path[path] not in empty}, empty


def as_counts(reasons: Counter[str]) -> str:
    """Reasons with their numbers of rows, the most frequent first."""
    return ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common())


def as_reasons(refused: dict[str, str]) -> str:
    """What was left out as a whole, each with its reason."""
    return "; ".join(f"{name} ({reason})" for name, reason in refused.items())


def count_terms(out: str, records: dict[str, dict[str, Any]]) -> Counter[tuple[str, str, str]]:
    """(dataset, license, image_license) -> rows."""
    folder, counts = Folder(out), Counter[tuple[str, str, str]]()
    for path in records:
        with folder.open(rows_path(path)) as file:
            table = pq.read_table(file, columns=["dataset", *TERMS])
        counts.update(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))
    return counts


def count_corrections(out: str, records: dict[str, dict[str, Any]], opened: list[ReleaseConfig]) -> dict[str, Any]:
    """How many rows were corrected, and which corrections of a released config name no row of it."""
    folder, row_ids = Folder(out), dict[str, list[str]]()
    for path, record in records.items():
        if record["arguments"]["config"] != "text":
            with folder.open(rows_path(path)) as file:
                found = pq.read_table(file, columns=["row_id"])["row_id"].to_pylist()
            row_ids.setdefault(record["arguments"]["config"], []).extend(found)
    corrections = opened[0].builder.config.corrections or {}
    left = {name: unused(corrections, name, found) for name, found in row_ids.items()}
    num_rows = sum(len(corrections.get(name, {})) - len(left[name]) for name in row_ids)
    return {"num_rows": num_rows, "no_such_row": {name: ids for name, ids in left.items() if ids}}


def count_excluded(records: dict[str, dict[str, Any]], opened: list[ReleaseConfig]) -> dict[str, Any]:
    """How many rows the drop list left out, and how many it names that no released config has: of another release?"""
    dropped: dict[str, list[str]] = {}
    for record in records.values():
        dropped.setdefault(record["arguments"]["config"], []).extend(row_id for row_id, _ in record["drops"])
    num_rows = strange = 0
    for config in opened:
        builder, ids = config.builder, set(dropped.get(config.name, ()))
        splits = list(builder.shards(config.name))
        listed = {row_id for split in splits for row_id in builder.excluded(split)}
        num_rows += len(listed & ids)
        strange += len(strangers(builder.config.exclude or {}, config.name, splits, ids))
    return {"num_rows": num_rows, "no_such_row": strange}


def count_ratings(out: str, records: dict[str, dict[str, Any]], ratings: Ratings) -> dict[str, int]:
    """How many rows of a release have a rating and how many have none, and how many ratings name no row of it: of
    another release, or of rows that were left out?"""
    folder, counts, seen = Folder(out), Counter[str](), Counter[str]()
    for path, record in records.items():
        if (given := record["arguments"])["config"] != "text":
            with folder.open(rows_path(path)) as file:
                table = pq.read_table(file, columns=["row_id", *RATINGS])
            ids, *values = (table[name].to_pylist() for name in table.column_names)
            has_one = [any(value is not None for value in row) for row in zip(*values, strict=True)]
            counts.update(num_rows=sum(has_one), unrated=len(has_one) - sum(has_one))
            place = f"{given['config']}/{given['split']}"
            seen[place] += len(ratings.get(place, {}).keys() & set(ids))
    counts["no_such_row"] = sum(map(len, ratings.values())) - seen.total()
    return dict(counts)


def describe_configs(out: str, records: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Config -> its columns, and split -> paths, rows, bytes in memory and on disk: the datasets in their order, each
    before its pictures, the texts last."""
    folder = Folder(out)
    configs: dict[str, dict[str, Any]] = {}
    for path, record in records.items():
        given = record["arguments"]
        paths = [path, *(name for name in record["beside"] if not name.startswith(".work/"))]
        for kind, made in sorted(zip(given["kinds"], paths, strict=True)):
            if kind in FURTHER_KINDS:  # the same rows, for other readers
                continue
            name = f"{given['config']}-images" if kind == "images" and len(paths) > 1 else given["config"]
            schema = file_kind(kind, given.get("rated", False)).schema
            config = configs.setdefault(name, {"schema": schema, "splits": {}})
            empty = {"paths": [], "counts": [], "rows": 0, "memory_bytes": 0, "bytes": 0}
            split = config["splits"].setdefault(given["split"], empty)
            with folder.open(made) as file:
                num_rows, memory_bytes = FILE_KINDS[kind].tally(file)
            split["paths"].append(made)
            split["counts"].append(num_rows)
            split["rows"] += num_rows
            split["memory_bytes"] += memory_bytes
            split["bytes"] += folder.size(made)
    return configs
