"""m3it/curating/leaks.py: training rows whose pictures are in evaluation splits."""

import base64
import json
import re
import shutil

import pytest
from conftest import FIXTURES, ROOT, write_rows
from PIL import Image
from planted import encoded
from scenes import draw, scene

from curating.conftest import row
from m3it import load_dataset
from m3it.curating.fingerprint import fingerprint
from m3it.curating.known import read_known
from m3it.curating.leaks import leaks, matrix_text
from m3it.rows.instance import M3ITError

pytest.importorskip("pdqhash", reason="m3it[curate] is not installed")
pytest.importorskip("usearch", reason="m3it[curate] is not installed")


def test_splits_that_leave_nothing_to_compare_are_said_in_a_sentence(leaking, tmp_path):
    known = read_known([str(leaking)], tmp_path)
    with pytest.raises(M3ITError, match="All rows that are trained on are evaluated on, too"):
        leaks(known, tmp_path / "leaks", ["okvqa/train"], ["okvqa"])
    (leaking / "data/vqa/vqa-v2/validation.jsonl").unlink()
    (leaking / "data/kvqa/okvqa/validation.jsonl").unlink()
    with pytest.raises(M3ITError, match="The prints have no validation or test split.*--eval"):
        leaks(read_known([str(leaking)], tmp_path / "train alone"), tmp_path / "leaks")


def test_leaks_of_every_kind_are_found_and_listed(leaking, tmp_path):
    out = tmp_path / "leaks"
    report = leaks(read_known([str(leaking)], out), out)
    cell = {"rows": 5, "source": 1, "bytes": 1, "pixels": 1, "near": 2, "same question": 1}
    assert report["matrix"] == {"okvqa/train": {"vqa-v2/validation": cell}}
    kinds = {leak["train"]["id"]: leak["kind"] for leak in report["leaks"]}
    assert kinds == {"source": "source", "bytes": "bytes", "pixels": "pixels", "mirrored": "near", "gray": "near"}
    assert [leak["train"]["id"] for leak in report["leaks"] if leak["same_question"]] == ["gray"]
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in ("matrix.png", "pairs.png"))
    assert "5 training rows leak" in matrix_text(report) and "2 near picture, 1 same question" in matrix_text(report)
    assert load_dataset(leaking, "okvqa", split="train", exclude=out / "drop.jsonl")["inputs"] == ["Q5?"]
    evaluation = [json.loads(line)["id"] for line in (out / "drop_evaluation.jsonl").read_text().splitlines()]
    assert sorted(evaluation) == ["0", "1", "2", "3", "4"]


def test_every_evaluation_row_of_a_shared_picture_is_on_its_list(tmp_path):
    picture = draw(scene("shared", num_things=5))
    asked = ["How many?", "What color?", "Where is it?"]
    write_rows(tmp_path / "repo/data/kvqa/okvqa/train.jsonl", [row("t", picture, "Why?"), row("u", picture, asked[1])])
    write_rows(
        tmp_path / "repo/data/kvqa/okvqa/test.jsonl", [row(f"e{k}", picture, text) for k, text in enumerate(asked)]
    )
    report = leaks(read_known([str(tmp_path / "repo")], tmp_path), tmp_path)
    pairs = [(leak["train"]["id"], leak["evaluation"]["id"], leak["same_question"]) for leak in report["leaks"]]
    assert pairs == [("t", "e0", False), ("u", "e1", True)]
    listed = (tmp_path / "drop_evaluation.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in listed] == ["e0", "e1", "e2"]


def test_a_black_frame_that_two_clips_begin_with_is_no_leak(tmp_path):
    pictures = Image.new("RGB", (90, 60)), draw(scene("same"))
    black, same = (base64.b64encode(encoded(picture)).decode() for picture in pictures)
    for split, first_frames in (("train", {"black": black, "same": same}), ("test", {"v": black, "w": same})):
        frames = {name: [base64.b64encode(encoded(draw(scene(name)))).decode()] for name in first_frames}
        rows = [{**row(name, b"-"), "image_base64_str": [first, *frames[name]]} for name, first in first_frames.items()]
        write_rows(tmp_path / f"repo/data/vqa/msrvtt-qa/{split}.jsonl", rows)
    write_rows(tmp_path / "repo/data/kvqa/okvqa/train.jsonl", [row("picture", base64.b64decode(black))])
    write_rows(tmp_path / "repo/data/kvqa/okvqa/test.jsonl", [row("picture", base64.b64decode(black))])
    report = leaks(read_known([str(tmp_path / "repo")], tmp_path), tmp_path)
    assert [leak["train"]["id"] for leak in report["leaks"]] == ["picture", "same"]


@pytest.mark.parametrize("is_gone", [True, False])
def test_without_the_pictures_all_but_their_sheet_is_written(leaking, is_gone, tmp_path):
    fingerprint([str(leaking)], tmp_path / "prints")
    if is_gone:
        shutil.rmtree(leaking)
    else:
        write_rows(leaking / "data/vqa/vqa-v2/validation.jsonl", [row("0", draw(scene("another")))])
    report = leaks(read_known([str(tmp_path / "prints")], tmp_path), tmp_path)
    assert report["rows_dropped"] == 5 and not (tmp_path / "pairs.png").exists()
    assert "pairs.png is not drawn, for want of the pictures: " in matrix_text(report)
    assert json.loads((tmp_path / "leaks.json").read_text()) == report


def test_what_is_trained_and_evaluated_on_can_be_named(leaking, tmp_path):
    known = read_known([str(leaking)], tmp_path / "leaks")
    assert leaks(known, tmp_path / "out", train=["vqa-v2"], evaluation=["okvqa/validation"])["matrix"] == {}
    turned = leaks(known, tmp_path / "out", train=["validation"], evaluation=["okvqa/train"])
    assert turned["matrix"]["vqa-v2/validation"]["okvqa/train"]["rows"] == 5
    with pytest.raises(M3ITError, match="okvqa/tset: no row of the prints is of it"):
        leaks(known, tmp_path / "out", evaluation=["okvqa/tset"])


def test_a_set_without_leaks_has_an_empty_list(repository, tmp_path):
    known = read_known([str(repository)], tmp_path / "out")
    report = leaks(known, tmp_path / "out", evaluation=["test"])
    assert report["leaks"] == [] and (tmp_path / "out/drop.jsonl").read_text() == ""


DRAWN_BY_HASH = ("iqa", "vcr")  # the splits that a converter parts by hash of what is shown


@pytest.mark.parametrize("dataset", DRAWN_BY_HASH)
def test_splits_that_we_part_by_hash_share_no_picture(dataset, tmp_path):
    from m3it.making.convert import convert

    convert(dataset, FIXTURES / dataset, tmp_path / "repo", on_error="drop")
    known = read_known([str(tmp_path / "repo")], tmp_path / "out")
    assert len(set(known.place)) == 3
    for evaluation, train in (("test", ["train", "validation"]), ("validation", ["train"])):
        report = leaks(known, tmp_path / "out", train, [evaluation])
        assert report["leaks"] == [], evaluation


OF_ONE_SOURCE = (
    "a-okvqa",
    "okvqa",
    "vqa-v2",
    "coco",
    "coco-itm",
    "coco-text",
    "coco-cn",
    "st-vqa",
    "msrvtt",
    "msrvtt-qa",
)
NAME = re.compile(r"(?:^|/|COCO_(?:train|val)2014_)(\d{12})\.jpg$|^(video\d+)\.mp4$")  # what the authors call the file


@pytest.mark.slow
def test_leaks_by_source_across_the_sample_are_those_that_the_names_of_its_files_tell(tmp_path):
    names: dict[bool, dict[str, set]] = {True: {}, False: {}}  # whether of train -> name -> rows
    for path in (
        path for name in OF_ONE_SOURCE for path in ROOT.glob(f"data/*/{name}/*.jsonl") if path.stem != "drops"
    ):
        for line in path.read_text("utf-8").splitlines():
            meta = json.loads(json.loads(line)["meta"])
            if said := NAME.search(str(meta.get("image") or meta.get("video"))):
                rows = names[path.stem == "train"].setdefault(said[1] or said[2], set())
                rows.add((path.parent.name, path.stem, meta["id"]))
    shared = names[True].keys() & names[False].keys()
    expected = {row for name in shared for row in names[True][name]}
    fingerprint([str(ROOT)], tmp_path / "prints", OF_ONE_SOURCE)
    report = leaks(read_known([str(tmp_path / "prints")], tmp_path), tmp_path)
    found = {tuple(leak["train"].values()) for leak in report["leaks"] if leak["kind"] == "source"}
    assert found == expected and len(expected) >= 2
