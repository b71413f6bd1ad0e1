"""m3it/reading/drop_list.py: rows that are left out by name, wherever rows are read."""

import json
import logging

import pytest
from conftest import make_row, write_rows

from m3it import load_dataset
from m3it.publishing.release import release
from m3it.reading.drop_list import read_drop_list, strangers, write_drop_list
from m3it.rows.instance import M3ITError

LEAK = {"config": "viquae", "split": "train", "id": "row-3", "reason": "same bytes in okvqa/test"}


@pytest.fixture
def listed(tmp_path):
    """A list that names a row of viquae/train."""
    write_drop_list(tmp_path / "drop.jsonl", [LEAK])
    return tmp_path / "drop.jsonl"


def test_a_drop_list_is_ids_or_a_file_of_ids_or_of_objects(tmp_path, listed):
    (tmp_path / "drop.txt").write_text(" row-1\nrow-2 \n\n", "utf-8")
    assert read_drop_list(listed) == {"viquae/train": {"row-3": "same bytes in okvqa/test"}}
    assert set(read_drop_list(tmp_path / "drop.txt")[""]) == {"row-1", "row-2"}
    assert set(read_drop_list(["row-1", "row-1"])[""]) == {"row-1"}
    assert read_drop_list([]) == {}


def test_the_ids_of_a_drop_list_end_at_line_feeds_alone(tmp_path):
    ids = {"a\u2028b3", "\u2029c", "d\x85", "e\rf", "g\x0bh"}
    (tmp_path / "drop.txt").write_bytes("\ufeff".encode() + "".join(f"{i}\r\n" for i in sorted(ids)).encode())
    assert set(read_drop_list(tmp_path / "drop.txt")[""]) == ids


@pytest.mark.parametrize("line", ['{"config": "viquae"', '{"config": "viquae", "split": "train"}'])
def test_a_line_that_names_no_row_is_one_sentence_with_its_place(tmp_path, line):
    (tmp_path / "drop.jsonl").write_text(f"row-1\n{line}\n")
    with pytest.raises(M3ITError, match=r"drop\.jsonl:2: expected .* Fix the line"):
        read_drop_list(tmp_path / "drop.jsonl")


def test_load_dataset_leaves_listed_rows_out_of_their_split_alone(repository, listed):
    write_rows(repository / "data/kvqa/viquae/test.jsonl", [make_row(3)])  # the same id in another split
    rows = load_dataset(repository, "viquae", exclude=listed)
    assert [row["inputs"] for row in rows["train"]] == [f"What is {i}?" for i in range(10) if i != 3]
    assert [row["inputs"] for row in rows["test"]] == ["What is 3?"]
    streamed = load_dataset(repository, "viquae", split="train", exclude=listed, streaming=True, meta=True)
    assert [json.loads(row["meta"])["id"] for row in streamed] == [f"row-{i}" for i in range(10) if i != 3]
    assert len(load_dataset(repository, "viquae", split="train")) == 10


def test_left_out_rows_are_counted_by_reason_and_strangers_are_said(repository, tmp_path, caplog):
    write_drop_list(tmp_path / "drop.jsonl", [LEAK, {**LEAK, "id": "row-99"}])
    with caplog.at_level(logging.WARNING):
        load_dataset(repository, "viquae", exclude=tmp_path / "drop.jsonl")
    assert "dropped 1 rows (1 same bytes in okvqa/test)" in caplog.text
    assert (
        "1 rows of the drop list are not in it, the first is row-99. Is it the list of another release?" in caplog.text
    )
    assert strangers({"": {"row-99": ""}}, "viquae", ["train"], []) == []  # an id alone may be another config's


def test_a_mixture_leaves_a_listed_row_out_of_its_config_alone(repository, listed):
    pytest.importorskip("torch", reason="a mixture is a dataset of PyTorch")
    from m3it.mixing.mixture import Mixture

    write_rows(repository / "data/kvqa/okvqa/train.jsonl", [make_row(i) for i in range(10)])
    mixture = Mixture(repository, ["viquae", "okvqa"], batch_size=4, drop_list=listed)
    seen = {(row["dataset"], row["id"]) for start in range(0, 20, 4) for row in mixture.batch(start, start + 4)}
    assert len(seen) == 19 and ("viquae", "row-3") not in seen and ("okvqa", "row-3") in seen


def test_a_release_leaves_listed_rows_out_and_counts_them_in_run_json(repository, tmp_path, listed):
    write_drop_list(listed, [LEAK, {**LEAK, "id": "row-99"}])
    run = release(str(repository), tmp_path / "out", ["viquae"], exclude=str(listed))
    assert run["exclude"] == {"num_rows": 1, "no_such_row": 1} and run["options"]["exclude"]
    proof = run["splits"]["viquae/train"]
    assert (proof["rows_in"], proof["rows_out"], proof["drops"]) == (10, 9, {"same bytes in okvqa/test": 1})
