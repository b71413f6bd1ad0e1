"""NLVR2: is a sentence true of a pair of photographs?

Source files   https://github.com/lil-lab/nlvr, cloned into `root`: root/nlvr2/data/{train,dev}.json (JSON Lines)
               photographs, by form from the authors or from their URLs: root/images/train/<directory>/*.png,
               root/images/dev/*.png; or the same without `images`
License        sentences and labels CC-BY-4.0; the photographs are not licensed
Paper          https://arxiv.org/abs/1811.00491
One instance   inputs="The left image shows a black triangle."  outputs="false"  (two images: left, right)

M3IT's `nlvr` is NLVR2, not the synthetic NLVR: its instructions speak of a left and a right image and of true and
false. Which records it drew is not known; we draw as many, one by one, by the hash of their identifiers.
"""

from collections.abc import Iterator

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, SourceError, text
from m3it.sources.kit.downloads import FORM, ByHand, github
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_jsonl

PART = {"train": "train", "validation": "dev", "test": "test1"}  # NLVR2's names for our splits
OUTPUTS = {"True": "true", "False": "false"}  # the labels are words, not JSON's true and false
FILES = (
    *github(
        "lil-lab/nlvr",
        "18924841aa96d519cfb8584f0945350f07a6d860",
        *(f"nlvr2/data/{part}.json" for part in ("train", "dev")),
    ),
    *(
        ByHand(f"images/{part}/*.png", "https://github.com/lil-lab/nlvr", FORM, (f"{part}/*.png", f"images/{part}.zip"))
        for part in ("train", "dev")
    ),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per sampled record of the split, in file order."""
    part = PART[split]
    path = root.first(f"nlvr2/data/{part}.json", f"data/{part}.json", f"{part}.json")
    num_rows = getattr(CATALOGUE["nlvr"], split)
    for record in sample(read_jsonl(path), num_rows, "nlvr", "identifier"):
        if record["label"] not in OUTPUTS:  # NLVR has the same file names; its labels are "true" and "false"
            found = f"{record['identifier']} has the label {record['label']!r}"
            raise SourceError(
                f"{path}: expected the labels 'True' and 'False' of NLVR2, {found}. Take nlvr2/, not nlvr/."
            )
        pair = record["identifier"].rpartition("-")[0]  # split-set-pair-sentence
        names = [f"{pair}-img{side}.png" for side in (0, 1)]
        yield Instance(
            id=record["identifier"],
            inputs=text(record["sentence"]),
            images=[Picture(find_photo(root, part, name, record.get("directory"))) for name in names],
            outputs=OUTPUTS[record["label"]],
            meta={
                "split": part,
                "images": names,
                "label": record["label"],
                "synset": record["synset"],
                "query": record["query"],
            },
        )


def find_photo(root: SourcePath, part: str, name: str, directory: int | str | None) -> SourcePath:
    """The photograph, in its numbered folder (train) or straight in the split's."""
    inner = name if directory is None else f"{directory}/{name}"
    return root.either(f"images/{part}/{inner}", f"{part}/{inner}", f"images/{part}/{name}")
