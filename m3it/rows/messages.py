"""Rows as conversations: from the messages of other people's sets, and to the messages of a chat template.

In our form a message is {"role", "content"}, its content a list of parts: {"type": "text", "text"}, and {"type":
"image"} where a picture of the row stands.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from M3IT import ShardError

MARK = "<image>"  # by which sets whose messages are plain texts say where a picture stands
WORD = "< image >"  # how it is written there where a text speaks of it
ROLES = {
    "human": "user",
    "gpt": "assistant",
    "user": "user",
    "assistant": "assistant",
    "system": "system",
}  # LLaVA's


def pictures(row: dict[str, Any]) -> list[Any]:
    """The images of a row under any of their names, in order."""
    for name in ("images", "image_base64_str", "image"):
        if row.get(name) is not None:
            return row[name] if isinstance(row[name], list) else [row[name]]
    return []


# ---- from other people's rows


def from_messages(row: dict[str, Any]) -> dict[str, Any]:
    """A row of TRL's shape: a question and an answer become inputs and outputs; a longer conversation stays in meta."""
    if not isinstance(row["messages"], list):
        raise ShardError(f"expected a list of messages, found {_told(row['messages'])}", "no messages")
    return _as_row([_turn(message) for message in row["messages"]], len(pictures(row)))


def from_completion(row: dict[str, Any]) -> dict[str, Any]:
    """A row of TRL's other shape, as our releases have it too: prompt and completion, each a text or messages."""
    said: list[Any] = []
    for name, role in (("prompt", "user"), ("completion", "assistant")):
        part = row[name]
        if not isinstance(part, (str, list)):
            raise ShardError(f"expected a text or messages in {name}, found {_told(part)}", "no messages")
        said += [{"role": role, "content": part}] if isinstance(part, str) else part
    return from_messages({**row, "messages": said})


def from_conversations(row: dict[str, Any]) -> dict[str, Any]:
    """A row of LLaVA's shape: what `from` said is its `value`; a line break beside an <image> is part of the mark."""
    said = row["conversations"]
    if not isinstance(said, list):
        raise ShardError(f"expected a list of conversations, found {_told(said)}", "no messages")
    turns = [_turn(message) for message in said]
    count = len(pictures(row))
    bare = [(r, re.sub(rf"\n?{MARK}\n?", MARK, c) if count and isinstance(c, str) else c) for r, c in turns]
    return _as_row(bare, count)


def from_texts(row: dict[str, Any]) -> dict[str, Any]:
    """A row of FineVision's shape: its turns as messages, the images before the first."""
    turns = row["texts"]
    if not isinstance(turns, list) or not all(
        isinstance(turn, dict) and {"user", "assistant"} <= set(turn) for turn in turns
    ):
        raise ShardError('expected texts as [{"user": ..., "assistant": ...}]', "no answer")
    messages = [{"role": role, "content": turn[role]} for turn in turns for role in ("user", "assistant")]
    return from_messages({"images": pictures(row), "messages": messages})


def _turn(message: Any) -> tuple[str, Any]:
    """(role, content) of a message in either spelling: role and content, or from and value."""
    if not isinstance(message, dict):
        raise ShardError(f"expected a message with role and content, found {_told(message)}", "unknown content")
    if message.get("tool_calls"):
        raise ShardError(f"expected a text, found tool calls {_told(message['tool_calls'])}", "unknown content")
    if message.get("role") is None and message.get("from") is not None:
        role, content = ROLES.get(str(message["from"])), message.get("value")
    else:
        role, content = message.get("role"), message.get("content")
        role = ROLES.get(role, role) if isinstance(role, str) else None
    if role is None:
        raise ShardError(f"expected a message of a user or an assistant, found {_told(message)}", "unknown role")
    return role, content


def _places(messages: list[dict[str, Any]], count: int) -> set[str]:
    """The roles whose <image> are places of the row's `count` images: none where parts are images, these and no others,
    or where nothing marks a place; else those who ask, or all, whichever have as many. Any other <image> is a word.

    ShardError where there are more places or fewer.
    """
    parts = [(message["role"], part) for message in messages for part in message["content"]]
    explicit = sum(part["type"] == "image" for _, part in parts)
    marks = Counter(role for role, part in parts for _ in range(part.get("text", "").count(MARK)))
    asked, said = marks.total() - marks["assistant"], marks.total()
    if not explicit and asked == count:
        return set(marks) - {"assistant"}
    places = explicit or said or count
    if places != count:
        raise ShardError(f"the messages have {places} places for images, the row has {count}", "images lost")
    return set() if explicit else set(marks)


def _split(text: str) -> list[dict[str, Any]]:
    """The parts of a text whose marks are places of images."""
    if MARK not in text:
        return [{"type": "text", "text": text}]
    parts = [part for words in text.split(MARK) for part in ({"type": "image"}, {"type": "text", "text": words})]
    return [part for part in parts[1:] if part.get("text") != ""]


def _parts(content: Any) -> list[dict[str, Any]]:
    """The parts of a message: texts, and images without their pixels."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not all(
        isinstance(part, dict)
        and (part.get("type") == "image" or part.get("type") == "text" and isinstance(part.get("text") or "", str))
        for part in content
    ):
        told = f"expected a text, or parts of type image and text, found {_told(content)}"
        raise ShardError(told, "unknown content")
    return [
        {"type": "text", "text": part.get("text") or ""} if part["type"] == "text" else {"type": "image"}
        for part in content
    ]


def _as_row(turns: list[tuple[str, Any]], count: int) -> dict[str, Any]:
    """The columns of a conversation about `count` images; those that nothing gives a place come before its question."""
    messages: list[dict[str, Any]] = [{"role": role, "content": _parts(content)} for role, content in turns]
    roles = [role for role, _ in turns]
    if "user" not in roles or "assistant" not in roles[roles.index("user") :]:
        found = ", ".join(roles) or "none"
        raise ShardError(f"expected messages of a user and an assistant, found {found}", "no answer")
    marking = _places(messages, count)
    for message in messages:
        if message["role"] in marking:
            message["content"] = [piece for part in message["content"] for piece in _split(part["text"])]
    asked, answer = messages[roles.index("user")], messages[last_answer(messages)]
    simple = roles == ["user", "assistant"]
    if any(part["type"] == "image" for message in messages for part in message["content"]):
        simple &= [part["type"] for part in asked["content"]] == ["image"] * count + ["text"]
    else:
        asked["content"] = [{"type": "image"}] * count + asked["content"]
    return {
        "instruction": "",
        "inputs": text_of(asked),
        "outputs": text_of(answer),
        "meta": json.dumps({} if simple else {"messages": messages}, ensure_ascii=False),
    }


def marked_text(message: dict[str, Any], after: str = "") -> str:
    """A message of our form as one text, with a mark where a picture stands and `after` after each. An <image> that a
    text speaks of gets blanks, so that there are as many marks as pictures."""
    return "".join(
        part["text"].replace(MARK, WORD) if part["type"] == "text" else MARK + after for part in message["content"]
    )


def text_of(message: dict[str, Any]) -> str:
    """The texts of a message of our form, a line each."""
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "text")


def _told(value: Any) -> str:
    """What a value is, for an error: how its JSON begins."""
    try:
        return json.dumps(value, default=str, ensure_ascii=False)[:80]
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__}"


# ---- to a chat template


def prompt_of(row: dict[str, Any]) -> str:
    """What a model is asked, after the pictures: instruction and inputs, a line each."""
    return "\n".join(text for text in (row["instruction"], row["inputs"]) if text)


def to_messages(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of a row of a mixture, for a chat template: images first, then instruction and inputs, a line each.

    ShardError, with the row id, where a conversation is not in our form, or marks another number of images than the row
    has.
    """
    messages = row["meta"].get("messages")
    if messages is None:
        content = [{"type": "image"} for _ in row["images"]] + [{"type": "text", "text": prompt_of(row)}]
        answer = [{"type": "text", "text": row["outputs"]}]
        return [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
    if not isinstance(messages, list) or not all(map(_is_ours, messages)) or last_answer(messages) < 0:
        told = 'messages in meta as {"role", "content": parts of type image and text}, of a user and an assistant'
        raise ShardError(f"{row['id']}: expected {told}, found {_told(messages)}", "unknown content")
    marked = sum(part["type"] == "image" for message in messages for part in message["content"])
    if marked != len(row["images"]):
        raise ShardError(
            f"{row['id']}: the messages have {marked} places for images, the row has {len(row['images'])}",
            "images lost",
        )
    return messages


def _is_ours(message: Any) -> bool:
    """Whether a message is in our form."""
    return (
        isinstance(message, dict)
        and isinstance(message.get("role"), str)
        and isinstance(message.get("content"), list)
        and all(
            isinstance(part, dict)
            and (part.get("type") == "image" or part.get("type") == "text" and isinstance(part.get("text"), str))
            for part in message["content"]
        )
    )


def last_answer(messages: Sequence[dict[str, Any]]) -> int:
    """Which message is the last of the assistant; -1 where it says nothing."""
    return max((i for i, message in enumerate(messages) if message["role"] == "assistant"), default=-1)


def split_answer(messages: list[dict[str, Any]], row_id: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(prompt, completion): what comes before the last answer, and that answer. ShardError where no question comes
    before it, or an image only after it."""
    last = last_answer(messages)
    if last < 1:
        raise ShardError(f"{row_id}: expected a question before the answer, found none", "no answer")
    if any(part["type"] == "image" for message in messages[last:] for part in message["content"]):
        raise ShardError(f"{row_id}: expected its images before the last answer, found one after", "images lost")
    return messages[:last], messages[last : last + 1]
