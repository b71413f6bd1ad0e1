"""Which files of a tar are one row of a WebDataset, and what the row holds.

In: the members of an archive in order. WebDataset's rule: files that lie side by side are one row where their paths
agree up to the first dot of the file's name; what follows names the field (000001.left.png, 000001.right.png,
000001.json). Names that have dots of their own (22.05.png, 22.05.json, 22.06.png, 22.06.json) would make one row of
two. So where a picture and a text of such a group agree up to their last dot, beyond the first, its keys go up to the
last dot; and a row of which two JSON files give the same field is refused.
"""

import itertools
import json
import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from M3IT import ShardError
from m3it.rows.messages import pictures

PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
TEXTS = ("json", "txt", "text", "cls")
Row = tuple[str, list[tuple[str, tarfile.TarInfo]]]  # key, and (ending, member) of its files


class Files(NamedTuple):
    """The files of one row: its key, and (ending, bytes) of each."""

    key: str
    files: list[tuple[str, bytes]]


def split_name(name: str) -> tuple[str | None, str]:
    """Key and ending of a file: the key goes to the first dot of the file's name; None for a file of no row."""
    folder, _, file = name.rpartition("/")
    key, dot, ending = file.partition(".")
    return (posixpath.join(folder, key) if key and dot else None), ending


def group(members: Iterable[tarfile.TarInfo]) -> Iterator[Row]:
    """Yield the rows of an archive; ShardError where files of one row do not lie side by side."""
    seen: dict[str, frozenset[str]] = {}
    for key, files in _rows(members):
        endings = frozenset(ending for ending, _ in files)
        if not endings & seen.get(key, endings):  # the same key with the same endings: two archives were joined
            told = f"{key}: expected its files side by side, found {files[0][1].name} after those of other rows"
            raise ShardError(f"{told}. Write the archive again, sorted by name.", "ambiguous key")
        seen[key] = endings
        yield key, files


def _rows(members: Iterable[tarfile.TarInfo]) -> Iterator[Row]:
    """Yield the rows by files that lie side by side."""
    named = ((*split_name(member.name), member) for member in members if member.isfile())
    kept = ((key, ending, member) for key, ending, member in named if key is not None)
    for key, files in itertools.groupby(kept, lambda file: file[0]):
        alike = [(ending, member) for _, ending, member in files]
        if not _has_dots_of_its_own([ending for ending, _ in alike]):
            yield key, alike
            continue
        longer = [(f"{key}.{ending}".rpartition("."), member) for ending, member in alike]
        for stem, inner in itertools.groupby(longer, lambda file: file[0][0]):
            yield stem, [(ending, member) for (_, _, ending), member in inner]


def _has_dots_of_its_own(endings: list[str]) -> bool:
    """Whether the key of a group of files goes on behind the first dot."""
    kinds: dict[str, set[str]] = {}
    for ending in endings:
        middle, _, kind = ending.rpartition(".")
        kinds.setdefault(middle, set()).add(kind.lower())
    return any(middle and found & {*PICTURES} and found & {*TEXTS} for middle, found in kinds.items())


def as_row(row: Files) -> dict[str, Any]:
    """The fields of a row, as other sets have them: `images`, those of its JSON, and each other file by its ending."""
    fields: dict[str, Any] = {}
    images = []
    for ending, data in row.files:
        name, _, kind = ending.rpartition(".")
        if kind.lower() in PICTURES:
            images.append({"path": None, "bytes": data})
            continue
        value = _value(row.key, ending, data)
        if kind.lower() != "json":
            found = {ending: value}
        else:
            found = value if isinstance(value, dict) else {name or "texts": value}
        if twice := [field for field in found if fields.get(field, found[field]) != found[field]]:
            told = f"{row.key}: two files give {twice[0]!r}, the second is {row.key}.{ending}"
            raise ShardError(f"{told}. Expected names without further dots", "ambiguous key")
        fields |= found
    named = pictures(fields)
    if images and named and len(named) != len(images):
        told = f"its JSON names {len(named)} images, the archive has {len(images)} beside it"
        raise ShardError(f"{row.key}: {told}", "images lost")
    if images or not named:
        fields["images"] = images
    return {"__key__": row.key, **fields}


def _value(key: str, ending: str, data: bytes) -> Any:
    """What a file holds: JSON, a text, or its bytes."""
    kind = ending.rpartition(".")[2].lower()
    try:
        if kind == "json":
            return json.loads(data)
        return data.decode("utf-8") if kind in TEXTS else data
    except (ValueError, RecursionError) as error:
        told = f"expected {'JSON' if kind == 'json' else 'UTF-8'} in {key}.{ending}, found none ({error})"
        raise ShardError(told, "not JSON" if kind == "json" else "broken text") from error
