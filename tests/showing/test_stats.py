"""What is counted, against figures worked out by hand."""

import pytest
from conftest import ROOT

from M3IT import CATALOGUE
from m3it.showing.figures import draw_figures
from m3it.showing.stats import TOKEN, instruction_stats, measure, rows_by_group


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
    from m3it.showing.stats import PUBLISHED

    for here, published in zip(instruction_stats()[name], PUBLISHED[name], strict=True):
        assert 0.75 * published <= here <= 1.25 * published


def test_the_sample_is_measured_and_the_figures_are_drawn(tmp_path):
    stats = measure(str(ROOT))
    assert set(CATALOGUE) <= set(stats["measured"])
    assert stats["measured"]["nlvr"]["images"] == 2 and stats["measured"]["vist"]["images"] == 5
    drawn = list(draw_figures(stats, str(ROOT), tmp_path))
    assert [path.stem for path in drawn] == [
        "task_coverage",
        "instruction_stat",
        "task_stat",
        "data_instance",
        "contact_sheet",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000 for path in drawn)
