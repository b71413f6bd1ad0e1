"""ImageNet (ILSVRC 2012): which of ten classes does the picture show?

Source files   https://image-net.org (registration): ILSVRC2012_img_train.tar unpacked once (its inner tars may stay as
               they are), ILSVRC2012_img_val.tar, ILSVRC2012_devkit_t12.tar.gz; or from Kaggle (imagenet-object-
               localization-challenge): ILSVRC/Data/CLS-LOC/{train,val}/, LOC_synset_mapping.txt, LOC_val_solution.csv;
               or val/<wnid>/*.JPEG. Pictures are known by their file names, in whatever folder below `root`
License        research only, annotations and images
Paper          https://arxiv.org/abs/1409.0575
One instance   inputs="Options:\\n(A) fish\\n(B) tree, shade tree\\n..."  outputs="(B) tree, shade tree"

As in M3IT, nine wrong classes stand beside the right one, each with all its synonyms. How M3IT drew its 30,000 training
pictures is not known; we draw 30 from each class by hash.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from M3IT import CATALOGUE
from m3it.rows.instance import Instance, SourceError, hash_of, shuffled, text
from m3it.sources.kit.downloads import TERMS, ByHand
from m3it.sources.kit.files import Named, SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import option, sample, with_options
from m3it.sources.kit.texts import read_csv, read_lines

NUM_OPTIONS = 10
FILE_NAME = {"train": re.compile(r"(n\d{8})_\d+\.JPEG"), "validation": re.compile(r"(ILSVRC2012_val)_\d{8}\.JPEG")}
DEVKIT = ("ILSVRC2012_devkit_t12/data", "data", "devkit/data")
FILES = (
    ByHand(
        "train/n*.tar",
        "https://image-net.org",
        f"{TERMS}; unpack ILSVRC2012_img_train.tar once",
        ("*n????????_*.JPEG",),
    ),
    ByHand("ILSVRC2012_img_val.tar", "https://image-net.org", TERMS, ("*ILSVRC2012_val_????????.JPEG",)),
    ByHand(
        "ILSVRC2012_devkit_t12.tar.gz",
        "https://image-net.org",
        TERMS,
        ("LOC_synset_mapping.txt", "LOC_val_solution.csv", "*data/meta.mat", "*ILSVRC2012_validation_ground_truth.txt"),
    ),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance]:
    """Yield one Instance per picture, in order of file names; train is a sample of each class."""
    name_by_wnid = class_names(root)
    names = list(dict.fromkeys(name_by_wnid.values()))
    paths = Named(path for path in root.iterdir() if FILE_NAME[split].fullmatch(path.name))
    if not paths:
        raise SourceError(
            f"{root}: expected files like {FILE_NAME[split].pattern}; found none. Unpack a tar of tars once."
        )
    wnids = train_labels(paths) if split == "train" else validation_labels(root, paths, name_by_wnid)
    for image_name, wnid in wnids.items():
        row_id = image_name.removesuffix(".JPEG")
        options = choices(names, name_by_wnid[wnid], row_id)
        yield Instance(
            id=row_id,
            inputs=with_options("", options),
            images=[Picture(paths.get(image_name, root / image_name))],
            outputs=option(options, name_by_wnid[wnid]),
            meta={"split": "train" if split == "train" else "val", "image": image_name, "wnid": wnid},
        )


def choices(names: list[str], answer: str, row_id: str) -> list[str]:
    """The answer and nine other names, in the order that this row gets."""
    options, draw = [answer], 0
    while len(options) < min(NUM_OPTIONS, len(names)):
        name = names[hash_of("imagenet", row_id, purpose=f"option {draw}") % len(names)]
        options += [name] if name not in options else []
        draw += 1
    return shuffled(options, "imagenet", row_id)


def train_labels(paths: Named) -> dict[str, str]:
    """The class of each sampled training picture: it begins the file's name."""
    pictures = sorted(({"name": name, "wnid": name[:9]} for name in paths), key=lambda p: (p["wnid"], p["name"]))
    groups = [list(group) for _, group in groupby(pictures, key=lambda p: p["wnid"])]
    num_per_class = CATALOGUE["imagenet"].train // len(groups)
    return {p["name"]: p["wnid"] for group in groups for p in sample(group, num_per_class, "imagenet", "name")}


def validation_labels(root: SourcePath, paths: Named, name_by_wnid: dict[str, str]) -> dict[str, str]:
    """The class of each validation picture: from Kaggle's table, its folder, or the development kit."""
    folders = {name: PurePosixPath(paths.get(name, root).path).parent.name for name in paths}
    if (root / "LOC_val_solution.csv").exists():
        rows = read_csv(root / "LOC_val_solution.csv")  # "n01440764 1 2 3 4 ": the class, then perhaps its box
        labels = {f"{row['ImageId']}.JPEG": row["PredictionString"].split()[0] for row in rows}
    elif set(folders.values()) <= set(name_by_wnid):
        labels = folders
    else:
        wnid_by_id = {synset["ILSVRC2012_ID"]: synset["WNID"] for synset in synsets(root)}
        path = root.first(*(f"{folder}/ILSVRC2012_validation_ground_truth.txt" for folder in DEVKIT))
        lines = enumerate(read_lines(path), 1)
        labels = {f"ILSVRC2012_val_{number:08d}.JPEG": wnid_by_id[int(line)] for number, line in lines}
    return dict(sorted(labels.items()))


def class_names(root: SourcePath) -> dict[str, str]:
    """All synonyms of each class by its WordNet id, in the order of the ids."""
    mapping = root / "LOC_synset_mapping.txt"
    if not mapping.exists() and not any((root / folder / "meta.mat").exists() for folder in DEVKIT):
        raise root.missing("LOC_synset_mapping.txt", f"{DEVKIT[0]}/meta.mat")  # either is enough
    if mapping.exists():
        pairs = [line.split(" ", 1) for line in read_lines(mapping)]
    else:
        pairs = [[synset["WNID"], synset["words"]] for synset in synsets(root)]
    return dict(sorted((wnid, text(words)) for wnid, words in pairs))


def synsets(root: SourcePath) -> list[dict[str, Any]]:
    """The 1,000 classes of the development kit's meta.mat; inner nodes of WordNet, which stand there too, left out."""
    raw = root.first(*(f"{folder}/meta.mat" for folder in DEVKIT)).read_bytes()
    return [synset for synset in read_mat(raw) if not synset["num_children"]]


def read_mat(raw: bytes) -> Any:
    """The first variable of a MATLAB 5 file: a text, a number (a list, if not one), or a list of records."""
    kind, payload = next(elements(raw[128:]))
    return read_matrix(next(elements(zlib.decompress(payload)))[1] if kind == 15 else payload)


def elements(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, content) of each data element; a small one has its content inside its tag."""
    place = 0
    while place + 8 <= len(raw):
        kind, length = struct.unpack_from("<II", raw, place)
        if kind >> 16:
            yield kind & 0xFFFF, raw[place + 4 : place + 4 + (kind >> 16)]
            place += 8
        else:
            yield kind, raw[place + 8 : place + 8 + length]
            place += 8 + length + (-length % 8 if kind != 15 else 0)


def read_matrix(raw: bytes) -> Any:
    (_, flags), _, _, *rest = elements(raw)  # then dimensions and name
    if flags[0] == 2:
        width = struct.unpack("<i", rest[0][1])[0]
        fields = [rest[1][1][i : i + width].rstrip(b"\0").decode() for i in range(0, len(rest[1][1]), width)]
        values = [read_matrix(content) for _, content in rest[2:]]
        return [dict(zip(fields, values[i : i + len(fields)], strict=True)) for i in range(0, len(values), len(fields))]
    kind, content = rest[0] if rest else (1, b"")
    if flags[0] == 4:
        return content.decode("utf-16-le" if kind in (4, 17) else "utf-8")
    numbers = [n for (n,) in struct.iter_unpack("<" + " bBhHiIf d  qQ"[kind], content)]
    return numbers[0] if len(numbers) == 1 else numbers
