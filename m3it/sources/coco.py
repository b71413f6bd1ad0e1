"""COCO Captions: five or more English sentences for each image of COCO 2014, in Karpathy's split.

Source files   https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip: root/dataset_coco.json
               images: root/{train,val}2014/*.jpg from https://cocodataset.org/#download
               their licenses: root/annotations/{captions,instances}_{train,val}2014.json, if there
License        annotations CC-BY-4.0; images: Flickr terms per image
Paper          https://arxiv.org/abs/1504.00325; split: https://arxiv.org/abs/1412.2306
One instance   inputs=""  outputs="A red car parked beside a tree."  (one of the image's sentences; each gets its row)

M3IT has every sentence: the 566,747 for training are those of Karpathy's `train` and `restval` together. An image's
folder is its `filepath`; its split says nothing about it.
"""

from collections.abc import Iterator
from typing import Any

from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import COCO_2014, KARPATHY
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.licenses import coco_credits
from m3it.sources.kit.media import Picture
from m3it.sources.kit.texts import read_json

PARTS = {"train": ("train", "restval"), "validation": ("val",), "test": ("test",)}  # Karpathy's names for our splits
FILES = (KARPATHY, *COCO_2014)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per sentence of the split, in file order."""
    credits = coco_credits(root)
    for image in read_images(root, split):
        for sentence in image["sentences"]:
            row_id, caption = str(sentence["sentid"]), text(sentence["raw"])
            if not caption:
                yield Drop(row_id, "no caption")
                continue
            yield Instance(
                id=row_id,
                inputs="",
                images=[Picture(root / image["filepath"] / image["filename"])],
                outputs=caption,
                meta={"split": image["split"], "image": image["filename"], "image_id": image["cocoid"]}
                | credits.get(image["cocoid"], {}),
            )


def read_images(root: SourcePath, split: str) -> list[dict[str, Any]]:
    """The images of the split with their sentences, in file order."""
    return [image for image in read_json(root / "dataset_coco.json")["images"] if image["split"] in PARTS[split]]
