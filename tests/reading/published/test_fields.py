"""m3it/reading/published/fields.py: texts and pictures under whatever names a raw row has them."""

import base64
import json
import random

import legacy_maker
import pytest
from legacy_maker import p, write_lines
from published_rows import EXPECTED, ONE, flat, rows_of, said, stranger

from M3IT import ShardError
from m3it.reading.load import load_builder, load_dataset
from m3it.reading.published.fields import as_images, parse_quickly


@pytest.mark.parametrize(
    "line",
    [
        '{"img_str": "AAAA", "question": "q"}',
        '{"question": "\\"img_str\\": \\"x", "img_str": "AAAA"}',
        '{"meta": {"img_str": "AAAA"}, "img_str": ""}',
        '{"meta": {"img_str": "AAAA"}}',
        '{"img_str": "AA\\/A", "a": 1}',
        '{"img_str": "\u4e2d", "a": 1}',
        '{"img_str":"AAAA"}',
        '{"img_str": ["AAAA"]}',
        '{"img_str": "AAAA", "img_str": "BBBB"}',
        '{"img_str": "AAAA", "img_str":""}',
        '{"img_str": "AAAA", "img_st\\u0072": ""}',
        '{"meta": {"img_str": "AAAA"}, "img_str":""}',
        '{"img_str": "AAAA", "img_str": "17"}',
        '{"img_str": ""}',
        '["img_str", {"img_str": "AAAA"}]',
    ],
)
def test_the_quick_way_through_a_line_finds_what_json_finds(line):
    found = parse_quickly(line.encode(), "img_str")
    assert (json.loads(found) if isinstance(found, bytes) else found) == json.loads(line)


@pytest.mark.parametrize("line", ['{"img_str": "AAAA', '{"img_str": "AAAA"', '{"img_str": "AAAA"} {}', "", "nothing"])
def test_the_quick_way_leaves_what_is_not_json_as_it_is(line):
    assert parse_quickly(line.encode(), "img_str") == line.encode()


@pytest.mark.parametrize("value", [p(0), [p(0)], f"data:image/png;base64,{p(0)}", [p(0)[:40] + "\n" + p(0)[40:]]])
def test_pictures_come_as_a_text_or_a_list_with_or_without_a_head(value):
    assert as_images(value) == [p(0)]


@pytest.mark.parametrize(
    "value", [[3], {"bytes": ""}, ["AAAA", None], "AAA", "A===", "AA=A", "https://example.org/1.jpg", "中文中文"]
)
def test_what_is_no_picture_is_refused(value):
    with pytest.raises(ShardError, match="expected base64"):
        as_images(value)


def test_the_check_of_base64_agrees_with_decoding():
    rng = random.Random(0)
    for _ in range(3000):
        text = "".join(rng.choice("AB+/z09==-_ \u00e9") for _ in range(rng.randint(1, 9))).replace(" ", "")
        try:
            strict = bool(base64.b64decode(text, validate=True)) and bool(text)
        except ValueError:
            strict = False
        try:
            ours = bool(as_images(text))
        except ShardError:
            ours = False
        assert ours == (strict and len(text) % 4 == 0), text  # Python lets a superfluous "=" pass


@pytest.mark.parametrize("picture", ["", None, [], [""]])
def test_a_row_of_science_qa_needs_no_picture(tmp_path, picture):
    legacy_maker.m3it(tmp_path, ("science-qa",))
    path = tmp_path / "data/reasoning/science_qa/science_qa_test.jsonl"
    write_lines(path, [{"img_str": picture, "input": "q", "output": "o"}])
    assert said(rows_of(tmp_path, "science-qa", "test")) == [("q", [], "o")]


@pytest.mark.parametrize(
    "config, file, row",
    [
        ("docvqa", "vqa/docvqa/val.jsonl", {"image_str": p(0), "question": "", "answer": "a"}),
        ("docvqa", "vqa/docvqa/val.jsonl", {"image_str": p(0), "question": None, "answer": "a"}),
        ("clevr-rephrased", "reasoning/clevr/val_2023-10-07.jsonl", legacy_maker.rephrased("", "a")),
    ],
)
def test_empty_inputs_are_served_as_the_script_did(tmp_path, config, file, row):
    legacy_maker.m3it(tmp_path, (config,))
    write_lines(tmp_path / "data" / file, [row])
    assert said(rows_of(tmp_path, config, "validation")) == [("", ONE, "a")]


@pytest.mark.parametrize(
    "row, expected",
    [
        ({"question": "q", "answer": "a", "img_str": p(0)}, ("q", ONE, "a")),
        ({"caption": "c", "image_base64": p(0)}, ("", ONE, "c")),
        ({"context": "x", "response": "r", "images": [p(0), p(1)]}, ("x", [p(0), p(1)], "r")),
        ({"question": "q", "answer": "a", "paraphrased_answer": "It is a.", "image": p(0)}, ("q", ONE, "It is a.")),
        ({"question": "q", "original_answer": "a", "paraphrased_answer": "Sorry, no.", "image": p(0)}, ("q", ONE, "a")),
        ({"sentence": "s", "outputs": "true", "left_img": p(0), "right_img": p(1)}, ("s", [p(0), p(1)], "true")),
        ({"sentences": ["a", "b"], "images": [p(0)]}, ("", ONE, "a b")),
        ({"answer": "a", "meta": {"instruction": "i", "inputs": "x", "image_base64_str": [p(0)]}}, ("x", ONE, "a")),
        ({"instruction": "i", "inputs": "x", "outputs": "o", "image_base64_str": [p(0)]}, ("x", ONE, "o")),
        ({"question": "q", "answer": ["a", "b"], "image": p(0)}, ("q", ONE, "a")),
    ],
)
def test_a_folder_that_the_table_does_not_know_is_read_by_the_usual_names(tmp_path, row, expected):
    folder = stranger(tmp_path, row)
    rows = rows_of(folder, "new-set")
    assert said(rows) == [expected]
    assert rows[0]["instruction"] == (
        "i" if "i" in (row.get("instruction"), row.get("meta", {}).get("instruction")) else "Say it."
    )


@pytest.mark.parametrize(
    "row, words",
    [
        (
            {"question": "q", "context": "c", "answer": "a", "img_str": p(0)},
            "question and context could both be the inputs",
        ),
        (
            {"question": "q", "answer": "a", "caption": "c", "img_str": p(0)},
            "answer and caption could both be the outputs",
        ),
        (
            {"question": "q", "answer": "a", "img_str": p(0), "image": p(1)},
            "img_str and image could both be the images",
        ),
        (
            {"question": "q", "text": "a", "img_str": p(0)},
            "expected an answer in one of .* found the fields question, text, img_str",
        ),
        (
            {"question": "q", "answer": "a", "picture": p(0)},
            "expected a picture in one of .* found the fields question, answer, picture",
        ),
        ({"question": "q", "answer": True, "img_str": p(0)}, "expected a text in answer, found true"),
        ({"question": "q", "answer": 3, "img_str": p(0)}, "expected a text in answer, found 3"),
        (["q"], "expected a JSON object, found list"),
    ],
)
def test_what_fits_neither_table_nor_rule_raises_and_names_the_fields(tmp_path, row, words):
    with pytest.raises(ShardError, match=words):
        rows_of(stranger(tmp_path, row), "new-set")


def test_fields_settle_what_the_rule_does_not(tmp_path):
    folder = stranger(
        tmp_path, {"question": "q", "context": "c", "text": {"gold": "a"}, "picture": p(0), "how": "Do it."}
    )
    fields = {"inputs": "context", "outputs": "text.gold", "images": "picture"}
    assert said(rows_of(folder, "new-set", fields=fields)) == [("c", ONE, "a")]
    assert rows_of(folder, "new-set", fields={**fields, "instruction": "how"})[0]["instruction"] == "Do it."
    loaded = load_dataset(folder, "new-set", split="train", fields=fields)
    assert loaded["inputs"][:] == ["c"]
    other = load_dataset(folder, "new-set", split="train", fields={**fields, "inputs": "question"})
    assert other["inputs"][:] == ["q"]  # and has a cache entry of its own
    with pytest.raises(ValueError, match="expected inputs, outputs, images or instruction, found answer"):
        load_builder(folder, "new-set", fields={"answer": "text"})
    with pytest.raises(ShardError, match="expected a field 'nope'; found the fields question, context, text"):
        rows_of(folder, "new-set", fields={**fields, "outputs": "nope"})


def test_fields_for_the_picture_alone_leave_the_table_its_texts(tmp_path, pinned):
    legacy_maker.m3it(tmp_path, ("imagenet",))
    path = tmp_path / "data/classification/imagenet/val.jsonl"
    write_lines(path, [{"photo": {"jpeg": p(0)}, "label": 3}])
    fields = {"images": "photo.jpeg", "instruction": ""}
    (row,) = rows_of(tmp_path, "imagenet", "validation", fields=fields, meta=True)
    assert said([row]) == flat(EXPECTED["imagenet"][:1]) and row["instruction"] == ""
    meta = {"id": "data/classification/imagenet/val.jsonl:0", "label": 3}
    assert json.loads(row["meta"]) == meta  # and the picture is not in it
    (row,) = rows_of(tmp_path, "imagenet", "validation", fields={"images": ""})
    assert row["image_base64_str"] == []  # "": the set has none


def test_a_row_tells_all_that_it_knows_and_keeps_one_id(tmp_path):
    row = {"id": 7, "question": "q", "answer": "a", "copyright": "c", "left_image": p(0), "right_image": p(1)}
    (found,) = rows_of(stranger(tmp_path, row), "new-set", meta=True)
    known = {"question": "q", "answer": "a", "copyright": "c", "source_id": 7}
    assert json.loads(found["meta"]) == {"id": "data/vqa/new_set/train.jsonl:0", **known}
