"""What the authors call a picture, in one form for all datasets that have it from the same place.

In: a dataset's name and a row's meta, with the names of its files.  Out: such as coco/1847, for COCO_train2014_
000000001847.jpg as for 000000001847.jpg. Two rows with one name show one picture, versions of one reference, or frames
of one video, whatever was done to the file. Where each dataset has its pictures from stands in its converter in
m3it/sources/.
"""

import re
from functools import cache
from typing import Any

COCO = r"(?:COCO_(?:train|val|test)20\d\d_)?0*(\d{1,12})\.jpg"
NAMED_COCO = r"COCO_(?:train|val|test)20\d\d_0*(\d{1,12})\.jpg(?:#\d+)?"
FLICKR = r"0*(\d+)(?:_[0-9a-f]+)?\.(?:jpg|png|gif)"  # a photo's number; in Flickr8k with a secret
YOUTUBE = r"(?:v_)?([\w-]{11})(?:_\d+_\d+)?\.\w+"  # a video's id, maybe with the seconds that were cut out
# Place -> how its files are called, below whatever folder, and the datasets that have them.
PLACES = {
    "coco": [
        (COCO, "a-okvqa coco coco-cn coco-goi coco-itm coco-text fm-iqa okvqa vqa-v2"),
        (NAMED_COCO, "multi30k st-vqa visual-dialog"),  # which have pictures of other places too
    ],
    "visual-genome": [(r"0*(\d+)\.jpg", "gqa image-paragraph-captioning"), (r"vg/0*(\d+)\.jpg", "st-vqa")],
    "imagenet": [(r"(n\d{8}_\d+|ILSVRC2012_val_\d+)\.JPEG", "imagenet st-vqa")],
    "flickr": [(FLICKR, "flickr8k-cn multi30k snli-ve vist")],
    "open-images": [(r"([0-9a-f]{16})\.jpg", "text-vqa textcap")],
    "msrvtt": [(r"(video\d+)\.mp4", "msrvtt msrvtt-qa")],
    "youtube": [(YOUTUBE, "activitynet-qa ivqa msvd-qa")],
    "commons": [(r"(?:\d+px-)?(.+)", "viquae")],  # of whatever width
    "visual-mrc": [(r"([0-9a-f]{32})\.\w+", "visual-mrc")],  # a page, in whatever split
}


def source_ids(dataset: str, meta: dict[str, Any], num_images: int) -> list[str]:
    """The names of a row's pictures, in order; "" for each where meta has none."""
    reference = meta.get("reference") if dataset == "iqa" else None  # all versions of one show the same
    said: Any = reference or meta.get("images") or meta.get("image") or meta.get("video")
    names = said if isinstance(said, list) else [said] * num_images  # all frames of a video have its name
    if len(names) != num_images or not all(isinstance(name, str) for name in names):
        return [""] * num_images
    return [_source_id(dataset, str(name)) for name in names]


def _source_id(dataset: str, name: str) -> str:
    for place, pattern in _rules(dataset):
        if found := pattern.fullmatch(name):
            return f"{place}/{found[1]}"
    return f"{dataset}/{name}"


@cache
def _rules(dataset: str) -> list[tuple[str, re.Pattern[str]]]:
    """The places that a dataset has pictures from, and how their files are called."""
    return [
        (place, re.compile(rf"(?:.*/)?{pattern}"))
        for place, rules in PLACES.items()
        for pattern, datasets in rules
        if dataset in datasets.split()
    ]
