"""How a mixture reaches a trainer: a DataLoader that knows of ranks, a `datasets.IterableDataset` that does not, and a
callback that saves where the mixture stands."""

import copy
import itertools
import pickle
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import get_spawning_popen
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol

from m3it.mixing.order import LANES
from m3it.rows.images import pixels
from m3it.rows.instance import M3ITError
from m3it.rows.messages import split_answer, to_messages
from m3it.work.extras import install

try:
    import torch
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info
except ImportError as missing:
    raise M3ITError(f"A mixture needs PyTorch: {install('train')}") from missing


class Stream(Protocol):
    """What this module asks of a mixture: where it stands, its rows by their positions, and a state to go on from."""

    batch_size: int
    rows_consumed: int
    transform: Callable[[dict[str, Any]], Any] | None

    @property
    def holds_rows(self) -> bool: ...

    def batch(self, start: int, stop: int) -> list[Any]: ...

    def row(self, position: int) -> Any: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


def check_travels(functions: Mapping[str, Any]) -> None:
    """M3ITError, while a process is started that inherits nothing, for a function that cannot be sent to it."""
    for name, function in functions.items() if get_spawning_popen() else ():
        try:
            ForkingPickler.dumps(function)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise M3ITError(
                f"{name} cannot be sent to a worker ({error}). Expected a function that a module defines by name, no "
                "lambda, none made in a function. Define it there, or pass multiprocessing_context='fork'."
            ) from error


class Batches(IterableDataset):
    """The batches of one process; in a worker of a DataLoader those that it has to read, in the order of its turns."""

    def __init__(self, mixture: Stream, batch_size: int, rank: int, world_size: int, num_batches: int | None):
        if not 0 <= rank < world_size or batch_size < 1:
            raise ValueError(
                f"rank={rank}, world_size={world_size}, batch_size={batch_size}: expected 0 <= rank < size"
            )
        self.mixture, self.batch_size, self.rank, self.world_size = mixture, batch_size, rank, world_size
        self.num_batches = num_batches
        self.holds_rows = mixture.holds_rows  # asked for here, so that it is opened once, before workers start
        self.first = torch.tensor(
            mixture.rows_consumed
        )  # where it begins; a tensor, as workers that stay see it change
        self.num_given, self._stood = 0, mixture.rows_consumed

    def go_on(self) -> None:
        """Begin anew: after the batches that were given, or where the mixture was set to since then."""
        stands = self.mixture.rows_consumed
        moved = stands != self._stood
        given = self.num_given * self.world_size * self.batch_size
        self.first.fill_(stands if moved else int(self.first) + given)
        self.num_given, self._stood = 0, stands

    def __iter__(self) -> Iterator[Any]:
        worker, first = get_worker_info(), int(self.first)
        for step in self.steps(worker.id, worker.num_workers) if worker else self.steps(0, 1):
            if step is None:
                yield None
                continue
            start = first + (step * self.world_size + self.rank) * self.batch_size
            yield self.mixture.batch(start, start + self.batch_size)

    def steps(self, worker: int, num_workers: int) -> Iterator[int | None]:
        """The steps whose batches a worker reads; None is a turn that it lets pass.

        A DataLoader takes one item of each worker in turn. Where lanes hold rows in memory, a worker keeps to its own
        lanes: of three workers and 64 lanes, two have 21 lanes and pass one turn in 22.
        """
        lanes, stop = LANES // self.world_size, self.num_batches
        aligned = self.batch_size == self.mixture.batch_size and LANES % self.world_size == 0
        if not (aligned and self.holds_rows and num_workers <= lanes) or lanes % num_workers == 0:
            lanes = num_workers
        for first in itertools.count(0, lanes):
            for turn in range(worker, -(-lanes // num_workers) * num_workers, num_workers):
                if stop is not None and first + turn >= stop:
                    return
                yield first + turn if turn < lanes else None


class Collate:
    """The trainer's collate function, spared the turns that a worker lets pass."""

    def __init__(self, function: Callable[[list[Any]], Any] | None):
        self.function = function

    def __call__(self, rows: list[Any] | None) -> Any:
        return rows if rows is None or self.function is None else self.function(rows)

    def __getstate__(self) -> dict[str, Any]:
        check_travels({"collate_fn": self.function})
        return vars(self)


class Loader(DataLoader):
    """A DataLoader of `Batches`, without the turns that workers let pass. Each iteration goes on after the one before,
    or begins where the mixture was set to since then."""

    _is_accelerate_prepared = True  # accelerate 1.15 would give each process half of its own rows; so it lets it be
    dataset: Batches
    _turns: Generator[Any, None, None] | None = None  # of the last iteration

    def __init__(self, batches: Batches, **options: Any):
        super().__init__(batches, **options)
        if self.num_workers:
            batches.first.share_memory_()

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        if self._turns is not None:
            self._turns.close()  # its thread asks workers that stay, who are about to begin anew
        self.dataset.go_on()
        turns: Iterator[Any] = super().__iter__()
        if self.num_workers and not self.pin_memory:  # which has a thread of its own
            turns = self._turns = one_ahead(turns)
        return self._given(turns)

    def _given(self, turns: Iterator[Any]) -> Iterator[Any]:
        """The batches among the turns of workers, counted."""
        try:
            for batch in turns:
                if batch is not None:
                    self.dataset.num_given += 1
                    yield batch
        finally:
            if isinstance(turns, Generator):
                turns.close()  # whoever leaves early lets the workers go

    def __len__(self) -> int:
        num_batches = self.dataset.num_batches
        if num_batches is None:
            raise TypeError("A mixture has no end: give the trainer max_steps, or the loader num_batches.")
        return num_batches


def one_ahead(batches: Iterator[Any]) -> Generator[Any, None, None]:
    """Yield the same batches; the next one is fetched in a thread while the trainer works on one. Each of its tensors
    is handed over by the worker, which is busy with another batch and answers after 5 ms: 2 % of a step of `tiny`."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, end)
        while (batch := coming.result()) is not end:
            coming = thread.submit(next, batches, end)
            yield batch


class Conversations:
    """Yields the rows of a mixture as TRL reads them, from where the mixture stands when it is called: without end, or
    those of some positions that can be read."""

    def __init__(self, mixture: Stream, num_rows: int | None = None):
        self.mixture, self.num_rows = mixture, num_rows

    def __call__(self) -> Iterator[dict[str, Any]]:
        own, start = copy.copy(self.mixture), self.mixture.rows_consumed
        own.transform = self.transform
        if self.num_rows is not None:
            rows = map(own.row, range(start, start + self.num_rows))
            yield from (row for row in rows if row is not None)
            return
        for position in itertools.count(start):  # a row for each position: the callback counts them by the steps
            yield own.batch(position, position + 1)[0]

    def transform(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row as `images`, `prompt` and `completion`, after the mixture's own transform: the loss is on the
        completion, the last answer. Of `messages` TRL would learn the questions and the places of images, too."""
        from PIL import Image

        row = row if self.mixture.transform is None else self.mixture.transform(row)
        if not isinstance(row, dict):
            found = f"the mixture's transform gives a {type(row).__name__}"
            raise ValueError(f"to_hf: {found}, expected a row. Leave it out: to_hf decodes images itself.")
        prompt, completion = split_answer(to_messages(row), row["id"])
        images = [Image.fromarray(pixels(image, row["id"])) for image in row["images"]]
        return {"images": images, "prompt": prompt, "completion": completion}


def make_callback(mixture: Stream) -> Any:
    """A TrainerCallback that counts rows by the trainer's steps; its state travels in trainer_state.json."""
    try:
        from transformers import TrainerCallback
        from transformers.trainer_callback import ExportableState
    except ImportError as missing:
        raise M3ITError(f"A callback needs transformers: {install('train')}") from missing

    class MixtureCallback(TrainerCallback, ExportableState):
        rows_consumed = mixture.rows_consumed

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            saved = (state.stateful_callbacks or {}).get("MixtureCallback")
            if state.global_step and not args.ignore_data_skip:
                raise M3ITError(
                    "Pass ignore_data_skip=True: the mixture resumes by itself, skipped rows would be lost."
                )
            if state.global_step and not saved:
                raise M3ITError(
                    "The checkpoint does not say where the mixture stood: it was saved without the callback."
                )
            if state.global_step and saved:
                mixture.load_state_dict(saved["attributes"]["mixture"])
            self.rows_consumed = mixture.rows_consumed

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.rows_consumed += args.train_batch_size * args.gradient_accumulation_steps * args.world_size

        def state(self) -> dict[str, Any]:
            where = {**mixture.state_dict(), "rows_consumed": self.rows_consumed}
            return {"args": {}, "attributes": {"mixture": where}}

    return MixtureCallback()
