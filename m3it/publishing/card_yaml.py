"""The YAML head of a dataset card: how it is cut from README.md and written back, and how types, texts and sizes are
spelled in it."""

import json
import math
import re
from itertools import chain
from typing import Any

import pyarrow as pa

from M3IT import SPLITS, Repository

SPLIT_ORDER = tuple(dict.fromkeys(SPLITS.values()))  # train, validation, test
TEXT = {"dtype": "string", "_type": "Value"}
CATEGORIES = (
    "image-to-text",
    "visual-question-answering",
    "image-classification",
    "video-text-to-text",
    "image-text-to-text",
)
MOST_WRITTEN_OUT = 10  # times the size of a head, or a megabyte, are its aliases written out
HEAD = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?(?:\n|\Z)", re.DOTALL | re.MULTILINE)
BETWEEN_KEYS = re.compile(r"\s*(#.*)?")  # a line that belongs to no key: nothing, or a comment
PLAIN = re.compile(r"(?!(?:yes|no|on|off|true|false|null)$)[a-z][\w./-]*", re.IGNORECASE)  # YAML takes it for a string
STRUCT_FIELD = "{{name: {name}, dtype: {dtype}}}"


def read_readme(repository: Repository) -> str:
    """README.md of a repository; "" where there is none."""
    path = f"{repository.root}/README.md"
    return repository.fs.cat_file(path).decode("utf-8", "replace") if repository.fs.exists(path) else ""


def cut_head(readme: str) -> tuple[str | None, str]:
    """(the lines between the two lines --- that README.md begins with, all after them); None where it has no head."""
    match = HEAD.match(readme)
    return (match[1], readme[match.end() :]) if match else (None, readme)


def replace_keys(head: str, texts: dict[str, str]) -> str:
    """The head with the lines of some keys made anew, each where it stands, those that are new at the end. Every other
    line stays as it is, comments too. ValueError unless the head is YAML of `key: value` lines."""
    lines, keys = head.splitlines(keepends=True), find_keys(head)
    starts = [*(start for start, _ in keys), len(lines)]
    kept, new = lines[: starts[0]], dict(texts)
    for (start, key), end in zip(keys, starts[1:], strict=True):
        if key in texts:
            own_end = end  # comments above the next key are that key's
            while BETWEEN_KEYS.fullmatch(lines[own_end - 1].rstrip("\r\n")):
                own_end -= 1
            kept += [new.pop(key, ""), *lines[own_end:end]]
        else:
            kept += lines[start:end]
    return "".join([*kept, *new.values()])


def complete_head(head: str | None, measured: dict[str, str], defaults: dict[str, str]) -> str:
    """A user's head with the measured keys made anew, and the defaults of the keys that it has not; all of them, in
    the order that they are given in, where there is no head."""
    known = {key for _, key in find_keys(head or "")}
    given = defaults | measured
    return replace_keys(head or "", {key: given[key] for key in given if key in measured or key not in known})


def parse_head(head: str) -> tuple[Any, Any]:
    """(the node that a head's YAML consists of, what it says); None and None for nothing. ValueError if it is no YAML,
    or its aliases (`*name`) stand for more than a card can hold: a few lines can stand for billions."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(head)
    try:
        node = loader.get_single_node()
        if node and written_out(node, {}) > MOST_WRITTEN_OUT * max(len(head), 1_000_000):
            raise ValueError("found aliases that stand for more than a card can hold")
        return node, loader.construct_document(node) if node else None
    except RecursionError as error:
        raise ValueError("expected YAML in its head, found some that is nested too deep") from error
    # A scalar that is not of its tag (a 13th month, !!int x) raises what its conversion happens to raise.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError, TypeError) as error:
        raise ValueError(f"expected YAML in its head, {' '.join(str(error).split())}") from error
    finally:
        loader.dispose()


def written_out(node: Any, sizes: dict[int, float]) -> float:
    """How large a YAML node is with its aliases written out, in letters and values: infinite where one stands for
    itself. `sizes` holds those of the nodes that were seen."""
    if id(node) not in sizes:
        sizes[id(node)] = math.inf  # until it is known: an alias in it to itself finds this
        inner = node.value if isinstance(node.value, list) else ()
        parts = chain.from_iterable(part if isinstance(part, tuple) else (part,) for part in inner)
        own = 1 if inner else 1 + len(node.value)
        sizes[id(node)] = own + sum(written_out(part, sizes) for part in parts)
    return sizes[id(node)]


def find_keys(head: str) -> list[tuple[int, str]]:
    """(number of its first line, key) of the keys of a head; ValueError unless it is YAML of `key: value` lines."""
    import yaml

    mapping, _ = parse_head(head)
    is_lines = isinstance(mapping, yaml.MappingNode) and not mapping.flow_style and not mapping.start_mark.column
    if mapping is not None and not is_lines:
        raise ValueError(f"expected lines `key: value` in its head, found {head.strip()[:40]!r}")
    return [(key.start_mark.line, str(key.value)) for key, _ in mapping.value] if mapping else []


def as_list(value: Any) -> list[Any]:
    """What YAML has as one value or as several; none for nothing."""
    return value if isinstance(value, list) else [] if value is None else [value]


def mappings(value: Any) -> list[dict[str, Any]]:
    """Those of the values that are mappings."""
    return [entry for entry in as_list(value) if isinstance(entry, dict)]


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


def spelling(type: pa.DataType) -> str:
    """A column's type in a README's YAML, as every version of `datasets` reads it."""
    if pa.types.is_list(type) or pa.types.is_large_list(type):
        return f"list: {spelling(type.value_type)}"
    if pa.types.is_struct(type) and {field.name for field in type} == {"bytes", "path"}:
        return "image"
    if pa.types.is_struct(type):
        return f"[{', '.join(STRUCT_FIELD.format(name=field.name, dtype=field.type) for field in type)}]"
    return str(type).removeprefix("large_")


def spelling_of(feature: dict[str, Any]) -> str:
    """A feature of a README's YAML in the words of `spelling`."""
    inner = feature.get("list") or feature.get("sequence")
    if isinstance(inner, list):
        columns = [(column.get("name"), column.get("dtype")) for column in mappings(inner)]
        inner = f"[{', '.join(STRUCT_FIELD.format(name=name, dtype=dtype) for name, dtype in columns)}]"
    return f"list: {inner}" if inner else str(feature.get("dtype"))
