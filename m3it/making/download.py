"""The authors' files of a dataset, fetched as far as their owners allow.

In: the tables FILES of the converters.  Out: the files below `root`, under the names that the converters expect; and of
what could not be fetched, why. What lies there already, unpacked or put there by hand, is left alone.
"""

import glob
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

from M3IT import CATALOGUE
from m3it.catalogue import catalogue_row, group_of
from m3it.rows.instance import M3ITError, SourceError
from m3it.sources.kit.downloads import KNOWN_ON, ByHand, File, Source, address_of, files_of, in_total, is_there
from m3it.sources.kit.files import Files
from m3it.work.folder import alone_in, writing
from m3it.work.runner import Progress, silent
from m3it.work.terminal import as_size
from m3it.work.transfers import (
    BLOCK_BYTES,
    PER_HOST,
    Fault,
    Transfers,
    host_of,
    read_record,
    size_of,
    write_record,
)


class Wanted(NamedTuple):
    """A file of a dataset, the folder that it belongs in, and what became of it: "there" before, "fetched", "linked" to
    a copy of another dataset, "by hand", "failed"; or "to fetch"."""

    dataset: str
    folder: Path
    source: Source
    state: str
    why: str = ""
    num_bytes: int | None = None  # as the table says, or as it lies there

    @property
    def path(self) -> Path:
        return self.folder / self.source.path

    @property
    def is_left(self) -> bool:
        """Whether it is for a person to get, or for another call."""
        return self.state in ("by hand", "failed")

    def heading(self) -> str:
        """The line above the files of a dataset."""
        row = CATALOGUE[self.dataset]
        return f"{self.dataset}: annotations {row.license}; pictures {row.image_license}"

    def line(self) -> str:
        """A line about it."""
        size = "size unknown" if isinstance(self.source, File) else ""
        size = size if self.num_bytes is None else as_size(self.num_bytes)
        why = f"  ({self.why})" if self.why else ""
        return f"{self.state:<9}{size:>12}  {self.path}  {address_of(self.source)}{why}"

    def as_json(self) -> dict[str, Any]:
        """What there is to say of it, as one JSON object."""
        row = CATALOGUE[self.dataset]
        return {
            "dataset": self.dataset,
            "path": str(self.path),
            "state": self.state,
            "why": self.why,
            "num_bytes": self.num_bytes,
            "address": address_of(self.source),
            "license": row.license,
            "image_license": row.image_license,
        }


class Group(NamedTuple):
    """A file, and the places that several datasets want it in."""

    file: File
    places: list[Wanted]


def select(dataset: str | None, group: str | None, everything: bool) -> list[str]:
    """The datasets that a command names: one, those of a reporting group, or all 40."""
    if dataset:
        return [catalogue_row(dataset).name]
    groups = defaultdict(list)
    for row in CATALOGUE.values():
        groups[group_of(row).lower()].append(row.name)
    if group and group.lower() not in groups:
        raise M3ITError(f"--group {group}: expected {', '.join(sorted(groups))}.")
    return list(CATALOGUE) if everything else groups[group.lower()] if group else []


def plan(datasets: list[str], root: Path | str) -> list[Wanted]:
    """All files of the datasets: what is there, what is to be fetched, and what a person must get. One dataset has
    `root` itself, as `convert` reads it; several have a folder each in it."""
    root = Path(root).expanduser().absolute()
    return [
        wanted for dataset in datasets for wanted in _plan_one(dataset, root if len(datasets) == 1 else root / dataset)
    ]


def _plan_one(dataset: str, folder: Path) -> Iterator[Wanted]:
    names = _names(folder)
    for source in files_of(dataset):
        path = folder / source.path
        if is_there(source, names) and (not path.is_file() or _is_whole(folder, source.path)):
            yield Wanted(dataset, folder, source, "there", num_bytes=path.stat().st_size if path.is_file() else None)
        elif isinstance(source, ByHand):
            yield Wanted(dataset, folder, source, "by hand", source.why)
        else:
            yield Wanted(dataset, folder, source, "to fetch", num_bytes=source.num_bytes)


def _names(folder: Path) -> list[str]:
    """The paths below a folder, those in zip archives too; to list other archives may take minutes."""
    if not folder.is_dir():
        return []
    files = Files(folder)
    names = list(files.on_disk)
    for prefix, archive in files.archives:
        if archive.path.suffix == ".zip":
            with suppress(SourceError):  # one that is broken holds nothing; `convert` says so
                names += [f"{prefix}/{name}".removeprefix("./") for name in archive.members]
    return names


def _is_whole(folder: Path, path: str) -> bool:
    """Whether a file has the size that we fetched; one without a record was put there by a person, who knows."""
    record = read_record(folder, path)
    return "num_bytes" not in record or os.path.getsize(folder / path) == record["num_bytes"]


def download(
    datasets: list[str], root: Path | str, *, progress: Progress = silent, per_host: int = PER_HOST
) -> Iterator[Wanted]:
    """Fetch what is missing, yielding each file when its fate is known: those of one server at most `per_host` at a
    time, one that several datasets share once. Called again, it goes on where it stopped, and asks nothing for a file
    that is there."""
    planned = plan(datasets, root)
    yield from (wanted for wanted in planned if wanted.state == "there")
    groups: dict[str, Group] = {}
    for wanted in planned:
        if isinstance(wanted.source, File) and wanted.state == "to fetch":
            groups.setdefault(wanted.source.url, Group(wanted.source, [])).places.append(wanted)
    with ExitStack() as locks:
        for folder in dict.fromkeys(wanted.folder for group in groups.values() for wanted in group.places):
            locks.enter_context(alone_in(folder / ".work"))
        yield from _fetch_all(list(groups.values()), progress, per_host)
    yield from (wanted for wanted in planned if wanted.state == "by hand")


def _fetch_all(groups: list[Group], progress: Progress, per_host: int) -> Iterator[Wanted]:
    """Fetch the file of each group; `progress` counts megabytes."""
    transfers = Transfers(per_host)
    sizes = [group.file.num_bytes or 0 for group in groups]
    total = sum(sizes) // BLOCK_BYTES if all(sizes) else None
    done: list[Wanted] = []

    def blocks() -> Iterator[None]:
        found = transfers.side_by_side(groups, lambda group: host_of(group.file.url), lambda g: _fetch(g, transfers))
        for places in found:
            done.extend(places or ())
            yield None

    for _ in progress(blocks(), "download, MB", total):
        yield from done
        done.clear()
    yield from done


def _fetch(group: Group, transfers: Transfers) -> list[Wanted]:
    """The places of a group with what became of each: one is fetched, the others are linked to it."""
    file, places = group
    found, copy = [], _copy_of(file, places[0].folder)
    try:
        for wanted in places:
            state = "linked" if copy else "fetched"
            if copy:
                _link(copy, wanted)
            else:
                transfers.fetch(file.url, wanted.folder, file.path, file.sha256)
            found.append(wanted._replace(state=state, num_bytes=wanted.path.stat().st_size))
            copy = copy or wanted.path
    except (Fault, OSError) as error:  # such as a folder of its name: the other files are fetched all the same
        told = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        return [wanted._replace(state="failed", why=told) for wanted in places]
    return found


def _copy_of(file: File, folder: Path) -> Path | None:
    """The same file in a folder beside, fetched for another dataset."""
    beside = folder.parent
    for copy in sorted(beside.glob(f"*/{glob.escape(file.path)}")):
        record = read_record(beside / copy.relative_to(beside).parts[0], file.path)
        if record.get("url") == file.url and record.get("num_bytes") == copy.stat().st_size:
            return copy
    return None


def _link(copy: Path, wanted: Wanted) -> None:
    """Give a file a second name; where the disk knows no links, a second copy."""
    with writing(wanted.path) as unfinished:
        try:
            os.link(copy, unfinished)
        except OSError:
            shutil.copyfile(copy, unfinished)
    write_record(wanted.folder, wanted.source.path, address_of(wanted.source), num_bytes=copy.stat().st_size)


def in_all(files: list[Wanted]) -> str:
    """How many files there are of each state, and how large; what several datasets share counts once."""
    sizes: dict[str, dict[str, int | None]] = defaultdict(dict)
    for file in files:
        key = address_of(file.source) if isinstance(file.source, File) else str(file.path)
        sizes[file.state][key] = file.num_bytes
    said = [
        f"{in_total(sizes[state].values())} {state}"
        for state in ("there", "fetched", "linked", "to fetch")
        if sizes[state]
    ]
    return "; ".join([*said, *(f"{len(sizes[state])} {state}" for state in ("failed", "by hand") if sizes[state])])


class Asked(NamedTuple):
    """What became of an address: "true"; "moved" (`more`: where to); "changed", "gone", "refused" or "no answer"
    (`more`: why)."""

    address: str
    state: str
    more: str = ""
    num_bytes: int | None = None

    def line(self) -> str:
        """A line about it."""
        return f"{self.state:<10}{self.address}{f'  {self.more}' * bool(self.more)}"


def addresses_in_all(asked: list[Asked]) -> str:
    """How many addresses are true still."""
    num_true = sum(address.state == "true" for address in asked)
    return f"{num_true} of {len(asked)} addresses are true; all were last known to be on {KNOWN_ON}"


def check(datasets: list[str], *, progress: Progress = silent, per_host: int = PER_HOST) -> Iterator[Asked]:
    """Ask each address of the datasets, the pages of what is by hand too, whether it is still true; no file is
    fetched."""
    sources = {address_of(source): source for dataset in datasets for source in files_of(dataset)}
    transfers = Transfers(per_host)
    asked = transfers.side_by_side(
        sources.values(), lambda source: host_of(address_of(source)), lambda source: _ask(source, transfers)
    )
    yield from progress(asked, "check", len(sources))


def _ask(source: Source, transfers: Transfers) -> Asked:
    """What became of one address."""
    url = address_of(source)
    try:
        answer = transfers.look(url)
    except Fault as fault:
        state = "gone" if fault.status in (404, 410) else "refused" if 400 <= fault.status < 500 else "no answer"
        return Asked(url, state, str(fault))
    size = size_of(answer)
    if isinstance(source, File) and "text/html" in answer.headers.get("Content-Type", ""):
        return Asked(url, "gone", "a web page in place of the file")
    if isinstance(source, File) and source.sha256 and size not in (source.num_bytes, None):
        return Asked(url, "changed", f"{size:,} bytes, expected {source.num_bytes:,}", size)
    moves = [step.headers["Location"] for step in answer.history if step.status_code in (301, 308)]
    return Asked(url, "moved" if moves else "true", moves[-1] if moves else "", size)
