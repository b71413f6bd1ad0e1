"""What the loading script of M3IT made of a raw row: the mappings that m3it/reading/published/table.py names.

A mapping is called with the row, the builder (for the small files beside the rows) and the row id, and gives (inputs,
outputs); several outputs make several rows. What the script drew at random is drawn here by a hash of the row id.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from m3it.reading.published.fields import FILL, Row, answer, field, fill, filled, joined, text, word
from m3it.rows.instance import ShardError, choose, shuffled

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Beside(Protocol):
    """What a mapping asks of the builder: for which name choices are made, and the small files beside the rows."""

    @property
    def dataset(self) -> str: ...

    @property
    def classes(self) -> list[str]: ...

    @property
    def labels(self) -> Row: ...


Mapping = Callable[[Row, Beside, str], tuple[str, Any]]


@dataclass(frozen=True)
class Texts:
    """A mapping that only fills fields in. `before`: the outputs of older files, without the field that `outputs`
    names; `instead`: those where a model that was to rewrite the answer declined, in the words of `refusal`."""

    inputs: str
    outputs: str
    before: str = ""
    instead: str = ""
    refusal: str = ""

    def __call__(self, row: Row, beside: Beside, row_id: str) -> tuple[str, str]:
        inputs = fill(self.inputs, row, text)
        older = self.before and not all(filled(row, name) for name in FILL.findall(self.outputs))
        outputs = fill(self.before if older else self.outputs, row, answer)
        if self.refusal and re.search(self.refusal, outputs):
            outputs = fill(self.instead, row, answer)
        return inputs, outputs


@dataclass(frozen=True)
class LastWord:
    """The last word of `answer` picks one of two lettered options, which follow the inputs."""

    inputs: str
    options: tuple[str, str]

    def __call__(self, row: Row, beside: Beside, row_id: str) -> tuple[str, str]:
        said = answer(row, "answer")
        last = re.findall(r"\w+", said.lower())[-1:]
        right = [option for option in self.options if [option.lower()] == last]
        if not right:
            options = " or ".join(self.options)
            raise ShardError(f"expected an answer that ends in {options}, found {said[-40:]!r}", "no outputs")
        listed, outputs = lettered(list(self.options), right[0])
        return f"{fill(self.inputs, row, text)}Options:\n{listed}", outputs


def coco(row: Row, beside: Beside, row_id: str) -> tuple[str, list[str]]:
    """One row for each caption in meta.targets."""
    return "", field(row, "meta.targets")


def coco_goi(row: Row, beside: Beside, row_id: str) -> tuple[str, str]:
    """Lines 1 to 24 of `input` as lettered options, the answer among them."""
    right = answer(row, "outputs")
    options = [line for line in word(row, "input", "inputs").split("\n")[1:25] if line.strip()]
    options = shuffled(options if right in options else [*options, right], beside.dataset, row_id)
    inputs, outputs = lettered(options, right)
    return f"Options:\n{inputs}", f"{outputs}."


def imagenet(row: Row, beside: Beside, row_id: str) -> tuple[str, str]:
    """Ten lettered classes; the right one is line `label` of mapping.txt."""
    right = class_of(row, beside.classes)
    inputs, outputs = lettered(draw(right, beside.classes, 10, beside.dataset, row_id), right)
    return f"{inputs}\n", outputs


def imagenet_open_ended(row: Row, beside: Beside, row_id: str) -> tuple[str, str]:
    """No options; the class is line `label` of mapping.txt."""
    return "", class_of(row, beside.classes)


def something(row: Row, beside: Beside, row_id: str) -> tuple[str, str]:
    """Eleven lettered classes of labels.json; the right one is the only text of the row that is one of them."""
    short = (value for value in row.values() if isinstance(value, str) and len(value) < 1000)
    found = {value.replace("[", "").replace("]", "") for value in short} & set(beside.labels)
    found = found or {name for name, number in beside.labels.items() if str(number) == str(row.get("label"))}
    if len(found) != 1:
        raise ShardError(f"expected one text that labels.json knows, found {len(found)}", "no outputs")
    (right,) = found
    inputs, outputs = lettered(draw(right, list(beside.labels), 11, beside.dataset, row_id), right)
    return f"{inputs}\n", outputs


def snli_ve(row: Row, beside: Beside, row_id: str) -> tuple[str, str]:
    """Yes, no or maybe from the label; the rationale follows a maybe."""
    words = {"entailment": "yes", "neutral": "maybe", "contradiction": "no", "yes": "yes", "maybe": "maybe", "no": "no"}
    short = (value.lower() for value in row.values() if isinstance(value, str) and len(value) < 20)
    found = {words[value] for value in short if value in words}
    if len(found) != 1:
        raise ShardError(f"expected one label, e.g. entailment, found {len(found)}", "no outputs")
    (verdict,) = found
    rationale = fill(" Rationale: {rationale}", row, answer) if verdict == "maybe" else ""
    return word(row, "hypothesis", "inputs"), verdict + rationale


def gqa(row: Row, beside: Beside, row_id: str) -> tuple[str, str]:
    """`output` with every "?." made a full stop."""
    return text(row, "input"), answer(row, "output").replace("?.", ".")


def shapes(row: Row, beside: Beside, row_id: str) -> tuple[str, str]:
    """Yes where `answer` is true, else no."""
    return text(row, "question"), "yes" if answer(row, "answer") == "true" else "no"


def vist(row: Row, beside: Beside, row_id: str) -> tuple[str, str]:
    """The sentences, joined by blanks."""
    return "", joined(row)


def mmchat(row: Row, beside: Beside, row_id: str) -> tuple[str, str]:
    """Each turn of `context` after Person1: or Person2:, and the prefix of who answers."""
    turns = word(row, "context", "inputs").split("\n")
    lines = [f"Person{number % 2 + 1}: {turn}" for number, turn in enumerate(turns)]
    return "\n".join([*lines, f"Person{len(turns) % 2 + 1}:"]), answer(row, "response")


def lettered(options: list[str], right: str) -> tuple[str, str]:
    """The options as lines (A) to (Z), and the right one with its letter."""
    if len(options) > len(LETTERS):
        raise ShardError(f"expected at most {len(LETTERS)} options, found {len(options)}", "more options than letters")
    lines = [f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join(lines), lines[options.index(right)]


def draw(right: str, names: list[str], count: int, dataset: str, row_id: str) -> list[str]:
    """`count` different names, the right one among them: those, and in the order, that this row always gets."""
    others = [name for name in dict.fromkeys(names) if name and name != right]
    options = [right]
    for number in range(min(count - 1, len(others))):
        options.append(choose(others, dataset, f"{row_id} option {number}"))
        others.remove(options[-1])
    return shuffled(options, dataset, row_id)


def class_of(row: Row, classes: list[str]) -> str:
    """The class whose number is in `label`."""
    label = field(row, "label")
    known = isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(classes) and classes[label]
    if not known:
        found = json.dumps(label)[:40]
        raise ShardError(
            f"expected the number of a line in mapping.txt that names a class, found {found}", "no outputs"
        )
    return classes[label]
