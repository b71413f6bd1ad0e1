"""One runner of work over shards: each piece of work makes one file, whole or not at all; what is done is not done
again.

A finished piece leaves a record beside its file (hidden, in `.work/`): rows, drops by reason, sha256. The last step
gathers the records into run.json, which says with what versions and options the folder was made. No clock stands
anywhere: same input, same bytes.
"""

import hashlib
import json
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from m3it.instance import Drop, M3ITError

PACKAGES = ("m3it", "datasets", "pyarrow", "pillow", "av")


class Piece(NamedTuple):
    """One file to make: its path below the folder of the run, and what the function needs to know."""

    path: str
    arguments: dict[str, Any]


class Made(NamedTuple):
    """What a function says of the file that it made."""

    num_rows: int
    drops: list[Drop]


def map_shards(
    function: Callable[..., Made],
    pieces: Iterable[Piece],
    out: Path,
    options: dict[str, Any],
    executor: Executor | None = None,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, total: items,
) -> dict[str, dict[str, Any]]:
    """Call `function(path, **arguments)` for every piece that is not done, here or in an executor; returns path ->
    record.

    The function writes to the path it is given, a temporary name. `options` are what the bytes depend on: a folder
    that was begun with others is refused. Killed and called again, it goes on with the pieces that are missing.
    """
    pieces, out = list(pieces), Path(out)
    records = {piece.path: record for piece in pieces if (record := _done(out, piece, options)) is not None}
    todo = [piece for piece in pieces if piece.path not in records]
    if executor is None:
        for piece in progress(todo, len(todo)):
            records[piece.path] = run_piece(function, piece, out, options)
    else:
        futures = {executor.submit(run_piece, function, piece, out, options): piece.path for piece in todo}
        for future in progress(as_completed(futures), len(futures)):
            records[futures[future]] = future.result()
    return {piece.path: records[piece.path] for piece in pieces}


def run_piece(function: Callable[..., Made], piece: Piece, out: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Make one file and its record; the file has its name only when it is whole, the record comes last."""
    path = out / piece.path
    unfinished = path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        made = function(unfinished, **piece.arguments)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise M3ITError(
            f"{path}: cannot be written, {error}. Nothing half-written is left; call again to go on."
        ) from error
    os.replace(unfinished, path)
    record = {
        "options": _digest(piece, options),
        "num_rows": made.num_rows,
        "num_bytes": path.stat().st_size,
        "sha256": sha256_of(path),
    }
    record["drops"] = [list(drop) for drop in made.drops]
    write_json(_record_path(out, piece.path), record)
    return record


def _record_path(out: Path, path: str) -> Path:
    return out / ".work" / f"{path.replace('/', '--')}.json"


def _digest(piece: Piece, options: dict[str, Any]) -> str:
    """What the bytes of a piece depend on, in short."""
    return hashlib.sha256(json.dumps([options, piece], sort_keys=True, default=str).encode()).hexdigest()


def _done(out: Path, piece: Piece, options: dict[str, Any]) -> dict[str, Any] | None:
    """The record of a file that is there already; M3ITError if it was made with other options."""
    record_path = _record_path(out, piece.path)
    if not (record_path.exists() and (out / piece.path).exists()):
        return None
    record = json.loads(record_path.read_text("utf-8"))
    if record["options"] != _digest(piece, options):
        raise M3ITError(
            f"{out / piece.path}: was made with other options. "
            f"Delete {out / '.work'} to make it anew, or pass another --out."
        )
    return record


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    unfinished.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(unfinished, path)


def write_run(path: Path, command: str, options: dict[str, Any], records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Write run.json: command, options, versions, and rows, drops by reason and sha256 of each file; returns it."""
    files = {
        name: {
            **{key: record[key] for key in ("num_rows", "num_bytes", "sha256")},
            "drops": dict(Counter(reason for _, reason in record["drops"])),
        }
        for name, record in records.items()
    }
    run = {"command": command, "options": options, "versions": versions(), "files": files}
    write_json(path, run)
    return run


def versions() -> dict[str, str]:
    """Python's version, and those of the packages that rows depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def open_executor(workers: int = 1, cluster: str | None = None):  # type: ignore[no-untyped-def]
    """None for one worker, a process pool for several, a Dask cluster's executor for an address."""
    if cluster:
        try:
            from dask.distributed import Client
        except ImportError as error:
            raise M3ITError("--cluster needs Dask: pip install 'm3it[cluster]'") from error
        with Client(cluster) as client:
            yield client.get_executor()
    elif workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            yield pool
    else:
        yield None
