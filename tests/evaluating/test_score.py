"""m3it/evaluating/score.py: the tables by dataset and group, and two models side by side."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from prediction_files import dataset_line, failure, line, write_run

from m3it.evaluating.metrics import METRICS
from m3it.evaluating.row_scores import Scored, resample
from m3it.evaluating.runs import ScoreError, read_runs
from m3it.evaluating.score import _difference, compare, score
from m3it.evaluating.tables import score_table


def group_line(found: dict, group: str, metric: str) -> dict:
    return next(one for one in found["models"][0]["groups"] if (one["group"], one["metric"]) == (group, metric))


def test_a_dataset_has_its_own_metric_and_rouge_l_and_every_row_is_accounted_for(tmp_path):
    rows = [line(0, "paris"), line(1, "in paris"), line(2, "rome"), line(3, ""), line(4, None, error="no picture"),
            line(5, "x", reference="  ")]  # fmt: skip
    run = write_run(tmp_path / "a", rows, "tiny", num_rows={"viquae/test": 10})
    found = dataset_line(score([run], tmp_path / "out"), "viquae")
    # F1 of the four rows: 1, 2/3, 0, 0; ROUGE-L the same; exact match 1, 0, 0, 0
    assert {name: scores["score"] for name, scores in found["scores"].items()} == {
        "f1": 41.6667, "exact_match": 25.0, "rouge_l": 41.6667,
    }  # fmt: skip
    counts = {name: found[f"num_{name}"] for name in ("rows", "missing", "failed", "without_reference", "empty")}
    assert counts == {"rows": 4, "missing": 4, "failed": 1, "without_reference": 1, "empty": 1}
    assert found["failed"] == [{"id": "row-4", "error": "no picture"}]
    assert found["groups"] == ["all", "held-out", "kvqa"] and found["metric"] == "f1"


def test_a_failed_row_is_never_scored_as_empty(tmp_path):
    rows = [line(0, "paris"), line(1, "rome")]
    with_failure = write_run(tmp_path / "a", [*rows, line(2, "", error="cut off")])
    without = write_run(tmp_path / "b", rows)
    found = [dataset_line(score([run], tmp_path / "out"), "viquae")["scores"] for run in (with_failure, without)]
    assert found[0] == found[1]


def test_rows_of_a_drop_list_are_neither_scored_nor_missing(tmp_path):
    run = write_run(tmp_path / "a", [line(0, "paris"), line(1, "rome")], num_rows={"viquae/test": 2})
    (tmp_path / "drop.jsonl").write_text('{"config": "viquae", "split": "test", "id": "row-1"}\n')
    report = score([run], tmp_path / "out", exclude=tmp_path / "drop.jsonl")
    found = dataset_line(report, "viquae")
    assert (found["num_rows"], found["num_missing"], found["scores"]["f1"]["score"]) == (1, 0, 100.0)
    assert report["options"]["num_excluded"] == 1
    (tmp_path / "drop.jsonl").write_text("row-0\nrow-1\n")
    with pytest.raises(ScoreError, match="viquae/test: all 2 predicted rows are on the drop list"):
        score([run], tmp_path / "out", exclude=tmp_path / "drop.jsonl")


def test_what_a_model_thinks_aloud_is_not_scored(tmp_path):
    options = {"choices": ["cat", "dog"], "config": "imagenet"}
    rows = [line(0, "It barks: (A) is no dog.</think>\n(B)", "(B) dog", **options),
            line(1, "<think>(B)", "(B) dog", **options),
            line(0, "<think>A cat?</think>a red dog", "a red dog", "coco", group="1"),
            line(1, "<plan>hm</plan>a blue boat", "a blue boat", "coco", group="2")]  # fmt: skip
    run = write_run(tmp_path / "a", rows)
    found = score([run], tmp_path / "out")
    choice, captions = dataset_line(found, "imagenet"), dataset_line(found, "coco")
    assert choice["scores"]["accuracy"]["score"] == 100 and choice["num_failed"] == 1 and not choice["num_unreadable"]
    assert captions["scores"]["rouge_l"]["score"] < 100
    found = score([run], tmp_path / "out", reasoning_tags=["plan", "think"])
    assert dataset_line(found, "coco")["scores"]["rouge_l"]["score"] == 100
    assert found["options"]["reasoning_tags"] == ["plan", "think"]


def test_an_answer_that_names_no_option_is_counted_as_unreadable(tmp_path):
    options = {"choices": ["cat", "dog"], "config": "imagenet"}
    said = ["(A) cat", "B", "a dog, I think", ""]
    rows = [line(i, text, "(A) cat", **options) for i, text in enumerate(said)]
    found = dataset_line(score([write_run(tmp_path / "a", rows)], tmp_path / "out"), "imagenet")
    assert found["scores"]["accuracy"]["score"] == 25.0 and found["num_unreadable"] == 2
    assert found["accuracy_of_readable"] == 50.0 and found["accuracy_lenient"] == 25.0
    rows[3]["prediction"] = "I see a cat. A dog is not there, so (A)"
    found = dataset_line(score([write_run(tmp_path / "b", rows)], tmp_path / "out"), "imagenet")
    assert (found["num_unreadable"], found["accuracy_lenient"]) == (2, 50.0)


def test_cider_of_one_picture_is_not_scored_and_says_why(tmp_path):
    """It would be 0 whatever the caption: a word weighs by how few pictures it is said of."""
    rows = [line(i, "a dog", "a dog", "coco", group="1") for i in range(2)]
    scores = score([write_run(tmp_path / "a", rows, "x"), write_run(tmp_path / "b", rows, "y")], tmp_path / "out")
    found = dataset_line(scores, "coco")
    assert list(found["scores"]) == ["rouge_l"] and found["scores"]["rouge_l"]["score"] == 100
    assert found["not_scored"] == dict.fromkeys(["cider_d", "cider"], "compares pictures, and there is one alone")
    assert {one["metric"] for one in scores["comparisons"][0]["datasets"]} == {"rouge_l"}
    assert {one["metric"] for one in scores["models"][0]["groups"]} == {"rouge_l"}
    text = score_table(scores)
    assert "CIDEr-D: compares pictures, and there is one alone" in text
    assert "coco test 2 CIDEr-D - 100.0 [100.0, 100.0]" in [" ".join(one.split()) for one in text.split("\n")]
    rows[1]["group"] = "2"
    rows[1]["references"] = ["a cat"]
    found = dataset_line(score([write_run(tmp_path / "c", rows)], tmp_path / "out"), "coco")
    assert list(found["scores"]) == ["cider_d", "cider", "rouge_l"] and "not_scored" not in found


def test_micro_counts_rows_and_macro_counts_datasets(tmp_path):
    # gqa: 3 of 4 right; clevr: 0 of 1; the Chinese row counts in no task
    rows = [line(i, "yes" if i else "no", "yes", "gqa") for i in range(4)]
    rows += [line(0, "no", "yes", "ocr-vqa"), line(0, "对", "对", "fm-iqa"), line(1, "猫", "对", "fm-iqa")]
    rows += [line(0, "是", "是", "okvqa-zh"), line(0, "x", "x", "my-own")]
    found = score([write_run(tmp_path / "a", rows)], tmp_path / "out")
    vqa = group_line(found, "vqa", "exact_match")
    assert (vqa["num_configs"], vqa["num_rows"]) == (2, 5)
    assert (vqa["micro"]["score"], vqa["macro"]["score"]) == (60.0, 37.5)
    assert group_line(found, "Chinese", "rouge_l")["micro"]["score"] == 50.0
    assert group_line(found, "language zh", "vqa_accuracy")["num_rows"] == 1
    assert group_line(found, "all", "rouge_l")["num_rows"] == 9
    assert group_line(found, "other", "exact_match")["micro"]["score"] == 100.0


def test_rows_are_scored_in_their_own_language(tmp_path):
    rows = [
        line(0, "Красная собака бежит домой", "Красная собака бежит домой", "okvqa-ru"),
        line(0, "Zwölf Bäume stehen hier", "Zwölf Bäume stehen hier", "multi30k", language="de"),
        line(1, "Two trees", "Two trees", "multi30k"),
    ]
    found = score([write_run(tmp_path / "a", rows)], tmp_path / "out", metrics=["chrf"])
    assert dataset_line(found, "okvqa-ru")["scores"]["rouge_l"]["score"] == 100
    assert dataset_line(found, "multi30k")["scores"]["chrf"]["score"] == 100
    assert dataset_line(found, "multi30k")["scores"]["rouge_l"]["score"] == 100


def test_the_ten_answers_count_for_vqa_accuracy_and_the_rewritten_output_does_not(tmp_path):
    answers = ["race"] * 2 + ["ski"] * 8
    rows = [line(0, "The answer is race.", config="okvqa", references=["It is a ski race.", *answers])]
    found = dataset_line(score([write_run(tmp_path / "a", rows)], tmp_path / "out"), "okvqa")
    assert found["scores"]["vqa_accuracy"]["score"] == 60.0


def test_scores_of_rows_stand_in_a_file_of_their_own_and_runs_repeat(tmp_path):
    run = write_run(tmp_path / "a", [line(i, "paris" if i % 3 else "rome") for i in range(30)], "tiny")
    for out in ("one", "two"):
        score([run], tmp_path / out)
    for name in ("scores.json", "row_scores.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    rows = [json.loads(text) for text in (tmp_path / "one/row_scores.jsonl").read_text("utf-8").splitlines()]
    assert rows[1] == {
        "model": "tiny", "config": "viquae", "split": "test", "id": "row-1",
        "scores": {"f1": 100.0, "exact_match": 100.0, "rouge_l": 100.0},
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"scores.json", "row_scores.jsonl"}


def two_runs(tmp_path, ours, theirs, config="gqa"):
    """Two runs whose rows are right (1) or wrong (0)."""
    for name, right in (("ours", ours), ("theirs", theirs)):
        rows = [line(i, "yes" if one else "no", "yes", config) for i, one in enumerate(right)]
        write_run(tmp_path / name, rows, name)
    return read_runs([tmp_path / "ours", tmp_path / "theirs"])


def test_a_better_model_is_told_from_an_equal_one(tmp_path):
    rng = np.random.default_rng(0)
    base = rng.random(200) < 0.5
    better = compare(*two_runs(tmp_path, base | (rng.random(200) < 0.3), base))["datasets"][0]
    assert better["metric"] == "exact_match" and better["p"] < 0.01 and better["difference"]["low"] > 0
    assert better["rows"]["second"] == 0 and sum(better["rows"].values()) == 200
    same = compare(*two_runs(tmp_path, base, base))["datasets"][0]
    assert same["p"] == 1 and same["difference"] == {"score": 0, "low": 0, "high": 0}


def test_models_that_are_equal_on_average_are_called_different_in_one_test_of_twenty(tmp_path):
    rng, called = np.random.default_rng(0), 0
    for seed in range(300):
        scored = []
        for scores in rng.random((2, 100)) < 0.5:
            counts = np.stack([np.ones(100), scores], axis=1)
            sums = {"exact_match": counts.sum(axis=0)}
            drawn = {"exact_match": resample(counts, seed)}
            scored.append(Scored({"exact_match": scores.astype(float)}, sums, drawn, 0))
        called += _difference("exact_match", *scored)["p"] < 0.05
    assert 0.02 <= called / 300 <= 0.09


def test_only_rows_of_both_are_compared_and_the_others_counted(tmp_path):
    runs = two_runs(tmp_path, [1, 1, 0, 1], [1, 0])
    found = compare(*runs)["datasets"][0]
    assert (found["num_rows"], found["num_only_first"], found["num_only_second"]) == (2, 2, 0)
    assert (found["first"], found["second"]) == (100.0, 50.0)
    both = score([tmp_path / "ours", tmp_path / "theirs"], tmp_path / "out")
    assert "Rows that only one of them predicted are left out" in score_table(both)
    assert [model["model"] for model in both["models"]] == ["ours", "theirs"]


def test_rows_are_compared_in_one_order_and_by_the_references_of_shared_rows(tmp_path):
    rows = [line(i, f"a red dog {i}", f"a red dog {i}", "coco", group=f"{i // 2}.jpg") for i in range(6)]
    write_run(tmp_path / "ours", rows, "ours")
    write_run(
        tmp_path / "theirs", [rows[5], rows[1], rows[0], rows[3], line(4, None, "x", "coco", error="x")], "theirs"
    )
    for found in compare(*read_runs([tmp_path / "ours", tmp_path / "theirs"]))["datasets"]:
        assert (found["num_rows"], found["num_only_first"]) == (4, 2)
        assert found["rows"] == {"first": 0, "equal": 4, "second": 0} and found["p"] == 1


def test_a_model_has_one_score_alone_in_a_table_and_next_to_another_model(tmp_path):
    texts = ["a red dog", "two boats", "a red cat", "one tall tree"]
    rows = [line(i, texts[i], texts[i], "coco", group=f"{i // 2}.jpg") for i in range(4)]
    first = [{**row, "prediction": "two boats"} for row in rows]
    second = [{**rows[0], "prediction": "two boats"}, {**rows[2], "prediction": "one tall tree"}]
    paths = [write_run(tmp_path / "one", first, "one"), write_run(tmp_path / "two", second, "two")]
    found = score(paths, tmp_path / "out", metrics=["rouge_l"])
    compared = next(one for one in found["comparisons"][0]["datasets"] if one["metric"] == "rouge_l")
    # Row 0 is scored against "two boats" too, the caption of its image that only the first run holds.
    assert compared["num_rows"] == 2 and compared["second"] == 100
    assert found["models"][1]["datasets"][0]["scores"]["rouge_l"]["score"] == compared["second"]
    assert compare(*read_runs(paths))["datasets"] == found["comparisons"][0]["datasets"]
    lines = [json.loads(one) for one in (tmp_path / "out/row_scores.jsonl").read_text("utf-8").splitlines()]
    of_first = {one["id"]: one["scores"]["rouge_l"] for one in lines if one["model"] == "one"}
    assert (of_first["row-0"] + of_first["row-2"]) / 2 == pytest.approx(compared["first"], abs=1e-3)


def test_a_config_that_nobody_can_score_is_left_out_of_the_comparison(tmp_path):
    rows = [line(0, "x"), line(0, "x", "", "st-vqa")]
    runs = read_runs([write_run(tmp_path / name, rows, name) for name in ("one", "two")])
    assert {found["config"] for found in compare(*runs)["datasets"]} == {"viquae"}


def test_models_without_a_row_in_common(tmp_path):
    paths = [
        write_run(tmp_path / "a", [line(0, "x")], "one"),
        write_run(tmp_path / "b", [line(0, "x", config="gqa")], "two"),
    ]
    assert "one predicted rows of viquae/test, two of gqa/test, and no row that can be scored is in both" in failure(
        paths, tmp_path
    )
    paths[1] = write_run(tmp_path / "b", [line(1, "x")], "two")
    assert "no row that can be scored is in both" in failure(paths, tmp_path)


def test_references_that_differ_between_two_models(tmp_path):
    paths = [write_run(tmp_path / name, [line(0, "x", reference=name)], name) for name in ("one", "two")]
    assert "the references of 1 of 1 rows differ between one and two, the first is 'row-0'" in failure(paths, tmp_path)


def test_an_unknown_metric_is_answered_with_the_known(tmp_path):
    with pytest.raises(ValueError, match="Unknown metric 'meteor': expected one of accuracy, vqa_accuracy, anls"):
        score([write_run(tmp_path / "a", [line(0, "x")])], tmp_path, metrics=["meteor"])


@pytest.mark.slow
def test_the_bench_runs_and_its_figures_agree(tmp_path):
    pytest.importorskip("pycocoevalcap")
    command = [sys.executable, ROOT / "bench/evaluate.py", "--rows", "2000", "--references", "2"]
    table = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [[cell.strip() for cell in text.split("|")[1:-1]] for text in table if text.startswith("| ")][1:]
    assert [row[0] for row in rows] == [*(metric.title for metric in METRICS.values()), "all, with intervals"]
    same = [row for row in rows if row[3] and row[0] != "CIDEr"]  # that one's time only has something to stand beside
    assert all(float(row[7]) < 1e-6 for row in same)
