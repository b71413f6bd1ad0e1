"""What a prediction is compared with: the row's own answer, what annotators gave, the texts of lettered options."""

import json
import re
from typing import Any

from M3IT import LANGUAGES
from m3it.catalogue import lookup


def reference_fields(config: str, row: dict[str, Any]) -> dict[str, Any]:
    """What a line of predictions.jsonl says of the row's gold side: `references`, the row's own `outputs` first, then
    what the source's annotators gave, each as often as given; and, where there are such, `choices` (the texts of the
    lettered options), `group` (rows of one image or clip, whose captions are references of each other), `language`
    (where it is not the config's)."""
    dataset, language = lookup(config)
    meta = row.get("meta") or {}
    meta = json.loads(meta) if isinstance(meta, str) else meta
    captions = dataset is not None and dataset.task == "captioning"
    own_language = dataset is None or language == dataset.language  # a translation's meta is that of the English row
    further = meta.get("captions" if captions else "answers", []) if own_language else []
    short = [meta["short_answer"]] if "short_answer" in meta else []
    target = meta.get("target")  # multi30k translates into four languages
    fields = {
        "references": [row["outputs"], *(further or short)],
        "choices": choices(row["inputs"]),
        "group": str(meta.get("image") or meta.get("video") or "") if captions and not further else "",
        "language": target if target == "en" or target in LANGUAGES else language,
    }
    optional = {"choices": [], "group": "", "language": language}
    return {name: value for name, value in fields.items() if name not in optional or value != optional[name]}


def choices(inputs: str) -> list[str]:
    """The texts of the lettered options that end the inputs, (A) first, in lines or in one line; [] for none."""
    marks = list(re.finditer(r"\(([A-Z])\)\s*", inputs))
    start = max((i for i, mark in enumerate(marks) if mark[1] == "A"), default=len(marks))
    run = [mark for i, mark in enumerate(marks[start:]) if ord(mark[1]) == ord("A") + i]
    if len(run) < 2 or len(run) < len(marks) - start:
        return []
    ends = [*(mark.start() for mark in run[1:]), len(inputs)]
    return [inputs[mark.end() : end].strip() for mark, end in zip(run, ends, strict=True)]


ANSWER_IS = re.compile(r".*(?:\banswer(?: is\b|:)|答案[是为：:])[\s*:：]*([^\n]+)", re.IGNORECASE | re.DOTALL)


def short_answer(text: str) -> str:
    """What follows the last "the answer is", as rewritten answers end, without its period and the stars of
    Markdown; else the text."""
    said = ANSWER_IS.match(text)
    return said[1].rstrip(" .。*") if said else text
