"""TextCaps: captions that tell what is written in the image.

Source files   https://textvqa.org/textcaps/dataset: root/TextCaps_0.1_{train,val}.json
               images: root/train_images/*.jpg from train_val_images.zip of TextVQA, for train and validation
License        annotations CC-BY-4.0; images: OpenImages, Flickr terms
Paper          https://arxiv.org/abs/2003.12462
One instance   inputs=""  outputs="A sign above the door says OPEN."  (one of five captions; each gets its row)

M3IT has 19,553 of 21,953 images for training and 2,793 of 3,166 for validation, each with its five captions; which
images is not known. We draw as many. The official test captions are withheld.
"""

from collections.abc import Iterator

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import TEXTVQA, TEXTVQA_IMAGES, File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_json

PART = {"train": "train", "validation": "val", "test": "test"}  # TextCaps's names for our splits
FOLDER = {"train": "train_images", "val": "train_images", "test": "test_images"}  # image_path names others
CAPTIONS_PER_IMAGE = 5
FILES = (
    File("TextCaps_0.1_train.json", f"{TEXTVQA}/data/textcaps/TextCaps_0.1_train.json", 181_000_000),
    File("TextCaps_0.1_val.json", f"{TEXTVQA}/data/textcaps/TextCaps_0.1_val.json"),
    TEXTVQA_IMAGES,
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per caption of a sample of the split's images, in file order."""
    part = PART[split]
    entries = read_json(root / f"TextCaps_0.1_{part}.json")["data"]
    images = {entry["image_id"]: entry for entry in entries if text(entry.get("caption_str") or "")}
    num_images = getattr(CATALOGUE["textcap"], split) // CAPTIONS_PER_IMAGE
    chosen = {image["image_id"] for image in sample(images.values(), num_images, "textcap", "image_id")}
    for entry in entries:
        row_id, image_name = f"{entry['image_id']}-{entry.get('caption_id')}", f"{entry['image_id']}.jpg"
        caption = text(entry.get("caption_str") or "")
        if not caption:
            yield Drop(row_id, "no caption")
        elif entry["image_id"] in chosen:
            yield Instance(
                id=row_id,
                inputs="",
                images=[Picture(root / FOLDER[part] / image_name)],
                outputs=caption,
                meta={"split": part, "image": image_name, "image_classes": entry.get("image_classes", [])},
            )
