"""OCR-VQA-200K: questions about the covers of books: title, author, genre, edition, year.

Source files   https://ocr-vqa.github.io, folder OCR-VQA-200K: root/dataset.json
               images: root/images/<product id><extension of imageURL>, fetched from Amazon with its loadDataset.py
License        a LICENCE.txt comes with the download; covers: their publishers'
Paper          https://doi.org/10.1109/ICDAR.2019.00156
One instance   inputs="Who wrote this book?"  outputs="Sandra Boynton"  (one per pair of question and answer)

M3IT has 2 % of the pairs; how they were cut is not known. We draw pairs by hash among those whose cover is there: many
of the addresses are dead, and give nothing or a picture of one pixel. The row id is the product id and the place of the
question among the product's.
"""

from collections.abc import Iterator
from os.path import splitext
from typing import Any

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import ByHand
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_json

PART = {"train": 1, "validation": 2, "test": 3}  # OCR-VQA's numbers of our splits
FILES = (
    ByHand("dataset.json", "https://ocr-vqa.github.io", "on Google Drive", ("OCR-VQA-200K/dataset.json",)),
    ByHand("images/*", "https://ocr-vqa.github.io", "fetched from Amazon by the authors' loadDataset.py"),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per sampled question of the split, in file order; drops first."""
    pairs: list[dict[str, Any]] = []
    for product_id, product in read_json(root.first("dataset.json", "OCR-VQA-200K/dataset.json")).items():
        if product["split"] != PART[split]:
            continue
        cover = find_cover(root, product_id, product["imageURL"])
        for i, (question, answer) in enumerate(zip(product["questions"], product["answers"], strict=True)):
            row_id = f"{product_id}-{i}"
            if not text(answer):
                yield Drop(row_id, "no answers")
            elif not cover.exists():
                yield Drop(row_id, "missing image")
            else:
                pairs.append({"id": row_id, "question": question, "answer": answer, "cover": cover, "of": product})
    for pair in sample(pairs, getattr(CATALOGUE["ocr-vqa"], split), "ocr-vqa", "id"):
        yield Instance(
            id=pair["id"],
            inputs=text(pair["question"]),
            images=[Picture(pair["cover"])],
            outputs=text(pair["answer"]),
            meta={
                "split": PART[split],
                "image": pair["cover"].name,
                "answers": [pair["answer"]],
                "title": pair["of"]["title"],
                "author": pair["of"]["authorName"],
                "genre": pair["of"]["genre"],
            },
        )


def find_cover(root: SourcePath, product_id: str, url: str) -> SourcePath:
    """The cover, under the extension of its address or another that tools give it."""
    extensions = dict.fromkeys([splitext(url)[1], ".jpg", ".png", ".gif"])
    return root.either(*(f"images/{product_id}{extension}" for extension in extensions))
