"""What sources say of each picture: its license, and the page that names its author.

In: records of Flickr and of COCO.  Out: entries of meta: `image_license`, of several pictures all, joined by AND as
SPDX has it; `image_attribution`, a page for each picture.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.texts import read_values

# Flickr's numbers, which COCO has in its `licenses`, too: https://www.flickr.com/services/api/flickr.photos.licenses.getInfo.html
FLICKR = {
    0: "all rights reserved", 1: "CC-BY-NC-SA-2.0", 2: "CC-BY-NC-2.0", 3: "CC-BY-NC-ND-2.0", 4: "CC-BY-2.0",
    5: "CC-BY-SA-2.0", 6: "CC-BY-ND-2.0", 7: "no known copyright restrictions", 8: "US government work", 9: "CC0-1.0",
    10: "CC-PDM-1.0",
}  # fmt: skip
PHOTO = re.compile(r"/(\d+)_[^/]*$")  # how the address of a file of Flickr ends: id, secret and size of the photograph
COCO_PARTS = ("train2014", "val2014", "train2017", "val2017")
COCO_IMAGES = r'"images"\s*:\s*\['


def credit(licenses: Iterable[str], pages: Iterable[str]) -> dict[str, Any]:
    """What meta says of the pictures of a row."""
    return {"image_license": " AND ".join(sorted(set(licenses))), "image_attribution": list(pages)}


def flickr_license(number: str | int) -> str:
    """The license that Flickr has under a number."""
    return FLICKR.get(int(number), f"Flickr license {number}")


def coco_credit(image: Mapping[str, Any]) -> dict[str, Any]:
    """What meta says of a picture, by its record in a file of COCO; nothing where that does not say."""
    if "license" not in image:
        return {}
    url = image.get("flickr_url", "")
    photo = PHOTO.search(url)
    page = f"https://www.flickr.com/photo.gne?id={photo[1]}" if photo else url
    return credit([flickr_license(image["license"])], [page])


def coco_credits(root: SourcePath) -> dict[int, dict[str, Any]]:
    """COCO's number of a picture -> what meta says of it, of the annotation files of COCO that are there; the rows can
    do without."""
    found: dict[int, dict[str, Any]] = {}
    for part in COCO_PARTS:
        paths = [root / f"annotations/{kind}_{part}.json" for kind in ("captions", "instances")]
        for path in [path for path in paths if path.exists()][:1]:
            found |= {image["id"]: coco_credit(image) for image in read_values(path, COCO_IMAGES)}
    return found
