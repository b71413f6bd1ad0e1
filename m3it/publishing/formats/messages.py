"""Rows as conversations, with image files: what ms-swift, LLaMA-Factory and nanoVLM read.

Out: the columns messages, images and texts, those to filter by, and the row's own texts; dataset_info.json, where
LLaMA-Factory looks for its sets. One row:

    messages  [{"role": "user", "content": "<image>Answer the question.\\nWhat is 3?"},
               {"role": "assistant", "content": "answer 3"}]                                ms-swift, LLaMA-Factory
    texts     [{"user": "Answer the question.\\nWhat is 3?", "assistant": "answer 3"}]      nanoVLM, as in FineVision
"""

import json
import posixpath
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from m3it.publishing.columns import FILTERS, IMAGES, MESSAGES, TEXTS, Rows, parquet_kind
from m3it.rows.messages import marked_text, text_of

NOTE = (
    "Each row is a conversation, for other trainers: `messages` with an `<image>` for each picture "
    "(ms-swift; LLaMA-Factory, by `dataset_info.json`), `texts` without (nanoVLM), `images` as files."
)
HAS_CONFIGS = True
further = None
SNIPPET = """from datasets import load_dataset

dataset = load_dataset("THIS", "{config}", split="{split}", streaming=True)
"""
TURNS = pa.list_(pa.struct({"user": pa.string(), "assistant": pa.string()}))


def conversations(rows: Rows) -> dict[str, pa.Array]:
    """The columns that only this format has: what was said, with marks where pictures stand and without."""
    messages = [
        [{"role": message["role"], "content": marked_text(message)} for message in row["messages"]] for row in rows
    ]
    turns = [list(pairs(row["messages"])) for row in rows]
    return {"messages": pa.array(messages, MESSAGES), "texts": pa.array(turns, TURNS)}


def pairs(messages: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    """Questions and answers by turns; what else comes before an answer is part of its question."""
    asked: list[str] = []
    for message in messages:
        if message["role"] == "assistant":
            yield {"user": "\n".join(asked), "assistant": text_of(message)}
            asked = []
        else:
            asked.append(text_of(message))


OWN = {**TEXTS, "meta": pa.string()}  # by these m3it reads the row again
SCHEMA = pa.schema({"messages": MESSAGES, "images": IMAGES, "texts": TURNS, **FILTERS, **OWN})
KINDS = {"messages": parquet_kind(SCHEMA, conversations)}


def beside(configs: dict[str, dict[str, Any]]) -> dict[str, str]:
    """dataset_info.json of LLaMA-Factory: each file as a set, `viquae-train`; its README in data/ says what is what."""
    about = {
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {"role_tag": "role", "content_tag": "content"}
        | {f"{role}_tag": role for role in ("user", "assistant", "system")},
    }
    sets = {
        f"{name}-{posixpath.basename(path).removesuffix('.parquet')}": {"file_name": path, **about}
        for name, config in configs.items()
        for made in config["splits"].values()
        for path in made["paths"]
    }
    return {"dataset_info.json": json.dumps(sets, indent=1) + "\n"}
