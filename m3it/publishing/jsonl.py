"""Rows that are in the schema already -> the card of a release: what plain `datasets` needs to read JSON Lines as they
are, with no script.

In: a repository in our layout. Out: README.md with its YAML, dataset_infos.json, LICENSES.md and run.json, to be put
beside its data/; no row is written.
"""

import hashlib
from collections import Counter
from typing import Any

from M3IT import M3IT, PIECE_BYTES, Repository
from m3it.publishing.columns import OWN_KINDS
from m3it.publishing.configs import ReleaseConfig, origin
from m3it.publishing.parquet import read_digests, split_digest
from m3it.publishing.release_card import write_card
from m3it.rows.instance import M3ITError
from m3it.rows.jsonl import to_line
from m3it.work.folder import Folder, write_json
from m3it.work.runner import versions


class InSchema(M3IT):
    """Reads rows that plain `datasets` reads as they are: ShardError for any other."""

    BUILDER_CONFIGS = []

    def map_row(self, row: Any, place: str) -> list[dict[str, Any]]:
        to_line(row if isinstance(row, dict) else {})
        return [row]


def release_lines(repo: str, out: str, opened: list[ReleaseConfig]) -> dict[str, Any]:
    """Write the card of a repository whose rows are in the schema, and no script: YAML, sizes, licenses, proof."""
    repository = opened[0].builder.repository
    if any(type(config.builder) is not M3IT for config in opened):
        raise M3ITError(
            f"{repo}: its rows are not in the schema, and no card can make plain `datasets` read them. They must be "
            "rewritten: pass --format parquet."
        )
    if Folder(out).records():
        raise M3ITError(f"{out}: holds a release of another format. Delete it, or pass another --out.")
    configs: dict[str, Any] = {}
    splits: dict[str, Any] = {}
    files: dict[str, Any] = {}
    terms = Counter[tuple[str, str, str]]()
    for source, config, _, _ in opened:
        builder = InSchema(repository=repository, config_name=config, meta=True, on_error=source.config.on_error)
        configs[config] = {"schema": OWN_KINDS["lines"].schema, "splits": {}}
        for split, paths in builder.shards(config).items():
            digests, drops, counted = read_digests(builder, split)
            terms.update(counted)
            if drops:
                raise M3ITError(
                    f"{repo}: {len(drops)} rows of {config}/{split} are broken, e.g. {drops[0].id}: {drops[0].reason}. "
                    "A card cannot leave them out: pass --format parquet."
                )
            digest = split_digest(digests)
            num_rows = len(digests)
            splits[f"{config}/{split}"] = {"rows_in": num_rows, "rows_out": num_rows, "drops": {}, "digest": digest}
            sizes = {path: repository.size(path) for path in paths}
            files |= {path: {"num_bytes": sizes[path], "sha256": file_digest(repository, path)} for path in paths}
            size = sum(sizes.values())
            listed = {"paths": paths, "rows": num_rows, "memory_bytes": size, "bytes": size}
            configs[config]["splits"][split] = listed
    write_card(out, configs, opened, "jsonl", splits, terms)
    run = {"command": "release", "options": {"format": "jsonl"}, "versions": versions(), **origin(opened, splits)}
    write_json(f"{out}/run.json", {**run, "files": files})
    return {**run, "files": files}


def file_digest(repository: Repository, path: str) -> str:
    """sha256 of a file of the repository, as hex."""
    digest, size = hashlib.sha256(), repository.size(path)
    for start in range(0, size, PIECE_BYTES):
        digest.update(repository.read(path, start, min(start + PIECE_BYTES, size)))
    return digest.hexdigest()
