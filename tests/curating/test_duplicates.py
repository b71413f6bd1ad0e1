"""m3it/curating/duplicates.py: rows that stand there twice, and answers that conflict."""

import pytest
from conftest import write_rows
from scenes import draw, scene

from curating.conftest import row
from m3it import load_dataset
from m3it.curating.duplicates import conflicts_text, duplicates, duplicates_text
from m3it.curating.known import read_known

pytest.importorskip("pdqhash", reason="m3it[curate] is not installed")


@pytest.fixture
def doubled(tmp_path):
    """gqa: a row twice, within and across splits; a conflict; one text with two pictures."""
    one, other = draw(scene("one")), draw(scene("other"))
    train = [row("a", one, "What?", "cat"), row("b", one, "what", "Cat."), row("c", one, "What?", "dog")]
    write_rows(tmp_path / "repo/data/vqa/gqa/train.jsonl", [*train, row("d", other, "Why?", "rain")])
    write_rows(
        tmp_path / "repo/data/vqa/gqa/test.jsonl", [row("e", one, "What?", "cat"), row("f", one, "Why?", "rain")]
    )
    return tmp_path / "repo"


def test_the_same_row_a_conflict_and_the_same_text_are_told_apart(doubled, tmp_path):
    known = read_known([str(doubled)], tmp_path / "out")
    report = duplicates(known, tmp_path / "out")
    groups = {kind: [[one["id"] for one in group] for group in found] for kind, found in report["groups"].items()}
    assert {kind: [sorted(group) for group in found] for kind, found in groups.items()} == {
        "row": [["a", "b", "e"]],
        "conflict": [["a", "b", "c", "e"]],
        "text": [["d", "f"]],
    }
    assert report["counts"]["row"] == {"groups": 1, "rows": 3, "places": {"gqa/test + gqa/train": 1}}
    assert "the same row twice: 1 groups of 3 rows" in duplicates_text(report)
    told = conflicts_text(known, report["groups"]["conflict"])
    assert "gqa/train a: 'cat'" in told and "gqa/train c: 'dog'" in told


def test_of_rows_that_stand_there_twice_the_list_leaves_one(doubled, tmp_path):
    duplicates(read_known([str(doubled)], tmp_path / "out"), tmp_path / "out")
    left = load_dataset(doubled, "gqa", exclude=tmp_path / "out/drop.jsonl", meta=True)
    assert sum(row["outputs"].lower().strip(".") == "cat" for split in left.values() for row in split) == 1
