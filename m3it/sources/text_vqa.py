"""TextVQA v0.5.1: questions about the text in photographs from OpenImages.

Source files   https://textvqa.org/dataset, in `root`: TextVQA_0.5.1_{train,val,test}.json
               images: root/train_images/<image_id>.jpg (train and val), root/test_images/<image_id>.jpg, or the zips
               train_val_images.zip and test_images.zip
License        annotations CC-BY-4.0; images: OpenImages, Flickr terms
Paper          https://arxiv.org/abs/1904.08920
One instance   inputs="what is the brand of phone?"  outputs="nokia"  (majority of 10, of equals the first)

M3IT has 27,113 of the 34,602 train questions; why is not known. We leave out those that most annotators did not answer
and draw from the others by hash. The official test questions have no answers, so what M3IT's test rows hold is not
known; ours have empty outputs. Photographs that OpenImages stores turned stay as they are.
"""

from collections.abc import Iterator

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import TEXTVQA, TEXTVQA_IMAGES, File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import majority, sample
from m3it.sources.kit.texts import read_json

PART = {"train": "train", "validation": "val", "test": "test"}  # TextVQA's names for our splits
NO_ANSWER = {  # what annotators write where they have none, and our reason to drop the row
    "unanswerable": "unanswerable",
    "answering does not require reading text in the image": "needs no reading",
}
FILES = (
    *(File(f"TextVQA_0.5.1_{part}.json", f"{TEXTVQA}/data/TextVQA_0.5.1_{part}.json") for part in ("train", "test")),
    TEXTVQA_IMAGES,
    File("test_images.zip", f"{TEXTVQA}/images/test_images.zip", instead=("test_images/*.jpg",)),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per question of the split, in file order, of train per sampled question; drops first."""
    part = PART[split]
    rows = []
    for question in read_json(root / f"TextVQA_0.5.1_{part}.json")["data"]:
        answers = question.get("answers", [])
        output = majority(map(text, answers)) if answers else ""  # some end in a blank
        if output in NO_ANSWER:
            yield Drop(str(question["question_id"]), NO_ANSWER[output])
        elif not answers and split != "test":
            yield Drop(str(question["question_id"]), "no answers")
        else:
            rows.append({**question, "answers": answers, "output": output})
    num_rows = CATALOGUE["text-vqa"].train if split == "train" else len(rows)
    for row in sample(rows, num_rows, "text-vqa", "question_id"):
        image_name = f"{row['image_id']}.jpg"
        yield Instance(
            id=str(row["question_id"]),
            inputs=text(row["question"]),
            images=[Picture(root / ("test_images" if split == "test" else "train_images") / image_name)],
            outputs=row["output"],
            meta={
                "split": part,
                "image": image_name,
                "answers": row["answers"],
                "image_classes": row["image_classes"],
            },
        )
