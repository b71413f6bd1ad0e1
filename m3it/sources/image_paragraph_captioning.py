"""Stanford image paragraphs: Visual Genome images told in a paragraph.

Source files   https://cs.stanford.edu/people/ranjaykrishna/im2p/index.html: root/paragraphs_v1.json (or its zip),
               root/{train,val,test}_split.json
               images: root/VG_100K/*.jpg and root/VG_100K_2/*.jpg from images.zip and images2.zip of Visual Genome
License        annotations unknown; images: Visual Genome, Flickr terms
Paper          https://arxiv.org/abs/1611.06607
One instance   inputs=""  outputs="A red car stands in the street. Behind it is a tall tree. ..."

M3IT's sizes are the official ones: of the few images that have two paragraphs, the first is kept.
"""

from collections.abc import Iterator

from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.texts import read_json

PART = {"train": "train", "validation": "val", "test": "test"}  # the source's names for our splits
FOLDERS = ("VG_100K", "VG_100K_2")
_STANFORD = "https://cs.stanford.edu/people"
FILES = (
    File(
        "paragraphs_v1.json.zip",
        "https://homes.cs.washington.edu/~ranjay/visualgenome/data/dataset/paragraphs_v1.json.zip",
        instead=("paragraphs_v1.json",),
    ),
    *(
        File(f"{part}_split.json", f"{_STANFORD}/ranjaykrishna/im2p/{part}_split.json")
        for part in ("train", "val", "test")
    ),
    File("images.zip", f"{_STANFORD}/rak248/VG_100K_2/images.zip", instead=("VG_100K/*.jpg",)),
    File("images2.zip", f"{_STANFORD}/rak248/VG_100K_2/images2.zip", instead=("VG_100K_2/*.jpg",)),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per image of the split, in file order of the paragraphs."""
    part = PART[split]
    image_ids = dict.fromkeys(read_json(root / f"{part}_split.json"))
    seen = set()
    for record in read_json(root / "paragraphs_v1.json"):
        image_id, paragraph = record["image_id"], text(record["paragraph"])
        if image_id not in image_ids:
            continue
        if image_id in seen:
            yield Drop(str(image_id), "second paragraph")
            continue
        seen.add(image_id)
        if not paragraph:
            yield Drop(str(image_id), "no paragraph")
            continue
        folder, image_name = record["url"].split("/")[-2:]
        path = root.either(*(f"{f}/{image_name}" for f in (folder, *FOLDERS)))  # some keep both folders in one
        yield Instance(
            id=str(image_id),
            inputs="",
            images=[Picture(path)],
            outputs=paragraph,
            meta={"split": part, "image": f"{folder}/{image_name}", "url": record["url"]},
        )
    for image_id in image_ids:
        if image_id not in seen:
            yield Drop(str(image_id), "no paragraph")
