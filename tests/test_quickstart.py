"""The main job end to end, small: what each stage leaves, offline, killed, and called again; the real one (slow)."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT

from m3it.rows.instance import M3ITError


@pytest.fixture
def small(tmp_path, monkeypatch):
    """(folder, options of a quickstart of 96 rows a split and four steps); there is no network."""
    pytest.importorskip("torch")
    pytest.importorskip("easy_vqa", reason="easy-vqa is in the extra train")
    from m3it.quickstart import SETTINGS

    connect = socket.socket.connect

    def refuse(self, address):
        assert self.family == socket.AF_UNIX, f"asked the network for {address}"  # workers of a loader talk so
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    few = {"max_steps": 4, "batch_size": 4, "save_every": 2, "log_every": 1, "workers": 0}
    return tmp_path / "run", {"settings": replace(SETTINGS, **few), "limit": 96}


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).split())


def test_every_stage_leaves_its_files_and_is_not_done_again(small):
    from m3it.quickstart import quickstart

    (out, options), told = small, []
    found = quickstart(out, str(ROOT), **options, tell=told.append)
    stages = [line[:6] for line in told if line[1:6] == " of 4"]  # on a slow machine other lines say how far it is
    assert stages == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]
    lines = [json.loads(line) for line in (out / "predictions/predictions.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 96 and {line["id"].split("-")[0] for line in lines} == {"test"}
    yes_or_no = [line for line in lines if line["references"][0] in ("yes", "no")]
    table = {line["kind"]: line for line in found["lines"]}
    assert set(table) == {"yes or no", "shape", "color", "all"} and table["all"]["num_rows"] == 96
    assert table["yes or no"]["num_rows"] == len(yes_or_no)
    answer = table["yes or no"]["majority_answer"]
    share = sum(line["references"] == [answer] for line in yes_or_no) / len(yes_or_no)
    assert share >= 0.5 and table["yes or no"]["majority_score"] == pytest.approx(100 * share)
    right = sum(line["prediction"] == line["references"][0] for line in lines) / 96
    scores = json.loads((out / "scores/scores.json").read_text("utf-8"))["models"][0]["datasets"][0]["scores"]
    assert table["all"]["score"] == pytest.approx(scores["exact_match"]["score"], abs=1e-3)
    assert table["all"]["score"] == pytest.approx(100 * right)
    page = Path(found["page"]).read_text("utf-8")
    assert "Training" in text_of(page) and "over 4 steps" in text_of(page) and "<polyline" in page
    assert page.count("data:image/jpeg;base64,") == 8 + 6  # the case study and the worst rows
    mixed = json.loads((out / "tiny/run.json").read_text("utf-8"))["mixture"]
    assert {"easy-vqa", "shapes", "okvqa", "nlvr", "msrvtt"} <= set(mixed["files"])
    assert "okvqa-zh" not in mixed["files"]
    times = {path: path.stat().st_mtime_ns for path in (out / "data").rglob("t*.jsonl")}
    model = (out / "tiny/model.safetensors").stat().st_mtime_ns
    assert quickstart(out, str(ROOT), **options, tell=told.append) == found
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert (out / "tiny/model.safetensors").stat().st_mtime_ns == model


def test_without_data_it_learns_from_easy_vqa_alone_and_says_so(small):
    from m3it.quickstart import quickstart

    (out, options), told = small, []
    quickstart(out, None, **options, tell=told.append)
    assert any("no data/ here" in line for line in told)
    mixed = json.loads((out / "tiny/run.json").read_text("utf-8"))["mixture"]
    assert set(mixed["files"]) == {"easy-vqa"}


def test_the_hard_one_learns_both_and_says_how_both_are_answered(small):
    from m3it.quickstart import quickstart
    from m3it.sources.shapes import generate

    out, options = small
    generate(out / "sources/shapes", num_questions=3, num_pictures=8)
    found = quickstart(out, None, hard=True, **options, tell=[].append)
    table = {(line["dataset"], line["kind"]): line["num_rows"] for line in found["lines"]}
    assert table["easy-vqa", "all"] == 96 and table["shapes", "yes or no"] == 24
    assert found["page"] == str(out / "hard/report.html") and not (out / "tiny").exists()


def test_without_its_pictures_it_says_what_to_install(small, monkeypatch):
    from m3it.quickstart import quickstart

    out, options = small
    monkeypatch.setitem(sys.modules, "easy_vqa", None)
    with pytest.raises(M3ITError, match="pip install easy-vqa"):
        quickstart(out, None, **options, tell=[].append)


KILLED = """
import sys
from dataclasses import replace
from m3it.quickstart import SETTINGS, quickstart
settings = replace(SETTINGS, max_steps=40, batch_size=4, save_every=5, log_every=1, workers=0)
quickstart(sys.argv[1], None, settings, limit=96)
"""


@pytest.mark.slow
def test_a_killed_quickstart_goes_on_from_its_checkpoint(small, tmp_path):
    out, _ = small
    command = [sys.executable, "-c", KILLED, str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, env=environment)
    while not (out / "tiny/checkpoint-5/mixture.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "report.html").exists()
    subprocess.run(command, env=environment, check=True)
    state = json.loads((out / "tiny/checkpoint-40/trainer_state.json").read_text("utf-8"))
    assert [entry["step"] for entry in state["log_history"] if "loss" in entry] == list(range(1, 41))
    assert (out / "report.html").exists()


@pytest.mark.slow
def test_the_real_quickstart_answers_97_of_100_questions_about_unseen_pictures(tmp_path):
    pytest.importorskip("easy_vqa", reason="easy-vqa is in the extra train")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "m3it", "quickstart", "--out", str(tmp_path / "out")]
    begun = time.monotonic()
    ended = subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True)
    print(f"{ended.stdout}{time.monotonic() - begun:.0f} s")
    number, right, always = re.search(r"easy-vqa, all +([\d,]+) +([\d.]+) % +([\d.]+) %", ended.stdout).groups()
    assert number == "9,673" and float(right) >= 97 and float(always) < 60
    assert len(ended.stderr.splitlines()) < 200 and max(map(len, ended.stderr.splitlines())) < 200  # piped: no bars
