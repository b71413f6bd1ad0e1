"""Rows as conversations: from the messages of other people's sets, and to the messages of a chat template."""

import json
from typing import Any

from M3IT import ShardError


def pictures(row: dict[str, Any]) -> list[Any]:
    """The images of a row under any of their names, in order."""
    for name in ("images", "image_base64_str", "image"):
        if row.get(name) is not None:
            return row[name] if isinstance(row[name], list) else [row[name]]
    return []


def from_messages(row: dict[str, Any]) -> dict[str, Any]:
    """A row of TRL's shape: a question and an answer become inputs and outputs; a longer conversation stays in meta."""
    texts = [message["content"] for message in row["messages"] if isinstance(message["content"], str)]
    tagged = len(pictures(row)) > 0 and sum(text.count("<image>") for text in texts) == len(pictures(row))
    messages = [{"role": m["role"], "content": _content(m["content"], tagged)} for m in row["messages"]]
    asked = [message for message in messages if message["role"] == "user"]
    answers = [message for message in messages if message["role"] == "assistant"]
    if not asked or not answers:
        raise ShardError(
            f"expected messages of a user and an assistant, found {', '.join(m['role'] for m in messages) or 'none'}",
            "no answer",
        )
    placed = any(part["type"] == "image" for message in messages for part in message["content"])
    simple = len(messages) == 2 and (
        not placed or [part["type"] for part in asked[0]["content"]] == ["image"] * len(pictures(row)) + ["text"]
    )
    if not placed:
        asked[0]["content"] = [{"type": "image"}] * len(pictures(row)) + asked[0]["content"]
    meta = {} if simple else {"messages": messages}
    return {
        "instruction": "",
        "inputs": _text(asked[0]),
        "outputs": _text(answers[-1]),
        "meta": json.dumps(meta, ensure_ascii=False),
    }


def from_texts(row: dict[str, Any]) -> dict[str, Any]:
    """A row of FineVision's shape: its turns as messages, the images before the first."""
    turns = row["texts"]
    if not isinstance(turns, list) or not all(
        isinstance(turn, dict) and {"user", "assistant"} <= set(turn) for turn in turns
    ):
        raise ShardError('expected texts as [{"user": ..., "assistant": ...}]', "no answer")
    messages = [{"role": role, "content": turn[role]} for turn in turns for role in ("user", "assistant")]
    return from_messages({"images": pictures(row), "messages": messages})


def _content(content: Any, tagged: bool) -> list[dict[str, Any]]:
    """The parts of a message: images without their pixels, texts; `tagged`: a text has <image> where an image is."""
    if isinstance(content, str) and tagged:
        parts = [
            part for text in content.split("<image>") for part in ({"type": "image"}, {"type": "text", "text": text})
        ]
        return [part for part in parts[1:] if part.get("text") != ""]
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not all(
        isinstance(part, dict) and part.get("type") in ("image", "text") for part in content
    ):
        raise ShardError(
            f"expected a text, or parts of type image and text, found {json.dumps(content, default=str)[:80]}",
            "unknown content",
        )
    return [
        {"type": "text", "text": part.get("text") or ""} if part["type"] == "text" else {"type": "image"}
        for part in content
    ]


def _text(message: dict[str, Any]) -> str:
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "text")


def to_messages(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of a row of a mixture, for a chat template: images first, then instruction and inputs, a line each.

    ShardError, with the row id, where a conversation marks another number of images than the row has.
    """
    messages = row["meta"].get("messages")
    if messages is None:
        prompt = "\n".join(text for text in (row["instruction"], row["inputs"]) if text)
        content = [{"type": "image"} for _ in row["images"]] + [{"type": "text", "text": prompt}]
        answer = [{"type": "text", "text": row["outputs"]}]
        return [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
    marked = sum(part["type"] == "image" for message in messages for part in message["content"])
    if marked != len(row["images"]):
        raise ShardError(
            f"{row['id']}: the messages have {marked} places for images, the row has {len(row['images'])}",
            "images lost",
        )
    return messages
