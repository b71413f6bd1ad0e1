"""m3it/curating/leaks.py: training rows whose pictures are in evaluation splits."""

import json

import pytest
from conftest import FIXTURES, ROOT

from m3it import load_dataset
from m3it.curating.known import read_known
from m3it.curating.leaks import leaks, matrix_text
from m3it.rows.instance import M3ITError

pytest.importorskip("pdqhash", reason="m3it[curate] is not installed")
pytest.importorskip("usearch", reason="m3it[curate] is not installed")


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


@pytest.mark.slow
def test_leaks_across_the_sample_by_source_are_those_that_its_names_tell(tmp_path):
    known = read_known([str(ROOT)], tmp_path)
    report = leaks(known, tmp_path)
    names: dict[str, set[str]] = {"train": set(), "evaluation": set()}  # of COCO, by the text of their files alone
    for path in ROOT.glob("data/*/*/*.jsonl"):
        side = "train" if path.stem == "train" else "evaluation"
        for line in path.read_text("utf-8").splitlines() if path.stem != "drops" else ():
            image = json.loads(json.loads(line)["meta"]).get("image")
            if isinstance(image, str) and "COCO_" in image:
                names[side].add(image.rpartition("_")[2])
    shared = {int(name.removesuffix(".jpg")) for name in names["train"] & names["evaluation"]}
    source = known.table["pictures"].combine_chunks().flatten().field("source").to_pylist()
    rows = [number for number, said in enumerate(known.row_of) if source[number].startswith("coco/")]
    by_side = [
        {int(source[n][5:]) for n in rows if ("train" in known.place[known.row_of[n]]) is is_train}
        for is_train in (True, False)
    ]
    assert shared <= by_side[0] & by_side[1]
    found = {leak["train"]["id"] for leak in report["leaks"] if leak["kind"] in ("source", "bytes", "pixels")}
    assert found
