"""Files of rows as strangers write them, drawn by hypothesis: most lines are good, with odd texts and pictures; some
are broken, each in one way."""

import base64
import gzip
import json
import re

import pyarrow
from conftest import picture
from hypothesis import strategies as st

WORDS = (
    "",
    "a",
    "Was ist das?",
    "这是什么？",
    "ما هذا؟",
    "👩‍🚀",
    "a\u2028b",
    "x\ny",
    "\ttab",
    "\x00\x1b[31m",
    "<image>",
    "e\u0301",
    "\u202ex",
)
NAMES = ("instruction", "inputs", "image_base64_str", "outputs", "meta")
texts = st.one_of(st.sampled_from(WORDS), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))


@st.composite
def encoded_pictures(draw) -> str:
    """The base64 of a small picture, plain or as other programs write it."""
    text = base64.b64encode(picture(draw(st.integers(0, 5)))).decode()
    form = draw(st.sampled_from(("plain", "plain", "plain", "data URI", "in lines")))
    if form == "data URI":
        return f"data:image/png;base64,{text}"
    return re.sub(r"(.{76})", r"\1\n", text) if form == "in lines" else text


ids = st.one_of(texts, st.integers(-5, 2**70), st.none())
metas = st.one_of(
    st.just("{}"),
    st.none(),
    st.builds(lambda i: json.dumps({"id": i}), ids),
    st.builds(lambda i, t: json.dumps({"id": i, "source": {"deep": [t, 1.5, None]}}, ensure_ascii=False), ids, texts),
)
good_rows = st.fixed_dictionaries(
    {
        "instruction": st.one_of(texts, st.none()),
        "inputs": st.one_of(texts, st.none()),
        "image_base64_str": st.one_of(st.lists(encoded_pictures(), max_size=3), encoded_pictures(), st.none()),
        "outputs": texts,
        "meta": metas,
    }
)
odd_values = st.sampled_from(
    (
        7,
        1.5,
        True,
        [],
        {},
        ["a", 1],
        {"a": "b"},
        [["x"]],
        [None],
        "\ud800",
        ["\ud800"],
        "[" * 3000,
        "not json",
        "[1]",
        '"x"',
    )
)


@st.composite
def broken_lines(draw) -> bytes:
    """A line that may hold no row: what is wrong with it is drawn, and the dumb reader says whether it is."""
    row = draw(good_rows)
    kind = draw(
        st.sampled_from(("value", "missing", "extra", "cut", "bytes", "deep", "twice", "no object", "constant"))
    )
    name = draw(st.sampled_from(NAMES))
    if kind == "value":
        return json.dumps({**row, name: draw(odd_values)}).encode()
    if kind == "missing":
        return json.dumps({key: value for key, value in row.items() if key != name}).encode()
    if kind == "extra":
        return json.dumps({**row, draw(texts): draw(odd_values)}).encode()
    line = json.dumps(row, ensure_ascii=False).encode()
    if kind == "cut":
        return line[: draw(st.integers(1, len(line) - 1))]
    if kind == "bytes":
        place = draw(st.integers(0, len(line) - 1))
        return line[:place] + draw(st.sampled_from((b"\xff", b'"', b"\\", b"\xed\xa0\x80"))) + line[place:]
    if kind == "deep":
        depth = draw(st.sampled_from((50, 900, 3000, 100_000)))
        return line[:-1] + b', "x": ' + b"[" * depth + b"]" * depth + b"}"
    if kind == "twice":
        return line[:-1] + f', "{name}": {json.dumps(draw(odd_values))}}}'.encode()
    if kind == "constant":
        return json.dumps({**row, name: float(draw(st.sampled_from(("nan", "inf"))))}).encode()
    return draw(
        st.sampled_from((b"null", b"[]", b"3", b'"x"', b"<html>", b"version https://git-lfs.github.com/spec/v1"))
    )


def good_lines(ascii_only: bool = False):
    return st.builds(lambda row, ascii: json.dumps(row, ensure_ascii=ascii).encode(), good_rows, st.booleans())


@st.composite
def files(draw, broken: bool = True) -> bytes:
    """A file of up to a dozen lines."""
    line = st.one_of(good_lines(), good_lines(), good_lines(), broken_lines()) if broken else good_lines()
    lines = draw(
        st.lists(st.one_of(line, line, line, line, st.sampled_from((b"", b"  ", b"\r"))), min_size=1, max_size=12)
    )
    end = draw(st.sampled_from((b"\n", b"\n", b"\r\n")))
    data = draw(st.sampled_from((b"", b"", b"", b"\xef\xbb\xbf"))) + end.join(lines)
    return data + (end if draw(st.booleans()) else b"")


def packed(data: bytes, ending: str) -> bytes:
    """The bytes of a file that holds rows, by the ending of its name."""
    if ending == "jsonl.gz":
        return gzip.compress(data, mtime=0)
    if ending == "jsonl.zst":
        file = pyarrow.BufferOutputStream()
        with pyarrow.CompressedOutputStream(file, "zstd") as stream:
            stream.write(data)
        return file.getvalue().to_pybytes()
    return data


@st.composite
def repositories(draw) -> dict[str, bytes]:
    """The train split of the config `mine`: path -> rows as JSON Lines, in the order of the rows. One file or up to
    three numbered ones, plain or packed."""
    count = draw(st.sampled_from((1, 1, 2, 3)))
    ending = draw(st.sampled_from(("jsonl", "jsonl", "jsonl", "jsonl.gz", "jsonl.zst")))
    names = [f"train-{i:05d}-of-{count:05d}" for i in range(count)] if count > 1 else ["train"]
    return {f"data/vqa/mine/{name}.{ending}": draw(files()) for name in names}
