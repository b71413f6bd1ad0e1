"""From the source files of a dataset to its shards.

In: the authors' files below `root`, and the dataset's converter.  Out: `out/data/<task>/<dataset>/` with the shards,
their pictures read and their instructions drawn; drops.jsonl, every row left out and why; and run.json.
A split is planned first (which rows go into which shard, by the sizes of their files), so that workers make shards
side by side and a killed run goes on.
"""

import csv
import hashlib
import importlib
import importlib.util
import re
import struct
import sys
import threading
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from M3IT import CATALOGUE, SPLITS
from m3it.catalogue import catalogue_row, instructions
from m3it.rows.instance import Drop, Instance, M3ITError, ShardError, SourceError, choose
from m3it.rows.jsonl import line_parts, refuse_others, shard_names
from m3it.sources.kit.downloads import ByHand, File, files_of
from m3it.sources.kit.files import Files, SourcePath
from m3it.sources.kit.media import NUM_FRAMES, Clip, Unreadable
from m3it.work.folder import Folder
from m3it.work.runner import Made, Piece, Progress, map_shards, open_workers, silent, write_drops, write_run

SHARD_BYTES = 500_000_000  # a shard ends with the row that reaches this size
WRITTEN = tuple(dict.fromkeys(SPLITS.values()))  # the names of splits that we write
KEPT_ROWS, KEPT_BYTES = 32_768, 64_000_000  # of a split, up to which the rows that planning saw stay in memory
# What a converter meets in files that are not what they should be: a missing field, null where a text should be.
NOT_AS_DESCRIBED = (
    LookupError, TypeError, ValueError, AttributeError, EOFError, csv.Error, struct.error, zlib.error,
    zipfile.BadZipFile, ParseError, RuntimeError,  # of a workbook; of what is nested too deep or encrypted
)  # fmt: skip
LOADING = threading.Lock()  # held while a converter of one's own is loaded: threads share the one name of its module
Converter = Callable[[SourcePath, str], Iterator[Instance | Drop]]


class NoRows(SourceError):
    """Every row of a split is dropped."""


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
    progress: Progress = silent,
) -> dict[str, Any]:
    """Make the shards of a dataset; returns what run.json holds.

    With `on_error="raise"` a missing or unreadable picture or clip ends the run with its row id; with "drop" the row
    is left out, counted by reason and listed. What a converter leaves out on purpose is counted and listed in both.
    """
    if converter and not re.fullmatch(r"\w[\w.-]*", dataset):
        raise M3ITError(f"--name {dataset}: expected the name of a folder: letters, digits, hyphens.")
    row = None if converter else catalogue_row(dataset)
    published = [split for split in WRITTEN if row is None or getattr(row, split)]
    if unknown := [split for split in splits or () if split not in published]:
        raise M3ITError(f"{dataset}: there is no split {unknown[0]!r}, only {', '.join(published)}.")
    folder = Path(out) / "data" / (task or (row.task if row else "vqa")) / dataset
    options = {
        "dataset": dataset,
        "num_frames": num_frames,
        "limit": limit,
        "converter": Path(converter).name if converter else None,  # what it says is in each shard's digest
        "shard_bytes": shard_bytes,
    }
    conversion = Conversion(
        dataset=dataset,
        root=Path(root).expanduser().absolute(),
        limit=limit,
        num_frames=num_frames,
        shard_bytes=shard_bytes,
        converter=str(Path(converter).absolute()) if converter else None,
        # bytes do not depend on it: a run that an unreadable picture has ended goes on with "drop"
        on_error=on_error,
    )
    pieces = conversion.plan(splits or published, optional=converter is not None and not splits)
    for split in WRITTEN:
        refuse_others(folder, split, [piece.path for piece in pieces if piece.arguments["split"] == split])
    with open_workers(conversion.write, workers, cluster) as (executor, write):
        made = map_shards(write, pieces, folder, options, executor, progress, "convert")
    refuse_empty(conversion, pieces, made, folder)
    records = {name: made[name] for split in WRITTEN for name in sorted(made) if name.startswith(split)}
    write_drops(folder / "drops.jsonl", records)
    return write_run(folder / "run.json", "convert", {**options, "on_error": on_error}, records)


def download_page(dataset: str) -> str:
    """Where the annotations are downloaded from: the first address of its converter's "Source files"; of a converter of
    one's own nothing is known."""
    if dataset not in CATALOGUE:
        return ""
    said = importlib.import_module(f"m3it.sources.{dataset.replace('-', '_')}").__doc__ or ""
    found = re.search(r"https?://[^\s,;()]+", said.partition("Source files")[2].partition("\nLicense")[0])
    return found[0].rstrip(":.") if found else CATALOGUE[dataset].homepage


def how_to_get(dataset: str) -> str:
    """Which source files a command fetches, and which a person must get where, as sentences after another one."""
    sources = files_of(dataset)
    paths = ", ".join(source.path for source in sources if isinstance(source, File))
    said = [f"`m3it download {dataset} --root FOLDER` fetches {paths}."] if paths else []
    said += [f"By hand ({s.why}): {s.path} from {s.page}." for s in sources if isinstance(s, ByHand)]
    return "".join(f" {sentence}" for sentence in said)


def source_root(dataset: str, root: Path | None, out: Path) -> Path:
    """Where the source files are. SHAPES alone can be made here: without a root its official files are generated
    below `out`."""
    if root is not None:
        return root
    if dataset != "shapes":
        homepage = download_page(dataset) or "the source"
        raise M3ITError(
            f"{dataset}: pass --root, the folder that holds the source files; they are downloaded from {homepage}."
            f"{how_to_get(dataset) if dataset in CATALOGUE else ''}"
        )
    generated = out / "sources" / "shapes"
    if not (generated / "test.output").exists():
        generated.mkdir(parents=True, exist_ok=True)
        importlib.import_module("m3it.sources.shapes").generate(generated)
    return generated


def refuse_empty(conversion: "Conversion", pieces: list[Piece], made: dict[str, dict[str, Any]], folder: Path) -> None:
    """SourceError if no row of a split could be read; its empty shards go, so that the next call makes them anew."""
    for split in dict.fromkeys(piece.arguments["split"] for piece in pieces):
        paths = [piece.path for piece in pieces if piece.arguments["split"] == split]
        if not any(made[path]["num_rows"] for path in paths):
            for path in paths:
                Folder(folder).remove(path)
            raise conversion.no_rows(split, [why for path in paths for _, why in made[path]["drops"]])


class Place(threading.local):
    """How far a thread has come: the converter of a split, waiting after the row of that number."""

    split = ""
    number = 0
    rows: Iterator[Instance | Drop] = iter(())


@dataclass
class Conversion:
    """A dataset on its way from source files to shards: plans which rows go into which shard, and writes any of them.

    It keeps what is dear to make again: the archives, opened; the rows that planning has seen, where they fit into
    memory; and for each thread the converter that waits after the last row of a shard. A forked process has all of it,
    one that a pickle is sent to begins anew.
    """

    dataset: str
    root: Path
    limit: int | None
    num_frames: int
    shard_bytes: int
    converter: str | None
    on_error: str
    _kept: dict[str, list[Instance | Drop]] = field(default_factory=dict, init=False)
    _said: dict[str, list[bytes]] = field(default_factory=dict, init=False)  # of the rows that are kept
    _missed: dict[str, str] = field(default_factory=dict, init=False)  # where a picture was looked for first
    _place: Place = field(default_factory=Place, init=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return Conversion, tuple(getattr(self, given.name) for given in fields(self) if given.init)

    @property
    def homepage(self) -> str:
        return download_page(self.dataset)

    @cached_property
    def files(self) -> Files:
        """The source files."""
        more = f"; `m3it download {self.dataset} --root {self.root}` fetches what can be fetched, and lists the rest"
        return Files(self.root, self.homepage + more * (self.dataset in CATALOGUE))

    def plan(self, splits: Iterable[str], optional: bool = False) -> list[Piece]:
        """The shards of the splits. With `optional` a split that the converter has no files or no rows for is left out,
        as one's own need not know all three; M3ITError if that leaves none."""
        pieces: list[Piece] = []
        reason, splits = "it yields no rows", list(splits)
        alone = len(splits) == 1
        for split in splits:
            try:
                planned = self.plan_split(split)
            except SourceError as error:
                if not optional or isinstance(error, NoRows):
                    if alone:
                        raise
                    raise type(error)(f"{error} To convert another split alone, pass --split.") from error
                reason = str(error)
            else:
                if planned[-1].arguments["stop"]:
                    pieces += planned
                elif not optional:
                    raise NoRows(f"{self.dataset}/{split}: its source files hold no row. Download them again.")
        if not pieces:
            raise M3ITError(f"{self.dataset}: nothing to convert, {reason}")
        return pieces

    def plan_split(self, split: str) -> list[Piece]:
        """Which rows of the converter go into which shard; one pass over the annotations, no picture is read."""
        start, stop, num_bytes, num_kept_bytes = 0, 0, 0, 0
        self.files.missed, reasons = "", list[str]()
        kept, kept_said = list[Instance | Drop](), list[bytes]()
        source, planned = self.source_digest(), list[dict[str, Any]]()
        for stop, instance in enumerate(self.limited(split), 1):
            if stop <= KEPT_ROWS and num_kept_bytes <= KEPT_BYTES:
                kept.append(instance)
            said, states = said_of(instance), states_of(instance)
            if (0, 0) in states and not self.files.missed:
                images = [image for image in instance.images if not isinstance(image, bytes)]  # type: ignore[union-attr]
                self.files.missed = images[states.index((0, 0))].path.path
            source.update(said + repr(states).encode())
            if stop == len(kept):
                kept_said.append(said)
            if isinstance(instance, Drop):
                reasons.append(instance.reason)
            else:
                num_kept_bytes += sum(len(image) for image in instance.images if isinstance(image, bytes))
                num_bytes += _line_bytes(instance, states)
            if num_bytes >= self.shard_bytes:
                planned.append({"split": split, "start": start, "stop": stop, "source": source.hexdigest()})
                start, num_bytes, source = stop, 0, self.source_digest()
        if stop > start or stop == 0:
            planned.append({"split": split, "start": start, "stop": stop, "source": source.hexdigest()})
        self._missed[split] = self.files.missed
        if stop and stop == len(reasons):
            raise self.no_rows(split, reasons)
        if len(kept) == stop:
            self._kept[split], self._said[split] = kept, kept_said
        return [Piece(name, given) for name, given in zip(shard_names(split, len(planned)), planned, strict=True)]

    def limited(self, split: str) -> Iterator[Instance | Drop]:
        """The rows of the converter up to `limit` that are none of the drops; those that on_error="drop" will leave out
        are read to know it."""
        num_rows = 0
        for instance in self.instances(split):
            yield instance
            if self.limit is not None and isinstance(instance, Instance):
                num_rows += self.on_error == "raise" or self.is_readable(instance)
                if num_rows == self.limit:
                    return

    def is_readable(self, instance: Instance) -> bool:
        """Whether a row can be written."""
        try:
            list(line_parts(finish(instance, self.dataset, self.num_frames)))
        except (Unreadable, ShardError):
            return False
        return True

    def source_digest(self) -> Any:
        """The digest that a shard's source is known by, begun: one's own converter is part of what the rows are made
        of."""
        return hashlib.sha256(self._own_converter)

    @cached_property
    def _own_converter(self) -> bytes:
        """The file of one's own converter; empty for those of the catalogue."""
        file = Path((self.converter or "").partition(":")[0])
        return file.read_bytes() if file.is_file() else b""

    def write(self, path: Path, *, split: str, start: int, stop: int, source: str) -> Made:
        """Write rows [start, stop) of the converter into one file; SourceError where they are not those that were
        planned."""
        num_rows, drops, digest, read = 0, [], hashlib.sha256(), self.source_digest()
        with open(path, "wb") as file:
            for number, instance in enumerate(self.rows(split, start, stop), start):
                said = self._said[split][number] if split in self._kept else said_of(instance)
                if isinstance(instance, Instance):
                    try:
                        for part in line_parts(finish(instance, self.dataset, self.num_frames)):
                            file.write(part)
                            digest.update(part)
                        num_rows += 1
                    except (Unreadable, ShardError) as error:
                        if self.on_error == "raise":
                            raise self._unreadable(split, instance, error) from error
                        drops.append(Drop(instance.id, getattr(error, "reason", str(error))))
                else:
                    drops.append(instance)
                # After its files were read: a change before or meanwhile shows.
                read.update(said + repr(states_of(instance)).encode())
        if read.hexdigest() != source:
            raise SourceError(
                f"{self.dataset}/{split}: rows {start + 1:,} to {stop:,} are not those of a moment ago: a file in "
                f"{self.root} changed while it was read. Call again when it stands still."
            )
        return Made(num_rows, drops, digest.hexdigest())

    def rows(self, split: str, start: int, stop: int) -> Iterator[Instance | Drop]:
        """Rows [start, stop) of the converter: those that planning has kept; else a thread that makes one shard after
        the other goes on where it was, so that it parses annotations once."""
        if split in self._kept:
            yield from self._kept[split][start:stop]
            return
        place, number, rows = self._place, self._place.number, self._place.rows
        if place.split != split or number > start:
            number, rows = 0, self.instances(split)
        place.split = ""  # until the last row has come: after an error there is nothing to go on with
        for _ in islice(rows, start - number):
            pass
        yield from islice(rows, stop - start)
        place.split, place.number, place.rows = split, stop, rows

    def instances(self, split: str) -> Iterator[Instance | Drop]:
        """The rows of the converter from the first; SourceError where one of ours cannot make sense of its files."""
        last = ""
        try:
            convert_split = load_converter(self.dataset, self.converter)
            for instance in convert_split(SourcePath(self.files), split):
                yield instance
                last = f" after row {instance.id!r}"
        except NOT_AS_DESCRIBED as error:
            if self.converter:
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            module = f"m3it/sources/{self.dataset.replace('-', '_')}.py"
            raise SourceError(
                f"{self.dataset}/{split}{last}: the files in {self.root} are not as {module} says: "
                f"{type(error).__name__} {error} ({Path(place.filename).name}:{place.lineno}). "
                f"Compare them with {self.homepage}, and download them again."
            ) from error

    def no_rows(self, split: str, reasons: list[str]) -> "NoRows":
        """The error of a split whose rows are all dropped: why, and which path was looked for first."""
        counts = ", ".join(f"{number:,} {reason}" for reason, number in Counter(reasons).most_common())
        missed = self._missed.get(split, "")
        where = f" Looked first for {self.root / missed}.{self.files.hint(missed)}" if missed else ""
        return NoRows(
            f"{self.dataset}/{split}: no row is left of {len(reasons):,} ({counts}).{where} "
            "Fix the source, or pass another --root."
        )

    def _unreadable(self, split: str, instance: Instance, error: Exception) -> SourceError:
        """The error that names a row whose pictures cannot be read, and where they lie."""
        files = [image.path for image in instance.images if not isinstance(image, bytes)]
        paths = ", ".join(map(str, files))
        hint = next((self.files.hint(path.path) for path in files if not path.exists()), "")
        return SourceError(
            f"{self.dataset}/{split}: row {instance.id!r}: {error}{f' ({paths})' if paths else ''}.{hint} "
            "Fix the source, or pass --on-error drop to leave such rows out and count them."
        )


def load_converter(dataset: str, converter: str | None = None) -> Converter:
    """The `convert` of a dataset of the catalogue, or `my_set.py:convert` of the user's own."""
    if converter is None:
        return importlib.import_module(f"m3it.sources.{dataset.replace('-', '_')}").convert
    file, _, function = converter.partition(":")
    spec = importlib.util.spec_from_file_location("m3it_own_converter", file)
    if spec is None or spec.loader is None or not Path(file).exists():
        raise M3ITError(
            f"--converter {converter}: expected a Python file and a function, my_set.py:convert; {file} is not there."
        )
    module = importlib.util.module_from_spec(spec)
    with LOADING:
        sys.modules[spec.name] = module  # where dataclasses look for the module of their class
        spec.loader.exec_module(module)
    if not callable(getattr(module, function or "convert", None)):
        raise M3ITError(f"--converter {converter}: {file} has no function {function or 'convert'!r}.")
    return getattr(module, function or "convert")


def said_of(row: Instance | Drop) -> bytes:
    """A digest of what a converter says of a row: its texts, and which images it has."""
    if isinstance(row, Drop):
        return hashlib.sha256(repr(tuple(row)).encode()).digest()
    said = [row.id, row.instruction, row.inputs, row.outputs, row.meta, *(_name(image) for image in row.images)]
    return hashlib.sha256(repr(said).encode()).digest()


def _name(image: Any) -> str:
    """What an image is known by before it is read."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    return repr(image) if is_dataclass(image) else type(image).__name__


def states_of(row: Instance | Drop) -> list[tuple[int, int]]:
    """Size and time of each file that a row's images lie in."""
    return [image.path.state() for image in getattr(row, "images", ()) if not isinstance(image, bytes)]


def _line_bytes(row: Instance, states: list[tuple[int, int]]) -> int:
    """About how many bytes a row's line takes: a clip's frames are taken as 30 kB each."""
    num_bytes, files = 500, iter(states)
    for image in row.images:
        size = len(image) if isinstance(image, bytes) else next(files)[0]
        num_bytes += image.num_frames * 40_000 if isinstance(image, Clip) else size * 4 // 3
    return num_bytes


def finish(instance: Instance, dataset: str, num_frames: int = NUM_FRAMES) -> Instance:
    """The instance with its images read and, if it has none, an instruction drawn by its id."""
    images: list[bytes] = []
    for image in instance.images:
        if isinstance(image, Clip):
            image = replace(image, num_frames=num_frames)
        images += [image] if isinstance(image, bytes) else image.read()
    drawn = instance.instruction or choose(instructions(dataset), dataset, instance.id)
    return replace(instance, images=images, instruction=drawn)
