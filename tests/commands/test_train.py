"""m3it/commands/train.py: from options to settings, to a run, to a line."""

import inspect
import json
from dataclasses import fields

import pytest
from conftest import make_row, write_rows
from typer import BadParameter

from m3it.commands.train import as_weights, train

WITHOUT_OPTION = {"weight_decay", "warmup", "log_every"}


@pytest.fixture
def settings():
    pytest.importorskip("torch", reason="torch is an extra")
    from m3it.training.settings import Settings

    return Settings


def test_every_setting_is_an_option_with_the_same_default(settings):
    given = {name: option.default for name, option in inspect.signature(train).parameters.items()}
    assert {field.name for field in fields(settings)} - set(given) == WITHOUT_OPTION
    assert {f.name: f.default for f in fields(settings) if f.name not in WITHOUT_OPTION} == {
        f.name: given[f.name] for f in fields(settings) if f.name not in WITHOUT_OPTION
    }


def test_a_weight_is_a_name_or_a_temperature():
    assert [as_weights(text) for text in ("size", "sqrt", "2.5", "3")] == ["size", "sqrt", 2.5, 3.0]
    with pytest.raises(BadParameter, match="--weights big: expected size, sqrt, a number, or a JSON file"):
        as_weights("big")


@pytest.mark.parametrize(
    "arguments", [["--weights", "big"], ["--on-error", "ignore"], ["--batch-size", "0"], ["--license", "free"]]
)
def test_wrong_options_are_wrong_usage_before_anything_is_made(m3it, tmp_path, repository, arguments):
    usual = ("--model", "tiny", "--repo", repository, "--out", tmp_path / "out")
    code, out, err = m3it("train", *usual, *arguments)
    assert (code, out) == (2, "") and arguments[0] in err and not (tmp_path / "out").exists()


def test_a_run_has_the_settings_that_were_given_and_says_its_losses(m3it, settings, tmp_path):
    write_rows(tmp_path / "repo/data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(8)])
    write_rows(tmp_path / "repo/data/kvqa/viquae/validation.jsonl", [make_row(i) for i in range(8, 10)])
    usual = ("--model", "tiny", "--repo", tmp_path / "repo", "--config", "viquae", "--max-steps", 2, "--batch-size", 2)
    code, out, _ = m3it("train", *usual, "--freeze", "vision", "--seed", 7, "--log-rows", "--out", tmp_path / "out")
    run = json.loads((tmp_path / "out/run.json").read_text("utf-8"))
    chosen = {"max_steps": 2, "batch_size": 2, "freeze": ["vision"], "seed": 7, "log_rows": True}
    assert run["options"] == {
        "model": "tiny",
        **{field.name: field.default for field in fields(settings)},
        **chosen,
        "processes": 1,
    }
    loss, evaluated = run["train_loss"], run["eval_loss"]
    assert code == 0 and out.startswith(f"{tmp_path / 'out'}: 2 steps, training loss {loss:.4f}")
    assert evaluated == [] or f"evaluation loss {evaluated[-1][1]:.4f}" in out
    code, out, err = m3it("train", *usual, "--out", tmp_path / "out")
    assert (code, out) == (1, "") and "Pass --resume" in err and err.count("\n") >= 1
    code, out, _ = m3it(
        "train", *usual, "--freeze", "vision", "--seed", 7, "--resume", "--json", "--out", tmp_path / "out"
    )
    assert code == 0 and json.loads(out)["steps"] == 2


def test_quickstart_says_where_the_page_is_and_how_good_the_answers_are(m3it, monkeypatch, tmp_path):
    pytest.importorskip("torch", reason="torch is an extra")
    import m3it.quickstart as library

    asked = []

    def scripted(out, repo, tell, progress):
        asked.append((out, repo))
        tell("1 of 4")
        scores = {"score": 61.37, "low": 58.4, "high": 64.4}
        return {"page": f"{out}/report.html", **scores, "majority_answer": "no", "majority_score": 63.4}

    monkeypatch.setattr(library, "quickstart", scripted)
    monkeypatch.chdir(tmp_path)
    code, out, err = m3it("quickstart", "--out", "here")
    assert (code, err) == (0, "1 of 4\n") and [(str(path), repo) for path, repo in asked] == [("here", None)]
    assert out == "accuracy on the test questions: 61.4 % [58.4, 64.4]; always 'no': 63.4 %\nhere/report.html\n"
    (tmp_path / "data").mkdir()
    m3it("quickstart")
    assert [(str(path), repo) for path, repo in asked[1:]] == [("quickstart", ".")]
