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

from m3it.sources.shapes import generate


@pytest.fixture
def small(tmp_path, monkeypatch):
    """(folder whose SHAPES are three questions of eight pictures, settings of four steps); there is no network."""
    torch = pytest.importorskip("torch")
    from m3it.quickstart import SETTINGS

    connect = socket.socket.connect

    def refuse(self, address):
        assert self.family == socket.AF_UNIX, f"asked the network for {address}"  # workers of a loader talk so
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    generate(tmp_path / "run/sources/shapes", num_questions=3, num_pictures=8)
    few = {"max_steps": 4, "batch_size": 4, "evaluate_every": 2, "save_every": 2, "log_every": 1, "workers": 0}
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two, beside other work on two cores, wait for each other most of the time
    yield tmp_path / "run", replace(SETTINGS, **few)
    torch.set_num_threads(num_threads)


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).split())


def test_every_stage_leaves_its_files_and_is_not_done_again(small):
    from m3it.quickstart import quickstart

    (out, settings), told = small, []
    found = quickstart(out, str(ROOT), settings, told.append)
    assert [line[:6] for line in told] == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]
    lines = [json.loads(line) for line in (out / "predictions/predictions.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == 24 and {reference for line in lines for reference in line["references"]} == {"yes", "no"}
    shares = {answer: sum(line["references"] == [answer] for line in lines) / 24 for answer in ("yes", "no")}
    answer = max(shares, key=shares.get)
    assert found["majority_answer"] == answer and found["majority_score"] == pytest.approx(100 * shares[answer])
    right = sum(line["prediction"] == line["references"][0] for line in lines) / 24
    assert found["score"] == pytest.approx(100 * right, abs=1e-3)
    page = Path(found["page"]).read_text("utf-8")
    text = text_of(page)
    assert "Training" in text and "over 4 steps" in text and page.count("<polyline") == 2
    assert f"always “\u2068{answer}\u2069”: {100 * shares[answer]:.1f}" in text
    assert page.count("<article>") == 8 + 6 and page.count("data:image/jpeg;base64,") == 8 + 6  # grid and worst rows
    mixed = json.loads((out / "tiny/run.json").read_text("utf-8"))["mixture"]
    assert {"shapes", "okvqa", "nlvr", "msrvtt"} <= set(mixed["files"]) and "okvqa-zh" not in mixed["files"]
    times = {path: path.stat().st_mtime_ns for path in (out / "data").rglob("t*.jsonl")}
    model = (out / "tiny/model.safetensors").stat().st_mtime_ns
    assert quickstart(out, str(ROOT), settings, told.append) == found
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert (out / "tiny/model.safetensors").stat().st_mtime_ns == model


def test_without_data_it_learns_from_shapes_alone_and_says_so(small):
    from m3it.quickstart import mix, quickstart

    (out, settings), told = small, []
    quickstart(out, None, replace(settings, max_steps=1), told.append)
    assert "no data/ here" in told[1]
    assert [part.name for part in mix(out, None, settings).mixed_parts] == ["shapes"]


KILLED = """
import sys
from dataclasses import replace
from m3it.quickstart import SETTINGS, quickstart
settings = replace(SETTINGS, max_steps=40, batch_size=4, evaluate_every=40, save_every=5, log_every=1, workers=0)
quickstart(sys.argv[1], None, settings)
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
@pytest.mark.xfail(
    reason="61.4 % of questions never asked are right, always no has 63.4 %", raises=AssertionError, strict=True
)
def test_the_real_quickstart_beats_the_majority_answer(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "m3it", "quickstart", "--out", str(tmp_path / "out")]
    begun = time.monotonic()
    told = subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    print(f"{told}{time.monotonic() - begun:.0f} s")
    low = float(re.search(r"\[([\d.]+), ", told)[1])
    assert low > float(re.search(r"always 'no': ([\d.]+) %", told)[1]) and told.endswith("report.html\n")
