"""MOCHEG: is a claim true or false, given text evidence and a picture from a fact-checking site?

Source files   https://github.com/VT-NLP/Mocheg (by form), unpacked in `root`: root/{train,val,test}/Corpus2.csv and
               root/{train,val,test}/images/<claim id>-proof-<image id>-<description>.<extension>
License        annotations CC-BY-4.0; images: terms unknown
Paper          https://arxiv.org/abs/2205.12487
One instance   inputs="Context: Two cups stand there.\\nClaim: There is one cup.\\nOptions:\\n(A) True\\n(B) False"
               outputs="(B) False"

M3IT's instructions speak of the options True and False, so claims without enough information are left out, as are
claims without a picture; of several pictures we take the first. The wording of M3IT's inputs and its way to 4,991, 180
and 466 rows were not seen: ours are draws by hash. As in the authors' code, the evidence is all pieces of it, or else
the outline of the ruling, or else the article.
"""

import re
from collections.abc import Iterator
from typing import Any

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import FORM, ByHand
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import option, sample, with_options
from m3it.sources.kit.texts import read_csv

PART = {"train": "train", "validation": "val", "test": "test"}  # MOCHEG's names for our splits
ANSWERS = {"supported": "True", "refuted": "False"}  # the third label is NEI, not enough information
OPTIONS = ["True", "False"]
IMAGE_NAME = re.compile(r"(\d{5})-proof-\d{5}-.*")
FILES = tuple(
    ByHand(f"{part}/{inner}", "https://github.com/VT-NLP/Mocheg", FORM, (f"{part}.zip",))
    for part in ("train", "val", "test")
    for inner in ("Corpus2.csv", "images/*")
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per sampled claim, in file order, after the drops."""
    part = PART[split]
    images = images_by_claim(root / part / "images")
    claims: list[dict[str, Any]] = []
    for claim_id, rows in rows_by_claim(root / part / "Corpus2.csv").items():
        if claim_id not in images:
            yield Drop(str(claim_id), "no image")
        elif rows[0]["cleaned_truthfulness"] not in ANSWERS:
            yield Drop(str(claim_id), "not enough information")
        else:
            claims.append({"id": claim_id, "rows": rows})
    for claim in sample(claims, getattr(CATALOGUE["mocheg"], split), "mocheg", "id"):
        row, image = claim["rows"][0], images[claim["id"]][0]
        question = f"Context: {evidence(claim['rows'])}\nClaim: {clean(row['Claim'])}"
        yield Instance(
            id=str(claim["id"]),
            inputs=with_options(question, OPTIONS),
            images=[Picture(image)],
            outputs=option(OPTIONS, ANSWERS[row["cleaned_truthfulness"]]),
            meta={
                "split": part,
                "image": image.name,
                "label": row["cleaned_truthfulness"],
                "url": row["Snopes URL"],  # of PolitiFact's claims too
                "evidence_ids": [row["evidence_id"] for row in claim["rows"]],
            },
        )


def rows_by_claim(path: SourcePath) -> dict[int, list[dict[str, str]]]:
    """The rows of each claim, one per piece of evidence, in file order."""
    claims: dict[int, list[dict[str, str]]] = {}
    for row in read_csv(path):
        claims.setdefault(int(row["claim_id"]), []).append(row)
    return claims


def images_by_claim(folder: SourcePath) -> dict[int, list[SourcePath]]:
    """The pictures of each claim, in order of their names; other files are passed over."""
    images: dict[int, list[SourcePath]] = {}
    for path in folder.iterdir():
        if match := IMAGE_NAME.fullmatch(path.name):
            images.setdefault(int(match[1]), []).append(path)
    return images


def evidence(rows: list[dict[str, str]]) -> str:
    """What the claim is judged by."""
    pieces = " ".join(clean(row["Evidence"]) for row in rows).strip()
    return pieces or clean(rows[0]["ruling_outline"]) or clean(rows[0]["Origin"])


def clean(value: str) -> str:
    """The text on one line, without tags of paragraphs."""
    return text(" ".join(re.sub(r"</?p>", " ", value).split()))
