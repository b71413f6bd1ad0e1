"""m3it/commands/options.py: what every command understands alike."""

import re
from collections import defaultdict
from dataclasses import dataclass

import legacy_maker
import pytest
from conftest import make_row, write_rows
from typer import BadParameter
from typer.main import get_command

from m3it.cli import app
from m3it.commands.options import (
    as_bytes,
    as_drops,
    as_fields,
    as_settings,
    default_repo,
    holds_rows,
    progress,
)
from m3it.reading.load import load_builder
from m3it.work.terminal import as_size

OPTIONS = [
    (name, option) for name, command in get_command(app).commands.items() for option in command.params if option.name
]
OWN = {  # options that need a word of their own on some commands, and those commands
    "--task": {"list", "convert", "train"},
    "--language": {"list", "train"},
    "--repo": {"quickstart", "score", "judge", "report", "tasks", "demo"},
    "--limit": {"languages", "judge", "rate"},
    "--images": {"show", "release"},
    "--pack": {"show"},
    "--share-pictures": {"show"},
    "--config": {"check", "predict", "judge", "evaluate"},
    "--on-error": {"translate"},
    "--workers": {"train"},
    "--base-url": {"predict", "evaluate", "demo"},
    "--figures": {"stats", "report"},
    "--max-length": {"show"},
    "--max-tokens": {"demo"},
    "--root": {"download"},
    "--check": {"download"},
}


def test_an_option_means_the_same_on_every_command():
    helps = defaultdict(set)
    for command, option in OPTIONS:
        name = option.opts[0]
        if name not in ("--out", "--model", "--help") and name.startswith("--") and command not in OWN.get(name, ()):
            helps[name].add(option.help)
    assert {"--repo", "--split", "--limit", "--seed", "--parallel", "--json"} <= set(helps)
    assert {name: texts for name, texts in helps.items() if len(texts) > 1} == {}


def test_every_option_says_what_it_is_for_and_is_spelled_with_hyphens():
    for command, option in OPTIONS:
        assert option.help, (command, option.name)
        assert not any("_" in name for name in option.opts if name.startswith("--")), (command, option.opts)


def test_where_rows_come_from_if_nothing_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (default_repo(None), default_repo("a/b")) == ("MMInstruction/M3IT", "a/b")
    (tmp_path / "data").mkdir()
    assert default_repo(None) == "MMInstruction/M3IT"  # a folder of this name may be anything else's
    write_rows(tmp_path / "data/vqa/gqa/train.jsonl", [make_row(1)])
    assert (default_repo(None), default_repo("a/b")) == (".", "a/b")


def test_fields_are_pairs():
    assert as_fields(None) is None and as_fields([]) is None
    assert as_fields(["inputs=question", "outputs=a=b"]) == {"inputs": "question", "outputs": "a=b"}
    with pytest.raises(BadParameter, match="--fields inputs: expected e.g. inputs=question"):
        as_fields(["outputs=a", "inputs"])


@pytest.mark.parametrize(("text", "num_bytes"), [("400MB", 400_000_000), ("1.5gb", 1_500_000_000), ("1KB", 1000)])
def test_sizes_are_read(text, num_bytes):
    assert as_bytes(text) == num_bytes


@pytest.mark.parametrize("text", ["400", "MB", "", "0KB", "-1GB", "nanMB", "infMB", "4 TB"])
def test_what_is_no_size_is_wrong_usage(text):
    with pytest.raises(BadParameter, match="expected e.g. 400MB or 1.5GB"):
        as_bytes(text)


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (999_949, "999.9 KB"), (999_951, "1.0 MB"), (2.5e15, "2500.0 TB")],
)
def test_sizes_are_written_as_a_person_says_them(num_bytes, text):
    assert as_size(num_bytes) == text


def test_drops_are_said_by_reason():
    assert as_drops({}) == ""
    assert as_drops({"missing image": 2, "not JSON": 1}) == ", 2 dropped: missing image, 1 dropped: not JSON"


def test_settings_take_the_options_of_their_names():
    @dataclass
    class Kind:
        epochs: float = 1.0
        seed: int = 0

    assert as_settings(Kind, {"epochs": 2.0, "model": "tiny"}) == Kind(2.0, 0)


def test_no_bar_is_drawn_outside_a_terminal(capsys):
    assert list(progress([1, 2], "work")) == [1, 2]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("beside", ["data/raw/notes.txt", "data/images/train/cats/1.jpg", "data/train.jsonl"])
def test_a_data_folder_of_something_else_does_not_hide_the_hub(tmp_path, monkeypatch, beside):
    (tmp_path / beside).parent.mkdir(parents=True)
    (tmp_path / beside).write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert default_repo(None) == "MMInstruction/M3IT" and not holds_rows()
    with pytest.raises(ValueError, match=f"Config name is missing. {re.escape(str(tmp_path))} holds no shards below"):
        load_builder(".")
    legacy_maker.m3it(tmp_path, ("viquae",))  # a clone of the published repository
    assert default_repo(None) == "." and default_repo("Org/other") == "Org/other"
