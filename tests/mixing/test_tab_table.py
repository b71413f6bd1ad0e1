"""m3it/mixing/tab_table.py: VLMEvalKit's tables as parts."""

import base64
import csv
import io
import json

import pytest
from conftest import picture

from M3IT import ShardError
from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part
from m3it.mixing.tab_table import table_lines

COLUMNS = ("index", "image", "question", "hint", "A", "B", "C", "answer", "category")


def encoded(number):
    return base64.b64encode(picture(number)).decode()


def write_table(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerows([COLUMNS, *rows])


def rows_of(path, **options):
    mixture = Mixture(None, parts=[Part(str(path), split="test")], split="test", batch_size=1, **options)
    found = (mixture.row(i) for i in range(mixture.num_rows))
    return sorted(filter(None, found), key=lambda row: row["id"]), mixture


def test_pictures_options_hints_and_line_breaks_of_a_question_are_read(tmp_path):
    both = json.dumps([encoded(2), encoded(3)])
    write_table(
        tmp_path / "MMBench_test.tsv",
        [
            ["1", encoded(1), "Which?\nالصورة", "Look \"up\".", "cat", "dog", "", "B", "animals"],
            ["2", both, "Do they differ? 👀", "", "", "", "", "yes", ""],
            ["3", "", "What is 2 + 2?", "", "", "", "", "4", ""],
        ],
    )  # fmt: skip
    found, _ = rows_of(tmp_path)
    assert [row["inputs"] for row in found] == [
        'Look "up".\nWhich?\nالصورة\nOptions:\n(A) cat\n(B) dog', "Do they differ? 👀", "What is 2 + 2?",
    ]  # fmt: skip
    assert [row["outputs"] for row in found] == ["(B) dog", "yes", "4"]
    assert [row["images"] for row in found] == [[picture(1)], [picture(2), picture(3)], []]
    assert [row["id"] for row in found] == ["1", "2", "3"] and found[0]["meta"] == {"category": "animals"}


def test_a_broken_row_is_one_row(tmp_path):
    good = [["1", encoded(1), "?", "", "", "", "", "a", ""], ["5", encoded(5), "?", "", "", "", "", "b", ""]]
    bad = [
        ["2", "1", "?", "", "", "", "", "a", ""],
        ["3", encoded(3), "?", "", "", "", "", "a", "", "more"],
        ["4", "[broken" + encoded(4), "?", "", "", "", "", "a", ""],
    ]
    write_table(tmp_path / "test.tsv", [good[0], *bad, good[1]])
    found, mixture = rows_of(tmp_path, on_error="drop")
    assert [row["id"] for row in found] == ["1", "5"]
    assert mixture.drops() == {tmp_path.name: {"no image": 1, "not an object": 1, "image is not base64": 1}}
    write_table(tmp_path / "test.tsv", [good[0], bad[0]])
    with pytest.raises(ShardError, match="test.tsv.*expected a picture in image, found '1', the index of another row"):
        rows_of(tmp_path)


def test_what_is_no_table_is_one_sentence():
    with pytest.raises(ShardError, match=r"odd\.tsv: expected a table with tabs in UTF-8 .*Download it again"):
        list(table_lines(io.BytesIO(b"index\tquestion\n1\t\xff\xfe\n"), "odd.tsv"))
