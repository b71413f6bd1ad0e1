"""Sets of every shape and kind of file, and rows of any other shape by a function."""

import base64
import gzip
import io
import itertools
import json
import tarfile

import fsspec
import pyarrow as pa
import pytest
from conftest import picture, write_rows
from mixtures import messages_row, take, texts_row, write_parquet

from M3IT import ShardError
from m3it.mixing.mixture import Mixture
from m3it.mixing.other_sets import split_name
from m3it.mixing.part import Part
from m3it.rows.instance import Instance
from m3it.rows.messages import to_messages


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


@pytest.mark.parametrize(
    ("name", "key", "ending"),
    [
        ("folder/000001.png", "folder/000001", "png"),
        ("000001.left.seg.png", "000001", "left.seg.png"),
        ("folder.d/000001.json", "folder.d/000001", "json"),
        ("folder/README", None, ""),
        ("folder/.hidden", None, "hidden"),
    ],
)
def test_the_key_of_a_webdataset_goes_to_the_first_dot_of_the_file_name(name, key, ending):
    assert split_name(name) == (key, ending)


def test_images_by_path_as_data_url_and_as_structs(tmp_path):
    (tmp_path / "set/images").mkdir(parents=True)
    (tmp_path / "set/images/1.png").write_bytes(picture(1))
    url = f"data:image/png;base64,{base64.b64encode(picture(2)).decode()}"
    images = ["images/1.png", url, {"path": "images/1.png", "bytes": None}]
    ours = {"instruction": "", "inputs": "Which?", "outputs": "all"}
    write_rows(tmp_path / "set/train.jsonl", [{**ours, "images": images}])
    (row,) = itertools.islice(Mixture(None, parts=[Part(str(tmp_path / "set"))], batch_size=1), 1)
    assert row["images"] == [picture(1), picture(2), picture(1)]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("images/2.png", "expected an image file .*images/2.png, found none"),
        ("no base64!", "expected an image, found text of 10 characters that is not base64"),
        (7, "expected an image as bytes, base64 or path, found int"),
    ],
)
def test_an_image_that_is_not_there_is_refused_in_words(tmp_path, image, words):
    row = {"instruction": "", "inputs": "Which?", "outputs": "all", "images": [image]}
    write_rows(tmp_path / "set/train.jsonl", [row])
    with pytest.raises(ShardError, match=f"train.jsonl:1: {words}"):
        take(Mixture(None, parts=[Part(str(tmp_path / "set"))]), 1)
