"""m3it/commands/train.py: from options to settings, to a run, to a line."""

import inspect
import json
import shlex
from dataclasses import fields

import pytest
from conftest import make_row, write_rows
from typer import BadParameter

from m3it.commands.train import as_condition, as_weights, train

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
    assert as_weights("english=0.6") == "english=0.6"
    with pytest.raises(
        BadParameter, match="--weights big: expected size, sqrt, a number, languages .english=0.6., or a JSON file"
    ):
        as_weights("big")


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("num_images<=4", ("num_images", "<=", 4)),
        ("num_images >= 1.5", ("num_images", ">=", 1.5)),
        ("meta.split==train2014", ("meta.split", "==", "train2014")),
        ('meta.id = "815"', ("meta.id", "=", "815")),
        ('language in ["en", "zh"]', ("language", "in", ["en", "zh"])),
        ('language not in ["en"]', ("language", "not in", ["en"])),
        ("inputs!=a<b", ("inputs", "!=", "a<b")),
    ],
)
def test_a_filter_on_the_command_line(text, condition):
    assert as_condition(text) == condition


@pytest.mark.parametrize("text", ["num_images", "num_images<=", "<=4", "num_images~4"])
def test_a_filter_that_is_none_is_refused(text):
    with pytest.raises(BadParameter, match=f"--filter {text}: expected a column, an operator and a value"):
        as_condition(text)


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


LINES = [
    {"dataset": "easy-vqa", "kind": "yes or no", "num_rows": 7136, "majority_answer": "yes"},
    {"dataset": "easy-vqa", "kind": "all", "num_rows": 9673, "majority_answer": ""},
]
TABLE = """\
test questions          number     right   always the commonest answer
easy-vqa, yes or no      7,136    98.8 %   50.2 % (yes)
easy-vqa, all            9,673    98.8 %   50.2 %
"""


def test_quickstart_ends_with_how_good_the_answers_are_and_what_to_do_next(m3it, monkeypatch, tmp_path):
    pytest.importorskip("torch", reason="torch is an extra")
    import m3it.quickstart as library

    asked = []

    def scripted(out, repo, *, hard, tell):
        asked.append((str(out), repo, hard))
        tell("1 of 4")
        print("what the Trainer prints")
        lines = [{**line, "score": 98.76, "majority_score": 50.21} for line in LINES]
        return {"page": f"{out}/report.html", "model": f"{out}/tiny", "lines": lines}

    monkeypatch.setattr(library, "quickstart", scripted)
    monkeypatch.chdir(tmp_path)
    code, out, err = m3it("quickstart", "--out", "over here")
    assert (code, err) == (0, "1 of 4\nwhat the Trainer prints\n") and asked == [("over here", None, False)]
    assert out.startswith(
        f"{TABLE}\nThe report: over here/report.html\nNext:\n  m3it demo --model 'over here/tiny' --repo 'over here' "
    )
    commands = [shlex.split(line, comments=True)[1:] for line in out.split("Next:\n")[1].splitlines()]
    assert [m3it(command[0], "--help")[0] for command in commands] == [0, 0, 0, 0]
    for command in commands:  # each option there is
        assert {word for word in command if word.startswith("--")} <= set(m3it(command[0], "--help")[1].split())
    write_rows(tmp_path / "data/vqa/viquae/train.jsonl", [make_row(0)])
    code, out, _ = m3it("quickstart", "--hard")
    assert asked[1:] == [("quickstart", ".", True)] and "SHAPES is not solved" in out
