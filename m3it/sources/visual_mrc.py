"""VisualMRC: questions about screenshots of web pages, answered in sentences.

Source files   https://huggingface.co/datasets/NTT-hil-insight/VisualMRC, by https://github.com/nttmdlab-nlp/VisualMRC:
               root/data/{train,dev,test}.jsonl (also without data/, val for dev, .json), one record per picture;
               pictures under root at each record's image_filename
License        unknown, annotations and images
Paper          https://arxiv.org/abs/2101.11272
One instance   inputs="How many cups are sold?"  outputs="Four cups are sold."

Each question gets its row; the regions and words of the record are not shown. Which questions M3IT drew is not known;
we draw as many by hash.
"""

from collections.abc import Iterator
from typing import Any

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import TERMS, ByHand
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_json, read_jsonl

PARTS = {"train": ("train",), "validation": ("dev", "val"), "test": ("test",)}  # VisualMRC's names for our splits
_PAGE = "https://huggingface.co/datasets/NTT-hil-insight/VisualMRC"
FILES = (
    *(
        ByHand(f"data/{part}.jsonl", _PAGE, TERMS, tuple(f"*{name}.json*" for name in names))
        for part, names in (("train", ("train",)), ("dev", ("dev", "val")), ("test", ("test",)))
    ),
    ByHand("images/*", _PAGE, TERMS, ("*.png", "*.jpg")),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per sampled question, in file order, after the drops."""
    names = [f"{folder}{part}{end}" for folder in ("data/", "") for part in PARTS[split] for end in (".jsonl", ".json")]
    path = root.first(*names)
    questions: list[dict[str, Any]] = []
    for record in read_jsonl(path) if path.name.endswith(".jsonl") else read_json(path):
        for k, pair in enumerate(record["qa_data"]):
            row_id, answer = f"{record['id']}-{k}", text(pair["answer"]["text"])
            if not answer:
                yield Drop(row_id, "no answers")
                continue
            source = {"image": record["image_filename"], "url": record["url"], "relevant": pair["answer"]["relevant"]}
            questions.append({"id": row_id, "question": pair["question"]["text"], "answer": answer, "source": source})
    for row in sample(questions, getattr(CATALOGUE["visual-mrc"], split), "visual-mrc", "id"):
        yield Instance(
            id=row["id"],
            inputs=text(row["question"]),
            images=[Picture(root / row["source"]["image"])],
            outputs=row["answer"],
            meta={"split": path.stem, **row["source"]},
        )
