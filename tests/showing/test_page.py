"""m3it/showing/page.py: whole in itself, true to the files it was made of, and safe whatever they hold."""

import base64
import io
import json
import re
import sys
from configparser import ConfigParser
from html.parser import HTMLParser

import pytest
from conftest import ROOT, write_rows
from PIL import Image

from m3it.evaluating.score import score
from m3it.rows.instance import M3ITError
from m3it.showing.case_study import choose_cases, gather
from m3it.showing.page import load_template, render_page
from m3it.showing.report import report
from m3it.work.extras import install


class Page(HTMLParser):
    """The tags of a page, and what they point at; an unclosed or crossed tag fails."""

    EMPTY = ("meta", "img", "br", "i", "input", "line", "polyline")

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
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
    inside = {link for link in page.links if link.startswith("#")}
    outside = [link for link in page.links if link not in inside]
    assert outside and all(link.startswith("data:image/jpeg;base64,") for link in outside)
    assert inside and all(text.count(f' id="{link[1:]}"') == 1 for link in inside)  # each leads to one place
    assert "script" not in page.tags and "link" not in page.tags and "iframe" not in page.tags
    assert not re.search(r"url\(|@import|https?://(?!127\.0\.0\.1)", text)  # the server of the settings
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text
    assert "<script>alert(1)</script> & what?" in page.text  # shown as text


def test_pictures_on_the_page_are_those_of_the_rows(runs, tmp_path):
    report([runs], tmp_path / "report.html")
    links = [link for link in Page((tmp_path / "report.html").read_text("utf-8")).links if link[:1] != "#"]
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
    # 2, 1, 2/3, 1/2, 2/5: a twentieth of log(5) is left above and below, so 2 stands at 200 * 0.05 / 1.1 from the top
    assert 'points="0.0,9.1 150.0,87.4 300.0,133.2 450.0,165.7 600.0,190.9"' in text
    assert 'points="600.0,127.7 600.0,127.7"' in text  # one value alone is a dot
    assert "loss 2 to 0.4, eval_loss 0.7 to 0.7, over 40 steps" in Page(text).text
    across = re.findall(r'<span class="across" style="left:([\d.]+)%">([\d,]+)</span>', text)
    assert across == [("0.00", "0"), ("25.00", "10"), ("50.00", "20"), ("75.00", "30"), ("100.00", "40")]
    down = re.findall(r'<span class="down" style="top:([\d.]+)%">([\d.]+)</span>', text)
    assert down == [("82.85", "0.5"), ("43.70", "1"), ("4.55", "2")] and text.count("<line ") == 5 + 3


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
    assert "accuracy; always “\u2068no\u2069”: 75.0" in Page(text).text and '<u style="left:75.00%"></u>' in text


def test_a_score_of_0_has_no_line_of_an_interval(runs, tmp_path):
    report([runs], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert '<b style="width:0.00%"></b>' in text and "left:0.00%;width:0.00%" not in text


def sections(text):
    """What stands under each heading of the second order, by it."""
    return dict(re.findall(r"<h2>(.*?)</h2>(.*?)</section>", text, re.DOTALL))


def test_own_metrics_are_open_and_rouge_l_is_folded(runs, tmp_path):
    report([runs], tmp_path / "report.html")
    shown = sections((tmp_path / "report.html").read_text("utf-8"))["Scores"]
    folds = re.findall(r"<details( open)?><summary>(.*?)</summary>", shown)
    assert folds == [
        ("", "exact match by dataset"),  # of viquae, whose own is F1
        ("", "ROUGE-L by dataset"),
        (" open", "exact match by group of datasets, all rows together"),  # one dataset alone is no group: F1 has none
        ("", "ROUGE-L by group of datasets, all rows together"),
    ]
    first, _, rest = shown.partition("<details")
    assert re.findall(r'<div class="group"><span>(\w+)</span><small>([\w ,]+)', first) == [
        ("viquae", "test, F1"),
        ("mine", "test, exact match"),
    ]
    assert "ROUGE-L" not in first


def test_the_page_names_its_sections_and_leads_to_them(runs, tmp_path):
    report([runs], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    (contents,) = re.findall(r'<nav aria-label="Contents">(.*?)</nav>', text, re.DOTALL)
    assert re.findall(r">([^<]+)</a>", contents) == list(sections(text))
    assert "<title>2 models answered 14 rows of viquae/test and mine/test. A judge compared good and poor on 12" in text


def test_the_table_is_there_in_each_order_that_can_be_chosen(runs, tmp_path):
    report([runs], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    named = re.findall(r'<input type="radio" name="sort" id="sort-(\d)"( checked)?>([\w ]+)</label>', text)
    assert [(number, name) for number, _, name in named] == [
        ("1", "dataset"),
        ("2", "score"),
        ("3", "distance to the majority answer"),
        ("4", "rows"),
    ]
    assert [checked for _, checked, _ in named] == [" checked", "", "", ""]
    tables = re.findall(r'<div class="sorted by-\d">(.*?)</table>', text, re.DOTALL)
    scores = [[float(n) for n in re.findall(r'<td class="n">([\d.]+) <small>', table)] for table in tables]
    assert [len(some) for some in scores] == [4, 4, 4, 4]
    assert scores[1] == sorted(scores[0], reverse=True) != scores[0]
    rows = [int(n) for n in re.findall(r'<td class="n">(\d+)</td>', tables[3])]
    assert rows == [12, 12, 2, 2]
    css = (ROOT / "m3it/showing/page.css").read_text("utf-8")
    assert all(f".sort:has(#sort-{n}:checked) ~ .by-{n}" in css for n, *_ in named)


def test_what_is_one_is_said_in_the_singular(tmp_path):
    line = {"id": "r", "config": "coco", "split": "test", "prompt": "?", "prediction": "a dog", "references": ["a dog"]}
    write_rows(tmp_path / "run/predictions.jsonl", [{**line, "seconds": 0.1}])
    (tmp_path / "run/trainer_state.json").write_text('{"log_history": [{"step": 1, "loss": 2}]}')
    score([tmp_path / "run"], tmp_path / "scores")
    report([tmp_path], tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text("utf-8")).text
    assert "1 model answered 1 row of coco/test. The losses of 1 training are below." in text
    assert "1 model 1 dataset 1 prediction scored" in text and "over 1 step;" in text
    assert not re.search(r"\b1 (models|datasets|predictions|rows|configs|steps)\b", text)


def test_unreadable_answers_and_the_lenient_reading_stand_beside_accuracy(tmp_path):
    said = ["A", "B", "surely it must be (B) here", "no idea"]  # the right one is always B: 1 right, 2 unreadable
    lines = [
        {"id": f"row-{i}", "config": "science-qa", "split": "test", "prompt": "Choose.\nWhich? (A) cat (B) dog"}
        | {"prediction": text, "references": ["B"], "choices": ["cat", "dog"], "seconds": 0.1}
        for i, text in enumerate(said)
    ]
    write_rows(tmp_path / "run/predictions.jsonl", lines)
    score([tmp_path / "run"], tmp_path / "scores")
    report([tmp_path], tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text("utf-8")).text
    assert "rows unreadable lenient" in text and "4 2 50 % 50.0" in text  # of 4 rows 2 right, the third by its letter
    assert "50 % unreadable, read leniently 50.0" in text


def test_the_page_says_what_makes_it_again_without_a_password(runs, tmp_path):
    folder = runs.parent / "two words"
    runs.rename(folder)
    report([folder], tmp_path / "report.html", repo="https://me:secret@example.org/rows?token=1")
    text = Page((tmp_path / "report.html").read_text("utf-8")).text
    assert f"This page is made by m3it report '{folder}' --repo " in text and "secret" not in text


def test_the_same_files_give_the_same_bytes(runs, tmp_path):
    pages = [tmp_path / name for name in ("one.html", "two.html")]
    for page in pages:
        report([runs], page)
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_a_score_that_one_picture_cannot_have_is_a_dash_with_its_reason(tmp_path):
    line = {"id": "r", "config": "coco", "split": "test", "prompt": "?", "prediction": "a dog", "references": ["a dog"]}
    write_rows(tmp_path / "run/predictions.jsonl", [{**line, "group": "1", "seconds": 0.1}])
    score([tmp_path / "run"], tmp_path / "scores")
    report([tmp_path], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert '<span title="compares pictures, and there is one alone">-</span>' in text and Page(text).tags


def test_pictures_say_what_they_are_and_curves_too(runs, tmp_path):
    report([runs], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    alts = re.findall(r'<img alt="([^"]*)"', page)
    assert len(alts) == page.count("<img ") and all(
        re.search(r"row-\d+, picture (1 of 1|[12] of 2)$", alt) for alt in alts
    )


HOSTILE = """<script>alert('1')</script>" onload="x" '&"""


def hostile(value, name=""):
    """The value with every text in it hostile; what our own code decides by, names of fields and metrics, stays."""
    if isinstance(value, dict):
        named_by_files = name in ("results", "answered_as", "num_rows", "num_failed", "versions", "settings")
        return {
            HOSTILE + key if named_by_files and key != "all" else key: hostile(of, key) for key, of in value.items()
        }
    if isinstance(value, list):
        return [hostile(of, name) for of in value]
    return HOSTILE + value if isinstance(value, str) and name not in ("metric", "command", "split") else value


def test_whatever_texts_the_files_hold_they_are_shown_as_text(runs, tmp_path):
    for file in [*runs.glob("*/*.json"), *runs.glob("*/*.jsonl")]:
        text = file.read_text("utf-8")
        values = map(json.loads, text.splitlines() if file.suffix == ".jsonl" else [text])
        file.write_text("".join(json.dumps(hostile(value)) + "\n" for value in values), "utf-8")
    log = [{"step": step, "loss": 1.0 + step} for step in range(3)]
    folder = runs / "<script>" / 'x" onload="x'
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": log}), "utf-8")
    (problem, *_) = report([runs, folder.parent], tmp_path / "report.html")
    assert "<script>" in problem  # the repository has such a name, too
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    plain = Page(render_page(gather([runs]), cases=[], worst={}, pictures={}, problems=[]))
    assert set(page.tags) <= {
        *plain.tags,
        *["article", "h4", "p", "em", "br", "svg", "line", "polyline", "img", "code"],
    }
    assert "script" not in page.tags
    assert not [name for name in page.attributes if name.startswith("on")]
    for what in (
        "good",
        "viquae",
        "row-1",
        "nothing known",
        "2023-11-14",
        "gpt",
        "gpt-2024",
        "Answer the question.",
        "answer 1",
    ):
        assert HOSTILE + what in page.text, what


def places_of_numbers(value, path=()):
    """The path of every number in nested dictionaries and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, of in items:
        yield from [(*path, key)] if isinstance(of, (int, float)) else places_of_numbers(of, (*path, key))


@pytest.mark.parametrize("file", ["judge.json", "scores.json"])
def test_a_text_where_a_number_belongs_never_gets_into_the_page_as_markup(runs, file):
    found = gather([runs])
    value = found.judges[0] if file == "judge.json" else found.scores
    num_refused = 0
    for *path, last in places_of_numbers(value):
        holder = value
        for key in path:
            holder = holder[key]
        before, holder[last] = holder[last], HOSTILE
        try:
            page = Page(render_page(found, cases=[], worst={}, pictures={}, problems=[]))
            assert "script" not in page.tags and not [name for name in page.attributes if name.startswith("on")]
        except (TypeError, ValueError):
            num_refused += 1
        holder[last] = before
    assert num_refused > 20  # all that are shown


def test_the_page_forbids_scripts_and_remote_loads(runs, tmp_path):
    report([runs], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_a_missing_jinja2_is_said(monkeypatch):
    load_template.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(M3ITError, match=re.escape(f"The page needs Jinja2: {install('eval')}")):
        load_template()


def test_the_markup_is_part_of_the_package():
    declared = ConfigParser()
    declared.read(ROOT / "setup.cfg")
    patterns = declared["options.package_data"]["m3it.showing"].split(", ")
    files = {path.name for path in (ROOT / "m3it/showing").iterdir() if path.is_file() and path.suffix != ".py"}
    assert files == {"page.html", "page.css", "seen.html", "door.css"}
    assert {pattern.removeprefix("*") for pattern in patterns} == {f".{name.split('.')[1]}" for name in files}
