"""m3it/publishing/statistics.py: what is counted of files in pieces is what is counted of them as one."""

import pytest

from m3it.publishing.statistics import Tally, check_statistics


def tally_of(rows):
    tally = Tally()
    for row in rows:
        tally.add(row)
    return tally


def messages_of(rows, cut):
    halves = [tally_of(rows[:cut]), tally_of(rows[cut:])]
    return [finding.message for finding in check_statistics("a/train", Tally().merge(halves))]


LICENSES = "expected 10 values of license at most, or 1,000 and 20% of the rows; found"


@pytest.mark.parametrize("cut", [0, 1, 3, 6])
@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([3, 3, 4, 4, 3, None], ["the viewer cannot count n (3 and 4 values or lengths)"]),
        ([3, 3, 4, 4, 3, 5], []),
        ([-1, 0, 0, 0, 0, 0], ["the viewer cannot count n (-1 and 0 values or lengths)"]),
        ([True, False, 0.5, None, b"x", {"a": 1}], []),
        ([None, None, None, None, None, 7], ["the viewer cannot count n (one value)"]),
        ([[], ["a"], [], [], [], []], ["the viewer cannot count n (0 and 1 values or lengths)"]),
        (["1999", "2000", None, "2001", "2002", "2003"], ["found numbers of four digits alone in n"]),
        (["1999", "2000", "2001", "2002", "2003", "x"], []),
        (["1999", "9" * 10, "x", "x", "x", "x"], ["the viewer cannot count n (a number as text, above 2**31)"]),
        (["x", "9" * 10, "1", "2", "3", "4"], []),  # the first is no date: no more is tried
        (["a"] * 6, []),
    ],
)
def test_files_in_pieces_are_counted_as_one(values, found, cut):
    assert messages_of([{"n": value} for value in values], cut) == found


@pytest.mark.parametrize("cut", [0, 500, 1400])
@pytest.mark.parametrize(("number", "found"), [(1000, []), (1001, [f"{LICENSES} more than 1,000 in 5,005 rows"])])
def test_texts_in_pieces_are_told_apart_as_in_one(number, found, cut):
    assert messages_of([{"license": f"{i % number:05d}"} for i in range(5005)], cut) == found


def test_null_counts_as_a_text_of_its_own():
    rows = [{"license": f"license {i}"} for i in range(10)]
    assert messages_of(rows, 5) == []
    assert messages_of([*rows, {"license": None}], 5) == [f"{LICENSES} 11 in 11 rows"]
