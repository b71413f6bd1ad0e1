"""ST-VQA (task 3, open dictionary): questions about the text in photographs from six older datasets.

Source files   https://rrc.cvc.uab.es/?ch=11&com=downloads, unpacked in `root` or as the archives they come in:
               root/{train,test}_task_3.json
               images: root/train_images/<dataset>/* and root/test_task3_images/<dataset>/*
License        not stated; images: terms of the older datasets
Paper          https://arxiv.org/abs/1905.13648
One instance   inputs="What is the number on the bus?"  outputs="33"  (of two annotators' answers the first)

The official test questions have no answers, so what M3IT's 4,070 test rows hold is not known; ours have empty outputs.
Which answer M3IT took for train is not known; we take the first, all of them stand in meta.
"""

from collections.abc import Iterator

from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import ACCOUNT, ByHand
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.texts import read_json

FOLDERS = {"train": ("train_images", "train_imgs", "train"), "test": ("test_task3_images", "test")}
_BY_HAND = "https://rrc.cvc.uab.es/?ch=11&com=downloads", ACCOUNT
FILES = (
    ByHand("train_task_3.json", *_BY_HAND, ("train_task_3.*",)),
    ByHand("train_images/*", *_BY_HAND, ("train_imgs/*", "train/*", "train_task_3.[!j]*")),
    ByHand("test_task_3.json", *_BY_HAND, ("test_task_3.*",)),
    ByHand("test_task3_images/*", *_BY_HAND, ("test/*", "test_task_3.[!j]*")),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per question of the split, in file order; those of test have empty outputs."""
    for question in read_json(root / f"{split}_task_3.json")["data"]:
        row_id = str(question["question_id"])
        answers = question.get("answers", [])
        if not answers and split != "test":
            yield Drop(row_id, "no answers")
            continue
        yield Instance(
            id=row_id,
            inputs=text(question["question"]),
            images=[Picture(find_image(root, split, question["file_path"]))],
            outputs=text(answers[0]) if answers else "",
            meta={
                "split": split,
                "image": question["file_path"],
                "dataset": question["dataset"],
                "answers": answers,
            },
        )


def find_image(root: SourcePath, split: str, file_path: str) -> SourcePath:
    """The photograph in the folder of its split, which copies name differently."""
    return root.either(*(f"{folder}/{file_path}" for folder in FOLDERS[split]))
