"""Source files -> shards: runs a dataset's converter, reads the pictures, draws the instructions, counts what is left
out.

A split is planned first (which rows go into which shard, by the sizes of their files), so that workers make shards
side by side and a killed run goes on. `out/data/<task>/<dataset>/` gets the shards, drops.jsonl with every row left
out and why, and run.json.
"""

import importlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

from M3IT import CATALOGUE
from m3it.instance import Drop, Instance, M3ITError, SourceError, choose, to_row
from m3it.reformat import NUM_FRAMES, Clip, Unreadable
from m3it.shards import SHARD_BYTES, to_line
from m3it.sources import Files, SourcePath
from m3it.work import Made, Piece, map_shards, open_executor, write_run

SPLITS = ("train", "validation", "test")
Converter = Callable[[SourcePath, str], Iterator[Instance | Drop]]


def load_converter(dataset: str, converter: str | None = None) -> Converter:
    """The `convert` of a dataset of the catalogue, or `my_set.py:convert` of the user's own."""
    if converter is None:
        return importlib.import_module(f"m3it.sources.{dataset.replace('-', '_')}").convert
    file, _, function = converter.partition(":")
    spec = importlib.util.spec_from_file_location("converter", file)
    if spec is None or spec.loader is None or not Path(file).exists():
        raise M3ITError(
            f"--converter {converter}: expected a Python file and a function, my_set.py:convert; {file} is not there."
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, function or "convert")


@lru_cache
def instructions(dataset: str) -> tuple[str, ...]:
    """The instructions of a dataset of the catalogue, one per line of its file."""
    text = resources.files("m3it").joinpath("instructions", f"{dataset}.txt").read_text("utf-8")
    return tuple(line for line in text.split("\n") if line)


def convert(
    dataset: str,
    root: Path | str,
    out: Path | str = ".",
    splits: Iterable[str] | None = None,
    *,
    limit: int | None = None,
    on_error: str = "raise",
    num_frames: int = NUM_FRAMES,
    shard_bytes: int = SHARD_BYTES,
    workers: int = 1,
    cluster: str | None = None,
    converter: str | None = None,
    task: str | None = None,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, total: items,
) -> dict[str, Any]:
    """Make the shards of a dataset; returns what run.json holds.

    With `on_error="raise"` a missing or unreadable picture or clip ends the run with its row id; with "drop" the row
    is left out, counted by reason and listed. What a converter leaves out on purpose is counted and listed in both.
    """
    row = CATALOGUE.get(dataset)
    if row is None and converter is None:
        raise M3ITError(
            f'Unknown dataset {dataset!r}; "m3it list" shows all 40. For your own pass --converter my_set.py:convert.'
        )
    folder = Path(out) / "data" / (task or (row.task if row else "vqa")) / dataset
    chosen = list(splits) if splits else [s for s in SPLITS if row is None or getattr(row, s)]
    job = {
        "dataset": dataset,
        "root": str(root),
        "on_error": on_error,
        "num_frames": num_frames,
        "limit": limit,
        "converter": converter,
    }
    options = {**{key: value for key, value in job.items() if key != "root"}, "shard_bytes": shard_bytes}
    pieces = [
        piece for split in chosen for piece in plan(split, job, shard_bytes, optional=splits is None and row is None)
    ]
    with open_executor(workers, cluster) as executor:
        records = map_shards(write_rows, pieces, folder, options, executor, progress)
    with open(folder / "drops.jsonl", "w", encoding="utf-8") as file:
        for name, record in records.items():
            for row_id, reason in record["drops"]:
                file.write(json.dumps({"id": row_id, "shard": name, "reason": reason}, ensure_ascii=False) + "\n")
    return write_run(folder / "run.json", "convert", options, records)


def plan(split: str, job: dict[str, Any], shard_bytes: int, optional: bool = False) -> list[Piece]:
    """The shards of a split: which rows of the converter go into which; one pass over the annotations, no picture is
    read."""
    bounds, num_bytes, stop = [0], 0, 0
    try:
        for stop, instance in enumerate(_instances(job, split), 1):
            num_bytes += (
                0 if isinstance(instance, Drop) else sum(_base64_bytes(image) for image in instance.images) + 500
            )
            if num_bytes >= shard_bytes:
                bounds, num_bytes = [*bounds, stop], 0
    except SourceError:
        if optional:  # a converter of one's own need not know all three splits
            return []
        raise
    if stop > bounds[-1] or stop == 0:
        bounds.append(stop)
    total = len(bounds) - 1
    names = [f"{split}.jsonl"] if total == 1 else [f"{split}-{i:05d}-of-{total:05d}.jsonl" for i in range(total)]
    return [
        Piece(name, {**job, "split": split, "start": a, "stop": b})
        for name, a, b in zip(names, bounds, bounds[1:], strict=False)
    ]


def _base64_bytes(image: Any) -> int:
    """About how many characters an image takes in a line: a clip's frames are taken as 30 kB each."""
    if isinstance(image, bytes):
        return len(image) * 4 // 3
    return image.num_frames * 40_000 if isinstance(image, Clip) else image.path.num_bytes() * 4 // 3


def _instances(job: dict[str, Any], split: str) -> Iterator[Instance | Drop]:
    homepage = CATALOGUE[job["dataset"]].homepage if job["dataset"] in CATALOGUE else ""
    root = SourcePath(Files(Path(job["root"]).expanduser(), homepage))
    return islice(load_converter(job["dataset"], job["converter"])(root, split), job["limit"])


_open: dict[str, tuple[int, Iterator[Instance | Drop]]] = {}


def _rows_from(job: dict[str, Any], split: str, start: int) -> Iterator[Instance | Drop]:
    """The converter's rows from `start` on. A worker that makes one shard after the other goes on where it was:
    annotations are parsed once."""
    key = json.dumps([job, split], sort_keys=True)
    place, rows = _open.get(key, (0, iter(())))
    if key not in _open or place > start:
        place, rows = 0, _instances(job, split)
    for _ in islice(rows, start - place):
        pass
    _open.clear()
    return rows


def write_rows(path: Path, *, split: str, start: int, stop: int, **job: Any) -> Made:
    """Write rows [start, stop) of the converter into one file."""
    rows, num_rows, drops = _rows_from(job, split, start), 0, []
    with open(path, "wb") as file:
        for instance in islice(rows, stop - start):
            if isinstance(instance, Instance):
                try:
                    file.write(to_line(to_row(finish(instance, job["dataset"], job["num_frames"]))))
                    num_rows += 1
                    continue
                except Unreadable as error:
                    if job["on_error"] == "raise":
                        named = f"{job['dataset']}/{split}: {instance.id}: {error} ({_paths(instance)})"
                        raise SourceError(
                            f"{named}. Get the file, or pass --on-error drop to leave such rows out and count them."
                        ) from error
                    instance = Drop(instance.id, str(error))
            drops.append(instance)
    _open[json.dumps([job, split], sort_keys=True)] = (stop, rows)
    return Made(num_rows, drops)


def finish(instance: Instance, dataset: str, num_frames: int = NUM_FRAMES) -> Instance:
    """The instance with its images read and, if it has none, an instruction drawn by its id."""
    images: list[bytes] = []
    for image in instance.images:
        if isinstance(image, Clip):
            image = replace(image, num_frames=num_frames)
        images += [image] if isinstance(image, bytes) else image.read()
    drawn = instance.instruction or choose(instructions(dataset), dataset, instance.id)
    return replace(instance, images=images, instruction=drawn)


def _paths(instance: Instance) -> str:
    return ", ".join(str(image.path) for image in instance.images if not isinstance(image, bytes))


def source_root(dataset: str, root: Path | None, out: Path) -> Path:
    """Where the source files are. SHAPES alone can be made here: without a root its official files are generated
    below `out`."""
    if root is not None:
        return root
    if dataset != "shapes":
        homepage = CATALOGUE[dataset].homepage if dataset in CATALOGUE else "the source"
        raise M3ITError(
            f"{dataset}: pass --root, the folder that holds the source files; they are downloaded from {homepage}."
        )
    generated = out / "sources" / "shapes"
    if not (generated / "test.output").exists():
        generated.mkdir(parents=True, exist_ok=True)
        partial(importlib.import_module("m3it.sources.shapes").generate, generated)()
    return generated
