"""Releases of ours, read again: rows with their ids, the configs with all columns, the rows for other trainers."""

import json

import pyarrow as pa
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
    assert [row["inputs"] for row in rows] == [f"Answer the question.\nWhat is {i}?" for i in (20, 21, 22)]
    assert [row["outputs"] for row in rows] == ["answer 20", "answer 21", "answer 22"]
    assert [json.loads(row["meta"])["id"] for row in rows] == ["row-20", "row-21", "row-22"]
    assert rows[0]["instruction"] == "" and rows[0]["images"][0].size == (8, 6)


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
    assert row["inputs"].startswith("Answer the question.\n什么 ") and len(row["images"]) == 1
