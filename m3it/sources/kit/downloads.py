"""Where the authors' files come from: a `File` that a command may fetch, or one that a person gets `ByHand`.

Each converter's module has a table `FILES` of them. An address stands there only if the authors' page or their
repository gives it; a repository is named by a commit, so that its files stay the same.
"""

import importlib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from m3it.work.terminal import as_size

KNOWN_ON = "2026-09-30"  # when the addresses were last known to be true; `m3it download --check` asks them
ACCOUNT, FORM = "needs an account", "on request, by a form"
TERMS = "needs an account, and its terms accepted"


class File(NamedTuple):
    """A file that anyone may fetch.

    `path` is below the root, as the converter expects it; `instead` are patterns of what does as well, such as an
    archive's members. The address is a URL, or hf://datasets/<repository>/<path>. `num_bytes` is what the page says, at
    times rounded: it is shown, and proves nothing.
    """

    path: str
    url: str
    num_bytes: int | None = None
    sha256: str = ""
    instead: tuple[str, ...] = ()


class ByHand(NamedTuple):
    """Files that no command may or can fetch: a pattern of their paths, the page that leads to them, and why."""

    path: str
    page: str
    why: str
    instead: tuple[str, ...] = ()


Source = File | ByHand


def files_of(dataset: str) -> tuple[Source, ...]:
    """The table of a dataset of the catalogue."""
    return importlib.import_module(f"m3it.sources.{dataset.replace('-', '_')}").FILES


def address_of(source: Source) -> str:
    """Where a person would look for it."""
    return source.url if isinstance(source, File) else source.page


def in_total(sizes: Iterable[int | None]) -> str:
    """How much several files are: 3 files, 20.2 GB and 2 of unknown size."""
    sizes = list(sizes)
    known, unknown = [size for size in sizes if size is not None], sizes.count(None)
    said = [as_size(sum(known))] if known else []
    said += [f"{unknown} of unknown size"] if unknown else []
    return f"{len(sizes)} file{'' if len(sizes) == 1 else 's'}" + (f", {' and '.join(said)}" if said else "")


def covers(source: Source, path: str) -> bool:
    """Whether a path below the root is the file, or does as well. A * stands for folders, too."""
    return any(fnmatchcase(path, pattern) for pattern in (source.path, *source.instead))


def is_there(source: Source, paths: Iterable[str]) -> bool:
    """Whether one of the paths below the root is the file, or does as well."""
    return any(covers(source, path) for path in paths)


def github(repository: str, commit: str, *paths: str, below: str = "") -> tuple[File, ...]:
    """Files of a repository at a commit, under the same paths below the root; `below`: of that folder there."""
    base = f"https://raw.githubusercontent.com/{repository}/{commit}"
    return tuple(File(path, f"{base}/{below}{path}") for path in paths)


def _coco(part: str, num_bytes: int, sha256: str) -> File:
    return File(f"{part}.zip", f"http://images.cocodataset.org/zips/{part}.zip", num_bytes, sha256, (f"{part}/*.jpg",))


# Sizes and digests as published in tensorflow/datasets, url_checksums/coco.txt.
TRAIN2014 = _coco("train2014", 13_510_573_713, "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775")
VAL2014 = _coco("val2014", 6_645_013_297, "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0")
TRAIN2017 = _coco("train2017", 19_336_861_798, "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929")
VAL2017 = _coco("val2017", 815_585_330, "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05")
COCO_LICENSES = File(  # of the pictures, one by one: kit/licenses.py
    "annotations_trainval2014.zip",
    "http://images.cocodataset.org/annotations/annotations_trainval2014.zip",
    252_872_794,
    "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
    ("annotations/captions_*.json", "annotations/instances_*.json"),
)
COCO_2014 = (TRAIN2014, VAL2014, COCO_LICENSES)
KARPATHY = File(
    "caption_datasets.zip",
    "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip",
    instead=("dataset_coco.json",),
)
TEXTVQA = "https://dl.fbaipublicfiles.com/textvqa"
TEXTVQA_IMAGES = File("train_val_images.zip", f"{TEXTVQA}/images/train_val_images.zip", instead=("train_images/*.jpg",))
FLICKR30K = ByHand(
    "flickr30k-images.tar",
    "https://shannon.cs.illinois.edu/DenotationGraph/",
    FORM,
    ("flickr30k-images/*.jpg", "flickr30k_images/*.jpg"),
)
