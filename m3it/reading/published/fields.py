"""The fields of a raw row: texts and pictures under whatever names they have.

IMAGES, INPUTS, OUTPUTS and INSTRUCTIONS are the names that the raw rows of the published repositories use; `by_names`
reads by them a row that m3it/reading/published/table.py does not know. Two names that both fit are an error, never a
choice.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from M3IT import clean_base64
from m3it.rows.instance import ShardError

FILL = re.compile(r"\{([\w.]+)\}")
WORD = re.compile("[A-Za-z][a-z]*")  # of a name: left_img, imgLeft
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

# The names under which raw rows hold one thing; those of the published columns come first.
IMAGES = ("image_base64_str", "images", "video_str", "image_str", "img_str", "image_base64", "base64", "image")
INPUTS = ("inputs", "input", "question", "context", "hypothesis", "sentence")
OUTPUTS = ("outputs", "output", "paraphrased_answer", "response", "answer", "caption", "meta.targets", "sentences")
INSTRUCTIONS = ("instruction", "instruct", "instructions")
REFUSAL = "(?i)not answerable|sorry|image descriptions"  # of a model that was to rewrite an answer

Row = dict[str, Any]


class Unknown(ShardError):
    """A row without the fields that a mapping needs."""


def field(row: Any, path: str) -> Any:
    """The value of a field, or of a field of a field (`meta.targets`); Unknown where it is missing."""
    for name in path.split("."):
        if not isinstance(row, dict) or name not in row:
            raise Unknown(f"expected a field {path!r}", f"no {path}")
        row = row[name]
    return row


def filled(row: Row, path: str) -> bool:
    """Whether the row has something under this name."""
    try:
        return field(row, path) not in (None, "", [], {})
    except Unknown:
        return False


def word(row: Row, path: str, what: str) -> str:
    """The text under this name, the first of a list. A number or a truth value is no text without a class map."""
    value = field(row, path)
    value = value[0] if isinstance(value, list) and value else value
    if value in (None, "", []):
        raise ShardError(f"expected a text in {path}, found nothing", f"no {what}")
    if not isinstance(value, str):
        raise ShardError(f"expected a text in {path}, found {json.dumps(value)[:60]}", f"{what} is no string")
    return value


def text(row: Row, path: str) -> str:
    """The inputs under this name, which may be empty: a caption answers no question."""
    return "" if field(row, path) in ("", None) else word(row, path, "inputs")


def fill(template: str, row: Row, read: Callable[[Row, str], str]) -> str:
    """The template with the row's texts instead of {field}, each by `read`."""
    return FILL.sub(lambda name: read(row, name[1]), template)


def answer(row: Row, path: str) -> str:
    """The outputs under this name."""
    return word(row, path, "outputs")


def joined(row: Row) -> str:
    """The sentences as one text."""
    sentences = field(row, "sentences")
    if not isinstance(sentences, list) or not sentences or not all(isinstance(text, str) for text in sentences):
        raise ShardError(f"expected a list of texts in sentences, found {json.dumps(sentences)[:60]}", "no outputs")
    return " ".join(sentences)


class Mapped(NamedTuple):
    """What a raw row says, before an instruction is chosen; several outputs make several rows."""

    inputs: str
    images: Any
    outputs: Any
    instruction: Any = None


def by_names(row: Row, fields: dict[str, str], text_only: bool = False) -> Mapped:
    """A row by the `fields` that the user names, the others by their usual names: two that fit are an error."""
    meta = row.get("meta")
    if not fields and isinstance(meta, dict) and "inputs" in meta and "image_base64_str" in meta:  # a rephrased row
        return Mapped(text(meta, "inputs"), meta["image_base64_str"], answer(row, "answer"), meta.get("instruction"))
    try:
        inputs = fields["inputs"] if "inputs" in fields else only(row, INPUTS, "inputs")
        outputs = fields["outputs"] if "outputs" in fields else only(row, OUTPUTS, "outputs")
        own = fields["instruction"] if "instruction" in fields else only(row, INSTRUCTIONS, "instruction")
        images = images_in(row, fields.get("images"))
        if not outputs:
            raise Unknown(f"expected an answer in one of {', '.join(OUTPUTS)}", "no outputs")
        if not images and not text_only and fields.get("images") != "":
            raise Unknown(f"expected a picture in one of {', '.join(IMAGES)}", "no picture")
        said = word(row, inputs, "inputs") if inputs else ""
        return Mapped(said, images, answers(row, outputs), field(row, own) if own else own)
    except Unknown as error:
        raise ShardError(f"{error}; {found_in(row)}", error.reason) from error


def only(row: Row, names: tuple[str, ...], what: str) -> str | None:
    """The one of these names under which the row has something."""
    fitting = [name for name in names if filled(row, name)]
    if "paraphrased_answer" in fitting and "answer" in fitting:
        fitting.remove("answer")  # a rewritten answer stands beside the one it was made of
    if len(fitting) > 1:
        raise Unknown(f"{' and '.join(fitting)} could both be the {what}", "two fields fit")
    return fitting[0] if fitting else None


def answers(row: Row, path: str) -> str | list[str]:
    """The outputs under this name: one text, or the targets of a row that stands for several."""
    if path == "meta.targets":
        return field(row, path)
    if path == "sentences":
        return joined(row)
    outputs = answer(row, path)
    plain = next((name for name in ("original_answer", "answer") if filled(row, name)), None)
    refused = path == "paraphrased_answer" and re.search(REFUSAL, outputs)
    return answer(row, plain) if refused and plain else outputs


def images_in(row: Row, path: str | None = None) -> Any:
    """The pictures under this name, "" for a set that has none; else under one of the usual names, or a left and a
    right one; [] if there are none."""
    if path is not None:
        return field(row, path) if path else []
    name = only(row, IMAGES, "images")
    if name:
        return field(row, name)
    texts = [([part.lower() for part in WORD.findall(name)], value) for name, value in row.items()]
    sides = [[v for words, v in texts if side in words and v and isinstance(v, str)] for side in ("left", "right")]
    return [side[0] for side in sides] if all(len(side) == 1 for side in sides) else []


def found_in(row: Row) -> str:
    """What the row has, and what to do."""
    meta = row.get("meta")
    names = [*row, *(f"meta.{name}" for name in (meta if isinstance(meta, dict) else ()))]
    hint = "Name them: fields={'inputs': ..., 'outputs': ..., 'images': ...}"
    return f"found the fields {', '.join(names)}. {hint}"


def as_images(value: Any, text_only: bool = False) -> list[str]:
    """The pictures as a list of clean base64; ShardError where one is not base64, or is missing, if not `text_only`."""
    images = [value] if isinstance(value, str) and value else value or []
    images = [image for image in images if image] if text_only and isinstance(images, list) else images
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        found = json.dumps(value)[:60]
        raise ShardError(f"expected base64, or a list of it, as pictures, found {found}", "image is no string")
    images = [clean_base64(image) for image in images]
    for number, image in enumerate(images, 1):  # by its letters and its length: a fifth of what decoding costs
        odd = not image or len(image) % 4 or image.endswith("===")
        if odd or image.rstrip("=").encode().translate(None, BASE64):
            found = f"picture {number} of {len(images)} begins with {image[:24]!r} and has {len(image)} characters"
            raise ShardError(f"expected base64, {found}", "image is not base64")
    return images


def parse_quickly(line: bytes, name: str) -> Row | bytes:
    """The row of a line whose one picture is a plain text under `name`: cut out before the rest is parsed, at a quarter
    of the cost; the line itself if it is of another form. As in `M3IT.parse`, a number stands in its place."""
    key = f'"{name}": "'.encode()
    start = line.find(key) + len(key)
    stop = line.find(b'"', start)
    if start < len(key) or stop < 0 or b"\\" in line[start:stop]:
        return line
    try:
        row, picture = json.loads(line[: start - 1] + b"%d" % stop + line[stop + 1 :]), line[start:stop].decode("ascii")
    except (ValueError, RecursionError):
        return line
    if not isinstance(row, dict) or row.get(name) != stop:
        return line
    row[name] = picture
    return row


def own_id(row: Row) -> str | None:
    """The source's own id, where the row has one."""
    meta = row.get("meta")
    value = meta.get("id") if isinstance(meta, dict) else None
    return str(value) if isinstance(value, (str, int)) and value != "" else None


def knowledge(row: Row, row_id: str | None, images: Any, field_of_images: str = "") -> Row:
    """What the raw row knows beside its pictures, `images`, under the source's id if it has one."""
    shown = [images, *images] if isinstance(images, list) else [images]
    hidden = {*IMAGES, "meta", field_of_images.partition(".")[0]}
    meta = row["meta"] if isinstance(row.get("meta"), dict) else {}
    kept = {
        name: value
        for name, value in {**row, **meta}.items()
        if name not in hidden and (not value or value not in shown)
    }
    if "id" in kept:  # of whatever kind: a row id is a text, and names one row
        kept["source_id"] = kept.pop("id")
    return {**kept, **({"id": row_id} if row_id else {})}
