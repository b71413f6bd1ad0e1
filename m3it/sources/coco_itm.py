"""COCO image-text matching: which of five sentences describes the image?

Source files   https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip: root/dataset_coco.json
               (Karpathy's split), images root/{train,val}2014/*.jpg as of coco; for train and validation also
               root/annotations/captions_{train,val}{2014,2017}.json with that year's images, and their licenses
License        annotations CC-BY-4.0; images: Flickr terms per image
Paper          https://arxiv.org/abs/1504.00325
One instance   inputs="Options:\\n(A) A black dog.\\n(B) A red car.\\n..."  outputs="(B)"

M3IT built this dataset itself: five candidates, answered by a letter. How the wrong ones were found, and whether the
split is Karpathy's, is not known. We take one row per image, draw the right sentence from its own and the wrong ones
from four other images of the split, passing over sentences that are also the image's own. Train is a sample of the
images.
"""

from collections.abc import Iterator
from typing import Any

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, choose, hash_of, shuffled, text
from m3it.sources.coco import read_images
from m3it.sources.kit.downloads import COCO_2014, KARPATHY
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.licenses import coco_credits
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import LETTERS, sample, with_options
from m3it.sources.kit.texts import read_json

PART = {"train": "train", "validation": "val"}  # COCO's names for our splits
NUM_OPTIONS = 5
FILES = (KARPATHY._replace(instead=(*KARPATHY.instead, "annotations/captions_*.json")), *COCO_2014)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per image of a sample of the split, in file order."""
    images, credits = read_captions(root, split), coco_credits(root)
    for image in sample(images, getattr(CATALOGUE["coco-itm"], split), "coco-itm", "id"):
        if not image["captions"]:
            yield Drop(image["id"], "no caption")
            continue
        right = choose(image["captions"], "coco-itm", f"{image['id']} right")
        wrong = draw_wrong(image, images)
        if len(wrong) < NUM_OPTIONS - 1:
            yield Drop(image["id"], "fewer than four other captions")
            continue
        options = shuffled([right, *wrong], "coco-itm", image["id"])
        yield Instance(
            id=image["id"],
            inputs=with_options("", options),
            images=[Picture(root / image["file"])],
            outputs=f"({LETTERS[options.index(right)]})",
            meta={"split": image["split"], "image": image["file"], "captions": image["captions"]}
            | credits.get(int(image["id"]), {}),
        )


def read_captions(root: SourcePath, split: str) -> list[dict[str, Any]]:
    """The images of the split with id, split, file (below the root) and captions, in file order."""
    names = [f"annotations/captions_{PART[split]}{year}.json" for year in (2014, 2017)] if split in PART else []
    path = root.first("dataset_coco.json", *names)
    if path.name == "dataset_coco.json":
        return [
            {
                "id": str(image["cocoid"]),
                "split": image["split"],
                "file": f"{image['filepath']}/{image['filename']}",
                "captions": one_line(sentence["raw"] for sentence in image["sentences"]),
            }
            for image in read_images(root, split)
        ]
    source, part = read_json(path), path.stem.removeprefix("captions_")
    captions_by_id: dict[int, list[str]] = {}
    for caption in source["annotations"]:
        captions_by_id.setdefault(caption["image_id"], []).append(caption["caption"])
    return [
        {
            "id": str(image["id"]),
            "split": part,
            "file": f"{part}/{image['file_name']}",
            "captions": one_line(captions_by_id.get(image["id"], [])),
        }
        for image in source["images"]
    ]


def one_line(captions: Iterator[str] | list[str]) -> list[str]:
    """The captions that have words, each on one line."""
    return [text(" ".join(caption.split())) for caption in captions if caption.strip()]


def draw_wrong(image: dict[str, Any], images: list[dict[str, Any]]) -> list[str]:
    """Captions of four other images that say something else than this image's; fewer if a long search ends."""
    taken = {plain(caption) for caption in image["captions"]}
    others: dict[str, str] = {}  # caption by id of its image
    for attempt in range(100):
        other = images[hash_of("coco-itm", image["id"], purpose=f"wrong {attempt}") % len(images)]
        if other["id"] in (image["id"], *others) or not other["captions"]:
            continue
        caption = choose(other["captions"], "coco-itm", f"{image['id']} {other['id']}")
        if plain(caption) not in taken:
            others[other["id"]] = caption
            taken.add(plain(caption))
        if len(others) == NUM_OPTIONS - 1:
            break
    return list(others.values())


def plain(caption: str) -> str:
    """What two captions share that say the same: small letters, no full stop."""
    return caption.casefold().rstrip(" .")
