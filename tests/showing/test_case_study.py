"""m3it/showing/case_study.py: what the folders hold, and which rows are shown."""

import io
import json

import pytest
from PIL import Image

from m3it.showing.case_study import ReportError, choose_cases, gather, mark, read_pictures, worst_cases


def test_worst_rows_come_first_and_cases_are_those_that_differ(runs):
    found = gather([runs])
    worst = worst_cases(found, ("viquae", "test"))
    assert len(worst) == 6 and all(int(case.key[2].removeprefix("row-")) % 2 == 1 for case in worst)
    cases = choose_cases(found, 4)
    assert [case.key[0] for case in cases] == ["viquae", "mine", "viquae", "mine"]
    first = cases[0]
    assert int(first.key[2].removeprefix("row-")) % 2 == 0  # on these the two models differ
    assert [mark(first, points) for _, _, points, _ in first.answers] == ["right", "wrong"]


def test_of_the_checkpoints_of_a_training_the_last_is_shown(tmp_path):
    for step in (900, 1000):
        folder = tmp_path / f"tiny/checkpoint-{step}"
        folder.mkdir(parents=True)
        log = [{"step": 0, "loss": 4}, {"step": step, "loss": 1}]
        (folder / "trainer_state.json").write_text(json.dumps({"log_history": log}), "utf-8")
    assert list(gather([tmp_path / "tiny"]).curves) == [str(tmp_path / "tiny/checkpoint-1000")]


def test_a_very_small_picture_is_enlarged_pixel_by_pixel(runs):
    found = gather([runs])
    pictures, _ = read_pictures(found, choose_cases(found, 1))
    (shown,) = (Image.open(io.BytesIO(files[0])) for files in pictures.values())
    assert shown.size == (8 * 22, 6 * 22)  # 180 pixels hold 22 times 8


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ReportError, match="nowhere: expected a folder of predictions, .*; there is none"):
        gather([tmp_path / "nowhere"])


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(ReportError, match="nothing to report. Name folders of predictions.jsonl, scores.json"):
        gather([tmp_path])


def test_predictions_without_scores_say_what_to_run(runs):
    with pytest.raises(ReportError, match="Predictions without scores. Run: m3it score .*good --out scores"):
        gather([runs / "good"])
