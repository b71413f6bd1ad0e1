"""GQA: compositional questions about the images of Visual Genome, made from scene graphs.

Source files   https://cs.stanford.edu/people/dorarad/gqa/download.html, unpacked in `root` or as the zips they come in:
               questions1.2.zip: root/{train,val}_balanced_questions.json; images.zip: root/images/<imageId>.jpg
License        annotations CC-BY-4.0; images: Visual Genome, Flickr terms
Paper          https://arxiv.org/abs/1902.09506
One instance   inputs="What is hanging above the chalkboard?"  outputs="picture"

M3IT's rows are a sample; whether of the balanced or of all questions, and whether with the short answer or the full
one, is not known. We draw from the balanced files by hash and give the short answer, which the official scorer
compares; the sentence stands in meta as `full_answer`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from M3IT import CATALOGUE
from m3it.instance import Drop, Instance, SourceError, text
from m3it.reformat import Picture, sample
from m3it.sources import SourcePath

BETWEEN = re.compile(r"[\s,:]*")  # what stands between the values of a list or an object
PART = {"train": "train", "validation": "val", "test": "testdev"}


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per sampled question of the split, in file order."""
    part = PART[split]
    name = f"{part}_balanced_questions.json"
    members = read_values(root.first(name, f"questions/{name}", f"questions1.2/{name}"), r"{")
    questions = ({"id": row_id, **question} for row_id, question in zip(members, members, strict=True))
    for question in sample(questions, getattr(CATALOGUE["gqa"], split), "gqa", "id"):
        image_name = f"{question['imageId']}.jpg"
        if not question.get("answer"):
            yield Drop(question["id"], "no answers")
            continue
        yield Instance(
            id=question["id"],
            inputs=text(question["question"]),
            images=[Picture(root / "images" / image_name)],
            outputs=text(question["answer"]),
            meta={
                "split": part,
                "image": image_name,
                "answers": [question["answer"]],
                "full_answer": question["fullAnswer"],
                "types": question["types"],
            },
        )


def read_values(path: SourcePath, opening: str) -> Iterator[Any]:
    """The JSON values from the bracket that the pattern `opening` ends in up to the one that closes it, one at a time.

    An object gives key, value, key, value. All at once, a file of this size would take ten times its size in memory.
    """
    source, decoder = path.read_text(), json.JSONDecoder()
    start = re.search(opening, source)
    if start is None:
        raise SourceError(f"{path}: expected JSON with {opening!r}; there is none. Download it again.")
    place = start.end()
    try:
        while source[place := BETWEEN.match(source, place).end()] not in "]}":
            value, place = decoder.raw_decode(source, place)
            yield value
    except (json.JSONDecodeError, IndexError) as error:
        raise SourceError(f"{path}: the file breaks off or is no JSON, {error}. Download it again.") from error
