"""COCO-CN: COCO images with sentences that people wrote in Chinese.

Source files   https://huggingface.co/datasets/AIMClab-RUC/COCO-CN: coco-cn-version1805v1.1.tar.gz,
               or root/coco-cn-version1805v1.1/ with coco-cn_{train,val,test}.txt and
               imageid.human-written-caption.txt
               images: root/{train,val}2014/*.jpg from COCO 2014
License        annotations MIT; images: COCO, Flickr terms
Paper          https://arxiv.org/abs/1805.08661
One instance   inputs=""  outputs="两个人站在一辆红色的汽车旁边。"

M3IT has one row per image, although some images have several sentences; which one it took is not known; we take the
first, #0. All sentences stand in meta.
"""

from collections.abc import Iterator

from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import COCO_2014, File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.licenses import coco_credits
from m3it.sources.kit.media import Picture
from m3it.sources.kit.texts import read_lines

FOLDER, CAPTIONS = "coco-cn-version1805v1.1", "imageid.human-written-caption.txt"
PART = {"train": "train", "validation": "val", "test": "test"}  # COCO-CN's names for our splits
FILES = (
    File(
        "coco-cn-version1805v1.1.tar.gz",
        "hf://datasets/AIMClab-RUC/COCO-CN/coco-cn-version1805v1.1.tar.gz",
        15_400_000,
        instead=("*coco-cn_*.txt", "*imageid.human-written-caption.txt"),
    ),
    *COCO_2014,
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per image of the split, in the order of its list."""
    part = PART[split]
    captions_by_id = read_captions(root.first(f"{FOLDER}/{CAPTIONS}", CAPTIONS))
    seen, credits = set(), coco_credits(root)
    for image_id in map(str.strip, read_lines(root.first(f"{FOLDER}/coco-cn_{part}.txt", f"coco-cn_{part}.txt"))):
        if not image_id:
            continue
        if image_id in seen:
            yield Drop(image_id, "duplicate image")
            continue
        seen.add(image_id)
        captions = captions_by_id.get(image_id)
        if not captions:
            yield Drop(image_id, "no caption")
            continue
        folder = image_id.split("_")[1]  # COCO's own part: a train image of COCO-CN may lie in val2014
        yield Instance(
            id=image_id,
            inputs="",
            images=[Picture(root / folder / f"{image_id}.jpg")],
            outputs=captions[0],
            meta={"split": part, "image": f"{folder}/{image_id}.jpg", "captions": captions}
            | credits.get(int(image_id.rpartition("_")[2]), {}),
        )


def read_captions(path: SourcePath) -> dict[str, list[str]]:
    """The sentences of each image, by number, from lines `<image>#[<kind>#]<number><tab or blank><sentence>`."""
    numbered: dict[str, dict[int, str]] = {}
    for line in read_lines(path):
        key, _, caption = line.replace("\t", " ", 1).partition(" ")
        if text(caption):
            image, *_, number = key.split("#")
            numbered.setdefault(image, {})[int(number)] = text(caption)
    return {image: [captions[number] for number in sorted(captions)] for image, captions in numbered.items()}
