"""Multi30K: the captions of Flickr30k and COCO pictures, translated between English and German, French, Czech.

Source files   https://github.com/multi30k/dataset in `root`: data/task1/raw/*.gz, data/task1/image_splits/*.txt
               images in any folder of root: Flickr30k (flickr30k-images) and the Flickr pictures of the tests of
               2017 and 2018, both by request; COCO 2014
License        research only; images: Flickr terms
Paper          https://arxiv.org/abs/1605.00459
One instance   inputs="English to German: Two young men are outside."  outputs="Zwei junge Männer sind im Freien."

The published sizes need more than the official directions from English. Both ways between English and each of the
others give them exactly, with 15,000, 1,000 and 2,000 rows a direction, the four tests taken together. Which M3IT
took is not known; we draw the rows by hash. The direction stands in inputs, because one instruction serves all.
"""

from collections.abc import Iterator

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, SourceError, text
from m3it.sources.kit.downloads import FORM, TRAIN2014, VAL2014, ByHand, github
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_lines

LANGUAGES = {"en": "English", "de": "German", "fr": "French", "cs": "Czech"}
DIRECTIONS = (("en", "de"), ("de", "en"), ("en", "fr"), ("fr", "en"), ("en", "cs"), ("cs", "en"))
PARTS = {
    "train": ("train",),
    "validation": ("val",),
    "test": ("test_2016_flickr", "test_2017_flickr", "test_2017_mscoco", "test_2018_flickr"),
}
NOT_CZECH = ("test_2017_flickr", "test_2017_mscoco")
FILES = (
    *github(
        "multi30k/dataset",
        "a3d2e0d26b56f3846f66a952536ffed4e401d05a",
        *(f"data/task1/image_splits/{part}.txt" for parts in PARTS.values() for part in parts),
        *(
            f"data/task1/raw/{part}.{language}.gz"
            for parts in PARTS.values()
            for part in parts
            for language in LANGUAGES
            if language != "cs" or part not in NOT_CZECH
        ),
    ),
    ByHand(
        "flickr30k-images/*.jpg",
        "https://shannon.cs.illinois.edu/DenotationGraph/",
        FORM,
        ("flickr30k-images.tar*",),
    ),
    *(
        ByHand(f"{part}/*.jpg", "https://github.com/multi30k/dataset", "by a link of its own on that page")
        for part in ("test_2017_flickr", "test_2018_flickr")
    ),
    TRAIN2014,
    VAL2014,
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield Instances direction after direction, each in file order."""
    pictures = root.named((".jpg",))
    lines = [line for part in PARTS[split] for line in read_part(root, part)]
    num_rows = getattr(CATALOGUE["multi30k"], split) // len(DIRECTIONS)
    for source, target in DIRECTIONS:
        both = [line for line in lines if source in line and target in line]
        pairs = [{**line, "id": f"{line['id']}-{source}-{target}"} for line in both]
        for pair in sample(pairs, num_rows, "multi30k", "id"):
            image_name = pair["image"].partition("#")[0]  # behind it COCO's caption id
            yield Instance(
                id=pair["id"],
                inputs=f"{LANGUAGES[source]} to {LANGUAGES[target]}: {pair[source]}",
                images=[Picture(pictures.get(image_name, root / "flickr30k-images" / image_name))],
                outputs=pair[target],
                meta={key: pair[key] for key in ("split", "line", "image")} | {"source": source, "target": target},
            )


def read_part(root: SourcePath, part: str) -> Iterator[dict]:
    """The lines of a part: its name, the line's number from 1, the image, and the sentence in each language."""
    columns = {"image": read_lines(root / "data/task1/image_splits" / f"{part}.txt")}
    for language in LANGUAGES:
        if language != "cs" or part not in NOT_CZECH:
            columns[language] = read_lines(root / "data/task1/raw" / f"{part}.{language}.gz")
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise SourceError(f"{root}: {part}: expected as many lines in each file, found {lengths}. Download them again.")
    for number, row in enumerate(zip(*columns.values(), strict=True), 1):
        texts = dict(zip(columns, map(text, row), strict=True))
        yield {"id": f"{part}-{number}", "split": part, "line": number, **texts}
