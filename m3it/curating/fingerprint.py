"""Rows of any layout -> their prints: a small Parquet, by which pictures and questions are known again.

In: repositories.  Out, below one folder or URL: prints/<repository>/<config>/<split>-<n>.parquet, a line for each row
(config, split, row_id; hashes of its question and answer; the prints of its pictures), and run.json. A file is named
after the bytes that it was made of: a second call reads what is new, and removes what is no longer there.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from M3IT import M3IT, Repository, image_bytes, reason_of
from m3it.catalogue import lookup
from m3it.curating.prints import VERSION, Print, print_of
from m3it.curating.source_ids import source_ids
from m3it.reading.layouts import list_configs
from m3it.reading.load import load_builder
from m3it.rows.images import ImageError
from m3it.rows.instance import Drop, M3ITError, ShardError
from m3it.rows.short_answers import normalize_answer
from m3it.work.folder import Folder, absolute
from m3it.work.runner import Made, Piece, Progress, map_shards, open_executor, silent, write_drops, write_run

FILE_BYTES = 64 << 20  # of the source, for each file of prints
WRITE_ROWS = 1000
HASH_BYTES = 16
HASH, SHA256 = pa.binary(HASH_BYTES), pa.binary(32)
PICTURE = pa.struct(
    {"source": pa.string(), "bytes_sha256": SHA256, "pixels_sha256": SHA256, "pdq": SHA256}
    | {"tiny": pa.binary(), "inner": pa.binary(4), "width": pa.int32(), "height": pa.int32()}
)
TEXTS = {name: pa.string() for name in ("config", "split", "row_id")}
SCHEMA = pa.schema({**TEXTS, "question": HASH, "answer": HASH, "pictures": pa.list_(PICTURE)})


def fingerprint(
    repos: Iterable[str],
    out: Path | str,
    configs: Iterable[str] | None = None,
    *,
    on_error: str = "raise",
    workers: int = 1,
    cluster: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the prints of repositories into a folder or below a URL; returns what run.json holds. A row that cannot be
    read, or has a picture that cannot, raises; with on_error="drop" it is left out, counted, and listed in
    drops.jsonl."""
    out, pieces, asked = absolute(out), list[Piece](), list(configs or ())
    for repo in repos:
        pieces += plan(Repository(repo), asked, on_error)
    if not pieces:
        raise M3ITError(f"{', '.join(repos)}: no rows found in it, nothing to fingerprint.")
    options = {"version": VERSION, "on_error": on_error}
    for path in gone(Folder(out), pieces, {piece.arguments["config"] for piece in pieces} if asked else None):
        Folder(out).remove(path)
    with open_executor(workers, cluster) as executor:
        records = map_shards(write_prints, pieces, out, options, executor, progress, "fingerprint")
    write_drops(f"{out}/drops.jsonl", records)
    repos_by_folder = {record["path"].split("/")[1]: record["arguments"]["repo"] for record in records.values()}
    return write_run(f"{out}/run.json", "fingerprint", options, records, repos=repos_by_folder)


def gone(folder: Folder, pieces: list[Piece], configs: set[str] | None) -> Iterator[str]:
    """The files of prints whose source has changed, or is no longer there, among those of the same repositories (and
    configs, where some were asked for)."""
    planned = {piece.path for piece in pieces}
    repositories = {path.split("/")[1] for path in planned}
    for path in [record["path"] for record in folder.records()]:
        _, repository, config, _ = path.split("/")
        if path not in planned and repository in repositories and (configs is None or config in configs):
            yield path


def plan(
    repository: Repository, configs: list[str], on_error: str, folder: str = "prints", ending: str = "parquet"
) -> Iterator[Piece]:
    """The files of prints of a repository, or of what else is found in its rows: some pieces of one of its files
    each."""
    where = hashlib.sha256((repository.repo_id or repository.root).encode()).hexdigest()[:12]
    for config in configs or list_configs(repository):
        builder = load_builder(repository, config, meta=True, on_error=on_error)
        for split in builder.shards(builder.config.name):
            for group in groups(builder.pieces(split)):
                stamp = f"{builder.repository.identity([group[0][0]])} {group}"
                name = hashlib.sha256(stamp.encode()).hexdigest()[:16]
                arguments = {"config": config, "split": split, "pieces": [list(piece) for piece in group]}
                arguments["repo"] = repository.path
                yield Piece(f"{folder}/{where}/{config}/{split}-{name}.{ending}", arguments, (), {"builder": builder})


def groups(pieces: list[Any]) -> Iterator[list[Any]]:
    """Pieces in their order, those of one file together, about FILE_BYTES of them."""
    group: list[Any] = []
    for piece in pieces:
        if group and (piece[0] != group[0][0] or piece[2] - group[0][1] > FILE_BYTES):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def write_prints(path: Path, *, builder: M3IT, config: str, split: str, pieces: list[Any], repo: str) -> Made:
    """Write the prints of the rows of some pieces into one file."""
    drops: list[Drop] = []
    num_rows = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        lines: list[dict[str, Any]] = []
        for line in prints_of_rows(builder, config, split, pieces, drops):
            lines.append(line)
            if len(lines) == WRITE_ROWS:
                writer.write_table(pa.Table.from_pylist(lines, SCHEMA))
                num_rows, lines = num_rows + len(lines), []
        writer.write_table(pa.Table.from_pylist(lines, SCHEMA))
    return Made(num_rows + len(lines), drops)


def prints_of_rows(
    builder: M3IT, config: str, split: str, pieces: list[Any], drops: list[Drop]
) -> Iterator[dict[str, Any]]:
    """The lines of some pieces. A picture that stood in the row before is not looked at again: questions about one
    picture mostly follow each other."""

    def refused(path: str, offset: int, key: str, error: Exception) -> None:
        if builder.config.on_error != "drop":
            builder.refuse(path, offset, key, error)  # raises
        drops.append(Drop(key, reason_of(error)))

    dataset = lookup(config).dataset
    name, seen = dataset.name if dataset else config, dict[bytes, Print]()
    for path, *bounds in pieces:
        for key, row in builder.read((path, *bounds), refused=refused, images=True):
            meta = json.loads(row["meta"])
            try:
                files = image_bytes(row)
                seen = {file: seen.get(file) or print_of(file, meta["id"]) for file in files}
            except (ImageError, ShardError) as error:
                offset = int(key.rpartition(":")[2].partition("#")[0])
                refused(path, offset, key, ShardError(str(error), error.reason))
                continue
            ids = source_ids(name, meta, len(files))
            pictures = [{"source": said, **seen[file]._asdict()} for said, file in zip(ids, files, strict=True)]
            texts = {"question": hash_text(row["inputs"]), "answer": hash_text(row["outputs"])}
            yield {"config": config, "split": split, "row_id": meta["id"], **texts, "pictures": pictures}


def hash_text(text: str) -> bytes | None:
    """What a question or an answer is known by, whatever its case, punctuation and articles; None for none at all, as
    captions have no question."""
    words = normalize_answer(text)
    return hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES).digest() if words else None
