"""Rows as conversations, in both directions."""

import base64
import itertools
import json

import pytest
from conftest import picture, write_rows
from mixtures import texts_row, write_parquet

from M3IT import ShardError
from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part
from m3it.rows.messages import from_messages, from_texts, pictures, to_messages


def test_a_conversation_keeps_all_of_its_turns(tmp_path):
    write_parquet(tmp_path / "chat/train.parquet", [texts_row(7, turns=2)])
    (row,) = itertools.islice(Mixture(None, parts=[Part(str(tmp_path), "chat")], batch_size=1), 1)
    assert (row["inputs"], row["outputs"]) == ("Question 7.0?", "Answer 7.1")
    said = [[part.get("text", "an image") for part in message["content"]] for message in to_messages(row)]
    assert said == [["an image", "Question 7.0?"], ["Answer 7.0"], ["Question 7.1?"], ["Answer 7.1"]]


def test_places_for_images_that_the_row_does_not_have_are_named_with_the_row_id(tmp_path):
    two = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "Which?"}]
    messages = [{"role": "user", "content": two}, {"role": "assistant", "content": "left"}]
    row = {"id": "pair-9", "images": [base64.b64encode(picture(1)).decode()], "messages": messages}
    write_rows(tmp_path / "set/pairs.jsonl", [row])
    (row,) = itertools.islice(Mixture(None, parts=[Part(str(tmp_path / "set/pairs.jsonl"))], batch_size=1), 1)
    assert row["dataset"] == "pairs"
    with pytest.raises(ShardError, match="pair-9: the messages have 2 places for images, the row has 1"):
        to_messages(row)


def test_the_messages_of_a_plain_row_are_images_instruction_and_inputs_then_the_answer():
    row = {"instruction": "Look.", "inputs": "What?", "outputs": "This.", "images": [b"1", b"2"], "meta": {}}
    asked, answered = to_messages(row)
    assert asked == {
        "role": "user",
        "content": [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "Look.\nWhat?"}],
    }
    assert answered == {"role": "assistant", "content": [{"type": "text", "text": "This."}]}
    assert to_messages({**row, "instruction": ""})[0]["content"][-1]["text"] == "What?"


def test_a_question_and_an_answer_become_inputs_and_outputs():
    messages = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "This."}]
    row = from_messages({"images": ["one"], "messages": messages})
    assert row == {"instruction": "", "inputs": "What?", "outputs": "This.", "meta": "{}"}


def test_a_mark_in_the_text_is_the_place_of_an_image_where_there_are_as_many_as_images():
    messages = [{"role": "user", "content": "Is <image> like <image>?"}, {"role": "assistant", "content": "Yes."}]
    row = from_messages({"images": ["one", "two"], "messages": messages})
    text, image = (lambda text: {"type": "text", "text": text}), {"type": "image"}
    assert json.loads(row["meta"])["messages"][0]["content"] == [text("Is "), image, text(" like "), image, text("?")]
    alone = from_messages({"images": ["one"], "messages": messages})  # two marks, one image: they are plain text
    assert alone["inputs"] == "Is <image> like <image>?" and alone["meta"] == "{}"


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([{"role": "user", "content": "What?"}], "expected messages of a user and an assistant, found user"),
        ([], "expected messages of a user and an assistant, found none"),
        ([{"role": "user", "content": [{"type": "video"}]}], "expected a text, or parts of type image and text, found"),
    ],
)
def test_messages_that_are_no_conversation_are_refused_in_words(messages, words):
    with pytest.raises(ShardError, match=words):
        from_messages({"images": [], "messages": messages})


def test_turns_of_another_shape_are_refused_in_words():
    with pytest.raises(ShardError, match=r'expected texts as \[\{"user": ..., "assistant": ...\}\]'):
        from_texts({"images": [], "texts": [{"question": "?", "answer": "!"}]})


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"images": ["a", "b"], "image": "c"}, ["a", "b"]),
        ({"images": None, "image_base64_str": ["a"]}, ["a"]),
        ({"image": "a"}, ["a"]),
        ({"inputs": "no image"}, []),
    ],
)
def test_pictures_are_found_under_any_of_their_names(row, found):
    assert pictures(row) == found
