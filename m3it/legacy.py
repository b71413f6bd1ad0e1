"""The published repositories as they lie on the Hub: MMInstruction/M3IT and M3IT-80, raw rows in, instances out, no remote code.

Their JSON Lines hold raw rows whose fields differ per dataset; a loading script, which `datasets` refuses since 4.0, made the published columns of
them. TABLE says for each of the 54 configs of M3IT what that script did, and how well we know it: "verified" where a public page shows fields and
mapping (the commits are named), "inferred" where a part is a guess. Nobody could read a raw row while this was written.

Three layouts, told apart by the names of their files (`layout`):
raw         data/<group>/<folder>/<stem>.jsonl with instructions.json beside it               Legacy
joined      M3IT-80: texts in one file, pictures in another                                   Legacy80, m3it/legacy80.py
converted   the Hub's own branch refs/convert/parquet: <config>/<split>/0000.parquet, rows in the schema already    Converted
"""

import fnmatch
import functools
import hashlib
import json
import logging
import os
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import huggingface_hub

from m3it.instance import ShardError, choose, shuffled
from M3IT import M3IT, SPLITS, M3ITConfig, Repository, _status, clean_base64, find_shards

BRANCH = "refs/convert/parquet"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SPLIT_WORD = re.compile("train|validation|val|dev|test")
PARQUET = re.compile(r"([^/]+)/(?:(partial-)?(train|validation|test)/\d+|[\w.-]*?(train|validation|test)(?:-\d+-of-\d+)?)\.parquet")
POINTER = b"version https://git-lfs"
POINTER_BYTES = 1024  # Git LFS: a pointer is smaller than this
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

# The names under which raw rows hold one thing. Those of the published columns come first.
IMAGES = ("image_base64_str", "images", "video_str", "image_str", "img_str", "image_base64", "base64", "image")
INPUTS = ("inputs", "input", "question", "context", "hypothesis", "sentence")
OUTPUTS = ("outputs", "output", "paraphrased_answer", "response", "answer", "caption", "meta.targets", "sentences")
INSTRUCTIONS = ("instruction", "instruct", "instructions")

logger = logging.getLogger(__name__)


class Unknown(ShardError):
    """A row without the fields that a mapping needs."""


# ---- one row: its fields


def field(row: Any, path: str) -> Any:
    """The value of a field, or of a field of a field (`meta.targets`); Unknown where it is missing."""
    for name in path.split("."):
        if not isinstance(row, dict) or name not in row:
            raise Unknown(f"expected a field {path!r}", f"no {path}")
        row = row[name]
    return row


def filled(row: dict[str, Any], path: str) -> bool:
    """Whether the row has something under this name."""
    try:
        value = field(row, path)
    except Unknown:
        return False
    return value not in (None, "", [], {})


def word(row: dict[str, Any], path: str, what: str) -> str:
    """The text under this name, the first of a list; ShardError if there is none: a number or a truth value is no answer without a class map."""
    value = field(row, path)
    value = value[0] if isinstance(value, list) and value else value
    if value is None or value == "" or value == []:
        raise ShardError(f"expected a text in {path}, found nothing", f"no {what}")
    if not isinstance(value, str):
        raise ShardError(f"expected a text in {path}, found {json.dumps(value)[:60]}", f"{what} is no string")
    return value


class Texts(NamedTuple):
    """A mapping that only fills fields in: Texts("{question}", "The answer is {output}.")."""

    inputs: str
    outputs: str

    def __call__(self, row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
        def fill(template: str, what: str) -> str:
            return re.sub(r"\{([\w.]+)\}", lambda name: word(row, name[1], what), template)

        return fill(self.inputs, "inputs"), fill(self.outputs, "outputs")


# ---- one row: what the script of the repository did with it, for the datasets that need more than filling in


def coco(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, list[str]]:
    """One row for each caption in meta.targets"""
    return "", field(row, "meta.targets")


def coco_goi(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Lines 1 to 24 of `input` as lettered options, the answer among them"""
    right = word(row, "outputs", "outputs")
    options = [line for line in word(row, "input", "inputs").split("\n")[1:25] if line.strip()]
    options = shuffled(options if right in options else [*options, right], legacy.dataset, row_id)
    inputs, outputs = lettered(options, right)
    return f"Options:\n{inputs}", f"{outputs}."


def imagenet(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Ten lettered classes; the right one is line `label` of mapping.txt"""
    classes = legacy.classes
    right = class_of(row, classes)
    inputs, outputs = lettered(draw(right, classes, 10, legacy.dataset, row_id), right)
    return inputs + "\n", outputs


def imagenet_open_ended(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """No options; the class is line `label` of mapping.txt"""
    return "", class_of(row, legacy.classes)


def something(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Eleven lettered classes of labels.json; the right one is the only text of the row that is one of them"""
    labels = legacy.labels
    texts = {value.replace("[", "").replace("]", "") for value in row.values() if isinstance(value, str) and len(value) < 1000}
    right = texts & set(labels)
    if not right and isinstance(row.get("label"), (int, str)):
        right = {name for name, number in labels.items() if str(number) == str(row["label"])}
    if len(right) != 1:
        raise ShardError(f"expected one text that labels.json knows, found {len(right)}", "no outputs")
    inputs, outputs = lettered(draw(*right, list(labels), 11, legacy.dataset, row_id), *right)
    return inputs + "\n", outputs


def snli_ve(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Yes, no or maybe from the label; the rationale follows a maybe"""
    words = {"entailment": "yes", "neutral": "maybe", "contradiction": "no", "yes": "yes", "no": "no", "maybe": "maybe"}
    found = {words[value.lower()] for value in row.values() if isinstance(value, str) and len(value) < 20 and value.lower() in words}
    if len(found) != 1:
        raise ShardError(f"expected one label (entailment, neutral, contradiction), found {len(found)}", "no outputs")
    (answer,) = found
    return word(row, "hypothesis", "inputs"), f"maybe Rationale: {word(row, 'rationale', 'outputs')}" if answer == "maybe" else answer


class LastWord(NamedTuple):
    """The last word of `answer` picks one of two lettered options, which follow the question"""

    question: str
    options: tuple[str, str]

    def __call__(self, row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
        words = re.findall(r"\w+", word(row, "answer", "outputs"))
        right = [option for option in self.options if words and option.lower() == words[-1].lower()]
        if not right:
            raise ShardError(f"expected an answer that ends in {' or '.join(self.options)}, found {row['answer'][-40:]!r}", "no outputs")
        listed, outputs = lettered(list(self.options), right[0])
        return f"{word(row, self.question, 'inputs')}\nOptions:\n{listed}" if self.question else f"Options:\n{listed}", outputs


def vqa_v2(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """paraphrased_answer, or "The answer is {original_answer}" where the paraphrase was refused"""
    outputs = word(row, "paraphrased_answer", "outputs")
    if refused(outputs):
        outputs = f"The answer is {word(row, 'original_answer', 'outputs')}"
    return word(row, "question", "inputs"), outputs


def okvqa(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """paraphrased_answer, or "The answer is {answer}." where the paraphrase was refused"""
    outputs = word(row, "paraphrased_answer", "outputs")
    if "sorry" in outputs:
        outputs = f"The answer is {word(row, 'answer', 'outputs')}."
    return word(row, "question", "inputs"), outputs


def viquae(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """paraphrased_answer; "The answer is {answer}." in the files before v2"""
    outputs = "{paraphrased_answer}" if "paraphrased_answer" in row else "The answer is {answer}.\n"
    return Texts("{question}", outputs)(row, legacy, row_id)


def a_okvqa(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """paraphrased_answer; "{rationale} So the answer is {answer}." in the files before v2"""
    outputs = "{paraphrased_answer}" if "paraphrased_answer" in row else "{rationale} So the answer is {answer}."
    return Texts("{question}", outputs)(row, legacy, row_id)


def fm_iqa(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """paraphrased_answer where there is one, else answer"""
    outputs = "{paraphrased_answer}" if filled(row, "paraphrased_answer") else "{answer}"
    return Texts("{question}", outputs)(row, legacy, row_id)


def gqa(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """output with every "?." made "." """
    return word(row, "input", "inputs"), word(row, "output", "outputs").replace("?.", ".")


def shapes(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Yes where answer is "true", else no"""
    return word(row, "question", "inputs"), "yes" if word(row, "answer", "outputs") == "true" else "no"


def vist(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """The sentences, joined by blanks"""
    return "", joined(field(row, "sentences"))


def mmchat(row: dict[str, Any], legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Each turn of context behind Person1: or Person2:, and the prefix of who answers"""
    turns = field(row, "context")
    turns = turns if isinstance(turns, list) and all(isinstance(turn, str) for turn in turns) else word(row, "context", "inputs").split("\n")
    lines = [f"Person{i % 2 + 1}: {turn}" for i, turn in enumerate(turns)]
    return "\n".join([*lines, f"Person{len(turns) % 2 + 1}:"]), word(row, "response", "outputs")


def refused(paraphrase: str) -> bool:
    """Whether the model that was to rewrite an answer declined, in the words that the script looked for."""
    return any(words in paraphrase.lower() for words in ("not answerable", "sorry", "image descriptions"))


def lettered(options: list[str], right: str) -> tuple[str, str]:
    """The options as lines (A) to (Z), and the right one with its letter."""
    if len(options) > len(LETTERS):
        raise ShardError(f"expected at most {len(LETTERS)} options, found {len(options)}", "more options than letters")
    lines = [f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join(lines), lines[options.index(right)]


def draw(right: str, names: list[str], count: int, dataset: str, row_id: str) -> list[str]:
    """`count` different names, the right one among them: those that this row always gets, in the order that it always gets."""
    others = [name for name in dict.fromkeys(names) if name != right]
    options = [right]
    for k in range(min(count - 1, len(others))):
        options.append(choose(others, dataset, f"{row_id} option {k}"))
        others.remove(options[-1])
    return shuffled(options, dataset, row_id)


def class_of(row: dict[str, Any], classes: list[str]) -> str:
    """The class whose number is in `label`."""
    label = field(row, "label")
    if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < len(classes):
        raise ShardError(f"expected a label from 0 to {len(classes) - 1}, found {json.dumps(label)[:40]}", "no outputs")
    return classes[label]


def joined(sentences: Any) -> str:
    """The sentences as one text."""
    if not isinstance(sentences, list) or not sentences or not all(isinstance(sentence, str) for sentence in sentences):
        raise ShardError(f"expected a list of texts in sentences, found {json.dumps(sentences)[:60]}", "no outputs")
    return " ".join(sentences)


# ---- what is known


class Raw(NamedTuple):
    """One config of M3IT. `folder` below data/; `files`: the stem of each split's file, "|" between the names it had, the newest first;
    `images`: the field with the pictures, "" to look for it; `mapping`: None to take fields by their usual names; `instructions`: a file, or a
    {field} of the row; `extra`: one more file that the mapping reads; `evidence`: commits that show it, and what is not known."""

    folder: str
    files: str
    images: str
    mapping: Callable[[dict[str, Any], "Legacy", str], tuple[str, str | list[str]]] | None
    status: str
    evidence: str
    instructions: str = "instructions.json"
    extra: str = ""


V, I = "verified", "inferred"  # noqa: E741
ALL = "train val test"


def rephrased(folder: str, files: str, evidence: str = "f78770f") -> Raw:
    """A config of October 2023: dated files, all but the answer in meta."""
    dated = " ".join(f"{split}_2023-10-*" for split in files.split())
    return Raw(folder, dated, "meta.image_base64_str", Texts("{meta.inputs}", "{answer}"), V, evidence, "{meta.instruction}")


# fmt: off
TABLE = {
    "coco": Raw("captioning/coco", ALL, "image", coco, V, "bc4cad6"),
    "textcap": Raw("captioning/textcap", "train val", "", None, I, "c627e25; fields of picture and caption not seen"),
    "image-paragraph-captioning": Raw(
        "captioning/image_paragraph_captioning", "image_paragraph_captioning_train image_paragraph_captioning_val image_paragraph_captioning_test",
        "", None, I, "e474a5e: output; field of the picture not seen", "instruction.json"),
    "coco-cn": Raw("captioning/coco-cn", ALL, "image_base64", Texts("", "{caption}"), V, "e474a5e, a user's script"),
    "flickr8k-cn": Raw("captioning/flickr8k-cn", ALL, "image_base64", Texts("", "{caption}"), I, "b2c9723; fields as in coco-cn"),
    "msrvtt": Raw("captioning/msrvtt", ALL, "video_str", Texts("", "{caption}"), V, "ba1e8cf"),
    "coco-goi": Raw("classification/coco-goi", "train val", "image_str", coco_goi, V, "813f494, 05ca186"),
    "coco-text": Raw("classification/coco-text", "train val", "image_str", LastWord("", ("legible", "illegible")), I,
                     "a8d8f01: fields; words of the options not seen"),
    "imagenet": Raw("classification/imagenet", "train val", "img_str", imagenet, V, "5d0fcb4", extra="mapping.txt"),
    "imagenet-open-ended": Raw("classification/imagenet", "train val", "img_str", imagenet_open_ended, I,
                               "0394802: label; form of the answer not seen", extra="mapping.txt"),
    "coco-itm": Raw("classification/itm", ALL, "", None, I, "073107f: answer; the rest not seen"),
    "snli-ve": Raw("classification/snli-ve", "esnlive_train esnlive_val esnlive_test", "image_base64_str", snli_ve, I,
                   "84df3fc, c627e25: fields; name of the label and rule of the rationale not sure"),
    "mocheg": Raw("classification/mocheg", "mocheg_train mocheg_val mocheg_test", "image_str", LastWord("question", ("True", "False")), I,
                  "a8d8f01: fields; form of the answer not seen"),
    "vsr": Raw("classification/vsr", "vsr_train vsr_val vsr_test", "image_str", LastWord("question", ("True", "False")), I,
               "a8d8f01: fields; form of the answer not seen"),
    "iqa": Raw("classification/iqa", ALL, "", None, I, "6ec6358; fields as in the rows of the same author"),
    "refcoco": Raw("classification/refcoco", ALL, "", None, I, "80f253b; fields as in the rows of the same author"),
    "ss": Raw("classification/ss", ALL, "video_str", something, I, "9d7860b: options; field of the class not seen", extra="labels.json"),
    "winoground": Raw("classification/winoground", "winoground_test", "image_str", Texts("{input}", "{output}"), V, "5b83b7c"),
    "chinese-food": Raw("classification/chinesefoodnet-10", "val test", "", None, I, "44bff02, 9d74cb2 (test was val); fields not seen"),
    "vqa-v2": Raw("vqa/vqav2", "train val", "img_str", vqa_v2, V, "aa84269, fd52403"),
    "shapes": Raw("vqa/shapes", "train.large val test", "", shapes, I, "3f4f83a: answer; the rest not seen"),
    "docvqa": Raw("vqa/docvqa", "train val", "image_str", Texts("{question}", "{answer}"), V, "c26ef41"),
    "ocr-vqa": Raw("vqa/ocr-vqa", "train_new|train validation", "img_str", Texts("{input}", "{output}"), I,
                   "df4c8f3; same block of code as text-vqa; train or train_new not sure", "instruction.json"),
    "st-vqa": Raw("vqa/st-vqa", "train test", "img_str", Texts("{input}", "The answer is {output}."), V, "528f30c", "instruction.json"),
    "text-vqa": Raw("vqa/text-vqa", "train validation_new|validation test", "img_str", Texts("{input}", "{output}"), V, "0059fa4",
                    "instruction.json"),
    "gqa": Raw("vqa/gqa", "train validation", "img_str", gqa, V, "6630812", "instruction.json"),
    "okvqa": Raw("vqa/okvqa", "train_v2|train val_v2|val", "image_str", okvqa, V, "3155a25, 839be68"),
    "a-okvqa": Raw("vqa/a-okvqa", "train_v2|train val_v2|val", "image_str", a_okvqa, I, "3203fa1: before v2; field of the new answer not seen"),
    "viquae": Raw("vqa/viquae", "train_v2|train validation_v2|validation test_v2|test", "img_str", viquae, V, "1499181"),
    "fm-iqa": Raw("vqa/fm-iqa", "para_train|train para_val|val", "base64", fm_iqa, I, "f4a0e31: train, val; names and answers of para_* not seen"),
    "activitynet-qa": Raw("vqa/activitynet-qa", ALL, "video_str", Texts("{question}", "{answer}"), V, "ba1e8cf"),
    "ivqa": Raw("vqa/ivqa", ALL, "video_str", fm_iqa, I, "9afe423; fields as in activitynet-qa, answers paraphrased"),
    "msrvtt-qa": Raw("vqa/msrvtt-qa", ALL, "video_str", fm_iqa, I, "9afe423; fields as in activitynet-qa, answers paraphrased"),
    "msvd-qa": Raw("vqa/msvd-qa", ALL, "video_str", fm_iqa, I, "9afe423; fields as in activitynet-qa, answers paraphrased"),
    "clevr": Raw("reasoning/clevr", "train val", "", None, I, "40fd0dc; fields not seen"),
    "nlvr": Raw("reasoning/nlvr", ALL, "", None, I, "5d0fcb4; fields not seen; two pictures; test lies there, perhaps not served"),
    "science-qa": Raw("reasoning/science_qa", "science_qa_train science_qa_validation science_qa_test", "", None, I,
                      "c63af3d; fields not seen; half of the rows have no picture"),
    "vcr": Raw("reasoning/vcr", ALL, "", None, I, "f172a75; fields as in the rows of the same author"),
    "visual-mrc": Raw("reasoning/visual_mrc", ALL, "", None, I, "f172a75; fields as in the rows of the same author"),
    "vist": Raw("generation/vist", ALL, "images", vist, V, "9c2a9b2"),
    "visual-dialog": Raw("generation/visual_dialog", ALL, "", None, I, "fields as in the rows of the same author"),
    "multi30k": Raw("generation/multi30k", ALL, "", None, I, "6df7e4a; fields as in the rows of the same author"),
    "mmchat": Raw("generation/mmchat", "train_new|train validation test", "image_base64", mmchat, V, "1db879f, bc5ebe5"),
    "shapes-rephrased": rephrased("vqa/shapes", "train test"),
    "coco-goi-rephrased": rephrased("classification/coco-goi", "train test", "f78770f; test_ has the size of validation"),
    "snli-ve-rephrased": rephrased("classification/snli-ve", "train test"),
    "imagenet-rephrased": rephrased("classification/imagenet", "train test", "f78770f; test_ has the size of validation"),
    "clevr-rephrased": rephrased("reasoning/clevr", "train val"),
    "coco-itm-rephrased": rephrased("classification/itm", "train val test", "f78770f; names of the files not seen"),
    "vsr-rephrased": rephrased("classification/vsr", "train test"),
    "mocheg-rephrased": rephrased("classification/mocheg", "train test"),
    "refcoco-rephrased": rephrased("classification/refcoco", "train test"),
    "visual-dialog-rephrased": rephrased("generation/visual_dialog", "train test"),
    "iqa-rephrased": rephrased("classification/iqa", "train test"),
}
# fmt: on
NO_PICTURE = ("science-qa",)  # its rows may have none
NUM_IMAGES = {"nlvr": 2}  # "some of nlvr data were broken" (users): a row that has lost a picture


def tidy(name: str | None) -> str | None:
    """A config name as the last script had it: hyphens, no blank at its end."""
    hyphens = (name or "").strip().replace("_", "-")
    return hyphens if hyphens in TABLE else name


# ---- rows that the table does not know


class Mapped(NamedTuple):
    """What a raw row says, before an instruction is chosen; several outputs make several rows."""

    inputs: str
    images: Any
    outputs: str | list[str]
    instruction: str | list[str] | None = None


def by_names(row: dict[str, Any], fields: dict[str, str], text_only: bool = False) -> Mapped:
    """A row of a form that the table does not know: `fields` where the user names them, else by the usual names of fields; two that both fit are
    an error, not a choice."""
    meta = row.get("meta")
    if not fields and isinstance(meta, dict) and "inputs" in meta and "image_base64_str" in meta:  # as in the rephrased configs
        return Mapped(word(meta, "inputs", "inputs"), meta["image_base64_str"], word(row, "answer", "outputs"), meta.get("instruction"))
    try:
        names = {"inputs": INPUTS, "outputs": OUTPUTS, "instruction": INSTRUCTIONS}
        inputs, outputs, own = (fields[what] if what in fields else only(row, names[what], what) for what in names)
        images = field(row, fields["images"]) if "images" in fields else pictures(row)
        if not outputs:
            raise Unknown(f"expected an answer in one of {', '.join(OUTPUTS)}", "no outputs")
        if not images and not text_only:
            raise Unknown(f"expected a picture in one of {', '.join(IMAGES)}", "no picture")
        return Mapped(word(row, inputs, "inputs") if inputs else "", images, answers(row, outputs), field(row, own) if own else own)
    except Unknown as error:
        raise ShardError(f"{error}; {found_in(row)}", error.reason) from error


def only(row: dict[str, Any], names: tuple[str, ...], what: str) -> str | None:
    """The one of these names under which the row has something."""
    fitting = [name for name in names if filled(row, name)]
    if "paraphrased_answer" in fitting and "answer" in fitting:
        fitting.remove("answer")  # a rewritten answer stands beside the one it was made of
    if len(fitting) > 1:
        raise Unknown(f"{' and '.join(fitting)} could both be the {what}", "two fields fit")
    return fitting[0] if fitting else None


def answers(row: dict[str, Any], path: str) -> str | list[str]:
    """The outputs under this name: one text, or the targets of a row that stands for several."""
    if path == "meta.targets":
        return field(row, path)
    if path == "sentences":
        return joined(field(row, path))
    outputs = word(row, path, "outputs")
    plain = next((name for name in ("original_answer", "answer") if filled(row, name)), None)
    return word(row, plain, "outputs") if path == "paraphrased_answer" and plain and refused(outputs) else outputs


def pictures(row: dict[str, Any]) -> Any:
    """The pictures under one of the usual names, or a left and a right one; [] if there are none."""
    name = only(row, IMAGES, "images")
    if name:
        return field(row, name)
    sides = [[value for key, value in row.items() if side in key.lower() and isinstance(value, str) and value] for side in ("left", "right")]
    return [side[0] for side in sides] if all(len(side) == 1 for side in sides) else []


def found_in(row: dict[str, Any]) -> str:
    """What the row has, and what to do."""
    meta = row.get("meta")
    names = [*row, *(f"meta.{name}" for name in (meta if isinstance(meta, dict) else ()))]
    return f"found the fields {', '.join(names)}. Name them: fields={{'inputs': ..., 'outputs': ..., 'images': ...}}"


def as_images(value: Any) -> list[str]:
    """The pictures as a list of clean base64; ShardError where one is not base64."""
    images = [value] if isinstance(value, str) and value else value or []
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise ShardError(f"expected base64 or a list of base64 as pictures, found {json.dumps(value)[:60]}", "image is no string")
    images = [clean_base64(image) for image in images]
    for number, image in enumerate(images, 1):  # checked by length and letters, at a fifth of what decoding costs
        if not image or len(image) % 4 or image.endswith("===") or image.rstrip("=").encode().translate(None, BASE64):
            raise ShardError(f"picture {number} of {len(images)} is not base64; it begins with {image[:24]!r}", "image is not base64")
    return images


# ---- the builders


@dataclass
class LegacyConfig(M3ITConfig):
    """`fields`: where a raw row keeps its inputs, outputs, images or instruction, for rows that the table does not know."""

    fields: dict[str, str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = set(self.fields or ()) - {"inputs", "outputs", "images", "instruction"}
        if wrong:
            raise ValueError(f"fields={self.fields!r}: expected inputs, outputs, images or instruction, found {', '.join(sorted(wrong))}")


class Legacy(M3IT):
    """Reads one config of the raw layout."""

    BUILDER_CONFIG_CLASS = LegacyConfig
    BUILDER_CONFIGS = []

    def __init__(self, *args: Any, repository: Repository, hash: str | None = None, **kwargs: Any) -> None:
        # A row depends on small files beside it and on the mapping, too: a changed one must not be served from the cache.
        beside = "" if repository.commit else repository.identity(list(repository.files))
        super().__init__(*args, repository=repository, hash=f"{hash} {code()} {beside}", **kwargs)

    @classmethod
    def about(cls, repository: Repository, name: str) -> tuple[str, str, set[str]]:
        """(status, evidence, splits) of a config."""
        raw = known(repository, name)
        return (raw.status, raw.evidence, set(locate(repository, raw))) if raw else (I, "no such folder", set())

    @functools.cached_property
    def raw(self) -> Raw:
        raw = known(self.repository, self.config.name)
        assert raw is not None  # the config was found
        return raw

    @functools.cached_property
    def folder(self) -> str:
        return posixpath.dirname(next(iter(self.shards(self.config.name).values()))[0])

    @property
    def dataset(self) -> str:
        """What choices by hash are made for."""
        return self.config.name.removesuffix("-rephrased").removesuffix("-open-ended")

    def found(self) -> list[str]:
        return [*(name for name, raw in TABLE.items() if locate(self.repository, raw)), *strangers(self.repository)]

    def shards(self, config_name: str) -> dict[str, list[str]]:
        raw = known(self.repository, config_name)
        found = locate(self.repository, raw) if raw else {}
        if not found:
            raise self._unknown(config_name)
        return {split: found[split] for split in dict.fromkeys(SPLITS.values()) if split in found}

    def pieces(self, split: str) -> list[tuple[str, int, int]]:
        assert self.companions is not None  # read before there are workers, it travels to them
        return super().pieces(split)

    def lines(self, piece: tuple[str, int, int]) -> Iterator[tuple[int, Any]]:
        check_file(self.repository, piece[0])
        if not self.repository.size(piece[0]):
            self._refuse(piece[0], 0, piece[0], ShardError("the file is empty at this revision", "empty file"))
        return super().lines(piece)

    def map_row(self, row: Any, place: str) -> list[dict[str, Any]]:
        if not isinstance(row, dict):
            raise ShardError(f"expected a JSON object, found {type(row).__name__}", "not an object")
        row_id = own_id(row) or place
        mapped = self._map(row, row_id)
        images = as_images(mapped.images)
        if len(images) != NUM_IMAGES.get(self.dataset, len(images)):
            raise ShardError(f"expected {NUM_IMAGES[self.dataset]} pictures, found {len(images)}", "picture lost")
        return self._instances(row, row_id, mapped, images)

    def _map(self, row: dict[str, Any], row_id: str) -> Mapped:
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
            say(f"{self.config.name}: {error} as the table says, {found_in(row).partition('.')[0]}; read by the usual names of fields")
            return mapped
        if not images:
            raise ShardError("expected a picture, found nothing", "no picture")
        return Mapped(inputs, images, outputs, own)

    def _instances(self, row: dict[str, Any], row_id: str, mapped: Mapped, images: list[str]) -> list[dict[str, Any]]:
        """The rows in our schema; the place of missing outputs is left empty, for check_row to refuse that row and no other."""
        outputs = mapped.outputs if isinstance(mapped.outputs, list) else [mapped.outputs]
        if not outputs:
            raise ShardError("expected an answer, found none", "no outputs")
        rows = []
        for k, text in enumerate(outputs):
            name = f"{row_id}#{k}" if len(outputs) > 1 else row_id
            instruction = self.choose_instruction(mapped.instruction, name).replace("[HYPO]", mapped.inputs)
            instance = {"instruction": instruction, "inputs": mapped.inputs, "image_base64_str": images}
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
        names = ("instructions.json", "instruction.json", self.raw.extra)
        return {name: read_text(self.repository, f"{self.folder}/{name}") for name in names if f"{self.folder}/{name}" in self.repository.files}

    def companion(self, *names: str) -> str:
        """The text of the first of these that lies beside the rows."""
        for name in names:
            if name in self.companions:
                return self.companions[name]
        raise ShardError(f"expected {' or '.join(names)} in {self.folder}, found no such file. Get it from the Hub", f"no {names[0]}")

    @functools.cached_property
    def instructions(self) -> list[str]:
        text = self.companion(*dict.fromkeys((self.raw.instructions, "instructions.json", "instruction.json")))
        return json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines() if line.strip()]

    @functools.cached_property
    def classes(self) -> list[str]:
        """The names of mapping.txt in the order of its lines: a synset, a blank, the name."""
        return [line.split(maxsplit=1)[1].strip() for line in self.companion(self.raw.extra).splitlines() if line.strip()]

    @functools.cached_property
    def labels(self) -> dict[str, Any]:
        return json.loads(self.companion(self.raw.extra))

    def _choose(self, name: str | None) -> str:
        name = tidy(name)
        return name if name in TABLE and self.repository.commit else super()._choose(name)


class Converted(Legacy):
    """Reads one config of the branch that the Hub made: rows in the schema, instructions and options as they fell in 2023."""

    def found(self) -> list[str]:
        return list(converted_files(self.repository))

    def shards(self, config_name: str) -> dict[str, list[str]]:
        splits = converted_files(self.repository).get(config_name)
        if splits is None:
            raise self._unknown(config_name)
        for split, (paths, partial) in splits.items():
            if partial:
                say(f"{config_name}/{split}: {BRANCH} has the beginning only (about 5 GB, {posixpath.dirname(paths[0])}); the raw rows have all")
        return {split: splits[split][0] for split in dict.fromkeys(SPLITS.values()) if split in splits}

    companions = {}

    def map_row(self, row: Any, place: str) -> list[Any]:
        return [row]


# ---- files


def locate(repository: Repository, raw: Raw) -> dict[str, list[str]]:
    """Split -> paths of a config: under the newest name that it has there, and not empty; in another group's folder if it moved."""
    found: dict[str, list[str]] = {}
    for stems in raw.files.split():
        for folder in (raw.folder, f"*/{posixpath.basename(raw.folder)}"):
            names = [fnmatch.filter(repository.files, f"data/{folder}/{stem}.jsonl") for stem in stems.split("|")]
            names = sorted(filter(None, names), key=lambda paths: not any(map(repository.size, paths)))
            if names:
                found[SPLITS[SPLIT_WORD.search(stems)[0]]] = names[0]
                break
    return found


def known(repository: Repository, config_name: str) -> Raw | None:
    """What the table says, or what can be seen of a folder that it does not know."""
    return TABLE.get(config_name) or strangers(repository).get(config_name)


def strangers(repository: Repository) -> dict[str, Raw]:
    """Config -> Raw of the folders that the table does not know."""
    folders = {posixpath.basename(raw.folder) for raw in TABLE.values()}
    stems: dict[str, list[str]] = {}
    for path in repository.files:
        top, *parts, name = path.split("/")
        if top == "data" and len(parts) == 2 and parts[1] not in folders and re.search(rf"{SPLIT_WORD.pattern}.*\.jsonl$", name):
            stems.setdefault("/".join(parts), []).append(name.removesuffix(".jsonl"))
    return {name.split("/")[1].replace("_", "-"): Raw(name, " ".join(files), "", None, I, "not in the table") for name, files in stems.items()}


def converted_files(repository: Repository) -> dict[str, dict[str, tuple[list[str], bool]]]:
    """Config -> split -> (paths, whether the split is cut off) of the converted branch."""
    found: dict[str, dict[str, tuple[list[str], bool]]] = {}
    for path in repository.files:
        match = PARQUET.fullmatch(path)
        if match:
            paths, _ = found.setdefault(match[1], {}).setdefault(match[3] or match[4], ([], bool(match[2])))
            paths.append(path)
    return found


def check_file(repository: Repository, path: str) -> None:
    """ShardError where a clone has a Git LFS pointer in place of the data."""
    size = repository.size(path)
    head = repository.read(path, 0, size) if 0 < size < POINTER_BYTES else b""
    if head.startswith(POINTER):
        stated = re.search(rb"^size (\d+)", head, re.MULTILINE)
        raise ShardError(
            f"{path}: expected {'{:,}'.format(int(stated[1])) + ' bytes of ' if stated else ''}data, found a Git LFS pointer in their place. Run in "
            f"that clone: git lfs pull --include '{path}'",
            "Git LFS pointer",
        )


def own_id(row: dict[str, Any]) -> str | None:
    """The source's own id, where the row has one."""
    meta = row.get("meta")
    value = meta.get("id") if isinstance(meta, dict) else None
    return str(value) if isinstance(value, (str, int)) and value != "" else None


def knowledge(row: dict[str, Any], row_id: str | None) -> dict[str, Any]:
    """What the raw row knows beside its pictures, with the source's id if it has one."""
    meta = row.get("meta")
    inner = {k: v for k, v in meta.items() if k != "image_base64_str"} if isinstance(meta, dict) else {}
    outer = {k: v for k, v in row.items() if k not in IMAGES and k != "meta" and not re.search("left|right", k.lower())}
    return {**outer, **inner, **({"id": row_id} if row_id else {})}


def read_text(repository: Repository, path: str) -> str:
    """A small file as text."""
    check_file(repository, path)
    return repository.read(path, 0, repository.size(path)).decode("utf-8-sig")


@functools.cache
def code() -> str:
    """What the cache is kept for: this file as it stands."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


@functools.cache
def say(message: str) -> None:
    """A line on stderr, once."""
    logger.warning("%s", message)


# ---- which of them


def layout(repository: Repository) -> type[M3IT]:
    """The class that reads a repository, by the names of its files."""
    from m3it.legacy80 import TRANSLATED, Legacy80

    files = repository.files
    if any(TRANSLATED.fullmatch(path) for path in files):
        return Legacy80
    if any(path.startswith("data/") for path in files):
        beside = any(posixpath.basename(path) in ("instructions.json", "instruction.json") for path in files)
        return Legacy if beside or not find_shards(repository) and any(locate(repository, raw) for raw in TABLE.values()) else M3IT
    return Converted if any(PARQUET.fullmatch(path) for path in files) else M3IT


def choose_builder(
    repository: Repository,
    name: str | None,
    pinned: bool = False,
    token: str | bool | None = None,
    cache_dir: str | None = None,
    fields: dict[str, str] | None = None,
) -> tuple[type[M3IT], Repository]:
    """The class that reads config `name`, and where from. The table decides, and says so once; what was decided at a commit is kept in the cache,
    so that what was loaded once loads offline. A revision that is `pinned` is read as it is: the converted branch stands beside main only."""
    name = tidy(name) or "coco"
    if fields:
        kind = layout(repository)
        return kind if issubclass(kind, Legacy) else Legacy, repository
    asked = f"{code()} {huggingface_hub.constants.ENDPOINT} {repository.root} {name} {pinned}"
    cache = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser()
    kept = cache / "m3it-layouts" / hashlib.sha256(asked.encode()).hexdigest()[:32]
    if repository.commit and kept.exists():
        kind_name, from_branch = json.loads(kept.read_text("utf-8"))
    else:
        kind_name, from_branch = _decide(repository, name, pinned, token, cache_dir)
        if repository.commit:
            kept.parent.mkdir(parents=True, exist_ok=True)
            unfinished = kept.with_name(f"{kept.name}.{os.getpid()}")
            unfinished.write_text(json.dumps([kind_name, from_branch]), "utf-8")
            os.replace(unfinished, kept)
    if from_branch:
        return Converted, Repository(repository.repo_id, BRANCH, token, None, cache_dir)
    from m3it.legacy80 import Legacy80

    return {kind.__name__: kind for kind in (M3IT, Legacy, Legacy80, Converted)}[kind_name], repository


def _decide(repository: Repository, name: str, pinned: bool, token: Any, cache_dir: str | None) -> tuple[str, bool]:
    """(the class's name, whether the converted rows are read in place of raw ones whose mapping is only inferred); says so."""
    kind = layout(repository)
    if not issubclass(kind, Legacy) or kind is Converted:
        return kind.__name__, False
    where, (status, evidence, splits) = f"{repository.path} {name}", kind.about(repository, name)
    if status == I and splits and repository.repo_id and not pinned and splits <= _complete(repository.repo_id, name, token, cache_dir):
        say(f"{where}: rows of the branch {BRANCH}; the mapping of its raw rows is only inferred ({evidence})")
        return kind.__name__, True
    advice = "" if status == V else f"; look at its rows first: m3it check {repository.path} --config {name}"
    say(f"{where}: raw rows, mapping {status} ({evidence}){advice}")
    return kind.__name__, False


def _complete(repo_id: str, name: str, token: Any, cache_dir: str | None) -> set[str]:
    """The splits of a config that the converted branch holds to their end; none where there is no such branch."""
    try:
        splits = converted_files(Repository(repo_id, BRANCH, token, None, cache_dir)).get(name, {})
    except ShardError as error:
        if _status(error) not in (401, 403, 404):
            raise
        return set()
    return {split for split, (_, partial) in splits.items() if not partial}
