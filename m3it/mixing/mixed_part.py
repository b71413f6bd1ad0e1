"""One dataset of a mixture, opened.

In: a `Part`, or a repository and a `Selection` of its configs. Out: `MixedPart`s, which know how their rows are read,
what identifies their files on any machine, which instructions their rows were drawn from, and what was dropped of them.
"""

import functools
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from M3IT import CATALOGUE, M3IT, Repository, RowFilter, ShardError, find_shards
from m3it.catalogue import TERMS_SAY, instructions, lookup
from m3it.mixing.by_picture import by_picture
from m3it.mixing.other_sets import Other
from m3it.mixing.part import Part
from m3it.mixing.row_access import Grouped, Indexed, open_rows
from m3it.mixing.selection import Selection
from m3it.reading.layouts import choose_builder, layout
from m3it.reading.load import count_drops
from m3it.reading.published.raw import Converted, Legacy
from m3it.rows.images import ImageError, read_base64
from m3it.rows.instance import M3ITError


@dataclass(frozen=True)
class Access:
    """How repositories are reached, as for `load_dataset`; which of their rows are wanted, and what is done about those
    that cannot be read."""

    token: str | bool | None = None
    cache_dir: str | None = None
    storage_options: dict[str, Any] | None = None
    on_error: str = "raise"
    filters: RowFilter | None = None

    def __post_init__(self) -> None:
        if self.on_error not in ("raise", "drop"):
            raise ValueError(f"on_error={self.on_error!r}: expected 'raise' or 'drop'")


class MixedPart:
    """A part with its rows."""

    share = 0.0  # of an epoch; the mixture sets it when it knows the sizes of all

    def __init__(self, part: Part, rows: Indexed | Grouped):
        self.part, self.rows = part, rows
        manifest = Path(self.builder.manifest)
        self._listed_bytes = manifest.stat().st_size if manifest.exists() else 0  # drops of earlier mixtures

    @property
    def builder(self) -> M3IT:
        return self.rows.builder

    @property
    def name(self) -> str:
        return self.part.label

    @property
    def dataset(self) -> str:
        """What choices by hash are made for: translations share it."""
        dataset = lookup(self.name).dataset
        return dataset.name if dataset else self.name

    @property
    def language(self) -> str:
        """The code of its language, as the catalogue has it; "" where it is not known."""
        dataset, language = lookup(self.part.name)
        return language if dataset else ""

    @property
    def instructions(self) -> tuple[str, ...]:
        """Those that its rows were drawn from; none where they are not known (translations, other people's sets)."""
        if isinstance(self.builder, Legacy) and not isinstance(self.builder, Converted):
            return tuple(self.builder.instructions)
        return instructions(self.name) if self.name in CATALOGUE else ()

    def instance(self, key: str, row: dict[str, Any]) -> dict[str, Any]:
        """A row as a mixture gives it: its id, and its images as bytes."""
        meta = json.loads(row["meta"])
        row_id = str(meta.pop("id"))
        if row_id == key:
            row_id = self.builder.repository.original(key)
        if "images" in row:
            images = [image["bytes"] for image in row["images"]]
        else:
            try:
                images = [read_base64(image) for image in row["image_base64_str"]]
            except ImageError as error:
                raise ShardError(str(error), error.reason) from error
        texts = {name: row[name] for name in ("instruction", "inputs", "outputs")}
        return {"dataset": self.name, "id": row_id, **texts, "images": images, "meta": meta}

    def fingerprint(self) -> str:
        """What identifies its files on any machine: their paths and sizes, and on the Hub the commit; with filters,
        which of their rows pass."""
        rows, repository = self.rows, self.builder.repository
        paths = rows.paths if isinstance(rows, Indexed) else sorted({piece[0] for piece in rows.pieces})
        files = [[path, repository.size(path)] for path in paths]
        told = hashlib.sha256(json.dumps([repository.commit, files]).encode())
        for numbers in rows.passing.values() if isinstance(rows.passing, dict) else [rows.passing]:
            told.update(b"" if numbers is None else np.ascontiguousarray(numbers, "<i8").tobytes())
        return told.hexdigest()[:16]

    def refuse(self, row_id: str, error: M3ITError) -> None:
        """Raise, or list the row in the manifest."""
        if self.builder.config.on_error != "drop":
            told = f"{self.name}: {row_id}: {str(error).rstrip('.')}"
            raise ShardError(f"{told}. Fix it, or pass on_error='drop'.") from error
        self.builder.refuse("", 0, row_id, ShardError(str(error), getattr(error, "reason", type(error).__name__)))

    def leave_out(self, row_id: str, reason: str) -> None:
        """List a row that is whole, and not wanted by its licenses."""
        self.builder._note("m3it-drops", {"id": row_id, "reason": reason, "error": ""})

    def drops(self) -> Counter:
        """Reason -> number of rows that were left out since the part was opened, on this machine."""
        return count_drops(self.builder, self._listed_bytes)

    def check_drops(self, max_drops: int) -> None:
        """ShardError if more rows than `max_drops` were left out that cannot be read."""
        drops = Counter({why: number for why, number in self.drops().items() if not why.startswith(TERMS_SAY)})
        if drops.total() > max_drops:
            reasons = ", ".join(f"{number} {reason}" for reason, number in drops.most_common())
            raise ShardError(
                f"{self.name}: {drops.total()} rows cannot be read ({reasons}), max_drops={max_drops}. "
                f"They are listed in {self.builder.manifest}: fix them, or allow more."
            )


def open_parts(
    parts: Iterable[Part], whole: Part | None, selection: Selection, access: Access, share_pictures: bool = False
) -> list[MixedPart]:
    """The wanted ones of some parts, and of the configs of a repository, sorted by name: the order in which they are
    given changes nothing. ValueError for none at all, for a name twice, and for a split without rows; one of which no
    row passes the filters is left to the caller."""
    open_once = functools.cache(functools.partial(open_repository, access=access))  # one listing, however many configs
    chosen = [part for part in parts if selection.takes(part)]
    if whole is not None:
        chosen += selection.parts_of(open_once(whole.path, whole.revision), whole)
    if not chosen:
        found = f"no config has the split {whole.split!r} and" if whole else "no part"
        raise ValueError(f"The mixture is empty: {found} passes the filters. Name configs or parts.")
    opened = []
    for part in sorted(chosen, key=lambda part: part.label):
        builder = open_builder(part, open_once(part.path, part.revision), access)
        rows = open_rows(builder, part.split, access.cache_dir, access.filters)
        if share_pictures:
            rows = by_picture(rows, access.cache_dir)
        opened.append(MixedPart(part, rows))
    twice = [name for name, count in Counter(part.name for part in opened).items() if count > 1]
    if twice:
        raise ValueError(
            f"{twice[0]!r} stands in the mixture twice. Name it once, or give each part a label of its own."
        )
    empty = [mixed.part for mixed in opened if not (mixed.rows.num_rows or mixed.rows.left_out)]
    if empty:
        raise ValueError(f"{empty[0].label}: the split {empty[0].split!r} has no rows. Leave it out.")
    return opened


def open_repository(path: str, revision: str | None, access: Access) -> Repository:
    """The repository at a path; of a single file, its folder with that file alone."""
    file = os.path.expanduser(path)
    if not os.path.isfile(file):
        return Repository(path, revision, access.token, access.storage_options, access.cache_dir)
    return Repository.of_files(os.path.dirname(os.path.abspath(file)), [os.path.basename(file)])


def open_builder(part: Part, repository: Repository, access: Access) -> M3IT:
    """The builder of a part: one of ours where the repository is in our layout or a published one, else `Other`."""
    pinned = part.revision not in (None, "main") or "@" in part.path
    kind, name, options = layout(repository), part.name, {}
    if part.convert is None and (find_shards(repository) or issubclass(kind, Legacy) and kind is not Converted):
        kind, repository = choose_builder(repository, name, pinned, access.token, access.cache_dir)
    else:
        kind, name, options = Other, part.name or part.label, {"convert": part.convert}
    builder = kind(
        repository=repository,
        config_name=name,
        repo_id=repository.repo_id,
        cache_dir=access.cache_dir,
        token=access.token,
        on_error=access.on_error,
        meta=True,
        **options,
    )
    if kind is Other:
        builder.shards(name)  # raises where there are none
    return builder
