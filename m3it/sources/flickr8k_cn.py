"""Flickr8K-CN: Flickr8k images with sentences that people wrote in Chinese.

Source files   https://github.com/li-xirong/flickr8kcn, its folder in `root`: data/flickr8k{train,val,test}.txt,
               data/flickr8kzhc.caption.txt
               images: root/Flicker8k_Dataset/*.jpg (spelt so) from Flickr8k_Dataset.zip
License        annotations unknown; images: Flickr8k, research only
Paper          https://doi.org/10.1145/2911996.2912049
One instance   inputs=""  outputs="一只黑色的狗坐在树下。"

M3IT has one row per image, although each has five sentences; which one it took is not known; we take the first, #0.
All sentences stand in meta. The 91 captioned images that are in no split are never met.
"""

from collections.abc import Iterator

from m3it.rows.instance import Drop, Instance
from m3it.sources.coco_cn import read_captions
from m3it.sources.kit.downloads import FORM, ByHand, github
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.texts import read_lines

PART = {"train": "train", "validation": "val", "test": "test"}  # Flickr8k's names for our splits
CAPTIONS = "flickr8kzhc.caption.txt"  # zhc: written by people; zhb and zhg are machine translations
FILES = (
    *github(
        "li-xirong/flickr8kcn",
        "a19b9aa4a7ad2a42741460d9f47385637ae270cd",
        *(f"data/flickr8k{part}.txt" for part in ("train", "val", "test", "zhc.caption")),
    ),
    ByHand("Flickr8k_Dataset.zip", "https://github.com/li-xirong/flickr8kcn", FORM, ("Flicker8k_Dataset/*.jpg",)),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per image of the split, in the order of its list."""
    part = PART[split]
    captions_by_name = read_captions(root.first(f"data/{CAPTIONS}", CAPTIONS))
    for image_id in read_lines(root.first(f"data/flickr8k{part}.txt", f"flickr8k{part}.txt")):
        captions = captions_by_name.get(f"{image_id}.jpg")
        if not captions:
            yield Drop(image_id, "no caption")
            continue
        yield Instance(
            id=image_id,
            inputs="",
            images=[Picture(root / "Flicker8k_Dataset" / f"{image_id}.jpg")],
            outputs=captions[0],
            meta={"split": part, "image": f"{image_id}.jpg", "captions": captions},
        )
