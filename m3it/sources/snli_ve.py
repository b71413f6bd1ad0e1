"""SNLI-VE in the corrected form of e-SNLI-VE: does a sentence follow from a Flickr30k photograph?

Source files   https://github.com/maximek3/e-ViL/tree/main/data: root/esnlive_{train,dev,test}.csv
               photographs: root/flickr30k_images/<id>.jpg (also flickr30k-images), from Flickr30k
License        annotations unknown; photographs: research only
Paper          https://arxiv.org/abs/2105.03761
One instance   inputs="The dog is red."  outputs="no"  (entailment yes, contradiction no, neutral maybe)

In M3IT the hypothesis stood inside the instruction too, and the answer went on after a line break, probably with the
explanation: that part was not seen, so our outputs are the word alone, and the explanation is in meta. The 20,000
training rows that M3IT drew are not known; ours are drawn by hash.
"""

from collections.abc import Iterator

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import FLICKR30K, github
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_csv

PART = {"train": "train", "validation": "dev", "test": "test"}  # e-SNLI-VE's names for our splits
OUTPUTS = {"entailment": "yes", "contradiction": "no", "neutral": "maybe"}
FOLDERS = ("flickr30k_images", "flickr30k-images")
FILES = (
    *(
        file._replace(instead=(f"*data/{file.path}",))
        for file in github(
            "maximek3/e-ViL",
            "94f17f5c189573c9d1087f82eb27db37690fc810",
            *(f"esnlive_{part}.csv" for part in PART.values()),
            below="data/",
        )
    ),
    FLICKR30K,
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per hypothesis, in file order, after the drops; train is a sample."""
    part = PART[split]
    rows = read_csv(root.first(f"esnlive_{part}.csv", f"data/esnlive_{part}.csv", f"e-ViL/data/esnlive_{part}.csv"))
    unlabelled: list[str] = []
    sampled = sample(labelled(rows, unlabelled), getattr(CATALOGUE["snli-ve"], split), "snli-ve", "pairID")
    for row_id in unlabelled:
        yield Drop(row_id, "no label")
    for row in sampled:
        yield Instance(
            id=row["pairID"],
            inputs=text(row["hypothesis"]),
            images=[Picture(root.either(*(f"{folder}/{row['Flickr30kID']}" for folder in FOLDERS)))],
            outputs=OUTPUTS[row["gold_label"]],  # not the letter at the end of pairID, which is SNLI's label
            meta={
                "split": part,
                "image": row["Flickr30kID"],
                "gold_label": row["gold_label"],
                "explanation": row["explanation"],
            },
        )


def labelled(rows: Iterator[dict[str, str]], unlabelled: list[str]) -> Iterator[dict[str, str]]:
    """The rows that have a label; the ids of the others, where SNLI's annotators do not agree, go into the list."""
    for row in rows:
        if row["gold_label"] == "-":
            unlabelled.append(row["pairID"])
        else:
            yield row
