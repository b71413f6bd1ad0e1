"""Datasets trained together: one endless sequence of rows, the same on any number of GPUs and workers, resumed exactly.

In: configs of a repository and other `Part`s, with weights. Out: rows as dicts
    {"dataset", "id", "instruction", "inputs", "outputs", "images": list of bytes, "meta": dict}
in the order that m3it/mixing/order.py lays down. The state is a number, how many rows were consumed, which the
trainer's step counter tells; workers, which run ahead, are never asked. A step of W processes takes the next
W x batch_size rows: the first process the first batch_size of them, and so on.

A row that cannot be read raises; with on_error="drop" it is left out and listed, its batch is a row shorter, and no
other row moves. A batch that would be empty gets the next row that can be read: each process sees as many batches.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import datasets
import numpy as np

from M3IT import RowFilter, public_url
from m3it.mixing.by_picture import SHARING
from m3it.mixing.loaders import (
    Batches,
    Collate,
    Conversations,
    IterableDataset,
    Loader,
    check_travels,
    get_worker_info,
    make_callback,
)
from m3it.mixing.mixed_part import Access, MixedPart, open_parts
from m3it.mixing.order import LANES, Order, Place, Series, allot, mix
from m3it.mixing.part import Part
from m3it.mixing.row_access import Grouped, Indexed
from m3it.mixing.selection import Selection, Weights, as_names, check_weights, find_weights
from m3it.reading.drop_list import DropList, dropped_rows, read_drop_list
from m3it.rows.instance import M3ITError, ShardError, choose, hash_of, shuffled

SPENT = object()
MOST_UNLICENSED = 10_000  # rows one after the other: more, and a mixture without any would never end
SHARES = 1 << 30  # weights become integers of about this sum before rows are allotted


class Mixture(IterableDataset):
    """The endless sequence of rows from `self.rows_consumed` on. In a DataLoader, each worker gives its share of it.

    Making one reads no data. Its repositories are opened, and their rows counted, when they are first needed: by a row,
    a loader, `num_rows`, or `print(mixture.describe())`. Workers of a plain DataLoader get it opened if it was before.

    weights       "size" (an epoch has every row once), "sqrt", a temperature T (size ** (1 / T)), name -> share, or
                  languages with theirs, "english=0.6" or {"english": 0.6, "zh": 0.1}: the others share what is left
    batch_size    rows that are read together: best the batch size of one device
    tasks, languages, exclude_held_out, license="commercial"    which configs, where `configs` does not name them;
                  by license also which rows: those whose pictures' own licenses forbid it are left out and counted
    filters       which rows are in it, as for `load_dataset`: the others do not count, and an epoch has none of them
    drop_list     row ids to leave out; or a file with one a line, or as `m3it leaks` and `m3it duplicates` write it
    on_error      "raise", or "drop": at most `max_drops` rows of a dataset
    transform     called with each row where it is read; an M3ITError that it raises counts as a row that cannot be read
    resample_instructions       another of the dataset's instructions in every pass over it
    instructions_per_dataset    as many of them, no more: for measuring what their diversity does
    share_pictures              rows about the same pictures follow each other, for `Collator(share_pictures=True)`;
                                in Parquet within a row group. All pictures are looked at once, of a release its hashes
    revision, token, cache_dir, storage_options    as for `load_dataset`
    """

    def __init__(
        self,
        path: str | os.PathLike | None = "MMInstruction/M3IT",
        configs: str | Iterable[str] | None = None,
        *,
        split: str = "train",
        parts: Iterable[Part] = (),
        weights: Weights = "size",
        seed: int = 0,
        batch_size: int = 16,
        tasks: Iterable[str] | None = None,
        languages: Iterable[str] | None = None,
        exclude_held_out: bool = False,
        license: str | None = None,
        filters: Any = None,
        drop_list: Iterable[str] | str | os.PathLike | DropList = (),
        on_error: str = "raise",
        max_drops: int = 100,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        resample_instructions: bool = False,
        instructions_per_dataset: int | None = None,
        share_pictures: bool = False,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | None = None,
        storage_options: dict[str, Any] | None = None,
    ):
        if batch_size < 1 or (instructions_per_dataset is not None and instructions_per_dataset < 1):
            raise ValueError("expected batch_size and instructions_per_dataset of 1 or more")
        check_weights(weights)
        self.whole = None if path is None else Part(os.fspath(path), split=split, revision=revision)
        self.parts = tuple(parts)
        if strange := [part for part in self.parts if not isinstance(part, Part)]:
            raise ValueError(f"parts: expected Part(path, ...), found {strange[0]!r}")
        self.selection = Selection(as_names(configs), as_names(tasks), as_names(languages), exclude_held_out, license)
        self.filters = RowFilter.of(filters)
        self.access = Access(token, cache_dir, storage_options, on_error, self.filters)
        self.seed, self.batch_size, self.max_drops, self.transform = seed, batch_size, max_drops, transform
        self.resample_instructions, self.instructions_per_dataset = resample_instructions, instructions_per_dataset
        self.share_pictures, self.drop_list = share_pictures, read_drop_list(drop_list)
        self.rows_consumed = 0
        self._weights = weights
        self._was_read = False  # by this worker, if it is one
        self._unlicensed = 0  # rows left out by their licenses since one was given away
        self._held: dict[int, tuple[tuple[int, int], dict[tuple[int, int], list[Any]]]] = {}
        self._unit: tuple[tuple[int, int], list[Any]] = ((-1, -1), [])

    # ---- what is in it

    @cached_property
    def opened(self) -> list[MixedPart]:
        """Its datasets, opened; those of which no row passes the filters, too."""
        return open_parts(self.parts, self.whole, self.selection, self.access, self.share_pictures)

    @cached_property
    def mixed_parts(self) -> list[MixedPart]:
        """Its datasets, each with its share of an epoch; those of weight 0, or without rows, are left out."""
        sizes = {part.name: part.rows.num_rows for part in self.opened}
        if not any(sizes.values()):
            told = f"The mixture is empty: no row of {', '.join(sizes)} passes filters={self.filters}"
            raise ValueError(f'{told}. Change them; "m3it show {next(iter(sizes))} --json" shows what rows hold.')
        shares = find_weights(sizes, self._weights, {part.name: part.language for part in self.opened})
        for part in self.opened:
            part.share = shares[part.name]
        return [part for part in self.opened if part.share]

    @cached_property
    def _dropped(self) -> dict[str, dict[str, str]]:
        """Label of a part -> the ids of its rows that are on the drop list."""
        parts = {mixed.name: mixed.part for mixed in self.mixed_parts}
        return {label: dropped_rows(self.drop_list, part.name or label, part.split) for label, part in parts.items()}

    @cached_property
    def order(self) -> Order:
        """The order of all rows."""
        sizes = np.array([part.rows.num_rows for part in self.mixed_parts])
        shares = np.array([round(part.share * SHARES) for part in self.mixed_parts])
        by_size = self._weights == "size"  # in an epoch each dataset has its own number of rows, exactly
        quotas = sizes if by_size else np.maximum(allot(int(sizes.sum()), shares), 1)
        series = [
            Series(hash_of(name, "", self.seed, "order"), rows.num_rows, rows.sizes, rows.row_bytes, rows.together)
            for name, rows in ((part.name, part.rows) for part in self.mixed_parts)
        ]
        run = SHARING if any(part.rows.shown is not None for part in self.mixed_parts) else 1
        return Order(series, quotas, self.batch_size, self.seed, run)

    @property
    def weights(self) -> dict[str, float]:
        """Dataset -> its share of an epoch."""
        return {part.name: part.share for part in self.mixed_parts}

    @property
    def num_rows(self) -> int:
        """The rows of an epoch."""
        return self.order.num_rows

    @property
    def holds_rows(self) -> bool:
        """Whether rows are held in memory, since some datasets are read a unit at a time."""
        return any(isinstance(part.rows, Grouped) for part in self.mixed_parts)

    def describe(self) -> str:
        """A table of the datasets: rows, share, rows and passes expected per epoch, the order in force, the number of
        rows that do not pass the filters."""
        lines = [f"{'dataset':<28}{'rows':>12}{'share':>8}{'per epoch':>12}{'passes':>8}  order"]
        for i, (part, quota) in enumerate(zip(self.mixed_parts, self.order.quotas.tolist(), strict=True)):
            size, share = part.rows.num_rows, quota / self.num_rows
            line = f"{part.name:<28}{size:>12,}{share:>8.2%}{quota:>12,}{quota / size:>8.2f}  {part.rows.order}"
            reads = self.order.reads_per_epoch(i)
            line += f", each read {reads:.1f} times an epoch" if reads > 1.5 * quota / size else ""
            lines.append(line + self._filtered(part.rows.left_out))
        emptied = [part for part in self.opened if not part.rows.num_rows]
        lines += [f"{part.name:<28}{0:>12}{'':>28}{self._filtered(part.rows.left_out)[1:]}" for part in emptied]
        totals = f"{'in all':<28}{sum(part.rows.num_rows for part in self.mixed_parts):>12,}{'':>8}{self.num_rows:>12,}"
        number = sum(map(len, self.drop_list.values()))
        left_out = f"; filters: {self.filters}" if self.filters else ""
        left_out += f"; {number} row ids on the drop list" if number else ""
        return "\n".join([*lines, f"{totals}  seed {self.seed}, {LANES} lanes, batches of {self.batch_size}{left_out}"])

    def _filtered(self, number: int | None) -> str:
        """How many rows of a dataset the filters leave out, in words."""
        if not self.filters:
            return ""
        return ", filtered as they are read" if number is None else f", {number:,} filtered out"

    # ---- rows

    def __iter__(self) -> Iterator[Any]:
        """The rows from `rows_consumed` on, without end; in a worker of a DataLoader, its share of their batches."""
        worker = get_worker_info()
        number, count = (worker.id, worker.num_workers) if worker else (0, 1)
        if worker and self._was_read:
            told = "A worker that stays does not learn how far the mixture was read, and would begin at the same row"
            raise M3ITError(f"{told}. Use mixture.loader(persistent_workers=True) instead of a DataLoader of it.")
        self._was_read = worker is not None
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
        part, series = self.mixed_parts[place.series], self.order.series[place.series]
        if isinstance(part.rows, Indexed):
            number, in_pass = series.find(place.number)
            keyed = part.rows.read(number)
        else:
            in_pass = place.number // series.num_rows
            keyed = self._from_window(place)
        if keyed is not None:
            try:
                return self._finish(part, part.instance(*keyed), in_pass)
            except M3ITError as error:
                part.refuse(keyed[0], error)
        part.check_drops(self.max_drops)
        return None

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
        series, rows = self.order.series[place.series], self.mixed_parts[place.series].rows
        assert isinstance(rows, Grouped)
        unit, turn = series.find(place.chunk.start)
        if self._unit[0] != (place.series, unit):  # the unit read last is kept: the next lane often begins in it
            self._unit = ((place.series, unit), rows.read(unit))
        read = self._unit[1]
        turns = range(turn, turn + len(place.chunk))
        return [read[i] for i in series.picks(unit, turns, len(read), rows.pictures_of(unit))]

    def _finish(self, part: MixedPart, row: dict[str, Any], in_pass: int) -> Any:
        """The row with its instruction, transformed; None if it is on the drop list, or not under the license asked
        for."""
        if row["id"] in self._dropped[part.name]:
            return None
        if reason := self.selection.why_left_out(part.part, row["meta"]):
            part.leave_out(row["id"], reason)
            self._unlicensed += 1
            if self._unlicensed > MOST_UNLICENSED:
                raise ValueError(
                    f"{part.name}: {reason}. None of the last {MOST_UNLICENSED:,} rows of the mixture is for "
                    "commercial use. Make a release of those that are, and mix it: m3it release --license commercial"
                )
            return None
        self._unlicensed = 0
        if self.resample_instructions or self.instructions_per_dataset:
            row["instruction"] = self._instruction(part, row, in_pass)
        return row if self.transform is None else self.transform(row)

    def _instruction(self, part: MixedPart, row: dict[str, Any], in_pass: int) -> str:
        """One of the dataset's instructions, drawn by row id (and pass); the row's own where it is not one of them."""
        options = part.instructions
        if row["instruction"] not in options:
            return row["instruction"]
        drawn = shuffled(options, part.dataset, "instructions", self.seed)[: self.instructions_per_dataset]
        seed = mix(self.seed, in_pass) if self.resample_instructions else self.seed
        return choose(drawn, part.dataset, row["id"], seed)

    def drops(self) -> dict[str, Counter]:
        """Dataset -> reason -> number of rows that were left out since the mixture was opened, on this machine."""
        counts = {part.name: part.drops() for part in self.mixed_parts}
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

        Iterated over again it goes on after the batches that it gave, or where `rows_consumed` was set to since then.

        It knows of ranks: hand it to the trainer as it is; accelerate leaves it alone. `options`: DataLoader's own.
        """
        batches = Batches(self, batch_size or self.batch_size, rank, world_size, num_batches)
        options |= {"batch_size": None, "num_workers": num_workers, "collate_fn": Collate(collate_fn)}
        return Loader(batches, **options)

    def to_hf(self, epochs: float | None = None) -> Any:
        """A `datasets.IterableDataset` of `images` (upright, RGB), `prompt` and `completion`, for a trainer of TRL:
        without end, or some epochs long, to evaluate on.

        It knows nothing of ranks and is one stream: every process reads all rows and keeps its own, in one worker.
        """
        num_rows = None if epochs is None else int(epochs * self.num_rows)
        return datasets.IterableDataset.from_generator(Conversations(self, num_rows))

    def callback(self) -> Any:
        """The TrainerCallback that writes `state_dict` into each checkpoint and goes on from there on resume."""
        return make_callback(self)

    def num_steps(self, epochs: float, rows_per_step: int) -> int:
        """Steps that take `epochs` epochs; the last one may reach into the next epoch."""
        return -(-int(epochs * self.num_rows) // rows_per_step)

    def state_dict(self) -> dict[str, Any]:
        """What a resume needs: rows consumed, and what the order depends on."""
        files = {part.name: part.fingerprint() for part in self.mixed_parts}
        quotas = dict(zip(files, self.order.quotas.tolist(), strict=True))
        order = {"seed": self.seed, "batch_size": self.batch_size, "files": files, "rows per epoch": quotas}
        return {
            "rows_consumed": self.rows_consumed,
            **order,
            **({"share_pictures": True} if self.share_pictures else {}),
            **({"filters": str(self.filters)} if self.filters else {}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of this mixture; M3ITError that says what differs if it is another one's."""
        own = self.state_dict()
        absent = {"share_pictures": False, "filters": "none"}  # what a state that does not name them means
        theirs = {**absent, **state}
        for name, ours in {**absent, **own}.items():
            if name != "rows_consumed" and theirs.get(name) != ours:
                raise M3ITError(
                    f"The checkpoint belongs to another mixture: {difference(name, theirs.get(name), ours)}."
                )
        self.rows_consumed = int(state["rows_consumed"])

    def __getstate__(self) -> dict[str, Any]:
        converts = {f"convert of {part.label}": part.convert for part in self.parts}
        check_travels({"transform": self.transform, "filters": self.filters, **converts})
        opened = {"mixed_parts": self.mixed_parts, "order": self.order}  # so that all workers read what one has listed
        return {**vars(self), **opened, "_held": {}, "_unit": ((-1, -1), []), "_was_read": False}

    def __repr__(self) -> str:
        """What it was asked for; nothing is opened for it."""
        parts = [*([self.whole] if self.whole else ()), *self.parts]
        names = "; ".join(f"{part.name or public_url(part.path)}, {part.split}" for part in parts)
        return f"Mixture of {names}; seed {self.seed}. print(mixture.describe()) counts its rows."

    def __deepcopy__(self, memo: Any) -> "Mixture":
        return self  # a trainer that copies its dataset keeps the one whose position the callback sets


def difference(name: str, theirs: Any, ours: Any) -> str:
    """What differs between two states, in words."""
    if not isinstance(theirs, Mapping):
        return f"its {name} is {theirs}, here it is {ours}"
    words = [f"{key} is not in it" for key in ours if key not in theirs]
    words += [f"{key} is in it and not here" for key in theirs if key not in ours]
    changed = [key for key in ours if key in theirs and theirs[key] != ours[key]]
    words += [f"{name} of {key}: {theirs[key]} there, {ours[key]} here" for key in changed]
    return "; ".join(words[:3])
