"""The page: whole in itself, true to the files it was made of, and its figures."""

import base64
import io
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from chat_server import ChatServer, words_of
from conftest import ROOT, make_row, write_rows
from PIL import Image

from m3it.evaluating.judge import choose_pairs, judge
from m3it.evaluating.predict import predict
from m3it.evaluating.score import majority_score, score
from m3it.showing.case_study import Case, ReportError, choose_cases, gather, mark, read_pictures, worst_cases
from m3it.showing.report import PUBLISHED, draw_verdicts, report
from m3it.work.chat import Chat


@pytest.fixture
def runs(tmp_path):
    """Two models on 12 rows of viquae and two of an own config, scored and judged: `good` knows the even rows, `poor`
    knows none; rows of the own config hold markup."""
    rows = [make_row(i, num_images=1 + i % 2) for i in range(12)]
    write_rows(tmp_path / "repo/data/kvqa/viquae/test.jsonl", rows)
    own = [make_row(i, inputs="<script>alert(1)</script> & what?", outputs=f"<b>{i}") for i in range(2)]
    write_rows(tmp_path / "repo/data/vqa/mine/test.jsonl", own)

    def good(body: dict) -> str:
        number = re.search(r"What is (\d+)", words_of(body["messages"][-1]))
        return f"answer {number[1]}" if number and int(number[1]) % 2 == 0 else "<b>0"

    def first(body: dict) -> str:
        return "Evidence: it is first.\nScore of answer 1: 9\nScore of answer 2: 2"

    for name, model in (("good", good), ("poor", lambda body: "nothing known")):
        with ChatServer(model) as server:
            predict(name, ["viquae", "mine"], tmp_path / "run" / name, str(tmp_path / "repo"), base_url=server.url)
    score([tmp_path / "run/good", tmp_path / "run/poor"], tmp_path / "run/scores")
    with ChatServer(first) as server:
        match = choose_pairs(tmp_path / "run/good", tmp_path / "run/poor", ("viquae",))
        judge(match, Chat("gpt", server.url, cache_dir=tmp_path / "replies"), tmp_path / "run/judge")
    return tmp_path / "run"


class Page(HTMLParser):
    """The tags of a page, and what they point at; an unclosed or crossed tag fails."""

    EMPTY = ("meta", "img", "br", "i", "polyline")

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "data", "poster")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def test_the_page_needs_no_network_and_no_script(runs, tmp_path):
    assert report([runs], tmp_path / "report.html") == []
    text = (tmp_path / "report.html").read_text("utf-8")
    page = Page(text)
    assert page.links and all(link.startswith("data:image/jpeg;base64,") for link in page.links)
    assert "script" not in page.tags and "link" not in page.tags and "iframe" not in page.tags
    assert not re.search(r"url\(|@import|https?://(?!127\.0\.0\.1)", text)  # the server of the settings
    assert "prefers-color-scheme:dark" in text and "width=device-width" in text
    assert "<script>alert(1)</script> & what?" in page.text  # shown as text


def test_pictures_on_the_page_are_those_of_the_rows(runs, tmp_path):
    report([runs], tmp_path / "report.html")
    links = Page((tmp_path / "report.html").read_text("utf-8")).links
    shown = {Image.open(io.BytesIO(base64.b64decode(link.partition(",")[2]))).getpixel((4, 3)) for link in links}
    colours = [(number * 37 % 256, number * 91 % 256, 128) for number in range(14)]
    near = [c for c in colours if any(max(abs(a - b) for a, b in zip(c, s, strict=True)) < 4 for s in shown)]
    assert len(near) >= 10


def test_the_page_says_what_the_files_say(runs, tmp_path):
    report([runs], tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text("utf-8")).text
    scores = json.loads((runs / "scores/scores.json").read_text("utf-8"))
    for model in scores["models"]:
        for line in model["datasets"]:
            assert f"{line['scores']['rouge_l']['score']:.1f}" in text
    assert "12 of 12 verdicts (100 %) turned" in text and "12 for the first place both times" in text
    assert "gpt-2024 2023-11-14, asked for as gpt" in text


def test_worst_rows_come_first_and_cases_are_those_that_differ(runs):
    found = gather([runs])
    worst = worst_cases(found, ("viquae", "test"))
    assert len(worst) == 6 and all(int(case.key[2].removeprefix("row-")) % 2 == 1 for case in worst)
    cases = choose_cases(found, 4)
    assert [case.key[0] for case in cases] == ["viquae", "mine", "viquae", "mine"]
    first = cases[0]
    assert int(first.key[2].removeprefix("row-")) % 2 == 0  # on these the two models differ
    assert [mark(first, points) for _, _, points, _ in first.answers] == ["right", "wrong"]


def test_the_majority_answer_is_scored_by_the_datasets_own_metric():
    rows = [
        {"id": str(i), "prediction": "", "references": [answer], "choices": []}
        for i, answer in enumerate(["yes", "no", "yes", "no", "yes"])
    ]
    assert majority_score(rows, ("nlvr", "validation")) == ("yes", pytest.approx(60))  # 3 of 5
    assert majority_score(rows, ("vist", "test")) is None  # ROUGE-L knows no right and wrong


def test_failed_rows_are_listed_and_not_shown_as_answers(runs, tmp_path):
    path = runs / "poor/predictions.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    del lines[0]["prediction"]
    lines[0]["error"] = "the picture is HTML"
    write_rows(path, lines)
    score([runs / "good", runs / "poor"], runs / "scores")
    report([runs], tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text("utf-8")).text
    assert "Failed rows, not scored: poor, row-0: the picture is HTML" in text
    assert not any(error for case in choose_cases(gather([runs])) for *_, error in case.answers)


def test_a_page_without_its_pictures_says_so(runs, tmp_path):
    for path in (tmp_path / "repo/data/kvqa/viquae").iterdir():
        path.unlink()
    (problem,) = report([runs], tmp_path / "report.html")
    assert problem.startswith("viquae/test: ") and "Unknown config" in problem
    assert f"Pictures not shown, {problem}"[:60] in Page((tmp_path / "report.html").read_text("utf-8")).text


def test_the_curve_of_a_training_is_drawn(tmp_path):
    log = [{"step": 10 * i, "loss": 2 / (i + 1)} for i in range(5)] + [{"step": 40, "eval_loss": 0.7}]
    (tmp_path / "train").mkdir()
    (tmp_path / "train/trainer_state.json").write_text(json.dumps({"log_history": log}), "utf-8")
    report([tmp_path / "train"], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    # 2, 1, 2/3, 1/2, 2/5 between 0 at the top and 200: 200 - 200 * log(loss / 0.4) / log(5)
    assert "points='0.0,0.0 150.0,86.1 300.0,136.5 450.0,172.3 600.0,200.0'" in text
    assert "loss 2 to 0.4, eval_loss 0.7 to 0.7, over 40 steps" in Page(text).text


def test_of_the_checkpoints_of_a_training_the_last_is_shown(tmp_path):
    for step in (900, 1000):
        folder = tmp_path / f"tiny/checkpoint-{step}"
        folder.mkdir(parents=True)
        log = [{"step": 0, "loss": 4}, {"step": step, "loss": 1}]
        (folder / "trainer_state.json").write_text(json.dumps({"log_history": log}), "utf-8")
    assert list(gather([tmp_path / "tiny"]).curves) == [str(tmp_path / "tiny/checkpoint-1000")]


def test_what_the_same_answer_would_get_is_marked_beside_the_score(tmp_path):
    lines = [
        {"id": f"row-{i}", "config": "shapes", "split": "test", "prompt": "Look.\nis red a circle"}
        | {"prediction": "yes" if i < 5 else "no", "references": ["no" if i < 6 else "yes"], "seconds": 0.1}
        for i in range(8)
    ]
    write_rows(tmp_path / "run/predictions.jsonl", lines)  # one "no" for 6 of 8 rows; the model has 1 of 8
    score([tmp_path / "run"], tmp_path / "scores")
    report([tmp_path], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "accuracy; always “\u2068no\u2069”: 75.0" in Page(text).text and "<u style='left:75.00%'></u>" in text


def test_a_very_small_picture_is_enlarged_pixel_by_pixel(runs):
    found = gather([runs])
    pictures, _ = read_pictures(found, choose_cases(found, 1))
    (shown,) = (Image.open(io.BytesIO(files[0])) for files in pictures.values())
    assert shown.size == (8 * 22, 6 * 22)  # 180 pixels hold 22 times 8


def test_figures_show_published_bars_and_ours(runs, tmp_path):
    assert PUBLISHED == {"MiniGPT-4": (167, 28, 105), "InstructBLIP": (196, 9, 95)}
    report([runs], tmp_path / "report.html", figures=tmp_path / "figures")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["case_study.png", "gpt4_eval.png"]
    ours, sheet = (Image.open(tmp_path / "figures" / name) for name in ("gpt4_eval.png", "case_study.png"))
    draw_verdicts([], tmp_path / "published.png")
    assert ours.height > Image.open(tmp_path / "published.png").height  # one bar more
    inks = {pixel for _, pixel in sheet.convert("RGB").getcolors(1 << 20)}
    assert {(20, 128, 79), (179, 38, 62)} <= inks  # right and wrong are marked


def test_pictures_say_what_they_are_and_curves_too(runs, tmp_path):
    report([runs], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    alts = re.findall(r"<img alt='([^']*)'", page)
    assert len(alts) == page.count("<img ") and all(
        re.search(r"row-\d+, picture (1 of 1|[12] of 2)$", alt) for alt in alts
    )


def test_rows_whose_letters_the_font_lacks_are_left_out_of_the_figure_and_counted(runs, tmp_path, monkeypatch):
    import m3it.showing.report

    monkeypatch.setattr(m3it.showing.report, "can_draw", lambda case: case.key[0] == "viquae")
    (problem,) = report([runs], tmp_path / "report.html", figures=tmp_path)
    assert "case_study.png: 2 of 8 rows, whose letters no font" in problem  # the two of the own config
    assert (tmp_path / "case_study.png").exists()


def test_a_letter_that_the_font_lacks_is_noticed(monkeypatch):
    from PIL import ImageFont

    import m3it.showing.report

    monkeypatch.setattr(
        "m3it.showing.rows._installed", lambda: [ImageFont.load_default(15)]
    )  # Pillow's own has Latin only
    case = Case(("a", "test", "1"), "f1", "What?", ["x"], [("m", "a coffee", 0.0, "")])
    assert m3it.showing.report.can_draw(case)
    assert not m3it.showing.report.can_draw(case._replace(references=["狗"]))
    assert not m3it.showing.report.can_draw(case._replace(answers=[("m", "狗", 0.0, "")]))


def test_long_names_and_unreadable_rows_fit_into_the_figure(runs, tmp_path):
    judge = json.loads((runs / "judge/judge.json").read_text("utf-8"))
    judge["models"] = ["organisation/a-model-with-a-name-of-many-words-13b-instruct", "other"]
    judge["results"]["all"]["unreadable"] = 2
    draw_verdicts([judge], tmp_path / "long.png")
    ink = np.asarray(Image.open(tmp_path / "long.png").convert("RGB")).min(axis=2) < 250
    assert not ink[:, :2].any() and not ink[:, -2:].any() and not ink[:1].any()  # nothing is cut off at the edges
    blue = (np.asarray(Image.open(tmp_path / "long.png").convert("RGB")) == (0x2F, 0x6F, 0xDE)).all(axis=2)
    assert np.ptp(np.flatnonzero(blue.any(axis=0))) > 300  # and the bars keep their place


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ReportError, match="nowhere: expected a folder of predictions, .*; there is none"):
        report([tmp_path / "nowhere"], tmp_path / "report.html")


def test_nothing_to_report_is_said(tmp_path):
    with pytest.raises(ReportError, match="nothing to report. Name folders of predictions.jsonl, scores.json"):
        report([tmp_path], tmp_path / "report.html")


def test_predictions_without_scores_say_what_to_run(runs, tmp_path):
    with pytest.raises(ReportError, match="Predictions without scores. Run: m3it score .*good --out scores"):
        report([runs / "good"], tmp_path / "report.html")


def test_the_script_predicts_scores_and_reports(repository, tmp_path):
    with ChatServer(lambda body: "answer 21") as server:
        arguments = ["--model", "m", "--config", "viquae", "--repo", repository, "--base-url", server.url]
        command = [sys.executable, ROOT / "scripts/evaluate.py", *arguments, "--out", tmp_path / "out"]
        told = subprocess.run(
            command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ROOT}
        )
    assert "viquae" in told.stdout and told.stdout.endswith("report.html\n")
    assert "answer 21" in Page((tmp_path / "out/report.html").read_text("utf-8")).text
