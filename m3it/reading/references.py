"""What a prediction is compared with: the row's own answer, what annotators gave, the texts of lettered options."""

import json
import re
from typing import Any

from M3IT import LANGUAGES
from m3it.catalogue import lookup
from m3it.rows.instance import ShardError

SINGLE = ("short_answer", "target")  # fields of meta that hold one text


def reference_fields(config: str, row: dict[str, Any]) -> dict[str, Any]:
    """What a line of predictions.jsonl says of the row's gold side: `references`, the row's own `outputs` first, then
    what the source's annotators gave, each as often as given; and, where there are such, `choices` (the texts of the
    lettered options), `group` (rows of one image or clip, whose captions are references of each other), `language`
    (where it is not the config's)."""
    dataset, default = lookup(config)
    language = default
    meta = row.get("meta") or {}
    meta = json.loads(meta) if isinstance(meta, str) else meta
    captions = dataset is not None and dataset.task == "captioning"
    # The meta of a translation is that of the row that it was made of; one of a user's own set says so in its meta.
    own_language = language == dataset.language if dataset else "translated_from" not in meta
    if dataset is None and not own_language:
        language = next((code for code in LANGUAGES if config.endswith(f"-{code}")), language)
    further = _texts(meta, "captions" if captions else "answers", config) if own_language else []
    short = _texts(meta, "short_answer", config) if own_language else []
    target = "".join(_texts(meta, "target", config)[:1])  # multi30k translates into four languages
    fields = {
        "references": [row["outputs"], *(further or short)],
        "choices": choices(row["inputs"]),
        "group": str(meta.get("image") or meta.get("video") or "") if captions and not further else "",
        "language": target if target == "en" or target in LANGUAGES else language,
    }
    optional = {"choices": [], "group": "", "language": default}
    return {name: value for name, value in fields.items() if name not in optional or value != optional[name]}


def _texts(meta: dict[str, Any], name: str, config: str) -> list[str]:
    """The texts that a field of meta holds: a text, texts, or answers as SQuAD ({"text": [...]}) and VQA ([{"answer":
    ...}]) have them; ShardError for anything else, so that nothing is compared with what nobody gave."""
    said = meta.get(name)
    found = said["text"] if isinstance(said, dict) and "text" in said else said
    listed = [] if found is None else found if isinstance(found, list) and name not in SINGLE else [found]
    texts: list[Any] = [text.get("answer", text.get("text")) if isinstance(text, dict) else text for text in listed]
    if not all(isinstance(text, str) for text in texts):
        expected = "a text" if name in SINGLE else "a list of texts"
        raise ShardError(
            f"{config}: row {str(meta.get('id', ''))!r}: expected {name} in meta to be {expected}, found "
            f"{json.dumps(said, ensure_ascii=False)[:60]}. Fix the row, or pass --on-error drop to list it as failed.",
            f"{name} in meta is no text",
        )
    return texts


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


BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}|([^{}]*))\s*\}")


def short_answer(text: str) -> str:
    """What stands in the last \\boxed{}, as models that reason end; or follows the last "the answer is", as rewritten
    answers end, without its period and the stars of Markdown; else the text."""
    if boxed := list(BOXED.finditer(text)):
        return (boxed[-1][1] or boxed[-1][2] or "").strip()
    said = ANSWER_IS.match(text)
    return said[1].rstrip(" .。*") if said else text
