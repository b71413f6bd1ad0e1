"""m3it/curating/duplicates.py: rows that stand there twice, and answers that conflict."""

import pytest
from conftest import write_rows
from scenes import draw, scene

from curating.conftest import row
from m3it import load_dataset
from m3it.curating.duplicates import conflicts_text, duplicates, duplicates_text, find_groups
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
    found = find_groups(known)
    report = duplicates(known, found, tmp_path / "out")
    groups = {kind: [[one["id"] for one in group] for group in found] for kind, found in report["groups"].items()}
    assert {kind: [sorted(group) for group in found] for kind, found in groups.items()} == {
        "row": [["a", "b", "e"]],
        "conflict": [["a", "b", "c", "e"]],
        "text": [["d", "f"]],
    }
    assert report["counts"]["row"] == {"groups": 1, "rows": 3, "places": {"gqa/test + gqa/train": 1}}
    assert "the same row twice: 1 groups of 3 rows" in duplicates_text(report)
    told = conflicts_text(known, found["conflict"])
    assert "gqa/train a: 'cat'" in told and "gqa/train c: 'dog'" in told


def test_of_rows_that_stand_there_twice_the_list_leaves_one(doubled, tmp_path):
    known = read_known([str(doubled)], tmp_path / "out")
    duplicates(known, find_groups(known), tmp_path / "out")
    left = load_dataset(doubled, "gqa", exclude=tmp_path / "out/drop.jsonl", meta=True)
    assert sum(row["outputs"].lower().strip(".") == "cat" for split in left.values() for row in split) == 1


def test_rows_of_one_name_in_two_repositories_are_told_and_both_stay(tmp_path):
    picture = draw(scene("one"))
    for repo, answer in (("one", "cat"), ("other", "dog")):
        rows = [row("same", picture, "Why?", "rain"), row("differs", picture, "What?", answer)]
        write_rows(tmp_path / repo / "data/vqa/gqa/train.jsonl", rows)
    known = read_known([str(tmp_path / "one"), str(tmp_path / "other")], tmp_path / "out")
    found = find_groups(known)
    report = duplicates(known, found, tmp_path / "out")
    assert report["counts"]["row"]["rows"] == 2 and (tmp_path / "out/drop.jsonl").read_text() == ""
    assert "1 of the same rows are not on the drop list" in duplicates_text(report)
    told = conflicts_text(known, found["conflict"])
    assert told.count("gqa/train differs: 'cat'") == told.count("gqa/train differs: 'dog'") == 1


def test_one_id_twice_in_a_split_drops_no_row_that_stays(tmp_path):
    picture = draw(scene("one"))
    rows = [row("a", picture, "Why?", "rain"), row("a", picture, "Why?", "rain"), row("a", picture, "Why?", "snow")]
    write_rows(tmp_path / "repo/data/vqa/gqa/train.jsonl", rows)
    known = read_known([str(tmp_path / "repo")], tmp_path / "out")
    found = find_groups(known)
    assert duplicates(known, found, tmp_path / "out")["rows_not_listed"] == 1
    assert "gqa/train a: (not shown: " in conflicts_text(known, found["conflict"])
