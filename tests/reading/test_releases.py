"""Releases of ours, read again: rows with their ids, the configs with all columns, the rows for other trainers."""

import json

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import make_row, picture, write_rows

from m3it import M3ITError, load_dataset
from m3it.publishing.release import release


@pytest.fixture
def released(repository, tmp_path):
    """The configs viquae and okvqa-zh as a release."""
    release(str(repository), tmp_path / "release")
    return tmp_path / "release"


def write_parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_config_beside_one_with_images_in_its_name_keeps_its_own_rows_and_splits(tmp_path, ending):
    write = write_rows if ending == "jsonl" else write_parquet
    write(tmp_path / f"data/vqa/pets/train.{ending}", [make_row(0, inputs="pets")])
    write(tmp_path / f"data/vqa/pets/test.{ending}", [make_row(1, inputs="test of pets")])
    write(tmp_path / f"data/vqa/pets-images/train.{ending}", [make_row(2, inputs="others")])
    loaded = load_dataset(tmp_path, "pets")
    assert {split: rows["inputs"][:] for split, rows in loaded.items()} == {"train": ["pets"], "test": ["test of pets"]}
    assert load_dataset(tmp_path, "pets-images")["train"]["inputs"][:] == ["others"]


def test_rows_of_a_release_keep_the_ids_that_stand_with_their_pictures(released):
    rows = load_dataset(released, "viquae", split="test", meta=True, streaming=True)
    assert [json.loads(row["meta"])["id"] for row in rows] == ["row-20", "row-21", "row-22"]


def test_a_release_of_messages_is_read_as_rows(repository, tmp_path):
    out = tmp_path / "messages"
    release(str(repository), out, format="messages")
    rows = list(load_dataset(out, "viquae", split="test", meta=True, images=True, streaming=True))
    assert [row["inputs"] for row in rows] == [f"What is {i}?" for i in (20, 21, 22)]
    assert [row["outputs"] for row in rows] == ["answer 20", "answer 21", "answer 22"]
    assert [json.loads(row["meta"])["id"] for row in rows] == ["row-20", "row-21", "row-22"]
    assert rows[0]["instruction"] == "Answer the question." and rows[0]["images"][0].size == (8, 6)


def test_another_conversation_says_who_reads_it(tmp_path):
    turns = [{"role": role, "content": "x"} for role in ("user", "assistant", "user", "assistant")]
    row = {"messages": turns, "images": [{"bytes": picture(0), "path": None}]}
    write_parquet(tmp_path / "data/vqa/mine/train.parquet", [row])
    with pytest.raises(M3ITError, match=r"row 0: expected one question and its answer in messages, .*m3it\.Part"):
        list(load_dataset(tmp_path, "mine", split="train", streaming=True))
    assert list(load_dataset(tmp_path, "mine", split="train", streaming=True, on_error="drop")) == []


def test_a_part_of_a_mixture_may_be_a_release_of_messages(repository, tmp_path):
    pytest.importorskip("torch", reason="a mixture needs PyTorch, an extra")
    from m3it import Mixture, Part

    release(str(repository), tmp_path / "messages", format="messages")
    mixture = Mixture(None, parts=[Part(str(tmp_path / "messages"), "okvqa-zh", split="validation")], batch_size=1)
    row = mixture.row(0)
    assert (row["instruction"], row["inputs"][:3]) == ("Answer the question.", "什么 ") and len(row["images"]) == 1


def plainly(released, name, split, **options):
    """What plain `datasets` makes of the files that the card names."""
    folder = "text" if name == "text" else f"kvqa/{name}"
    files = {split: [str(path) for path in sorted((released / "data" / folder).glob(f"{split}*.parquet"))]}
    return list(datasets.load_dataset("parquet", data_files=files, split=split, **options))


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("name", ["text", "viquae-images"])
def test_a_config_that_is_no_rows_of_ours_comes_as_from_plain_datasets(released, name, streaming):
    loaded = load_dataset(released, name, split="test", streaming=streaming)
    if "images" in loaded.features:
        assert next(iter(loaded))["images"][0].size == (8, 6)
        loaded = loaded.cast_column("images", [datasets.Image(decode=False)])
    expected = plainly(released, name, "test")
    assert list(loaded) == expected and list(loaded.features) == list(expected[0])
    assert {"row_id", "license", "num_images"} <= set(loaded.features)


@pytest.mark.parametrize("streaming", [True, False])
def test_columns_and_filters_go_to_parquet(released, streaming):
    options = {"split": "test", "streaming": streaming, "columns": ["row_id", "inputs"]}
    some = [("row_id", "in", ["row-20", "row-22"])]
    for name in ("text", "viquae-images"):
        loaded = list(load_dataset(released, name, filters=some, **options))
        plain = [{key: row[key] for key in ("row_id", "inputs")} for row in plainly(released, name, "test")]
        assert loaded == [row for row in plain if row["row_id"] in ("row-20", "row-22")] and len(loaded) == 2
    rows = load_dataset(released, "viquae", split="test", streaming=streaming, columns=["outputs"], filters=some)
    assert list(rows) == [{"outputs": "answer 20"}, {"outputs": "answer 22"}]
    none = load_dataset(released, "viquae", split="test", streaming=True, filters=pc.field("num_images") > 5)
    assert list(none) == []


def test_columns_go_to_json_lines(repository):
    for streaming in (True, False):
        rows = load_dataset(repository, "viquae", split="test", streaming=streaming, columns=["inputs"])
        assert list(rows) == [{"inputs": f"What is {i}?"} for i in (20, 21, 22)]


def test_what_is_not_known_is_named(repository, released):
    with pytest.raises(
        ValueError, match=r"there is no 'input'. Did you mean 'inputs'\? There are instruction, inputs,"
    ):
        load_dataset(repository, "viquae", columns=["input"])
    with pytest.raises(TypeError, match="data_dir"):
        load_dataset(repository, "viquae", data_dir="x")
    with pytest.raises(M3ITError, match="viquae-images: comes as it is"):
        load_dataset(released, "viquae-images", corrections="c.tsv")
