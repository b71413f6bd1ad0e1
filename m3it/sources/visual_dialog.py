"""VisDial 1.0: dialogs of ten questions and answers about a COCO image whose caption is known.

Source files   https://visualdialog.org/data: root/visdial_1.0_{train,val}.json
               images: root/{train,val}2014/*.jpg of COCO 2014 for train, root/VisualDialog_val2018/*.jpg for the rest
License        annotations CC-BY-4.0; images: COCO and Flickr, Flickr terms
Paper          https://arxiv.org/abs/1611.08669
One instance   inputs="a red car beside a tree\\nQ: is it sunny?\\nA: yes\\nQ: what color is the tree?"  outputs="green"

M3IT gives caption, history and question, and expects the answer; which rounds it took is not known. We draw one round
of a dialog, from as many dialogs as M3IT has rows. The official test withholds answers, so test is drawn from the
half of val that validation is not drawn from. Questions get the question mark that the source leaves out.
"""

from collections.abc import Iterator
from typing import Any

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, choose, text
from m3it.sources.kit.downloads import COCO_2014, File
from m3it.sources.kit.files import SourcePath, coco_2014
from m3it.sources.kit.licenses import coco_credits
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_values

PART = {"train": "train", "validation": "val", "test": "val"}  # VisDial's file for our splits
_DROPBOX = "https://www.dropbox.com/s"
FILES = (
    File(
        "visdial_1.0_train.zip",
        f"{_DROPBOX}/ix8keeudqrd8hn8/visdial_1.0_train.zip?dl=1",
        instead=("visdial_1.0_train.json",),
    ),
    File(
        "visdial_1.0_val.zip", f"{_DROPBOX}/ibs3a0zhw74zisc/visdial_1.0_val.zip?dl=1", instead=("visdial_1.0_val.json",)
    ),
    File(
        "VisualDialog_val2018.zip",
        f"{_DROPBOX}/twmtutniktom7tu/VisualDialog_val2018.zip?dl=1",
        instead=("VisualDialog_val2018/*.jpg",),
    ),
    *COCO_2014,
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per dialog of a sample of the split, in file order."""
    path = root / f"visdial_1.0_{PART[split]}.json"  # read in passes, for all at once takes gigabytes of memory
    questions, answers = (list(read_values(path, rf'"{kind}"\s*:\s*\[')) for kind in ("questions", "answers"))
    name = next(read_values(path, r'"split"\s*:\s*'))
    dialogs: Iterator[dict[str, Any]] | list[dict[str, Any]] = read_dialogs(path)
    if PART[split] == "val":
        dialogs = list(dialogs)  # 2,064
        first_half = {d["image_id"] for d in sample(dialogs, (len(dialogs) + 1) // 2, "visual-dialog", "image_id")}
        dialogs = [dialog for dialog in dialogs if (dialog["image_id"] in first_half) == (split == "validation")]
    credits = coco_credits(root)
    for dialog in sample(dialogs, getattr(CATALOGUE["visual-dialog"], split), "visual-dialog", "image_id"):
        image_id = dialog["image_id"]
        rounds = [(questions[question], answers[answer]) for question, answer in dialog["rounds"]]
        number = choose(range(len(rounds)), "visual-dialog", str(image_id))
        path = find_image(root, PART[split], image_id)
        yield Instance(
            id=f"{image_id}-{number + 1}",
            inputs=as_text(dialog["caption"], rounds[:number], rounds[number][0]),
            images=[Picture(path)],
            outputs=text(rounds[number][1]),
            meta={"split": name, "image": path.name, "image_id": image_id, "round_id": number + 1}
            | credits.get(image_id, {}),
        )


def read_dialogs(path: SourcePath) -> Iterator[dict[str, Any]]:
    """The dialogs one at a time: image, caption, and of each round the numbers of question and answer, without the
    hundred answers to choose from."""
    for dialog in read_values(path, r'"dialogs"\s*:\s*\['):
        rounds = [(r["question"], r["answer"]) for r in dialog["dialog"]]
        yield {"image_id": dialog["image_id"], "caption": dialog["caption"], "rounds": rounds}


def as_text(caption: str, history: list[tuple[str, str]], question: str) -> str:
    """The caption, the rounds before, and the question, a line each."""
    lines = [text(caption)]
    for asked, answered in history:
        lines += [f"Q: {with_mark(asked)}", f"A: {text(answered)}"]
    return "\n".join([*lines, f"Q: {with_mark(question)}"])


def with_mark(question: str) -> str:
    """The question with a question mark at its end."""
    return text(question).rstrip("? ") + "?"


def find_image(root: SourcePath, part: str, image_id: int) -> SourcePath:
    """The image file; train is about images of both of COCO's parts."""
    if part == "val":
        return root / "VisualDialog_val2018" / f"VisualDialog_val2018_{image_id:012d}.jpg"
    return root.either(*coco_2014(image_id))
