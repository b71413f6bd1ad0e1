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

from collections.abc import Iterator

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_values

PART = {"train": "train", "validation": "val", "test": "testdev"}  # GQA's names for our splits
_SITE = "https://downloads.cs.stanford.edu/nlp/data/gqa"
FILES = (
    File("questions1.2.zip", f"{_SITE}/questions1.2.zip", 1_400_000_000, instead=("*_balanced_questions.json",)),
    File("images.zip", f"{_SITE}/images.zip", 20_300_000_000, instead=("images/*.jpg",)),
)


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
