"""The 40 rooms: a dataset's name finds its catalogue row, converter, instructions and fixture, and they fit
together."""

import importlib
import json
import shutil

import pytest
from conftest import ROOT
from make_data import FIXTURES, make_data

from M3IT import CATALOGUE, image_bytes
from m3it.rows.instance import Drop
from m3it.rows.jsonl import read_shard
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Unreadable

SAMPLES = ROOT.parent / "shared" / "sources" / "samples"
SPLITS = ("train", "validation", "test")


def read_converted(dataset, root, read_images=True):
    """What a converter makes of a folder, as expected.jsonl says it."""
    module = importlib.import_module(f"m3it.sources.{dataset.replace('-', '_')}")
    for split in (split for split in SPLITS if getattr(CATALOGUE[dataset], split)):
        for row in module.convert(SourcePath(root), split):
            if isinstance(row, Drop):
                yield {"split": split, "id": row.id, "drop": row.reason}
                continue
            try:
                images = (
                    [file for image in row.images for file in ([image] if isinstance(image, bytes) else image.read())]
                    if read_images
                    else []
                )
            except Unreadable as error:
                yield {"split": split, "id": row.id, "drop": str(error)}
                continue
            yield {
                "split": split,
                "id": row.id,
                "inputs": row.inputs,
                "outputs": row.outputs,
                "num_images": len(images),
                "meta": row.meta,
            }


@pytest.mark.parametrize("dataset", CATALOGUE)
def test_a_converter_makes_of_its_fixture_what_was_read_by_a_person(dataset):
    expected = [json.loads(line) for line in (FIXTURES / dataset / "expected.jsonl").read_text("utf-8").splitlines()]
    assert list(read_converted(dataset, FIXTURES / dataset)) == expected


@pytest.mark.parametrize("dataset", CATALOGUE)
def test_a_fixture_gives_rows_of_every_published_split_with_ids_of_their_own(dataset):
    rows = [json.loads(line) for line in (FIXTURES / dataset / "expected.jsonl").read_text("utf-8").splitlines()]
    for split in SPLITS:
        good = [row for row in rows if row["split"] == split and "drop" not in row]
        assert (len(good) >= 4) == bool(getattr(CATALOGUE[dataset], split)), (split, len(good))
        assert len({row["id"] for row in good}) == len(good)
        withheld = split == "test" and dataset in ("st-vqa", "text-vqa")  # the answers of these are not published
        assert all(bool(row["outputs"].strip()) != withheld for row in good)


@pytest.mark.parametrize("dataset", CATALOGUE)
def test_the_sample_is_what_the_converter_makes_of_the_fixture(dataset, tmp_path):
    folder = ROOT / "data" / CATALOGUE[dataset].task / dataset
    made = make_data(tmp_path, dataset)
    here = {path.relative_to(ROOT): path for path in folder.rglob("*.jsonl") if path.name != "drops.jsonl"}
    assert sorted(here) == sorted(path.relative_to(tmp_path) for path in made)
    for path in made:
        for is_row, made_row in zip(read_shard(here[path.relative_to(tmp_path)]), read_shard(path), strict=True):
            texts = ("instruction", "inputs", "outputs", "meta")
            assert [is_row[name] for name in texts] == [made_row[name] for name in texts]
            assert [near(a, b) for a, b in zip(image_bytes(is_row), image_bytes(made_row), strict=True)] == [
                True
            ] * len(image_bytes(is_row))


def near(a: bytes, b: bytes) -> bool:
    """Equal bytes; or, of pictures drawn on or cut out of clips, equal pixels but for the encoder's version."""
    if a == b:
        return True
    import numpy as np

    from m3it.rows.images import pixels

    return pixels(a).shape == pixels(b).shape and float(np.abs(pixels(a).astype(int) - pixels(b)).mean()) < 2


def test_the_sample_is_below_12_megabytes():
    assert sum(path.stat().st_size for path in (ROOT / "data").rglob("*") if path.is_file()) < 12_000_000


# ---- instructions

# ---- errors


def test_a_missing_file_says_which_where_from_and_what_is_there(tmp_path):
    from m3it.making.convert import convert
    from m3it.rows.instance import SourceError

    shutil.copytree(FIXTURES / "okvqa", tmp_path / "okvqa")
    (tmp_path / "okvqa" / "mscoco_val2014_annotations.json").unlink()
    with pytest.raises(
        SourceError,
        match="mscoco_val2014_annotations.json is not there; found .*It is downloaded from https://okvqa.allenai.org",
    ):
        convert("okvqa", tmp_path / "okvqa", tmp_path / "out", ["validation"])


@pytest.mark.parametrize("dataset", CATALOGUE)
def test_files_of_another_shape_are_an_error_that_names_the_dataset_or_the_file(dataset, tmp_path):
    from m3it.making.convert import convert
    from m3it.rows.instance import M3ITError

    root, told, endings = tmp_path / "root", 0, (".json", ".jsonl", ".csv", ".txt", ".npy", ".gz", ".zip")
    shutil.copytree(FIXTURES / dataset, root)
    for path in [path for path in sorted(root.rglob("*")) if path.suffix in endings]:
        whole = path.read_bytes()
        for other in (b"", b"[{}]", b"{}\n", b"null", b"a,b\n1,2\n", whole[: len(whole) // 2], b"\xff\xfe\0"):
            path.write_bytes(other)
            try:
                convert(dataset, root, tmp_path / "out", on_error="drop")
            except M3ITError as error:
                told += 1
                assert any(name in str(error) for name in (dataset, path.name, path.stem.partition(".")[0]))
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
        path.write_bytes(whole)
    assert told
