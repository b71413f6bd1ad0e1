"""Mixtures of the rows that pass filters: each once an epoch, resumed exactly, the same on any number of processes."""

import importlib
import itertools
import json
import sys
from collections import Counter

import fsspec
import legacy_maker
import pytest
from conftest import make_row, write_rows
from mixtures import read_ranks, take, texts_row, write_parquet

import M3IT
from m3it import M3ITError, Mixture, Part, load_dataset
from m3it.mixing import row_access

SOME = [("meta.split", "==", "train2014"), ("num_images", ">=", 1)]


def row(number):
    """One of three rows is of another split, one of five has no picture."""
    meta = {"id": f"row-{number}", "split": "val2014" if number % 3 == 0 else "train2014"}
    return make_row(number, int(number % 5 > 0), meta=json.dumps(meta))


def passes(number):
    return number % 3 > 0 and number % 5 > 0


@pytest.fixture
def sets(tmp_path):
    """90 rows as JSON Lines, 90 as Parquet in row groups of 8, and 30 of which none passes."""
    write_rows(tmp_path / "data/vqa/gqa/train.jsonl", [row(i) for i in range(90)])
    write_parquet(tmp_path / "data/kvqa/viquae/train.parquet", [row(i) for i in range(90, 180)], 8)
    write_rows(tmp_path / "data/vqa/shapes/train.jsonl", [row(i * 3) for i in range(30)])
    return tmp_path


def names(mixture, count):
    return [name.split()[1] for name in take(mixture, count)]


@pytest.mark.parametrize("shares", [False, True])
def test_an_epoch_has_every_row_that_passes_once(sets, shares):
    mixture = Mixture(sets, batch_size=4, filters=SOME, share_pictures=shares)
    expected = sorted(f"row-{i}" for i in range(180) if passes(i))
    assert mixture.num_rows == len(expected) == 96
    for _ in range(2):
        assert sorted(names(mixture, 96)) == expected
        mixture.rows_consumed += 96
    assert mixture.weights == {"gqa": 0.5, "viquae": 0.5} and mixture.drops() == {}


def test_the_same_rows_as_load_dataset(sets):
    loaded = [
        json.loads(each["meta"])["id"]
        for name in ("gqa", "viquae")
        for each in load_dataset(sets, name, split="train", streaming=True, meta=True, filters=SOME)
    ]
    assert Counter(names(Mixture(sets, filters=SOME), 96)) == Counter(loaded)


def test_the_table_counts_the_rows_that_do_not_pass(sets):
    lines = {line.split()[0]: line for line in Mixture(sets, filters=SOME).describe().splitlines()}
    assert lines["gqa"].split()[1] == "48" and lines["gqa"].endswith("full shuffle, 42 filtered out")
    assert lines["viquae"].split()[1] == "48" and lines["viquae"].endswith(", 42 filtered out")
    assert lines["shapes"].split() == ["shapes", "0", "30", "filtered", "out"]
    assert lines["in"].endswith("filters: meta.split == 'train2014' and num_images >= 1")
    assert "filter" not in Mixture(sets).describe()


@pytest.mark.parametrize("shares", [False, True])
def test_a_filtered_order_is_resumed_at_any_position_on_any_number_of_processes(monkeypatch, sets, shares):
    options = {"batch_size": 4, "filters": SOME, "share_pictures": shares}
    expected = take(Mixture(sets, **options), 200)
    for position in (0, 3, 95, 96, 150):
        mixture = Mixture(sets, **options)
        mixture.load_state_dict({**mixture.state_dict(), "rows_consumed": position})
        assert take(mixture, 10) == expected[position : position + 10]
    for world_size, num_workers in ((1, 2), (2, 2), (4, 0)):
        read = read_ranks(monkeypatch, Mixture(sets, **options), world_size, num_workers, 48 // world_size)
        assert read == expected[: len(read)] and len(read) == 192


def test_two_workers_give_each_row_once(sets):
    mixture = Mixture(sets, batch_size=4, filters=lambda row: row["meta"]["split"] == "val2014" and row["num_images"])
    batches = list(mixture.loader(num_workers=2, num_batches=18, multiprocessing_context="fork"))
    found = Counter(each["id"] for batch in batches for each in batch)
    assert found == Counter(f"row-{i}" for i in [*range(0, 180, 3), *range(0, 90, 3)] if i % 5)
    with pytest.raises(M3ITError, match="filters cannot be sent to a worker"):
        list(mixture.loader(num_workers=1, num_batches=1, multiprocessing_context="spawn"))


def test_a_state_of_other_filters_is_refused(sets):
    state = Mixture(sets, ["gqa"], filters=SOME).state_dict()
    assert json.loads(json.dumps(state)) == state
    with pytest.raises(M3ITError, match=r"its filters is meta.split == .*, here it is none|rows per epoch of gqa"):
        Mixture(sets, ["gqa"]).load_state_dict(state)
    one, other = (Mixture(sets, ["gqa"], filters=lambda row, k=k: int(row["row_id"][4:]) % 2 == k) for k in (0, 1))
    with pytest.raises(M3ITError, match="files of gqa"):  # of as many rows, and the same name
        other.load_state_dict(one.state_dict())


def test_which_rows_pass_is_looked_up_once_and_of_parquet_in_columns_alone(sets, monkeypatch):
    Mixture(sets, ["gqa"], filters=SOME).describe()
    monkeypatch.setattr(row_access, "_passing", lambda rows: pytest.fail("looked up again"))
    assert Mixture(sets, ["gqa"], filters=SOME).num_rows == 48
    read = []
    real = M3IT._rows_of
    monkeypatch.setattr(M3IT, "_rows_of", lambda batch: read.append(batch.schema.names) or real(batch))
    assert Mixture(sets, ["viquae"], filters=SOME[:1]).num_rows == 60
    assert read and all(names == ["meta"] for names in read)


def test_a_function_of_a_module_that_was_edited_is_another(sets, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "chosen_rows.py"
    counts, loads = [], []
    for least in (1, 10):
        file.write_text(f"def wanted(row):\n    return int(row['row_id'].partition('-')[2]) < {least}\n")
        monkeypatch.delitem(sys.modules, "chosen_rows", raising=False)
        importlib.invalidate_caches()
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        wanted = importlib.import_module("chosen_rows").wanted
        counts.append(Mixture(sets, ["gqa"], filters=wanted, cache_dir=str(tmp_path / "cache")).num_rows)
        loads.append(len(load_dataset(sets, "gqa", split="train", filters=wanted, cache_dir=str(tmp_path / "cache"))))
    assert counts == loads == [1, 10]


def test_rows_that_cannot_be_read_are_dropped_and_counted_as_without_filters(spoiled):
    wanted = [("row_id", "!=", "row-5")]
    for kind in ("jsonl", "parquet"):
        for shares in (False, True):
            options = {"filters": wanted, "batch_size": 4, "share_pictures": shares}
            mixture = Mixture(spoiled / kind, on_error="drop", **options)
            rows = [each["id"] for each in map(mixture.row, range(39)) if each is not None]
            assert sorted(rows) == sorted(f"row-{i}" for i in range(40) if i not in (3, 5, 17, 30))
            assert mixture.drops()["gqa"].total() == 3
        with pytest.raises(M3ITError, match="expected a string in outputs|expected an image, found text"):
            take(Mixture(spoiled / kind, filters=wanted), 39)


def test_other_peoples_sets_are_filtered_by_their_own_columns(tmp_path):
    write_parquet(tmp_path / "fine/train.parquet", [{**texts_row(i), "rating": i % 4} for i in range(40)], 9)
    rows = [{"images": [], "messages": said(i), "level": str(i % 2)} for i in range(10)]
    write_rows(tmp_path / "chat/train.jsonl", rows)
    mixture = Mixture(
        None, parts=[Part(str(tmp_path / "fine"))], filters=[("rating", ">=", 2), ("num_images", "==", 1)]
    )
    assert Counter(each["inputs"] for each in itertools.islice(mixture, 20)) == Counter(
        f"Question {i}.0?" for i in range(40) if i % 4 > 1
    )
    mixture = Mixture(None, parts=[Part(str(tmp_path / "chat"))], filters=[("level", "==", "1")])
    assert {each["outputs"] for each in itertools.islice(mixture, 5)} == {f"answer {i}" for i in range(1, 10, 2)}
    with pytest.raises(M3ITError, match=r"train.parquet, row 0: filters: there is no 'ratin'. Did you mean 'rating'"):
        Mixture(None, parts=[Part(str(tmp_path / "fine"))], filters=[("ratin", ">=", 2)]).describe()


def said(number):
    return [{"role": "user", "content": f"What is {number}?"}, {"role": "assistant", "content": f"answer {number}"}]


def test_published_rows_with_several_answers_are_filtered_one_by_one(tmp_path):
    folder = legacy_maker.m3it(tmp_path / "m3it", ("coco",))
    rows = list(itertools.islice(mixture := Mixture(folder, ["coco"]), mixture.num_rows))
    wanted = [("meta.id", "in", sorted({each["id"] for each in rows})[:2])]
    expected = Counter((each["id"], each["outputs"]) for each in rows if each["id"] in wanted[0][2])
    some = Mixture(folder, ["coco"], filters=wanted)
    assert some.num_rows == expected.total() < len(rows)
    assert Counter((each["id"], each["outputs"]) for each in itertools.islice(some, some.num_rows)) == expected


def test_pieces_over_a_network_give_the_rows_that_pass(monkeypatch, tmp_path):
    monkeypatch.setattr(row_access, "COPY_BYTES", 1000)
    monkeypatch.setattr(row_access, "LANE_PIECE_BYTES", 3000)
    text = "".join(json.dumps(row(i)) + "\n" for i in range(300)).encode()
    place = f"memory://{tmp_path.name}"
    fsspec.filesystem("memory").pipe(f"{place}/data/vqa/gqa/train.jsonl", text)
    mixture = Mixture(place, ["gqa"], batch_size=4, filters=SOME)
    assert set(names(mixture, 4 * mixture.num_rows)) == {f"row-{i}" for i in range(300) if passes(i)}
    assert mixture.describe().splitlines()[1].endswith(", filtered as they are read")
    with pytest.raises(M3ITError, match="no row found in three pieces .* that passes filters=row_id == 'x'. Change"):
        Mixture(place, ["gqa"], filters=[("row_id", "==", "x")]).describe()


def test_wrong_filters_are_said_in_a_sentence(sets):
    with pytest.raises(ValueError, match="unknown operator '=<' for 'num_images'"):
        Mixture("nowhere", filters=[("num_images", "=<", 1)])
    with pytest.raises(ValueError, match="is empty: no row of gqa, shapes, viquae passes filters=meta.x == 1"):
        Mixture(sets, filters=[("meta.x", "==", 1)]).describe()
    with pytest.raises(M3ITError, match=r"gqa/train.jsonl:1: filters: there is no 'image'.*num_images"):
        Mixture(sets, filters=[("image", "==", 1)]).describe()
    with pytest.raises(M3ITError, match="compare num_images with a text, '1', but it is a number, 0"):
        Mixture(sets, filters=[("num_images", "==", "1")]).describe()
