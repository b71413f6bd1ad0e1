"""license="commercial" and the columns of licenses, on rows whose pictures have licenses of their own: the same rows in
`load_dataset`, `Mixture` and every format of a release."""

import json
import logging

import pyarrow.parquet as pq
import pytest
from conftest import make_row, write_rows

from M3IT import M3ITError
from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part
from m3it.publishing.formats import FORMATS
from m3it.publishing.release import release
from m3it.reading.load import load_builder, load_dataset

FREE, FORBIDDEN = "CC-BY-2.0", "CC-BY-NC-2.0"
PAGE = "https://www.flickr.com/photo.gne?id=7"


def photo(number, **meta):
    return make_row(number, meta=json.dumps({"id": f"row-{number}", **meta}))


@pytest.fixture
def repo(tmp_path):
    """coco: two rows that may be used, two that may not; its validation: none; and datasets that are in or out."""
    coco = [photo(0, image_license=FREE, image_attribution=[PAGE]), photo(1, image_license=FORBIDDEN), photo(2)]
    coco.append(photo(3, image_license=f"{FREE} AND CC0-1.0"))
    write_rows(tmp_path / "repo/data/captioning/coco/train.jsonl", coco)
    write_rows(tmp_path / "repo/data/captioning/coco/validation.jsonl", [photo(4, image_license=FORBIDDEN)])
    write_rows(tmp_path / "repo/data/vqa/docvqa/train.jsonl", [make_row(5)])
    write_rows(tmp_path / "repo/data/vqa/shapes/train.jsonl", [make_row(6)])
    return tmp_path / "repo"


def ids_of(rows):
    return [json.loads(row["meta"])["id"] for row in rows]


def test_load_dataset_gives_the_rows_that_may_be_used_and_counts_the_others(repo, caplog):
    options = {"license": "commercial", "meta": True}
    with caplog.at_level(logging.WARNING):
        rows = load_dataset(str(repo), "coco", split="train", **options)
    assert ids_of(rows) == ["row-0", "row-3"]
    said = "dropped 3 rows (2 image_license: CC-BY-NC-2.0, 1 image_license: Flickr terms per image)"
    assert said in caplog.text  # of all splits, as they are prepared together
    assert ids_of(load_dataset(str(repo), "coco", split="train", streaming=True, **options)) == ["row-0", "row-3"]
    assert len(load_dataset(str(repo), "coco", split="train")) == 4
    with pytest.raises(M3ITError, match=r"docvqa: no row of it is for commercial use \(license: unknown\)"):
        load_dataset(str(repo), "docvqa", **options)
    with pytest.raises(ValueError, match="license='mit': expected None or 'commercial'"):
        load_dataset(str(repo), "coco", license="mit")


def test_a_mixture_has_the_same_rows_and_counts_the_others(repo):
    mixture = Mixture(str(repo), license="commercial")
    rows = [row for row in map(mixture.row, range(mixture.num_rows)) if row]
    assert {row["id"] for row in rows if row["dataset"] == "coco"} == {"row-0", "row-3"}
    assert {row["dataset"] for row in rows} == {"coco", "shapes"}
    reasons = {f"image_license: {FORBIDDEN}": 1, "image_license: Flickr terms per image": 1}
    assert mixture.drops() == {"coco": reasons}
    mixture.mixed_parts[0].check_drops(0)  # they are whole: none of the rows that `max_drops` is about


def test_a_mixture_without_a_row_to_give_says_so_instead_of_reading_for_ever(repo, monkeypatch):
    monkeypatch.setattr("m3it.mixing.mixture.MOST_UNLICENSED", 5)
    mixture = Mixture(None, parts=[Part(str(repo), "coco", "validation")], license="commercial")
    with pytest.raises(ValueError, match="coco: image_license: CC-BY-NC-2.0. None of the last 5 rows"):
        list(map(mixture.row, range(9)))


@pytest.mark.parametrize("format", ["parquet", *FORMATS])
def test_a_release_of_every_format_has_the_same_rows_and_says_what_is_out(repo, tmp_path, format):
    run = release(str(repo), tmp_path / "out", format=format, license="commercial")
    assert {name: proof["rows_out"] for name, proof in run["splits"].items()} == {"coco/train": 2, "shapes/train": 1}
    left_out = {"docvqa": "license: unknown", "coco/validation": f"1 image_license: {FORBIDDEN}"}
    assert run["license"] == {"use": "commercial", "left_out": left_out}
    reasons = {f"image_license: {FORBIDDEN}": 1, "image_license: Flickr terms per image": 1}
    assert run["splits"]["coco/train"]["drops"] == reasons
    listed = [json.loads(line) for line in (tmp_path / "out/drops.jsonl").read_text("utf-8").splitlines()]
    assert [drop["id"] for drop in listed] == ["row-1", "row-2", "row-4"]
    there = {path.name for path in (tmp_path / "out").rglob("*validation*")}
    assert not there and "docvqa" not in (tmp_path / "out/README.md").read_text("utf-8")
    again = release(str(repo), tmp_path / "out", format=format, license="commercial")
    assert {**again, "files": None} == {**run, "files": None}
    table = (tmp_path / "out/LICENSES.md").read_text("utf-8")
    assert f"| CC-BY-4.0 | {FREE} | 1 | yes |" in table and f"| CC-BY-4.0 | {FREE} AND CC0-1.0 | 1 | yes |" in table


def test_rows_carry_their_licenses_and_whom_to_credit_in_columns(repo, tmp_path):
    release(str(repo), tmp_path / "out", ["coco"])
    for path in ("captioning/coco-images/train", "text/train"):
        rows = pq.read_table(tmp_path / f"out/data/{path}.parquet").to_pylist()
        terms = [(row["license"], row["image_license"], row["image_attribution"]) for row in rows]
        assert terms[0] == ("CC-BY-4.0", FREE, PAGE)
        assert terms[2] == ("CC-BY-4.0", "Flickr terms per image", "")
    release(str(tmp_path / "out"), tmp_path / "again", ["coco"])  # they are read again from meta
    assert pq.read_table(tmp_path / "again/data/text/train.parquet")["image_license"][0].as_py() == FREE
    with pytest.raises(M3ITError, match="without fields, corrections, exclude and license"):
        load_dataset(str(tmp_path / "out"), "text", license="commercial")


def test_rows_of_llava_and_webdataset_carry_them_too(repo, tmp_path):
    release(str(repo), tmp_path / "llava", ["coco"], format="llava")
    line = json.loads((tmp_path / "llava/coco/train.jsonl").read_text("utf-8").splitlines()[0])
    assert (line["license"], line["image_license"], line["image_attribution"]) == ("CC-BY-4.0", FREE, PAGE)
    import tarfile

    release(str(repo), tmp_path / "tars", ["coco"], format="webdataset")
    with tarfile.open(tmp_path / "tars/coco/train.tar") as archive:
        name = next(name for name in archive.getnames() if name.endswith(".json"))
        said = json.loads(archive.extractfile(name).read())
    assert (said["license"], said["image_license"], said["image_attribution"]) == ("CC-BY-4.0", FREE, PAGE)


def test_a_release_without_a_row_that_may_be_used_is_refused(repo, tmp_path):
    with pytest.raises(M3ITError, match=r"no row is for commercial use: docvqa \(license: unknown\)"):
        release(str(repo), tmp_path / "out", ["docvqa"], license="commercial")
    with pytest.raises(M3ITError, match="Pass --format parquet"):
        release(str(repo), tmp_path / "out", format="jsonl", license="commercial")


def test_rows_of_a_dataset_of_ones_own_say_their_licenses_in_meta(tmp_path):
    own = [photo(0, license="MIT", image_license="CC0-1.0"), photo(1)]
    write_rows(tmp_path / "data/vqa/mine/train.jsonl", own)
    builder = load_builder(str(tmp_path), "mine", meta=True, license="commercial")
    assert [builder.why_left_out(row) for row in builder.rows("train")] == ["", "license: unknown"]
