"""m3it.work.terminal: what may not reach a terminal, and what must."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from m3it.work.terminal import printable


def test_characters_that_steer_are_spelled_out():
    assert printable("\x1b[2J \x9b1m \u202etxt.exe \x7f\r") == "\\u001b[2J \\u009b1m \\u202etxt.exe \\u007f\\u000d"
    assert printable("\ud800 \U000e0041") == "\\ud800 \\udb40\\udc41"


def test_texts_of_all_languages_stay_as_they_are():
    text = "line\n\ttab 中文 می\u200cخواهم क्\u200dष \u200fעברית\u200e 👩\u200d👩 é"
    assert printable(text) == text


@settings(deadline=None, derandomize=True)
@given(st.text())
def test_json_has_the_same_value(text):
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text
