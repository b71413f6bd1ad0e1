"""Something-Something V2: what a hand does with some thing in a short clip, one of 174 classes.

Source files   https://developer.qualcomm.com/software/ai-datasets/something-something
               root/labels/{labels,train,validation}.json and test-answers.csv, or by their older names
               root/something-something-v2-{labels,train,validation}.json, without test answers
               clips: <id>.webm in any folder of root (20bn-something-something-v2), or converted to .mp4 or .avi
License        research only
Paper          https://arxiv.org/abs/1706.04261
One instance   inputs="Options:\\n(A) Opening something\\n(B) Moving something up\\n..."
               outputs="(B) Moving something up"  and 8 frames in order of time

The class is the template without brackets, not the label, which names the thing. M3IT drew 2,000 clips of each
split; which, and how many options it gave, is not known: we draw them by hash, and give ten options as its imagenet
has.
"""

from collections.abc import Iterator

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, shuffled
from m3it.sources.kit.downloads import TERMS, ByHand
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Clip
from m3it.sources.kit.options import option, sample, with_options
from m3it.sources.kit.texts import read_json, read_lines

NUM_OPTIONS = 10
VIDEOS = (".webm", ".mp4", ".avi")
_PAGE = "https://developer.qualcomm.com/software/ai-datasets/something-something"
FILES = (
    *(
        ByHand(f"labels/{name}.json", _PAGE, TERMS, (f"something-something-v2-{name}.json",))
        for name in ("labels", "train", "validation")
    ),
    ByHand("labels/test-answers.csv", _PAGE, TERMS, ("test-answers.csv",)),
    ByHand("20bn-something-something-v2/*.webm", _PAGE, TERMS, tuple(f"*{ending}" for ending in VIDEOS)),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per clip of a sample of the split, in file order."""
    classes = read_json(root.first("labels/labels.json", "something-something-v2-labels.json"))  # of each, its index
    clips = root.named(VIDEOS, lambda path: path.stem)
    for record in sample(read_records(root, split), getattr(CATALOGUE["ss"], split), "ss", "id"):
        row_id, template = record["id"], record["template"].replace("[", "").replace("]", "")
        if template not in classes:
            yield Drop(row_id, "unknown class")
            continue
        wrong = shuffled([name for name in classes if name != template], "ss", row_id)[: NUM_OPTIONS - 1]
        options = shuffled([template, *wrong], "ss", row_id)
        clip = clips.get(row_id, root / "20bn-something-something-v2" / f"{row_id}.webm")
        yield Instance(
            id=row_id,
            inputs=with_options("", options),
            images=[Clip(clip)],
            outputs=option(options, template),
            meta={
                "split": split,
                "video": clip.name,
                "class": int(classes[template]),
                **{key: record[key] for key in ("label", "template", "placeholders") if key in record},
            },
        )


def read_records(root: SourcePath, split: str) -> list[dict]:
    """The records of a split: id and template, and for train and validation also label and placeholders."""
    if split == "test":
        pairs = (line.split(";", 1) for line in read_lines(root.first("labels/test-answers.csv", "test-answers.csv")))
        return [{"id": row_id, "template": template} for row_id, template in pairs]
    return read_json(root.first(f"labels/{split}.json", f"something-something-v2-{split}.json"))
