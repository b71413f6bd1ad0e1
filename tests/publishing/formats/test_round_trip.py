"""A row out and in again is the same row, in every format."""

import json

import pytest
from conftest import make_row, picture, write_rows
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part
from m3it.publishing.release import ACCEPTED_FORMATS, release
from m3it.reading.load import load_dataset
from m3it.rows.messages import to_messages

FORMATS = [name for name in ACCEPTED_FORMATS if name != "jsonl"]
TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30),
    st.sampled_from(
        ["ما هذا؟", "מה זה?\nשורה", "👩‍🚀🇩🇪", "Where is <image>?", "<image>\n<image>", '"\\\n\t', "\u2028", "</s>"]
    ),
)
ROWS = st.lists(
    st.tuples(TEXTS, TEXTS, TEXTS.filter(str.strip), st.sampled_from([0, 1, 2, 5, 8])), min_size=1, max_size=4
)
ONE_PASS = settings(
    max_examples=4, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True, phases=[Phase.generate]
)  # to shrink a failure takes minutes


def read_again(path, cache):
    """The rows as a mixture gives them, by their ids."""
    mixture = Mixture(None, parts=[Part(str(path), "set")], cache_dir=str(cache))
    rows = map(mixture.row, range(mixture.num_rows))
    return {row["id"]: {name: value for name, value in row.items() if name != "dataset"} for row in rows}


@pytest.mark.parametrize("format", FORMATS)
@settings(
    max_examples=4, deadline=None, suppress_health_check=[*HealthCheck], derandomize=True, phases=[Phase.generate]
)
@given(said=ROWS)
def test_a_row_out_and_in_again_is_the_same_row(format, tmp_path_factory, said):
    folder = tmp_path_factory.mktemp("round")
    texts = [("instruction", "inputs", "outputs"), *(each[:3] for each in said)]
    lines = [
        make_row(i, count, **dict(zip(texts[0], text, strict=True)), meta=json.dumps({"id": f"ü/{i}.a", "n": [i]}))
        for i, (text, (*_, count)) in enumerate(zip(texts[1:], said, strict=True))
    ]
    write_rows(folder / "in/data/vqa/set/train.jsonl", lines)
    run = release(str(folder / "in"), folder / "out", format=format)
    assert run["splits"]["set/train"]["rows_out"] == len(lines)
    expected = read_again(folder / "in", folder / "cache")
    found = read_again(folder / "out", folder / "cache")
    assert found == expected
    assert [len(found[row_id]["images"]) for row_id in sorted(found)] == [count for *_, count in said]
    assert all(to_messages(row) == to_messages(expected[row_id]) for row_id, row in found.items())


CONVERSATION = [
    {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
    {"role": "user", "content": [{"type": "text", "text": "First "}, {"type": "image"}, {"type": "text", "text": "?"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "One <image>."}]},
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "And now?"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "Two."}]},
]


@pytest.mark.parametrize("format", FORMATS)
def test_a_conversation_stays_whole_and_its_marks_are_counted(format, tmp_path):
    meta = json.dumps({"id": "talk", "messages": CONVERSATION})
    rows = [make_row(1, 2, inputs="First ?", outputs="Two.", meta=meta), make_row(2, 0)]
    write_rows(tmp_path / "in/data/vqa/set/train.jsonl", rows)
    release(str(tmp_path / "in"), tmp_path / "out", format=format)
    found = read_again(tmp_path / "out", tmp_path / "cache")
    assert to_messages(found["talk"]) == CONVERSATION and found["talk"]["images"] == [picture(1), picture(2)]
    if format == "llava":
        (line, _) = map(json.loads, (tmp_path / "out/set/train.jsonl").read_text("utf-8").splitlines())
        assert [turn["value"] for turn in line["conversations"]] == [
            "Be brief.\nFirst <image>\n?", "One < image >.", "<image>\nAnd now?", "Two.",
        ]  # fmt: skip
    if format == "parquet":
        row = load_dataset(str(tmp_path / "out"), "set-images", split="train", cache_dir=str(tmp_path / "cache"))[0]
        assert [message["content"] for message in row["prompt"]] == [
            "Be brief.",
            "First \n?",
            "One < image >.",
            "And now?",
        ]
        assert row["completion"] == [{"role": "assistant", "content": "Two."}] and row["references"] == ["Two."]
