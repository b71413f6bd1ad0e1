"""m3it/rows/short_answers.py: the official normalisation of short answers."""

import pytest

from m3it.rows.short_answers import normalize_answer

# Expected values: what processPunctuation and processDigitArticle of the official scorer (vqaEval.py at c4e6a0e)
# return, run under Python 3. 300,000 random texts of its tables' words and marks gave no difference either.
OFFICIAL = [
    ("The Dog", "dog"),
    ("a red, green and blue kite", "red green and blue kite"),
    ("T-shirt", "t shirt"),
    ("T-shirt - red", "tshirt red"),  # a blank beside a hyphen: all of them vanish
    ("1,000", "1000"),
    ("1,000 well-known", "1000 wellknown"),  # a comma in a number: every mark vanishes
    ("black/white", "black white"),
    ("black / white", "black white"),
    ("U.S.A.", "usa"),
    ("3.5", "3.5"),
    (".5", ".5"),
    ("5:30 p.m.", "5:30 pm"),
    ("none", "0"),
    ("Two", "2"),
    ("eleven", "eleven"),
    ("none of the two", "0 of 2"),
    ("dont", "don't"),
    ("don't", "don't"),
    ("couldntve", "couldntve"),  # two apostrophes are missing, the table knows one
    ("couldn'tve", "couldn't've"),
    ("youd've", "you'd've"),
    ("somebody'd", "somebodyd"),  # the wrong way round in the official table
    ("Im", "im"),  # the table has it in capitals, but the text is lower case by then
    ("oclock", "o'clock"),
    ("what?!", "what"),
    ("(a)", ""),
    ("a\nb\tc ", "b c"),
    ("." * 40, "." * 8),  # at most 32, the number of the flag re.UNICODE, passed as a count
    ("’tis", "’tis"),
    ("一只 Dog。", "一只 dog。"),
]


@pytest.mark.parametrize(("text", "expected"), OFFICIAL)
def test_answers_are_normalized_as_the_official_scorer_does(text, expected):
    assert normalize_answer(text) == expected
