"""OK-VQA: questions about COCO images whose answer is not in the image.

Source files   https://okvqa.allenai.org/download.html, unpacked in `root` or as the zips they come in:
               root/OpenEnded_mscoco_{train,val}2014_questions.json, root/mscoco_{train,val}2014_annotations.json
               images: root/{train,val}2014/*.jpg from https://cocodataset.org (2014)
License        annotations CC-BY-4.0; images: COCO, Flickr terms
Paper          https://arxiv.org/abs/1906.00067
One instance   inputs="What sport can you use this for?"  outputs="race"

Which of the ten answers M3IT took is not documented; we take the majority of `answer`, the form that the official
scorer compares; of equals the first given. What the annotators typed stands in meta as `raw_answers`.
"""

from collections.abc import Iterator

from m3it.rows.instance import Drop, Instance, SourceError, text
from m3it.sources.kit.downloads import COCO_2014, File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.licenses import coco_credits
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import majority
from m3it.sources.kit.texts import read_json

PART = {"train": "train2014", "validation": "val2014", "test": "test2014"}  # COCO's names; OK-VQA has no test files
FILES = (
    *(
        File(f"{name}.json.zip", f"https://okvqa.allenai.org/static/data/{name}.json.zip", instead=(f"{name}.json",))
        for part in ("train2014", "val2014")
        for name in (f"OpenEnded_mscoco_{part}_questions", f"mscoco_{part}_annotations")
    ),
    *COCO_2014,
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per question of the split, in file order."""
    part = PART[split]
    path = root / f"OpenEnded_mscoco_{part}_questions.json"
    questions = read_json(path)
    description = questions.get("info", {}).get("description", "")
    if "OK-VQA" not in description:  # VQA v1 uses the very same file names
        raise SourceError(f"{path}: expected the questions of OK-VQA; its description is {description!r}.")
    annotations = read_json(root / f"mscoco_{part}_annotations.json")["annotations"]
    answers_by_id = {annotation["question_id"]: annotation["answers"] for annotation in annotations}
    credits = coco_credits(root)
    for question in questions["questions"]:
        row_id, image_name = str(question["question_id"]), f"COCO_{part}_{question['image_id']:012d}.jpg"
        answers = answers_by_id.get(question["question_id"])
        if not answers:
            yield Drop(row_id, "no answers")
            continue
        yield Instance(
            id=row_id,
            inputs=text(question["question"]),
            images=[Picture(root / part / image_name)],
            outputs=majority(text(answer["answer"]) for answer in answers),
            meta={
                "split": part,
                "image": image_name,
                "answers": [answer["answer"] for answer in answers],
                "raw_answers": [answer["raw_answer"] for answer in answers],
                **credits.get(question["image_id"], {}),
            },
        )
