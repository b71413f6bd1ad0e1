"""What the authors call a picture, in one form for all datasets that have it from the same place.

In: a dataset's name and a row's meta, with the names of its files.  Out: such as coco/1847, for COCO_train2014_
000000001847.jpg as for 000000001847.jpg. Two rows with one name show one picture, or frames of one video, whatever was
done to the file. Where each dataset has its pictures from stands in its converter in m3it/sources/.
"""

import posixpath
import re
from typing import Any

COCO = r"(?:COCO_(?:train|val|test)20\d\d_)?0*(\d{1,12})\.jpg"
NAMED_COCO = r"COCO_(?:train|val|test)20\d\d_0*(\d{1,12})\.jpg"
FLICKR = r"0*(\d+)(?:_[0-9a-f]+)?\.(?:jpg|png|gif)"  # a photo's number; in Flickr8k with a secret
# Place -> how its files are called, and the datasets that have them.
PLACES = {
    "coco": [
        (COCO, "a-okvqa coco coco-cn coco-goi coco-itm coco-text fm-iqa okvqa vqa-v2"),
        (NAMED_COCO, "st-vqa visual-dialog"),  # which have pictures of other places too
    ],
    "visual-genome": [(r"(\d+)\.jpg", "gqa image-paragraph-captioning")],
    "flickr": [(FLICKR, "flickr8k-cn multi30k snli-ve vist")],
    "open-images": [(r"([0-9a-f]{16})\.jpg", "text-vqa textcap")],
    "msrvtt": [(r"(video\d+)\.mp4", "msrvtt msrvtt-qa")],
    "commons": [(r"(.+)", "viquae")],
}
RULES = {
    (dataset): (place, re.compile(pattern))
    for place, rules in PLACES.items()
    for pattern, datasets in rules
    for dataset in datasets.split()
}


def source_ids(dataset: str, meta: dict[str, Any], num_images: int) -> list[str]:
    """The names of a row's pictures, in order; "" for each where meta has none."""
    said: Any = meta.get("images") or meta.get("image") or meta.get("video")
    names = said if isinstance(said, list) else [said] * num_images  # all frames of a video have its name
    if len(names) != num_images or not all(isinstance(name, str) for name in names):
        return [""] * num_images
    return [_source_id(dataset, str(name)) for name in names]


def _source_id(dataset: str, name: str) -> str:
    place, pattern = RULES.get(dataset, (dataset, None))
    found = pattern.fullmatch(posixpath.basename(name)) if pattern else None
    return f"{place}/{found[1]}" if found else f"{dataset}/{name}"
