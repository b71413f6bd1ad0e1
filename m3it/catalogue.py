"""What the catalogue says of a config: its dataset, language, reporting group, licenses and instructions.

In: M3IT.py's tables and m3it/instructions/.  Out: answers, looked up: a config's name is never split to parse it.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

from M3IT import CATALOGUE, LANGUAGES, Dataset, Language, nearest
from m3it.rows.instance import M3ITError

ENGLISH = Language("en", "English", "English", "eng_Latn")
# What allows commercial use by its text, given attribution or share-alike. All else counts as no: "unknown", words that
# are no license ("no known copyright restrictions"), ND, under which a resized picture may not be passed on.
COMMERCIAL = re.compile(
    r"Apache-2\.0|MIT|BSD-[23]-Clause|CC-BY(-SA)?-(1\.0|2\.0|2\.5|3\.0|4\.0)|CC0-1\.0|CC-PDM-1\.0|US government work"
)
TERMS_SAY = ("license: ", "image_license: ")  # what the reason begins with for which a row is left out by its licenses
OWN_IMAGE_LICENSES = {  # whose converters read a license of each picture
    *("coco", "coco-goi", "coco-text", "coco-itm", "vqa-v2", "okvqa", "a-okvqa", "visual-dialog", "fm-iqa", "coco-cn"),
    "vist",
}


class Config(NamedTuple):
    """A config: the dataset that its rows are of, None for one of a user's own, and the code of their language."""

    dataset: Dataset | None
    language: str

    @property
    def is_translation(self) -> bool:
        return self.dataset is not None and self.language != self.dataset.language


@lru_cache(1)
def _configs() -> dict[str, Config]:
    own = {d.name: Config(d, d.language) for d in CATALOGUE.values()}
    return own | {f"{d.name}-{code}": Config(d, code) for d in CATALOGUE.values() if d.translated for code in LANGUAGES}


def lookup(config: str) -> Config:
    """The dataset and language of one of the 600 configs; None and "en" for any other."""
    return _configs().get(config, Config(None, "en"))


def catalogue_row(dataset: str) -> Dataset:
    """The dataset's row of CATALOGUE; M3ITError with the nearest name where there is none."""
    if dataset not in CATALOGUE:
        near = nearest(dataset, CATALOGUE)
        hint = f" Did you mean {near!r}?" if near else ""
        own = '"m3it list" shows all 40; for one of your own pass --converter my_set.py:convert and --name.'
        raise M3ITError(f"Unknown dataset {dataset!r}.{hint} {own}")
    return CATALOGUE[dataset]


def catalogue_order(config: str) -> tuple[int, str]:
    """A key to sort configs by: the catalogue's order, a translation after its dataset, a user's own last."""
    dataset = lookup(config).dataset or CATALOGUE.get(config.rpartition("-")[0])  # of a release: viquae-images
    return (list(CATALOGUE).index(dataset.name) if dataset else len(CATALOGUE), config)


def group_of(dataset: Dataset) -> str:
    """The paper's reporting group: a Chinese or video dataset counts in its own, not in its task."""
    return "Chinese" if dataset.language == "zh" else "video" if dataset.modality == "video" else dataset.task


def terms_of(dataset: str, meta: Mapping[str, Any]) -> dict[str, str]:
    """`license` (of the annotations) and `image_license` of a row: its own where its meta says so, else those of its
    dataset; "unknown" where nobody says. Of several pictures meta has all, as SPDX joins them: "CC0-1.0 AND MIT"."""
    known = CATALOGUE.get(dataset)
    of_dataset = (known.license, known.image_license) if known else ("unknown", "unknown")
    names = ("license", "image_license")
    return {name: str(meta.get(name) or license) for name, license in zip(names, of_dataset, strict=True)}


def why_not_commercial(dataset: str, meta: Mapping[str, Any] | None = None) -> str:
    """Why a row is not for commercial use, such as "image_license: research only"; "" where both of its licenses allow
    it. Without `meta`: why none of the dataset's rows is; "" where its rows are to be asked one by one."""
    if meta is None and dataset not in CATALOGUE:
        return ""
    for name, license in terms_of(dataset, meta or {}).items():
        asks_rows = meta is None and name == "image_license" and dataset in OWN_IMAGE_LICENSES
        if not asks_rows and not all(map(COMMERCIAL.fullmatch, license.split(" AND "))):
            return f"{name}: {license}"
    return ""


def check_license(license: str | None) -> None:
    """ValueError for a use that nobody can ask for."""
    if license not in (None, "commercial"):
        raise ValueError(f"license={license!r}: expected None or 'commercial'")


def source_language(config: str) -> Language:
    """The language of a config's rows, English for a user's own; M3ITError for a translation."""
    known = lookup(config)
    if known.is_translation:
        raise M3ITError(f"{config}: is a translation itself. Translate the config that it was made of.")
    return LANGUAGES.get(known.language, ENGLISH)


@lru_cache
def instructions(dataset: str) -> tuple[str, ...]:
    """The instructions of a dataset of the catalogue, one per line of its file."""
    if dataset not in CATALOGUE:
        raise M3ITError(
            f"{dataset}: there are no instructions to draw from; its converter gives each Instance its own."
        )
    text = resources.files("m3it").joinpath("instructions", f"{dataset}.txt").read_text("utf-8")
    return tuple(line for line in text.split("\n") if line)


@lru_cache
def known_instructions(dataset: str, code: str) -> dict[str, str]:
    """English instruction -> its translation in m3it/instructions/<dataset>.<code>.txt; {} where there is no file."""
    file = resources.files("m3it").joinpath("instructions", f"{dataset}.{code}.txt")
    if dataset not in CATALOGUE or not file.is_file():
        return {}
    said = [line for line in file.read_text("utf-8").split("\n") if line]
    return dict(zip(instructions(dataset), said, strict=True))
