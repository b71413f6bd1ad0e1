"""m3it/showing/report.py: the page and the figures of a run, and what is said where they cannot be made."""

import json

import numpy as np
import pytest
from PIL import Image, ImageFont

from m3it.rows.images import encode
from m3it.rows.instance import M3ITError
from m3it.showing.case_study import Case, ReportError
from m3it.showing.report import (
    CASE_PIXELS,
    MAX_LINES,
    PICTURES_PIXELS,
    PUBLISHED_VERDICTS,
    can_draw,
    draw_cases,
    draw_verdicts,
    report,
)
from m3it.showing.rows import LINE_PIXELS


def test_figures_show_published_bars_and_ours(runs, tmp_path):
    assert PUBLISHED_VERDICTS == {"MiniGPT-4": (167, 28, 105), "InstructBLIP": (196, 9, 95)}
    report([runs], tmp_path / "report.html", figures=tmp_path / "figures")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["case_study.png", "gpt4_eval.png"]
    ours, sheet = (Image.open(tmp_path / "figures" / name) for name in ("gpt4_eval.png", "case_study.png"))
    draw_verdicts([], tmp_path / "published.png")
    assert ours.height > Image.open(tmp_path / "published.png").height  # one bar more
    inks = {pixel for _, pixel in sheet.convert("RGB").getcolors(1 << 20)}
    assert {(20, 128, 79), (179, 38, 62)} <= inks  # right and wrong are marked


def test_rows_whose_letters_the_font_lacks_are_left_out_of_the_figure_and_counted(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("m3it.showing.report.can_draw", lambda case: case.key[0] == "viquae")
    (problem,) = report([runs], tmp_path / "report.html", figures=tmp_path)
    assert "case_study.png: 2 of 8 rows, whose letters no font" in problem  # the two of the own config
    assert (tmp_path / "case_study.png").exists()


def test_a_letter_that_the_font_lacks_is_noticed(monkeypatch):
    # Pillow's own font has Latin only
    monkeypatch.setattr("m3it.showing.rows._installed", lambda: [ImageFont.load_default(15)])
    case = Case(("a", "test", "1"), "f1", "What?", ["x"], [("m", "a coffee", 0.0, "")])
    assert can_draw(case)
    assert not can_draw(case._replace(references=["狗"]))
    assert not can_draw(case._replace(answers=[("m", "狗", 0.0, "")]))


def test_long_names_and_unreadable_rows_fit_into_the_figure(runs, tmp_path):
    judge = json.loads((runs / "judge/judge.json").read_text("utf-8"))
    judge["models"] = ["organisation/a-model-with-a-name-of-many-words-13b-instruct", "other"]
    judge["results"]["all"]["unreadable"] = 2
    draw_verdicts([judge], tmp_path / "long.png")
    ink = np.asarray(Image.open(tmp_path / "long.png").convert("RGB")).min(axis=2) < 250
    assert not ink[:, :2].any() and not ink[:, -2:].any() and not ink[:1].any()  # nothing is cut off at the edges
    blue = (np.asarray(Image.open(tmp_path / "long.png").convert("RGB")) == (0x2F, 0x6F, 0xDE)).all(axis=2)
    assert np.ptp(np.flatnonzero(blue.any(axis=0))) > 300  # and the bars keep their place


def test_a_value_that_m3it_does_not_write_is_said(runs, tmp_path):
    path = runs / "judge/judge.json"
    judge = json.loads(path.read_text("utf-8"))
    judge["results"]["all"]["win"] = "twelve"
    path.write_text(json.dumps(judge), "utf-8")
    with pytest.raises(ReportError, match=r"expected scores.json, judge.json .* as m3it writes them.* Make them again"):
        report([runs], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


ODD = (None, [], {}, "x", 7, [[1]], {"a": [None]})


@pytest.mark.parametrize("file", ["scores/scores.json", "judge/judge.json", "good/run.json", "tiny/trainer_state.json"])
def test_a_file_of_another_shape_is_one_sentence_wherever_it_is_odd(runs, tmp_path, file, monkeypatch):
    """Every odd value at the top of each file, and in the place of each of its parts."""
    monkeypatch.setattr("m3it.showing.report.read_pictures", lambda found, cases: ({}, []))
    (runs / "tiny").mkdir()
    (runs / "tiny/trainer_state.json").write_text('{"log_history": [{"step": 1, "loss": 2}, {"step": 9, "loss": 1}]}')
    path, shown = runs / file, tmp_path / "report.html"
    report([runs], shown)
    whole, num_said = json.loads(path.read_text("utf-8")), 0
    for odd in (*ODD, *({**whole, name: value} for name in whole for value in ODD)):
        path.write_text(json.dumps(odd), "utf-8")
        try:
            report([runs], shown)
        except M3ITError as error:
            num_said += 1
            assert "expected" in str(error) and "\n" not in str(error)
    assert num_said >= len(ODD)


def test_pictures_stand_left_of_the_texts_of_a_case(tmp_path):
    image = np.zeros((120, 200, 3), np.uint8)
    image[:, :, 0] = 255
    case = Case(("viquae", "test", "1"), "f1", "Look.\nWhat?", ["x"], [("m", "word " * 400, 100.0, "")])
    draw_cases([case], {case.key: [encode(image)] * 5}, tmp_path / "cases.png")
    sheet = np.asarray(Image.open(tmp_path / "cases.png").convert("RGB")).astype(int)
    red = (sheet[..., 0] > 200) & (sheet[..., 1:].max(axis=2) < 60)
    green = (sheet == (20, 128, 79)).all(axis=2)  # the ink of a right answer
    assert sheet.shape[1] == CASE_PIXELS and np.flatnonzero(red.any(axis=0)).max() < PICTURES_PIXELS
    assert np.flatnonzero(green.any(axis=0)).min() >= PICTURES_PIXELS
    assert np.ptp(np.flatnonzero(green.any(axis=1))) < MAX_LINES * LINE_PIXELS  # a long answer is cut
