"""Datasets trained together: one endless sequence of rows, the same on any number of GPUs and workers, resumed exactly.

In: configs of a repository and other `Part`s, with weights. Out: rows as dicts
    {"dataset", "id", "instruction", "inputs", "outputs", "images": list of bytes, "meta": dict}
in the order that m3it/lanes.py lays down. The state is a number, how many rows were consumed, which the trainer's step
counter tells; workers, which run ahead, are never asked. A step of W processes takes the next W x batch_size rows: the
first process the first batch_size of them, and so on.

A row that cannot be read raises; with on_error="drop" it is left out and listed, its batch is a row shorter, and no
other row moves. A batch that would be empty gets the next row that can be read: each process sees as many batches.
"""

import functools
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np

from M3IT import CATALOGUE
from m3it.catalogue import lookup
from m3it.mixing.loaders import Batches, Collate, Conversations, IterableDataset, Loader, get_worker_info, make_callback
from m3it.mixing.local_copies import Copies
from m3it.mixing.order import LANES, Order, Place, Series, allot, mix
from m3it.mixing.part import Part
from m3it.mixing.row_access import Grouped, Indexed, open_builder, open_repository, open_rows
from m3it.mixing.selection import Filter, find_weights, read_drop_list, select
from m3it.reading.load import count_drops
from m3it.reading.published.raw import Converted, Legacy
from m3it.rows.images import ImageError, read_base64
from m3it.rows.instance import M3ITError, ShardError, choose, hash_of, shuffled

SPENT = object()
SHARES = 1 << 30  # weights become integers of about this sum before rows are allotted


class Source(NamedTuple):
    """One dataset of a mixture: where it comes from, and how its rows are read."""

    part: Part
    rows: Indexed | Grouped

    @property
    def name(self) -> str:
        return self.part.label

    @property
    def dataset(self) -> str:
        """What choices by hash are made for: translations share it."""
        dataset = lookup(self.name).dataset
        return dataset.name if dataset else self.name


class Mixture(IterableDataset):
    """The endless sequence of rows from `self.rows_consumed` on. In a DataLoader, each worker gives its share of it.

    weights       "size" (an epoch has every row once), "sqrt", a temperature T (size ** (1 / T)), or name -> share
    batch_size    rows that are read together: best the batch size of one device
    tasks, languages, exclude_held_out, license="commercial"    which configs, where `configs` does not name them
    drop_list     row ids to leave out, or a file with one a line
    on_error      "raise", or "drop": at most `max_drops` rows of a dataset
    transform     called with each row where it is read; an M3ITError that it raises counts as a row that cannot be read
    resample_instructions       another of the dataset's instructions in every pass over it
    instructions_per_dataset    as many of them, no more: for measuring what their diversity does
    """

    def __init__(
        self,
        path: str | os.PathLike | None = "MMInstruction/M3IT",
        configs: str | Iterable[str] | None = None,
        *,
        split: str = "train",
        parts: Iterable[Part] = (),
        weights: str | float | Mapping[str, float] = "size",
        seed: int = 0,
        batch_size: int = 16,
        tasks: Iterable[str] | None = None,
        languages: Iterable[str] | None = None,
        exclude_held_out: bool = False,
        license: str | None = None,
        drop_list: Iterable[str] | str | os.PathLike = (),
        on_error: str = "raise",
        max_drops: int = 100,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        resample_instructions: bool = False,
        instructions_per_dataset: int | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | None = None,
        storage_options: dict[str, Any] | None = None,
    ):
        if batch_size < 1 or (instructions_per_dataset is not None and instructions_per_dataset < 1):
            raise ValueError("expected batch_size and instructions_per_dataset of 1 or more")
        if on_error not in ("raise", "drop"):
            raise ValueError(f"on_error={on_error!r}: expected 'raise' or 'drop'")
        self.seed, self.batch_size, self.max_drops, self.transform = seed, batch_size, max_drops, transform
        self.resample_instructions, self.instructions_per_dataset = resample_instructions, instructions_per_dataset
        self.drop_list = read_drop_list(drop_list)
        # One listing per repository, whatever the number of its configs.
        open_once = functools.cache(lambda path, at: open_repository(path, at, token, storage_options, cache_dir))
        wanted = Filter(tasks, languages, exclude_held_out, license)
        chosen = [part for part in parts if wanted.takes(part)]
        if path is not None:
            ours = Part(os.fspath(path), "", split, revision=revision)
            chosen += select(open_once(ours.path, revision), ours, configs, wanted)
        sources = []
        for part in sorted(chosen, key=lambda part: part.label):  # the order in which they are named changes nothing
            builder = open_builder(part, open_once(part.path, part.revision), on_error, cache_dir, token)
            sources.append(Source(part, open_rows(builder, part.split, cache_dir)))
        check_sources(sources, split)
        self.weights = find_weights({source.name: source.rows.num_rows for source in sources}, weights)
        self.sources = [source for source in sources if self.weights[source.name]]
        self.order = self._order(exact=weights == "size")
        self.num_rows = self.order.num_rows  # of an epoch
        self.holds_rows = any(isinstance(source.rows, Grouped) for source in self.sources)
        self.rows_consumed = 0
        manifests = {source.name: Path(source.rows.builder.manifest) for source in self.sources}
        self._listed = {name: path.stat().st_size if path.exists() else 0 for name, path in manifests.items()}
        self._held: dict[int, tuple[tuple[int, int], dict[tuple[int, int], list[Any]]]] = {}
        self._unit: tuple[tuple[int, int], list[Any]] = ((-1, -1), [])
        if os.environ.get("RANK", "0") == "0":
            print(self.describe(), file=sys.stderr)

    def _order(self, exact: bool) -> Order:
        """The order of all rows; `exact`: in an epoch each dataset has its own number of rows."""
        sizes = np.array([source.rows.num_rows for source in self.sources])
        shares = np.array([round(self.weights[source.name] * SHARES) for source in self.sources])
        quotas = sizes if exact else np.maximum(allot(int(sizes.sum()), shares), 1)
        series = [
            Series(hash_of(source.name, "", self.seed, "order"), size, source.rows.sizes, source.rows.row_bytes)
            for source, size in zip(self.sources, sizes.tolist(), strict=True)
        ]
        return Order(series, quotas, self.batch_size, self.seed)

    # ---- rows

    def __iter__(self) -> Iterator[Any]:
        """The rows from `rows_consumed` on, without end; in a worker of a DataLoader, its share of their batches."""
        worker = get_worker_info()
        number, count = (worker.id, worker.num_workers) if worker else (0, 1)
        for batch in range(number, sys.maxsize, count):
            start = self.rows_consumed + batch * self.batch_size
            yield from self.batch(start, start + self.batch_size)

    def batch(self, start: int, stop: int) -> list[Any]:
        """The rows at positions start to stop that can be read; at least one: else the next that can."""
        rows = [row for position in range(start, stop) if (row := self.row(position)) is not None]
        for position in range(stop, stop + self.num_rows):
            if rows:
                return rows
            rows = [row for row in [self.row(position)] if row is not None]
        raise ShardError("The mixture has no row that can be read: all of them are dropped.")

    def row(self, position: int) -> Any:
        """The row at a position of the sequence, transformed; None if it was left out."""
        place = self.order.place(position)
        source, series = self.sources[place.series], self.order.series[place.series]
        if isinstance(source.rows, Indexed):
            number, in_pass = series.find(place.number)
            keyed = source.rows.read(number)
        else:
            in_pass = place.number // series.num_rows
            keyed = self._from_window(place)
        if keyed is None:
            return self._check_drops(source)
        try:
            return self._finish(source, as_instance(source, *keyed), in_pass)
        except M3ITError as error:
            return self._refuse(source, keyed[0], error)

    def _from_window(self, place: Place) -> Any:
        """A row of a unit that is read as a whole: the lane holds the rows of its window, and no others."""
        window, chunks = self._held.get(place.lane, (None, {}))
        if window != place.window:
            window, chunks = self._held[place.lane] = (place.window, {})
        key, at = (place.series, place.chunk.start), place.number - place.chunk.start
        if key not in chunks or chunks[key][at] is SPENT:
            chunks[key] = self._read_chunk(place)
        keyed, chunks[key][at] = chunks[key][at], SPENT  # a row that was given away is not held any longer
        return keyed

    def _read_chunk(self, place: Place) -> list[Any]:
        """The rows of a chunk: those of its unit whose turn it is."""
        series, rows = self.order.series[place.series], self.sources[place.series].rows
        assert isinstance(rows, Grouped)
        unit, turn = series.find(place.chunk.start)
        if self._unit[0] != (place.series, unit):  # the unit read last is kept: the next lane often begins in it
            self._unit = ((place.series, unit), rows.read(unit))
        read = self._unit[1]
        return [read[series.pick(unit, turn + i, len(read))] for i in range(len(place.chunk))]

    def _finish(self, source: Source, row: dict[str, Any], in_pass: int) -> Any:
        """The row with its instruction, transformed; None if it is on the drop list."""
        if row["id"] in self.drop_list:
            return None
        if self.resample_instructions or self.instructions_per_dataset:
            row["instruction"] = self._instruction(source, row, in_pass)
        return row if self.transform is None else self.transform(row)

    def _instruction(self, source: Source, row: dict[str, Any], in_pass: int) -> str:
        """One of the dataset's instructions, drawn by row id (and pass); the row's own where it is not one of them."""
        options = instructions_of(source)
        if row["instruction"] not in options:
            return row["instruction"]
        drawn = shuffled(options, source.dataset, "instructions", self.seed)[: self.instructions_per_dataset]
        seed = mix(self.seed, in_pass) if self.resample_instructions else self.seed
        return choose(drawn, source.dataset, row["id"], seed)

    def _refuse(self, source: Source, row_id: str, error: M3ITError) -> None:
        """Raise, or list the row in the manifest of its dataset."""
        builder = source.rows.builder
        if builder.config.on_error != "drop":
            raise ShardError(f"{source.name}: {row_id}: {error}. Mend it, or pass on_error='drop'.") from error
        builder.refuse("", 0, row_id, ShardError(str(error), getattr(error, "reason", type(error).__name__)))
        self._check_drops(source)

    def _check_drops(self, source: Source) -> None:
        """ShardError if a dataset has lost more rows than `max_drops`."""
        builder = source.rows.builder
        drops = count_drops(builder, self._listed[source.name])  # not what was refused before settings were mended
        if drops.total() > self.max_drops:
            reasons = ", ".join(f"{number} {reason}" for reason, number in drops.most_common())
            raise ShardError(
                f"{source.name}: {drops.total()} rows cannot be read ({reasons}), max_drops={self.max_drops}. "
                f"They are listed in {builder.manifest}: mend them, or allow more."
            )

    def drops(self) -> dict[str, Counter]:
        """Dataset -> reason -> number of rows that were left out since the mixture was opened, on this machine."""
        counts = {source.name: count_drops(source.rows.builder, self._listed[source.name]) for source in self.sources}
        return {name: count for name, count in counts.items() if count}

    # ---- for trainers

    def loader(
        self,
        batch_size: int | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        rank: int = 0,
        world_size: int = 1,
        num_batches: int | None = None,
        **options: Any,
    ) -> "Loader":
        """A DataLoader of this process's batches, from `rows_consumed` on; without end, or `num_batches` of them.

        It knows of ranks: hand it to the trainer as it is; accelerate leaves it alone. `options`: DataLoader's own.
        """
        batches = Batches(self, batch_size or self.batch_size, rank, world_size, num_batches)
        options |= {"batch_size": None, "num_workers": num_workers, "collate_fn": Collate(collate_fn)}
        return Loader(batches, **options)

    def to_hf(self) -> Any:
        """A `datasets.IterableDataset` of `images` (upright, RGB) and `messages`, without end, for a trainer of TRL.

        It knows nothing of ranks and is one stream: every process reads all rows and keeps its own, in one worker.
        """
        return datasets.IterableDataset.from_generator(Conversations(self))

    def callback(self) -> Any:
        """The TrainerCallback that writes `state_dict` into each checkpoint and goes on from there on resume."""
        return make_callback(self)

    def num_steps(self, epochs: float, rows_per_step: int) -> int:
        """Steps that take `epochs` epochs; the last one may reach into the next epoch."""
        return -(-int(epochs * self.num_rows) // rows_per_step)

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs: rows consumed, and what the order depends on."""
        files = {source.name: fingerprint(source) for source in self.sources}
        quotas = dict(zip(files, self.order.quotas.tolist(), strict=True))
        order = {"seed": self.seed, "batch_size": self.batch_size, "files": files, "rows per epoch": quotas}
        return {"rows_consumed": self.rows_consumed, **order}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of this mixture; M3ITError that says what differs if it is another one's."""
        own = self.state_dict()
        for name in own:
            if name != "rows_consumed" and state.get(name) != own[name]:
                raise M3ITError(
                    f"The checkpoint belongs to another mixture: {difference(name, state.get(name), own[name])}."
                )
        self.rows_consumed = int(state["rows_consumed"])

    # ---- for people

    def describe(self) -> str:
        """A table of the datasets: rows, share, rows and passes expected per epoch, the order in force."""
        lines = [f"{'dataset':<28}{'rows':>12}{'share':>8}{'per epoch':>12}{'passes':>8}  order"]
        for i, (source, quota) in enumerate(zip(self.sources, self.order.quotas.tolist(), strict=True)):
            size, share = source.rows.num_rows, quota / self.num_rows
            line = f"{source.name:<28}{size:>12,}{share:>8.2%}{quota:>12,}{quota / size:>8.2f}  {source.rows.order}"
            reads = self.order.reads_per_epoch(i)
            lines.append(f"{line}, each read {reads:.1f} times an epoch" if reads > 1.5 * quota / size else line)
        totals = f"{'in all':<28}{sum(source.rows.num_rows for source in self.sources):>12,}{'':>8}{self.num_rows:>12,}"
        left_out = f"; {len(self.drop_list)} row ids on the drop list" if self.drop_list else ""
        return "\n".join([*lines, f"{totals}  seed {self.seed}, {LANES} lanes, batches of {self.batch_size}{left_out}"])

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_held": {}, "_unit": ((-1, -1), [])}

    def __deepcopy__(self, memo: Any) -> "Mixture":
        return self  # a trainer that copies its dataset keeps the one whose position the callback sets


def check_sources(sources: list[Source], split: str) -> None:
    """ValueError for a mixture of nothing, of one name twice, or of a split without rows."""
    if not sources:
        found = f"no config has the split {split!r} and passes the filters"
        raise ValueError(f"The mixture is empty: {found}. Name configs or parts.")
    twice = [name for name, count in Counter(source.name for source in sources).items() if count > 1]
    if twice:
        raise ValueError(
            f"{twice[0]!r} stands in the mixture twice. Name it once, or give each part a label of its own."
        )
    empty = [source for source in sources if not source.rows.num_rows]
    if empty:
        raise ValueError(f"{empty[0].name}: the split {empty[0].part.split!r} has no rows. Leave it out.")


def as_instance(source: Source, key: str, row: dict[str, Any]) -> dict[str, Any]:
    """The row as a mixture gives it: its id, and its images as bytes."""
    meta = json.loads(row["meta"])
    row_id = str(meta.pop("id"))
    repository = source.rows.builder.repository
    if row_id == key and isinstance(repository, Copies):
        row_id = repository.original(key)
    if "images" in row:
        images = [image["bytes"] for image in row["images"]]
    else:
        try:
            images = [read_base64(image) for image in row["image_base64_str"]]
        except ImageError as error:
            raise ShardError(str(error), "image is not base64") from error
    texts = {name: row[name] for name in ("instruction", "inputs", "outputs")}
    return {"dataset": source.name, "id": row_id, **texts, "images": images, "meta": meta}


def instructions_of(source: Source) -> tuple[str, ...]:
    """The instructions that a config's rows were drawn from; none where they are not known (translations, others)."""
    from m3it.catalogue import instructions

    builder = source.rows.builder
    if isinstance(builder, Legacy) and not isinstance(builder, Converted):
        return tuple(builder.instructions)
    return instructions(source.name) if source.name in CATALOGUE else ()


def fingerprint(source: Source) -> str:
    """What identifies the files of a dataset on any machine: their paths and sizes, and on the Hub the commit."""
    rows, repository = source.rows, source.rows.builder.repository
    paths = rows.paths if isinstance(rows, Indexed) else sorted({piece[0] for piece in rows.pieces})
    files = [[path, repository.size(path)] for path in paths]
    return hashlib.sha256(json.dumps([repository.commit, files]).encode()).hexdigest()[:16]


def difference(name: str, theirs: Any, ours: Any) -> str:
    """What differs between two states, in words."""
    if not isinstance(theirs, Mapping):
        return f"its {name} is {theirs}, here it is {ours}"
    lacking = [f"{key} is not in it" for key in ours if key not in theirs]
    lacking += [f"{key} is in it and not here" for key in theirs if key not in ours]
    changed = [f"{name} of {key}: {theirs[key]} there, {ours[key]} here" for key in ours if key in theirs]
    changed = [
        words for words, key in zip(changed, [k for k in ours if k in theirs], strict=True) if theirs[key] != ours[key]
    ]
    return "; ".join([*lacking, *changed][:3])
