"""m3it/curating/source_ids.py: a picture of one source is known again, whichever of the 40 datasets has it."""

import base64
import itertools
import json
from collections import defaultdict

import numpy as np
import pytest
from conftest import ROOT, write_rows
from PIL import Image
from planted import encoded

from M3IT import CATALOGUE, Repository
from m3it.curating.fingerprint import fingerprint
from m3it.curating.known import read_known
from m3it.curating.leaks import find_leaks, near_codes
from m3it.curating.source_ids import PLACES, source_ids
from m3it.reading.load import load_builder

WITHOUT_IDS = {"shapes": "its pictures are the items of an array, which have no names"}
SHARED = {
    "coco": "a-okvqa coco coco-cn coco-goi coco-itm coco-text fm-iqa multi30k okvqa st-vqa visual-dialog vqa-v2",
    "visual-genome": "gqa image-paragraph-captioning st-vqa",
    "imagenet": "imagenet st-vqa",
    "flickr": "flickr8k-cn multi30k snli-ve vist",
    "open-images": "text-vqa textcap",
    "msrvtt": "msrvtt msrvtt-qa",
    "youtube": "activitynet-qa ivqa msvd-qa",
}


@pytest.fixture(scope="module")
def rows_of_sample():
    """Dataset -> rows of its sample, as the converter made them of the fixture, with meta as an object."""
    repository, found = Repository(ROOT), {}
    for name in CATALOGUE:
        builder = load_builder(repository, name, meta=True)
        rows = [row for split in builder.shards(name) for row in builder.rows(split)]
        found[name] = [{**row, "meta": json.loads(row["meta"])} for row in rows]
    return found


def ids_of(dataset, row):
    return source_ids(dataset, row["meta"], len(row["image_base64_str"]))


def test_every_dataset_but_those_whose_source_has_none_gives_a_name_for_each_picture(rows_of_sample):
    without = {name for name, rows in rows_of_sample.items() if any("" in ids_of(name, row) for row in rows)}
    assert without == {*WITHOUT_IDS}


def test_datasets_that_have_pictures_from_one_place_are_known_to(rows_of_sample):
    shared = {place: " ".join(sorted(" ".join(names for _, names in rules).split())) for place, rules in PLACES.items()}
    assert {place: names for place, names in shared.items() if " " in names} == SHARED
    for place, names in shared.items():
        for name in names.split():
            found = {each for row in rows_of_sample[name] for each in ids_of(name, row)}
            assert any(each.startswith(f"{place}/") for each in found), f"{name} has nothing from {place}"


def first_of(dataset, rows, place):
    """The first row of a dataset that has a picture of a place, and its name there."""
    found = ((row, own) for row in rows for own in ids_of(dataset, row) if own.startswith(f"{place}/"))
    row, own = next(found)
    return row, own.removeprefix(f"{place}/")


def spelled(dataset, rows, place, wanted):
    """The meta of a dataset's row whose picture has the wanted name at a place, in the dataset's own spelling."""
    row, own = first_of(dataset, rows, place)
    said = {key: row["meta"][key] for key in ("reference", "images", "image", "video") if key in row["meta"]}
    return {**row, "meta": row["meta"] | {key: replaced(names, own, wanted) for key, names in said.items()}}


def replaced(said, own, wanted):
    if isinstance(said, list):
        return [replaced(name, own, wanted) for name in said]
    head, found, tail = said.rpartition(own)
    return f"{head}{wanted if found else ''}{tail}"


def noise(number, count):
    pixels = np.random.default_rng(number).integers(0, 256, (count, 48, 48, 3), dtype=np.uint8)
    return [base64.b64encode(encoded(Image.fromarray(each), "PNG")).decode() for each in pixels]


def test_a_picture_planted_in_training_of_one_and_in_evaluation_of_the_next_is_found_by_its_source(
    rows_of_sample, tmp_path
):
    pytest.importorskip("pdqhash", reason="m3it[curate] is not installed")
    pytest.importorskip("usearch", reason="m3it[curate] is not installed")
    files, pairs = defaultdict(list), set()
    shared = {place: names.split() for place, names in SHARED.items()}
    others = {*CATALOGUE}.difference(WITHOUT_IDS, *shared.values())
    alone = {ids_of(name, rows_of_sample[name][0])[0].partition("/")[0]: [name] for name in sorted(others)}
    for place, names in {**shared, **alone}.items():
        for one, other in zip(names, [*names[1:], names[0]], strict=True):
            _, wanted = first_of(one, rows_of_sample[one], place)
            for name, split in ((one, "train"), (other, "test")):
                row = spelled(name, rows_of_sample[name], place, wanted)
                files[name, split].append({**row, "inputs": f"{place}: what does {one} show in {split}?"})
            pairs.add((f"{one}/train", f"{other}/test"))
    numbers = itertools.count()
    for (name, split), rows in files.items():
        lines = [
            {**row, "meta": json.dumps({**row["meta"], "id": str(k)})}
            | {"image_base64_str": noise(next(numbers), len(row["meta"].get("images", ["one"])))}
            for k, row in enumerate(rows)
        ]
        write_rows(tmp_path / f"repo/data/{CATALOGUE[name].task}/{name}/{split}.jsonl", lines)
    fingerprint([str(tmp_path / "repo")], tmp_path / "prints")
    known = read_known([str(tmp_path / "prints")], tmp_path)
    sides = known.select(["train"]), known.select(["test"])
    leaks, _ = find_leaks(known, *sides, near_codes(known, *sides))
    assert pairs <= {(known.place[leak.train], known.place[leak.evaluation]) for leak in leaks}
    assert {one.partition("/")[0] for one, _ in pairs} == {*CATALOGUE} - {*WITHOUT_IDS}
    assert {leak.kind for leak in leaks} == {"source"}
