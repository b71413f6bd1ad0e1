"""Rows as files in a tar: what webdataset, Energon, open_clip and the Hub's own reader take.

Out, in a folder of the config's name: <split>-00000-of-00003.tar, sizes.json (tar -> rows: open_clip) and
<split>-index.json (wids, which reads rows of tars in any order). One row, its files side by side:

    000003-9f2c41d07ab8e6f5.0.jpg    each picture in order: 0.jpg, 1.jpg, ...
    000003-9f2c41d07ab8e6f5.json     instruction, inputs, outputs; question (the first two as one text), references,
                                     row_id, license, image_license, image_attribution, task, dataset, language, meta

A picture is named .jpg whatever its kind: a field map, such as Energon's, has one name for all rows, and those who
decode look at the bytes.
"""

import io
import json
import posixpath
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from m3it.publishing.columns import ABOUT, TERMS, FileKind, Rows, Writer
from m3it.rows.instance import to_json
from m3it.rows.messages import prompt_of

HAS_CONFIGS = False  # the Hub finds the tars by itself
further = None
NOTE = (
    "Each row is a few files of a tar: its pictures in order, `0.jpg`, `1.jpg`, ... (named so whatever their kind), "
    "and `json` with its texts."
)
SNIPPET = """import webdataset

rows = webdataset.WebDataset("THIS/{config}/{split}.tar", shardshuffle=False).decode("pil")
"""
TEXTS = ("instruction", "inputs", "outputs", "question", "references", "row_id", *TERMS, "image_attribution")


class Tar:
    """A tar to write rows to. Its bytes depend on the rows alone: no time, no owner."""

    def __init__(self, archive: tarfile.TarFile):
        self.archive, self.num_rows = archive, 0

    def write(self, rows: Rows, about: dict[str, str]) -> None:
        for row in rows:
            key = f"{self.num_rows:06d}-{row['digest'].hex()[:16]}"  # two shards have no key in common
            for place, file in enumerate(row["files"]):
                self._add(f"{key}.{place}.jpg", file)
            said = {name: {**row, "question": prompt_of(row)}[name] for name in TEXTS}
            said |= {name: about[name] for name in ABOUT} | {"meta": row["meta"]}
            self._add(f"{key}.json", to_json(said).encode())
            self.num_rows += 1

    def _add(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        self.archive.addfile(member, io.BytesIO(content))
        self.archive.members = []  # type: ignore[attr-defined]  # else it remembers every header


@contextmanager
def open_tar(path: Path) -> Iterator[Writer]:
    """A tar to write rows to."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        yield Tar(archive)


def tally(file: Any) -> tuple[int, int]:
    """The rows of a tar and the bytes of their files, by its headers."""
    num_rows = num_bytes = 0
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            num_rows += member.name.endswith(".json")
            num_bytes += member.size
            archive.members = []  # type: ignore[attr-defined]  # else it remembers every header
    return num_rows, num_bytes


KINDS = {"webdataset": FileKind(pa.schema({"json": pa.string()}), open_tar, tally, "tar")}


def beside(configs: dict[str, dict[str, Any]]) -> dict[str, str]:
    """sizes.json and <split>-index.json of each config."""
    files = {}
    for name, config in configs.items():
        sizes: dict[str, int] = {}
        for split, made in config["splits"].items():
            counts = dict(zip(map(posixpath.basename, made["paths"]), made["counts"], strict=True))
            shards = [{"url": path, "nsamples": num_rows} for path, num_rows in counts.items()]
            index = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": shards, "name": name}
            files[f"{name}/{split}-index.json"] = json.dumps(index, indent=1) + "\n"
            sizes |= counts
        files[f"{name}/sizes.json"] = json.dumps(sizes, indent=1) + "\n"
    return files
