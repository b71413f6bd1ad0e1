"""FM-IQA: free questions about COCO images in Chinese, with free answers.

Source files   http://research.baidu.com/Public/uploads/5ac9e10bdd572.gz, as it is (a tar archive in it) or its member
               root/FM-CH-QA.json, which some rename to FM-IQA.json
               images: root/{train,val}2014/*.jpg from COCO 2014
License        annotations unknown; images: COCO, Flickr terms
Paper          https://arxiv.org/abs/1505.05612
One instance   inputs="汽车是什么颜色的？"  outputs="红色。"

M3IT's sizes are those of the files. It also keeps paraphrased copies of the answers, and which ones it served is not
known; we take the answers as they were given. Questions and answers stay as typed, doubled marks included.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

from m3it.rows.instance import Drop, Instance, SourceError, text
from m3it.sources.kit.downloads import COCO_2014, File
from m3it.sources.kit.files import SourcePath, coco_2014
from m3it.sources.kit.licenses import coco_credits
from m3it.sources.kit.media import Picture
from m3it.sources.kit.texts import read_json

PART = {"train": "train", "validation": "val", "test": "test"}  # FM-IQA's names for our splits
MEMBER = "FM-CH-QA.json"
FILES = (
    File(
        "5ac9e10bdd572.gz",
        "http://research.baidu.com/Public/uploads/5ac9e10bdd572.gz",
        instead=("FM-CH-QA.json", "FM-IQA.json"),
    ),
    *COCO_2014,
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per question of the split, in file order."""
    part, seen, credits = PART[split], set(), coco_credits(root)
    for record in read_records(root).get(part, []):
        row_id, question, answer = str(record["question_id"]), text(record["Question"]), text(record["Answer"])
        if row_id in seen or not (question and answer):
            yield Drop(row_id, "duplicate question" if row_id in seen else "no answer" if question else "no question")
            continue
        seen.add(row_id)
        path = root.either(*coco_2014(int(record["image_id"])))  # a question of train may be about an image of val2014
        yield Instance(
            id=row_id,
            inputs=question,
            images=[Picture(path)],
            outputs=answer,
            meta={"split": part, "image": path.name, "image_id": record["image_id"]}
            | credits.get(int(record["image_id"]), {}),
        )


def read_records(root: SourcePath) -> dict[str, list[dict[str, Any]]]:
    """The records by FM-IQA's split."""
    path = root.first(MEMBER, "FM-IQA.json", "5ac9e10bdd572.gz")
    if path.name.endswith(".json"):
        return read_json(path)
    try:
        with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
            name = next(member.name for member in archive if member.name.endswith(MEMBER))
            return json.loads(archive.extractfile(name).read().decode("utf-8-sig"))  # type: ignore[union-attr]
    except (tarfile.TarError, StopIteration, EOFError, OSError, ValueError) as error:
        raise SourceError(f"{path}: expected a tar.gz with {MEMBER} in it ({error}). Download it again.") from error
