"""m3it/curating/fingerprint.py: prints of repositories, what is new alone, and what cannot be read."""

import json

import pyarrow.parquet as pq
import pytest
from conftest import make_row, write_rows

from m3it.curating.fingerprint import fingerprint, hash_text
from m3it.curating.known import read_known
from m3it.curating.source_ids import source_ids
from m3it.rows.instance import M3ITError

pytest.importorskip("pdqhash", reason="m3it[curate] is not installed")


def made(out):
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in out.rglob("*.parquet")}


def test_a_second_run_reads_what_is_new_and_removes_what_is_gone(repository, tmp_path):
    out = tmp_path / "prints"
    assert len(fingerprint([str(repository)], out)["files"]) == 3
    before = made(out)
    fingerprint([str(repository)], out)
    assert made(out) == before
    write_rows(repository / "data/kvqa/viquae/test.jsonl", [make_row(i) for i in range(30, 35)])
    (repository / "data/kvqa/okvqa/zh/validation.jsonl").unlink()
    run = fingerprint([str(repository)], out)
    assert sorted(file["num_rows"] for file in run["files"].values()) == [5, 10]
    assert len(set(made(out)) - set(before)) == 1 and len(made(out)) == 2
    assert len(read_known([str(out)], tmp_path)) == 15


def test_two_workers_make_the_same_bytes(repository, tmp_path):
    runs = [fingerprint([str(repository)], tmp_path / f"prints{n}", workers=n) for n in (1, 2)]
    assert runs[0] == runs[1]


def test_prints_of_two_repositories_stand_in_one_folder(repository, tmp_path):
    write_rows(tmp_path / "mine/data/vqa/my-set/train.jsonl", [make_row(1)])
    fingerprint([str(repository)], tmp_path / "prints")
    run = fingerprint([str(tmp_path / "mine")], tmp_path / "prints")
    assert sorted(run["repos"].values()) == sorted([str(repository), str(tmp_path / "mine")])
    assert len(read_known([str(tmp_path / "prints")], tmp_path)) == 18


def test_an_unreadable_picture_is_a_sentence_or_counted_and_listed(tmp_path):
    broken = make_row(1, image_base64_str=["PGh0bWw+"])  # <html>
    write_rows(tmp_path / "repo/data/vqa/my-set/train.jsonl", [make_row(0), broken])
    with pytest.raises(M3ITError, match=r"train\.jsonl:2: row-1: expected an image, found an HTML page"):
        fingerprint([str(tmp_path / "repo")], tmp_path / "prints")
    run = fingerprint([str(tmp_path / "repo")], tmp_path / "dropped", on_error="drop")
    assert [file["drops"] for file in run["files"].values()] == [{"image cannot be read": 1}]
    assert "image cannot be read" in (tmp_path / "dropped/drops.jsonl").read_text()


def test_prints_of_another_version_or_of_something_else_are_refused(repository, tmp_path):
    out = tmp_path / "prints"
    run = fingerprint([str(repository)], out)
    run["options"]["version"] = 0
    (out / "run.json").write_text(json.dumps(run))
    with pytest.raises(M3ITError, match="expected prints of version 2, found version 0. Make them anew"):
        read_known([str(out)], tmp_path)


def test_a_row_has_the_hash_of_its_question_whatever_its_case_and_points(repository, tmp_path):
    assert hash_text("What is it?") == hash_text("what is it") != hash_text("What is that?")
    assert hash_text("") is None and hash_text(" ?") is None
    run = fingerprint([str(repository)], tmp_path / "prints", ["viquae"])
    table = pq.read_table(tmp_path / "prints" / next(iter(run["files"])))
    assert table.column_names == ["config", "split", "row_id", "question", "answer", "pictures"]


@pytest.mark.parametrize(
    ("dataset", "meta", "expected"),
    [
        ("okvqa", {"image": "COCO_train2014_000000000081.jpg"}, ["coco/81"]),
        ("a-okvqa", {"image": "000000000081.jpg"}, ["coco/81"]),
        ("coco-cn", {"image": "train2014/COCO_train2014_000000007922.jpg"}, ["coco/7922"]),
        ("st-vqa", {"image": "coco-text/COCO_train2014_000000123450.jpg"}, ["coco/123450"]),
        (
            "visual-dialog",
            {"image": "VisualDialog_val2018_000000005102.jpg"},
            None,
        ),  # of Flickr, with numbers of its own
        ("gqa", {"image": "2302.jpg"}, ["visual-genome/2302"]),
        ("image-paragraph-captioning", {"image": "VG_100K_2/2302.jpg"}, ["visual-genome/2302"]),
        ("multi30k", {"image": "1000092795.jpg"}, ["flickr/1000092795"]),
        ("flickr8k-cn", {"image": "1000092795_693d8c0a5e"}, None),
        ("flickr8k-cn", {"image": "1000092795_693d8c0a5e.jpg"}, ["flickr/1000092795"]),
        ("msrvtt", {"video": "video7.mp4"}, ["msrvtt/video7"] * 3),
        ("nlvr", {"images": ["a.png", "b.png"]}, ["nlvr/a.png", "nlvr/b.png"]),
        ("my-set", {}, [""]),
    ],
)
def test_datasets_of_one_source_have_one_name_for_a_picture(dataset, meta, expected):
    named = meta.get("images") or meta.get("image")
    own = [f"{dataset}/{meta.get('image')}"]
    assert source_ids(dataset, meta, len(expected or own)) == (own if expected is None else expected), named
