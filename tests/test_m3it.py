"""M3IT.py: rows from bytes, pieces, configs, the builder under `datasets`."""

import base64
import decimal
import functools
import gzip
import http.server
import io
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, make_row, picture, write_rows
from datasets.distributed import split_dataset_by_node
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

import M3IT as module
from M3IT import (
    CATALOGUE,
    LANGUAGES,
    M3ITError,
    Repository,
    ShardError,
    config_names,
    cut,
    parse,
    public_url,
    read_rows,
)
from m3it.reading.load import count_drops, load_builder, load_dataset
from m3it.rows.jsonl import read_shard


def rows_of(folder, config="viquae", split="train", **options):
    return list(load_dataset(folder, config, split=split, streaming=True, **options))


def inputs_of(rows):
    return [row["inputs"] for row in rows]


# ---- tables


def test_there_are_600_configs():
    assert len(config_names()) == len(set(config_names())) == 40 + 7 * 80


def test_catalogue_sums_to_the_published_total():
    assert sum(d.train + d.validation + d.test for d in CATALOGUE.values()) == 2_006_964  # mission/facts.md
    assert len(LANGUAGES) == 80


def test_every_release_the_builder_promises_sees_one_import_per_line():
    source = Path(module.__file__).read_text("utf-8")
    imports = [line for line in source.split("\n") if line.startswith(("import ", "from "))]
    assert imports and not any("," in line for line in imports)
    allowed = {"datasets", "pyarrow", "fsspec", "huggingface_hub", "PIL"}
    import sys

    assert {line.split()[1].split(".")[0] for line in imports} - allowed <= set(sys.stdlib_module_names)


# ---- rows


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":"), (" , ", " : ")])
@pytest.mark.parametrize("num_images", [0, 1, 2, 8])
def test_a_line_parses_as_json_does_however_it_is_spaced(separators, num_images):
    line = json.dumps(make_row(3, num_images), separators=separators, ensure_ascii=False).encode()
    assert parse(line) == json.loads(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"meta": {"image_base64_str": ["aa"]}, "outputs": "x"}',
        b'{"image_base64_str": ["aa", 3], "outputs": "x"}',
        b'{"image_base64_str": [["aa"]], "outputs": "x"}',
        b'{"image_base64_str": ["a\\"b", "c"], "outputs": "x"}',
        b'{"image_base64_str": ["aa" , "bb" ], "outputs": "x"}',
        b'{"image_base64_str": ["\xc3\xa9"], "outputs": "x"}',
        b'{"image_base64_str": [], "outputs": "x"}',
        b'{"image_base64_str": "aa]", "outputs": "x"}',
        b'{"outputs": "\\"image_base64_str\\": [\\"zz\\"]", "image_base64_str": ["aa"]}',
        b'{"image_base64_str": ["aa"], "image_base64_str": ["bb"]}',
        b'{"image_base64_str": ["aa"], "image_base64_str": []}',
        b'{"image_base64_str": ["aa"], "image_base64_st\\u0072" : []}',
        b'{"x": {"image_base64_str": ["aa"]}, "image_base64_str": []}',
        b'{"image_base64_str": ["aa"], "image_base64_str": [32]}',
        b'{"image_base64_str": {"k": ["aa"]}}',
        b'["image_base64_str", {"image_base64_str": ["aa"]}]',
    ],
)
def test_unusual_lines_parse_as_json_does(line):
    assert parse(line) == json.loads(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"image_base64_str": ["a" "b"]}',
        b'{"image_base64_str": ["a",]}',
        b'{"image_base64_str": ["a"',
        b"{",
        b"<html>",
    ],
)
def test_what_is_not_json_is_refused(line):
    with pytest.raises(ValueError, match="Expecting|delimiter|value|property|Illegal"):
        parse(line)


json_text = st.text(st.characters(blacklist_categories=("Cs",)), max_size=20)
base64_text = st.binary(max_size=30).map(lambda data: base64.b64encode(data).decode())


@given(
    st.lists(st.tuples(json_text, st.lists(base64_text, max_size=3), json_text, st.booleans()), max_size=12),
    st.sampled_from(["\n", "\r\n"]),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_pieces_give_every_row_once_wherever_they_are_cut(tmp_path_factory, texts, end, data):
    rows = [make_row(0, inputs=a, image_base64_str=images, outputs=b) for a, images, b, _ in texts]
    lines = [json.dumps(row, ensure_ascii=ascii_only) + end for row, (*_, ascii_only) in zip(rows, texts, strict=True)]
    folder = tmp_path_factory.mktemp("cuts")
    (folder / "data/t/d").mkdir(parents=True)
    path = folder / "data/t/d/train.jsonl"
    path.write_bytes("".join(lines).encode())
    size = path.stat().st_size
    cuts = sorted(data.draw(st.sets(st.integers(0, size), max_size=6)) | {0, size})
    repository = Repository(folder)
    read = [
        parse(line)
        for start, stop in zip(cuts, cuts[1:], strict=False)
        for _, line in read_rows(repository, ("data/t/d/train.jsonl", start, stop))
    ]
    assert read == rows


def test_a_piece_boundary_on_every_byte_loses_no_row(tmp_path):
    path = write_rows(tmp_path / "data/t/d/train.jsonl", [{"n": i} for i in range(5)], end="\n\n")
    repository, size = Repository(tmp_path), path.stat().st_size
    for boundary in range(size + 1):
        pieces = [("data/t/d/train.jsonl", 0, boundary), ("data/t/d/train.jsonl", boundary, size)]
        assert [parse(line)["n"] for piece in pieces for _, line in read_rows(repository, piece)] == [0, 1, 2, 3, 4], (
            boundary
        )


def test_lines_far_longer_than_a_piece_are_read_once(tmp_path):
    rows = [make_row(i, image_base64_str=["A" * (60_000_000 if i == 1 else 40)]) for i in range(3)]
    path = write_rows(tmp_path / "data/t/d/train.jsonl", rows)
    repository, name = Repository(tmp_path), "data/t/d/train.jsonl"
    read = [parse(line) for piece in cut(repository, [name]) for _, line in read_rows(repository, piece)]
    assert len(cut(repository, [name])) >= 32
    assert read == rows and path.stat().st_size > 60_000_000


def test_a_big_file_is_cut_into_at_least_32_pieces_of_at_most_16_mib():
    class Sized:
        def __init__(self, size):
            self.size = lambda path: size

    for size, least in ((33 << 20, 32), (40 << 30, 2560)):
        pieces = cut(Sized(size), ["train.jsonl"])
        assert len(pieces) >= least and pieces[0][1] == 0 and pieces[-1][2] == size
        assert all(a[2] == b[1] for a, b in zip(pieces, pieces[1:], strict=False))
        assert max(stop - start for _, start, stop in pieces) <= 17 << 20
    assert len(cut(Sized(40 << 30), ["train.jsonl.gz"])) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": None},
        {"instruction": None},
        {"image_base64_str": None},
        {"image_base64_str": base64.b64encode(picture(1)).decode()},
        {"image_base64_str": ["data:image/png;base64," + base64.b64encode(picture(1)).decode()]},
        {"image_base64_str": [base64.encodebytes(picture(1)).decode()]},
        {"inputs": "caf\u00e9 \U0001f600 \u2028 line"},
        {"meta": None},
    ],
    ids=["null inputs", "null instruction", "null images", "one string", "data URI", "wrapped", "emoji", "null meta"],
)
def test_rows_that_can_be_read_are_read(tmp_path, change):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(1, **change)])
    (row,) = rows_of(tmp_path)
    assert row["inputs"] == (change.get("inputs", "What is 1?") or "")
    expected = [] if "image_base64_str" in change and change["image_base64_str"] is None else [picture(1)]
    assert [base64.b64decode(image, validate=True) for image in row["image_base64_str"]] == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outputs": None}, "expected a string in outputs, found null"),
        ({"outputs": ["a"]}, r"expected a string in outputs, found \[\"a\"\]"),
        ({"outputs": 3}, "expected a string in outputs, found 3"),
        ({"image_base64_str": [None]}, "expected a list of base64 strings"),
        ({"image_base64_str": 7}, "expected a list of base64 strings"),
    ],
)
def test_rows_that_cannot_be_read_say_file_line_and_reason(tmp_path, change, words):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0), make_row(1, **change), make_row(2)])
    with pytest.raises(ShardError, match=rf"data/kvqa/viquae/train.jsonl:2: {words}.*on_error='drop'"):
        rows_of(tmp_path)
    assert inputs_of(rows_of(tmp_path, on_error="drop")) == ["What is 0?", "What is 2?"]


def test_half_a_character_and_endless_nesting_say_file_line_and_reason(tmp_path):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0)])
    for line, words in (
        (json.dumps(make_row(1, inputs="\ud83d")), "in inputs, found half a character"),
        ("[" * 200_000, "nested too deep"),
    ):
        path.write_bytes(json.dumps(make_row(0)).encode() + b"\n" + line.encode())
        with pytest.raises(ShardError, match=f"train.jsonl:2: .*{words}"):
            rows_of(tmp_path)
        assert inputs_of(rows_of(tmp_path, on_error="drop")) == ["What is 0?"]


DEEP = "[" * 2000 + "]" * 2000
LINE = json.dumps(make_row(1))
ODD_LINES = {  # a line that holds no row, and the reason that it is counted by
    "deep field beside a picture": (f'{LINE[:-1]}, "x": {DEEP}}}', "nested too deep"),
    "deep instruction": (LINE.replace('"Answer the question."', DEEP), "nested too deep"),
    "deep meta": (json.dumps(make_row(1, meta=f'{{"a": {DEEP}}}')), "meta is no object"),
    "half a character in a picture": (json.dumps(make_row(1, image_base64_str=["\ud800"])), "broken text"),
    "half a character in the only picture": (json.dumps(make_row(1, image_base64_str="\ud800")), "broken text"),
    "half a character as the id": (json.dumps(make_row(1, meta='{"id": "\\ud800"}')), "broken text"),
    "half a character in meta": (json.dumps(make_row(1, meta='{"a": [{"\\udfff": 1}]}')), "broken text"),
    "half a character as a field": ('{"\\ud800": 1}', "no instruction"),
    "half a character in a value that is no text": (LINE.replace('"answer 1"', '["\\ud800"]'), "outputs is no string"),
}


@pytest.mark.parametrize(("line", "reason"), ODD_LINES.values(), ids=ODD_LINES)
def test_a_line_that_holds_no_row_is_dropped_and_listed_in_every_way_of_reading(tmp_path, line, reason, caplog):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0)])
    path.write_bytes(path.read_bytes() + f"{line}\n".encode() + json.dumps(make_row(2)).encode())
    with pytest.raises(ShardError, match=r"data/kvqa/viquae/train.jsonl:2: expected .*on_error='drop'"):
        rows_of(tmp_path, meta=True)
    with pytest.raises(ShardError, match=r"train.jsonl:2: expected "):
        list(read_shard(path))
    builder = load_builder(tmp_path, "viquae", meta=True, on_error="drop")
    expected = ["What is 0?", "What is 2?"]
    assert inputs_of(builder.as_streaming_dataset("train")) == expected
    assert load_dataset(tmp_path, "viquae", meta=True, on_error="drop", split="train")["inputs"][:] == expected
    assert count_drops(builder) == {reason: 1}
    assert caplog.text.encode()  # a log that is a file takes UTF-8 alone


@pytest.mark.parametrize("streaming", [True, False])
def test_a_folder_whose_name_is_no_utf8_is_told_in_words_that_can_be_written(tmp_path, streaming):
    from m3it.publishing.check import check

    name = "m\udcffe"  # as Python has the byte 255 of a name
    try:
        write_rows(tmp_path / f"data/vqa/{name}/train.jsonl", [make_row(0)])
    except OSError:
        pytest.skip("this disk takes only names in UTF-8")
    write_rows(tmp_path / "data/vqa/mine/train.jsonl", [make_row(1)])
    options = {"split": "train", "streaming": streaming}
    told = r"data/vqa/m\\udcffe/train.jsonl: expected a name in UTF-8"
    with pytest.raises(ShardError, match=told):
        load_dataset(tmp_path, name, **options)
    with pytest.raises(ValueError, match=r"holds mine, m\\udcffe\."):
        load_dataset(tmp_path, **options)
    assert {finding.rule for finding in check(Repository(tmp_path)).findings} == {"shards", "card-head-readable"}
    assert inputs_of(load_dataset(tmp_path, "mine", **options)) == ["What is 1?"]


def of_type(type, values):
    """A column that Python's own types cannot say."""
    return pa.array(values).cast(type)


BYTES = pa.StringArray.from_buffers(3, pa.array([0, 1, 2, 3], pa.int32()).buffers()[1], pa.py_buffer(b"a\xffb"))
ODD_COLUMNS = {
    "bytes": pa.array([b"a", b"b", b"c"]),
    "timestamp": of_type(pa.timestamp("us"), [1, 2, 3]),
    "date": of_type(pa.date32(), pa.array([1, 2, 3], pa.int32())),
    "year above 9999": of_type(pa.timestamp("s"), [10**15] * 3),
    "duration": of_type(pa.duration("s"), [1, 2, 3]),
    "decimal": pa.array([decimal.Decimal("1.5")] * 3),
    "struct with bytes": pa.array([{"a": b"x"}] * 3),
    "map": pa.array([[("k", b"v")]] * 3, pa.map_(pa.string(), pa.binary())),
    "list of bytes": pa.array([[b"x"]] * 3),
}


def write_columns(path, **changes):
    """A Parquet file of three rows with other columns."""
    rows = [make_row(i) for i in range(3)]
    columns = {name: pa.array([row[name] for row in rows]) for name in rows[0]} | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("column", ODD_COLUMNS.values(), ids=ODD_COLUMNS)
@pytest.mark.parametrize("name", ["instruction", "outputs", "meta", "image_base64_str"])
def test_a_column_of_parquet_that_holds_no_texts_is_refused_row_by_row(tmp_path, column, name):
    path = write_columns(tmp_path / "data/t/mine/train.parquet", **{name: column})
    with pytest.raises(ShardError, match=r"data/t/mine/train.parquet, row 0: expected .*on_error='drop'"):
        rows_of(tmp_path, "mine")
    with pytest.raises(ShardError, match=r"train.parquet, row 0: expected "):
        list(read_shard(path))
    assert rows_of(tmp_path, "mine", on_error="drop") == []


def test_one_text_of_parquet_that_is_no_utf_8_costs_one_row(tmp_path):
    write_columns(tmp_path / "data/t/mine/train.parquet", inputs=BYTES)
    with pytest.raises(ShardError, match=r"train.parquet, row 1: expected a value that can be read in inputs, found"):
        rows_of(tmp_path, "mine")
    builder = load_builder(tmp_path, "mine", on_error="drop")
    assert inputs_of(builder.as_streaming_dataset("train")) == ["a", "b"]
    assert load_dataset(tmp_path, "mine", on_error="drop", split="train")["inputs"][:] == ["a", "b"]
    assert count_drops(builder) == {"inputs cannot be read": 1}


def test_parquet_with_no_columns_or_one_column_twice_is_refused_by_name(tmp_path):
    path = write_columns(tmp_path / "data/t/mine/train.parquet")
    table = pq.read_table(path)
    for odd, told in (
        (table.append_column("inputs", table["outputs"]), "it has the column 'inputs' more than once"),
        (pa.table({}), "it has no columns"),
    ):
        pq.write_table(odd, path)
        with pytest.raises(ShardError, match=f"data/t/mine/train.parquet: cannot be read to its end .{told}"):
            rows_of(tmp_path, "mine")


def test_zeros_after_the_end_of_a_gz_file_are_no_rows(tmp_path):
    path = write_rows(tmp_path / "data/t/mine/train.jsonl.gz", [])
    path.write_bytes(gzip.compress(json.dumps(make_row(4)).encode()) + bytes(1000))  # as a tape is filled up
    assert inputs_of(rows_of(tmp_path, "mine")) == inputs_of(read_shard(path)) == ["What is 4?"]
    path.write_bytes(gzip.compress(json.dumps(make_row(4)).encode()) + b"more")
    with pytest.raises(ShardError, match="train.jsonl.gz: cannot be read to its end"):
        rows_of(tmp_path, "mine")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-32"])
def test_text_that_is_not_utf_8_is_refused(tmp_path, encoding):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [])
    path.write_bytes(json.dumps(make_row(0, inputs="caf\u00e9"), ensure_ascii=False).encode(encoding))
    with pytest.raises(ShardError, match="train.jsonl:1: expected one JSON object a line, found .*can't decode"):
        rows_of(tmp_path)


@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst", "parquet"])
@pytest.mark.parametrize("streaming", [True, False])
def test_an_empty_file_that_has_no_end_is_named(tmp_path, ending, streaming):
    write_rows(tmp_path / f"data/kvqa/viquae/train.{ending}", [])
    with pytest.raises(ShardError, match=f"train.{ending}: cannot be read to its end"):
        list(load_dataset(tmp_path, "viquae", split="train", streaming=streaming))


def test_preparing_raises_what_streaming_raises(tmp_path, monkeypatch):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(40)])
    path.write_bytes(path.read_bytes() + b"{bad")
    with pytest.raises(M3ITError, match=r"train.jsonl:41: expected one JSON object a line, found .*on_error='drop'"):
        rows_of(tmp_path)
    for _ in range(2):  # nothing is kept of a failed run
        with pytest.raises(M3ITError, match=r"train.jsonl:41: expected one JSON object a line, found") as error:
            load_dataset(tmp_path, "viquae")
        assert error.value.reason == "not JSON" and error.value.__cause__ is not None
    said = alone(TWICE, tmp_path)
    assert len(said) == 2 and all("train.jsonl:41: expected one JSON object a line, found" in line for line in said)
    assert all(line.endswith("not JSON True") for line in said)


# Workers of `datasets` get what this process has been through: these programs are run in one of their own.
TWICE = """
import sys, M3IT, m3it
M3IT.MiB = 1 << 11  # in several pieces, for several processes
for _ in range(2):
    try:
        m3it.load_dataset(sys.argv[1], "viquae", num_proc=2)
    except m3it.M3ITError as error:
        print(error, error.reason, error.__cause__ is not None)
"""
REPLACED = """
import os, sys, M3IT, m3it
M3IT.MiB = 1 << 11
folder = sys.argv[1]
path, new = f"{folder}/data/t/mine/train.jsonl", f"{folder}/new.jsonl"

def replacing(self, row, place):
    if os.path.exists(new):
        os.replace(new, path)
    return [row]

builder, plain = m3it.load_builder(folder, "mine"), M3IT.M3IT.map_row
M3IT.M3IT.map_row = replacing
try:
    builder.download_and_prepare(num_proc=2)
except M3IT.ShardError as error:
    print(error)
M3IT.M3IT.map_row = plain
print(os.path.exists(builder.cache_dir), *set(m3it.load_dataset(folder, "mine", split="train")["inputs"]))
"""


def alone(program, folder):
    """The lines that a program says of a folder, in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "HF_DATASETS_CACHE": str(folder / "cache")}
    command = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(command, env=environ, cwd=folder, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_link_that_leads_nowhere_is_no_empty_file(tmp_path):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0)]).rename(tmp_path / "blob")
    (tmp_path / "data/kvqa/viquae/train.jsonl").symlink_to(tmp_path / "blob")
    assert inputs_of(rows_of(tmp_path)) == ["What is 0?"]  # as in the cache of huggingface_hub
    (tmp_path / "blob").unlink()
    with pytest.raises(ShardError, match="train.jsonl: cannot be read, FileNotFoundError"):
        rows_of(tmp_path)


@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_a_file_that_was_cut_off_is_named(tmp_path, ending):
    text = "".join(json.dumps(make_row(i)) + "\n" for i in range(500)).encode()
    path = tmp_path / f"data/kvqa/viquae/train.{ending}"
    path.parent.mkdir(parents=True)
    whole = gzip.compress(text) if ending.endswith("gz") else pa.compress(text, "zstd", asbytes=True)
    path.write_bytes(b"PAR1 is not all" if ending == "parquet" else whole[: len(whole) // 2])
    with pytest.raises(ShardError, match=f"train.{ending}: cannot be read to its end"):
        rows_of(tmp_path)


def test_drops_are_counted_by_reason_and_listed_once(tmp_path):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0), make_row(1, outputs=None), make_row(2)])
    path.write_bytes(path.read_bytes() + b"{broken\n" + b'{"a": 1}\n' + json.dumps(make_row(9)).encode())
    builder = load_builder(tmp_path, "viquae", on_error="drop")
    for _ in range(2):
        assert inputs_of(builder.as_streaming_dataset("train")) == ["What is 0?", "What is 2?", "What is 9?"]
    assert count_drops(builder) == {"outputs is no string": 1, "not JSON": 1, "no instruction": 1}
    assert load_dataset(tmp_path, "viquae", on_error="drop", split="train").num_rows == 3


def test_images_are_the_published_bytes(tmp_path):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(5, 2)])
    builder = load_builder(tmp_path, "viquae", images=True)
    ((_, row),) = (keyed for piece in builder.pieces("train") for keyed in builder.read(piece))
    assert [image["bytes"] for image in row["images"]] == [picture(5), picture(6)]
    (row,) = rows_of(tmp_path, images=True)
    assert row["images"][0].size == (8, 6) and "image_base64_str" not in row


def test_base64_that_is_none_is_refused_when_images_are_asked_for(tmp_path):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0, image_base64_str=["not base64!"])])
    with pytest.raises(ShardError, match="train.jsonl:1: expected base64 in image_base64_str"):
        rows_of(tmp_path, images=True)


def jpeg(size=(64, 48)):
    """A JPEG file."""
    data = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(data, "JPEG")
    return data.getvalue()


NO_PICTURES = {
    "a page": b"<html>",
    "nothing behind the signature": picture(1)[:8],
    "half a header": picture(1)[:20],
    "a header of 4294967295 columns": picture(1)[:16] + b"\xff" * 4 + picture(1)[20:],
    "text": b"no picture at all",
}
TRUNCATED = {"PNG": picture(1)[:-30], "JPEG": jpeg()[:-200]}


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("image", NO_PICTURES.values(), ids=NO_PICTURES)
def test_what_is_no_picture_raises_or_is_dropped_where_pictures_are_asked_for(tmp_path, image, streaming):
    odd = make_row(1, image_base64_str=[base64.b64encode(data).decode() for data in (picture(0), image)])
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0), odd, make_row(2)])
    options = {"split": "train", "streaming": streaming, "images": True}
    with pytest.raises(ShardError, match=r"train.jsonl:2: expected an image, found .* It begins with b'[^.]*'\. Fix"):
        list(load_dataset(tmp_path, "viquae", **options))
    rows = list(load_dataset(tmp_path, "viquae", on_error="drop", **options))
    assert inputs_of(rows) == ["What is 0?", "What is 2?"] and rows[1]["images"][0].size == (8, 6)
    assert count_drops(load_builder(tmp_path, "viquae", images=True, on_error="drop")) == {"image cannot be read": 1}
    assert len(list(load_dataset(tmp_path, "viquae", split="train", streaming=streaming))) == 3  # unread


@pytest.mark.parametrize("lenient", [True, False])
@pytest.mark.parametrize("image", TRUNCATED.values(), ids=TRUNCATED)
def test_half_a_picture_is_dropped_whatever_another_library_tells_pillow(tmp_path, monkeypatch, image, lenient):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    odd = make_row(1, image_base64_str=[base64.b64encode(image).decode()])
    whole = make_row(2, image_base64_str=[base64.b64encode(jpeg()).decode()])
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0), odd, whole])
    rows = rows_of(tmp_path, images=True, on_error="drop")
    assert inputs_of(rows) == ["What is 0?", "What is 2?"] and rows[1]["images"][0].size == (64, 48)
    assert lenient == ImageFile.LOAD_TRUNCATED_IMAGES


def test_pictures_of_a_release_are_looked_at_as_well(tmp_path):
    rows = [make_row(i) for i in range(3)]
    images = [[{"bytes": b"<html>" if i == 1 else picture(i), "path": None}] for i in range(3)]
    table = pa.Table.from_pylist(rows).drop_columns("image_base64_str").append_column("images", pa.array(images))
    (tmp_path / "data/t/mine").mkdir(parents=True)
    pq.write_table(table, tmp_path / "data/t/mine/train.parquet")
    with pytest.raises(ShardError, match="train.parquet, row 1: expected an image, found "):
        rows_of(tmp_path, "mine", images=True)
    assert inputs_of(rows_of(tmp_path, "mine", images=True, on_error="drop")) == ["What is 0?", "What is 2?"]


def test_meta_has_the_sources_id_or_file_and_offset(tmp_path):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0), make_row(1, meta="{}")])
    first = len(path.read_bytes().split(b"\n")[0]) + 1
    ids = [json.loads(row["meta"])["id"] for row in rows_of(tmp_path, meta=True)]
    assert ids == ["row-0", f"data/kvqa/viquae/train.jsonl:{first}"]


@pytest.mark.parametrize(
    ("said", "expected"), [(None, "data/kvqa/viquae/train.jsonl:0"), ("", "data/kvqa/viquae/train.jsonl:0"), (7, "7")]
)
def test_a_row_id_is_a_string_that_says_something(tmp_path, said, expected):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0, meta=json.dumps({"id": said, "a": 1}))])
    (row,) = rows_of(tmp_path, meta=True)
    assert json.loads(row["meta"]) == {"id": expected, "a": 1}


@pytest.mark.parametrize("meta", ["", "[]", "{", "null"])
def test_meta_that_is_no_json_object_is_refused_when_it_is_asked_for(tmp_path, meta):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0, meta=meta)])
    assert len(rows_of(tmp_path)) == 1
    with pytest.raises(ShardError, match="train.jsonl:1: expected a JSON object in meta, found "):
        rows_of(tmp_path, meta=True)


def test_columns_stand_in_the_published_order(repository):
    for streaming in (True, False):
        for options, extra in (({}, []), ({"meta": True}, ["meta"])):
            row = next(iter(load_dataset(repository, "viquae", split="train", streaming=streaming, **options)))
            assert list(row) == ["instruction", "inputs", "image_base64_str", "outputs", *extra]


@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_other_kinds_of_files_hold_the_same_rows(tmp_path, ending):
    rows = [make_row(i, 2) for i in range(70)]
    path = tmp_path / f"data/kvqa/viquae/dev.{ending}"
    path.parent.mkdir(parents=True)
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=16)
    elif ending == "jsonl.gz":
        path.write_bytes(
            gzip.compress(text[:9000]) + gzip.compress(text[9000:])
        )  # two members, as parallel compressors write
    else:
        path.write_bytes(pa.compress(text, "zstd", asbytes=True))
    read = rows_of(tmp_path, split="validation")
    assert read == [
        {name: row[name] for name in ("instruction", "inputs", "image_base64_str", "outputs")} for row in rows
    ]


def test_parquet_pieces_give_every_row_group_once(tmp_path):
    path = tmp_path / "data/kvqa/viquae/train.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([make_row(i) for i in range(50)]), path, row_group_size=8)
    repository, size, name = Repository(tmp_path), path.stat().st_size, "data/kvqa/viquae/train.parquet"
    for step in (100, 997, size):
        pieces = [(name, start, min(start + step, size)) for start in range(0, size, step)]
        read = [keyed for piece in pieces for keyed in read_rows(repository, piece)]
        assert [number for number, _ in read] == list(range(50))
        assert [row["inputs"] for _, row in read] == [f"What is {i}?" for i in range(50)]


def test_a_byte_order_mark_blank_lines_and_no_last_newline_are_no_rows(tmp_path):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(3)], end="\r\n\r\n \n")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + json.dumps(make_row(3)).encode())
    assert inputs_of(rows_of(tmp_path)) == [f"What is {i}?" for i in range(4)]


def test_an_empty_file_has_no_rows(tmp_path):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [])
    assert rows_of(tmp_path) == []


def test_whoever_reads_may_take_what_is_refused(tmp_path):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0), make_row(1, outputs=None), make_row(2)])
    path.write_bytes(path.read_bytes() + b"{broken")
    first, second = (len(line) + 1 for line in path.read_bytes().split(b"\n")[:2])
    builder, told = load_builder(tmp_path, "viquae"), []
    (piece,) = builder.pieces("train")
    refused = lambda path, offset, key, error: told.append((path, offset, key, str(error)))  # noqa: E731
    assert [row["inputs"] for _, row in builder.read(piece, refused=refused)] == ["What is 0?", "What is 2?"]
    name, third = piece[0], path.read_bytes().index(b"{broken")
    assert told[0] == (name, first, f"{name}:{first}", "expected a string in outputs, found null")
    assert told[1][:3] == (name, third, f"{name}:{third}") and "expected one JSON object a line" in told[1][3]
    assert not Path(builder.manifest).exists()  # told once, and to nobody else


def test_a_line_alone_is_read_as_in_its_piece(tmp_path):
    path = write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(0), make_row(1, outputs=None)])
    line, broken = path.read_bytes().splitlines()
    builder = load_builder(tmp_path, "viquae", meta=True, on_error="drop")
    name, _, size = builder.pieces("train")[0]
    assert list(builder.read_line(name, 0, line)) == list(builder.read((name, 0, len(line)))) != []
    assert list(builder.read_line(name, size - len(broken) - 1, broken)) == []
    assert count_drops(builder) == {"outputs is no string": 1}
    ((key, row),) = builder.read_line(name, 0, line, images=True)
    assert key == f"{name}:0" and [image["bytes"] for image in row["images"]] == [picture(0)]


# ---- files that change


def write_as(path, rows):
    """The rows as a file of the kind that its name tells, with another one's time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=8)
    elif path.suffix == ".zst":
        path.write_bytes(pa.compress(text, "zstd", asbytes=True))
    else:
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
@pytest.mark.parametrize("num_rows", [20, 40, 60])
def test_a_file_that_is_replaced_while_it_is_read_is_no_mixture(tmp_path, monkeypatch, ending, num_rows):
    monkeypatch.setattr(module, "MiB", 1 << 11)
    monkeypatch.setattr(module, "TAIL_BYTES", 1 << 9)
    path = write_as(tmp_path / f"data/t/mine/train.{ending}", [make_row(i, inputs="old") for i in range(40)])
    new = write_as(tmp_path / f"new.{ending}", [make_row(i, inputs="new") for i in range(num_rows)])
    os.utime(new, (1, 1))
    rows, seen = iter(load_dataset(tmp_path, "mine", split="train", streaming=True, on_error="drop")), []
    seen.append(next(rows)["inputs"])
    os.replace(new, path)
    with pytest.raises(ShardError, match="changed while it was read|asked for"):
        seen += [row["inputs"] for row in rows]
    assert len(seen) < 40 or set(seen) == {"old"}


def test_a_mixture_of_two_states_is_never_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MiB", 1 << 11)
    path = write_as(tmp_path / "data/t/mine/train.jsonl", [make_row(i, inputs="old") for i in range(40)])
    new = write_as(tmp_path / "new.jsonl", [make_row(i, inputs="new") for i in range(40)])
    os.utime(new, (1, 1))

    def replacing(self, row, place):
        if new.exists():
            os.replace(new, path)
        return [row]

    with monkeypatch.context() as patched:
        patched.setattr(module.M3IT, "map_row", replacing)
        builder = load_builder(tmp_path, "mine")
        with pytest.raises(ShardError, match="data/t/mine/train.jsonl: changed while it was read. Call again"):
            builder.download_and_prepare()
        assert not Path(builder.cache_dir).exists()
    assert set(load_dataset(tmp_path, "mine", split="train")["inputs"]) == {"new"}


def test_a_mixture_of_two_states_is_never_kept_by_two_processes(tmp_path):
    write_as(tmp_path / "data/t/mine/train.jsonl", [make_row(i, inputs="old") for i in range(40)])
    os.utime(write_as(tmp_path / "new.jsonl", [make_row(i, inputs="new") for i in range(40)]), (1, 1))
    said = alone(REPLACED, tmp_path)
    assert "data/t/mine/train.jsonl: changed while it was read. Call again" in said[0] and said[1:] == ["False new"]


def test_a_line_that_is_broken_since_its_file_changed_is_not_called_broken(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MiB", 1 << 11)
    path = write_as(tmp_path / "data/t/mine/train.jsonl", [make_row(i) for i in range(40)])
    rows = iter(load_dataset(tmp_path, "mine", split="train", streaming=True))
    next(rows)
    path.write_bytes(b"x" * path.stat().st_size)
    os.utime(path, (1, 1))
    with pytest.raises(ShardError, match="changed while it was read"):
        list(rows)


def test_a_file_of_a_url_that_changes_while_it_is_read_is_no_mixture(monkeypatch):
    import fsspec

    memory, name = fsspec.filesystem("memory"), "/changing/data/t/mine/train.jsonl"
    old, new = (b"".join(json.dumps(make_row(i, inputs=t)).encode() + b"\n" for i in range(40)) for t in ("old", "new"))
    monkeypatch.setattr(module, "MiB", 1 << 11)
    memory.pipe_file(name, old)
    rows = iter(load_dataset("memory://changing", "mine", split="train", streaming=True))
    next(rows)
    memory.pipe_file(name, new)
    with pytest.raises(ShardError, match="memory://changing/data/t/mine/train.jsonl: changed while it was read"):
        list(rows)


# ---- links


def test_a_linked_file_has_the_time_of_the_file_that_is_read(tmp_path):
    file = write_rows(tmp_path / "store/x.jsonl", [make_row(0, inputs="old")])
    (tmp_path / "repo/data/t/mine").mkdir(parents=True)
    (tmp_path / "repo/data/t/mine/train.jsonl").symlink_to(file)
    assert load_dataset(tmp_path / "repo", "mine")["train"]["inputs"][:] == ["old"]
    write_rows(file, [make_row(0, inputs="new")])
    os.utime(file, (1, 1))
    assert load_dataset(tmp_path / "repo", "mine")["train"]["inputs"][:] == ["new"]


@pytest.mark.parametrize("linked", ["data", "data/vqa", "data/vqa/there"])
def test_linked_folders_are_entered(tmp_path, linked):
    write_rows(tmp_path / "repo/data/vqa/there/train.jsonl", [make_row(0)])
    write_rows(tmp_path / "repo/data/t/here/train.jsonl", [make_row(1)])
    (tmp_path / "repo" / linked).rename(tmp_path / "store")
    (tmp_path / "repo" / linked).symlink_to(tmp_path / "store")
    assert load_builder(tmp_path / "repo", "here").found() == ["here", "there"]
    assert inputs_of(rows_of(tmp_path / "repo", "there")) == ["What is 0?"]


def test_links_that_lead_in_a_circle_end(tmp_path):
    write_rows(tmp_path / "data/vqa/a/train.jsonl", [make_row(0)])
    write_rows(tmp_path / "data/vqa/b/train.jsonl", [make_row(1)])
    (tmp_path / "data/vqa/a/up").symlink_to(tmp_path / "data")
    (tmp_path / "data/vqa/a/self").symlink_to(tmp_path / "data/vqa/a")
    (tmp_path / "data/vqa/a/zh").symlink_to(tmp_path / "data/vqa/b")
    (tmp_path / "data/vqa/b/en").symlink_to(tmp_path / "data/vqa/a")
    files = sorted(Repository(tmp_path).files)
    assert files == [f"data/vqa/{name}/train.jsonl" for name in ("a", "a/zh", "b/en", "b")]


def test_linked_folders_of_a_converted_branch_are_entered_as_deep_as_others(tmp_path):
    write_rows(tmp_path / "store/train/0000.parquet", [])
    write_rows(tmp_path / "store/train/too/deep.parquet", [])
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/coco").symlink_to(tmp_path / "store")
    assert list(Repository(tmp_path / "repo").files) == ["coco/train/0000.parquet"]


# ---- configs and files


def test_a_repository_of_files_lists_them_alone(tmp_path):
    for name in ("one", "two"):
        write_rows(tmp_path / f"{name}.jsonl", [make_row(0, inputs=name)])
    repository = Repository.of_files(tmp_path, ["two.jsonl"])
    size, stat = (tmp_path / "two.jsonl").stat().st_size, (tmp_path / "two.jsonl").stat()
    assert repository.files == {"two.jsonl": {"size": size, "mtime": stat.st_mtime, "type": "file"}}
    assert [parse(line)["inputs"] for _, line in read_rows(repository, ("two.jsonl", 0, size))] == ["two"]
    with pytest.raises(FileNotFoundError, match="three.jsonl"):
        Repository.of_files(tmp_path, ["three.jsonl"])


def test_a_wrong_on_error_is_refused_before_anything_is_read(repository):
    with pytest.raises(ValueError, match="on_error='what': expected 'raise' or 'drop'"):
        load_dataset(repository, "viquae", split="train", streaming=True, on_error="what")


def test_a_wrong_name_is_answered_with_the_nearest(repository):
    with pytest.raises(
        ValueError, match="Unknown config 'vique'. Did you mean 'viquae'\\? .* holds .*okvqa-zh"
    ) as error:
        load_dataset(repository, "vique")
    assert len(str(error.value)) < 400


def test_a_config_of_the_catalogue_without_files_says_what_is_there(repository):
    with pytest.raises(ValueError, match="Unknown config 'coco'.*holds okvqa-zh, viquae"):
        load_dataset(repository, "coco")


def test_a_config_that_no_table_knows_is_found_by_its_files(tmp_path):
    write_rows(tmp_path / "data/vqa/my-set/train.jsonl", [make_row(0)])
    assert inputs_of(rows_of(tmp_path, "my-set")) == ["What is 0?"]
    assert inputs_of(rows_of(tmp_path, None)) == ["What is 0?"]  # the only one needs no name


def test_numbered_shards_are_read_in_order_and_a_missing_one_is_an_error(tmp_path):
    for i in range(3):
        write_rows(tmp_path / f"data/t/d/train-0000{i}-of-00003.jsonl", [make_row(i)])
    assert inputs_of(rows_of(tmp_path, "d")) == ["What is 0?", "What is 1?", "What is 2?"]
    (tmp_path / "data/t/d/train-00001-of-00003.jsonl").unlink()
    with pytest.raises(ShardError, match="expected 3 shards, found 2; number 1 is missing"):
        rows_of(tmp_path, "d")


def test_a_split_stored_twice_is_an_error(tmp_path):
    for name in ("train.jsonl", "train.parquet"):
        write_rows(tmp_path / f"data/t/d/{name}", [make_row(0)])
    with pytest.raises(ShardError, match=r"data/t/d: train.jsonl, train.parquet: one split, stored more than once"):
        rows_of(tmp_path, "d")


def test_old_names_of_validation_are_validation(tmp_path):
    for i, name in enumerate(("val", "dev", "validation")):
        write_rows(tmp_path / f"data/t/d{i}/{name}.jsonl", [make_row(i)])
        assert inputs_of(rows_of(tmp_path, f"d{i}", "validation")) == [f"What is {i}?"]


def test_a_missing_folder_is_one_sentence():
    with pytest.raises(ShardError, match="no_such_folder: expected a folder, a URL or a Hub repository"):
        load_dataset("no_such_folder", "viquae")


def test_any_fsspec_url_is_a_repository(repository):
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in repository.rglob("*.jsonl"):
        memory.pipe_file(f"/bucket/{path.relative_to(repository)}", path.read_bytes())
    assert inputs_of(rows_of("memory://bucket")) == inputs_of(rows_of(repository))
    assert load_dataset("memory://bucket", "okvqa-zh")["validation"]["inputs"][0] == "什么 0"


class Ranges(http.server.SimpleHTTPRequestHandler):
    """A web server as most are: folders are pages of links, and a range is answered with those bytes."""

    def send_head(self):
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not asked or not path.is_file():
            return super().send_head()
        data = path.read_bytes()[int(asked[1]) : int(asked[2]) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        return io.BytesIO(data)

    def log_message(self, *message):
        pass


@pytest.fixture
def web(repository):
    """host:port of a web server of the repository."""
    handler = functools.partial(Ranges, directory=str(repository))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_web_servers_folder_is_a_repository(repository, web):
    assert inputs_of(rows_of(f"http://{web}")) == inputs_of(rows_of(repository))
    assert load_dataset(f"http://{web}", "okvqa-zh")["validation"]["inputs"][0] == "什么 0"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://user:SECRET@host:8000/m3it", "https://host:8000/m3it"),
        ("https://SECRET@host/m3it", "https://host/m3it"),
        ("https://u:SE@CRET@host/m3it", "https://host/m3it"),
        ("https://host/m3it?X-Amz-Signature=SECRET&sig=SECRET", "https://host/m3it"),
        ("https://host?token=SECRET", "https://host"),
        ("https://host/m3it#access_token=SECRET", "https://host/m3it"),
        ("zip://a.jsonl::https://u:SECRET@host/a.zip?sig=SECRET", "zip://a.jsonl::https://host/a.zip"),
        ("s3://KEY:SECRET@bucket/m3it", "s3://bucket/m3it"),
        ("hf://datasets/user/name@main/data", "hf://datasets/user/name@main/data"),
        ("abfs://container@account.dfs.core.windows.net/m3it", "abfs://container@account.dfs.core.windows.net/m3it"),
        ("https://u:SECRET@host/a?sig=SECRET: cannot be read.", "https://host/a: cannot be read."),
        ("'https://host/a?b' or (https://host/c?d)?", "'https://host/a' or (https://host/c)?"),
        ("user@example.org asks: what is 1?", "user@example.org asks: what is 1?"),
    ],
)
def test_no_password_and_no_signature_of_a_url_is_shown(given, shown):
    assert public_url(given) == shown


def test_no_error_shows_the_password_of_a_repository(web, monkeypatch, caplog):
    monkeypatch.setattr(module, "RETRY_SECONDS", (0,))
    secret = f"http://user:SECRET@{web}"
    repository = Repository(secret)
    assert repository.path == f"http://{web}" and len(repository.files) == 3
    with pytest.raises(ValueError, match="Unknown config 'nowhere'") as unknown:
        load_builder(secret, "nowhere")
    with pytest.raises(ShardError, match="gone.jsonl: cannot be read, FileNotFoundError") as gone:
        repository.read("data/gone.jsonl", 0, 3)
    monkeypatch.setattr(repository.fs, "cat_file", lambda path, **_: exec("raise ConnectionError(path)"))
    with pytest.raises(ShardError, match="ConnectionError: http://127") as cut_off:
        repository.read("data/gone.jsonl", 0, 3)
    said = [caplog.text, *(str(each.value) for each in (unknown, gone, cut_off))]
    assert "trying again" in caplog.text and "SECRET" not in "".join(said)


# ---- the cache


def test_two_folders_and_two_states_of_one_file_share_no_cache(tmp_path):
    for name in ("one", "two"):
        write_rows(tmp_path / name / "data/t/d/train.jsonl", [make_row(0, inputs=name)])
        assert load_dataset(tmp_path / name, "d")["train"]["inputs"][:] == [name]
    write_rows(tmp_path / "one/data/t/d/train.jsonl", [make_row(0, inputs="new")])
    assert load_dataset(tmp_path / "one", "d")["train"]["inputs"][:] == ["new"]
    assert load_dataset(tmp_path / "two", "d")["train"]["inputs"][:] == ["two"]


def test_a_default_said_aloud_shares_the_cache_entry(repository):
    plain = load_builder(repository, "viquae")
    assert load_builder(repository, "viquae", images=False, meta=False, on_error="raise").cache_dir == plain.cache_dir
    assert load_builder(repository, "viquae", images=True).cache_dir != plain.cache_dir


def test_prepared_rows_are_found_wherever_the_class_moves_to(repository):
    builder = load_builder(repository, "viquae")
    moved = type("M3IT", (module.M3IT,), {"__module__": __name__})
    assert moved(repository=Repository(repository), config_name="viquae").cache_dir == builder.cache_dir
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    assert Path(builder.cache_dir).relative_to(cache).parts[0] == "m3_it"
    script = module.M3IT(repository=Repository(repository), config_name="viquae", dataset_name="one")
    assert Path(script.cache_dir).relative_to(cache).parts[0] == "one"  # as `datasets` names it for a script


def test_sizes_of_another_repository_are_not_expected(repository):
    (repository / "dataset_infos.json").write_text(
        json.dumps({"viquae": {"splits": {"train": {"name": "train", "num_examples": 99}}}})
    )
    assert load_dataset(repository, "viquae")["train"].num_rows == 10


# ---- workers, ranks, resume


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A config of 100 rows in about 12 pieces."""
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(100)])
    monkeypatch.setattr(module, "MiB", 1 << 11)
    return tmp_path


@pytest.mark.parametrize("num_workers", [0, 1, 2, 4, 30])
def test_loader_workers_give_every_row_once(many, num_workers):
    data = pytest.importorskip("torch.utils.data", reason="torch is an extra")
    dataset = load_dataset(many, "viquae", split="train", streaming=True)
    rows = [row for batch in data.DataLoader(dataset, batch_size=None, num_workers=num_workers) for row in [batch]]
    assert sorted(inputs_of(rows)) == sorted(f"What is {i}?" for i in range(100))


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_ranks_give_every_row_once(many, num_ranks):
    dataset = load_dataset(many, "viquae", split="train", streaming=True)
    rows = [row for rank in range(num_ranks) for row in split_dataset_by_node(dataset, rank, num_ranks)]
    assert sorted(inputs_of(rows)) == sorted(f"What is {i}?" for i in range(100))


def test_shuffling_loses_no_row(many):
    dataset = load_dataset(many, "viquae", split="train", streaming=True)
    shuffled = inputs_of(dataset.shuffle(seed=3, buffer_size=20))
    assert shuffled != inputs_of(dataset) and sorted(shuffled) == sorted(inputs_of(dataset))


@pytest.mark.parametrize("done", [0, 1, 37, 99, 100])
def test_a_resumed_stream_gives_the_rest_once(many, done):
    dataset = load_dataset(many, "viquae", split="train", streaming=True)
    if not hasattr(dataset, "state_dict"):
        pytest.skip("datasets < 2.21 has no state")
    rows = iter(dataset)
    for _ in range(done):
        next(rows)
    state = dataset.state_dict()
    resumed = load_dataset(many, "viquae", split="train", streaming=True)
    resumed.load_state_dict(state)
    assert inputs_of(resumed) == [f"What is {i}?" for i in range(done, 100)]


def test_a_resumed_stream_counts_dropped_rows_right(tmp_path, monkeypatch):
    write_rows(
        tmp_path / "data/kvqa/viquae/train.jsonl",
        [make_row(i, **({"outputs": None} if i % 3 == 0 else {})) for i in range(60)],
    )
    monkeypatch.setattr(module, "MiB", 1 << 11)
    expected = [f"What is {i}?" for i in range(60) if i % 3]
    dataset = load_dataset(tmp_path, "viquae", split="train", streaming=True, on_error="drop")
    if not hasattr(dataset, "state_dict"):
        pytest.skip("datasets < 2.21 has no state")
    rows = iter(dataset)
    seen = [next(rows)["inputs"] for _ in range(17)]
    resumed = load_dataset(tmp_path, "viquae", split="train", streaming=True, on_error="drop")
    resumed.load_state_dict(dataset.state_dict())
    assert seen + inputs_of(resumed) == expected


def test_preparing_in_two_processes_keeps_the_order(many):
    assert load_dataset(many, "viquae", num_proc=2)["train"]["inputs"][:] == [f"What is {i}?" for i in range(100)]


def test_a_pickled_builder_reads_the_same_rows(many):
    builder = pickle.loads(pickle.dumps(load_builder(many, "viquae")))
    assert inputs_of(row for piece in builder.pieces("train") for _, row in builder.read(piece)) == [
        f"What is {i}?" for i in range(100)
    ]


# ---- faults of servers (through a filesystem that misbehaves; tests/reading/test_load.py does it with a real Hub)


@pytest.mark.parametrize("fault", [ConnectionError("cut"), TimeoutError("stalled"), "short"])
def test_a_fault_that_passes_loses_no_row(repository, monkeypatch, fault):
    import fsspec

    memory = fsspec.filesystem("memory")
    for path in repository.rglob("*.jsonl"):
        memory.pipe_file(f"/faulty/{path.relative_to(repository)}", path.read_bytes())
    monkeypatch.setattr(module, "RETRY_SECONDS", (0, 0, 0))
    builder, calls = load_builder("memory://faulty", "viquae"), []

    def cat_file(path, start=None, end=None, **options):
        calls.append(path)
        data = memory.open(path).read()[start:end]
        if len(calls) <= 2:
            if isinstance(fault, Exception):
                raise fault
            return data[:-1]
        return data

    monkeypatch.setattr(builder.repository.fs, "cat_file", cat_file, raising=False)
    assert inputs_of(builder.as_streaming_dataset("train")) == [f"What is {i}?" for i in range(10)]
    assert len(calls) == 3


class NoCredentialsError(Exception):
    """As botocore has it: an Exception, and nothing else."""


@pytest.mark.parametrize(
    "fault",
    [
        NoCredentialsError("Unable to locate credentials"),
        NotADirectoryError("data"),
        KeyError("Bucket"),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_fault_that_no_waiting_mends_is_told_at_once(monkeypatch, fault):
    import fsspec

    fsspec.filesystem("memory").pipe_file("/refused/data/t/d/train.jsonl", b"{}\n")
    monkeypatch.setattr(module, "RETRY_SECONDS", (0,) * 5)
    builder, calls = load_builder("memory://refused", "d"), []

    def cat_file(path, **options):
        calls.append(path)
        if isinstance(fault, socket.gaierror):
            raise ConnectionError("no answer") from fault  # as clients wrap it
        raise fault

    monkeypatch.setattr(builder.repository.fs, "cat_file", cat_file, raising=False)
    with pytest.raises(ShardError, match="refused/data/t/d/train.jsonl: cannot be read"):
        list(builder.as_streaming_dataset("train"))
    assert len(calls) == 1


def test_a_fault_that_stays_is_one_clear_error(repository, monkeypatch):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/dead/data/t/d/train.jsonl", b"{}\n")
    monkeypatch.setattr(module, "RETRY_SECONDS", (0,))
    builder = load_builder("memory://dead", "d")
    monkeypatch.setattr(builder.repository.fs, "cat_file", lambda *a, **k: b"", raising=False)
    with pytest.raises(
        ShardError, match="dead/data/t/d/train.jsonl: cannot be read, OSError: asked for 3 bytes from 0 on, got 0"
    ):
        list(builder.as_streaming_dataset("train"))
