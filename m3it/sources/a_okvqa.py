"""A-OKVQA: questions about COCO images that need knowledge of the world, with reasons for the answer.

Source files   https://github.com/allenai/aokvqa, aokvqa_v1p0.tar.gz in `root` or unpacked there:
               root/aokvqa_v1p0_{train,val}.json
               images: root/{train,val}2017/*.jpg from https://cocodataset.org; where only the images of 2014 are there,
               root/{train,val}2014/*.jpg
License        Apache-2.0 (of the repository; the data names none); images: COCO, Flickr terms
Paper          https://arxiv.org/abs/2206.01718
One instance   inputs="What is in the motorcyclist's mouth?"
               outputs="He's smoking while riding. [...] The man is smoking. The answer is cigarette."

M3IT's inputs are the question without its choices, its outputs a paragraph that a language model made of the three
rationales and the right choice. We give these as they are, the answer last: `m3it rephrase` makes the paragraph.
"""

from collections.abc import Iterator

from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import COCO_LICENSES, TRAIN2017, VAL2017, File
from m3it.sources.kit.files import SourcePath, coco_2014
from m3it.sources.kit.licenses import coco_credits
from m3it.sources.kit.media import Picture
from m3it.sources.kit.texts import read_json

PART = {"train": "train", "validation": "val", "test": "test"}  # the test file has no answers
FILES = (
    File(
        "aokvqa_v1p0.tar.gz",
        "https://prior-datasets.s3.us-east-2.amazonaws.com/aokvqa/aokvqa_v1p0.tar.gz",
        instead=("aokvqa_v1p0_*.json",),
    ),
    # The images of 2014 do as well: COCO cut its parts anew.
    TRAIN2017._replace(instead=(*TRAIN2017.instead, "train2014.zip", "train2014/*.jpg")),
    VAL2017._replace(instead=(*VAL2017.instead, "val2014.zip", "val2014/*.jpg")),
    COCO_LICENSES,
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per question of the split, in file order."""
    part, credits = PART[split], coco_credits(root)
    for question in read_json(root / f"aokvqa_v1p0_{part}.json"):
        if question.get("correct_choice_idx") is None:
            yield Drop(question["question_id"], "no answers")
            continue
        image = find_image(root, part, question["image_id"])
        yield Instance(
            id=question["question_id"],
            inputs=text(question["question"]),
            images=[Picture(image)],
            outputs=explained(question["choices"][question["correct_choice_idx"]], question["rationales"]),
            meta={
                "split": part,
                "image": image.name,
                "answers": question["direct_answers"],
                "difficult_direct_answer": question["difficult_direct_answer"],
                "choices": question["choices"],
                "correct_choice_idx": question["correct_choice_idx"],
                "rationales": question["rationales"],
                **credits.get(question["image_id"], {}),
            },
        )


def find_image(root: SourcePath, part: str, image_id: int) -> SourcePath:
    """The image among those of 2017, else of 2014, where it lies in either part: COCO cut its parts anew."""
    return root.either(f"{part}2017/{image_id:012d}.jpg", *coco_2014(image_id))


def explained(answer: str, rationales: list[str]) -> str:
    """The rationales as sentences, each once, then the answer."""
    reasons = dict.fromkeys(text(rationale) for rationale in rationales if text(rationale))
    sentences = [reason if reason[-1] in ".!?" else f"{reason}." for reason in reasons]
    return " ".join([*sentences, f"The answer is {text(answer)}."])
