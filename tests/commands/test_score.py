"""m3it/commands/score.py: predict, score, judge and report."""

from chat_server import ChatServer


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
