"""VQA v2.0: open questions about COCO images, balanced so that the image is needed to answer.

Source files   https://visualqa.org/download.html, unpacked in `root` or as the zips they come in:
               root/v2_OpenEnded_mscoco_{train,val}2014_questions.json, root/v2_mscoco_{train,val}2014_annotations.json
               images: root/{train,val}2014/*.jpg from https://cocodataset.org (2014)
License        annotations CC-BY-4.0; images: COCO, Flickr terms
Paper          https://arxiv.org/abs/1612.00837
One instance   inputs="Where is he looking?"  outputs="down"  (`multiple_choice_answer`, the majority of 10 annotators)

M3IT's rows are a sample of 30,000 questions a split, its answers sentences that a language model made of the short
ones. Which questions is not known; we draw them by hash and give the short answer: `m3it rephrase` makes the sentences.
"""

from collections.abc import Iterator

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import COCO_2014, File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.licenses import coco_credits
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_json, read_values

PART = {"train": "train2014", "validation": "val2014", "test": "test2015"}  # COCO's names; test has no annotations
ANNOTATIONS = r'"annotations"\s*:\s*\['
_SITE = "https://s3.amazonaws.com/cvmlp/vqa/mscoco/vqa"
FILES = (
    *(
        File(f"v2_{name}_mscoco.zip", f"{_SITE}/v2_{name}_mscoco.zip", instead=(member,))
        for name, member in {
            "Questions_Train": "v2_OpenEnded_mscoco_train2014_questions.json",
            "Questions_Val": "v2_OpenEnded_mscoco_val2014_questions.json",
            "Annotations_Train": "v2_mscoco_train2014_annotations.json",
            "Annotations_Val": "v2_mscoco_val2014_annotations.json",
        }.items()
    ),
    *COCO_2014,
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per sampled question of the split, in file order; drops first."""
    part = PART[split]
    questions = read_json(root / f"v2_OpenEnded_mscoco_{part}_questions.json")["questions"]
    path = root / f"v2_mscoco_{part}_annotations.json"  # read twice, for all at once takes gigabytes of memory
    answered = {a["question_id"] for a in read_values(path, ANNOTATIONS) if a.get("multiple_choice_answer")}
    for question in questions:
        if question["question_id"] not in answered:
            yield Drop(str(question["question_id"]), "no answers")
    good = (question for question in questions if question["question_id"] in answered)
    sampled = sample(good, getattr(CATALOGUE["vqa-v2"], split), "vqa-v2", "question_id")
    ids = {question["question_id"] for question in sampled}
    annotation_by_id = {a["question_id"]: a for a in read_values(path, ANNOTATIONS) if a["question_id"] in ids}
    credits = coco_credits(root)
    for question in sampled:
        annotation = annotation_by_id[question["question_id"]]
        image_name = f"COCO_{part}_{question['image_id']:012d}.jpg"
        yield Instance(
            id=str(question["question_id"]),
            inputs=text(question["question"]),
            images=[Picture(root / part / image_name)],
            outputs=text(annotation["multiple_choice_answer"]),
            meta={
                "split": part,
                "image": image_name,
                "question_type": annotation["question_type"],
                "answer_type": annotation["answer_type"],
                "answers": [answer["answer"] for answer in annotation["answers"]],
                **credits.get(question["image_id"], {}),
            },
        )
