"""COCO-Text: is the text in the red box legible?

Source files   https://vision.cornell.edu/se3/coco-text-2/: root/COCO_Text.json (v1) or root/cocotext.v2.json
               images: root/train2014/*.jpg from COCO 2014, for all splits of COCO-Text
License        annotations CC-BY-4.0; images: COCO, Flickr terms
Paper          https://arxiv.org/abs/1601.07140
One instance   inputs=""  outputs="legible"  (the image with a red box around the text)

M3IT's sizes are those of version 1.4, all annotations of train and validation; version 2 has more, of which we take a
sample of as many. Inputs are empty as in M3IT; the question stands in the instruction. How M3IT drew the box is not
known.
"""

from collections.abc import Iterator

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import COCO_LICENSES, TRAIN2014, File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.licenses import coco_credits
from m3it.sources.kit.media import Box, Picture
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_json

PART = {"train": "train", "validation": "val", "test": "test"}  # COCO-Text's names for our splits
FILES = (
    File(
        "cocotext.v2.zip",
        "https://github.com/bgshih/cocotext/releases/download/dl/cocotext.v2.zip",
        instead=("cocotext.v2.json", "COCO_Text.json", "COCO_Text.zip"),
    ),
    TRAIN2014,
    COCO_LICENSES,
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per text annotation of the split, in file order."""
    part, credits = PART[split], coco_credits(root)
    source = read_json(root.first("COCO_Text.json", "cocotext.v2.json"))
    images = source["imgs"]  # ids are text as keys, numbers as values
    annotations = [a for a in source["anns"].values() if images[str(a["image_id"])]["set"] == part]
    for annotation in sample(annotations, getattr(CATALOGUE["coco-text"], split), "coco-text", "id"):
        file_name = images[str(annotation["image_id"])]["file_name"]
        x, y, width, height = annotation["bbox"]
        yield Instance(
            id=str(annotation["id"]),
            inputs="",
            images=[Picture(root / "train2014" / file_name, boxes=(Box(x, y, x + width, y + height),))],
            outputs=annotation["legibility"],
            meta={
                "split": part,
                "image": file_name,
                "bbox": annotation["bbox"],
                "text": text(annotation.get("utf8_string") or ""),
                "class": annotation["class"],
                "language": annotation["language"].replace("_", " "),  # "not_english" in some files
                **credits.get(annotation["image_id"], {}),
            },
        )
