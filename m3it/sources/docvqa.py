"""DocVQA (single page): questions about scanned pages of letters, forms, tables and reports.

Source files   https://rrc.cvc.uab.es/?ch=17&com=downloads, unpacked in `root` or as the archives they come in:
               older: root/{train,val}/{train,val}_v1.0.json, root/{train,val}/documents/*.png
               newer: root/spdocvqa_qas/{train,val}_v1.0_withQT.json, root/spdocvqa_images/*.png
License        not stated; pages of the UCSF Industry Documents Library
Paper          https://arxiv.org/abs/2007.00398
One instance   inputs="what is the date mentioned in this letter?"  outputs="The answer is 1/8/93."

M3IT's outputs are the answer between "The answer is " and "."; which of several spellings it took is not known. We take
the first; all of them, without the words around, stand in meta.
"""

from collections.abc import Iterator

from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import ACCOUNT, ByHand
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.texts import read_json

PART = {"train": "train", "validation": "val", "test": "test"}  # the test questions have no answers
_BY_HAND = "https://rrc.cvc.uab.es/?ch=17&com=downloads", ACCOUNT
_OLDER = "*train.tar.gz", "*val.tar.gz", "train/*", "val/*"
FILES = (
    ByHand("spdocvqa_qas.zip", *_BY_HAND, ("spdocvqa_qas/*.json", *_OLDER)),
    ByHand("spdocvqa_images.tar.gz", *_BY_HAND, ("spdocvqa_images/*.png", *_OLDER)),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per question of the split, in file order."""
    part = PART[split]
    names = (f"{part}_v1.0_withQT.json", f"{part}_v1.0.json")
    folders = ("spdocvqa_qas", part, ".")
    for question in read_json(root.first(*(f"{folder}/{name}" for folder in folders for name in names)))["data"]:
        row_id = str(question["questionId"])
        if not question.get("answers"):
            yield Drop(row_id, "no answers")
            continue
        image = find_image(root, part, question["image"])
        yield Instance(
            id=row_id,
            inputs=text(question["question"]),
            images=[Picture(image)],
            outputs=f"The answer is {text(question['answers'][0]).removesuffix('.')}.",
            meta={
                "split": part,
                "image": image.name,
                "answers": question["answers"],
                "question_types": question.get("question_types", []),  # only in the newer files
                "document": question["ucsf_document_id"],
                "page": question["ucsf_document_page_no"],
            },
        )


def find_image(root: SourcePath, part: str, name: str) -> SourcePath:
    """The page by its base name: each release has another folder for them."""
    base = name.rpartition("/")[2]
    folders = (f"{part}/documents", "documents", "spdocvqa_images", "images", ".")
    return root.either(*(f"{folder}/{base}" for folder in folders))
