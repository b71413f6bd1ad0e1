"""One row of M3IT: what converters yield, shards hold and models read.

The published fields are `instruction, inputs, image_base64_str, outputs`; a shard keeps `meta` beside them (a JSON
string).
"""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from M3IT import M3ITError, ShardError

__all__ = [
    "FIELDS",
    "Drop",
    "Instance",
    "M3ITError",
    "ShardError",
    "SourceError",
    "choose",
    "hash_of",
    "shuffled",
    "text",
    "to_json",
]

# Of a shard's line, in this order, never fewer or more.
FIELDS = ("instruction", "inputs", "image_base64_str", "outputs", "meta")
_ENCODER = json.JSONEncoder(ensure_ascii=False)


class SourceError(M3ITError):
    """The authors' files are not what their documentation says."""


@dataclass(frozen=True)
class Instance:
    """One row: `images` are the bytes of image files, in order; a converter may give things with `read() ->
    [bytes]`."""

    id: str
    inputs: str
    images: Sequence[Any]
    outputs: str
    instruction: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


class Drop(NamedTuple):
    """A row that a converter leaves out on purpose; every reason is counted."""

    id: str
    reason: str


def text(value: str) -> str:
    """The text in Unicode form NFC, without blanks around it; inner line breaks stay."""
    return (value if value.isascii() else unicodedata.normalize("NFC", value)).strip()


def to_json(value: Any) -> str:
    """The value as JSON text, in the characters that it has; without a new encoder for each, as `json.dumps` makes."""
    return _ENCODER.encode(value)


def hash_of(dataset: str, row_id: str, seed: int = 0, purpose: str = "") -> int:
    """A 64-bit number that depends on its arguments only: the one source of every choice we make."""
    key = to_json([dataset, row_id, seed, purpose])
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest(), "big")


def choose(options: Sequence[Any], dataset: str, row_id: str, seed: int = 0) -> Any:
    """The option that this row gets, the same on every run and machine; `dataset`, not config, so that translations
    agree."""
    return options[hash_of(dataset, row_id, seed) % len(options)]


def shuffled(options: Sequence[Any], dataset: str, row_id: str, seed: int = 0) -> list[Any]:
    """All options in the order that this row gets, by the same hash as `choose`."""
    order = sorted(range(len(options)), key=lambda i: hash_of(dataset, row_id, seed, f"shuffle {i}"))
    return [options[i] for i in order]
