"""The splits that we draw ourselves from one part of a source: the tool finds no picture that two of them share."""

import base64
import itertools
import json

import numpy as np
import pytest
from conftest import ROOT, write_rows
from planted import brightness, encoded
from scenes import draw, scene

from M3IT import CATALOGUE, Repository
from m3it.curating.fingerprint import fingerprint
from m3it.curating.known import Known, read_known
from m3it.curating.leaks import find_leaks, near_codes
from m3it.reading.load import load_builder
from m3it.sources.iqa import convert
from m3it.sources.kit.files import SourcePath

pytest.importorskip("pdqhash", reason="m3it[curate] is not installed")
pytest.importorskip("usearch", reason="m3it[curate] is not installed")

SPLITS = ("train", "validation", "test")
HALVES = [("validation", "test")]
OWN_SPLITS = {  # dataset -> the splits that are drawn from one part of the source
    "iqa": [*itertools.combinations(SPLITS, 2)],
    "vcr": HALVES,
    "visual-dialog": HALVES,
    "msrvtt": HALVES,  # by a list, not by hash
}


def shared(known: Known, dataset: str) -> list[tuple[str, str, str]]:
    """What splits of a dataset share that are of one part of the source: (one split, the other, kind) of each leak."""
    found = []
    for one, other in OWN_SPLITS[dataset]:
        sides = known.select([f"{dataset}/{one}"]), known.select([f"{dataset}/{other}"])
        found += [(one, other, leak.kind) for leak in find_leaks(known, *sides, near_codes(known, *sides))[0]]
    return found


def test_these_are_all_the_splits_that_are_of_one_part_of_the_source():
    repository, found = Repository(ROOT), {}
    for name in CATALOGUE:
        builder = load_builder(repository, name, meta=True)
        parts = {
            split: {json.loads(row["meta"]).get("split") for row in builder.rows(split)}
            for split in builder.shards(name)
        }
        pairs = [(one, other) for one, other in itertools.combinations(parts, 2) if parts[one] & parts[other]]
        found |= {name: pairs} if pairs else {}
    assert found == OWN_SPLITS


@pytest.fixture(scope="module")
def known_sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    fingerprint([str(ROOT)], folder / "prints", [*OWN_SPLITS])
    return read_known([str(folder / "prints")], folder)


@pytest.mark.parametrize("dataset", OWN_SPLITS)
def test_no_picture_of_the_sample_is_in_two_splits_that_we_drew(known_sample, dataset):
    assert shared(known_sample, dataset) == []


def iqa_source(folder):
    """TID2008 and TID2013 with versions of the same 25 references, spelt as each of them does."""
    random = np.random.default_rng(0)
    for database, ending in (("TID2008", "BMP"), ("TID2013", "bmp")):
        lines = ["dis_img_path,dis_type,ref_img_path,score"]
        for number in range(1, 26):
            image = draw(scene(f"reference {number}", num_things=6))
            for kind, file in (("jpeg", encoded(image, quality=40)), ("light", encoded(brightness(image, random)))):
                path = folder / database / f"i{number:02d}_{kind}.jpg"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(file)
                reference = f"{'i' if ending == 'bmp' else 'I'}{number:02d}.{ending}"
                lines.append(f"{database}/{path.name},{kind},{database}/ref/{reference},4")
        (folder / f"{database}.txt").write_text("\n".join(lines), "utf-8")
    return SourcePath(folder)


def known_rows(folder, rows_by_split):
    """The prints of IQA's rows."""
    for split, rows in rows_by_split.items():
        lines = [
            {"instruction": "Answer.", "inputs": f"{row.inputs} {row.id}", "outputs": row.outputs}
            | {"image_base64_str": [base64.b64encode(file).decode() for file in row.images[0].read()]}
            | {"meta": json.dumps({**row.meta, "id": row.id})}
            for row in rows
        ]
        write_rows(folder / f"repo/data/captioning/iqa/{split}.jsonl", lines)
    fingerprint([str(folder / "repo")], folder / "prints")
    return read_known([str(folder / "prints")], folder)


def test_iqa_keeps_all_versions_of_a_picture_in_one_split(tmp_path):
    (tmp_path / "iqa").mkdir()
    root = iqa_source(tmp_path / "iqa")
    rows = {split: list(convert(root, split)) for split in SPLITS}
    assert sum(map(len, rows.values())) == 100 and all(rows.values())
    assert shared(known_rows(tmp_path / "as it is", rows), "iqa") == []
    moved = {**rows, "train": [*rows["train"], rows["test"].pop()]}  # one version of a reference
    found = shared(known_rows(tmp_path / "moved", moved), "iqa")
    assert ("train", "test", "source") in found
