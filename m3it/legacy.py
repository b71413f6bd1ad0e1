"""The published repositories as they lie on the Hub: MMInstruction/M3IT and M3IT-80, raw rows in, instances out, no remote code.

Their JSON Lines hold raw rows whose fields differ per dataset; a loading script, which `datasets` refuses since 4.0, made the published columns of
them. TABLE says for each of the 54 configs of M3IT what that script did, and how well we know it: "verified" where a public page shows fields and
mapping (the commits are named), "inferred" where a part is a guess. Nobody could read a raw row while this was written.

Three layouts, told apart in m3it/layouts.py:
raw         data/<group>/<folder>/<stem>.jsonl with instructions.json beside it               Legacy
joined      M3IT-80: texts in one file, pictures in another                                   Legacy80, m3it/legacy80.py
converted   the Hub's own branch refs/convert/parquet: <config>/<split>/0000.parquet, rows in the schema already    Converted
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
from typing import Any, ClassVar, NamedTuple

from M3IT import M3IT, SPLITS, M3ITConfig, Repository, clean_base64
from m3it.instance import ShardError, choose, shuffled

BRANCH = "refs/convert/parquet"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SPLIT_WORD = re.compile("train|validation|val|dev|test")
PARQUET = re.compile(
    r"([^/]+)/(?:(partial-)?(train|validation|test)/\d+|[\w.-]*?(train|validation|test)(?:-\d+-of-\d+)?)\.parquet"
)
POINTER = b"version https://git-lfs"
POINTER_BYTES = 1024  # Git LFS: a pointer is smaller than this
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

# The names under which raw rows hold one thing. Those of the published columns come first.
IMAGES = ("image_base64_str", "images", "video_str", "image_str", "img_str", "image_base64", "base64", "image")
INPUTS = ("inputs", "input", "question", "context", "hypothesis", "sentence")
OUTPUTS = ("outputs", "output", "paraphrased_answer", "response", "answer", "caption", "meta.targets", "sentences")
INSTRUCTIONS = ("instruction", "instruct", "instructions")

FILL = re.compile(r"\{([\w.]+)\}")
REFUSAL = "(?i)not answerable|sorry|image descriptions"  # the words that the script looked for
Row = dict[str, Any]

logger = logging.getLogger(__name__)


class Unknown(ShardError):
    """A row without the fields that a mapping needs."""


# ---- one row: its fields, and what the script of the repository made of them


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
        value = field(row, path)
    except Unknown:
        return False
    return value not in (None, "", [], {})


def word(row: Row, path: str, what: str) -> str:
    """The text under this name, the first of a list; ShardError if there is none: a number or a truth value is no answer without a class map."""
    value = field(row, path)
    value = value[0] if isinstance(value, list) and value else value
    if value is None or value == "" or value == []:
        raise ShardError(f"expected a text in {path}, found nothing", f"no {what}")
    if not isinstance(value, str):
        raise ShardError(f"expected a text in {path}, found {json.dumps(value)[:60]}", f"{what} is no string")
    return value


class Texts(NamedTuple):
    """A mapping that only fills fields in; `before`: the outputs of files that are older than the field which `outputs` names; `instead`: the
    outputs where a model that was to rewrite an answer declined, which `refusal` finds."""

    inputs: str
    outputs: str
    before: str = ""
    instead: str = ""
    refusal: str = ""

    def __call__(self, row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
        new = not self.before or all(filled(row, name) for name in FILL.findall(self.outputs))
        outputs = fill(self.outputs if new else self.before, row, "outputs")
        if self.refusal and re.search(self.refusal, outputs):
            outputs = fill(self.instead, row, "outputs")
        return fill(self.inputs, row, "inputs"), outputs


class LastWord(NamedTuple):
    """The last word of `answer` picks one of two lettered options, which follow the inputs"""

    inputs: str
    options: tuple[str, str]

    def __call__(self, row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
        words = re.findall(r"\w+", word(row, "answer", "outputs"))
        right = [option for option in self.options if words and option.lower() == words[-1].lower()]
        if not right:
            raise ShardError(
                f"expected an answer that ends in {' or '.join(self.options)}, found {row['answer'][-40:]!r}",
                "no outputs",
            )
        listed, outputs = lettered(list(self.options), right[0])
        return f"{fill(self.inputs, row, 'inputs')}Options:\n{listed}", outputs


def coco(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, list[str]]:
    """One row for each caption in meta.targets"""
    return "", field(row, "meta.targets")


def coco_goi(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Lines 1 to 24 of `input` as lettered options, the answer among them"""
    right = word(row, "outputs", "outputs")
    options = [line for line in word(row, "input", "inputs").split("\n")[1:25] if line.strip()]
    options = shuffled(options if right in options else [*options, right], legacy.dataset, row_id)
    inputs, outputs = lettered(options, right)
    return f"Options:\n{inputs}", f"{outputs}."


def imagenet(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Ten lettered classes; the right one is line `label` of mapping.txt"""
    right = class_of(row, legacy.classes)
    inputs, outputs = lettered(draw(right, legacy.classes, 10, legacy.dataset, row_id), right)
    return inputs + "\n", outputs


def imagenet_open_ended(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """No options; the class is line `label` of mapping.txt"""
    return "", class_of(row, legacy.classes)


def something(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Eleven lettered classes of labels.json; the right one is the only text of the row that is one of them"""
    texts = {
        value.replace("[", "").replace("]", "")
        for value in row.values()
        if isinstance(value, str) and len(value) < 1000
    }
    found = texts & set(legacy.labels) or {
        name for name, number in legacy.labels.items() if str(number) == str(row.get("label"))
    }
    if len(found) != 1:
        raise ShardError(f"expected one text that labels.json knows, found {len(found)}", "no outputs")
    (right,) = found
    inputs, outputs = lettered(draw(right, list(legacy.labels), 11, legacy.dataset, row_id), right)
    return inputs + "\n", outputs


def snli_ve(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Yes, no or maybe from the label; the rationale follows a maybe"""
    words = {"entailment": "yes", "neutral": "maybe", "contradiction": "no", "yes": "yes", "no": "no", "maybe": "maybe"}
    found = {
        words[value.lower()]
        for value in row.values()
        if isinstance(value, str) and len(value) < 20 and value.lower() in words
    }
    if len(found) != 1:
        raise ShardError(f"expected one label (entailment, neutral, contradiction), found {len(found)}", "no outputs")
    (answer,) = found
    return word(row, "hypothesis", "inputs"), fill(
        "maybe Rationale: {rationale}", row, "outputs"
    ) if answer == "maybe" else answer


def gqa(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """`output` with every "?." made a full stop"""
    return word(row, "input", "inputs"), word(row, "output", "outputs").replace("?.", ".")


def shapes(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Yes where `answer` is true, else no"""
    return word(row, "question", "inputs"), "yes" if word(row, "answer", "outputs") == "true" else "no"


def vist(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """The sentences, joined by blanks"""
    return "", joined(field(row, "sentences"))


def mmchat(row: Row, legacy: "Legacy", row_id: str) -> tuple[str, str]:
    """Each turn of `context` behind Person1: or Person2:, and the prefix of who answers"""
    turns = word(row, "context", "inputs").split("\n")
    lines = [f"Person{i % 2 + 1}: {turn}" for i, turn in enumerate(turns)]
    return "\n".join([*lines, f"Person{len(turns) % 2 + 1}:"]), word(row, "response", "outputs")


def fill(template: str, row: Row, what: str) -> str:
    """The template with the row's texts in place of {field}."""
    return FILL.sub(lambda name: word(row, name[1], what), template)


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


def class_of(row: Row, classes: list[str]) -> str:
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


VER, INF = "verified", "inferred"
ALL = "train val test"
ANSWER = Texts("{question}", "{paraphrased_answer}", before="{answer}")
TRUE_FALSE = LastWord("{question}\n", ("True", "False"))


def rephrased(folder: str, files: str, evidence: str = "f78770f") -> Raw:
    """A config of October 2023: dated files, all but the answer in meta."""
    dated = " ".join(f"{split}_2023-10-*" for split in files.split())
    return Raw(
        folder, dated, "meta.image_base64_str", Texts("{meta.inputs}", "{answer}"), VER, evidence, "{meta.instruction}"
    )


# fmt: off
TABLE = {
    "coco": Raw("captioning/coco", ALL, "image", coco, VER, "bc4cad6"),
    "textcap": Raw("captioning/textcap", "train val", "", None, INF, "c627e25; fields of picture and caption not seen"),
    "image-paragraph-captioning": Raw(
        "captioning/image_paragraph_captioning", "image_paragraph_captioning_train image_paragraph_captioning_val image_paragraph_captioning_test",
        "", None, INF, "e474a5e: output; field of the picture not seen", "instruction.json"),
    "coco-cn": Raw("captioning/coco-cn", ALL, "image_base64", Texts("", "{caption}"), VER, "e474a5e, a user's script"),
    "flickr8k-cn": Raw("captioning/flickr8k-cn", ALL, "image_base64", Texts("", "{caption}"), INF, "b2c9723; fields as in coco-cn"),
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
    "iqa": Raw("classification/iqa", ALL, "", None, INF, "6ec6358; fields as in the rows of the same author"),
    "refcoco": Raw("classification/refcoco", ALL, "", None, INF, "80f253b; fields as in the rows of the same author"),
    "ss": Raw("classification/ss", ALL, "video_str", something, INF, "9d7860b: options; field of the class not seen", extra="labels.json"),
    "winoground": Raw("classification/winoground", "winoground_test", "image_str", Texts("{input}", "{output}"), VER, "5b83b7c"),
    "chinese-food": Raw("classification/chinesefoodnet-10", "val test", "", None, INF, "44bff02, 9d74cb2 (test was val); fields not seen"),
    "vqa-v2": Raw("vqa/vqav2", "train val", "img_str", Texts("{question}", "{paraphrased_answer}", instead="The answer is {original_answer}",
                  refusal=REFUSAL), VER, "aa84269, fd52403"),
    "shapes": Raw("vqa/shapes", "train.large val test", "", shapes, INF, "3f4f83a: answer; the rest not seen"),
    "docvqa": Raw("vqa/docvqa", "train val", "image_str", Texts("{question}", "{answer}"), VER, "c26ef41"),
    "ocr-vqa": Raw("vqa/ocr-vqa", "train_new|train validation", "img_str", Texts("{input}", "{output}"), INF,
                   "df4c8f3; same block of code as text-vqa; train or train_new not sure", "instruction.json"),
    "st-vqa": Raw("vqa/st-vqa", "train test", "img_str", Texts("{input}", "The answer is {output}."), VER, "528f30c", "instruction.json"),
    "text-vqa": Raw("vqa/text-vqa", "train validation_new|validation test", "img_str", Texts("{input}", "{output}"), VER, "0059fa4",
                    "instruction.json"),
    "gqa": Raw("vqa/gqa", "train validation", "img_str", gqa, VER, "6630812", "instruction.json"),
    "okvqa": Raw("vqa/okvqa", "train_v2|train val_v2|val", "image_str", Texts("{question}", "{paraphrased_answer}",
                 instead="The answer is {answer}.", refusal="sorry"), VER, "3155a25, 839be68"),
    "a-okvqa": Raw("vqa/a-okvqa", "train_v2|train val_v2|val", "image_str", Texts("{question}", "{paraphrased_answer}",
                   before="{rationale} So the answer is {answer}."), INF, "3203fa1: before v2; field of the new answer not seen"),
    "viquae": Raw("vqa/viquae", "train_v2|train validation_v2|validation test_v2|test", "img_str", Texts(
                  "{question}", "{paraphrased_answer}", before="The answer is {answer}.\n"), VER, "1499181"),
    "fm-iqa": Raw("vqa/fm-iqa", "para_train|train para_val|val", "base64", ANSWER, INF, "f4a0e31: train, val; names and answers of para_* not seen"),
    "activitynet-qa": Raw("vqa/activitynet-qa", ALL, "video_str", Texts("{question}", "{answer}"), VER, "ba1e8cf"),
    "ivqa": Raw("vqa/ivqa", ALL, "video_str", ANSWER, INF, "9afe423; fields as in activitynet-qa, answers paraphrased"),
    "msrvtt-qa": Raw("vqa/msrvtt-qa", ALL, "video_str", ANSWER, INF, "9afe423; fields as in activitynet-qa, answers paraphrased"),
    "msvd-qa": Raw("vqa/msvd-qa", ALL, "video_str", ANSWER, INF, "9afe423; fields as in activitynet-qa, answers paraphrased"),
    "clevr": Raw("reasoning/clevr", "train val", "", None, INF, "40fd0dc; fields not seen"),
    "nlvr": Raw("reasoning/nlvr", ALL, "", None, INF, "5d0fcb4; fields not seen; two pictures; test lies there, perhaps not served"),
    "science-qa": Raw("reasoning/science_qa", "science_qa_train science_qa_validation science_qa_test", "", None, INF,
                      "c63af3d; fields not seen; half of the rows have no picture"),
    "vcr": Raw("reasoning/vcr", ALL, "", None, INF, "f172a75; fields as in the rows of the same author"),
    "visual-mrc": Raw("reasoning/visual_mrc", ALL, "", None, INF, "f172a75; fields as in the rows of the same author"),
    "vist": Raw("generation/vist", ALL, "images", vist, VER, "9c2a9b2"),
    "visual-dialog": Raw("generation/visual_dialog", ALL, "", None, INF, "fields as in the rows of the same author"),
    "multi30k": Raw("generation/multi30k", ALL, "", None, INF, "6df7e4a; fields as in the rows of the same author"),
    "mmchat": Raw("generation/mmchat", "train_new|train validation test", "image_base64", mmchat, VER, "1db879f, bc5ebe5"),
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


def by_names(row: Row, fields: dict[str, str], text_only: bool = False) -> Mapped:
    """A row of a form that the table does not know: `fields` where the user names them, else by the usual names of fields; two that both fit are
    an error, not a choice."""
    meta = row.get("meta")
    if (
        not fields and isinstance(meta, dict) and "inputs" in meta and "image_base64_str" in meta
    ):  # as in the rephrased configs
        return Mapped(
            word(meta, "inputs", "inputs"),
            meta["image_base64_str"],
            word(row, "answer", "outputs"),
            meta.get("instruction"),
        )
    try:
        names = {"inputs": INPUTS, "outputs": OUTPUTS, "instruction": INSTRUCTIONS}
        inputs, outputs, own = (fields[what] if what in fields else only(row, names[what], what) for what in names)
        images = field(row, fields["images"]) if "images" in fields else pictures(row)
        if not outputs:
            raise Unknown(f"expected an answer in one of {', '.join(OUTPUTS)}", "no outputs")
        if not images and not text_only:
            raise Unknown(f"expected a picture in one of {', '.join(IMAGES)}", "no picture")
        return Mapped(
            word(row, inputs, "inputs") if inputs else "",
            images,
            answers(row, outputs),
            field(row, own) if own else own,
        )
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
        return joined(field(row, path))
    outputs = word(row, path, "outputs")
    plain = next((name for name in ("original_answer", "answer") if filled(row, name)), None)
    return (
        word(row, plain, "outputs")
        if path == "paraphrased_answer" and plain and re.search(REFUSAL, outputs)
        else outputs
    )


def pictures(row: Row) -> Any:
    """The pictures under one of the usual names, or a left and a right one; [] if there are none."""
    name = only(row, IMAGES, "images")
    if name:
        return field(row, name)
    sides = [
        [value for key, value in row.items() if side in key.lower() and isinstance(value, str) and value]
        for side in ("left", "right")
    ]
    return [side[0] for side in sides] if all(len(side) == 1 for side in sides) else []


def found_in(row: Row) -> str:
    """What the row has, and what to do."""
    meta = row.get("meta")
    names = [*row, *(f"meta.{name}" for name in (meta if isinstance(meta, dict) else ()))]
    return f"found the fields {', '.join(names)}. Name them: fields={{'inputs': ..., 'outputs': ..., 'images': ...}}"


def as_images(value: Any) -> list[str]:
    """The pictures as a list of clean base64; ShardError where one is not base64."""
    images = [value] if isinstance(value, str) and value else value or []
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise ShardError(
            f"expected base64 or a list of base64 as pictures, found {json.dumps(value)[:60]}", "image is no string"
        )
    images = [clean_base64(image) for image in images]
    for number, image in enumerate(images, 1):  # checked by length and letters, at a fifth of what decoding costs
        if not image or len(image) % 4 or image.endswith("===") or image.rstrip("=").encode().translate(None, BASE64):
            raise ShardError(
                f"picture {number} of {len(images)} is not base64; it begins with {image[:24]!r}", "image is not base64"
            )
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
            raise ValueError(
                f"fields={self.fields!r}: expected inputs, outputs, images or instruction, found {', '.join(sorted(wrong))}"
            )


class Legacy(M3IT):
    """Reads one config of the raw layout."""

    BUILDER_CONFIG_CLASS = LegacyConfig
    BUILDER_CONFIGS: ClassVar = []

    def __init__(self, *args: Any, repository: Repository, hash: str | None = None, **kwargs: Any) -> None:
        # A row depends on small files beside it and on the mapping, too: a changed one must not be served from the cache.
        beside = "" if repository.commit else repository.identity(list(repository.files))
        super().__init__(*args, repository=repository, hash=f"{hash} {code()} {beside}", **kwargs)

    @classmethod
    def about(cls, repository: Repository, name: str) -> tuple[str, str, set[str]]:
        """(status, evidence, splits) of a config."""
        raw = known(repository, name)
        return (raw.status, raw.evidence, set(locate(repository, raw))) if raw else (INF, "no such folder", set())

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

    @classmethod
    def configs(cls, repository: Repository) -> list[str]:
        """The names of the configs whose files are there."""
        return [*(name for name, raw in TABLE.items() if locate(repository, raw)), *strangers(repository)]

    def found(self) -> list[str]:
        return self.configs(self.repository)

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

    def first_line(self) -> Any:
        """The first line of the first split, as `lines` gives it."""
        path = next(iter(self.shards(self.config.name).values()))[0]
        return next(iter(self.lines((path, 0, 1))))[1]

    @property
    def says(self) -> str:
        """The mapping in words."""
        if self.config.fields or self.raw.mapping is None:
            return f"fields {self.config.fields}" if self.config.fields else "by the usual names of fields"
        mapping = self.raw.mapping
        return (
            f'inputs "{mapping.inputs}", outputs "{mapping.outputs}"'
            if isinstance(mapping, Texts)
            else str(mapping.__doc__)
        )

    def map_row(self, row: Any, place: str) -> list[dict[str, Any]]:
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
                f"{self.config.name}: {error} as the table says, {found_in(row).partition('.')[0]}; read by the usual names of fields"
            )
            return mapped
        if not images:
            raise ShardError("expected a picture, found nothing", "no picture")
        return Mapped(inputs, images, outputs, own)

    def _instances(self, row: Row, row_id: str, mapped: Mapped, images: list[str]) -> list[dict[str, Any]]:
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
        return {
            name: read_text(self.repository, f"{self.folder}/{name}")
            for name in names
            if f"{self.folder}/{name}" in self.repository.files
        }

    def companion(self, *names: str) -> str:
        """The text of the first of these that lies beside the rows."""
        for name in names:
            if name in self.companions:
                return self.companions[name]
        raise ShardError(
            f"expected {' or '.join(names)} in {self.folder}, found no such file. Get it from the Hub", f"no {names[0]}"
        )

    @functools.cached_property
    def instructions(self) -> list[str]:
        text = self.companion(*dict.fromkeys((self.raw.instructions, "instructions.json", "instruction.json")))
        return (
            json.loads(text)
            if text.lstrip().startswith("[")
            else [json.loads(line) for line in text.splitlines() if line.strip()]
        )

    @functools.cached_property
    def classes(self) -> list[str]:
        """The names of mapping.txt in the order of its lines: a synset, a blank, the name."""
        return [
            line.split(maxsplit=1)[1].strip() for line in self.companion(self.raw.extra).splitlines() if line.strip()
        ]

    @functools.cached_property
    def labels(self) -> dict[str, Any]:
        return json.loads(self.companion(self.raw.extra))

    def _choose(self, name: str | None) -> str:
        name = tidy(name)
        return name if name in TABLE and self.repository.commit else super()._choose(name)


class Converted(Legacy):
    """Reads one config of the branch that the Hub made: rows in the schema, instructions and options as they fell in 2023."""

    @classmethod
    def configs(cls, repository: Repository) -> list[str]:
        return list(converted_files(repository))

    def shards(self, config_name: str) -> dict[str, list[str]]:
        splits = converted_files(self.repository).get(config_name)
        if splits is None:
            raise self._unknown(config_name)
        for split, (paths, partial) in splits.items():
            if partial:
                say(
                    f"{config_name}/{split}: {BRANCH} has the beginning only (about 5 GB, {posixpath.dirname(paths[0])}); the raw rows have all"
                )
        return {split: splits[split][0] for split in dict.fromkeys(SPLITS.values()) if split in splits}

    companions: ClassVar = {}  # type: ignore[assignment]
    says = "served rows, as they are"

    def first_line(self) -> Any:
        path = next(iter(self.shards(self.config.name).values()))[0]
        return next(iter(self.lines((path, 0, self.repository.size(path)))))[1]

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
        if (
            top == "data"
            and len(parts) == 2
            and parts[1] not in folders
            and re.search(rf"{SPLIT_WORD.pattern}.*\.jsonl$", name)
        ):
            stems.setdefault("/".join(parts), []).append(name.removesuffix(".jsonl"))
    return {
        name.split("/")[1].replace("_", "-"): Raw(name, " ".join(files), "", None, INF, "not in the table")
        for name, files in stems.items()
    }


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
        size = int(stated[1]) if stated else 0
        raise ShardError(
            f"{path}: expected {size:,} bytes of data, found a Git LFS pointer in their place. Run in that clone: git lfs pull --include '{path}'",
            "Git LFS pointer",
        )


def own_id(row: Row) -> str | None:
    """The source's own id, where the row has one."""
    meta = row.get("meta")
    value = meta.get("id") if isinstance(meta, dict) else None
    return str(value) if isinstance(value, (str, int)) and value != "" else None


def knowledge(row: Row, row_id: str | None) -> dict[str, Any]:
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
