"""m3it/curating/flags.py: a repository's rows looked at by rules, counted, and listed where somebody says so."""

import json

import pytest
from conftest import make_row, write_rows

from m3it.curating.flags import flag_rows, quality_text
from m3it.reading.load import load_dataset
from m3it.rows.instance import M3ITError


@pytest.fixture
def repo(tmp_path):
    rows = [make_row(i) for i in range(4)]
    rows[1]["outputs"] = "..."
    rows[2]["inputs"] = "What is the"
    write_rows(tmp_path / "repo/data/kvqa/viquae/train.jsonl", rows)
    write_rows(tmp_path / "repo/data/kvqa/okvqa/zh/train.jsonl", [make_row(9, outputs="a plain English answer")])
    return tmp_path / "repo"


def flags_in(out) -> list[dict]:
    return [flag for path in sorted(out.glob("flags/*/*/*.jsonl")) for flag in lines_of(path)]


def lines_of(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_flags_are_counted_by_rule_and_dataset(repo, tmp_path):
    found = flag_rows([str(repo)], tmp_path / "out")
    counts = {rule: places for rule, places in found["rules"].items() if places and not rule.endswith("picture")}
    assert found["num_rows"] == 5
    assert counts["no_answer"] == {"viquae/train": 1} and counts["cut_off"] == {"viquae/train": 1}
    assert counts["other_language"] == {"okvqa/train": 1}  # a translation counts with its dataset
    assert {
        "config": "viquae",
        "split": "train",
        "id": "row-1",
        "rule": "no_answer",
        "found": "the answer is '...'",
    } in (flags_in(tmp_path / "out"))
    assert "no_answer                   1  viquae/train 1" in quality_text(found)
    assert json.loads((tmp_path / "out/quality.json").read_text("utf-8")) == found
    assert not (tmp_path / "out/drop.jsonl").exists()  # nobody said so


def test_a_rule_that_is_named_writes_a_drop_list_that_load_dataset_takes(repo, tmp_path):
    flag_rows([str(repo)], tmp_path / "out", ["viquae"], drop=["no_answer", "cut_off"])
    listed = tmp_path / "out/drop.jsonl"
    assert [line["reason"] for line in lines_of(listed)] == ["no_answer", "cut_off"]
    left = load_dataset(str(repo), "viquae", split="train", streaming=True, exclude=str(listed))
    assert [row["inputs"] for row in left] == ["What is 0?", "What is 3?"]
    flag_rows([str(repo)], tmp_path / "out", ["viquae"])
    assert not listed.exists()  # a list of before is not taken for one of this call
    with pytest.raises(ValueError, match="expected one of no_answer"):
        flag_rows([str(repo)], tmp_path / "out", drop=["no_such_rule"])


def test_two_workers_find_the_same_and_a_second_call_reads_what_is_new(repo, tmp_path):
    one, two = flag_rows([str(repo)], tmp_path / "one"), flag_rows([str(repo)], tmp_path / "two", workers=2)
    assert one == two and flags_in(tmp_path / "one") == flags_in(tmp_path / "two")
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").glob("flags/*/*/*.jsonl")}
    write_rows(repo / "data/kvqa/viquae/train.jsonl", [make_row(0, outputs="")])
    assert flag_rows([str(repo)], tmp_path / "one")["num_rows"] == 2
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").glob("flags/*/*/*.jsonl")}
    assert len(kept) == len(made) == 2 and len(made.items() & kept.items()) == 1


def test_a_row_that_cannot_be_read_raises_or_is_counted(repo, tmp_path):
    write_rows(repo / "data/kvqa/viquae/train.jsonl", [make_row(0), {"instruction": 3}])
    with pytest.raises(M3ITError, match="viquae"):
        flag_rows([str(repo)], tmp_path / "out")
    assert flag_rows([str(repo)], tmp_path / "other", on_error="drop")["num_rows"] == 2
    assert len((tmp_path / "other/drops.jsonl").read_text("utf-8").splitlines()) == 1
