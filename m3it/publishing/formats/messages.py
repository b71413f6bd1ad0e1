"""Rows as conversations, with image files: what ms-swift, LLaMA-Factory and nanoVLM read.

Out: the columns messages, images and texts, and those to filter by; dataset_info.json, where LLaMA-Factory looks for
its sets. One row:

    messages  [{"role": "user", "content": "<image>Answer the question.\\nWhat is 3?"},
               {"role": "assistant", "content": "answer 3"}]                                ms-swift, LLaMA-Factory
    texts     [{"user": "Answer the question.\\nWhat is 3?", "assistant": "answer 3"}]      nanoVLM, as in FineVision
"""

import json
import posixpath
from typing import Any

import pyarrow as pa

from m3it.publishing.columns import FILTERS, IMAGES, MESSAGES, Rows, parquet_kind

NOTE = (
    "Each row is a conversation, for other trainers: `messages` with an `<image>` for each picture "
    "(ms-swift; LLaMA-Factory, by `dataset_info.json`), `texts` without (nanoVLM), `images` as files."
)
SNIPPET = """from datasets import load_dataset

dataset = load_dataset("THIS", "{config}", split="{split}", streaming=True)
"""
TURNS = pa.list_(pa.struct({"user": pa.string(), "assistant": pa.string()}))


def conversations(rows: Rows) -> dict[str, pa.Array]:
    """The columns that only this format has: the prompt of each row, with its instruction, and the answer."""
    asked = ["\n".join(text for text in (row["instruction"], row["inputs"]) if text) for row in rows]
    messages = [
        [
            {"role": "user", "content": "<image>" * row["num_images"] + text},
            {"role": "assistant", "content": row["outputs"]},
        ]
        for row, text in zip(rows, asked, strict=True)
    ]
    turns = [[{"user": text, "assistant": row["outputs"]}] for row, text in zip(rows, asked, strict=True)]
    return {"messages": pa.array(messages, MESSAGES), "texts": pa.array(turns, TURNS)}


KIND = parquet_kind(pa.schema({"messages": MESSAGES, "images": IMAGES, "texts": TURNS, **FILTERS}), conversations)


def beside(configs: dict[str, dict[str, Any]]) -> dict[str, str]:
    """dataset_info.json of LLaMA-Factory: each file as a set, `viquae-train`; its README in data/ says what is what."""
    about = {
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
    }
    sets = {
        f"{name}-{posixpath.basename(path).removesuffix('.parquet')}": {"file_name": path, **about}
        for name, config in configs.items()
        for made in config["splits"].values()
        for path in made["paths"]
    }
    return {"dataset_info.json": json.dumps(sets, indent=1) + "\n"}
