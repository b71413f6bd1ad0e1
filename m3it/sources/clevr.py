"""CLEVR v1.0: questions about rendered scenes of cubes, spheres and cylinders that take several steps to answer.

Source files   https://cs.stanford.edu/people/jcjohns/clevr/, CLEVR_v1.0.zip in `root` or unpacked there:
               root/CLEVR_v1.0/questions/CLEVR_{train,val}_questions.json
               images: root/CLEVR_v1.0/images/{train,val}/CLEVR_{train,val}_000000.png
License        CC-BY-4.0, annotations and images
Paper          https://arxiv.org/abs/1612.06890
One instance   inputs="Are there any other things that are the same shape as the big metallic object?"  outputs="no"

M3IT's rows are a sample; how it was drawn is not known. We draw questions by hash over the whole split, since the ten
questions of an image are neighbours: the first 30,000 would show 3,000 images only.
"""

from collections.abc import Iterator

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_values

PART = {"train": "train", "validation": "val", "test": "test"}  # the test questions have no answers
FILES = (
    File(  # size and digest as published in tensorflow/datasets, url_checksums/clevr.txt
        "CLEVR_v1.0.zip",
        "https://dl.fbaipublicfiles.com/clevr/CLEVR_v1.0.zip",
        19_021_600_724,
        "5cd61cf1096ed20944df93c9adb31e74d189b8459a94f54ba00090e5c59936d1",
        ("CLEVR_v1.0/*", "questions/*", "images/*"),
    ),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per sampled question of the split, in file order."""
    part = PART[split]
    name = f"questions/CLEVR_{part}_questions.json"
    folder = root / "CLEVR_v1.0" if (root / "CLEVR_v1.0" / name).exists() else root
    questions = read_values(folder / name, r'"questions"\s*:\s*\[')
    for question in sample(questions, getattr(CATALOGUE["clevr"], split), "clevr", "question_index"):
        row_id, image_name = str(question["question_index"]), question["image_filename"]
        if question.get("answer") is None:
            yield Drop(row_id, "no answers")
            continue
        yield Instance(
            id=row_id,
            inputs=text(question["question"]),
            images=[Picture(folder / "images" / question["split"] / image_name)],
            outputs=words(question["answer"]),
            meta={
                "split": question["split"],
                "image": image_name,
                "answers": [words(question["answer"])],
                "question_family_index": question["question_family_index"],
                "program": question["program"],
            },
        )


def words(answer: str | bool | int) -> str:
    """The answer as the release writes it; files made with the generator's code hold true, false and numbers."""
    return {True: "yes", False: "no"}[answer] if isinstance(answer, bool) else text(str(answer))
