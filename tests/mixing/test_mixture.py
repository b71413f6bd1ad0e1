"""Mixtures: one sequence for any number of ranks and workers, exact resume, parts of every shape, drops, weights."""

import base64
import gzip
import io
import itertools
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import datasets
import fsspec
import legacy_maker
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, make_row, picture, write_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from M3IT import CATALOGUE, M3ITError, ShardError
from m3it.mixing import loaders as feed
from m3it.mixing import local_copies as copies
from m3it.mixing import order as lanes
from m3it.mixing import row_access as rows
from m3it.mixing.local_copies import Copies
from m3it.mixing.mixture import Mixture
from m3it.mixing.order import Order, Series, allot, mix, permuted, shuffle_quality
from m3it.mixing.part import Part
from m3it.mixing.row_access import Grouped
from m3it.mixing.selection import find_weights, read_weights
from m3it.reading.load import load_dataset
from m3it.rows.instance import Instance
from m3it.rows.messages import to_messages

SIZES = {"kvqa/viquae": 30, "vqa/gqa": 150, "captioning/coco": 400, "classification/iqa": 3}


def write_parquet(path, rows, row_group_size=10):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=row_group_size)


def texts_row(number, turns=1):
    """A row as FineVision has them."""
    said = [{"user": f"Question {number}.{k}?", "assistant": f"Answer {number}.{k}"} for k in range(turns)]
    return {"images": [{"bytes": picture(number), "path": None}], "texts": said}


@pytest.fixture
def mixed(tmp_path):
    """Four of our datasets, one of them Parquet in row groups, and a FineVision-shaped set of two Parquet files."""
    for place, size in SIZES.items():
        dataset = place.split("/")[1]
        texts = [
            {"inputs": f"What is {dataset} {i}?", "meta": json.dumps({"id": f"{dataset}-{i}"})} for i in range(size)
        ]
        lines = [make_row(i, **text) for i, text in enumerate(texts)]
        if dataset == "coco":
            write_parquet(tmp_path / f"ours/data/{place}/train.parquet", lines, 16)
        else:
            write_rows(tmp_path / f"ours/data/{place}/train.jsonl", lines)
    write_parquet(tmp_path / "fine/ai2d/train-00000-of-00002.parquet", [texts_row(i) for i in range(70)], 9)
    write_parquet(tmp_path / "fine/ai2d/train-00001-of-00002.parquet", [texts_row(i) for i in range(70, 120)], 9)
    return tmp_path


def mix_of(folder, **options):
    fine = Part(str(folder / "fine"), "ai2d")
    return Mixture(folder / "ours", **{"parts": [fine], "batch_size": 4, **options})


def ids(rows):
    return [f"{row['dataset']} {row['id']}" for row in rows]


def take(mixture, count):
    return ids(itertools.islice(mixture, count))


def read_ranks(monkeypatch, mixture, world_size, num_workers, num_batches, batch_size=None):
    """The row ids of some steps, in the order of the sequence, read as processes with workers read them: each worker
    has a mixture of its own, and a DataLoader takes one item of each in turn."""
    streams = []
    for rank in range(world_size):
        workers = []
        for worker in range(max(1, num_workers)):
            own = feed.Batches(
                pickle.loads(pickle.dumps(mixture)), batch_size or mixture.batch_size, rank, world_size, num_batches
            )
            info = SimpleNamespace(id=worker, num_workers=num_workers) if num_workers else None
            monkeypatch.setattr(feed, "get_worker_info", lambda info=info: info)
            workers.append(list(own))
        turns = [turn for turns in itertools.zip_longest(*workers) for turn in turns]
        streams.append([ids(turn) for turn in turns if turn is not None])
        assert len(streams[-1]) == num_batches
    return [row_id for step in zip(*streams, strict=True) for batch in step for row_id in batch]


# ---- the order


@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(0, 30)), min_size=1, max_size=5),
    st.integers(1, 9),
    st.integers(0, 2**64),
    st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_an_epoch_has_every_row_once(shapes, batch_size, seed, epoch):
    series = []
    for i, (size, units) in enumerate(shapes):
        sizes = np.array([len(part) for part in np.array_split(np.arange(size), min(units, size))]) if units else None
        series.append(Series(seed + i, size, sizes, 90_000 if units else 0))
    order = Order(series, [s.num_rows for s in series], batch_size, seed)
    places = [order.place(position) for position in range(epoch * order.num_rows, (epoch + 1) * order.num_rows)]
    assert all(place.number in place.chunk for place in places)
    for i, one in enumerate(series):
        numbers = sorted(place.number for place in places if place.series == i)
        assert numbers == list(range(epoch * one.num_rows, (epoch + 1) * one.num_rows))
        found = [one.find(number) for number in numbers]
        if one.sizes is None:
            assert sorted(row for row, _ in found) == list(range(one.num_rows))
        else:
            rows = {(unit, one.pick(unit, turn, int(one.sizes[unit]))) for unit, turn in found}
            assert len(rows) == one.num_rows


@given(st.integers(1, 3000), st.integers(0, 2**64))
@settings(max_examples=50, deadline=None)
def test_permuted_is_a_permutation(count, key):
    assert sorted(permuted(i, count, key) for i in range(count)) == list(range(count))


def test_every_order_of_four_comes_up_about_as_often():
    seen = Counter(tuple(permuted(i, 4, mix(key)) for i in range(4)) for key in range(4800))
    assert len(seen) == 24 and min(seen.values()) > 140 and max(seen.values()) < 260  # 200 expected, deviation 14


def test_the_order_never_changes():
    """A checkpoint of today must go on with any later version: these numbers may not change."""
    series = [Series(1, 1000), Series(2, 300, np.array([100] * 3), 90_000)]
    order = Order(series, [1000, 300], 4, seed=7)
    found = [(p.series, *series[p.series].find(p.number)) for p in map(order.place, (0, 1, 5000, 123_456))]
    assert found == [(1, 0, 14), (1, 0, 5), (0, 89, 3), (1, 0, 9477)]
    assert [permuted(i, 10, 3) for i in range(10)] == [4, 9, 2, 5, 7, 3, 1, 6, 8, 0]


def test_rows_are_allotted_in_proportion_to_the_last_one():
    assert allot(10, np.array([1, 1, 1])).tolist() == [4, 3, 3]
    assert allot(7, np.array([0, 5, 5])).tolist() == [0, 4, 3]


def test_a_dataset_of_few_units_goes_to_as_few_lanes():
    order = Order([Series(1, 300, np.array([100] * 3), 9), Series(2, 100_000)], [300, 100_000], 16)
    assert (order.table(0)[0] > 0).sum() == 3


def test_a_window_fits_the_memory_that_it_may_take():
    rows = 200_000
    series = [Series(i, rows, np.full(rows // 100, 100), 100_000) for i in range(3)]
    order = Order(series, [rows] * 3, 16)
    plan = lanes.Plan(order, 0, 0)
    held = np.diff(plan.windows) * 100_000
    assert held.max() < lanes.WINDOW_BYTES + 2 * 100 * 100_000  # and the chunk that it ends with


def test_the_shuffle_is_as_good_as_a_full_one_and_better_than_a_buffer(tmp_path):
    rows = 10_000
    write_rows(
        tmp_path / "d/data/vqa/gqa/train.jsonl", [{**make_row(0, 0), "meta": f'{{"id": {i}}}'} for i in range(rows)]
    )
    table = {"file": range(rows), "full": np.random.default_rng(0).permutation(rows)}
    table["mixture"] = [int(row["id"]) for row in itertools.islice(Mixture(tmp_path / "d", ["gqa"]), rows)]
    stream = datasets.Dataset.from_dict({"i": range(rows)}).to_iterable_dataset().shuffle(0, buffer_size=1000)
    table["buffer of 1,000"] = [row["i"] for row in stream]
    groups = Series(1, rows, np.full(rows // 25, 25), 100_000)
    order = Order([groups], [rows], 16)
    first = np.arange(rows).reshape(-1, 25)
    places = [order.place(position) for position in range(rows)]
    found = [groups.find(place.number) for place in places]
    table["row groups"] = [first[unit][groups.pick(unit, turn, 25)] for unit, turn in found]
    quality = {name: shuffle_quality(order) for name, order in table.items()}
    assert quality["file"] == (0, 1)
    for name, tolerance in {"full": 0.01, "mixture": 0.01, "row groups": 0.04}.items():  # 400 groups
        assert quality[name][0] == pytest.approx(1 / 3, abs=tolerance), name
    assert quality["mixture"][1] == pytest.approx(quality["full"][1], abs=0.005)
    assert quality["row groups"][1] < 0.3
    assert quality["buffer of 1,000"][0] < 0.06


# ---- ranks, workers, resume


def test_the_same_first_rows_on_any_number_of_ranks_and_workers(monkeypatch, mixed):
    mixture = mix_of(mixed, seed=3)
    expected = take(mixture, 1024)
    assert Counter(expected[: mixture.num_rows]) == Counter(dict.fromkeys(expected, 1))
    assert mixture.num_rows == 30 + 150 + 400 + 3 + 120
    for world_size, num_workers in itertools.product((1, 2, 4, 8), (0, 1, 3)):
        read = read_ranks(monkeypatch, mixture, world_size, num_workers, 1024 // (4 * world_size))
        assert read == expected, (world_size, num_workers)


@pytest.mark.parametrize(("world_size", "num_workers", "batch_size"), [(3, 2, 4), (1, 5, 4), (2, 3, 6), (1, 70, 4)])
def test_numbers_that_do_not_fit_the_lanes_read_the_same_rows(monkeypatch, mixed, world_size, num_workers, batch_size):
    mixture = mix_of(mixed, seed=3)
    read = read_ranks(monkeypatch, mixture, world_size, num_workers, 30, batch_size)
    assert read == take(mixture, 30 * world_size * batch_size)


def test_a_worker_reads_its_own_lanes_only(mixed):
    mixture = mix_of(mixed)
    for world_size, num_workers in ((1, 3), (2, 5), (8, 3), (4, 4), (64, 1)):
        owner = {}
        for rank in range(world_size):
            stream = feed.Batches(mixture, 4, rank, world_size, 200)
            for worker in range(num_workers):
                for step in filter(lambda step: step is not None, stream.steps(worker, num_workers)):
                    lane = mixture.order.lane((step * world_size + rank) * 4)
                    assert owner.setdefault(lane, (rank, worker)) == (rank, worker)


def test_a_state_saved_on_four_ranks_goes_on_with_one_two_and_eight(monkeypatch, mixed):
    expected = take(mix_of(mixed), 900)
    first = mix_of(mixed)
    read = read_ranks(monkeypatch, first, 4, 2, 13)
    first.rows_consumed = 13 * 4 * 4
    state = json.loads(json.dumps(first.state_dict()))
    for world_size in (1, 2, 8):
        again = mix_of(mixed)
        again.load_state_dict(state)
        rest = read_ranks(monkeypatch, again, world_size, 3, 640 // (4 * world_size))
        assert read + rest == expected[: len(read + rest)], world_size


def test_a_data_loader_with_real_workers_reads_the_sequence(mixed):
    mixture = mix_of(mixed)
    expected = take(mixture, 480)
    loader = mixture.loader(num_workers=3, rank=1, world_size=2, num_batches=60, collate_fn=ids)
    assert len(loader) == 60
    batches = list(loader)
    assert batches == [expected[k * 4 : k * 4 + 4] for k in range(1, 120, 2)]
    endless = mixture.loader(num_workers=2, collate_fn=ids)
    assert list(itertools.islice(endless, 50)) == [expected[k * 4 : k * 4 + 4] for k in range(50)]
    with pytest.raises(TypeError, match="max_steps"):
        len(endless)


def test_a_plain_data_loader_spreads_the_sequence_over_its_workers(mixed):
    from torch.utils.data import DataLoader

    mixture = mix_of(mixed)
    loader = DataLoader(mixture, batch_size=4, num_workers=2, collate_fn=ids)
    assert list(itertools.chain.from_iterable(itertools.islice(loader, 40))) == take(mixture, 160)


def test_a_resume_reads_the_row_or_the_unit_that_it_needs_and_no_other(monkeypatch, mixed):
    mixture = mix_of(mixed)
    expected = take(mixture, 700)
    reads = []
    line, unit = Copies.read, Grouped.read
    monkeypatch.setattr(Copies, "read", lambda self, *piece: reads.append(piece) or line(self, *piece))
    monkeypatch.setattr(Grouped, "read", lambda self, number: reads.append(number) or unit(self, number))
    for position in range(0, 700, 50):
        reads.clear()
        assert ids([pickle.loads(pickle.dumps(mixture)).row(position)]) == [expected[position]]
        assert len(reads) == 1, position


def test_resume_at_any_position_of_forty_datasets_reads_one_row(monkeypatch, tmp_path):
    for d in CATALOGUE.values():
        line = json.dumps({**make_row(0, 0), "meta": "{}"}) + "\n"
        if d.train:
            path = tmp_path / f"data/{d.task}/{d.name}/train.jsonl"
            path.parent.mkdir(parents=True)
            path.write_text(line * (d.train // 20), "utf-8")
    mixture = Mixture(tmp_path)
    assert len(mixture.sources) == sum(d.train > 0 for d in CATALOGUE.values())
    reads = []
    line = Copies.read
    monkeypatch.setattr(Copies, "read", lambda self, *piece: reads.append(piece) or line(self, *piece))
    for position in (0, 50_000, 3 * mixture.num_rows + 7):
        again = Mixture(tmp_path)
        again.load_state_dict({**mixture.state_dict(), "rows_consumed": position})
        reads.clear()
        next(iter(again.loader(1)))
        assert len(reads) == len(again.order._plans) == 1  # one row read, one lane planned, nothing passed over


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "its seed is 0, here it is 1"),
        ({"weights": "sqrt"}, "rows per epoch of coco: 400 there, 279 here"),
        ({"batch_size": 8}, "its batch_size is 4, here it is 8"),
        ({"parts": []}, "ai2d is in it and not here"),
    ],
)
def test_a_state_of_another_mixture_is_refused_in_words(mixed, change, words):
    state = mix_of(mixed).state_dict()
    with pytest.raises(M3ITError, match=f"belongs to another mixture: .*{words}"):
        mix_of(mixed, **change).load_state_dict(state)


def test_a_state_of_other_files_is_refused_in_words(mixed):
    state = mix_of(mixed).state_dict()
    write_rows(mixed / "ours/data/vqa/gqa/train.jsonl", [make_row(i, inputs="changed") for i in range(150)])
    with pytest.raises(M3ITError, match="files of gqa"):
        mix_of(mixed).load_state_dict(state)


@pytest.mark.parametrize("weights", ["size", "sqrt", 3.0])
def test_the_same_rows_as_load_dataset(mixed, weights):
    mixture = Mixture(mixed / "ours", batch_size=4, weights=weights)
    rows = list(itertools.islice(mixture, 3 * mixture.num_rows))
    for name in ("viquae", "gqa", "coco", "iqa"):
        loaded = load_dataset(mixed / "ours", name, split="train", meta=True)
        expected = {(json.loads(row["meta"])["id"], row["inputs"], row["outputs"]) for row in loaded}
        seen = Counter((row["id"], row["inputs"], row["outputs"]) for row in rows if row["dataset"] == name)
        assert seen.keys() == expected or weights != "size"
        assert max(seen.values()) - min(Counter({key: seen[key] for key in expected}).values()) <= 1
        images = {row["id"]: row["images"] for row in rows if row["dataset"] == name}
        for row in loaded:
            row_id = json.loads(row["meta"])["id"]
            if row_id in images:
                assert images[row_id] == [base64.b64decode(image) for image in row["image_base64_str"]]


JOB = """
import json, sys
import torch.distributed as dist
from accelerate import Accelerator
from m3it.mixing.mixture import Mixture, Part

folder, out, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])
accelerator = Accelerator(cpu=True)
mixture = Mixture(f"{folder}/ours", parts=[Part(f"{folder}/fine", "ai2d")], batch_size=4)
name = lambda rows: [f"{row['dataset']} {row['id']}" for row in rows]
rank, size = accelerator.process_index, accelerator.num_processes
loader = mixture.loader(num_workers=1, rank=rank, world_size=size, num_batches=batches, collate_fn=name)
assert accelerator.prepare(loader) is loader
mine = list(loader)
everyone = [None] * size
dist.all_gather_object(everyone, mine)
if rank == 0:
    json.dump(everyone, open(out, "w"))
dist.destroy_process_group()
"""


def launch(code, world_size, *arguments, wait=True, **environ):
    """Start the processes of a distributed job on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    shared |= {"PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true", **environ}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    processes = [
        subprocess.Popen(command, env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(world_size)
    ]
    if wait:
        assert [process.wait() for process in processes] == [0] * world_size
    return processes


def test_two_gloo_processes_read_every_row_once(mixed, tmp_path):
    mixture = mix_of(mixed)
    batches = mixture.num_steps(1, 8)
    launch(JOB, 2, mixed, tmp_path / "ids.json", batches, HF_HOME=str(tmp_path / "home"))
    first, second = json.loads((tmp_path / "ids.json").read_text())
    assert len(first) == len(second) == batches
    read = [row_id for pair in zip(first, second, strict=True) for batch in pair for row_id in batch]
    assert read == take(mixture, batches * 8)
    assert len(set(read[: mixture.num_rows])) == mixture.num_rows  # an epoch: each row once


# ---- parts


def test_a_lot_of_workers_on_little_data(monkeypatch, tmp_path):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(3)])
    mixture = Mixture(tmp_path, ["viquae"], batch_size=2)
    read = read_ranks(monkeypatch, mixture, 4, 8, 6)
    assert len(read) == 48 and Counter(Counter(read).values()) == {16: 3}


def messages_row(number, **changes):
    """A row as TRL has them."""
    asked = [{"type": "image", "text": None}, {"type": "text", "text": f"What is {number}?"}]
    answer = [{"type": "text", "text": f"answer {number}"}]
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {"images": [{"bytes": picture(number), "path": None}], "messages": messages, **changes}


def as_jsonl(rows):
    def plain(value):
        return base64.b64encode(value).decode()

    return "".join(json.dumps(row, default=plain) + "\n" for row in rows).encode()


def as_tar(rows):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for i, row in enumerate(rows):
            rest = {name: value for name, value in row.items() if name != "images"}
            files = {"json": json.dumps(rest).encode()}
            files |= {f"{k}.png": image["bytes"] for k, image in enumerate(row["images"])}
            for ending, content in files.items():
                info = tarfile.TarInfo(f"folder/{i:06d}.{ending}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "jsonl.gz", "jsonl.zst", "tar"])
@pytest.mark.parametrize("shape", ["messages", "texts", "ours"])
@pytest.mark.parametrize("where", ["folder", "url"])
def test_other_sets_in_every_shape_and_kind(tmp_path, shape, ending, where):
    makers = {
        "messages": messages_row,
        "texts": lambda i: {**texts_row(i), "texts": [{"user": f"What is {i}?", "assistant": f"answer {i}"}]},
        "ours": lambda i: {
            "instruction": "",
            "inputs": f"What is {i}?",
            "outputs": f"answer {i}",
            "images": [{"bytes": picture(i), "path": None}],
        },
    }
    rows = [makers[shape](i) for i in range(23)]
    path = tmp_path / f"set/mine/train-00000-of-00001.{ending}"
    path.parent.mkdir(parents=True)
    if ending == "parquet":
        write_parquet(path, rows, 5)
    else:
        text = as_tar(rows) if ending == "tar" else as_jsonl(rows)
        compress = {"gz": gzip.compress, "zst": lambda text: pa.compress(text, "zstd", asbytes=True)}
        path.write_bytes(compress.get(ending.rpartition(".")[2], bytes)(text))
    place = str(tmp_path / "set")
    if where == "url":
        place = f"memory://{tmp_path.name}"
        fsspec.filesystem("memory").put(str(tmp_path / "set") + "/", place + "/", recursive=True)
    mixture = Mixture(None, parts=[Part(place, "mine")], batch_size=2)
    found = sorted(itertools.islice(mixture, 23), key=lambda row: int(row["inputs"][8:-1]))
    assert [row["inputs"] for row in found] == [f"What is {i}?" for i in range(23)]
    assert [row["outputs"] for row in found] == [f"answer {i}" for i in range(23)]
    assert [row["images"] for row in found] == [[picture(i)] for i in range(23)]
    assert len({row["id"] for row in found}) == 23
    assert all(row["id"].startswith(f"mine/train-00000-of-00001.{ending}:") for row in found)
    assert to_messages(found[3]) == [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is 3?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "answer 3"}]},
    ]


def test_a_conversation_keeps_all_of_its_turns(tmp_path):
    write_parquet(tmp_path / "chat/train.parquet", [texts_row(7, turns=2)])
    (row,) = itertools.islice(Mixture(None, parts=[Part(str(tmp_path), "chat")], batch_size=1), 1)
    assert (row["inputs"], row["outputs"]) == ("Question 7.0?", "Answer 7.1")
    said = [[part.get("text", "an image") for part in message["content"]] for message in to_messages(row)]
    assert said == [["an image", "Question 7.0?"], ["Answer 7.0"], ["Question 7.1?"], ["Answer 7.1"]]


def test_places_for_images_that_the_row_lacks_are_named_with_the_row_id(tmp_path):
    two = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "Which?"}]
    messages = [{"role": "user", "content": two}, {"role": "assistant", "content": "left"}]
    row = {"id": "pair-9", "images": [base64.b64encode(picture(1)).decode()], "messages": messages}
    write_rows(tmp_path / "set/pairs.jsonl", [row])
    (row,) = itertools.islice(Mixture(None, parts=[Part(str(tmp_path / "set/pairs.jsonl"))], batch_size=1), 1)
    assert row["dataset"] == "pairs"
    with pytest.raises(ShardError, match="pair-9: the messages have 2 places for images, the row has 1"):
        to_messages(row)


def test_a_function_makes_instances_of_any_row(tmp_path):
    write_rows(tmp_path / "odd/train.jsonl", [{"n": i, "q": "sum?", "a": i} for i in range(5)])

    def convert(row):
        return Instance(f"n{row['n']}", row["q"], [picture(row["n"])], str(row["a"]), "Add.", {"n": row["n"]})

    mixture = Mixture(None, parts=[Part(str(tmp_path), "odd", convert=convert)], batch_size=2)
    rows = {row["id"]: row for row in itertools.islice(mixture, 5)}
    assert set(rows) == {f"n{i}" for i in range(5)}
    assert (rows["n3"]["instruction"], rows["n3"]["outputs"], rows["n3"]["meta"]) == ("Add.", "3", {"n": 3})
    broken = Part(str(tmp_path), "odd", convert=lambda row: row["missing"])
    with pytest.raises(ShardError, match="odd/train.jsonl:.*convert raised KeyError: 'missing'"):
        take(Mixture(None, parts=[broken]), 1)


def test_rows_of_an_unknown_shape_say_what_is_expected(tmp_path):
    write_rows(tmp_path / "odd/train.jsonl", [{"question": "?", "answer": "!"}])
    with pytest.raises(ShardError, match=r"expected the fields .*images, messages.*found question, answer.*convert"):
        take(Mixture(None, parts=[Part(str(tmp_path), "odd")]), 1)


def test_a_folder_that_is_not_there_names_the_nearest(mixed):
    with pytest.raises(ValueError, match="Unknown config 'ai2'. Did you mean 'ai2d'"):
        Mixture(None, parts=[Part(str(mixed / "fine"), "ai2")])
    with pytest.raises(ValueError, match="Did you mean 'viquae'"):
        Mixture(mixed / "ours", ["viquea"])
    with pytest.raises(ValueError, match="gqa has no split 'test'; it has train"):
        Mixture(mixed / "ours", ["gqa"], split="test")


def test_published_rows_with_several_answers_come_one_by_one(tmp_path):
    folder = legacy_maker.m3it(tmp_path / "m3it", ("coco", "viquae", "mmchat"))
    mixture = Mixture(folder, ["coco", "viquae", "mmchat"], batch_size=2)
    rows = list(itertools.islice(mixture, mixture.num_rows))
    for name in ("coco", "viquae", "mmchat"):
        loaded = load_dataset(folder, name, split="train", meta=True)
        expected = Counter((json.loads(row["meta"])["id"], row["outputs"]) for row in loaded)
        assert Counter((row["id"], row["outputs"]) for row in rows if row["dataset"] == name) == expected


def test_published_translations_are_read_row_by_row(tmp_path):
    folder = legacy_maker.m3it_80(tmp_path / "m3it-80", ("okvqa",))
    mixture = Mixture(folder, ["okvqa-zh"], split="validation", batch_size=2)
    loaded = load_dataset(folder, "okvqa-zh", split="validation", meta=True)
    expected = Counter((json.loads(row["meta"])["id"], row["inputs"]) for row in loaded)
    assert Counter((row["id"], row["inputs"]) for row in itertools.islice(mixture, mixture.num_rows)) == expected


# ---- over a network


@pytest.fixture
def far(monkeypatch, tmp_path):
    """A dataset of 300 rows at a URL, big enough there to be read in pieces."""
    monkeypatch.setattr(rows, "COPY_BYTES", 1000)
    monkeypatch.setattr(rows, "PIECE_BYTES", 3000)
    lines = [make_row(i, inputs="x" * (i % 7 * 40), meta=json.dumps({"id": f"row-{i}"})) for i in range(300)]
    text = "".join(json.dumps(row) + "\n" for row in lines).encode()
    place = f"memory://{tmp_path.name}"
    fsspec.filesystem("memory").pipe(f"{place}/data/vqa/gqa/train.jsonl", text)
    return place


def test_pieces_over_a_network_lose_no_row_and_repeat_none_before_its_piece_is_through(far):
    mixture = Mixture(far, ["gqa"], batch_size=4)
    rows = take(mixture, 4 * mixture.num_rows)
    seen = Counter(rows)
    assert len(seen) == 300  # every row was seen
    assert mixture.num_rows == pytest.approx(300, rel=0.25)  # estimated from the first piece
    assert min(seen.values()) >= 3 and max(seen.values()) <= 6  # about 4 passes, by the true size of a row's piece


def test_pieces_over_a_network_come_in_one_order_on_any_ranks(monkeypatch, far):
    mixture = Mixture(far, ["gqa"], batch_size=4)
    expected = take(mixture, 384)
    for world_size, num_workers in ((2, 3), (8, 1)):
        assert read_ranks(monkeypatch, mixture, world_size, num_workers, 384 // (4 * world_size)) == expected
    mixture.rows_consumed = 250
    assert take(mixture, 134) == expected[250:]


def test_small_files_over_a_network_are_copied_once_and_shuffled_in_full(tmp_path, monkeypatch):
    place = f"memory://{tmp_path.name}"
    text = "".join(json.dumps(make_row(i)) + "\n" for i in range(50)).encode()
    fsspec.filesystem("memory").pipe(f"{place}/data/vqa/gqa/train.jsonl", text)
    assert sorted(take(Mixture(place, ["gqa"]), 50)) == sorted(f"gqa row-{i}" for i in range(50))
    monkeypatch.setattr(copies.RangeFile, "read", None)  # nothing is fetched any more
    mixture = Mixture(place, ["gqa"])
    assert "full shuffle" in mixture.describe() and len(take(mixture, 50)) == 50


HUB = """
import itertools, json, sys
from m3it.mixing import row_access as rows
from m3it.mixing.mixture import Mixture

rows.COPY_BYTES, rows.PIECE_BYTES = int(sys.argv[2]), 4000
mixture = Mixture(sys.argv[1], ["gqa", "viquae"], batch_size=4)
name = lambda rows: [f"{row['dataset']} {row['id']}" for row in rows]
plain = [row_id for batch in itertools.islice(mixture.loader(collate_fn=name), 30) for row_id in batch]
workers = list(itertools.islice(mixture.loader(num_workers=2, rank=1, world_size=2, collate_fn=name), 15))
orders = {source.name: source.rows.order for source in mixture.sources}
print(json.dumps([orders, plain, workers, mixture.state_dict()]))
"""


def test_a_mixture_of_a_hub_repository_is_pinned_and_reads_each_range_once(hub, tmp_path):
    for place, count in (("vqa/gqa", 400), ("kvqa/viquae", 20)):
        dataset = place.partition("/")[2]
        lines = [make_row(i, meta=json.dumps({"id": f"{dataset}-{i}"})) for i in range(count)]
        write_rows(tmp_path / f"repo/data/{place}/train.jsonl", lines)
    commit = hub.add("Org/mixture", tmp_path / "repo")
    environ = {**hub.environ(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HUB, "Org/mixture", "20000"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    orders, plain, workers, state = json.loads(done.stdout.splitlines()[-1])
    assert orders == {"gqa": "pieces (rows estimated), shuffled in windows", "viquae": "full shuffle"}
    assert len(set(plain)) == 120
    assert workers == [plain[k * 4 : k * 4 + 4] for k in range(1, 30, 2)]
    assert commit not in json.dumps(state)  # it is part of the digest of the files
    ranged = [request for request in hub.requests if "Org/mixture" in request.path and request.range]
    assert ranged and all(commit in request.path and request.status == 206 for request in ranged)
    whole = [request for request in ranged if "viquae" in request.path]
    assert len(whole) == 1  # copied once, for three readers


# ---- drops


@pytest.fixture
def spoiled(tmp_path):
    """40 rows of which three cannot be read, and the same rows as they should be; both as JSON Lines and as Parquet."""
    rows = [make_row(i) for i in range(40)]
    write_rows(tmp_path / "good/data/vqa/gqa/train.jsonl", rows)
    bad = {3: {"outputs": None}, 17: {"image_base64_str": ["no base64!"]}, 30: {"outputs": None}}
    spoiled = [{**row, **bad.get(i, {})} for i, row in enumerate(rows)]
    write_rows(tmp_path / "jsonl/data/vqa/gqa/train.jsonl", spoiled)
    write_parquet(tmp_path / "parquet/data/vqa/gqa/train.parquet", spoiled, 8)
    write_parquet(tmp_path / "good-parquet/data/vqa/gqa/train.parquet", rows, 8)
    return tmp_path


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_dropped_row_leaves_its_place_empty_and_moves_no_other(monkeypatch, spoiled, kind):
    good = Mixture(spoiled / {"jsonl": "good", "parquet": "good-parquet"}[kind], batch_size=4)
    mixture = Mixture(spoiled / kind, batch_size=4, on_error="drop")
    dropped = {"gqa row-3", "gqa row-17", "gqa row-30"}
    expected = [row_id for row_id in take(good, 80) if row_id not in dropped]
    whole = [row_id for start in range(0, 80, 4) for row_id in ids(mixture.batch(start, start + 4))]
    assert whole == expected
    assert read_ranks(monkeypatch, mixture, 2, 3, 10) == expected
    assert mixture.drops() == {"gqa": {"outputs is no string": 2, "image is not base64": 1}}


def test_a_batch_is_never_empty(spoiled):
    mixture = Mixture(spoiled / "jsonl", batch_size=1, on_error="drop")
    batches = [ids(mixture.batch(start, start + 1)) for start in range(40)]
    assert [len(batch) for batch in batches] == [1] * 40
    assert len({row_id for batch in batches for row_id in batch}) == 37


def test_too_many_drops_stop_with_the_reasons_and_the_list(spoiled):
    mixture = Mixture(spoiled / "jsonl", batch_size=4, on_error="drop", max_drops=2)
    with pytest.raises(ShardError, match=r"gqa: 3 rows cannot be read \(.*2 outputs is no string.*max_drops=2.*jsonl"):
        list(mixture.loader(num_workers=1, num_batches=10))
    manifest = Path(mixture.sources[0].rows.builder.manifest)
    assert {json.loads(line)["reason"] for line in manifest.read_text().splitlines()} == {
        "outputs is no string",
        "image is not base64",
    }


def test_without_drops_a_bad_row_stops_with_file_and_line(spoiled):
    with pytest.raises(ShardError, match=r"train\.jsonl:(4|31): expected a string in outputs|row-17: expected.*base64"):
        take(Mixture(spoiled / "jsonl"), 40)


def test_what_a_transform_refuses_is_dropped_by_its_reason(spoiled):
    def refuse(row):
        if row["id"] == "row-5":
            raise ShardError("its picture is broken", "broken picture")
        return {"id": row["id"].upper(), "dataset": row["dataset"]}

    mixture = Mixture(spoiled / "good", batch_size=4, on_error="drop", transform=refuse)
    rows = [row_id for start in range(0, 40, 4) for row_id in ids(mixture.batch(start, start + 4))]
    assert sorted(rows) == sorted(f"gqa ROW-{i}" for i in range(40) if i != 5)
    assert mixture.drops() == {"gqa": {"broken picture": 1}}
    with pytest.raises(ShardError, match="gqa: .*its picture is broken"):
        take(Mixture(spoiled / "good", transform=refuse), 40)


def test_rows_refused_before_settings_were_mended_are_not_counted(spoiled):
    def refuse(row):
        raise ShardError("too long", "too long")

    with pytest.raises(ShardError, match="3 rows cannot be read"):
        take(Mixture(spoiled / "good", on_error="drop", max_drops=2, transform=refuse), 40)
    mixture = Mixture(spoiled / "good", on_error="drop", max_drops=2)
    assert len(take(mixture, 40)) == 40 and mixture.drops() == {}


def test_a_drop_list_leaves_rows_out_without_counting_them(spoiled, tmp_path):
    (tmp_path / "drop.txt").write_text("row-1\nrow-2\n\n")
    mixture = Mixture(spoiled / "good", batch_size=4, drop_list=tmp_path / "drop.txt")
    assert "2 row ids on the drop list" in mixture.describe()
    rows = [row_id for start in range(0, 40, 4) for row_id in ids(mixture.batch(start, start + 4))]
    assert len(rows) == 38 and not {"gqa row-1", "gqa row-2"} & set(rows) and mixture.drops() == {}


# ---- what is in it


def test_weights():
    sizes = {"a": 100, "b": 400}
    assert find_weights(sizes, "size") == {"a": 0.2, "b": 0.8}
    assert find_weights(sizes, "sqrt") == pytest.approx({"a": 1 / 3, "b": 2 / 3})
    assert find_weights(sizes, 2) == pytest.approx({"a": 1 / 3, "b": 2 / 3})
    assert find_weights(sizes, 1e9) == pytest.approx({"a": 0.5, "b": 0.5})
    assert find_weights(sizes, 1e-9) == {"a": 0, "b": 1}
    assert find_weights(sizes, {"a": 3, "b": 0}) == {"a": 1, "b": 0}


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"a": 0, "b": 0}, "not all of them 0"),
        ({"a": -1, "b": 2}, "0 or more"),
        ({"a": 1}, "weights lack b"),
        ({"a": "much", "b": 1}, "weights: a has 'much', expected a number"),
        ({"a": float("nan"), "b": 1}, "0 or more"),
        ({"a": 1, "bb": 1}, "'bb', which is not in the mixture. Did you mean 'b'"),
        ("siz", "expected 'size', 'sqrt'"),
        (0, "temperature above 0"),
    ],
)
def test_wrong_weights_are_refused_in_words(weights, words):
    with pytest.raises(ValueError, match=words):
        find_weights({"a": 1, "b": 2}, weights)


@pytest.mark.parametrize(("text", "words"), [("[1, 2", "cannot be read as JSON"), ("[1, 2]", "holds a list, expected")])
def test_a_table_of_weights_that_is_none_is_refused_with_its_name(tmp_path, text, words):
    (tmp_path / "weights.json").write_text(text)
    with pytest.raises(ValueError, match=f"weights.json {words}"):
        read_weights(tmp_path / "weights.json")


def test_a_table_of_weights_gives_the_shares_it_says(mixed):
    table = {"viquae": 3, "gqa": 1, "coco": 0, "iqa": 1, "ai2d": 5}
    mixture = mix_of(mixed, weights=table)
    counts = Counter(row["dataset"] for row in itertools.islice(mixture, mixture.num_rows))
    assert counts == {name: pytest.approx(303 * weight / 10, abs=1) for name, weight in table.items() if weight}
    seen = Counter(take(mixture, mixture.num_rows))
    assert {count for row_id, count in seen.items() if row_id.startswith("viquae")} <= {3, 4}  # 91 draws of 30 rows


def test_datasets_are_spread_evenly_over_an_epoch(mixed):
    mixture = mix_of(mixed, weights={"viquae": 1, "gqa": 1, "coco": 1, "iqa": 1, "ai2d": 1})
    names = [row["dataset"] for row in itertools.islice(mixture, 700)]
    for start in range(0, 700, 175):
        assert min(Counter(names[start : start + 175]).values()) > 15  # 35 expected


def test_filters(mixed, tmp_path):
    def names(**options):
        return [source.name for source in Mixture(mixed / "ours", **options).sources]

    write_rows(mixed / "ours/data/kvqa/okvqa/zh/train.jsonl", [make_row(0)])
    write_rows(mixed / "ours/data/vqa/shapes/train.jsonl", [make_row(0)])
    assert names() == ["coco", "gqa", "iqa", "shapes", "viquae"]
    assert names(tasks=["vqa"]) == names(tasks="vqa") == ["gqa", "shapes"]
    assert names(exclude_held_out=True) == ["coco", "gqa", "iqa", "shapes"]
    assert names(languages=["zh"]) == ["okvqa-zh"]
    assert names(license="commercial") == ["shapes"]
    assert names(configs="gqa") == ["gqa"]
    with pytest.raises(ValueError, match="expected None or 'commercial'"):
        names(license="mit")
    with pytest.raises(ValueError, match="The mixture is empty: no config has the split 'train'"):
        names(tasks=["generation"])
    with pytest.raises(ValueError, match="The mixture is empty"):
        names(configs=[])
    with pytest.raises(ValueError, match="Unknown task 'vqq'. Did you mean 'vqa'"):
        names(tasks="vqq")
    with pytest.raises(ValueError, match="Unknown language"):
        names(languages=["xx"])
    with pytest.raises(ValueError, match="on_error='what': expected 'raise' or 'drop'"):
        names(on_error="what")
    assert [s.name for s in mix_of(mixed, license="commercial").sources] == ["shapes"]  # the part states no license
    stated = Part(str(mixed / "fine"), "ai2d", license="CC-BY-4.0")
    assert [s.name for s in mix_of(mixed, license="commercial", parts=[stated]).sources] == ["ai2d", "shapes"]


def test_a_split_without_rows_and_a_name_twice_are_refused(mixed):
    write_rows(mixed / "ours/data/vqa/clevr/train.jsonl", [])
    with pytest.raises(ValueError, match="clevr: the split 'train' has no rows"):
        Mixture(mixed / "ours", ["clevr", "gqa"])
    with pytest.raises(ValueError, match="'ai2d' stands in the mixture twice"):
        mix_of(mixed, parts=[Part(str(mixed / "fine"), "ai2d")] * 2)
    with pytest.raises(ValueError, match="'gqa' stands in the mixture twice. Name it once"):
        Mixture(mixed / "ours", ["gqa", "gqa"])


def test_a_part_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"no")
    with pytest.raises(ShardError, match="train.parquet: no Parquet"):
        Mixture(None, parts=[Part(str(tmp_path))])


def test_the_table_at_the_start_says_rows_shares_and_the_order_in_force(mixed, capsys):
    mixture = mix_of(mixed, weights="sqrt")
    said = capsys.readouterr().err
    lines = {line.split()[0]: line for line in said.splitlines()}
    assert said.rstrip() == mixture.describe()
    assert "full shuffle" in lines["gqa"] and "row groups, shuffled in windows" in lines["ai2d"]
    assert lines["gqa"].split()[1:4] == ["150", f"{171 / 703:.2%}", "171"]  # sqrt(150) of the sum of roots: 24.3 %


def test_instructions_are_drawn_anew_in_every_pass(tmp_path):
    from m3it.catalogue import instructions

    options = instructions("gqa")
    rows = [make_row(i, 0, instruction=options[0] if i else "An instruction of its own.") for i in range(30)]
    write_rows(tmp_path / "data/vqa/gqa/train.jsonl", rows)

    def drawn(passes=2, **choices):
        mixture = Mixture(tmp_path, ["gqa"], batch_size=4, **choices)
        read = itertools.islice(mixture, passes * 30)
        return [(row["id"], row["instruction"]) for row in read]

    assert {text for _, text in drawn()} == {options[0], "An instruction of its own."}
    again = drawn(resample_instructions=True)
    first, second = dict(again[:30]), dict(again[30:])
    assert first["row-0"] == second["row-0"] == "An instruction of its own."
    assert sum(first[row_id] != second[row_id] for row_id in first) > 15
    assert set(first.values()) <= {*options, "An instruction of its own."}
    assert again == drawn(resample_instructions=True)
    few = {text for _, text in drawn(instructions_per_dataset=3)} - {"An instruction of its own."}
    fewer = {text for _, text in drawn(instructions_per_dataset=2)} - {"An instruction of its own."}
    assert len(few) == 3 and len(fewer) == 2 and fewer < few
    assert drawn()[:30] != drawn(instructions_per_dataset=1)[:30]


# ---- trainers


def test_to_hf_gives_images_and_messages_from_where_the_mixture_stands(mixed):
    mixture = mix_of(mixed)
    expected = list(itertools.islice(mixture, 12))
    stream = mixture.to_hf()
    assert isinstance(stream, datasets.IterableDataset)
    rows = list(itertools.islice(stream, 12))
    assert [row["messages"] for row in rows] == [to_messages(row) for row in expected]
    assert [image.size for row in rows for image in row["images"]] == [(8, 6)] * 12
    mixture.rows_consumed = 5
    assert [row["messages"] for row in itertools.islice(stream, 7)] == [to_messages(row) for row in expected[5:]]


def test_to_hf_refuses_a_transform_that_gives_no_row(mixed):
    with pytest.raises(ValueError, match="transform gives a str, expected a row. Leave it out"):
        next(iter(mix_of(mixed, transform=lambda row: row["id"]).to_hf()))


def test_the_callback_counts_rows_by_steps_and_refuses_what_would_lose_rows(mixed):
    mixture = mix_of(mixed)
    callback = mixture.callback()
    args = SimpleNamespace(train_batch_size=4, gradient_accumulation_steps=2, world_size=3, ignore_data_skip=True)
    start = SimpleNamespace(global_step=0, stateful_callbacks={})
    callback.on_train_begin(args, start, None)
    for _ in range(5):
        callback.on_step_end(args, None, None)
    saved = json.loads(json.dumps(callback.state()))
    assert saved["attributes"]["mixture"]["rows_consumed"] == 5 * 24
    resumed = SimpleNamespace(global_step=5, stateful_callbacks={"MixtureCallback": saved})
    again = mix_of(mixed)
    again.callback().on_train_begin(args, resumed, None)
    assert again.rows_consumed == 120
    with pytest.raises(M3ITError, match="ignore_data_skip=True"):
        again.callback().on_train_begin(SimpleNamespace(ignore_data_skip=False), resumed, None)
    with pytest.raises(M3ITError, match="saved without the callback"):
        again.callback().on_train_begin(args, SimpleNamespace(global_step=5, stateful_callbacks={}), None)
    with pytest.raises(M3ITError, match="its seed is 0, here it is 9"):
        mix_of(mixed, seed=9).callback().on_train_begin(args, resumed, None)


TRAIN = """
import json, os, re, sys
import torch
from transformers import Trainer, TrainingArguments
from m3it.mixing.mixture import Mixture, Part

folder, out, steps, resume = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
mixture = Mixture(f"{folder}/ours", parts=[Part(f"{folder}/fine", "ai2d")], batch_size=4)

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(8))

    def forward(self, texts, labels=None):
        return {"loss": ((self.weight * texts).sum(-1) - 1).square().mean()}

def collate(rows):
    with open(f"{out}/rows-{rank}.txt", "a") as file:
        file.write(json.dumps([f"{row['dataset']} {row['id']}" for row in rows]) + "\\n")
    texts = [[float(ord(c)) / 100 for c in row["inputs"][-8:].rjust(8)] for row in rows]
    return {"texts": torch.tensor(texts)}

class Ours(Trainer):
    def get_train_dataloader(self):
        return mixture.loader(4, 0, collate, rank, world_size)

args = TrainingArguments(
    out, max_steps=steps, per_device_train_batch_size=4, save_steps=7, logging_steps=1, report_to=[], use_cpu=True,
    ignore_data_skip=True, disable_tqdm=True, remove_unused_columns=False, learning_rate=0.05,
    lr_scheduler_type="constant",
)
trainer = Ours(Model(), args, train_dataset=mixture, callbacks=[mixture.callback()])
trainer.train(resume_from_checkpoint=resume or None)
if rank == 0:
    json.dump([log["loss"] for log in trainer.state.log_history if "loss" in log], open(f"{out}/losses.json", "w"))
if world_size > 1:
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
"""


def rows_seen(out, world_size, first=0):
    """The row ids of the batches that each process was given, in the order of the sequence, from a batch on."""
    batches = [
        [json.loads(line) for line in (out / f"rows-{r}.txt").read_text().splitlines()] for r in range(world_size)
    ]
    return [row_id for step in zip(*batches, strict=False) for batch in step for row_id in batch][first:]


@pytest.mark.slow
def test_a_killed_training_goes_on_with_one_two_and_four_processes(mixed, tmp_path):
    for name in ("whole", "killed", "one", "two", "four"):
        (tmp_path / name).mkdir()
    expected = take(mix_of(mixed), 704)  # 703 rows are an epoch
    environ = {"HF_HOME": str(tmp_path / "home")}
    launch(TRAIN, 2, mixed, tmp_path / "whole", 88, "", **environ)
    assert rows_seen(tmp_path / "whole", 2) == expected
    processes = launch(TRAIN, 2, mixed, tmp_path / "killed", 88, "", wait=False, **environ)
    while not (tmp_path / "killed/checkpoint-35/trainer_state.json").exists():
        time.sleep(0.02)
        assert all(process.poll() is None for process in processes)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait()
    checkpoint = tmp_path / "killed/checkpoint-35"
    before = rows_seen(tmp_path / "killed", 2)[: 35 * 8]
    for name, world_size, steps in (("two", 2, 88), ("one", 1, 35 + 106), ("four", 4, 35 + 27)):
        launch(TRAIN, world_size, mixed, tmp_path / name, steps, checkpoint, **environ)
        after = rows_seen(tmp_path / name, world_size)
        assert (before + after)[:704] == expected, name
        assert Counter((before + after)[:703]) == Counter(dict.fromkeys(expected[:703], 1)), name
    losses = [json.loads((tmp_path / name / "losses.json").read_text()) for name in ("whole", "two")]
    assert losses[0] == losses[1] and len(losses[0]) == 88  # bit for bit


SFT = """
import json, os, re, sys
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import CLIPImageProcessor, CLIPVisionConfig, LlamaConfig, LlavaConfig
from transformers import LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer
from m3it.mixing.mixture import Mixture, Part

folder, out, steps, resume = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
special = {"pad_token": "<pad>", "eos_token": "</s>", "additional_special_tokens": ["<image>"]}
tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
template = (
    "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %};{% endfor %}"
)
image_processor = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
processor = LlavaProcessor(
    image_processor, tokenizer, patch_size=14, vision_feature_select_strategy="default", chat_template=template,
    num_additional_image_tokens=1,
)
small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
vision = CLIPVisionConfig(**small, image_size=28, patch_size=14, projection_dim=16)
image_token_id = tokenizer.convert_tokens_to_ids("<image>")
torch.manual_seed(0)
text = LlamaConfig(vocab_size=len(tokenizer), **small)
config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=image_token_id, vision_feature_layer=-1)

class Watched(SFTTrainer):
    def compute_loss(self, model, inputs, *rest, **options):
        texts = tokenizer.batch_decode(inputs["input_ids"], skip_special_tokens=True)
        found = [re.search(r"What is \\S+ \\d+|Question \\d+", text)[0] for text in texts]
        with open(f"{out}/rows-{os.environ['RANK']}.txt", "a") as file:
            file.write(json.dumps(found) + "\\n")
        return super().compute_loss(model, inputs, *rest, **options)

mixture = Mixture(f"{folder}/ours", parts=[Part(f"{folder}/fine", "ai2d")], batch_size=4)
args = SFTConfig(
    out, max_steps=steps, per_device_train_batch_size=4, save_steps=9, report_to=[], use_cpu=True, bf16=False,
    max_length=None, disable_tqdm=True, ignore_data_skip=True, gradient_checkpointing=False,
)
trainer = Watched(
    LlavaForConditionalGeneration(config), args, train_dataset=mixture.to_hf(), processing_class=processor,
    callbacks=[mixture.callback()],
)
trainer.train(resume_from_checkpoint=resume or None)
if torch.distributed.is_initialized():
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [1, 2])
def test_a_plain_sft_trainer_sees_every_row_once_and_resumes(mixed, tmp_path, world_size):
    mixture = mix_of(mixed)
    steps = mixture.num_steps(1, 4 * world_size)
    rows = itertools.islice(mixture, steps * 4 * world_size)
    asked = [to_messages(row)[0]["content"][-1]["text"] for row in rows]
    expected = [text.partition("\n")[2].rstrip("?") or text.partition(".")[0] for text in asked]
    environ = {"HF_HOME": str(tmp_path / "home")}
    for name in ("whole", "resumed"):
        (tmp_path / name).mkdir()
    launch(SFT, world_size, mixed, tmp_path / "whole", steps, "", **environ)
    assert rows_seen(tmp_path / "whole", world_size) == expected
    assert len(set(expected[:703])) == 703
    launch(SFT, world_size, mixed, tmp_path / "resumed", steps, tmp_path / "whole/checkpoint-27", **environ)
    assert rows_seen(tmp_path / "resumed", world_size) == expected[27 * 4 * world_size :]
    if world_size == 2:  # on another number of processes, too
        (tmp_path / "alone").mkdir()
        launch(SFT, 1, mixed, tmp_path / "alone", 27 + 10, tmp_path / "whole/checkpoint-27", **environ)
        assert rows_seen(tmp_path / "alone", 1) == expected[27 * 8 : 27 * 8 + 40]


def test_a_local_file_that_is_written_again_under_a_mixture_is_no_mixture_of_two(tmp_path):
    path = write_rows(tmp_path / "data/t/mine/train.jsonl", [make_row(i, inputs="old") for i in range(40)])
    mixture = Mixture(str(tmp_path), ["mine"], batch_size=4)
    assert mixture.row(0)["inputs"] == "old"
    write_rows(path, [make_row(i, inputs="new") for i in range(40)])
    os.utime(path, (1, 1))
    with pytest.raises(ShardError, match="data/t/mine/train.jsonl: changed while it was read. Call again"):
        mixture.row(1)
