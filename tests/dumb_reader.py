"""The rows of a JSON Lines file, read in the plainest way: what every way of ours must agree with. It shares no code
with m3it, and is slow."""

import base64
import json
import re
from typing import Any, NamedTuple


class Refused(NamedTuple):
    """A line that holds no row, by its number (1 is the first)."""

    line: int


def dumb_rows(data: bytes, name: str, decode: bool = False) -> list[Any]:
    """Of each line that is not blank: {id, instruction, inputs, images, outputs}, or Refused. `data`: unpacked. `name`:
    the file's path below the repository, of which the ids of rows without one are made. `decode`: images as bytes,
    strictly base64."""
    found, offset = [], 0
    for number, line in enumerate(data.split(b"\n"), 1):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        start = offset + len(line) - len(text)
        offset += len(line) + 1
        if not text.strip(b" \t\r"):
            continue
        try:
            found.append(one_row(json.loads(text.decode("utf-8")), f"{name}:{start}", decode))
        except (ValueError, TypeError, KeyError, RecursionError):
            found.append(Refused(number))
    return found


def one_row(row: dict, place: str, decode: bool) -> dict:
    """The row as our schema has it; one of the errors above where it has none."""
    row = dict(row.items() if isinstance(row, dict) else None)
    texts = {name: row[name] for name in ("instruction", "inputs", "outputs")}
    texts |= {name: "" for name in ("instruction", "inputs") if texts[name] is None}
    images = row["image_base64_str"]
    images = [images] if isinstance(images, str) else images or []
    assert_true(isinstance(images, list) and all(isinstance(text, str) for text in (*images, *texts.values())))
    images = [re.sub(r"^data:[^,]*,", "", text) for text in images]
    images = ["".join(text.split()) if re.search(r"[ \r\n]", text) else text for text in images]
    meta = row.get("meta")
    meta = json.loads("{}" if meta is None else meta)
    assert_true(isinstance(meta, dict))
    row_id = place if meta.get("id") in (None, "") else str(meta["id"])
    for text in (row_id, *texts.values(), *images, json.dumps(meta, ensure_ascii=False)):
        text.encode()
    return {"id": row_id, **texts, "images": [base64.b64decode(t, validate=True) for t in images] if decode else images}


def assert_true(holds: bool) -> None:
    """ValueError where it does not; `assert` would vanish under -O."""
    if not holds:
        raise ValueError
