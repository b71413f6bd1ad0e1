"""A repository of any layout -> a release: Parquet that plain `datasets` loads and the Hub's viewer shows.

In: whatever `load_builder` reads. Out, below one folder or URL:

    data/<task>/<dataset>[/<language>]/<split>*.parquet          config viquae: the four published features, base64
    data/<task>/<dataset>[/<language>]-images/<split>*.parquet   config viquae-images: image files, columns to filter by
    data/text/<split>*.parquet                                   config text: all rows without pictures, to search in
    README.md, dataset_infos.json, LICENSES.md, run.json, drops.jsonl

One call writes the same rows into the first two, side by side: row n of a file is row n of its twin, and the twin holds
its id. What the Hub asks of such files stands in m3it/hubrules.py with its sources.
"""

import hashlib
import json
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from m3it.images import ImageError, header_size, read_base64
from m3it.instance import Drop, M3ITError, ShardError
from m3it.layouts import layout
from m3it.legacy import Legacy
from m3it.load import load_builder
from m3it.work import Folder, Made, Piece, absolute, map_shards, open_executor, write_json, write_run, write_text
from M3IT import CATALOGUE, LANGUAGES, M3IT, Repository, find_shards

SHARD_BYTES = 400_000_000  # of the source; 200-500 MB suit viewer, streaming and shuffling
GROUP_ROWS, GROUP_BYTES = 100, 100_000_000  # of a row group with pictures, whichever comes first
TEXT_GROUP_ROWS = 10_000  # about 5 MB
REFUSED = set('<>:/\\|?*"')  # `datasets` makes folders of config names
KINDS = {"both": ["images", "base64"], "native": ["images"], "base64": ["base64"]}

STRINGS = pa.list_(pa.string())
FILES = pa.list_(pa.struct({"bytes": pa.binary(), "path": pa.string()}))  # what the Image feature stores
ROW = ["instruction", "inputs", "outputs"]
FILTERS = {name: pa.string() for name in ("task", "dataset", "language", "license")}
FILTERS |= {name: pa.int32() for name in ("num_images", "width", "height")}
FILTERS |= {name: pa.string() for name in ("row_id", "source_file")}
TYPES = {**dict.fromkeys(ROW, pa.string()), "image_base64_str": STRINGS, "images": FILES, **FILTERS}
TYPES |= {"image_sha256": STRINGS, "meta": pa.string(), "digest": pa.binary(32)}
SCHEMAS = {
    kind: pa.schema({name: TYPES[name] for name in names})
    for kind, names in {
        "base64": ["instruction", "inputs", "image_base64_str", "outputs"],
        "images": ["instruction", "inputs", "images", "outputs", *FILTERS, "image_sha256", "meta"],
        "text": [*ROW, *FILTERS],
        "rows": [*ROW, *FILTERS, "digest"],  # what the text config and the proof are made of; stays in .work/
    }.items()
}
REPEATED = ["instruction", "task", "dataset", "language", "license", "source_file"]  # few values: dictionaries


# ---- what is released


class Source(NamedTuple):
    """A config of the repository: who reads it, and what all of its rows have in common."""

    builder: M3IT
    config: str
    folder: str
    about: dict[str, str]  # task, dataset, language, license


def open_sources(
    repo: str, configs: Iterable[str] | None = None, fields: dict[str, str] | None = None, on_error: str = "raise"
) -> list[Source]:
    """The configs of a repository, or those that are asked for, each with its builder."""
    repository = Repository(repo)
    kind = layout(repository)
    found = kind.configs(repository) if issubclass(kind, Legacy) else list(find_shards(repository))
    found = [name for name in found if not (name.endswith("-images") and name.removesuffix("-images") in found)]
    shared: dict[str, Repository] = {}  # listed once, whatever the number of configs
    sources = []
    for name in configs or found:
        builder = load_builder(repo, name, meta=True, fields=fields, on_error=on_error)
        builder.repository = shared.setdefault(builder.repository.root, builder.repository)
        sources.append(_source(builder))
    if not sources:
        raise M3ITError(f"{repo}: no rows found in it, nothing to release.")
    return sources


def _source(builder: M3IT) -> Source:
    """What is known of a config; of one that the catalogue lacks, what its place says."""
    config = builder.config.name
    names = {d.name: (d.name, d.language) for d in CATALOGUE.values()}
    names |= {f"{d.name}-{code}": (d.name, code) for d in CATALOGUE.values() if d.translated for code in LANGUAGES}
    dataset, language = names.get(config, (getattr(builder, "dataset", config), "und"))
    known = CATALOGUE.get(dataset)
    parts = next(iter(builder.shards(config).values()))[0].split("/")
    task = known.task if known else parts[1] if parts[0] == "data" and len(parts) > 3 else "other"
    license = f"{known.license} / {known.image_license}" if known else "unknown"
    folder = f"{dataset}/{language}" if config in names and config != dataset else config
    if wrong := REFUSED & set(config):
        raise M3ITError(f"{config}: the Hub takes no {' '.join(sorted(wrong))} in a config name. Rename its folder.")
    if config == "text":
        raise M3ITError("text: a release has a config of that name, which holds the texts of all. Rename its folder.")
    language = known.language if known and language == "und" else language
    about = {"task": task, "dataset": dataset, "language": language, "license": license}
    return Source(builder, config, f"data/{task}/{folder}", about)


def plan(source: Source, kinds: list[str], shard_bytes: int) -> Iterator[Piece]:
    """The shards of a config: pieces of the source in their order, about `shard_bytes` of them together."""
    builder, config = source.builder, source.config
    weigh = getattr(builder, "piece_bytes", lambda piece: piece[2] - piece[1])
    for split in builder.shards(config):
        pieces = builder.pieces(split)
        total = max(1, sum(map(weigh, pieces)))
        count = max(1, min(len(pieces), round(total / shard_bytes)))
        groups: list[list[list[Any]]] = [[] for _ in range(count)]
        done = 0
        for piece in pieces:
            groups[min(count - 1, done * count // total)].append(list(piece))
            done += weigh(piece)
        groups = [group for group in groups if group] or [[]]
        for number, group in enumerate(groups):
            name = f"{split}-{number:05d}-of-{len(groups):05d}" if len(groups) > 1 else split
            folders = [f"{source.folder}-images" if kind == "images" and len(kinds) > 1 else source.folder for kind in kinds]
            path, *beside = (f"{folder}/{name}.parquet" for folder in folders)
            arguments = {"config": config, "split": split, "kinds": kinds, "about": source.about, "pieces": group}
            arguments["source"] = builder.hash  # of its commit, or its files' sizes and times
            yield Piece(path, arguments, (*beside, rows_path(path)), {"builder": builder})


def rows_path(path: str) -> str:
    """Where the texts and digests of a shard's rows are kept."""
    return f".work/rows/{path}"


# ---- one shard


def write_shard(
    *paths: Path, builder: M3IT, config: str, split: str, kinds: list[str], about: dict[str, str], pieces: list[Any],
    source: str,
) -> Made:  # fmt: skip
    """Write the rows of some pieces into one file of each kind, and their texts and digests into the last file."""
    drops: list[Drop] = []
    num_rows = 0
    with ExitStack() as stack:
        files = [(kind, stack.enter_context(open_writer(path, kind))) for kind, path in zip([*kinds, "rows"], paths, strict=True)]
        for group in groups(instances(builder, config, split, pieces, drops)):
            columns = as_columns(group, about)
            for kind, writer in files:
                writer.write_table(pa.table([columns[name] for name in SCHEMAS[kind].names], schema=SCHEMAS[kind]))
            num_rows += len(group)
    check_unchanged(builder.repository, {piece[0] for piece in pieces})
    return Made(num_rows, drops)


def open_writer(path: Path, kind: str) -> pq.ParquetWriter:
    """A Parquet file of one kind: page index, zstd for all but image files, dictionaries where values repeat."""
    leaves = pq.ParquetFile(_empty(SCHEMAS[kind])).schema
    names = [leaves.column(i).path for i in range(len(leaves))]
    compression = {name: "none" if name.startswith("images.") else "zstd" for name in names}
    plain = [name for name in names if "." not in name and name not in ("inputs", "outputs", "meta", "digest")]
    return pq.ParquetWriter(
        path, SCHEMAS[kind], compression=compression, use_dictionary=[n for n in names if n in REPEATED],
        write_statistics=plain, write_page_index=True, write_batch_size=16,
    )  # fmt: skip


def _empty(schema: pa.Schema) -> pa.BufferReader:
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    return pa.BufferReader(sink.getvalue())


def groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows as they share a row group."""
    group: list[dict[str, Any]] = []
    num_bytes = 0
    for row in rows:
        size = sum(map(len, row["image_base64_str"]))
        if group and (len(group) == GROUP_ROWS or num_bytes + size > GROUP_BYTES):
            yield group
            group, num_bytes = [], 0
        group.append(row)
        num_bytes += size
    if group:
        yield group


def instances(builder: M3IT, config: str, split: str, pieces: list[Any], drops: list[Drop]) -> Iterator[dict[str, Any]]:
    """The rows of some pieces with all that a release says of them. What cannot be read raises, or is listed in `drops`
    where the builder's config says on_error="drop"."""

    def refuse(path: str, offset: int, key: str, error: Exception) -> None:
        if builder.config.on_error != "drop":
            type(builder)._refuse(builder, path, offset, key, error)
        drops.append(Drop(key, getattr(error, "reason", "not JSON")))

    builder._refuse = refuse  # type: ignore[method-assign]  # its own manifest lies in the cache of a worker's machine
    try:
        for path, *bounds in pieces:
            for key, row in builder.read((path, *bounds)):
                try:
                    complete_row(row, config, split, path)
                except (ImageError, UnicodeError) as error:
                    reason = "image is not base64" if isinstance(error, ImageError) else "text is not Unicode"
                    refuse(path, int(key.rpartition(":")[2].partition("#")[0]), key, ShardError(str(error), reason))
                else:
                    yield row
    finally:
        del builder._refuse


def complete_row(row: dict[str, Any], config: str, split: str, path: str) -> None:
    """Add to a row its id, its image files, their hashes and number, the size of the first, and the row's digest."""
    stored = row.get("images")  # as bytes, where the source is a release
    row["files"] = [image["bytes"] for image in stored] if stored else [read_base64(text) for text in row["image_base64_str"]]
    row["row_id"] = str(json.loads(row["meta"])["id"])
    row["source_file"] = row.get("source_file") or path
    row["image_sha256"] = [hashlib.sha256(file).hexdigest() for file in row["files"]]
    row["num_images"] = len(row["files"])
    row["width"], row["height"] = header_size(row["files"][0]) if row["files"] else (None, None)
    row["digest"] = row_digest(config, split, row["row_id"], row, row["image_sha256"])


def as_columns(rows: list[dict[str, Any]], about: dict[str, str]) -> dict[str, pa.Array]:
    """The rows as Arrow arrays, by column."""
    columns = {name: pa.array([about[name]] * len(rows), pa.string()) for name in about}
    for name, type in TYPES.items():
        if name not in columns and name != "images":
            columns[name] = pa.array([row[name] for row in rows], type)
    files = pa.array([file for row in rows for file in row["files"]], pa.binary())
    structs = pa.StructArray.from_arrays([files, pa.nulls(len(files), pa.string())], names=["bytes", "path"])
    offsets = [0]
    for row in rows:
        offsets.append(offsets[-1] + row["num_images"])
    columns["images"] = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs)
    return columns


def check_unchanged(repository: Repository, paths: set[str]) -> None:
    """ShardError if a file is no longer the one that was listed: a repository that changes while it is read would give
    a mixture of two."""
    if repository.commit:
        return
    repository.fs.invalidate_cache()
    for path in paths & set(repository.files):
        listed, now = repository.files[path], repository.fs.info(posixpath.join(repository.root, path))
        for stamp in ("size", "ETag", "mtime"):
            if listed.get(stamp) != now.get(stamp):
                raise ShardError(f"{repository.path}/{path}: changed while it was read. Call again when it stands still.")


# ---- the proof


def row_digest(config: str, split: str, row_id: str, row: dict[str, Any], image_sha256: list[str]) -> bytes:
    """sha256 of what a row says, 32 bytes: equal for the same row in any layout or format."""
    texts = [row["instruction"], row["inputs"], row["outputs"]]
    said = json.dumps([config, split, row_id, *texts, image_sha256], ensure_ascii=False)
    return hashlib.sha256(said.encode()).digest()


def split_digest(digests: Iterable[bytes]) -> str:
    """sha256 over the rows' digests in sorted order: of a split, the same in any order of rows."""
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def prove(out: str, records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """`config/split` -> rows in, rows out, drops by reason, digest; M3ITError if a file holds other than was read."""
    folder = Folder(out)
    splits: dict[str, Any] = {}
    digests: dict[str, list[bytes]] = {}
    for path, record in records.items():
        given = record["arguments"]
        name = f"{given['config']}/{given['split']}"
        proof = splits.setdefault(name, {"rows_in": 0, "rows_out": 0, "drops": Counter()})
        with folder.open(rows_path(path)) as file:
            found = pq.read_table(file, columns=["digest"])["digest"].to_pylist()
        digests.setdefault(name, []).extend(found)
        for made in (path, *record["beside"]):
            with folder.open(made) as file:
                num_rows = pq.read_metadata(file).num_rows
            if not num_rows == len(found) == record["num_rows"]:
                raise M3ITError(f"{made}: holds {num_rows} rows, {record['num_rows']} were read. Delete it and go on.")
        proof["rows_in"] += record["num_rows"] + len(record["drops"])
        proof["rows_out"] += len(found)
        proof["drops"].update(reason for _, reason in record["drops"])
    for name, proof in splits.items():
        if not proof["rows_out"]:
            raise M3ITError(f"{name}: no row of {proof['rows_in']} is left. Leave the config out with --config, or mend it.")
        proof["digest"] = split_digest(digests[name])
    return splits


# ---- the text config


def plan_text(records: dict[str, dict[str, Any]], shard_bytes: int) -> Iterator[Piece]:
    """The shards of the config `text`: the texts of all shards, by split."""
    for split in ("train", "validation", "test"):
        parts = [path for path, record in records.items() if record["arguments"]["split"] == split]
        sizes = [records[path]["beside"][rows_path(path)]["num_bytes"] for path in parts]
        count = max(1, round(sum(sizes) / shard_bytes))
        bounds: list[list[str]] = [[] for _ in range(count)]
        done = 0
        for path, size in zip(parts, sizes, strict=True):
            bounds[min(count - 1, done * count // max(1, sum(sizes)))].append(path)
            done += size
        bounds = [group for group in bounds if group]
        for number, group in enumerate(bounds):
            name = f"{split}-{number:05d}-of-{len(bounds):05d}" if len(bounds) > 1 else split
            yield Piece(f"data/text/{name}.parquet", {"config": "text", "split": split, "kinds": ["text"], "parts": group})


def write_text_shard(path: Path, *, out: str, parts: list[str], **said: Any) -> Made:
    """Join the texts of some shards into one file."""
    folder, num_rows = Folder(out), 0
    kept: list[pa.Table] = []
    with open_writer(path, "text") as writer:
        for part in parts:
            with folder.open(rows_path(part)) as file:
                kept.append(pq.read_table(file, columns=SCHEMAS["text"].names).cast(SCHEMAS["text"]))
            num_rows += kept[-1].num_rows
            if sum(table.num_rows for table in kept) >= TEXT_GROUP_ROWS:
                writer.write_table(pa.concat_tables(kept).combine_chunks(), row_group_size=TEXT_GROUP_ROWS)
                kept = []
        if kept:
            writer.write_table(pa.concat_tables(kept).combine_chunks(), row_group_size=TEXT_GROUP_ROWS)
    return Made(num_rows, [])


# ---- all of it


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
    workers: int = 1,
    cluster: str | None = None,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, total: items,
) -> dict[str, Any]:
    """Make a release of a repository in a folder or below a URL; returns what run.json holds.

    `images`: "both", "native" (image files only, under the names of the datasets) or "base64". `format="jsonl"` writes
    a card without a script beside rows that are in the schema already. Killed and called again, it goes on.
    """
    out = absolute(out)
    if images not in KINDS or format not in ("parquet", "jsonl"):
        raise ValueError(f"images={images!r}, format={format!r}: expected both, native or base64, and parquet or jsonl")
    sources = open_sources(repo, configs, fields, on_error)
    if format == "jsonl":
        return release_as_it_is(repo, out, sources)
    if out == sources[0].builder.repository.root:
        raise M3ITError(f"{out}: expected another folder than the one that is read. Pass another --out.")
    options = {"configs": [source.config for source in sources], "images": images, "shard_bytes": shard_bytes, "on_error": on_error}
    pieces = [piece for source in sources for piece in plan(source, KINDS[images], shard_bytes)]
    with open_executor(workers, cluster) as executor:
        records = map_shards(write_shard, pieces, out, options, executor, progress)
        records = {piece.path: records[piece.path] for piece in pieces}
        texts = [piece._replace(carried={"out": out}) for piece in plan_text(records, shard_bytes)]
        made = map_shards(write_text_shard, texts, out, options, executor, progress)
    splits = prove(out, records)
    records |= {piece.path: made[piece.path] for piece in texts}
    return finish(out, sources, options, records, splits)


def finish(
    out: str, sources: list[Source], options: dict[str, Any], records: dict[str, dict[str, Any]], splits: dict[str, Any]
) -> dict[str, Any]:
    """Write what stands beside the shards: card, sizes, licenses, drops, and run.json last."""
    from m3it.card import release_card

    configs = describe_configs(Folder(out), records)
    for name, content in release_card(configs, {s.config: s.about for s in sources}, options["images"], splits).items():
        write_text(f"{out}/{name}", content)
    drops = [{"id": drop, "shard": path, "reason": why} for path, record in records.items() for drop, why in record["drops"]]
    write_text(f"{out}/drops.jsonl", "".join(json.dumps(drop, ensure_ascii=False) + "\n" for drop in drops))
    where = {source.builder.repository.path: source.builder.repository.commit for source in sources}
    whole = split_digest(proof["digest"].encode() for proof in splits.values())
    run = {"source": where, "digest": whole, "splits": splits}
    for record in records.values():  # the texts and digests of the rows are no part of the release
        record["beside"] = {path: file for path, file in record.get("beside", {}).items() if not path.startswith(".work/")}
    return write_run(f"{out}/run.json", "release", options, records, **run)


def describe_configs(folder: Folder, records: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Config -> its columns, and split -> paths, rows, bytes in memory and on disk: the datasets in their order, each
    before its pictures, the texts last."""
    configs: dict[str, dict[str, Any]] = {}
    for path, record in records.items():
        given = record["arguments"]
        paths = [path, *(name for name in record.get("beside", {}) if not name.startswith(".work/"))]
        for kind, made in sorted(zip(given["kinds"], paths, strict=True)):
            name = f"{given['config']}-images" if kind == "images" and len(paths) > 1 else given["config"]
            config = configs.setdefault(name, {"schema": SCHEMAS[kind], "splits": {}, "dataset": given["config"]})
            split = config["splits"].setdefault(given["split"], {"paths": [], "rows": 0, "memory_bytes": 0, "bytes": 0})
            with folder.open(made) as file:
                metadata = pq.read_metadata(file)
            split["paths"].append(made)
            split["rows"] += metadata.num_rows
            split["memory_bytes"] += sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
            split["bytes"] += folder.size(made)
    return configs


def release_as_it_is(repo: str, out: str, sources: list[Source]) -> dict[str, Any]:
    """Write the card of a repository whose rows are in the schema: YAML that needs no script, sizes, licenses, sums."""
    from m3it.card import licenses_text, measure, render

    for source in sources:
        if type(source.builder) is not M3IT:
            raise M3ITError(
                f"{repo}: its rows are not in the schema, a card cannot make plain `datasets` read them. They must be "
                "rewritten: pass --format parquet."
            )
    repository = sources[0].builder.repository
    wanted = {source.config for source in sources}
    infos = {name: info for name, info in measure(repository).items() if name in wanted}
    readme = repository.fs.cat_file(f"{repository.root}/README.md").decode() if repository.fs.exists(f"{repository.root}/README.md") else "# M3IT\n"
    write_text(f"{out}/README.md", render(readme, repository, infos))
    write_json(f"{out}/dataset_infos.json", infos)
    write_text(f"{out}/LICENSES.md", licenses_text({source.config: source.about for source in sources}))
    return {}
