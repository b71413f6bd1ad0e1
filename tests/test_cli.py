"""m3it/cli.py: results to stdout, progress to stderr, one sentence for an error, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, make_row, write_rows
from typer.main import get_command

from m3it import __version__
from m3it.cli import app, main

COMMANDS = sorted(get_command(app).commands)
USUAL = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}  # as users have it
ENVIRONMENT = {**USUAL, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_does_and_shows_an_example(m3it, command):
    code, out, err = m3it(command, "--help")
    assert (code, err) == (0, "")
    assert f"m3it {command}" in " ".join(out.split()) and "Example:" in out


def test_help_lists_every_command(m3it):
    code, out, _ = m3it("--help")
    assert code == 0 and all(f" {command} " in out for command in COMMANDS)
    assert {"list", "show", "check", "convert", "card"} <= set(COMMANDS)


def test_the_version_is_said(m3it):
    assert m3it("--version") == (0, f"m3it {__version__}\n", "")


def test_help_and_wrong_usage_do_not_wait_for_datasets():
    """They take a fraction of a second; `datasets` alone takes a second and a half."""
    program = "import sys; from m3it.cli import main\ntry: main()\nfinally: print('datasets' in sys.modules)"
    for arguments in (["--help"], ["train", "--help"], ["--version"], ["nonsense"]):
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, env=ENVIRONMENT, text=True, capture_output=True)
        assert done.stdout.endswith("False\n"), arguments


def test_a_shell_completes_commands_and_options(monkeypatch, m3it):
    monkeypatch.setenv("_M3IT_COMPLETE", "complete_bash")
    for words, completed in (("m3it tra", {"train", "translate"}), ("m3it train --lo", {"--lora", "--log-rows"})):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
        code, out, _ = m3it()
        assert code == 0 and set(out.split()) == completed


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["list", "--nonsense"],
        ["list", "--license", "free"],
        ["list", "--task", "vqas"],
        ["release", ".", "--out", "x", "--format", "csv"],
        ["release", ".", "--out", "x", "--shard-size", "400"],
        ["release", ".", "--out", "x", "--yes"],
        ["release", ".", "--out", "s3://bucket/x", "--push", "org/name"],
        ["release", ".", "--out", "x", "--push", "org/name", "--format", "jsonl"],
        ["show"],
        ["show", "viquae", "--limit", "many"],
        ["show", "viquae", "--limit", "0"],
        ["convert"],
        ["convert", "okvqa", "--on-error", "ignore"],
        ["convert", "okvqa", "--workers", "0"],
        ["convert", "--name", "my-set"],
        ["convert", "--converter", "my_set.py:convert"],
        ["convert", "okvqa", "--converter", "my_set.py:convert", "--name", "my-set"],
    ],
)
def test_wrong_usage_exits_2_and_prints_no_result(m3it, arguments):
    code, out, err = m3it(*arguments)
    assert (code, out) == (2, "") and err and "Traceback" not in err


def test_a_known_error_is_one_sentence_and_exit_1(m3it, repository):
    for arguments in (
        ["show", "vique", "--repo", repository],
        ["show", "viquae", "--repo", "no_such_folder"],
        ["convert", "okvqaa"],
    ):
        code, out, err = m3it(*arguments)
        assert (code, out) == (1, "")
        assert err.count("\n") == 1 and "Traceback" not in err and len(err) < 400
    assert "Did you mean 'okvqa'?" in err


def test_the_traceback_is_shown_where_it_is_asked_for(monkeypatch, repository):
    monkeypatch.setenv("M3IT_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["m3it", "show", "vique", "--repo", str(repository)])
    with pytest.raises(ValueError, match="Unknown config 'vique'"):
        main()


def test_an_error_of_ours_is_not_said_as_if_it_were_the_users(m3it, monkeypatch, repository):
    """`int` raises a ValueError, too; so does our own code, of an argument."""
    for fails in (lambda repo: int("twelve"), lambda repo: {}["none"], lambda repo: json.loads("{")):
        monkeypatch.setattr("m3it.showing.stats.all_stats", fails)
        code, out, err = m3it("stats", "--repo", repository)
        assert (code, out) == (1, "") and err.startswith("Traceback")
        assert err.endswith("an error of m3it, not of what it was given: please report it with the lines above.\n")
    code, out, err = m3it(
        "train", "--model", "tiny", "--out", repository / "out", "--epochs", "-1", "--repo", repository
    )
    assert code == 1 and err.endswith("epochs=-1.0: expected a number above 0\n") and "Traceback" not in err


def start(*arguments, **options):
    return subprocess.Popen([sys.executable, "-m", "m3it", *map(str, arguments)], env=ENVIRONMENT, text=True, **options)


def test_ctrl_c_exits_130(tmp_path):
    """A named pipe in place of a source file, which nobody writes to, keeps the command waiting."""
    (tmp_path / "root").mkdir()
    os.mkfifo(tmp_path / "root/pipe")
    body = "print('begun', flush=True)\n    open(root.files.folder / 'pipe').read()\n    yield\n"
    (tmp_path / "my_set.py").write_text(f"def convert(root, split):\n    {body}", "utf-8")
    arguments = (
        "--converter",
        f"{tmp_path}/my_set.py",
        "--name",
        "my-set",
        "--root",
        tmp_path / "root",
        "--out",
        tmp_path / "out",
    )

    def listen():  # a job in the background of a script ignores Ctrl-C, and hands that on to its children
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start("convert", *arguments, **pipes, preexec_fn=listen) as process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.1)  # from the line to the wait
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130 and "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments", [("show", "d", "--repo", ".", "--limit", "300"), ("list",), ("list", "--json"), ("--help",)]
)
def test_a_reader_that_has_enough_is_no_error(tmp_path, arguments):
    """Where stdout is buffered, what is left goes out when Python ends."""
    write_rows(
        tmp_path / "data/t/d/train.jsonl", [make_row(i, 0, inputs="x" * 900) for i in range(300)]
    )  # more than a pipe holds
    with start(*arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
