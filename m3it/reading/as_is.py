"""The configs of a release that are no rows of ours: `text`, and `<dataset>-images` with all of its columns.

In: the Parquet files of a release.  Out: their columns as plain `datasets` gives them, a struct of bytes and path as an
Image.
"""

import re
from collections.abc import Iterator
from typing import Any

import datasets

from M3IT import M3IT, SPLITS, Repository, find_shards, open_parquet, twin_of

TEXT = re.compile(r"data/text/(train|validation|test)(?:-\d+-of-\d+)?\.parquet")
PICTURE = {"bytes", "path"}


def texts_of(repository: Repository) -> dict[str, list[str]]:
    """Split -> files of the config `text`, the texts of all datasets."""
    found: dict[str, list[str]] = {}
    for match in filter(None, map(TEXT.fullmatch, repository.files)):
        found.setdefault(match[1], []).append(match[0])
    return {split: found[split] for split in dict.fromkeys(SPLITS.values()) if split in found}


def is_as_is(repository: Repository, name: str | None) -> bool:
    """Whether a config is one of these."""
    if name == "text":
        return "text" not in (found := find_shards(repository)) and bool(texts_of(repository)) and bool(found)
    dataset = (name or "").removesuffix("-images")
    return dataset != name and twin_of(repository, find_shards(repository), dataset) == name


class AsIs(M3IT):
    """Reads such a config: a row is what the file holds."""

    BUILDER_CONFIGS = []

    def found(self) -> list[str]:
        return [*super().found(), *(["text"] if texts_of(self.repository) else [])]

    def shards(self, config_name: str) -> dict[str, list[str]]:
        return texts_of(self.repository) if config_name == "text" else super().shards(config_name)

    def _features(self) -> datasets.Features:
        path = next(iter(self.shards(self.config.name).values()))[0]
        schema = open_parquet(self.repository, path).schema_arrow
        found = datasets.Features.from_arrow_schema(schema)
        for field in schema:
            kind = getattr(field.type, "value_type", field.type)
            if {kind.field(i).name for i in range(kind.num_fields)} == PICTURE:
                found[field.name] = [datasets.Image()] if kind is not field.type else datasets.Image()
        return found

    def lines(self, piece: tuple[str, int, int]) -> Iterator[tuple[int, Any]]:
        columns = list(self.info.features)
        if self.filter:  # it looks at others, too
            held = self.repository.columns(piece[0])
            columns = [name for name in held if name in {*columns, *self.filter.columns(held)}]
        return self.read_rows(piece, columns)

    def map_row(self, row: Any, place: str) -> list[Any]:
        return [row]

    def _complete(self, row: Any, key: str, images: bool) -> Any:
        return row
