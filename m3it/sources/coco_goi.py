"""COCO grounded object identification: what is the object in the red box, out of ten categories?

Source files   https://cocodataset.org/#download, in `root`: annotations/instances_{train,val}2017.json,
               images {train,val}2017/*.jpg, or the same of 2014
License        annotations CC-BY-4.0; images: Flickr terms per image
Paper          https://arxiv.org/abs/1405.0312
One instance   inputs="Options:\\n(A) boat\\n(B) dog\\n..."  outputs="(B) dog."  (a red box drawn around it)

M3IT built this dataset itself. The wording of its options and answers is known; the release, its choice of boxes and
the choice and number of options are not. We take boxes of one object and at least 32 x 32 pixels, above what COCO
calls small; the options are the category, others of the image, then any, ten in all. Train and validation are samples
of COCO's own.
"""

from collections.abc import Iterator
from typing import Any

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, shuffled
from m3it.sources.kit.downloads import TRAIN2017, VAL2017, File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.licenses import coco_credit
from m3it.sources.kit.media import Box, Picture
from m3it.sources.kit.options import option, sample, with_options
from m3it.sources.kit.texts import read_values

PART = {"train": "train", "validation": "val", "test": "test"}  # COCO's names for our splits
MIN_AREA_PIXELS = 32 * 32  # of the box; COCO's border between small and medium objects
NUM_OPTIONS = 10
CATEGORIES, IMAGES, ANNOTATIONS = (rf'"{name}"\s*:\s*\[' for name in ("categories", "images", "annotations"))
FILES = (
    File(  # size and digest as published in tensorflow/datasets, url_checksums/coco.txt
        "annotations_trainval2017.zip",
        "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
        252_907_541,
        "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        ("*instances_*.json", "annotations_trainval2014.zip"),
    ),
    TRAIN2017._replace(instead=(*TRAIN2017.instead, "train2014.zip", "train2014/*.jpg")),
    VAL2017._replace(instead=(*VAL2017.instead, "val2014.zip", "val2014/*.jpg")),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per box of a sample of the split, in file order."""
    names = [f"instances_{PART[split]}{year}.json" for year in (2017, 2014)]
    path = root.first(*(f"annotations/{name}" for name in names), *names)
    part = path.stem.removeprefix("instances_")
    name_by_id = {category["id"]: category["name"] for category in read_values(path, CATEGORIES)}
    image_by_id = {image["id"]: image for image in read_values(path, IMAGES)}
    names_by_image: dict[int, dict[str, None]] = {}  # in order of first appearance
    ids: list[dict[str, int]] = []
    for box in read_values(path, ANNOTATIONS):  # read twice, for all at once takes gigabytes of memory
        names_by_image.setdefault(box["image_id"], {})[name_by_id[box["category_id"]]] = None
        if not fault(box):
            ids.append({"id": box["id"]})
    chosen = {box["id"] for box in sample(ids, getattr(CATALOGUE["coco-goi"], split), "coco-goi", "id")}
    for box in read_values(path, ANNOTATIONS):
        row_id, name = str(box["id"]), name_by_id[box["category_id"]]
        if fault(box):
            yield Drop(row_id, fault(box))
        elif box["id"] in chosen:
            x, y, width, height = box["bbox"]
            options = draw_options(row_id, name, list(names_by_image[box["image_id"]]), list(name_by_id.values()))
            image = image_by_id[box["image_id"]]
            file_name = image["file_name"]
            yield Instance(
                id=row_id,
                inputs=with_options("", options),
                images=[Picture(root / part / file_name, boxes=(Box(x, y, x + width, y + height),))],
                outputs=option(options, name) + ".",
                meta={"split": part, "image": file_name, "bbox": box["bbox"], "category": name} | coco_credit(image),
            )


def fault(box: dict[str, Any]) -> str:
    """Why nobody could name the one object in the box; empty where one can."""
    _, _, width, height = box["bbox"]
    return "crowd" if box["iscrowd"] else "small box" if width * height < MIN_AREA_PIXELS else ""


def draw_options(row_id: str, name: str, in_image: list[str], names: list[str]) -> list[str]:
    """The name among nine others: first those of the same image, then any."""
    wrong = [n for group in (in_image, names) for n in shuffled(group, "coco-goi", f"{row_id} wrong") if n != name]
    return shuffled([name, *dict.fromkeys(wrong)][:NUM_OPTIONS], "coco-goi", row_id)
