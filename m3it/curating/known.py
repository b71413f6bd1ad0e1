"""Prints, read back: the rows of all sets together, and by what their pictures and texts are the same."""

import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from M3IT import Repository
from m3it.catalogue import lookup
from m3it.curating.fingerprint import SCHEMA, fingerprint
from m3it.curating.overlay import Tiny
from m3it.curating.prints import VERSION
from m3it.reading.layouts import list_configs
from m3it.reading.load import find_rows
from m3it.rows.instance import M3ITError
from m3it.work.folder import Folder, absolute
from m3it.work.runner import Progress, silent

KINDS = ("source", "bytes", "pixels")  # by what two pictures are the same, for sure
COLUMNS = {"source": "source", "bytes": "bytes_sha256", "pixels": "pixels_sha256"}


class Known:
    """The rows of all prints, numbered, and their pictures, numbered too.

    place       of each row, such as okvqa/train: a dataset, of translations that of their source, and a split
    row_of      (pictures,) the row of each picture
    codes       kind -> (pictures,) a number that the same pictures share, -1 where that is not known
    question, answer        (rows,) such numbers of the texts
    """

    def __init__(self, table: pa.Table, repos: list[str]):
        self.table = table.combine_chunks()
        self.repos = repos
        configs, splits = (self.table[name].to_pylist() for name in ("config", "split"))
        datasets = {config: found.name if (found := lookup(config).dataset) else config for config in set(configs)}
        self.place = np.array([f"{datasets[config]}/{split}" for config, split in zip(configs, splits, strict=True)])
        lists = self.table["pictures"].combine_chunks()
        self.row_of = lists.value_parent_indices().to_numpy()
        self._pictures = lists.flatten()
        self.codes = {kind: _codes(self._pictures.field(name), kind) for kind, name in COLUMNS.items()}
        self.question, self.answer = (_codes(self.table[name].combine_chunks()) for name in ("question", "answer"))

    def __len__(self) -> int:
        return self.table.num_rows

    def row(self, number: int) -> dict[str, str]:
        """What a list names a row by."""
        config, split, row_id = (self.table[name][int(number)].as_py() for name in ("config", "split", "row_id"))
        return {"config": config, "split": split, "id": row_id}

    @cached_property
    def first_of_code(self) -> np.ndarray:
        """(distinct pixels,) a picture of each."""
        return np.unique(self.codes["pixels"], return_index=True)[1]

    def tiny(self, codes: np.ndarray) -> Tiny:
        """What of the pictures of some codes of pixels is compared."""
        taken = self._pictures.take(pa.array(self.first_of_code[codes]))
        return Tiny.of(*(taken.field(name).to_pylist() for name in ("tiny", "inner")))

    def select(self, wanted: Iterable[str]) -> np.ndarray:
        """(rows,) bool: those of a place, a dataset, a config or a split; M3ITError for a name that no row has."""
        parts = [np.array(self.table[name].to_pylist(), object) for name in ("config", "split")]
        datasets = np.array([place.rpartition("/")[0] for place in self.place], object)
        columns = [*parts, datasets, self.place, parts[0] + "/" + parts[1]]
        chosen = np.zeros(len(self), bool)
        for name in wanted:
            here = np.any([column == name for column in columns], axis=0)
            if not here.any():
                known = ", ".join(sorted(set(self.place))[:8])
                raise M3ITError(f"{name}: no row of the prints is of it. Name a split, a config, or one of {known}.")
            chosen |= here
        return chosen

    def fetch(self, numbers: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Number -> row, read from where it was fingerprinted; without those that are no longer there, or that share
        their id, by which they are read."""
        wanted: dict[tuple[str, str, str], dict[str, set[int]]] = {}
        for number in numbers:
            row = self.row(number)
            ids = wanted.setdefault((self.repos[number], row["config"], row["split"]), {})
            ids.setdefault(row["id"], set()).add(int(number))
        return {
            number: row
            for place, ids in wanted.items()
            for row_id, row in find_rows(*place, set(ids), on_error="drop")  # as it may have been fingerprinted
            for number in (ids[row_id] if len(ids[row_id]) == 1 else ())
        }


def _codes(column: pa.Array, kind: str = "") -> np.ndarray:
    """A number that the same values share; -1 for none."""
    if kind == "source":  # "" says that there is none
        column = pa.compute.replace_with_mask(column, pa.compute.equal(column, ""), pa.scalar(None, pa.string()))
    return column.dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)


def read_known(
    given: Iterable[str], out: Path | str, *, workers: int = 1, cluster: str | None = None, progress: Progress = silent
) -> Known:
    """The rows of folders that `m3it fingerprint` wrote, and of repositories, which are fingerprinted first, into
    fingerprints/ below `out`."""
    given = list(given)
    folders = [path for path in given if _is_prints(path)]
    if repos := [path for path in given if path not in folders]:
        for path in repos:
            if Path(path).is_dir() and not list_configs(Repository(path)):
                raise M3ITError(f"{path}: expected prints of m3it fingerprint, or rows below data/; found neither.")
        folders.append(f"{absolute(out)}/fingerprints")
        fingerprint(repos, folders[-1], on_error="drop", workers=workers, cluster=cluster, progress=progress)
    tables, where = [SCHEMA.empty_table()], list[str]()
    for repo, table in (found for folder in folders for found in _tables(folder)):
        tables.append(table)
        where += [repo] * table.num_rows
    return Known(pa.concat_tables(tables), where)


def _is_prints(path: str) -> bool:
    folder = Folder(absolute(path)) if "/" in path or Path(path).is_dir() else None
    return folder is not None and folder.exists("run.json") and folder.exists("prints")


def _tables(path: str) -> Iterator[tuple[str, pa.Table]]:
    """(repository, rows) of the files of prints that a run has finished."""
    folder = Folder(absolute(path))
    run = _run_of(folder, path)
    for name in run["files"]:
        say = f"Delete {name} and call m3it fingerprint again."
        try:
            with folder.open(name) as file:
                # without threads: a program that ends while they begin, as it may after few prints, is aborted
                table = pq.ParquetFile(file, pre_buffer=False).read(use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise M3ITError(f"{path}/{name}: expected prints, it cannot be read ({error}). {say}") from error
        if not table.schema.equals(SCHEMA):
            raise M3ITError(f"{path}/{name}: expected prints, found other columns. {say}")
        yield run["repos"][name.split("/")[1]], table


def _run_of(folder: Folder, path: str) -> dict[str, Any]:
    """What run.json of a folder of prints holds; M3ITError for prints of another version, or something else."""
    try:
        with folder.open("run.json") as file:
            run = json.load(file)
    except ValueError as error:
        raise M3ITError(f"{path}/run.json: expected JSON, {error}. Call m3it fingerprint again.") from error
    made = run.get("options", {}).get("version")
    if run.get("command") != "fingerprint" or made != VERSION:
        found = f"version {made}" if run.get("command") == "fingerprint" else f"what m3it {run.get('command')} wrote"
        say = "Make them anew: m3it fingerprint, into another --out."
        raise M3ITError(f"{path}: expected prints of version {VERSION}, found {found}. {say}")
    return run
