"""m3it/rows/jsonl.py: instances to lines, the names of files, and back."""

import base64
import gzip
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import instance_of, make_row, picture, row_of, write_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from M3IT import parse
from m3it.rows.instance import FIELDS, Instance, ShardError
from m3it.rows.jsonl import line_parts, read_shard, refuse_others, shard_names, to_line

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


def write(path, instances):
    path.write_bytes(b"".join(part for instance in instances for part in line_parts(instance)))
    return path


# ---- lines


@given(INSTANCES)
def test_a_line_is_what_json_makes_of_the_row(instance):
    row = row_of(instance)
    line = to_line(row)
    assert line == (json.dumps(row, ensure_ascii=False) + "\n").encode()
    assert line == b"".join(line_parts(instance))
    assert line.count(b"\n") == 1
    assert parse(line) == row


def test_an_id_in_the_sources_own_record_is_not_taken_for_the_rows():
    row = parse(b"".join(line_parts(Instance("7", "a", [], "b", meta={"id": 9, "n": 1}))))
    assert tuple(row) == FIELDS and json.loads(row["meta"]) == {"id": "7", "n": 1}


@settings(max_examples=50)
@given(st.lists(INSTANCES, max_size=6))
def test_what_is_written_is_read_back(tmp_path_factory, instances):
    path = write(tmp_path_factory.mktemp("shards") / "train.jsonl", instances)
    assert [instance_of(row) for row in read_shard(path)] == instances


def test_a_row_of_60_megabytes_is_read_back(tmp_path):
    instance = Instance("1", "x" * 15_000_000, [bytes(range(256)) * 130_000], "y", "z")
    path = write(tmp_path / "test.jsonl", [instance])
    assert path.stat().st_size > 59_000_000
    assert [instance_of(row) for row in read_shard(path)] == [instance]


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
    path = write(tmp_path / "train.jsonl", [Instance("1", row, [], "y", "z")])
    assert next(read_shard(path))["inputs"] == "\U0001f600"


def test_half_a_character_of_an_instance_is_named():
    with pytest.raises(ShardError, match="lone surrogate.*half") as caught:
        line_parts(Instance("1", "half \ud83d of it", [], "y"))
    assert caught.value.reason == "broken text"


# ---- files


def test_names_say_the_place_and_the_number_of_shards():
    assert shard_names("train", 1) == ["train.jsonl"]
    assert shard_names("train", 4) == [f"train-{i:05d}-of-00004.jsonl" for i in range(4)]
    assert shard_names("test", 0) == []


def test_a_split_is_not_written_beside_older_shards_of_it(tmp_path):
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(ShardError, match="holds train.jsonl already.*train-00000-of-.* the same split again. Delete"):
        refuse_others(tmp_path, "train", shard_names("train", 4))
    refuse_others(tmp_path, "train", ["train.jsonl"])  # it is replaced
    refuse_others(tmp_path, "train", [])
    refuse_others(tmp_path, "validation", ["validation.jsonl"])  # another split may stand beside it
    (tmp_path / "validation.jsonl").touch()
    with pytest.raises(ShardError, match="holds validation.jsonl already; val.jsonl would be the same split"):
        refuse_others(tmp_path, "val", ["val.jsonl"])


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
    names = shard_names("train", 2)
    paths = [write(tmp_path / name, part) for name, part in zip(names, (instances[:4], instances[4:]), strict=True)]
    table = datasets.load_dataset(
        "json", data_files=[str(path) for path in paths], split="train", cache_dir=str(tmp_path / "cache")
    )
    assert table.column_names == list(FIELDS)
    assert [instance_of(row) for row in table] == instances
    assert base64.b64decode(table[3]["image_base64_str"][0]) == picture(3)
