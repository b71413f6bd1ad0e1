"""Rows as LLaVA's conversations, with each picture as a file: what LLaVA, LLaVA-NeXT, Qwen-VL's finetuning and InternVL
read.

Out, in a folder of the config's name:

    train.jsonl, train.json             the same rows as lines (InternVL, Qwen-VL) and as an array (LLaVA, LLaVA-NeXT)
    images/4f/4f0c...e1.jpg             each picture once, named by its sha256 and its true kind
    ../internvl.json                    where InternVL looks for its sets, seen from the release's folder

One row; without pictures it has no `image`, with several it has a list, and an <image> in the question for each:

    {"id": "3", "image": "images/4f/4f0c...e1.jpg",
     "conversations": [{"from": "human", "value": "<image>\\nAnswer the question.\\nWhat is 3?"},
                       {"from": "gpt", "value": "answer 3"}],
     "instruction": "Answer the question.", "inputs": "What is 3?", "outputs": "answer 3",
     "license": "CC-BY-4.0", "image_license": "unknown", "image_attribution": "", "meta": "{...}"}
"""

import json
import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from M3IT import media_type
from m3it.publishing.columns import ENDINGS, TERMS, FileKind, Rows, Writer
from m3it.rows.instance import to_json
from m3it.rows.messages import marked_text
from m3it.work.folder import Folder

HAS_CONFIGS = False  # `image` is a text or a list of texts, which no column of Parquet is
NOTE = (
    "Each row is a conversation, with its pictures as files: LLaVA, LLaVA-NeXT, Qwen-VL's finetuning and InternVL read "
    "it. A row with several pictures has a list in `image`. The trainer of LLaVA-1.5 takes one picture a row: it holds "
    "no pairs of pictures, and no frames of a video."
)
SNIPPET = """# LLaVA:     --data_path THIS/{config}/{split}.json --image_folder THIS/{config}
# Qwen-VL:   {{"annotation_path": "THIS/{config}/{split}.jsonl", "data_path": "THIS/{config}"}}
# InternVL:  --meta_path internvl.json, in THIS folder
from m3it import Mixture, Part

mixture = Mixture(None, parts=[Part("THIS", "{config}", split="{split}")])
"""
FROM = {"user": "human", "assistant": "gpt"}


def conversation(messages: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Messages as turns of two; what comes before a question, such as a system prompt, begins it."""
    turns, before = [], ""
    for message in messages:
        text = f"{before}{marked_text(message, after=chr(10))}"
        if message["role"] in FROM:
            turns.append({"from": FROM[message["role"]], "value": text})
        before = "" if message["role"] in FROM else f"{text}\n"
    return turns


def as_line(row: dict[str, Any], names: list[str]) -> str:
    """The JSON of a row whose pictures have these names."""
    image = {"image": names[0] if len(names) == 1 else names} if names else {}
    own = {name: row[name] for name in ("instruction", "inputs", "outputs", *TERMS, "image_attribution", "meta")}
    return to_json({"id": row["row_id"], **image, "conversations": conversation(row["messages"]), **own})


def names_of(row: dict[str, Any]) -> list[str]:
    """Where the pictures of a row lie below the folder of their config."""
    pairs = zip(row["image_sha256"], row["files"], strict=True)
    return [f"images/{sha256[:2]}/{sha256}.{ENDINGS[media_type(file)]}" for sha256, file in pairs]


def keep_pictures(row: dict[str, Any], folder: Folder) -> None:
    """Write the pictures of a row that are not there yet; a file has its name when it is whole."""
    for name, file in zip(names_of(row), row["files"], strict=True):
        path = Path(folder.root, name)
        if path.exists() and path.stat().st_size == len(file):
            continue
        with folder.writing(name) as unfinished:
            unfinished.write_bytes(file)


def further(file: Any) -> Iterator[str]:
    """The pictures that the lines of a file name, as often as they do."""
    for line in file:
        names = json.loads(line).get("image", [])
        yield from [names] if isinstance(names, str) else names


class Lines:
    """A file of rows to write to: lines, or the items of an array, which lie on a line each."""

    def __init__(self, write: Callable[[str], Any], between: str, folder: Folder | None):
        self.put, self.between, self.folder, self.num_rows = write, between, folder, 0

    def write(self, rows: Rows, about: dict[str, str]) -> None:
        for row in rows:
            if self.folder:
                keep_pictures(row, self.folder)
            self.put(f"{self.between * bool(self.num_rows)}{as_line(row, names_of(row))}")
            self.num_rows += 1


@contextmanager
def open_lines(path: Path) -> Iterator[Writer]:
    """JSON Lines, and the pictures in the folder around them."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        yield Lines(file.write, "\n", Folder(path.parent))
        file.write("\n")


@contextmanager
def open_array(path: Path) -> Iterator[Writer]:
    """The same rows as an array; their pictures are kept beside the lines."""
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write("[\n")
        yield Lines(file.write, ",\n", None)
        file.write("\n]\n")


def tally(file: Any) -> tuple[int, int]:
    """The rows of a file and its bytes."""
    num_rows = num_bytes = 0
    for line in file:
        num_rows += line.startswith(b"{")
        num_bytes += len(line)
    return num_rows, num_bytes


SCHEMA = pa.schema({"conversations": pa.list_(pa.struct({"from": pa.string(), "value": pa.string()}))})
KINDS = {
    "llava": FileKind(SCHEMA, open_lines, tally, "jsonl"),
    "llava-array": FileKind(SCHEMA, open_array, tally, "json"),
}


def beside(configs: dict[str, dict[str, Any]]) -> dict[str, str]:
    """internvl.json: each file of lines as a set, `viquae-train`."""
    sets = {
        f"{name}-{posixpath.basename(path).removesuffix('.jsonl')}": {
            "root": f"{name}/", "annotation": path, "data_augment": False, "repeat_time": 1, "length": num_rows,
        }
        for name, config in configs.items()
        for made in config["splits"].values()
        for path, num_rows in zip(made["paths"], made["counts"], strict=True)
    }  # fmt: skip
    return {"internvl.json": json.dumps(sets, indent=1) + "\n"}
