"""m3it/showing/tallies.py: which kinds of question a model is good at, and what it says instead of the right answer."""

import pytest
from conftest import write_rows

from m3it.evaluating.score import score
from m3it.showing.case_study import gather
from m3it.showing.report import report
from m3it.showing.tallies import kinds_of, tallies

QUESTIONS = [  # question, right answer, given, how many times
    ("is there a circle?", "yes", "Yes.", 6),
    ("is there a circle?", "yes", "no", 2),
    ("is there a circle?", "no", "no", 3),
    ("is there a circle?", "no", "it is hard to say", 1),
    ("what color is it?", "red", "red", 1),
    ("what color is it?", "blue", "red", 4),
    ("what color is it?", "blue", "yes", 1),
]


def scored(folder, questions, config="mine", **more):
    lines = []
    for question, right, given, number in questions:
        for _ in range(number):
            line = {"id": f"row-{len(lines)}", "config": config, "split": "test", "references": [right], **more}
            lines.append({**line, "prompt": f"Look.\n{question}", "prediction": given, "seconds": 0.1})
    write_rows(folder / "tiny/predictions.jsonl", lines)
    score([folder / "tiny"], folder / "scores")
    return gather([folder])


def test_rows_are_counted_by_right_and_given_answer(tmp_path):
    (tally,) = tallies(scored(tmp_path, QUESTIONS))
    assert (tally["name"], tally["metric"], tally["models"]) == ("mine/test", "exact match", ["tiny"])
    assert tally["answers"] == ["yes", "blue", "no", "red"]  # 8, 5, 4, 1 rows
    (of_tiny,) = tally["confusions"]
    assert [(line["answer"], line["num_rows"], line["cells"]) for line in of_tiny["lines"]] == [
        ("yes", 8, [6, 0, 2, 0, 0]),
        ("blue", 5, [1, 0, 0, 4, 0]),
        ("no", 4, [0, 0, 3, 0, 1]),  # the last: something else
        ("red", 1, [0, 0, 0, 1, 0]),
    ]


def test_kinds_of_question_have_their_rows_their_commonest_answer_and_the_scores(tmp_path):
    (tally,) = tallies(scored(tmp_path, QUESTIONS))
    assert tally["kinds"] == [
        {"kind": "is there a circle …", "num_rows": 12, "commonest": ("yes", 8), "scores": [pytest.approx(75)]},
        {"kind": "what color is it …", "num_rows": 6, "commonest": ("blue", 5), "scores": [pytest.approx(100 / 6)]},
    ]


def test_of_many_answers_those_to_questions_of_yes_or_no_are_counted(tmp_path):
    named = [(f"who is in picture {i}?", f"person {i}", "yes", 1) for i in range(40)]
    (tally,) = tallies(scored(tmp_path, [*QUESTIONS[:4], *named]))
    (of_tiny,) = tally["confusions"]
    assert [(line["answer"], line["cells"]) for line in of_tiny["lines"]] == [("yes", [6, 2, 0]), ("no", [0, 3, 1])]


def test_what_the_metric_takes_for_right_stands_with_the_right_answer(tmp_path):
    (tally,) = tallies(scored(tmp_path, [("what?", "circle", "a circle", 4), ("what?", "square", "circle", 4)]))
    assert [line["cells"] for line in tally["confusions"][0]["lines"]] == [[4, 0, 0], [4, 0, 0]]
    assert tally["kinds"] == []  # one kind is no table


@pytest.mark.parametrize(
    "questions, config, more",
    [
        ([(f"who is {i}?", f"person {i}", "yes", 1) for i in range(40)], "mine", {}),  # many answers
        ([("is it?", "yes", "no", 9)], "mine", {}),  # one answer
        ([("is it?", "yes", "no", 2), ("is it?", "maybe", "no", 2)], "mine", {}),  # fewer rows than say something
        ([("which?", "A", "B", 9), ("which?", "B", "B", 9)], "science-qa", {"choices": ["cat", "dog"]}),  # letters
        ([("what is it?", "a dog", "a cat", 9), ("what is it?", "a cat", "a cat", 9)], "coco", {"group": "1"}),
    ],
)
def test_other_rows_have_no_tally(tmp_path, questions, config, more):
    assert tallies(scored(tmp_path, questions, config, **more)) == []


def test_a_kind_is_the_longest_beginning_that_many_questions_share():
    questions = ["Is there a red cat?", "is there a dog", "is it?", "is it", "why"] * 4
    kinds = ["is there a red …", "is there a dog …", "is it …", "is it …", "why …"]
    assert kinds_of(questions, "en") == kinds * 4
    assert kinds_of(["what now", "what else", "who"], "en") == ["what …", "what …", "other"]
    assert kinds_of(["这是什么?", "这是谁?"], "zh") == ["这是 …", "这是 …"]
    assert kinds_of(["", ""], "en") == ["other", "other"]


def test_the_page_shows_the_tallies(tmp_path):
    scored(tmp_path, QUESTIONS)
    report([tmp_path], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert '<td dir="auto">is there a circle …</td><td class="n">12</td>' in page
    assert '<td class="n right">6</td>' in page and '<td class="n wrong">4</td>' in page
