"""Rows of any layout -> what rules find odd about them (quality.py), counted by rule and dataset.

In: repositories.  Out, below one folder or URL: flags/<repository>/<config>/<split>-<n>.jsonl, an object for each flag
(config, split, id, rule, found), quality.json, which counts them, and run.json. Nothing is left out of the rows: a drop
list is written for the rules that are named, and for no other. A second call reads what is new.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from M3IT import M3IT, Repository, id_of, reason_of
from m3it.catalogue import lookup
from m3it.curating.fingerprint import gone, plan
from m3it.curating.quality import RULES, flags_of
from m3it.reading.drop_list import write_drop_list
from m3it.rows.instance import Drop, M3ITError
from m3it.work.folder import Folder, absolute
from m3it.work.runner import Made, Piece, Progress, map_shards, open_executor, silent, write_drops, write_run

VERSION = 2  # another one where a rule finds something else: flags of before are not gone on with


def flag_rows(
    repos: Iterable[str],
    out: Path | str,
    configs: Iterable[str] | None = None,
    *,
    drop: Collection[str] = (),
    on_error: str = "raise",
    workers: int = 1,
    cluster: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the flags of the rows of repositories into a folder or below a URL; returns what quality.json holds:
    `num_rows`, and `rules`, rule -> dataset/split -> number of rows.

    `drop`: rules whose rows go to drop.jsonl, a drop list. A row that cannot be read raises; with on_error="drop" it is
    left out, counted, and listed in drops.jsonl.
    """
    if unknown := sorted({*drop} - {*RULES}):
        raise ValueError(f"drop={unknown[0]!r}: expected one of {', '.join(RULES)}")
    out, pieces, asked = absolute(out), list[Piece](), list(configs or ())
    for repo in repos:
        pieces += plan(Repository(repo), asked, on_error, "flags", "jsonl")
    if not pieces:
        raise M3ITError(f"{', '.join(repos)}: no rows found in it, nothing to look at.")
    folder, options = Folder(out), {"version": VERSION, "on_error": on_error}
    for path in gone(folder, pieces, {piece.arguments["config"] for piece in pieces} if asked else None):
        folder.remove(path)
    with open_executor(workers, cluster) as executor:
        records = map_shards(write_flags, pieces, out, options, executor, progress, "quality")
    write_drops(f"{out}/drops.jsonl", records)
    write_run(f"{out}/run.json", "quality", options, records)
    flags = [flag for path in records for flag in _read(folder, path)]
    found = {
        "num_rows": sum(record["num_rows"] for record in records.values()),
        "rules": {rule: _counts(flag for flag in flags if flag["rule"] == rule) for rule in RULES},
    }
    folder.write("quality.json", json.dumps(found, indent=1) + "\n")
    folder.remove("drop.jsonl")  # of another call, which named other rules
    if drop:
        named = [{**flag, "reason": flag["rule"]} for flag in flags if flag["rule"] in drop]
        by_place = {(flag["config"], flag["split"], flag["id"]): flag for flag in reversed(named)}
        rows = [{name: flag[name] for name in ("config", "split", "id", "reason")} for flag in by_place.values()]
        write_drop_list(f"{out}/drop.jsonl", reversed(rows))
    return found


def _read(folder: Folder, path: str) -> list[dict[str, str]]:
    """The flags in a file."""
    with folder.open(path) as file:
        return [json.loads(line) for line in file]


def _counts(flags: Iterable[dict[str, str]]) -> dict[str, int]:
    """How many rows of each dataset and split have a flag; translations count with their dataset."""
    counts: Counter[str] = Counter()
    for flag in flags:
        dataset = lookup(flag["config"]).dataset
        counts[f"{dataset.name if dataset else flag['config']}/{flag['split']}"] += 1
    return dict(sorted(counts.items()))


def write_flags(path: Path, *, builder: M3IT, config: str, split: str, pieces: list[Any], repo: str) -> Made:
    """Write the flags of the rows of some pieces into one file."""
    drops: list[Drop] = []

    def refused(path: str, offset: int, key: str, error: Exception) -> None:
        if builder.config.on_error != "drop":
            builder.refuse(path, offset, key, error)  # raises
        drops.append(Drop(key, reason_of(error)))

    dataset, language = lookup(config)
    is_video, num_rows = bool(dataset and dataset.modality == "video"), 0
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for name, *bounds in pieces:
            for _, row in builder.read((name, *bounds), refused=refused):
                num_rows += 1
                for rule, found in flags_of(row, language or "en", is_video):
                    line = {"config": config, "split": split, "id": id_of(row), "rule": rule, "found": found}
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return Made(num_rows, drops)


def quality_text(found: dict[str, Any], most: int = 4) -> str:
    """The counts as lines: rule, rows, and the datasets that have the most of them."""
    lines = [f"{found['num_rows']:,} rows"]
    for rule, counts in found["rules"].items():
        few = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
        more = f" and {len(counts) - most} more" if len(counts) > most else ""
        where = ", ".join(f"{place} {number:,}" for place, number in few) + more
        lines.append(f"{rule:<20}{sum(counts.values()):>9,}  {where}".rstrip())
    return "\n".join(lines)
