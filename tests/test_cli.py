"""m3it/cli.py: results to stdout, progress to stderr, one sentence for an error, exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import legacy_maker
import pytest
from chat_server import ChatServer
from conftest import FIXTURES, ROOT, make_row, picture, write_rows
from typer.main import get_command

from m3it import CATALOGUE
from m3it.cli import app, main
from m3it.commands.options import default_repo, holds_rows
from m3it.reading.load import load_builder
from m3it.rows.images import pixels

COMMANDS = sorted(get_command(app).commands)
USUAL = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}  # as users have it
ENVIRONMENT = {**USUAL, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def m3it(monkeypatch, capsys):
    """Run the command line in this process: (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["m3it", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


# ---- all commands


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_does_and_shows_an_example(m3it, command):
    code, out, err = m3it(command, "--help")
    assert (code, err) == (0, "")
    assert f"m3it {command}" in " ".join(out.split()) and "Example:" in out


def test_help_lists_every_command(m3it):
    code, out, _ = m3it("--help")
    assert code == 0 and all(f" {command} " in out for command in COMMANDS)
    assert {"list", "show", "check", "convert", "card"} <= set(COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["list", "--nonsense"],
        ["list", "--license", "free"],
        ["list", "--task", "vqas"],
        ["release", ".", "--out", "x", "--format", "csv"],
        ["release", ".", "--out", "x", "--shard-size", "400"],
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


def start(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "m3it.cli", *map(str, arguments)], env=ENVIRONMENT, text=True, **options
    )


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


# ---- list


def test_list_shows_all_datasets(m3it):
    code, out, err = m3it("list")
    assert (code, err) == (0, "") and len(out.splitlines()) == 41
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(CATALOGUE)


def test_list_as_json_is_one_value(m3it):
    rows = json.loads(m3it("list", "--task", "kvqa", "--json")[1])
    assert [row["name"] for row in rows] == ["okvqa", "a-okvqa", "science-qa", "viquae"]
    assert rows[0]["train"] == 9009 and rows[0]["license"] == "CC-BY-4.0"


def test_list_by_language_and_license(m3it):
    chinese = {row["name"] for row in json.loads(m3it("list", "--language", "zh", "--json")[1])}
    assert chinese == {d.name for d in CATALOGUE.values() if d.language == "zh" or d.translated} and len(chinese) == 12
    code, out, err = m3it("list", "--language", "xx")
    assert (code, out) == (2, "") and "--language xx: expected en or one of af, am, " in err
    free = json.loads(m3it("list", "--license", "commercial", "--json")[1])
    assert [row["name"] for row in free] == ["shapes", "clevr"]


# ---- show


def test_show_prints_rows(m3it, repository):
    code, out, err = m3it("show", "viquae", "--repo", repository, "--limit", 2)
    assert (code, err) == (0, "")
    assert out.count("instruction ") == 2 and "What is 0?" in out and "What is 1?" in out and "What is 2?" not in out
    assert "What is 20?" in m3it("show", "viquae", "--repo", repository, "--split", "test")[1]
    assert "\u4ec0\u4e48 0" in m3it("show", "okvqa-zh", "--repo", repository)[1]


def test_show_finds_the_repository_of_this_folder(m3it, repository, monkeypatch):
    monkeypatch.chdir(repository)
    assert "What is 0?" in m3it("show", "viquae")[1]


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


def test_show_as_json_and_as_a_picture(m3it, repository, tmp_path):
    code, out, err = m3it("show", "viquae", "--repo", repository, "--json", "--images", tmp_path / "rows.png")
    rows = json.loads(out)
    assert code == 0 and [row["inputs"] for row in rows] == ["What is 0?", "What is 1?", "What is 2?"]
    assert json.loads(rows[0]["meta"])["id"] == "row-0" and err == f"3 rows drawn into {tmp_path / 'rows.png'}\n"
    sheet = pixels((tmp_path / "rows.png").read_bytes())
    for number in range(3):
        assert (sheet == pixels(picture(number))[0, 0]).all(axis=2).sum() > 1000


def test_show_says_which_splits_there_are(m3it, repository):
    code, _, err = m3it("show", "viquae", "--repo", repository, "--split", "validation")
    assert code == 1 and err == "viquae has no split 'validation'; it has train, test.\n"


# ---- check


def test_check_of_a_good_repository_exits_0(m3it, repository):
    code, out, err = m3it("check", repository)
    assert (code, out, err) == (0, "17 rows of 2 configs read, 0 findings\n", "")
    assert m3it("check", repository, "--config", "okvqa-zh")[1].startswith("4 rows of 1 configs read")


def test_check_of_broken_rows_exits_1_with_file_line_and_rule(m3it, repository):
    write_rows(repository / "data/t/d/train.jsonl", [make_row(0), make_row(1, outputs=3)])
    code, out, err = m3it("check", repository)
    (line,) = out.splitlines()
    assert (
        code == 1
        and line.startswith("data/t/d/train.jsonl:2: expected a string in outputs")
        and line.endswith("[types]")
    )
    assert err == "19 rows of 3 configs read, 1 findings\n"


def test_check_as_json_is_one_value(m3it, repository):
    write_rows(repository / "data/t/d/train.jsonl", [make_row(0), make_row(1, outputs=3)])
    code, out, err = m3it("check", repository, "--json")
    result = json.loads(out)
    assert (code, err) == (1, "")
    (finding,) = result["findings"]
    assert (finding["rule"], finding["where"]) == ("types", "data/t/d/train.jsonl:2")
    assert sorted(result["rows"]) == [
        ["d", "train", 2],
        ["okvqa-zh", "validation", 4],
        ["viquae", "test", 3],
        ["viquae", "train", 10],
    ]


def test_check_of_a_path_that_holds_nothing_is_an_error_also_as_the_second(m3it, repository, tmp_path):
    (tmp_path / "empty").mkdir()
    for paths in ([tmp_path / "empty"], [repository, tmp_path / "empty"], [repository, "--config", "coco"]):
        code, _, err = m3it("check", *paths)
        assert code == 1 and "no shards found" in err, paths


def test_check_of_a_broken_rule_of_the_hub_says_why_and_what_to_do(m3it, repository, tmp_path):
    m3it("release", repository, "--out", tmp_path / "made")
    readme = tmp_path / "made/README.md"
    readme.write_text(readme.read_text("utf-8").replace("license: other\n", ""), "utf-8")
    code, out, _ = m3it("check", tmp_path / "made")
    assert code == 0 and "README.md: warning:" in out and "[card-metadata-complete] Why: " in out
    (tmp_path / "made/data/kvqa/viquae/test.parquet").unlink()
    code, out, _ = m3it("check", tmp_path / "made")
    assert code == 1 and "[files-listed] Why: a file is shown under the config and the split that name it" in out


def test_check_against_compares_two_repositories(m3it, repository, tmp_path):
    m3it("release", repository, "--out", tmp_path / "made")
    code, out, _ = m3it("check", tmp_path / "made", "--against", repository)
    assert (code, out) == (0, "17 rows of 2 configs the same in both, 0 findings\n")
    write_rows(repository / "data/kvqa/viquae/test.jsonl", [make_row(n) for n in range(2)])
    code, out, _ = m3it("check", tmp_path / "made", "--against", repository)
    assert code == 1 and out.startswith("viquae/test: expected the same rows, found")


# ---- release


def test_release_prints_the_proof_and_how_to_publish(m3it, repository, tmp_path):
    code, out, err = m3it("release", repository, "--out", tmp_path / "made", "--config", "viquae")
    first, *_, digest, upload = out.splitlines()
    assert (code, err) == (0, "")
    assert first.startswith("viquae/train: 10 rows in, 10 out, ") and digest.startswith("digest of all: ")
    assert upload.startswith("hf upload") and str(tmp_path / "made") in upload


def test_release_leaves_out_broken_rows_where_asked_and_says_so(m3it, repository, tmp_path):
    with open(repository / "data/kvqa/viquae/test.jsonl", "a", encoding="utf-8") as file:
        file.write("{\n")
    code, _, err = m3it("release", repository, "--out", tmp_path / "one")
    assert code == 1 and "test.jsonl" in err
    code, out, _ = m3it("release", repository, "--out", tmp_path / "two", "--on-error", "drop")
    assert code == 0 and "viquae/test: 4 rows in, 3 out, 1 dropped: not JSON" in out


def test_release_as_json_lines_is_a_card(m3it, repository, tmp_path):
    code, out, _ = m3it("release", repository, "--out", tmp_path / "made", "--format", "jsonl")
    assert code == 0 and out.splitlines()[-1].startswith("digest of all: ")
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == [
        "LICENSES.md", "README.md", "dataset_infos.json", "run.json",
    ]  # fmt: skip


# ---- card


def test_card_writes_and_card_check_says_what_is_old(m3it, repository):
    (repository / "README.md").write_text("# Mine\n", "utf-8")
    code, out, _ = m3it("card", repository, "--check")
    assert code == 1 and "+- config_name: viquae" in out and not (repository / "dataset_infos.json").exists()
    assert m3it("card", repository) == (0, "2 of 2 files written\n", "")
    assert m3it("card", repository, "--check") == (0, "0 of 2 files are out of date\n", "")
    assert m3it("card", repository) == (0, "0 of 2 files written\n", "")


def test_card_of_no_repository_is_an_error(m3it, tmp_path):
    assert m3it("card", tmp_path)[0] == 1
    assert m3it("card", tmp_path / "none")[0] == 1


# ---- convert


def test_convert_show_and_check_a_fixture(m3it, tmp_path):
    code, out, err = m3it("convert", "okvqa", "--root", FIXTURES / "okvqa", "--out", tmp_path, "--on-error", "drop")
    lines = out.splitlines()
    assert code == 0 and [line.split(":")[0] for line in lines] == ["train.jsonl", "validation.jsonl"]
    assert lines[0].startswith("train.jsonl: 8 rows") and lines[0].endswith(
        "1 dropped: missing image, 1 dropped: unreadable image, 1 dropped: no answers"
    )
    assert m3it("check", tmp_path)[0] == 0
    assert "outputs      paris" in m3it("show", "okvqa", "--repo", tmp_path)[1]


def test_convert_stops_at_an_unreadable_row_with_one_sentence(m3it, tmp_path):
    code, out, err = m3it("convert", "okvqa", "--root", FIXTURES / "okvqa", "--out", tmp_path)
    assert (code, out) == (1, "") and "okvqa/train: row '3000015': missing image" in err and "Traceback" not in err


def test_convert_limits_the_rows_of_each_split(m3it, tmp_path):
    code, out, _ = m3it(
        "convert", "okvqa", "--root", FIXTURES / "okvqa", "--out", tmp_path, "--limit", 2, "--split", "train"
    )
    assert code == 0 and out.startswith("train.jsonl: 2 rows") and out.count("\n") == 1


# ---- predict, score, judge, report


def test_predict_score_judge_and_report_meet_in_files(m3it, repository, tmp_path):
    first = "Evidence: it is first.\nScore of answer 1: 9\nScore of answer 2: 3"
    for name, said in (("good", "answer 21"), ("poor", "nothing known")):
        with ChatServer(lambda body, said=said: said) as server:
            rows = ("--config", "viquae", "--repo", repository, "--base-url", server.url)
            assert m3it("predict", "--model", name, *rows, "--out", tmp_path / name) == (
                0, "viquae/test: 3 rows predicted\n", ""
            )  # fmt: skip
    code, out, _ = m3it("score", tmp_path / "good", tmp_path / "poor", "--out", tmp_path / "scores")
    assert code == 0 and "first: good\nsecond: poor" in out
    with ChatServer(lambda body: first) as server:
        asked = ("--model", "gpt", "--base-url", server.url, "--config", "viquae", "--prices", 2, 10)
        code, out, err = m3it("judge", tmp_path / "good", tmp_path / "poor", *asked, "--out", tmp_path / "judge")
    assert code == 0 and err.startswith("18 requests, 0 replies on disk; the others about ") and "at most about" in err
    assert "3 of 3 verdicts (100 %) turned with the sides" in out
    arguments = (tmp_path / "scores", tmp_path / "good", tmp_path / "poor", tmp_path / "judge")
    page = tmp_path / "report.html"
    assert m3it("report", *arguments, "--out", page) == (0, f"{page}\n", "")
    assert "good" in page.read_text("utf-8")


def test_judging_that_would_cost_too_much_stops_with_a_sentence(m3it, repository, tmp_path):
    for name in ("good", "poor"):
        with ChatServer(lambda body, said=name: said) as server:
            rows = ("--config", "viquae", "--repo", repository, "--base-url", server.url)
            assert m3it("predict", "--model", name, *rows, "--out", tmp_path / name)[0] == 0
    with ChatServer(lambda body: "no") as server:
        asked = ("--model", "gpt", "--base-url", server.url, "--config", "viquae", "--prices", 2, 10)
        runs = (tmp_path / "good", tmp_path / "poor")
        code, out, err = m3it("judge", *runs, *asked, "--max-cost", 0.0001, "--out", tmp_path / "judge")
        assert not server.asked
    assert (code, out) == (1, "") and "raise it and run again" in err and "Traceback" not in err
