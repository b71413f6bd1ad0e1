"""Sets of every shape and kind of file, and rows of any other shape by a function."""

import base64
import gzip
import io
import itertools
import json
import tarfile
import unicodedata

import fsspec
import pyarrow as pa
import pytest
from conftest import picture, write_rows
from mixtures import messages_row, take, texts_row, write_parquet

from M3IT import ShardError
from m3it.mixing.mixture import Mixture
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
    with pytest.raises(
        ShardError,
        match=r"expected the fields .*messages; or prompt, completion; or texts; .*or index, question; found.*convert",
    ):
        take(Mixture(None, parts=[Part(str(tmp_path), "odd")]), 1)


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
        ("https://host/x.png", "expected an image file, found a URL: download https://host/x.png first"),
        ("x" * 300 + ".png", "expected an image file .*, found none .*File name too long"),
        ("folder.png", "expected an image file .*, found none .*Is a directory"),
        ("/etc/x.png", "expected an image file below the set's folder, found '/etc/x.png', which lies elsewhere"),
        ("../secret.png", "expected an image file below the set's folder"),
        ("images/../../secret.png", "expected an image file below the set's folder"),
        ("%2e%2e/secret.png", "expected an image file below the set's folder"),
        ({"bytes": None, "path": "../secret.png"}, "expected an image file below the set's folder"),
    ],
)
def test_an_image_that_is_not_there_is_refused_in_words(tmp_path, image, words):
    row = {"instruction": "", "inputs": "Which?", "outputs": "all", "images": [image]}
    write_rows(tmp_path / "set/train.jsonl", [row])
    (tmp_path / "secret.png").write_bytes(picture(1))
    (tmp_path / "set/folder.png").mkdir()
    with pytest.raises(ShardError, match=f"train.jsonl:1: {words}"):
        take(Mixture(None, parts=[Part(str(tmp_path / "set"))]), 1)


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_a_picture_whose_name_has_another_unicode_form_is_found(tmp_path, on_disk):
    name = "Straßenkäfer/Café.png"
    (tmp_path / "set" / unicodedata.normalize(on_disk, "Straßenkäfer")).mkdir(parents=True)
    (tmp_path / "set" / unicodedata.normalize(on_disk, name)).write_bytes(picture(1))
    names = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    ours = {"instruction": "", "inputs": "Which?", "outputs": "all"}
    write_rows(tmp_path / "set/train.jsonl", [{**ours, "images": names}, {**ours, "images": [f"{names[0]}.png"]}])
    mixture = Mixture(None, parts=[Part(str(tmp_path / "set"))], batch_size=1, on_error="drop")
    rows = [row for row in map(mixture.row, range(2)) if row is not None]
    assert [row["images"] for row in rows] == [[picture(1)] * 2]
    assert mixture.drops() == {"set": {"missing image": 1}}


def test_an_exact_name_goes_before_one_of_another_unicode_form(tmp_path):
    names = [unicodedata.normalize(form, "Café.png") for form in ("NFC", "NFD")]
    (tmp_path / "set").mkdir()
    for number, name in enumerate(names):
        (tmp_path / "set" / name).write_bytes(picture(number))
    write_rows(tmp_path / "set/train.jsonl", [{"instruction": "", "inputs": "", "outputs": "a", "images": names}])
    assert Mixture(None, parts=[Part(str(tmp_path / "set"))]).row(0)["images"] == [picture(0), picture(1)]


@pytest.mark.parametrize("told", [("Where is it?", "There."), None], ids=["texts", "messages"])
def test_a_prompt_and_its_completion_are_question_and_answer(tmp_path, told):
    prompt, completion = told or (
        [{"role": "user", "content": "Where is it?"}],
        [{"role": "assistant", "content": "There."}],
    )
    row = {"prompt": prompt, "completion": completion, "images": [base64.b64encode(picture(1)).decode()]}
    write_rows(tmp_path / "set/train.jsonl", [row, {**row, "completion": None}, {}])
    mixture = Mixture(None, parts=[Part(str(tmp_path / "set"))], on_error="drop", batch_size=1)
    (found,) = filter(None, map(mixture.row, range(3)))
    assert (found["inputs"], found["outputs"], found["images"]) == ("Where is it?", "There.", [picture(1)])
    assert mixture.drops()["set"] == {"no messages": 1, "unknown shape": 1}


OK = {"images": [], "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}


@pytest.mark.parametrize("odd", [{"messages": None}, {"messages": "q"}, {"messages": [1]}, {"meta": 7}, {"meta": [1]}])
def test_a_row_of_an_odd_shape_is_dropped_or_named(tmp_path, odd):
    ours = {"instruction": "", "inputs": "q", "outputs": "a", "images": []}
    row = {**(OK if "messages" in odd else ours), **odd}
    write_rows(tmp_path / "set/train.jsonl", [ours if "meta" in odd else OK, row])
    mixture = Mixture(None, parts=[Part(str(tmp_path / "set"))], on_error="drop", batch_size=1)
    assert sorted(mixture.row(i) is None for i in range(2)) == [False, True]
    assert mixture.drops()["set"].total() == 1
    with pytest.raises(ShardError, match="train.jsonl:2: expected "):
        strict = Mixture(None, parts=[Part(str(tmp_path / "set"))], batch_size=1)
        [strict.row(i) for i in range(2)]


def test_meta_may_be_an_object(tmp_path):
    row = {"instruction": "", "inputs": "q", "outputs": "a", "meta": {"id": 7, "n": [1]}}
    write_rows(tmp_path / "set/train.jsonl", [row])
    (row,) = itertools.islice(Mixture(None, parts=[Part(str(tmp_path / "set"))], batch_size=1), 1)
    assert (row["id"], row["meta"], row["images"]) == ("7", {"n": [1]}, [])


@pytest.mark.parametrize("image", [False, True])
@pytest.mark.parametrize("ending", ["json", "jsonl", "parquet"])
def test_conversations_of_llava_with_and_without_a_picture(tmp_path, ending, image):
    said = [("human", "<image>\nWhat?" if image else "What?"), ("gpt", "A dog.")]
    row = {"id": "7", "conversations": [{"from": who, "value": text} for who, text in said]}
    (tmp_path / "set/coco").mkdir(parents=True)
    (tmp_path / "set/coco/1.png").write_bytes(picture(1))
    rows = [{**row, "image": "coco/1.png"} if image else row]
    if ending == "jsonl":
        write_rows(tmp_path / "set/train.jsonl", rows)
    elif ending == "json":
        (tmp_path / "set/llava.json").write_text(json.dumps(rows, indent=2), "utf-8")
        (tmp_path / "set/dataset_info.json").write_text("{}")
    else:
        write_parquet(tmp_path / "set/train.parquet", rows)
    (found,) = itertools.islice(Mixture(None, parts=[Part(str(tmp_path / "set"))], batch_size=1), 1)
    assert (found["id"], found["inputs"], found["outputs"]) == ("7", "What?", "A dog.")
    assert found["images"] == ([picture(1)] if image else [])


def test_a_picture_that_a_url_does_not_have_is_missing(tmp_path):
    place, row = f"memory://{tmp_path.name}", {"instruction": "", "inputs": "", "outputs": "a", "images": ["x.png"]}
    fsspec.filesystem("memory").pipe(f"{place}/train.jsonl", as_jsonl([row, {**row, "images": []}]))
    mixture = Mixture(None, parts=[Part(place, label="far")], batch_size=1, on_error="drop")
    assert sorted(mixture.row(i) is None for i in range(2)) == [False, True]
    assert mixture.drops() == {"far": {"missing image": 1}}


def test_a_broken_row_of_an_array_is_named_by_its_file_and_number(tmp_path):
    good = json.dumps({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]})
    (tmp_path / "llava.json").write_text(f"[{good},\n {good},\n {{bad}}]")
    mixture = Mixture(None, parts=[Part(str(tmp_path / "llava.json"))], batch_size=1)
    with pytest.raises(ShardError, match="llava.json:3: expected one JSON object"):
        [mixture.row(i) for i in range(3)]
    rows = Mixture(None, parts=[Part(str(tmp_path / "llava.json"))], batch_size=1, on_error="drop")
    assert {row["id"].partition(":")[0] for row in map(rows.row, range(3)) if row} == {"llava.json"}


def llava_rows():
    return [
        {
            "id": f"c{i}",
            "image": f"shots/{i}.png",
            "conversations": [{"from": "human", "value": f"<image>\nWhat is {i}?"}, {"from": "gpt", "value": str(i)}],
        }
        for i in range(3)
    ]


@pytest.mark.parametrize("ending", ["json", "jsonl", "parquet"])
@pytest.mark.parametrize("where", ["in a tar beside", "in a tar of that name", "beside", "at the root"])
def test_pictures_of_conversations_are_found_by_their_paths(tmp_path, ending, where):
    folder, rows = tmp_path / "set/talks", llava_rows()
    folder.mkdir(parents=True)
    if ending == "parquet":
        write_parquet(folder / "train.parquet", rows, 5)
    else:
        text = json.dumps(rows) if ending == "json" else as_jsonl(rows).decode()
        (folder / f"train.{ending}").write_text(text, "utf-8")
    if "tar" in where:
        top = "shots/" if where == "in a tar beside" else ""
        with tarfile.open(folder / f"{'pictures' if top else 'shots'}.tar", "w") as archive:
            for i in range(3):
                info = tarfile.TarInfo(f"./{top}{i}.png")
                info.size = len(picture(i))
                archive.addfile(info, io.BytesIO(picture(i)))
    else:
        shots = (folder if where == "beside" else tmp_path / "set") / "shots"
        shots.mkdir()
        for i in range(3):
            (shots / f"{i}.png").write_bytes(picture(i))
    mixture = Mixture(None, parts=[Part(str(tmp_path / "set"), "talks")])
    found = sorted(map(mixture.row, range(3)), key=lambda row: row["id"])
    assert [(row["inputs"], row["outputs"], row["images"]) for row in found] == [
        (f"What is {i}?", str(i), [picture(i)]) for i in range(3)
    ]
