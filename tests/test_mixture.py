"""Mixtures: one sequence for any number of ranks and workers, exact resume, parts of every shape, drops, weights.

Run as a program, this file is one process of a distributed job: `test_mixture.py loader FOLDER OUT BATCHES`.
"""

import base64
import gzip
import io
import itertools
import json
import os
import pickle
import socket
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from m3it import feed, parts
from m3it.instance import Instance
from m3it.lanes import LANES, Order, Series, allot, permuted, shuffle_quality
from M3IT import CATALOGUE, M3ITError, ShardError

if __name__ != "__main__":
    import legacy_maker
    from conftest import make_row, picture, write_rows
    from hypothesis import given, settings
    from hypothesis import strategies as st

    from m3it.load import load_dataset

from m3it.mixture import Mixture, Part, find_weights, to_messages

SIZES = {"kvqa/viquae": 30, "vqa/gqa": 150, "captioning/coco": 400, "classification/iqa": 3}


def write_parquet(path: Path, rows: list, row_group_size: int = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=row_group_size)


def texts_row(number: int, turns: int = 1) -> dict:
    """A row as FineVision has them."""
    said = [{"user": f"Question {number}.{k}?", "assistant": f"Answer {number}.{k}"} for k in range(turns)]
    return {"images": [{"bytes": picture(number), "path": None}], "texts": said}


@pytest.fixture
def mixed(tmp_path):
    """Four of our datasets, two as Parquet in row groups, and a FineVision-shaped set of Parquet."""
    for place, size in SIZES.items():
        dataset = place.split("/")[1]
        rows = [make_row(i, meta=json.dumps({"id": f"{dataset}-{i}"})) for i in range(size)]
        if dataset == "coco":
            write_parquet(tmp_path / f"ours/data/{place}/train.parquet", rows, 16)
        else:
            write_rows(tmp_path / f"ours/data/{place}/train.jsonl", rows)
    write_parquet(tmp_path / "fine/ai2d/train-00000-of-00002.parquet", [texts_row(i) for i in range(70)], 9)
    write_parquet(tmp_path / "fine/ai2d/train-00001-of-00002.parquet", [texts_row(i) for i in range(70, 120)], 9)
    return tmp_path


def mix_of(folder: Path, **options) -> Mixture:
    return Mixture(folder / "ours", parts=[Part(str(folder / "fine"), "ai2d")], **{"batch_size": 4, **options})


def ids(rows) -> list[str]:
    return [f"{row['dataset']}/{row['id']}" for row in rows]


def take(mixture: Mixture, count: int) -> list[str]:
    return ids(itertools.islice(mixture, count))


def read_ranks(mixture: Mixture, world_size: int, num_workers: int, steps: int, batch_size: int | None = None) -> list:
    """The row ids of some steps, as processes with workers get them, put together in the order of the sequence.

    Each worker is asked for what a DataLoader would ask it for, in the order in which a DataLoader would.
    """
    batches = {}
    for rank in range(world_size):
        stream = feed.Batches(mixture, batch_size or mixture.batch_size, rank, world_size, steps)
        if num_workers == 0:
            batches[rank] = list(stream)
            continue
        of_worker = []
        for worker in range(num_workers):
            said = [None if step is None else step for step in stream.steps(worker, num_workers)]
            of_worker.append(said)
        turns = [turn for turns in itertools.zip_longest(*of_worker, fillvalue="over") for turn in turns if turn != "over"]
        assert [step for step in turns if step is not None] == list(range(steps))  # in order, each once
        size = stream.batch_size
        starts = [mixture.rows_consumed + (step * world_size + rank) * size for step in range(steps)]
        batches[rank] = [mixture.batch(start, start + size) for start in starts]
    return [row_id for step in range(steps) for rank in range(world_size) for row_id in ids(batches[rank][step])]


# ---- the order


def epoch_of(order: Order, epoch: int) -> dict[int, list[int]]:
    numbers: dict[int, list[int]] = {}
    for position in range(epoch * order.num_rows, (epoch + 1) * order.num_rows):
        place = order.place(position)
        assert place.number in place.chunk
        numbers.setdefault(place.series, []).append(place.number)
    return numbers


if __name__ != "__main__":

    @given(
        st.lists(st.tuples(st.integers(1, 300), st.integers(0, 40)), min_size=1, max_size=5),
        st.integers(1, 9),
        st.integers(0, 2**64),
        st.integers(0, 3),
    )
    @settings(max_examples=40, deadline=None)
    def test_an_epoch_has_every_row_once(sizes, batch_size, seed, epoch):
        series = [
            Series(seed + i, size, np.array(np.array_split(np.arange(size), units)[0:units], object) if False else None)
            if units == 0
            else Series(seed + i, size, np.array([len(a) for a in np.array_split(np.arange(size), min(units, size))]), 90_000)
            for i, (size, units) in enumerate(sizes)
        ]
        order = Order(series, [s.num_rows for s in series], batch_size, seed)
        for i, numbers in epoch_of(order, epoch).items():
            size = series[i].num_rows
            assert sorted(numbers) == list(range(epoch * size, (epoch + 1) * size))
            rows = {series[i].find(number) for number in numbers}
            assert len(rows) == size
