"""Files of predictions, tables, intervals, two models, and sentences for what cannot be scored."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, make_row, write_rows

from m3it.evaluating.metrics import METRICS
from m3it.evaluating.ngrams import finish_bleu
from m3it.evaluating.runs import ScoreError, read_run, read_runs, usable
from m3it.evaluating.score import compare, interval, majority_score, measure, resample, score
from m3it.evaluating.tables import render


def line(number: int, prediction: str | None, reference: str = "paris", config: str = "viquae", **more) -> dict:
    """The `number`-th line of predictions.jsonl."""
    row = {"id": f"row-{number}", "config": config, "split": "test", "prompt": "?", "prediction": prediction}
    return {**row, "references": [reference], "seconds": 0.1, **more}


def write_run(folder: Path, rows: list, model: str | None = None, **run) -> Path:
    """A folder as `m3it predict` leaves it."""
    write_rows(folder / "predictions.jsonl", rows)
    if model:
        (folder / "run.json").write_text(json.dumps({"command": "predict", "model": model, **run}), "utf-8")
    return folder


def dataset_line(found: dict, config: str) -> dict:
    return next(one for one in found["models"][0]["datasets"] if one["config"] == config)


def group_line(found: dict, group: str, metric: str) -> dict:
    return next(one for one in found["models"][0]["groups"] if (one["group"], one["metric"]) == (group, metric))


def failure(paths, tmp_path, **options) -> str:
    """The sentence that scoring these ends in."""
    with pytest.raises(ScoreError) as raised:
        score(paths, tmp_path / "out", **options)
    return str(raised.value)


# ---- the tables


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


def test_an_answer_that_names_no_option_is_counted_as_unreadable(tmp_path):
    options = {"choices": ["cat", "dog"], "config": "imagenet"}
    said = ["(A) cat", "B", "a dog, I think", ""]
    rows = [line(i, text, "(A) cat", **options) for i, text in enumerate(said)]
    found = dataset_line(score([write_run(tmp_path / "a", rows)], tmp_path / "out"), "imagenet")
    assert found["scores"]["accuracy"]["score"] == 25.0 and found["num_unreadable"] == 2
    assert found["accuracy_of_readable"] == 50.0


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


def test_captions_of_one_image_share_their_references_and_are_drawn_together(tmp_path):
    rows = [
        line(0, "a red dog", "a red dog", "coco", group="1.jpg"),
        line(1, "a red dog", "two boats", "coco", group="1.jpg"),
        line(2, "a cat", "a cat", "coco", group="2.jpg"),
    ]
    assert [row["references"] for row in usable(rows)] == [["a red dog", "two boats"]] * 2 + [["a cat"]]
    found = dataset_line(score([write_run(tmp_path / "a", rows)], tmp_path / "out"), "coco")
    assert list(found["scores"]) == ["cider_d", "cider", "rouge_l"] and found["scores"]["rouge_l"]["score"] == 100
    # rows of one image are not drawn apart: with one image there is nothing to draw
    alone = measure(usable(rows[:2]), ["rouge_l"], "coco")
    assert np.ptp(alone.resampled["rouge_l"]) == 0


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


def test_the_tables_as_text(tmp_path):
    rows = [line(0, "paris"), line(1, "rome"), line(0, None, "yes", "gqa", error="x"), line(1, "yes", "yes", "gqa")]
    text = render(
        score([write_run(tmp_path / "a", rows, "tiny", num_rows={"viquae/test": 3, "gqa/test": 2})], tmp_path)
    )
    lines = [" ".join(one.split()) for one in text.splitlines()]
    assert lines[0] == "tiny: scores in points with 95 % intervals"
    assert "viquae test 2 F1 50.0 [0.0, 100.0] 50.0 [0.0, 100.0] 1" in lines
    assert "gqa test 1 exact match 100.0 [100.0, 100.0] 100.0 [100.0, 100.0] 1" in lines
    assert any(one.startswith("all 2 3 ROUGE-L 66.7") for one in lines)


def test_the_majority_answer_is_scored_by_the_datasets_own_metric():
    rows = [
        {"id": str(i), "prediction": "", "references": [answer], "choices": []}
        for i, answer in enumerate(["yes", "no", "yes", "no", "yes"])
    ]
    assert majority_score(rows, ("nlvr", "validation")) == ("yes", pytest.approx(60))  # 3 of 5
    assert majority_score(rows, ("vist", "test")) is None  # ROUGE-L knows no right and wrong


# ---- intervals


def test_a_resample_is_a_draw_of_rows_with_replacement():
    draws = resample(np.eye(50), seed=1)
    assert draws.shape == (1000, 50) and (draws.sum(axis=1) == 50).all()
    assert draws.var() == pytest.approx(1 - 1 / 50, abs=0.02)  # multinomial: n p (1 - p)
    assert (resample(np.eye(50), seed=1) == draws).all() and (resample(np.eye(50), seed=2) != draws).any()


def test_bleu_of_a_resample_is_that_of_the_rows_it_drew():
    bleu = pytest.importorskip("sacrebleu.metrics").BLEU()
    rng = np.random.default_rng(0)
    vocabulary = ["a", "red", "dog", "cat", "on", "the", "street", "runs"]
    texts = [" ".join(rng.choice(vocabulary, rng.integers(4, 9))) for _ in range(60)]
    rows = [line(i, texts[i], texts[i + 30], "multi30k") for i in range(30)]
    scored = measure(rows, ["bleu"], "multi30k")
    # the rows' order of units is that of their ids, sorted as texts
    order = np.argsort(np.unique([f"row {row['id']}" for row in rows], return_inverse=True)[1])
    from m3it.rows.instance import hash_of

    draws = resample(np.eye(30), hash_of("multi30k", "resample", 0))
    for draw, sums in list(zip(draws, scored.resampled["bleu"], strict=True))[:5]:
        drawn = [rows[order[unit]] for unit, times in enumerate(draw) for _ in range(int(times))]
        expected = bleu.corpus_score([row["prediction"] for row in drawn], [[row["references"][0] for row in drawn]])
        assert finish_bleu(sums) == pytest.approx(expected.score, abs=1e-6)


def test_95_of_100_intervals_hold_the_true_accuracy():
    rng, held = np.random.default_rng(0), 0
    for seed in range(300):
        scores = (rng.random(200) < 0.3).astype(float)
        counts = np.stack([np.ones(200), scores], axis=1)
        drawn = resample(counts, seed)
        found = interval(float(scores.mean()), drawn[:, 1] / drawn[:, 0])
        held += found["low"] <= 0.3 <= found["high"]
    assert 0.91 <= held / 300 <= 0.98


# ---- two models


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
    from m3it.evaluating.score import Scored, _difference

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
    assert "Rows that only one of them predicted are left out" in render(both)
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


def test_a_config_that_nobody_can_score_is_left_out_of_the_comparison(tmp_path):
    rows = [line(0, "x"), line(0, "x", "", "st-vqa")]
    runs = read_runs([write_run(tmp_path / name, rows, name) for name in ("one", "two")])
    assert {found["config"] for found in compare(*runs)["datasets"]} == {"viquae"}


def test_folders_of_one_model_are_one_run_and_of_the_same_rows_two(tmp_path):
    write_run(tmp_path / "a", [line(0, "x")], "tiny")
    write_run(tmp_path / "b", [line(0, "x", config="gqa")], "tiny")
    write_run(tmp_path / "c", [line(0, "y")], "tiny")
    assert [len(run.rows) for run in read_runs([tmp_path / "a", tmp_path / "b"])] == [2]
    assert len(read_runs([tmp_path / "a", tmp_path / "c"])) == 2
    assert "named twice" in failure([tmp_path / "a", tmp_path / "c", tmp_path / "c"], tmp_path)


# ---- bad input


def test_an_empty_file_and_none_at_all(tmp_path):
    assert "is empty. Run m3it predict again" in failure([write_run(tmp_path / "a", [])], tmp_path)
    assert "there is no such file" in failure([tmp_path / "nowhere"], tmp_path)


def test_lines_that_predict_does_not_write(tmp_path):
    (tmp_path / "a").mkdir()
    file = tmp_path / "a/predictions.jsonl"
    for text, said in [
        ('{"id": "1", "conf', "line 1: expected a JSON object"),
        ("[1]", "line 1: expected id to be a str, found [1]"),
        ('{"id": 1}', "line 1: expected id to be a str, found 1"),
        ('{"config": "viquae", "prediction": "x"}', "line 1: expected id to be a str, found null"),
        (json.dumps({**line(0, None)}), "expected prediction to be a str, found null"),
        (json.dumps({**line(0, "x"), "references": "x"}), 'expected references to be a list, found "x"'),
    ]:
        file.write_text(text + "\n", "utf-8")
        assert said in failure([file], tmp_path)


def test_a_row_that_stands_twice(tmp_path):
    said = failure([write_run(tmp_path / "a", [line(0, "x"), line(1, "x"), line(0, "y")])], tmp_path)
    assert "line 3: row 'row-0' of viquae/test stands there already" in said


def test_predictions_of_another_config_or_split_than_the_run(tmp_path):
    run = write_run(tmp_path / "a", [line(0, "x")], "tiny", num_rows={"viquae/validation": 3})
    assert "holds rows of viquae/test, but run.json beside it is of a run on viquae/validation" in failure(
        [run], tmp_path
    )


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


def test_rows_are_checked_against_their_repository(tmp_path, repository):
    rows = [line(i, "x", f"answer {i}") for i in (20, 21)]
    run = write_run(tmp_path / "a", rows, "tiny")
    found = dataset_line(score([run], tmp_path / "out", repo=str(repository)), "viquae")
    assert (found["num_rows"], found["num_missing"]) == (2, 1)
    write_rows(repository / "data/kvqa/viquae/test.jsonl", [make_row(i, outputs="new") for i in range(20, 23)])
    said = failure([run], tmp_path, repo=str(repository))
    assert "viquae/test: 2 of 2 predicted rows have other references there, the first is 'row-20'" in said
    run = write_run(tmp_path / "b", [line(99, "x")], "tiny")
    assert "1 of 1 predicted rows are not in it, the first is 'row-99'" in failure(
        [run], tmp_path, repo=str(repository)
    )
    run = write_run(tmp_path / "c", [{**line(0, "x"), "split": "validation"}], "tiny")
    assert "holds no viquae/validation" in failure([run], tmp_path, repo=str(repository))


def test_an_unknown_metric_is_answered_with_the_known(tmp_path):
    with pytest.raises(ValueError, match="Unknown metric 'meteor': expected one of accuracy, vqa_accuracy, anls"):
        score([write_run(tmp_path / "a", [line(0, "x")])], tmp_path, metrics=["meteor"])


def test_a_file_alone_is_a_run_named_after_its_folder(tmp_path):
    run = read_run(write_run(tmp_path / "tiny", [line(0, "x")]) / "predictions.jsonl")
    assert run.model == "tiny" and list(run.rows) == [("viquae", "test")]


@pytest.mark.slow
def test_the_bench_runs_and_its_figures_agree(tmp_path):
    pytest.importorskip("pycocoevalcap")
    command = [sys.executable, ROOT / "bench/evaluate.py", "--rows", "2000", "--references", "2"]
    table = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [[cell.strip() for cell in text.split("|")[1:-1]] for text in table if text.startswith("| ")][1:]
    assert [row[0] for row in rows] == [*(metric.title for metric in METRICS.values()), "all, with intervals"]
    same = [row for row in rows if row[3] and row[0] != "CIDEr"]  # that one's time only has something to stand beside
    assert all(float(row[7]) < 1e-6 for row in same)
