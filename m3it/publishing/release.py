"""A repository of any layout -> a release: Parquet that plain `datasets` loads and the Hub's viewer shows.

In: whatever `load_builder` reads. Out, below one folder or URL:

    data/<task>/<dataset>[/<language>]/<split>*.parquet          config viquae: the four published features, base64
    data/<task>/<dataset>[/<language>]-images/<split>*.parquet   config viquae-images: image files, columns to filter by
    data/text/<split>*.parquet                                   config text: all rows without pictures, to search in
    README.md, dataset_infos.json, LICENSES.md, run.json; drops.jsonl where rows were left out

One call writes the same rows into the first two, side by side: row n of a file is row n of its twin, which holds its
id. What the Hub asks of such files stands in m3it/hubrules.py, with its sources.
"""

import hashlib
import json
import posixpath
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq

from M3IT import M3IT, PIECE_BYTES, Repository
from m3it.publishing.configs import InSchema, Source, open_sources
from m3it.publishing.parquet import COLUMNS, SCHEMAS, open_writer, read_digests, split_digest, write_shard
from m3it.publishing.release_card import release_card
from m3it.reading.corrections import unused
from m3it.rows.instance import M3ITError
from m3it.work.folder import Folder, absolute, sha256_of, write_json, write_text
from m3it.work.runner import Made, Piece, Progress, map_shards, open_executor, silent, versions, write_run

SHARD_BYTES = 400_000_000  # of the source; 200-500 MB suit viewer, streaming and shuffling
TEXT_GROUP_ROWS = 10_000  # about 5 MB
FORMATS = ("parquet", "jsonl", "messages")
KINDS = {"both": ["images", "base64"], "native": ["images"], "base64": ["base64"]}


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
    workers: int = 1,
    cluster: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Make a release of a repository in a folder or below a URL; returns what run.json holds.

    `images`: "both", "native" (image files only, under the names of the datasets) or "base64". `format="jsonl"` writes
    a card without a script for rows that are in the schema already; "messages" writes conversations with image files,
    for ms-swift, LLaMA-Factory (with its dataset_info.json) and nanoVLM. `corrections`: a TSV file of mended texts;
    run.json counts them, and lists those that name no row. Killed and called again, it goes on.
    """
    out = absolute(out)
    if images not in KINDS or format not in FORMATS:
        raise ValueError(f"images={images!r}, format={format!r}: expected {', '.join(KINDS)}; {', '.join(FORMATS)}")
    if format != "parquet" and images != "both":
        raise ValueError(f"images={images!r}: format={format!r} has one kind of files. Leave it out.")
    if corrections and format == "jsonl":
        raise M3ITError(f"{corrections}: corrected rows must be written anew. Pass --format parquet.")
    sources = open_sources(repo, configs, fields, on_error, corrections)
    if format == "jsonl":
        return release_as_it_is(repo, out, sources)
    if out == sources[0].builder.repository.root:
        raise M3ITError(f"{out}: expected another folder than the one that is read. Pass another --out.")
    if format == "messages":
        images = format  # there is one kind of file
    names = [source.config for source in sources]
    options = {"configs": names, "images": images, "shard_bytes": shard_bytes, "on_error": on_error}
    options |= {"corrections": sha256_of(Path(corrections))} if corrections else {}
    pieces = [piece for source in sources for piece in plan(source, KINDS.get(images, [images]), shard_bytes)]
    with open_executor(workers, cluster) as executor:
        made = map_shards(write_shard, pieces, out, options, executor, progress, "release")
        records = {piece.path: made[piece.path] for piece in pieces}
        texts = [] if format == "messages" else list(plan_text(out, records, shard_bytes))
        made = map_shards(write_text_shard, texts, out, options, executor, progress, "release")
    splits = prove(out, records)
    records |= {piece.path: made[piece.path] for piece in texts}
    write_card(out, describe_configs(out, records), sources, images, splits)
    drops = [{"id": d, "shard": path, "reason": why} for path, record in records.items() for d, why in record["drops"]]
    if drops:
        write_text(f"{out}/drops.jsonl", "".join(json.dumps(drop, ensure_ascii=False) + "\n" for drop in drops))
    for record in records.values():  # the texts and digests of the rows are no part of the release
        record["beside"] = {path: file for path, file in record["beside"].items() if not path.startswith(".work/")}
    Folder(out).sweep()
    told = {"corrections": count_corrections(out, records, sources)} if corrections else {}
    return write_run(f"{out}/run.json", "release", options, records, **origin(sources, splits), **told)


def upload_line(out: str) -> str:
    """The command that publishes a release, as the installed huggingface_hub has it: newer ones have one for all sizes,
    which goes on where it was interrupted. It reads folders alone."""
    if "://" in out:
        return f"To publish it, copy {out} to a disk and call hf upload there: docs/cluster.md"
    out = shlex.quote(out)
    large = hasattr(huggingface_hub.HfApi, "upload_large_folder")
    command = f"hf upload-large-folder ORG/NAME {out}" if large else f"hf upload ORG/NAME {out} ."
    return f"{command} --repo-type dataset --exclude '.work/*'"


# ---- what is released


def plan(source: Source, kinds: list[str], shard_bytes: int) -> Iterator[Piece]:
    """The shards of a config: pieces of the source in their order, about `shard_bytes` of them together."""
    builder = source.builder
    weigh = getattr(builder, "piece_bytes", lambda piece: piece[2] - piece[1])
    for split in builder.shards(source.config):
        pieces = builder.pieces(split)
        for name, group in into_shards(split, pieces, list(map(weigh, pieces)), shard_bytes):
            both = len(kinds) > 1
            folders = [f"{source.folder}-images" if both and kind == "images" else source.folder for kind in kinds]
            path, *beside = (f"{folder}/{name}.parquet" for folder in folders)
            arguments = {"config": source.config, "split": split, "kinds": kinds, "about": source.about}
            arguments["pieces"] = [list(piece) for piece in group]
            arguments["source"] = builder.hash  # of its commit, or its files' sizes and times
            yield Piece(path, arguments, (*beside, rows_path(path)), {"builder": builder})


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


# ---- the text config


def plan_text(out: str, records: dict[str, dict[str, Any]], shard_bytes: int) -> Iterator[Piece]:
    """The shards of the config `text`: the texts of all shards, by split."""
    for split in ("train", "validation", "test"):
        parts = [path for path, record in records.items() if record["arguments"]["split"] == split]
        sizes = [records[path]["beside"][rows_path(path)]["num_bytes"] for path in parts]
        for name, group in into_shards(split, parts, sizes, shard_bytes):
            arguments = {"config": "text", "split": split, "kinds": ["text"], "parts": group}
            yield Piece(f"data/text/{name}.parquet", arguments, (), {"out": out})


def write_text_shard(path: Path, *, out: str, parts: list[str], **said: Any) -> Made:
    """Join the texts of some shards into one file."""
    folder, num_rows = Folder(out), 0
    kept: list[pa.Table] = []
    with open_writer(path, "text") as writer:
        for number, part in enumerate(parts, 1):
            with folder.open(rows_path(part)) as file:
                kept.append(pq.read_table(file, columns=COLUMNS["text"]))
            num_rows += kept[-1].num_rows
            if number == len(parts) or sum(table.num_rows for table in kept) >= TEXT_GROUP_ROWS:
                writer.write_table(pa.concat_tables(kept).combine_chunks(), row_group_size=TEXT_GROUP_ROWS)
                kept = []
    return Made(num_rows, [])


# ---- the proof, and what stands beside the shards


def prove(out: str, records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """`config/split` -> rows in, rows out, drops by reason, digest; M3ITError if a file holds other than was read."""
    folder = Folder(out)
    splits: dict[str, Any] = {}
    digests: dict[str, list[bytes]] = {}
    for path, record in records.items():
        name = f"{record['arguments']['config']}/{record['arguments']['split']}"
        proof = splits.setdefault(name, {"rows_in": 0, "rows_out": 0, "drops": {}})
        for made in (path, *record["beside"]):
            with folder.open(made) as file:
                num_rows = pq.read_metadata(file).num_rows
            if num_rows != record["num_rows"]:
                raise M3ITError(
                    f"{made}: {record['num_rows']} rows were read, it holds {num_rows}. Delete it and go on."
                )
        with folder.open(rows_path(path)) as file:
            digests.setdefault(name, []).extend(pq.read_table(file, columns=["digest"])["digest"].to_pylist())
        proof["rows_in"] += record["num_rows"] + len(record["drops"])
        proof["rows_out"] += num_rows
        proof["drops"] = dict(Counter(proof["drops"]) + Counter(reason for _, reason in record["drops"]))
    for name, proof in splits.items():
        if not proof["rows_out"]:
            raise M3ITError(
                f"{name}: no row of {proof['rows_in']} is left. Mend its rows, or leave it out with --config."
            )
        proof["digest"] = split_digest(digests[name])
    return splits


def count_corrections(out: str, records: dict[str, dict[str, Any]], sources: list[Source]) -> dict[str, Any]:
    """How many rows were corrected, and which corrections of a released config name no row of it."""
    folder, row_ids = Folder(out), dict[str, list[str]]()
    for path, record in records.items():
        if record["arguments"]["config"] != "text":
            with folder.open(rows_path(path)) as file:
                found = pq.read_table(file, columns=["row_id"])["row_id"].to_pylist()
            row_ids.setdefault(record["arguments"]["config"], []).extend(found)
    mended = sources[0].builder.config.corrections or {}
    left = {name: unused(mended, name, found) for name, found in row_ids.items()}
    num_rows = sum(len(mended.get(name, {})) - len(left[name]) for name in row_ids)
    return {"num_rows": num_rows, "no_such_row": {name: ids for name, ids in left.items() if ids}}


def origin(sources: list[Source], splits: dict[str, Any]) -> dict[str, Any]:
    """What run.json says of where the rows are from, and the proof that they are the same."""
    read = {public_name(source.builder.repository): source.builder.repository.commit for source in sources}
    whole = hashlib.sha256("".join(sorted(proof["digest"] for proof in splits.values())).encode()).hexdigest()
    return {"source": read, "digest": whole, "splits": splits}


def public_name(repository: Repository) -> str:
    """The Hub id or URL of a repository; of a folder its name alone, since a release is made to be published."""
    return repository.repo_id or (repository.path if "://" in repository.path else posixpath.basename(repository.root))


def describe_configs(out: str, records: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Config -> its columns, and split -> paths, rows, bytes in memory and on disk: the datasets in their order, each
    before its pictures, the texts last."""
    folder = Folder(out)
    configs: dict[str, dict[str, Any]] = {}
    for path, record in records.items():
        given = record["arguments"]
        paths = [path, *(name for name in record["beside"] if not name.startswith(".work/"))]
        for kind, made in sorted(zip(given["kinds"], paths, strict=True)):
            name = f"{given['config']}-images" if kind == "images" and len(paths) > 1 else given["config"]
            config = configs.setdefault(name, {"schema": SCHEMAS[kind], "splits": {}})
            split = config["splits"].setdefault(given["split"], {"paths": [], "rows": 0, "memory_bytes": 0, "bytes": 0})
            with folder.open(made) as file:
                metadata = pq.read_metadata(file)
            split["paths"].append(made)
            split["rows"] += metadata.num_rows
            split["memory_bytes"] += sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
            split["bytes"] += folder.size(made)
    return configs


def write_card(out: str, configs: dict[str, Any], sources: list[Source], images: str, splits: dict[str, Any]) -> None:
    """Write README.md, dataset_infos.json and LICENSES.md."""
    num_rows = sum(proof["rows_out"] for proof in splits.values())
    about = {source.config: source.about for source in sources}
    for name, content in release_card(configs, about, images, num_rows).items():
        write_text(f"{out}/{name}", content)


# ---- rows that are in the schema already


def release_as_it_is(repo: str, out: str, sources: list[Source]) -> dict[str, Any]:
    """Write the card of a repository whose rows are in the schema, and no script: YAML, sizes, licenses, proof."""
    repository = sources[0].builder.repository
    if any(type(source.builder) is not M3IT for source in sources):
        raise M3ITError(
            f"{repo}: its rows are not in the schema, and no card can make plain `datasets` read them. They must be "
            "rewritten: pass --format parquet."
        )
    if Folder(out).records():
        raise M3ITError(f"{out}: holds a release of another format. Delete it, or pass another --out.")
    configs: dict[str, Any] = {}
    splits: dict[str, Any] = {}
    files: dict[str, Any] = {}
    for source, config, _, _ in sources:
        builder = InSchema(repository=repository, config_name=config, meta=True, on_error=source.config.on_error)
        configs[config] = {"schema": SCHEMAS["lines"], "splits": {}}
        for split, paths in builder.shards(config).items():
            digests, drops = read_digests(builder, split)
            if drops:
                raise M3ITError(
                    f"{repo}: {len(drops)} rows of {config}/{split} are broken, e.g. {drops[0].id}: {drops[0].reason}. "
                    "A card cannot leave them out: pass --format parquet."
                )
            digest = split_digest(digests)
            splits[f"{config}/{split}"] = {
                "rows_in": len(digests),
                "rows_out": len(digests),
                "drops": {},
                "digest": digest,
            }
            sizes = {path: repository.size(path) for path in paths}
            files |= {path: {"num_bytes": sizes[path], "sha256": file_digest(repository, path)} for path in paths}
            size = sum(sizes.values())
            listed = {"paths": paths, "rows": len(digests), "memory_bytes": size, "bytes": size}
            configs[config]["splits"][split] = listed
    write_card(out, configs, sources, "jsonl", splits)
    run = {"command": "release", "options": {"format": "jsonl"}, "versions": versions(), **origin(sources, splits)}
    write_json(f"{out}/run.json", {**run, "files": files})
    return {**run, "files": files}


def file_digest(repository: Repository, path: str) -> str:
    """sha256 of a file of the repository, as hex."""
    digest, size = hashlib.sha256(), repository.size(path)
    for start in range(0, size, PIECE_BYTES):
        digest.update(repository.read(path, start, min(start + PIECE_BYTES, size)))
    return digest.hexdigest()
