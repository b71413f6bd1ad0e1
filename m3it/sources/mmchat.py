"""MMChat: Chinese dialogues about the pictures of a Weibo post.

Source files   https://huggingface.co/datasets/silver/mmchat, config mmchat, in `root` or root/mmchat:
               dialog_{train,dev,test}.jsonl.gz (lists of utterances) and, line by line beside it,
               img_url_{train,dev,test}.jsonl.gz (addresses with ";" between, no JSON);
               or the Hub's own copy of both, mmchat-{train,validation,test}.parquet
               images: in any folder of root, named as the authors' crawler does: sha256 of the address, its extension
License        MIT; images: Weibo, terms unknown
Paper          https://arxiv.org/abs/2108.07154
One instance   inputs="Person1: 这是哪里？\\nPerson2:"  outputs="在海边。"

M3IT stores one image a row; which of the up to nine is not known, nor which dialogues it drew. We take the first
image that is there, and draw among the dialogues that have one. Speakers are named as in the rows that M3IT most
likely serves.
"""

import hashlib
import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, SourceError, text
from m3it.sources.kit.downloads import ByHand, File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_jsonl, read_lines

PART = {"train": "train", "validation": "dev", "test": "test"}  # MMChat's names for our splits
FOLDERS = ("", "mmchat/")
FILES = (
    *(
        File(
            f"mmchat/{kind}_{part}.jsonl.gz",
            f"hf://datasets/silver/mmchat/mmchat/{kind}_{part}.jsonl.gz",
            instead=(f"*{kind}_{part}.jsonl", f"{kind}_{part}.jsonl.gz", f"*mmchat-{split}.parquet"),
        )
        for split, part in PART.items()
        for kind in ("dialog", "img_url")
    ),
    ByHand(
        "weibo_img/*.jpg",
        "https://github.com/silverriver/MMChat",
        "fetched from Weibo by the authors' crawler",
        ("*.jpg", "*.png", "*.gif", "*.webp"),
    ),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per dialogue of a sample of the split, in file order, after those that are left out."""
    files = root.named()
    good: list[dict[str, Any]] = []
    for number, (dialog, addresses) in enumerate(read_dialogs(root, split), 1):
        row_id, utterances = f"{PART[split]}-{number}", [text(utterance) for utterance in dialog]
        images = [name for name in map(image_name, addresses) if name in files]
        if len(utterances) < 2 or not utterances[-1]:
            yield Drop(row_id, "no response")
        elif not images:
            root.either(image_name(addresses[0]))  # so that the error of a split without rows can name it
            yield Drop(row_id, "missing image")
        else:
            good.append({"id": row_id, "utterances": utterances, "image": images[0], "addresses": addresses})
    for row in sample(good, getattr(CATALOGUE["mmchat"], split), "mmchat", "id"):
        *context, response = row["utterances"]
        yield Instance(
            id=row["id"],
            inputs=with_speakers(context),
            images=[Picture(files.get(row["image"], root / row["image"]))],
            outputs=response,
            meta={"split": PART[split], "image": row["image"], "image_urls": row["addresses"]},
        )


def read_dialogs(root: SourcePath, split: str) -> Iterator[tuple[list[str], list[str]]]:
    """(utterances, image addresses) of each line."""
    for path in (root / f"{folder}mmchat-{split}.parquet" for folder in FOLDERS):
        if path.exists():
            import pyarrow.parquet

            table = pyarrow.parquet.read_table(io.BytesIO(path.read_bytes()), columns=["dialog", "imgs"])
            yield from ((row["dialog"], row["imgs"]) for row in table.to_pylist())
            return
    dialog_file, address_file = (
        root.first(*(f"{folder}{kind}_{PART[split]}.jsonl{end}" for folder in FOLDERS for end in (".gz", "")))
        for kind in ("dialog", "img_url")
    )
    dialogs, addresses = list(read_jsonl(dialog_file)), read_lines(address_file)
    if len(dialogs) != len(addresses):
        raise SourceError(f"{dialog_file}: {len(dialogs)} dialogues, but {len(addresses)} lines in {address_file.name}")
    yield from zip(dialogs, (line.strip().split(";") for line in addresses), strict=True)


def image_name(address: str) -> str:
    """The file name that the authors' crawler gives to an address."""
    name = urlsplit(address).path
    extension = name.rpartition(".")[2] if "." in name else "jpg"
    return f"{hashlib.sha256(address.encode('utf-8')).hexdigest()}.{extension}"


def with_speakers(context: list[str]) -> str:
    """The utterances in turn of Person1 and Person2, and the name of the one who speaks next."""
    turns = [f"Person{1 + i % 2}: {utterance}" for i, utterance in enumerate(context)]
    return "\n".join([*turns, f"Person{1 + len(context) % 2}:"])
