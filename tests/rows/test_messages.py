"""m3it/rows/messages.py: other people's conversations to rows, and rows to the messages of a chat template."""

import base64
import itertools
import json

import pytest
from conftest import picture, write_rows
from mixtures import texts_row, write_parquet

from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part
from m3it.rows.instance import ShardError
from m3it.rows.messages import from_messages, from_texts, pictures, to_messages


def said(role, content):
    return {"role": role, "content": content}


def test_pictures_stand_under_any_of_three_names():
    assert pictures({"images": ["a", "b"]}) == ["a", "b"]
    assert pictures({"images": None, "image_base64_str": ["c"]}) == ["c"]
    assert pictures({"image": "d"}) == ["d"]
    assert pictures({"inputs": "x"}) == []


@pytest.mark.parametrize(
    "question",
    [
        "What?",
        "<image>What?",
        [{"type": "image"}, {"type": "text", "text": "What?"}],
        [{"type": "text", "text": "What?"}],
    ],
)
def test_a_question_and_an_answer_become_inputs_and_outputs(question):
    row = {"images": ["a"], "messages": [said("user", question), said("assistant", "A dog.")]}
    assert from_messages(row) == {"instruction": "", "inputs": "What?", "outputs": "A dog.", "meta": "{}"}


def test_a_longer_conversation_stays_whole_in_meta():
    texts = [{"user": "What?", "assistant": "A dog."}, {"user": "Where?", "assistant": "Here."}]
    row = from_texts({"images": ["a", "b"], "texts": texts})
    assert (row["inputs"], row["outputs"]) == ("What?", "Here.")
    messages = json.loads(row["meta"])["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    assert messages[0]["content"] == [{"type": "image"}] * 2 + [{"type": "text", "text": "What?"}]
    assert messages[3]["content"] == [{"type": "text", "text": "Here."}]


def test_a_tag_stands_for_an_image_only_where_there_are_as_many():
    asked = "See <image> here?"
    row = {"images": ["a"], "messages": [said("user", asked), said("assistant", "Yes.")]}
    placed = json.loads(from_messages(row)["meta"])["messages"][0]["content"]
    assert placed == [{"type": "text", "text": "See "}, {"type": "image"}, {"type": "text", "text": " here?"}]
    assert from_messages({**row, "images": ["a", "b"]})["inputs"] == asked


@pytest.mark.parametrize(
    ("messages", "words", "reason"),
    [
        ([said("user", "What?")], "expected messages of a user and an assistant, found user", "no answer"),
        ([], "found none", "no answer"),
        ([said("user", 7), said("assistant", "x")], "parts of type image and text, found 7", "unknown content"),
        ([said("user", [{"type": "audio"}]), said("assistant", "x")], "found .*audio", "unknown content"),
    ],
)
def test_what_is_no_conversation_has_a_reason(messages, words, reason):
    with pytest.raises(ShardError, match=words) as caught:
        from_messages({"images": [], "messages": messages})
    assert caught.value.reason == reason


@pytest.mark.parametrize("texts", ["What?", [{"user": "What?"}], None])
def test_turns_without_user_or_assistant_are_refused(texts):
    with pytest.raises(ShardError, match="expected texts as"):
        from_texts({"images": [], "texts": texts})


def test_a_row_is_asked_with_its_images_first_then_instruction_and_inputs():
    row = {"instruction": "Answer.", "inputs": "What?", "outputs": "A dog.", "images": [b"a", b"b"], "meta": {}}
    text = {"type": "text", "text": "Answer.\nWhat?"}
    assert to_messages(row) == [
        said("user", [{"type": "image"}, {"type": "image"}, text]),
        said("assistant", [{"type": "text", "text": "A dog."}]),
    ]
    assert to_messages({**row, "inputs": ""})[0]["content"][-1] == {"type": "text", "text": "Answer."}


def test_a_conversation_must_mark_as_many_images_as_the_row_has():
    messages = [said("user", [{"type": "image"}, {"type": "text", "text": "What?"}]), said("assistant", [])]
    row = {"id": "r7", "images": [b"a"], "meta": {"messages": messages}}
    assert to_messages(row) == messages
    with pytest.raises(ShardError, match="r7: the messages have 1 places for images, the row has 0") as caught:
        to_messages({**row, "images": []})
    assert caught.value.reason == "images lost"


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
