"""m3it/showing/stats.py: what is counted, against figures worked out by hand."""

import sys

import pytest
from conftest import make_row, write_rows

from m3it.showing.stats import PUBLISHED, TOKEN, all_stats, instruction_stats, row_stats, rows_by_group, stats_text
from m3it.work.extras import install


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Look at the image, then answer.", 8),
        ("Don't guess: (A) or (B)?", 11),
        ("看图回答。", 5),
        ("用 one word 回答", 5),
        ("two-word", 1),
        ("une école d'été, où ?", 6),
        ("قارب أسود.", 3),
        ("犬とネコ", 4),
        ("USB-看图 ok_1", 5),
    ],
)
def test_tokens_are_words_and_marks_and_chinese_characters(text, tokens):
    assert len(TOKEN.findall(text)) == tokens


def test_rows_stand_by_group_and_split_beside_those_published():
    sizes = {"coco": {"train": 10, "test": 2}, "textcap": {"train": 5, "test": 0}, "coco-cn": {"train": 7, "test": 1}}
    measured = {"coco": {"rows": {"train": 3}}, "textcap": {"rows": {"train": 1}}, "okvqa-zh": {"rows": {"train": 9}}}
    assert rows_by_group({"sizes": sizes, "measured": measured}) == {
        "captioning": {"train": (4, 15), "test": (0, 2)},
        "Chinese": {"train": (0, 7), "test": (0, 1)},
    }


@pytest.mark.parametrize("name", ["tokens", "edit distance, same task", "edit distance, other task"])
def test_instructions_are_within_a_quarter_of_the_published_length_and_variety(name):
    for here, published in zip(instruction_stats()[name], PUBLISHED[name], strict=True):
        assert 0.75 * published <= here <= 1.25 * published


@pytest.fixture
def small_repository(tmp_path) -> str:
    """Two configs, one of two pictures a row."""
    write_rows(tmp_path / "data/reasoning/nlvr/train.jsonl", [make_row(i, 2, outputs="yes indeed.") for i in range(3)])
    write_rows(tmp_path / "data/kvqa/viquae/test.jsonl", [make_row(9)])
    return str(tmp_path)


def test_rows_of_a_repository_are_counted_with_their_medians(small_repository):
    assert row_stats(small_repository) == {
        "nlvr": {"rows": {"train": 3}, "images": 2, "longer side": 8, "answer tokens": 3},
        "viquae": {"rows": {"test": 1}, "images": 1, "longer side": 8, "answer tokens": 2},
    }


def test_without_rapidfuzz_the_rest_is_shown_and_what_is_left_out_is_said(small_repository, monkeypatch):
    complete = all_stats(small_repository)
    assert "edit distance, same task" in stats_text(complete) and "rapidfuzz" not in stats_text(complete)
    for module in ("rapidfuzz", "rapidfuzz.distance"):
        monkeypatch.setitem(sys.modules, module, None)
    found = all_stats(small_repository)
    assert found["left_out"] == ["edit distance, same task", "edit distance, other task"]
    text = stats_text(found)
    assert f"edit distance, same task, edit distance, other task left out: {install('eval')} (rapidfuzz)" in text
    assert {**found["instructions"], **{n: complete["instructions"][n] for n in found["left_out"]}} == complete[
        "instructions"
    ]
    assert found["measured"] == complete["measured"]
