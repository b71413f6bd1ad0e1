"""An array in JSON as lines, whatever the blocks that it is read in."""

import io
import json

import pytest

from M3IT import ShardError
from m3it.mixing import json_array

ITEMS = [{"a": 'x"],[\\', "b": [1, {"c": "é\n,"}]}, {"d": []}, 3, "s, t", [], {}]


def as_lines(data):
    return b"".join(json_array.lines(io.BytesIO(data), "set.json")).splitlines()


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize("indent", [None, 1])
def test_each_item_is_a_line(monkeypatch, block, indent):
    monkeypatch.setattr(json_array, "BLOCK_BYTES", block)
    for text in (json.dumps(ITEMS, indent=indent), json.dumps(ITEMS, indent=indent, ensure_ascii=False) + "\r\n"):
        assert [json.loads(line) for line in as_lines(text.encode())] == ITEMS


def test_what_is_no_array_is_taken_as_it_is():
    data = b'{"a": 1}\n{"a": 2}\n'
    assert as_lines(data) == data.splitlines()
    assert as_lines(b"\xef\xbb\xbf [ ]\n") == []


def test_a_broken_item_is_a_line_of_its_own():
    assert as_lines(b'[{"a": 1}, {"a": nothing}, {"a": 3}]') == [b'{"a": 1}', b'{"a": nothing}', b'{"a": 3}']


@pytest.mark.parametrize("block", [1, 1 << 20])
@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'[{"a": ]}, {"b": 1}]', "more after it"),
        (b"[1] 2", "more after it"),
        (b'[{"a": 1}', "its end"),
        (b'["a', "its end"),
    ],
)
def test_an_array_that_does_not_end_at_its_end_is_refused(monkeypatch, block, data, found):
    monkeypatch.setattr(json_array, "BLOCK_BYTES", block)
    with pytest.raises(ShardError, match=rf"set.json: expected an array of rows that ends in \], found {found}"):
        as_lines(data)
