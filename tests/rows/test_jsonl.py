"""m3it/rows/jsonl.py: instances to lines, files whole or not at all, and back."""

import base64
import gzip
import json
import os
import signal
import subprocess
import sys

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, make_row, picture, write_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from M3IT import parse
from m3it.rows.instance import FIELDS, Instance, ShardError, from_row, to_row
from m3it.rows.jsonl import read_shard, to_line, write_shard, write_shards

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    [
        "\u2028",
        "\x00",
        '"image_base64_str": []',
        '\\"image_base64_str\\": []',
        "\U0001f600 \r\n\t",
        "\ufeff",
        "\x85",
        "[]",
    ]
)
INSTANCES = st.builds(
    Instance,
    id=TEXTS,
    inputs=TEXTS,
    images=st.lists(st.binary(min_size=1, max_size=40), max_size=3),
    outputs=TEXTS,
    instruction=TEXTS,
    meta=st.dictionaries(TEXTS.filter(lambda key: key != "id"), TEXTS, max_size=2),
)


def make_instances(count, start=0):
    return [
        Instance(str(i), f"What is {i}?", [picture(i)], f"answer {i}", "Answer.", {"n": i})
        for i in range(start, start + count)
    ]


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# ---- lines


@given(INSTANCES)
def test_a_line_is_what_json_makes_of_the_row(instance):
    row = to_row(instance)
    line = to_line(row)
    assert line == (json.dumps(row, ensure_ascii=False) + "\n").encode()
    assert line.count(b"\n") == 1
    assert parse(line) == row


@settings(max_examples=50)
@given(instances=st.lists(INSTANCES, max_size=6), shard_bytes=st.integers(1, 2000))
def test_what_is_written_is_read_back(tmp_path_factory, instances, shard_bytes):
    folder = tmp_path_factory.mktemp("shards")
    paths = write_shards(instances, folder, "train", shard_bytes)
    assert [from_row(row) for path in paths for row in read_shard(path)] == instances
    assert sorted(files_of(folder)) == sorted(path.name for path in paths)


def test_a_row_of_60_megabytes_is_read_back(tmp_path):
    instance = Instance("1", "x" * 15_000_000, [bytes(range(256)) * 130_000], "y", "z")
    (path,) = write_shards([instance], tmp_path, "test")
    assert path.stat().st_size > 59_000_000
    assert [from_row(row) for row in read_shard(path)] == [instance]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outputs": None}, "strings in all other fields"),
        ({"outputs": 3}, "strings in all other fields"),
        ({"image_base64_str": "aaaa"}, "expected a list of strings"),
        ({"image_base64_str": [None]}, "expected base64"),
        ({"image_base64_str": ['"']}, "expected base64"),
        ({"image_base64_str": ["aaaa\naaaa"]}, "expected base64"),
        ({"image_base64_str": ["data:image/png;base64,aaaa"]}, "expected base64"),
        ({"image_base64_str": ["caf\u00e9"]}, "expected base64"),
        ({"further": "x"}, "expected the fields .* found .*further"),
        ({"inputs": "half \ud83d of it"}, "lone surrogate.*half"),
        ({"meta": '{"id": "\udc00"}'}, "lone surrogate"),
    ],
)
def test_a_row_that_is_none_of_ours_is_refused(change, words):
    with pytest.raises(ShardError, match=words):
        to_line({**make_row(1), **change})


def test_fields_in_another_order_are_refused():
    row = make_row(1)
    with pytest.raises(ShardError, match="in this order"):
        to_line({name: row[name] for name in reversed(FIELDS)})


def test_an_escaped_pair_of_surrogates_is_the_one_character_that_it_means(tmp_path):
    row = json.loads('"\\ud83d\\ude00"')
    (path,) = write_shards([Instance("1", row, [], "y", "z")], tmp_path, "train")
    assert next(read_shard(path))["inputs"] == "\U0001f600"


def test_a_refused_row_is_named(tmp_path):
    instances = [*make_instances(2), Instance("the-third", "\ud800", [], "y")]
    with pytest.raises(ShardError, match="row 'the-third': expected text"):
        write_shards(instances, tmp_path, "train")
    with pytest.raises(ShardError, match=r"train.jsonl: row 3: expected text"):
        write_shard(tmp_path / "train.jsonl", map(to_row, instances))
    assert files_of(tmp_path) == {}


# ---- files


def test_names_say_the_place_and_the_number_of_shards(tmp_path):
    lines = [to_line(to_row(instance)) for instance in make_instances(7)]
    assert [path.name for path in write_shards(make_instances(7), tmp_path / "a", "train")] == ["train.jsonl"]
    paths = write_shards(make_instances(7), tmp_path / "b", "train", shard_bytes=2 * len(lines[0]))
    assert [path.name for path in paths] == [f"train-{i:05d}-of-00004.jsonl" for i in range(4)]
    assert [path.read_bytes() for path in paths] == [b"".join(lines[i : i + 2]) for i in range(0, 7, 2)]
    assert write_shards([], tmp_path / "c", "train") == []
    assert files_of(tmp_path / "c") == {}


@pytest.mark.parametrize("done", [0, 1, 4, 9])
def test_writing_that_was_broken_off_goes_on_to_the_same_bytes(tmp_path, done):
    class Lost(Exception):
        pass

    def broken():
        yield from make_instances(done)
        raise Lost

    whole = write_shards(make_instances(10), tmp_path / "whole", "train", shard_bytes=600)
    assert len(whole) > 3
    with pytest.raises(Lost):
        write_shards(broken(), tmp_path / "again", "train", shard_bytes=600)
    assert not [name for name in files_of(tmp_path / "again") if not name.endswith("-rows.part")]
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "again").iterdir()}
    assert bool(kept) == (done >= 3)
    write_shards(make_instances(10), tmp_path / "again", "train", shard_bytes=600)
    assert files_of(tmp_path / "again") == files_of(tmp_path / "whole")
    remade = {path.stat().st_mtime_ns for path in (tmp_path / "again").iterdir()}
    assert set(kept.values()) <= remade  # a finished part is renamed, not written anew


def test_writing_that_was_killed_goes_on_to_the_same_bytes(tmp_path):
    program = """
import os, signal, sys
from rows.test_jsonl import make_instances, write_shards
def killed():
    yield from make_instances(8)
    os.kill(os.getpid(), signal.SIGKILL)
write_shards(killed(), sys.argv[1], "train", shard_bytes=600)
"""
    here = str(ROOT / "tests")
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "again"],
        cwd=here,
        env={**os.environ, "PYTHONPATH": os.path.dirname(here)},
    )
    assert done.returncode == -signal.SIGKILL
    names = list(files_of(tmp_path / "again"))
    assert names and all(name.startswith(".train-") for name in names)  # no reader takes these for shards
    write_shards(make_instances(10), tmp_path / "again", "train", shard_bytes=600)
    write_shards(make_instances(10), tmp_path / "whole", "train", shard_bytes=600)
    assert files_of(tmp_path / "again") == files_of(tmp_path / "whole")


def test_parts_of_a_longer_input_are_not_taken_for_those_of_this_one(tmp_path):
    (tmp_path / ".train-00000.5-rows.part").write_bytes(b"")
    with pytest.raises(
        ShardError, match="holds 5 rows, the input now has fewer. Delete .*train-.*part and start again"
    ):
        write_shards(make_instances(3), tmp_path, "train")


def test_a_split_is_not_written_beside_older_shards_of_it(tmp_path):
    write_shards(make_instances(4), tmp_path, "train")
    before = files_of(tmp_path)
    with pytest.raises(ShardError, match="holds train.jsonl already.*train-00000-of-.* the same split again. Delete"):
        write_shards(make_instances(4), tmp_path, "train", shard_bytes=200)
    assert files_of(tmp_path)["train.jsonl"] == before["train.jsonl"]
    (tmp_path / "train.jsonl").unlink()
    assert len(write_shards(make_instances(4), tmp_path, "train", shard_bytes=200)) == 4
    write_shards(make_instances(2), tmp_path, "validation")  # another split may stand beside it
    with pytest.raises(ShardError, match="holds val"):
        write_shards(make_instances(2), tmp_path, "val")


def test_a_written_split_is_replaced_whole(tmp_path):
    write_shards(make_instances(4), tmp_path, "train")
    (path,) = write_shards(make_instances(2, start=50), tmp_path, "train")
    assert [row["inputs"] for row in read_shard(path)] == ["What is 50?", "What is 51?"]


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path):
    path = tmp_path / "train.jsonl"
    assert write_shard(path, [make_row(1)]) == 1
    with pytest.raises(ShardError):
        write_shard(path, [make_row(2), make_row(3, outputs=None)])
    assert [row["inputs"] for row in read_shard(path)] == ["What is 1?"]
    assert list(files_of(tmp_path)) == ["train.jsonl"]


# ---- reading


def test_every_kind_of_file_reads_alike(tmp_path):
    rows = [make_row(i, 2) for i in range(40)]
    text = "".join(json.dumps(row) + "\r\n" for row in rows).encode()
    (tmp_path / "a.jsonl").write_bytes(text)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(text))
    (tmp_path / "a.jsonl.zst").write_bytes(pa.compress(text, "zstd", asbytes=True))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=7)
    for path in tmp_path.iterdir():
        assert list(read_shard(path)) == rows, path.name


def test_a_row_that_cannot_be_read_is_named_by_file_and_line(tmp_path):
    path = write_rows(tmp_path / "train.jsonl", [make_row(0), make_row(1), make_row(2, outputs=5)], end="\n\n")
    with pytest.raises(ShardError, match=r"train\.jsonl:5: expected a string in outputs, found 5"):
        list(read_shard(path))


def test_plain_datasets_reads_what_is_written(tmp_path):
    instances = make_instances(6)
    paths = write_shards(instances, tmp_path, "train", shard_bytes=1000)
    table = datasets.load_dataset(
        "json", data_files=[str(path) for path in paths], split="train", cache_dir=str(tmp_path / "cache")
    )
    assert table.column_names == list(FIELDS)
    assert [from_row(row) for row in table] == instances
    assert base64.b64decode(table[3]["image_base64_str"][0]) == picture(3)
