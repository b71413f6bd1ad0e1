"""One runner of work over shards.

In: pieces of work, each a function call that makes one file, and who does it: this process, a pool, a cluster.  Out:
files, whole or not at all; what is done is not done again. A finished piece leaves a record beside its file (hidden,
in `.work/`): rows, drops, size, sha256, options. A file without one is not ours and is never overwritten. The last step
gathers the records into run.json, which says with what versions and options the folder was made. No clock stands
anywhere: same input, same bytes.
"""

import json
import multiprocessing
import os
import platform
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from m3it.rows.instance import Drop, M3ITError
from m3it.work.extras import install
from m3it.work.folder import Folder, absolute, record_of, sha256_of, write_json, write_text

PACKAGES = ("m3it", "datasets", "pyarrow", "pillow", "av")


class Piece(NamedTuple):
    """One file to make: its path below the folder of the run, and what the function needs to know. `beside`: further
    files that the same call makes. `carried`: arguments that no byte depends on, such as an open repository; they stand
    in no record."""

    path: str
    arguments: dict[str, Any]
    beside: tuple[str, ...] = ()
    carried: dict[str, Any] = {}


class Progress(Protocol):
    """Gives the items back one by one; on the way it may draw a bar, of `total` items where that is known."""

    def __call__(self, items: Iterable[Any], description: str, total: int | None = None) -> Iterable[Any]: ...


def silent(items: Iterable[Any], description: str, total: int | None = None) -> Iterable[Any]:
    """A Progress that shows nothing."""
    return items


class Made(NamedTuple):
    """What a function says of the file that it made."""

    num_rows: int
    drops: list[Drop]
    sha256: str = ""  # of the file, from one who has hashed what it wrote: it is not read again then


def map_shards(
    function: Callable[..., Made],
    pieces: Iterable[Piece],
    out: Path | str,
    options: dict[str, Any],
    executor: Executor | None = None,
    progress: Progress = silent,
    description: str = "",
) -> dict[str, dict[str, Any]]:
    """Call `function(path, **arguments)` for every piece that is not done, here or in an executor; returns path ->
    record of all that the folder holds.

    The function writes to the path it is given, a temporary name. `options` are what the bytes depend on: a folder
    that was begun with others is refused. Killed and called again, it goes on with the pieces that are missing.
    """
    pieces, out = list(pieces), absolute(out)  # the workers of a cluster stand elsewhere
    records = _finished(out, pieces, options)
    todo = [piece for piece in pieces if piece.path not in records]
    for path in (path for piece in todo for path in (piece.path, *piece.beside)):
        Folder(out).clear(path)
    if executor is None:
        for piece in progress(todo, description, len(todo)):
            records[piece.path] = run_piece(function, piece, out, options)
    else:
        futures = {executor.submit(run_piece, function, piece, out, options): piece.path for piece in todo}
        try:
            for future in progress(as_completed(futures), description, len(futures)):
                records[futures[future]] = future.result()
        except BrokenExecutor as error:
            raise _killed(out) from error
        finally:
            for future in futures:  # after an error, what has not begun need not
                future.cancel()
    asked = dict.fromkeys(piece.path for piece in pieces)  # in this order, whoever was the first to end
    return {path: records[path] for path in (*(path for path in records if path not in asked), *asked)}


def call(executor: Executor | None, function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns, called in a worker where there are some: what it loads does not stay here then, where
    every worker would begin with it."""
    if executor is None:
        return function(*arguments)
    try:
        return executor.submit(function, *arguments).result()
    except BrokenExecutor as error:
        raise _killed(function.__name__) from error


def _killed(what: str) -> M3ITError:
    say = "a worker was killed, most often for want of memory. Call again to go on, with fewer workers."
    return M3ITError(f"{what}: {say}")


def run_piece(function: Callable[..., Made], piece: Piece, out: str, options: dict[str, Any]) -> dict[str, Any]:
    """Make one file, with those beside it, and its record; a file has its name only when it is whole and recorded."""
    folder, names = Folder(out), (piece.path, *piece.beside)
    record_path = record_of(piece.path)
    try:
        if folder.is_local:  # first: a folder that cannot be written costs no work
            (Path(out) / ".work").mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            paths = [stack.enter_context(folder.writing(name)) for name in names]
            made = function(*paths, **piece.arguments, **piece.carried)
            sums = [made.sha256 or sha256_of(paths[0]), *map(sha256_of, paths[1:])]
            files = [{"num_bytes": p.stat().st_size, "sha256": s} for p, s in zip(paths, sums, strict=True)]
            record = {
                "path": piece.path,
                "options": options,
                "arguments": piece.arguments,
                "num_rows": made.num_rows,
                **files[0],
                "beside": dict(zip(piece.beside, files[1:], strict=True)),
                "drops": [list(drop) for drop in made.drops],
            }
            # Before the files get their names: a file that no record explains is somebody else's.
            folder.write(record_path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        told = f"cannot be made, {error.strerror or error}. Nothing half-written is left; call again to go on."
        raise M3ITError(f"{out}/{piece.path}: {told}") from error
    return record


def _finished(out: str, pieces: list[Piece], options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """path -> record of the files that are there already; M3ITError if one was made with other options or of other
    source files (a folder is made of one kind), has another size than its record says, or has no record."""
    folder = Folder(out)
    sizes, records = folder.sizes(), {record["path"]: record for record in folder.records()}
    asked = {piece.path: piece.arguments for piece in pieces}
    done = {}
    for path, record in records.items():
        made = {path: record, **record.get("beside", {})}
        if not all(name in sizes for name in made):
            continue
        theirs = {**record["options"], **record["arguments"]}
        ours = {**options, **asked.get(path, record["arguments"])}
        if changed := [name for name in ours if theirs.get(name) != ours[name]]:
            how = "; ".join(f"{name}={theirs.get(name)}, not {ours[name]}" for name in changed)
            why = " Its source has changed since." if changed == ["source"] else ""
            say = f"Delete {out} to make it anew, or pass another --out."
            raise M3ITError(f"{out}/{path}: was made with {how}.{why} {say}")
        for name, file in made.items():
            if sizes[name] != file["num_bytes"]:
                raise M3ITError(
                    f"{out}/{name}: has {sizes[name]:,} bytes, was recorded with {file['num_bytes']:,}. It has changed "
                    "since: delete it to make it anew, or pass another --out."
                )
        done[path] = record
    if strangers := [path for path in asked if path in sizes and path not in records]:
        raise M3ITError(
            f"{out}/{strangers[0]}: is there already, and no run recorded it: it would be overwritten. Pass another "
            "--out, or delete it to make it anew."
        )
    return done


def write_drops(path: Path | str, records: dict[str, dict[str, Any]]) -> None:
    """Write drops.jsonl: a line for every row that was left out, with its id, its shard and the reason."""
    told = [
        {"id": row_id, "shard": name, "reason": reason}
        for name, record in records.items()
        for row_id, reason in record["drops"]
    ]
    write_text(path, "".join(f"{json.dumps(drop, ensure_ascii=False)}\n" for drop in told))


def write_run(
    path: Path | str, command: str, options: dict[str, Any], records: dict[str, dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """Write run.json: command, options, versions, what is said besides, and rows, drops by reason and sha256 of each
    file; returns it."""
    files: dict[str, Any] = {}
    for name, record in records.items():
        drops = dict(Counter(reason for _, reason in record["drops"]))
        made = {key: record[key] for key in ("num_rows", "num_bytes", "sha256")}
        files |= {name: {**made, "drops": drops}}
        files |= {beside: {"num_rows": record["num_rows"], **file} for beside, file in record.get("beside", {}).items()}
    run = {"command": command, "options": options, "versions": versions(), **more, "files": files}
    write_json(path, run)
    return run


def versions(*packages: str) -> dict[str, str]:
    """Python's version, those of the packages that rows depend on, and of further ones, where installed."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, *packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


# ---- workers


@contextmanager
def open_executor(workers: int = 1, cluster: str | None = None) -> Iterator[Executor | None]:
    """None for one worker, a process pool for several, a Dask cluster's executor for an address."""
    with open_workers(_own, workers, cluster) as (executor, _):
        yield executor


@contextmanager
def open_workers(
    function: Callable[..., Made], workers: int = 1, cluster: str | None = None
) -> Iterator[tuple[Executor | None, Any]]:
    """(executor, function) for `map_shards`, of a function with a memory, such as the method of an object.

    Each worker process gets it once and keeps it, so that it remembers from piece to piece. A forked one begins with
    what is known by now; one that a pickle has brought it to begins with what the pickle holds.
    """
    if cluster:
        with _connect(cluster) as client:
            yield client.get_executor(), client.submit(_same, function, pure=False)
    elif workers > 1:
        torch = sys.modules.get("torch")  # a process that has used a GPU cannot be forked: its children cannot use it
        context = multiprocessing.get_context("spawn") if torch and torch.cuda.is_initialized() else None
        with ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(function,)) as pool:
            yield pool, _own
    else:
        yield None, function


def _connect(cluster: str) -> Any:
    """The client of a Dask cluster."""
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise M3ITError(f"--cluster needs Dask: {install('cluster')}") from error
    try:
        return Client(cluster)
    except (OSError, ValueError) as error:
        raise M3ITError(
            f"--cluster {cluster}: no Dask scheduler answers there ({error}). Start: dask scheduler"
        ) from error


def _same(function: Callable[..., Made]) -> Callable[..., Made]:
    """The function, as the result of a task: Dask brings it to each worker once, and hands the same one to every task
    there."""
    return function


_function: Callable[..., Made] | None = None  # in a process of a pool: the one that it keeps


def _begin(function: Callable[..., Made]) -> None:
    """In a new process of a pool: keep the function, and end with the process that has started this one."""
    global _function
    _function = function
    _end_with_parent()


def _own(*paths: Path, **arguments: Any) -> Made:
    """Call the function that this process keeps."""
    assert _function is not None
    return _function(*paths, **arguments)


def _end_with_parent() -> None:
    """In a worker: end it soon after the process that has started it. Killed, that tells nobody, and a pool's workers
    would wait for its next call for ever."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
