"""scripts/paper.sh: the seven commands on the sample, with models that know nothing and a scripted judge."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from chat_server import ChatServer
from conftest import ROOT

from M3IT import CATALOGUE


def configs_of_script() -> list[str]:
    """The configs that the script names."""
    text = (ROOT / "scripts/paper.sh").read_text("utf-8")
    return text.partition("TESTED=(")[2].partition(")")[0].split()


def test_all_that_the_paper_holds_out_is_tested_and_what_it_judges():
    held_out = {name for name, dataset in CATALOGUE.items() if dataset.held_out}
    assert len(configs_of_script()) == len(set(configs_of_script())) and set(configs_of_script()) == held_out | {
        "okvqa",
        "a-okvqa",
    }


def test_without_a_language_model_the_script_says_what_is_missing():
    known = {name: value for name, value in os.environ.items() if name not in ("START", "LANGUAGE_MODEL")}
    done = subprocess.run([ROOT / "scripts/paper.sh"], env=known, capture_output=True, text=True)
    assert done.returncode != 0 and "LANGUAGE_MODEL: Hub id or folder" in done.stderr


@pytest.mark.slow
def test_the_papers_recipe_runs_on_the_sample(tmp_path):
    pytest.importorskip("torch")
    out, first = tmp_path / "paper", "Evidence: it is first.\nScore of answer 1: 9\nScore of answer 2: 3"
    with ChatServer(lambda body: first) as server:
        variables = {
            "OUT": out,
            "REPO": ROOT,
            "START": "--model tiny",
            "TRAIN": "--batch-size 4 --max-steps 3",
            "PREDICT": "--limit 4 --max-tokens 4",
            "OTHER": out / "stage1",
            "JUDGE": f"--model judge --base-url {server.url}",
            "LAUNCH": "python -m",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": ROOT,
            "HF_HUB_OFFLINE": "1",
        }
        subprocess.run([ROOT / "scripts/paper.sh"], env={**os.environ, **variables}, check=True)
        num_asked = len(server.asked)
    files = json.loads((out / "stage1/run.json").read_text("utf-8"))["mixture"]["files"]
    assert set(files) == {"coco", "textcap", "image-paragraph-captioning"}  # captions that are not held out
    files = json.loads((out / "stage2/run.json").read_text("utf-8"))["mixture"]["files"]
    assert {"coco", "shapes", "okvqa"} < set(files) and not any(CATALOGUE[name].held_out for name in files)
    scores = json.loads((out / "scores/scores.json").read_text("utf-8"))
    groups = {line["group"] for line in scores["models"][0]["groups"]}
    assert {"held-out", "Chinese", "video", "kvqa", "reasoning"} <= groups and len(scores["models"]) == 2
    assert {line["config"] for line in scores["models"][0]["datasets"]} == set(configs_of_script())
    verdicts = json.loads((out / "judge/judge.json").read_text("utf-8"))
    assert set(verdicts["results"]) == {"all", "okvqa", "a-okvqa", "viquae"}
    asked = verdicts["bias"]["num_rows"]
    assert num_asked == 6 * asked and verdicts["results"]["all"]["tie"] == 12  # the first place always wins: all tie
    assert verdicts["bias"]["num_turned"] == asked
    assert (out / "report.html").exists() and (out / "figures/gpt4_eval.png").exists()
