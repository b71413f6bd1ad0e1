"""The published repositories as they lie on the Hub, raw rows in, instances out, no remote code: MMInstruction/M3IT.

Its JSON Lines hold raw rows whose fields differ per dataset. A loading script, which `datasets` refuses since 4.0, made
the published columns of them. TABLE says for each of its 54 configs what that script did and how well we know it:
"verified" where a public page shows fields and mapping (`evidence` names the commits), "inferred" where a part of it is
a guess. Nobody could read a raw row while this was written.

Three layouts, told apart in m3it/layouts.py:
raw         data/<group>/<folder>/<stem>.jsonl, instructions.json beside it                   Legacy
converted   the Hub's branch refs/convert/parquet, rows in the schema: <config>/<split>/0000.parquet     Converted
joined      M3IT-80: texts in one file, pictures in another                                   Legacy80, m3it/legacy80.py
"""

import fnmatch
import functools
import hashlib
import json
import logging
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import datasets

from M3IT import M3IT, SPLITS, M3ITConfig, Repository, clean_base64
from m3it.instance import ShardError, choose, shuffled

BRANCH = "refs/convert/parquet"
PARQUET = re.compile(
    r"([^/]+)/(?:(partial-)?(train|validation|test)/\d+|[\w.-]*?(train|validation|test)(?:-\d+-of-\d+)?)\.parquet"
)
SPLIT_WORD = re.compile("train|validation|val|dev|test")
FILL = re.compile(r"\{([\w.]+)\}")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
POINTER = b"version https://git-lfs"
POINTER_BYTES = 1024  # by Git LFS's specification a pointer is smaller

# The names under which raw rows hold one thing; those of the published columns come first.
IMAGES = ("image_base64_str", "images", "video_str", "image_str", "img_str", "image_base64", "base64", "image")
INPUTS = ("inputs", "input", "question", "context", "hypothesis", "sentence")
OUTPUTS = ("outputs", "output", "paraphrased_answer", "response", "answer", "caption", "meta.targets", "sentences")
INSTRUCTIONS = ("instruction", "instruct", "instructions")

Row = dict[str, Any]
logger = logging.getLogger(__name__)


class Unknown(ShardError):
    """A row without the fields that a mapping needs."""


# ---- fields of a row


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


def fill(template: str, row: Row, what: str) -> str:
    """The template with the row's texts in place of {field}."""
    return FILL.sub(lambda name: word(row, name[1], what), template)


# ---- what the script of the repository made of them


@dataclass(frozen=True)
class Texts:
    """A mapping that only fills fields in. `before`: the outputs of older files, which lack the field that `outputs`
    names; `instead`: those where a model that was to rewrite the answer declined, in the words of `refusal`."""

    inputs: str
    outputs: str
    before: str = ""
    instead: str = ""
    refusal: str = ""

    def __call__(self, row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
        inputs = fill(self.inputs, row, "inputs")
        older = self.before and not all(filled(row, name) for name in FILL.findall(self.outputs))
        outputs = fill(self.before if older else self.outputs, row, "outputs")
        if self.refusal and re.search(self.refusal, outputs):
            outputs = fill(self.instead, row, "outputs")
        return inputs, outputs


@dataclass(frozen=True)
class LastWord:
    """The last word of `answer` picks one of two lettered options, which follow the inputs."""

    inputs: str
    options: tuple[str, str]

    def __call__(self, row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
        answer = word(row, "answer", "outputs")
        last = re.findall(r"\w+", answer.lower())[-1:]
        right = [option for option in self.options if [option.lower()] == last]
        if not right:
            options = " or ".join(self.options)
            raise ShardError(f"expected an answer that ends in {options}, found {answer[-40:]!r}", "no outputs")
        listed, outputs = lettered(list(self.options), right[0])
        return f"{fill(self.inputs, row, 'inputs')}Options:\n{listed}", outputs


def coco(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, list[str]]:
    """One row for each caption in meta.targets."""
    return "", field(row, "meta.targets")


def coco_goi(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Lines 1 to 24 of `input` as lettered options, the answer among them."""
    right = word(row, "outputs", "outputs")
    options = [line for line in word(row, "input", "inputs").split("\n")[1:25] if line.strip()]
    options = shuffled(options if right in options else [*options, right], legacy.dataset, row_id)
    inputs, outputs = lettered(options, right)
    return f"Options:\n{inputs}", f"{outputs}."


def imagenet(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Ten lettered classes; the right one is line `label` of mapping.txt."""
    right = class_of(row, legacy.classes)
    inputs, outputs = lettered(draw(right, legacy.classes, 10, legacy.dataset, row_id), right)
    return f"{inputs}\n", outputs


def imagenet_open_ended(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """No options; the class is line `label` of mapping.txt."""
    return "", class_of(row, legacy.classes)


def something(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Eleven lettered classes of labels.json; the right one is the only text of the row that is one of them."""
    short = (value for value in row.values() if isinstance(value, str) and len(value) < 1000)
    found = {text.replace("[", "").replace("]", "") for text in short} & set(legacy.labels)
    found = found or {name for name, number in legacy.labels.items() if str(number) == str(row.get("label"))}
    if len(found) != 1:
        raise ShardError(f"expected one text that labels.json knows, found {len(found)}", "no outputs")
    (right,) = found
    inputs, outputs = lettered(draw(right, list(legacy.labels), 11, legacy.dataset, row_id), right)
    return f"{inputs}\n", outputs


def snli_ve(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Yes, no or maybe from the label; the rationale follows a maybe."""
    words = {"entailment": "yes", "neutral": "maybe", "contradiction": "no", "yes": "yes", "maybe": "maybe", "no": "no"}
    short = (value.lower() for value in row.values() if isinstance(value, str) and len(value) < 20)
    found = {words[value] for value in short if value in words}
    if len(found) != 1:
        raise ShardError(f"expected one label, e.g. entailment, found {len(found)}", "no outputs")
    (answer,) = found
    rationale = fill(" Rationale: {rationale}", row, "outputs") if answer == "maybe" else ""
    return word(row, "hypothesis", "inputs"), answer + rationale


def gqa(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """`output` with every "?." made a full stop."""
    return word(row, "input", "inputs"), word(row, "output", "outputs").replace("?.", ".")


def shapes(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Yes where `answer` is true, else no."""
    return word(row, "question", "inputs"), "yes" if word(row, "answer", "outputs") == "true" else "no"


def vist(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """The sentences, joined by blanks."""
    return "", joined(row)


def mmchat(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Each turn of `context` behind Person1: or Person2:, and the prefix of who answers."""
    turns = word(row, "context", "inputs").split("\n")
    lines = [f"Person{number % 2 + 1}: {turn}" for number, turn in enumerate(turns)]
    return "\n".join([*lines, f"Person{len(turns) % 2 + 1}:"]), word(row, "response", "outputs")


def lettered(options: list[str], right: str) -> tuple[str, str]:
    """The options as lines (A) to (Z), and the right one with its letter."""
    if len(options) > len(LETTERS):
        raise ShardError(f"expected at most {len(LETTERS)} options, found {len(options)}", "more options than letters")
    lines = [f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join(lines), lines[options.index(right)]


def draw(right: str, names: list[str], count: int, dataset: str, row_id: str) -> list[str]:
    """`count` different names, the right one among them: those, and in the order, that this row always gets."""
    others = [name for name in dict.fromkeys(names) if name != right]
    options = [right]
    for number in range(min(count - 1, len(others))):
        options.append(choose(others, dataset, f"{row_id} option {number}"))
        others.remove(options[-1])
    return shuffled(options, dataset, row_id)


def class_of(row: Row, classes: list[str]) -> str:
    """The class whose number is in `label`."""
    label = field(row, "label")
    if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < len(classes):
        raise ShardError(f"expected a label below {len(classes)}, found {json.dumps(label)[:40]}", "no outputs")
    return classes[label]


def joined(row: Row) -> str:
    """The sentences as one text."""
    sentences = field(row, "sentences")
    if not isinstance(sentences, list) or not sentences or not all(isinstance(text, str) for text in sentences):
        raise ShardError(f"expected a list of texts in sentences, found {json.dumps(sentences)[:60]}", "no outputs")
    return " ".join(sentences)


# ---- what is known


class Raw(NamedTuple):
    """One config of M3IT."""

    folder: str  # below data/
    files: str  # the stem of each split's file; "|" between the names it had, the newest first
    images: str  # the field with the pictures; "" to look for one under the usual names
    mapping: Callable[[Row, "Legacy", str], tuple[str, Any]] | None  # None to take fields by their usual names
    status: str
    evidence: str  # commits that show it; and what is not known
    instructions: str = "instructions.json"  # or a {field} of the row
    extra: str = ""  # one more file that the mapping reads


VER, INF = "verified", "inferred"
ALL = "train val test"
REFUSAL = "(?i)not answerable|sorry|image descriptions"
ANSWER = Texts("{question}", "{paraphrased_answer}", before="{answer}")
TRUE_FALSE = LastWord("{question}\n", ("True", "False"))
AUTHOR = "fields as in other rows of the same author"


def rephrased(folder: str, splits: str, unknown: str = "") -> Raw:
    """A config of October 2023: dated files, all but the answer in meta."""
    files = " ".join(f"{split}_2023-10-*" for split in splits.split())
    mapping = Texts("{meta.inputs}", "{answer}")
    return Raw(folder, files, "meta.image_base64_str", mapping, VER, f"f78770f{unknown}", "{meta.instruction}")


# fmt: off
TABLE = {
    "coco": Raw("captioning/coco", ALL, "image", coco, VER, "bc4cad6"),
    "textcap": Raw("captioning/textcap", "train val", "", None, INF, "c627e25; fields of picture and caption not seen"),
    "image-paragraph-captioning": Raw(
        "captioning/image_paragraph_captioning",
        "image_paragraph_captioning_train image_paragraph_captioning_val image_paragraph_captioning_test",
        "", None, INF, "e474a5e: output; field of the picture not seen", "instruction.json"),
    "coco-cn": Raw("captioning/coco-cn", ALL, "image_base64", Texts("", "{caption}"), VER, "e474a5e, a user's script"),
    "flickr8k-cn": Raw("captioning/flickr8k-cn", ALL, "image_base64", Texts("", "{caption}"), INF,
                       "b2c9723; fields as in coco-cn"),
    "msrvtt": Raw("captioning/msrvtt", ALL, "video_str", Texts("", "{caption}"), VER, "ba1e8cf"),
    "coco-goi": Raw("classification/coco-goi", "train val", "image_str", coco_goi, VER, "813f494, 05ca186"),
    "coco-text": Raw("classification/coco-text", "train val", "image_str", LastWord("", ("legible", "illegible")), INF,
                     "a8d8f01: fields; words of the options not seen"),
    "imagenet": Raw("classification/imagenet", "train val", "img_str", imagenet, VER, "5d0fcb4", extra="mapping.txt"),
    "imagenet-open-ended": Raw("classification/imagenet", "train val", "img_str", imagenet_open_ended, INF,
                               "0394802: label; form of the answer not seen", extra="mapping.txt"),
    "coco-itm": Raw("classification/itm", ALL, "", None, INF, "073107f: answer; the rest not seen"),
    "snli-ve": Raw("classification/snli-ve", "esnlive_train esnlive_val esnlive_test", "image_base64_str", snli_ve, INF,
                   "84df3fc, c627e25: fields; name of the label and rule of the rationale not sure"),
    "mocheg": Raw("classification/mocheg", "mocheg_train mocheg_val mocheg_test", "image_str", TRUE_FALSE, INF,
                  "a8d8f01: fields; form of the answer not seen"),
    "vsr": Raw("classification/vsr", "vsr_train vsr_val vsr_test", "image_str", TRUE_FALSE, INF,
               "a8d8f01: fields; form of the answer not seen"),
    "iqa": Raw("classification/iqa", ALL, "", None, INF, f"6ec6358; {AUTHOR}"),
    "refcoco": Raw("classification/refcoco", ALL, "", None, INF, f"80f253b; {AUTHOR}"),
    "ss": Raw("classification/ss", ALL, "video_str", something, INF, "9d7860b: options; field of the class not seen",
              extra="labels.json"),
    "winoground": Raw("classification/winoground", "winoground_test", "image_str", Texts("{input}", "{output}"), VER,
                      "5b83b7c"),
    "chinese-food": Raw("classification/chinesefoodnet-10", "val test", "", None, INF,
                        "44bff02, 9d74cb2: test.jsonl was val.jsonl; fields not seen"),
    "vqa-v2": Raw("vqa/vqav2", "train val", "img_str",
                  Texts("{question}", "{paraphrased_answer}", "", "The answer is {original_answer}", REFUSAL), VER,
                  "aa84269, fd52403"),
    "shapes": Raw("vqa/shapes", "train.large val test", "", shapes, INF, "3f4f83a: answer; the rest not seen"),
    "docvqa": Raw("vqa/docvqa", "train val", "image_str", Texts("{question}", "{answer}"), VER, "c26ef41"),
    "ocr-vqa": Raw("vqa/ocr-vqa", "train_new|train validation", "img_str", Texts("{input}", "{output}"), INF,
                   "df4c8f3; fields as in text-vqa; train or train_new not sure", "instruction.json"),
    "st-vqa": Raw("vqa/st-vqa", "train test", "img_str", Texts("{input}", "The answer is {output}."), VER, "528f30c",
                  "instruction.json"),
    "text-vqa": Raw("vqa/text-vqa", "train validation_new|validation test", "img_str", Texts("{input}", "{output}"),
                    VER, "0059fa4; what 6630812 changed not seen", "instruction.json"),
    "gqa": Raw("vqa/gqa", "train validation", "img_str", gqa, VER, "6630812, by its line numbers", "instruction.json"),
    "okvqa": Raw("vqa/okvqa", "train_v2|train val_v2|val", "image_str",
                 Texts("{question}", "{paraphrased_answer}", "", "The answer is {answer}.", "sorry"), VER,
                 "3155a25, 839be68"),
    "a-okvqa": Raw("vqa/a-okvqa", "train_v2|train val_v2|val", "image_str",
                   Texts("{question}", "{paraphrased_answer}", "{rationale} So the answer is {answer}."), INF,
                   "3203fa1: the files before v2; field of the new answers not seen"),
    "viquae": Raw("vqa/viquae", "train_v2|train validation_v2|validation test_v2|test", "img_str",
                  Texts("{question}", "{paraphrased_answer}", "The answer is {answer}.\n"), VER, "1499181"),
    "fm-iqa": Raw("vqa/fm-iqa", "para_train|train para_val|val", "base64", ANSWER, INF,
                  "f4a0e31: train and val; names and answers of para_* not seen"),
    "activitynet-qa": Raw("vqa/activitynet-qa", ALL, "video_str", Texts("{question}", "{answer}"), VER, "ba1e8cf"),
    "ivqa": Raw("vqa/ivqa", ALL, "video_str", ANSWER, INF, "9afe423; fields as in activitynet-qa"),
    "msrvtt-qa": Raw("vqa/msrvtt-qa", ALL, "video_str", ANSWER, INF, "9afe423; fields as in activitynet-qa"),
    "msvd-qa": Raw("vqa/msvd-qa", ALL, "video_str", ANSWER, INF, "9afe423; fields as in activitynet-qa"),
    "clevr": Raw("reasoning/clevr", "train val", "", None, INF, "40fd0dc; fields not seen"),
    "nlvr": Raw("reasoning/nlvr", ALL, "", None, INF, "5d0fcb4; fields not seen; whether test was served not sure"),
    "science-qa": Raw("reasoning/science_qa", "science_qa_train science_qa_validation science_qa_test", "", None, INF,
                      "c63af3d; fields not seen"),
    "vcr": Raw("reasoning/vcr", ALL, "", None, INF, f"f172a75; {AUTHOR}"),
    "visual-mrc": Raw("reasoning/visual_mrc", ALL, "", None, INF, f"f172a75; {AUTHOR}"),
    "vist": Raw("generation/vist", ALL, "images", vist, VER, "9c2a9b2"),
    "visual-dialog": Raw("generation/visual_dialog", ALL, "", None, INF, AUTHOR),
    "multi30k": Raw("generation/multi30k", ALL, "", None, INF, f"6df7e4a; {AUTHOR}"),
    "mmchat": Raw("generation/mmchat", "train_new|train validation test", "image_base64", mmchat, VER,
                  "1db879f, bc5ebe5; two later commits not seen"),
    "shapes-rephrased": rephrased("vqa/shapes", "train test"),
    "coco-goi-rephrased": rephrased("classification/coco-goi", "train test", "; test may hold validation rows"),
    "snli-ve-rephrased": rephrased("classification/snli-ve", "train test"),
    "imagenet-rephrased": rephrased("classification/imagenet", "train test", "; test may hold validation rows"),
    "clevr-rephrased": rephrased("reasoning/clevr", "train val"),
    "coco-itm-rephrased": rephrased("classification/itm", ALL, "; names of the files not seen"),
    "vsr-rephrased": rephrased("classification/vsr", "train test"),
    "mocheg-rephrased": rephrased("classification/mocheg", "train test"),
    "refcoco-rephrased": rephrased("classification/refcoco", "train test"),
    "visual-dialog-rephrased": rephrased("generation/visual_dialog", "train test"),
    "iqa-rephrased": rephrased("classification/iqa", "train test"),
}
# fmt: on
NO_PICTURE = ("science-qa",)  # about half of its rows have none
NUM_IMAGES = {"nlvr": 2}  # users call some of its rows broken: one that has lost a picture is refused


def tidy(name: str | None) -> str | None:
    """A config name as the last script had it: with hyphens, without a blank at its end."""
    hyphened = (name or "").strip().replace("_", "-")
    return hyphened if hyphened in TABLE else name


# ---- rows that the table does not know


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
        answer = word(row, "answer", "outputs")
        return Mapped(word(meta, "inputs", "inputs"), meta["image_base64_str"], answer, meta.get("instruction"))
    try:
        inputs = fields["inputs"] if "inputs" in fields else only(row, INPUTS, "inputs")
        outputs = fields["outputs"] if "outputs" in fields else only(row, OUTPUTS, "outputs")
        own = fields["instruction"] if "instruction" in fields else only(row, INSTRUCTIONS, "instruction")
        images = field(row, fields["images"]) if "images" in fields else pictures(row)
        if not outputs:
            raise Unknown(f"expected an answer in one of {', '.join(OUTPUTS)}", "no outputs")
        if not images and not text_only:
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
    outputs = word(row, path, "outputs")
    plain = next((name for name in ("original_answer", "answer") if filled(row, name)), None)
    refused = path == "paraphrased_answer" and re.search(REFUSAL, outputs)
    return word(row, plain, "outputs") if refused and plain else outputs


def pictures(row: Row) -> Any:
    """The pictures under one of the usual names, or a left and a right one; [] if there are none."""
    name = only(row, IMAGES, "images")
    if name:
        return field(row, name)
    texts = {key.lower(): value for key, value in row.items() if isinstance(value, str) and value}
    sides = [[value for key, value in texts.items() if side in key] for side in ("left", "right")]
    return [side[0] for side in sides] if all(len(side) == 1 for side in sides) else []


def found_in(row: Row) -> str:
    """What the row has, and what to do."""
    meta = row.get("meta")
    names = [*row, *(f"meta.{name}" for name in (meta if isinstance(meta, dict) else ()))]
    hint = "Name them: fields={'inputs': ..., 'outputs': ..., 'images': ...}"
    return f"found the fields {', '.join(names)}. {hint}"


def as_images(value: Any) -> list[str]:
    """The pictures as a list of clean base64; ShardError where one is not base64."""
    images = [value] if isinstance(value, str) and value else value or []
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
    of the cost; the line itself if it is of another form."""
    key = f'"{name}": "'.encode()
    start = line.find(key) + len(key)
    stop = line.find(b'"', start)
    if start < len(key) or stop < 0 or b"\\" in line[start:stop] or line.find(key, stop) >= 0:
        return line
    try:
        row, picture = json.loads(line[:start] + line[stop:]), line[start:stop].decode("ascii")
    except ValueError:
        return line
    if not isinstance(row, dict) or row.get(name) != "":
        return line
    row[name] = picture
    return row


def own_id(row: Row) -> str | None:
    """The source's own id, where the row has one."""
    meta = row.get("meta")
    value = meta.get("id") if isinstance(meta, dict) else None
    return str(value) if isinstance(value, (str, int)) and value != "" else None


def knowledge(row: Row, row_id: str | None) -> Row:
    """What the raw row knows beside its pictures, under the source's id if it has one."""
    meta = row.get("meta")
    inner = {k: v for k, v in meta.items() if k != "image_base64_str"} if isinstance(meta, dict) else {}
    pictured = re.compile("|".join(("left", "right", *(f"^{name}$" for name in IMAGES))))
    outer = {k: v for k, v in row.items() if k != "meta" and not pictured.search(k.lower())}
    return {**outer, **inner, **({"id": row_id} if row_id else {})}


# ---- files


def locate(repository: Repository, raw: Raw) -> dict[str, list[str]]:
    """Split -> paths: under the newest name that is there and not empty; in another group's folder if it moved."""
    found: dict[str, list[str]] = {}
    for stems in raw.files.split():
        split = SPLITS[SPLIT_WORD.findall(stems)[0]]
        for folder in (raw.folder, f"*/{posixpath.basename(raw.folder)}"):
            names = (fnmatch.filter(repository.files, f"data/{folder}/{stem}.jsonl") for stem in stems.split("|"))
            paths = sorted(filter(None, names), key=lambda paths: not any(map(repository.size, paths)))
            if paths:
                found[split] = paths[0]
                break
    return found


def known(repository: Repository, config_name: str) -> Raw | None:
    """What the table says of a config, or what can be seen of a folder that it does not know."""
    return TABLE.get(config_name) or strangers(repository).get(config_name)


def strangers(repository: Repository) -> dict[str, Raw]:
    """Config -> Raw of the folders that the table does not know."""
    folders = {posixpath.basename(raw.folder) for raw in TABLE.values()}
    stems: dict[str, list[str]] = {}
    for path in repository.files:
        *parents, name = path.split("/")  # the script and the card lie at the root, below no folder
        top, parts = parents[:1], parents[1:]
        if top == ["data"] and len(parts) == 2 and parts[1] not in folders and name.endswith(".jsonl"):
            stems.setdefault("/".join(parts), []).extend([name[:-6]] if SPLIT_WORD.search(name) else [])
    return {
        posixpath.basename(folder).replace("_", "-"): Raw(folder, " ".join(names), "", None, INF, "not in the table")
        for folder, names in stems.items()
    }


def converted_files(repository: Repository) -> dict[str, dict[str, tuple[list[str], bool]]]:
    """Config -> split -> (paths, whether the split is cut off) of the converted branch."""
    found: dict[str, dict[str, tuple[list[str], bool]]] = {}
    for match in filter(None, map(PARQUET.fullmatch, repository.files)):
        paths, _ = found.setdefault(match[1], {}).setdefault(match[3] or match[4], ([], bool(match[2])))
        paths.append(match[0])
    return found


def check_file(repository: Repository, path: str) -> None:
    """ShardError where a clone has a Git LFS pointer in place of the data."""
    size = repository.size(path)
    head = repository.read(path, 0, size) if 0 < size < POINTER_BYTES else b""
    if head.startswith(POINTER):
        stated = re.search(rb"^size (\d+)", head, re.MULTILINE)
        expected = f"expected {int(stated[1]) if stated else 0:,} bytes of data, found a Git LFS pointer in their place"
        raise ShardError(f"{path}: {expected}. Run in that clone: git lfs pull --include '{path}'", "Git LFS pointer")


def read_text(repository: Repository, path: str) -> str:
    """A small file as text."""
    check_file(repository, path)
    return repository.read(path, 0, repository.size(path)).decode("utf-8-sig")


@functools.cache
def code() -> str:
    """What cached rows are kept for: the mapping as it stands, this file and legacy80.py."""
    files = sorted(Path(__file__).parent.glob("legacy*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@functools.cache
def say(message: str) -> None:
    """A line on stderr, once."""
    logger.warning("%s", message)


# ---- the builders


@dataclass
class LegacyConfig(M3ITConfig):
    """`fields`: where raw rows keep inputs, outputs, images or instruction, if the table does not know."""

    fields: dict[str, str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = set(self.fields or ()) - {"inputs", "outputs", "images", "instruction"}
        if wrong:
            expected = "expected inputs, outputs, images or instruction"
            raise ValueError(f"fields={self.fields!r}: {expected}, found {', '.join(sorted(wrong))}")


class Legacy(M3IT):
    """Reads one config of the raw layout."""

    BUILDER_CONFIG_CLASS = LegacyConfig
    BUILDER_CONFIGS: list[LegacyConfig] = []

    def __init__(self, cache_dir: Any = None, repository: Any = None, hash: Any = None, **kwargs: Any) -> None:
        # Rows depend on the mapping and on small files beside them: a changed one must not be served from the cache.
        beside = "" if repository.commit else repository.identity(list(repository.files))
        super().__init__(cache_dir, repository, hash=f"{hash} {code()} {beside}", **kwargs)

    @classmethod
    def configs(cls, repository: Repository) -> list[str]:
        """The names of the configs whose files are there."""
        return [*(name for name, raw in TABLE.items() if locate(repository, raw)), *strangers(repository)]

    @classmethod
    def about(cls, repository: Repository, name: str) -> tuple[str, str, set[str]]:
        """(status, evidence, splits) of a config."""
        raw = known(repository, name)
        return (raw.status, raw.evidence, set(locate(repository, raw))) if raw else (INF, "", set())

    @functools.cached_property
    def raw(self) -> Raw:
        raw = known(self.repository, self.config.name)
        assert raw is not None  # else the config would not have been found
        return raw

    @functools.cached_property
    def folder(self) -> str:
        return posixpath.dirname(next(iter(self.shards(self.config.name).values()))[0])

    @functools.cached_property
    def dataset(self) -> str:
        """What choices by hash are made for."""
        return self.config.name.removesuffix("-rephrased").removesuffix("-open-ended")

    @property
    def says(self) -> str:
        """The mapping in words."""
        if self.config.fields:
            return f"fields {self.config.fields}"
        mapping = self.raw.mapping
        if isinstance(mapping, Texts):
            return f'inputs "{mapping.inputs}", outputs "{mapping.outputs}"'
        return str(mapping.__doc__) if mapping else "by the usual names of fields"

    def found(self) -> list[str]:
        return self.configs(self.repository)

    def shards(self, config_name: str) -> dict[str, list[str]]:
        raw = known(self.repository, config_name)
        found = locate(self.repository, raw) if raw else {}
        if not found:
            raise self._unknown(config_name)
        return {split: found[split] for split in dict.fromkeys(SPLITS.values()) if split in found}

    def pieces(self, split: str) -> list[tuple[str, int, int]]:
        assert self.companions is not None  # read before there are workers, they travel there
        return super().pieces(split)

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        generators = super()._split_generators(dl_manager)
        if self.config.on_error == "drop":  # `datasets` cannot give a split without rows
            splits = self.shards(self.config.name)
            empty = [split for split, paths in splits.items() if not any(map(self.repository.size, paths))]
            for split in empty:
                self._refuse_empty(splits[split][0])
            generators = [generator for generator in generators if generator.name not in empty]
        return generators

    def _refuse_empty(self, path: str) -> None:
        self._refuse(path, 0, path, ShardError("the file is empty at this revision", "empty file"))

    def lines(self, piece: tuple[str, int, int]) -> Iterator[tuple[int, Any]]:
        check_file(self.repository, piece[0])
        if not self.repository.size(piece[0]):
            self._refuse_empty(piece[0])
        for offset, line in super().lines(piece):
            yield offset, parse_quickly(line, self.raw.images) if isinstance(line, bytes) else line

    def first_line(self) -> Any:
        """The first line of the first split, as `lines` gives it."""
        path = next(iter(self.shards(self.config.name).values()))[0]
        return next(iter(self.lines((path, 0, 1))))[1]

    def map_row(self, row: Any, place: str) -> list[Row]:
        if not isinstance(row, dict):
            raise ShardError(f"expected a JSON object, found {type(row).__name__}", "not an object")
        row_id = own_id(row) or place
        mapped = self._map(row, row_id)
        images = as_images(mapped.images)
        if len(images) != NUM_IMAGES.get(self.dataset, len(images)):
            raise ShardError(f"expected {NUM_IMAGES[self.dataset]} pictures, found {len(images)}", "picture lost")
        return self._instances(row, row_id, mapped, images)

    def _map(self, row: Row, row_id: str) -> Mapped:
        """The row by the user's fields, else by the table, else by the usual names of fields."""
        raw, fields, text_only = self.raw, self.config.fields or {}, self.dataset in NO_PICTURE
        if fields or raw.mapping is None:
            return by_names(row, fields, text_only)
        try:
            inputs, outputs = raw.mapping(row, self, row_id)
            images = field(row, raw.images) if raw.images else pictures(row)
            own = field(row, raw.instructions.strip("{}")) if raw.instructions.startswith("{") else None
        except Unknown as error:
            mapped = by_names(row, fields, text_only)
            say(
                f"{self.config.name}: {error}, as the table says; rows without it are read by the usual names of fields"
            )
            return mapped
        if not images:
            raise ShardError("expected a picture, found nothing", "no picture")
        return Mapped(inputs, images, outputs, own)

    def _instances(self, row: Row, row_id: str, mapped: Mapped, images: list[str]) -> list[Row]:
        """The rows in our schema; where outputs are missing they stay so: check_row refuses that row and no other."""
        outputs = mapped.outputs if isinstance(mapped.outputs, list) else [mapped.outputs]
        if not outputs:
            raise ShardError("expected an answer, found none", "no outputs")
        rows = []
        for k, text in enumerate(outputs):
            name = f"{row_id}#{k}" if len(outputs) > 1 else row_id
            instruction = self.choose_instruction(mapped.instruction, name).replace("[HYPO]", mapped.inputs)
            instance: Row = {"instruction": instruction, "inputs": mapped.inputs, "image_base64_str": images}
            if text not in (None, ""):
                instance["outputs"] = text
            if self.config.meta:
                instance["meta"] = json.dumps(knowledge(row, name if own_id(row) else None), ensure_ascii=False)
            rows.append(instance)
        return rows

    def choose_instruction(self, own: Any, row_id: str) -> str:
        """The row's own instruction, or the one of the dataset's that this row always gets."""
        options = self.instructions if own is None else own if isinstance(own, list) else [own]
        if not options or not all(isinstance(option, str) for option in options):
            raise ShardError(f"expected instructions, found {json.dumps(options)[:60]}", "no instruction")
        return choose(options, self.dataset, row_id)

    @functools.cached_property
    def companions(self) -> dict[str, str]:
        """Name -> text of the small files beside the rows."""
        paths = {name: f"{self.folder}/{name}" for name in ("instructions.json", "instruction.json", self.raw.extra)}
        return {k: read_text(self.repository, path) for k, path in paths.items() if path in self.repository.files}

    def companion(self, *names: str) -> str:
        """The text of the first of these that lies beside the rows."""
        for name in names:
            if name in self.companions:
                return self.companions[name]
        lacking = " or ".join(names)
        raise ShardError(f"expected {lacking} in {self.folder}, found none. Get it from the Hub", f"no {names[0]}")

    @functools.cached_property
    def instructions(self) -> list[str]:
        text = self.companion(*dict.fromkeys((self.raw.instructions, "instructions.json", "instruction.json")))
        if text.lstrip().startswith("["):
            return json.loads(text)
        return [json.loads(line) for line in text.splitlines() if line.strip()]

    @functools.cached_property
    def classes(self) -> list[str]:
        """The names of mapping.txt in the order of its lines: a synset, a blank, the name."""
        lines = self.companion(self.raw.extra).splitlines()
        return [line.strip().partition(" ")[2] for line in lines if line.strip()]

    @functools.cached_property
    def labels(self) -> Row:
        return json.loads(self.companion(self.raw.extra))

    def _choose(self, name: str | None) -> str:
        name = tidy(name)
        return name if name in TABLE and self.repository.commit else super()._choose(name)


class Converted(Legacy):
    """Reads one config of the branch that the Hub made: instructions and options are those drawn in 2023."""

    says = "rows in the schema, as they are"
    companions: dict[str, str] = {}

    @classmethod
    def configs(cls, repository: Repository) -> list[str]:
        return list(converted_files(repository))

    def shards(self, config_name: str) -> dict[str, list[str]]:
        splits = converted_files(self.repository).get(config_name)
        if splits is None:
            raise self._unknown(config_name)
        for split, (paths, partial) in splits.items():
            if partial:
                where = posixpath.dirname(paths[0])
                say(f"{config_name}/{split}: {BRANCH} has its beginning only ({where}); the raw rows are complete")
        return {split: splits[split][0] for split in dict.fromkeys(SPLITS.values()) if split in splits}

    def first_line(self) -> Any:
        path = next(iter(self.shards(self.config.name).values()))[0]
        return next(iter(self.lines((path, 0, self.repository.size(path)))))[1]

    def map_row(self, row: Any, place: str) -> list[Any]:
        return [row]
