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
from m3it.rows.messages import from_conversations, from_messages, from_texts, pictures, split_answer, to_messages


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


def test_a_mark_is_the_place_of_an_image():
    row = {"images": ["a"], "messages": [said("user", "See <image> here?"), said("assistant", "Yes.")]}
    placed = json.loads(from_messages(row)["meta"])["messages"][0]["content"]
    assert placed == [{"type": "text", "text": "See "}, {"type": "image"}, {"type": "text", "text": " here?"}]
    parts = [{"type": "text", "text": "See <image> here?"}]
    again = from_messages({**row, "messages": [said("user", parts), said("assistant", "Yes.")]})
    assert json.loads(again["meta"])["messages"][0]["content"] == placed


@pytest.mark.parametrize("images", [[], ["a"], ["a", "b", "c"]])
@pytest.mark.parametrize("parts", [False, True])
def test_two_marks_are_the_places_of_two_images_and_of_no_other_number(images, parts):
    asked = [{"type": "text", "text": "<image> or <image>?"}] if parts else "<image> or <image>?"
    row = {"images": images, "messages": [said("user", asked), said("assistant", "The first.")]}
    with pytest.raises(ShardError, match=f"have 2 places for images, the row has {len(images)}") as caught:
        from_messages(row)
    assert caught.value.reason == "images lost"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ([{"type": "image"}, {"type": "text", "text": "What is <image> in HTML?"}], "No tag: <image> is none."),
        ("<image>Which tag shows it?", "Not <image>, but <img>."),
    ],
)
def test_a_mark_beyond_the_places_of_the_images_is_a_word(question, answer):
    row = from_messages({"images": ["a"], "messages": [said("user", question), said("assistant", answer)]})
    asked = question[-1]["text"] if isinstance(question, list) else question.removeprefix("<image>")
    assert row == {"instruction": "", "inputs": asked, "outputs": answer, "meta": "{}"}


def test_a_row_of_llava_is_what_was_said_from_whom():
    said_by = [("human", "<image>\nWhat?"), ("gpt", "A dog."), ("human", "Where?"), ("gpt", "Here.")]
    row = {"image": "a.jpg", "conversations": [{"from": who, "value": text} for who, text in said_by]}
    short = from_conversations({**row, "conversations": row["conversations"][:2]})
    assert short == {"instruction": "", "inputs": "What?", "outputs": "A dog.", "meta": "{}"}
    messages = json.loads(from_conversations(row)["meta"])["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    assert messages[0]["content"] == [{"type": "image"}, {"type": "text", "text": "What?"}]
    behind = [{"from": "human", "value": "What?\n<image>"}, {"from": "gpt", "value": "A dog."}]
    placed = json.loads(from_conversations({**row, "conversations": behind})["meta"])["messages"][0]["content"]
    assert placed == [{"type": "text", "text": "What?"}, {"type": "image"}]
    alone = [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "2+2?"},
        {"from": "gpt", "value": "4"},
    ]
    roles = [
        message["role"] for message in json.loads(from_conversations({"conversations": alone})["meta"])["messages"]
    ]
    assert roles == ["system", "user", "assistant"]


@pytest.mark.parametrize(
    ("messages", "words", "reason"),
    [
        ([said("user", "What?")], "expected messages of a user and an assistant, found user", "no answer"),
        ([], "found none", "no answer"),
        ([said("user", 7), said("assistant", "x")], "parts of type image and text, found 7", "unknown content"),
        ([said("user", [{"type": "audio"}]), said("assistant", "x")], "found .*audio", "unknown content"),
        (None, "expected a list of messages, found null", "no messages"),
        ("What?", "expected a list of messages, found .What", "no messages"),
        ([1], "expected a message with role and content, found 1", "unknown content"),
        ([{"role": "user"}, said("assistant", "x")], "parts of type image and text, found null", "unknown content"),
        ([{"content": "What?"}, said("assistant", "x")], "expected a message of a user", "unknown role"),
        ([said(7, "What?"), said("assistant", "x")], "expected a message of a user .*7", "unknown role"),
        ([{"from": "tool", "value": "x"}, said("assistant", "x")], "expected a message of a user", "unknown role"),
        ([said("user", [{"type": "text", "text": 7}]), said("assistant", "x")], "found .*7", "unknown content"),
        ([said("user", "x"), {**said("assistant", "x"), "tool_calls": [{"id": 1}]}], "tool calls", "unknown content"),
        ([said("assistant", "x"), said("user", "What?")], "found assistant, user", "no answer"),
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


@pytest.mark.parametrize(
    "messages",
    [
        [{"from": "human", "value": "x"}],
        "x",
        [None],
        [said("user", "x"), said("assistant", "y")],
        [said("user", [{"type": "text"}])],
        [said("user", [])],
    ],
)
def test_messages_of_another_form_in_meta_name_the_row(messages):
    with pytest.raises(ShardError, match="r7: expected messages in meta") as caught:
        to_messages({"id": "r7", "images": [], "meta": {"messages": messages}})
    assert caught.value.reason == "unknown content"


def test_the_last_answer_is_split_from_what_comes_before():
    text = [{"type": "text", "text": "x"}]
    messages = [said("user", [{"type": "image"}, *text]), said("assistant", text), said("user", text)]
    assert split_answer(messages, "r") == (messages[:1], messages[1:2])
    assert split_answer([*messages, said("assistant", text)], "r")[0] == messages
    with pytest.raises(ShardError, match="r: expected a question before the answer"):
        split_answer(messages[1:], "r")
    with pytest.raises(ShardError, match="r: expected its images before the last answer"):
        split_answer([messages[2], said("assistant", messages[0]["content"])], "r")


def test_a_conversation_keeps_all_of_its_turns(tmp_path):
    write_parquet(tmp_path / "chat/train.parquet", [texts_row(7, turns=2)])
    (row,) = itertools.islice(Mixture(None, parts=[Part(str(tmp_path), "chat")], batch_size=1), 1)
    assert (row["inputs"], row["outputs"]) == ("Question 7.0?", "Answer 7.1")
    said = [[part.get("text", "an image") for part in message["content"]] for message in to_messages(row)]
    assert said == [["an image", "Question 7.0?"], ["Answer 7.0"], ["Question 7.1?"], ["Answer 7.1"]]


def test_places_for_images_that_the_row_does_not_have_are_named_with_the_place_of_the_row(tmp_path):
    two = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "Which?"}]
    messages = [{"role": "user", "content": two}, {"role": "assistant", "content": "left"}]
    row = {"id": "pair-9", "images": [base64.b64encode(picture(1)).decode()], "messages": messages}
    write_rows(tmp_path / "set/pairs.jsonl", [row])
    with pytest.raises(ShardError, match="pairs.jsonl:1: the messages have 2 places for images, the row has 1"):
        next(iter(Mixture(None, parts=[Part(str(tmp_path / "set/pairs.jsonl"))], batch_size=1)))
