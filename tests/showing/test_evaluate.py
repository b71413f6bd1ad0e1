"""m3it/showing/evaluate.py: predict, score and report in one go."""

import sys

import pytest
from chat_server import ChatServer

from m3it.cli import main
from m3it.showing.evaluate import evaluate


@pytest.fixture
def server():
    with ChatServer(lambda body: "answer 21") as started:
        yield started


def test_the_command_predicts_scores_and_reports(repository, tmp_path, server, monkeypatch, capsys):
    arguments = ["--model", "m", "--config", "viquae", "--repo", repository, "--base-url", server.url]
    monkeypatch.setattr(sys, "argv", ["m3it", "evaluate", *map(str, arguments), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().out
    assert not ended.value.code and "viquae" in told and told.endswith("report.html\n")
    assert "answer 21" in (tmp_path / "out/report.html").read_text("utf-8")
    assert (tmp_path / "out/figures/case_study.png").exists()


def test_the_first_process_alone_scores_and_reports(repository, tmp_path, server, monkeypatch):
    options = {"repo": str(repository), "base_url": server.url}
    monkeypatch.setenv("RANK", "1")
    assert evaluate("m", ["viquae"], tmp_path / "out", **options) == (None, [])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["predictions"]
    monkeypatch.setenv("RANK", "0")
    scores, problems = evaluate("m", ["viquae"], tmp_path / "out", **options)
    assert scores["models"][0]["datasets"][0]["num_rows"] == 3 and problems == []
    assert len(server.asked) == 3  # what was predicted is not asked again
