"""The words of a dataset card's YAML head: features, tags, sizes, and how a text is spelled there."""

import json
import re

import pyarrow as pa

TEXT = {"dtype": "string", "_type": "Value"}
CATEGORIES = (
    "image-to-text",
    "visual-question-answering",
    "image-classification",
    "video-text-to-text",
    "image-text-to-text",
)
PLAIN = re.compile(
    r"(?!(?:yes|no|on|off|true|false|null)$)[a-z][\w./-]*", re.IGNORECASE
)  # what YAML takes for a string


def scalar(text: str) -> str:
    """The text as YAML reads it back: in quotes where it would be a number, a truth value or a sign of its own."""
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def size_category(num_rows: int) -> str:
    """The Hub's name for a number of rows: n<1K, 1K<n<10K, ..."""
    bounds = ["1K", "10K", "100K", "1M", "10M"]
    for exponent, bound in enumerate(bounds, 3):
        if num_rows < 10**exponent:
            return f"n<{bound}" if exponent == 3 else f"{bounds[exponent - 4]}<n<{bound}"
    return "10M<n<100M"


STRUCT_FIELD = "{{name: {name}, dtype: {dtype}}}"


def spelling(type: pa.DataType) -> str:
    """A column's type in a README's YAML, as every version of `datasets` reads it."""
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return f"list: {spelling(type.value_type)}"
    if pa.types.is_struct(type) and {field.name for field in type} == {"bytes", "path"}:
        return "image"
    if pa.types.is_struct(type):
        return f"[{', '.join(STRUCT_FIELD.format(name=field.name, dtype=field.type) for field in type)}]"
    return str(type).removeprefix("large_")
