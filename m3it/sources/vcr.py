"""VCR: a question about marked objects of a film still, its answer, and why.

Source files   https://visualcommonsense.com (accept the terms), in `root` or root/vcr1: vcr1annots.zip or its files
               {train,val}.jsonl; vcr1images.zip or vcr1images/<film>/<clip>@<n>.jpg, its boxes in <clip>@<n>.json
License        research only, annotations and images
Paper          https://arxiv.org/abs/1811.10830
One instance   inputs="Is the car in the red box moving?"
               outputs="No it is not. The dog in the green box sleeps in front of the car in the red box."

M3IT asks for the answer and its reason, and tells objects apart by colours; its wording and colours were not seen. We
draw a box around each object that question, answer and reason name, and say "the car in the red box". M3IT's 5,000 test
rows have answers, so they cannot come from test.jsonl: we part the stills of val.jsonl by hash between validation and
test, and draw from each part. More objects than colours: left out.
"""

import re
from collections.abc import Iterator
from typing import Any

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, hash_of, text
from m3it.sources.kit.downloads import TERMS, ByHand
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import COLOURS, Box, Picture
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_json, read_jsonl

PART = {"train": "train", "validation": "val", "test": "val"}  # VCR's files for our splits
HALF = {"validation": 0, "test": 1}  # of val's stills
_BY_HAND = "https://visualcommonsense.com", TERMS
FILES = (
    ByHand("vcr1annots.zip", *_BY_HAND, ("*train.jsonl", "*val.jsonl", "vcr1/vcr1annots.zip")),
    ByHand("vcr1images.zip", *_BY_HAND, ("*vcr1images/*", "vcr1/vcr1images.zip")),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per sampled question, in file order."""
    part = PART[split]
    path = root.first(
        f"{part}.jsonl", f"vcr1annots/{part}.jsonl", f"vcr1/{part}.jsonl", f"vcr1/vcr1annots/{part}.jsonl"
    )
    ids = [{"id": record["annot_id"]} for record in read_jsonl(path) if belongs(record, split)]
    sampled = {row["id"] for row in sample(ids, getattr(CATALOGUE["vcr"], split), "vcr", "id")}
    for record in read_jsonl(path):  # read twice, for all of train does not fit into the memory of a laptop
        if record["annot_id"] in sampled:
            yield instance(root, part, record)


def belongs(record: dict[str, Any], split: str) -> bool:
    """Whether the record's still is one of the split's: all questions about a still are on one side."""
    return split == "train" or hash_of("vcr", record["img_fn"], purpose="half") % 2 == HALF[split]


def instance(root: SourcePath, part: str, record: dict[str, Any]) -> Instance | Drop:
    """The row of one record."""
    question, answer = record["question"], record["answer_choices"][record["answer_label"]]
    reason = record["rationale_choices"][record["rationale_label"]]
    named = list(dict.fromkeys(i for token in question + answer + reason if isinstance(token, list) for i in token))
    metadata = find(root, record["metadata_fn"])
    if len(named) > len(COLOURS):
        return Drop(record["annot_id"], "more objects than colours")
    if not metadata.exists():
        return Drop(record["annot_id"], "missing boxes")
    colour_by_object = dict(zip(named, COLOURS, strict=False))
    words = {i: f"the {record['objects'][i]} in the {colour} box" for i, colour in colour_by_object.items()}
    corners = read_json(metadata)["boxes"]  # left, top, right, bottom, score
    boxes = tuple(Box(*corners[i][:4])._replace(colour=colour) for i, colour in colour_by_object.items())
    return Instance(
        id=record["annot_id"],
        inputs=sentence(question, words),
        images=[Picture(find(root, record["img_fn"]), boxes)],
        outputs=f"{sentence(answer, words)} {sentence(reason, words)}",
        meta={
            "split": part,
            "image": record["img_fn"],
            "img_id": record["img_id"],
            "question_number": record["question_number"],
            "objects": {colour: record["objects"][i] for i, colour in colour_by_object.items()},
        },
    )


def sentence(tokens: list[str | list[int]], words: dict[int, str]) -> str:
    """The tokens as a sentence: objects in words, a capital first, no blanks before stops or around apostrophes."""
    plain = " ".join(t if isinstance(t, str) else " and ".join(words[i] for i in t) for t in tokens)
    plain = re.sub(r" ' (s|t|d|m|ll|re|ve)\b", r"'\1", plain)
    plain = text(re.sub(r" (n't|'s|[.,?!;:'])", r"\1", plain))
    return plain[:1].upper() + plain[1:]


def find(root: SourcePath, name: str) -> SourcePath:
    """A file of vcr1images; some unpackers write `_` where its name has `@`."""
    names = (name, name.replace("@", "_"))
    return root.either(*(f"{folder}/{n}" for folder in ("vcr1images", "vcr1/vcr1images") for n in names))
