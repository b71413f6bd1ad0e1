"""Winoground: two captions of the same words in another order; which one fits the picture?

Source files   https://huggingface.co/datasets/facebook/winoground (accept the terms), in `root` or root/data:
               examples.jsonl (also found as metadata.jsonl), images.zip or images/ex_<id>_img_<0|1>.png
License        research only, annotations and images
Paper          https://arxiv.org/abs/2204.03162
One instance   inputs="Options:\\n(A) a red dog chases a blue fish\\n(B) a blue fish chases a red dog"
               outputs="(B) a blue fish chases a red dog"

Each of the 400 records gives two instances, one per picture: M3IT's 800. The order of its options is not known; we keep
the source's, so that the right one is as often the first as the second. The captions may differ in capital letters or
punctuation alone, and stay as they are.
"""

from collections.abc import Iterator

from m3it.rows.instance import Instance, text
from m3it.sources.kit.downloads import TERMS, ByHand
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import LETTERS, with_options
from m3it.sources.kit.texts import read_jsonl

_BY_HAND = "https://huggingface.co/datasets/facebook/winoground", TERMS
FILES = (
    ByHand("examples.jsonl", *_BY_HAND, ("*examples.jsonl", "*metadata.jsonl")),
    ByHand("images.zip", *_BY_HAND, ("data/images.zip", "*images/ex_*_img_?.png")),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance]:
    """Yield two Instances per record of the one split, test: the first picture's, then the second's."""
    if split != "test":
        return
    path = root.first("examples.jsonl", "data/examples.jsonl", "metadata.jsonl", "data/metadata.jsonl")
    folder = root / "data" if path.path.startswith("data/") else root
    for record in read_jsonl(path):
        captions = [text(record["caption_0"]), text(record["caption_1"])]
        for k, caption in enumerate(captions):
            image_name = f"{record[f'image_{k}']}.png"  # the record has the name without its extension
            yield Instance(
                id=f"{record['id']}-{k}",
                inputs=with_options("", captions),
                images=[Picture(folder / "images" / image_name)],
                outputs=f"({LETTERS[k]}) {caption}",
                meta={
                    "split": "test",
                    "image": image_name,
                    "tag": record["tag"],
                    "secondary_tag": record["secondary_tag"],
                    "num_main_preds": record["num_main_preds"],
                    "collapsed_tag": record["collapsed_tag"],
                },
            )
