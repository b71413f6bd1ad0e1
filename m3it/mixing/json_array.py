"""A JSON file that is one array, as LLaVA's, as lines: an item each, none parsed, so that a broken one is one row."""

import re
from collections.abc import Iterator
from typing import Any

from m3it.rows.instance import ShardError

BLOCK_BYTES = 1 << 20
TOKEN = re.compile(
    rb'"[^"\\]*(?:\\.[^"\\]*)*("?)|[\[\]{},]', re.DOTALL
)  # a text, whole if it ends in a quote; or a mark
DEPTH = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}


def lines(stream: Any, name: str) -> Iterator[bytes]:
    """Yield the items of the array in a stream of bytes, a line each; what begins otherwise is JSON Lines, as it is.

    ShardError where the array does not end, or something comes after its end.
    """
    buffer = stream.read(BLOCK_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not buffer.startswith(b"["):
        while buffer:
            yield buffer
            buffer = stream.read(BLOCK_BYTES)
        return
    depth = at = start = 1  # at: up to where the buffer was looked through; start: where the item begins
    while True:
        for token in TOKEN.finditer(buffer, at):
            mark = token[0]
            if token[1] == b"":
                break  # a text that goes on in the next block
            at, depth = token.end(), depth + DEPTH.get(mark, 0)
            if depth == 0 or depth == 1 and mark == b",":
                item = buffer[start : at - 1].replace(b"\n", b" ").replace(b"\r", b" ").strip()
                yield item + b"\n" if item else b""
                start = at
            if depth == 0:
                break
        if depth == 0 and not (buffer[at:] + stream.read()).strip():
            return
        more = stream.read(max(BLOCK_BYTES, len(buffer) - start))  # the longer an item, the more at once
        if depth == 0 or not more:
            found = "more after it" if depth == 0 else "its end before"
            raise ShardError(f"{name}: expected an array of rows that ends in ], found {found}. Download it again.")
        buffer, at, start = buffer[start:] + more, at - start, 0
