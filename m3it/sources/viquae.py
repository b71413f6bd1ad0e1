"""ViQuAE: questions about a pictured entity that is not named, from TriviaQA; needs knowledge of that entity.

Source files   https://huggingface.co/datasets/PaulLerner/viquae_dataset: root/{train,validation,test}.jsonl
               https://huggingface.co/datasets/PaulLerner/viquae_images: root/images.tar.gz, or unpacked root/images/*
               The two clones may also lie side by side in root (viquae_dataset, viquae_images)
License        annotations CC-BY-4.0; images: Wikimedia Commons, terms per image, which only their pages say
Paper          https://doi.org/10.1145/3477495.3531753
One instance   inputs="which city is the capital of this country?"  outputs="Paris"  (TriviaQA's own answer)

Questions stay as written, often in lower case. `original_question` names the entity, so it is left out, even of meta.
M3IT later replaced the answers by sentences, which `m3it rephrase` does. 21 of the 1,257 test rows are not in M3IT;
most likely their pictures could not be read.
"""

import re
import unicodedata
from collections.abc import Iterator

from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.texts import read_jsonl

_HUB = "hf://datasets/PaulLerner"
FILES = (
    *(
        File(f"{split}.jsonl", f"{_HUB}/viquae_dataset/{split}.jsonl", num_bytes, instead=(f"*/{split}.jsonl",))
        for split, num_bytes in {"train": 2_740_000, "validation": 2_900_000, "test": 3_010_000}.items()
    ),
    File("images.tar.gz", f"{_HUB}/viquae_images/images.tar.gz", instead=("images/*", "viquae_images/*")),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per question of the split, in file order."""
    for question in read_jsonl(root.first(f"{split}.jsonl", f"viquae_dataset/{split}.jsonl")):
        answer = text(question["output"].get("original_answer") or "")
        if not answer:
            yield Drop(question["id"], "no answers")
            continue
        yield Instance(
            id=question["id"],
            inputs=text(question["input"]),
            images=[Picture(find_image(root, question["image"]))],
            outputs=answer,
            meta={
                "split": split,
                "image": question["image"],
                "url": question["url"],
                "image_attribution": [commons_page(question["url"])],
                "kilt_id": question["kilt_id"],
                "wikidata_id": question["wikidata_id"],
                "answers": question["output"]["answer"],
            },
        )


def commons_page(url: str) -> str:
    """The page of Wikimedia Commons that names the author and the license of a picture, by the address of its file or
    thumbnail: .../commons/[thumb/]a/ae/<name>[/512px-<name>]."""
    found = re.search(r"/commons/(?:thumb/)?\w/\w\w/([^/]+)", url)
    return f"https://commons.wikimedia.org/wiki/File:{found[1]}" if found else url


def find_image(root: SourcePath, name: str) -> SourcePath:
    """The picture of that name, whichever Unicode form the user's file system gave to its accents."""
    forms = dict.fromkeys([name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)])
    return root.either(*(f"{folder}/{form}" for folder in ("images", "viquae_images/images") for form in forms))
