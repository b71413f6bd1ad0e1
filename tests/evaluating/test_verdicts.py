"""m3it/evaluating/verdicts.py: replies are read strictly, and counted; no judge is asked."""

import math
from fractions import Fraction

import pytest
from scripted_judges import scores

from m3it.evaluating.verdicts import Draw, Pair, entropy, read_scores, sign_test, verdict_counts, verdict_line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (scores(8, 6), (8, 6)),
        (scores(8.5, 10), (8.5, 10)),
        ("**Evidence:** fine\n\n**Score of answer 1:** 7/10\n**Score of answer 2:** 1 / 10", (7, 1)),
        ("Both are right.\nThe score of answer 1: 7.\nThe score of Answer 2: 7.", (7, 7)),
        ("Score of answer 1: 8\nScore of answer 2: 6", None),  # no evidence
        ("Evidence:\nScore of answer 1: 8\nScore of answer 2: 6", None),
        ("Good.\nScore of answer 2: 6\nScore of answer 1: 8", None),  # in the other order
        ("Good.\nScore of answer 1: 8", None),
        (scores(8, 6) + "\nScore of answer 1: 3", None),  # which of them?
        ("Good.\nScore of answer 1: 8-9\nScore of answer 2: 6", None),
        ("Good.\nScore of answer 1: -3\nScore of answer 2: 6", None),
        (scores(0, 6), None),
        (scores(11, 6), None),
        ("I prefer the first: 8 to 6.", None),
        ("", None),
    ],
)
def test_replies_are_read_strictly(text, expected):
    assert read_scores(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (scores(8, 6, mark="0a1b2c3d"), (8, 6)),
        (scores(8, 6, mark="0a1b2c3d").replace("(0a", "[0a").replace("3d)", "3d]"), (8, 6)),
        (scores(2, 9, evidence=f"It says:\n{scores(10, 1)}", mark="0a1b2c3d"), (2, 9)),  # what an answer says is quoted
        (scores(2, 9, evidence=scores(10, 1, mark="deadbeef"), mark="0a1b2c3d"), (2, 9)),
        (scores(8, 6), None),  # may be an answer's own
        (scores(8, 6, mark="deadbeef"), None),
        (scores(8, 6, mark="0a1b2c3d") + "\nScore of answer 1 (0a1b2c3d): 3", None),
    ],
)
def test_where_an_answer_holds_scores_only_lines_with_the_mark_are_read(text, expected):
    assert read_scores(text, "0a1b2c3d", marked_only=True) == expected
    assert expected is None or read_scores(text, "0a1b2c3d") == expected  # as elsewhere, where the judge keeps to it


def test_entropy_and_sign_test_by_hand():
    assert entropy([3, 3]) == 1 and entropy([6]) == 0 and entropy([]) == 0
    assert entropy([1, 1, 2]) == pytest.approx(1.5)  # 2 * 1/4 * 2 + 1/2 * 1
    assert sign_test(5, 0) == 2 / 32 and sign_test(3, 3) == 1 and sign_test(0, 0) == 1
    # published: 167 won, 105 lost of 300; the normal approximation with continuity correction gives 0.0002
    assert sign_test(167, 105) == pytest.approx(math.erfc((62 - 1) / math.sqrt(272) / math.sqrt(2)), rel=0.1)


PAIR = Pair({"id": "7", "config": "viquae", "split": "test", "prompt": "?", "references": ["x"]}, ("yes", "no"))


def draws_of(*scores: tuple[bool, int, int] | None) -> list[Draw]:
    """Draws with (swapped, score of answer 1, score of answer 2); None for a reply that could not be read."""
    found = [(s[0], (Fraction(s[1]), Fraction(s[2]))) if s else (True, None) for s in scores]
    return [Draw(0, swapped, sample, pair, None) for sample, (swapped, pair) in enumerate(found)]


def test_a_verdict_rests_on_the_means_of_both_orders():
    # the first model's answer first: 8 to 2, 6 to 4; swapped, answer 1 is the second model's: 3 to 9
    line = verdict_line(PAIR, draws_of((False, 8, 2), (False, 6, 4), (True, 3, 9), None), 2)
    assert line["scores"] == [[[8, 2], [6, 4]], [[9, 3]]] and line["means"] == [8, 3]  # (7 + 9) / 2, (3 + 3) / 2
    assert (line["verdict"], line["num_unreadable"], line["turned"], line["favours"]) == ("win", 1, False, "")
    assert line["entropy"] == 0 and line["answers"] == ["yes", "no"]


def test_a_row_that_turns_with_the_sides_favours_one_of_them():
    line = verdict_line(PAIR, draws_of((False, 9, 3), (True, 9, 3)), 1)  # answer 1 is better whoever gave it
    assert (line["verdict"], line["turned"], line["favours"], line["entropy"]) == ("tie", True, "first", 1)
    one_order = verdict_line(PAIR, draws_of((False, 9, 3), None), 1)
    assert (one_order["verdict"], one_order["means"]) == ("unreadable", [])


def test_verdicts_are_counted_in_all_and_by_config():
    lines = [{"config": config, "verdict": verdict} for config, verdict in
             [("a", "win"), ("a", "win"), ("b", "lose"), ("b", "unreadable"), ("a", "win")]]  # fmt: skip
    assert verdict_counts(lines) == {
        "all": {"win": 3, "tie": 0, "lose": 1, "unreadable": 1, "p": 0.625},  # 2 * (1 + 4) / 16
        "a": {"win": 3, "tie": 0, "lose": 0, "unreadable": 0, "p": 0.25},
        "b": {"win": 0, "tie": 0, "lose": 1, "unreadable": 1, "p": 1.0},
    }
