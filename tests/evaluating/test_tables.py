"""m3it/evaluating/tables.py: scores and verdicts as text."""

from chat_server import ChatServer
from prediction_files import line, write_run
from scripted_judges import always_longer, judged, match_of

from m3it.evaluating.score import score
from m3it.evaluating.tables import score_table, verdict_table


def test_the_tables_as_text(tmp_path):
    rows = [line(0, "paris"), line(1, "rome"), line(0, None, "yes", "gqa", error="x"), line(1, "yes", "yes", "gqa")]
    text = score_table(
        score([write_run(tmp_path / "a", rows, "tiny", num_rows={"viquae/test": 3, "gqa/test": 2})], tmp_path)
    )
    lines = [" ".join(one.split()) for one in text.splitlines()]
    assert lines[0] == "tiny: scores in points with 95 % intervals"
    assert "viquae test 2 F1 50.0 [0.0, 100.0] 50.0 [0.0, 100.0] 1" in lines
    assert "gqa test 1 exact match 100.0 [100.0, 100.0] 100.0 [100.0, 100.0] 1" in lines
    assert any(one.startswith("all 2 3 ROUGE-L 66.7") for one in lines)


def test_unreadable_answers_have_a_share_and_what_other_harnesses_would_read_stands_beside_them(tmp_path):
    options = {"choices": ["cat", "dog"], "config": "imagenet"}
    rows = [line(i, text, "(A) cat", **options) for i, text in enumerate(["A", "the cat there", "or A, or B", "B"])]
    lines = [
        " ".join(one.split()) for one in score_table(score([write_run(tmp_path / "a", rows)], tmp_path)).split("\n")
    ]
    assert lines[2].endswith("unreadable empty lenient")
    assert lines[3].startswith("imagenet test 4 accuracy 25.0 ") and lines[3].endswith(" 2 (50 %) 50.0")


def test_verdicts_as_text(tmp_path):
    with ChatServer(always_longer) as server:
        found = judged(match_of(tmp_path), tmp_path / "out", server)
    found["missing"] = [{"config": "viquae", "id": "row-99", "reason": "short: no such row"}]
    lines = [" ".join(line.split()) for line in verdict_table(found).splitlines()]
    assert lines[:4] == [
        "long against short, judge judge-2024 2023-11-14",
        "win tie lose unreadable p",
        "all 8 0 4 0 0.388",
        "viquae 8 0 4 0 0.388",
    ]
    assert "replies 72 evidences, 0 asked again, 0 unreadable, 0 refused" in lines
    assert "missing 1 chosen rows have no prediction; judge.json lists them" in lines
    assert lines[-1] == "review 0 rows that a person should look at; judge.json lists them"
