"""m3it/evaluating/tasks.py and harness.py: task files, what they ask, and the numbers that come of them."""

import ast

import pytest
import yaml
from conftest import ROOT, make_row, write_rows
from datasets import load_dataset
from harness_logs import Loader, functions_of, read_task, run_task

from M3IT import CATALOGUE
from m3it.evaluating.harness import as_line, config_of, row_score, total
from m3it.evaluating.metrics import METRICS
from m3it.evaluating.predict import read_questions
from m3it.evaluating.row_scores import own_metrics
from m3it.evaluating.score import score
from m3it.evaluating.tasks import write_tasks
from m3it.publishing.release import release
from m3it.rows.instance import M3ITError

CONFIGS = ("viquae", "docvqa", "okvqa", "science-qa", "multi30k")  # F1, ANLS, VQA accuracy, accuracy, BLEU


def half_right(number, references):
    return references[-1] if number % 2 else f"not {references[0]} indeed"


def test_all_forty_datasets_have_a_task_and_a_place_in_the_groups(tmp_path):
    tasks = write_tasks("lmms-eval", tmp_path)
    assert [task.config for task in tasks] == list(CATALOGUE)
    groups = {path.stem: yaml.load(path.read_text("utf-8"), Loader) for path in tmp_path.glob("group_*.yaml")}
    assert len(groups["group_m3it"]["task"]) == 40 and len(groups["group_m3it_held_out"]["task"]) == 13
    assert len(groups["group_m3it_video"]["task"]) == 6 and len(groups["group_m3it_chinese"]["task"]) == 5
    assert groups["group_m3it_kvqa"]["task"] == ["m3it_okvqa", "m3it_a-okvqa", "m3it_science-qa", "m3it_viquae"]
    utils = functions_of(tmp_path)
    for config in CATALOGUE:
        task = read_task(tmp_path, config)
        assert task["dataset_name"] == f"{config}-images" and task["dataset_path"] == "MMInstruction/M3IT"
        assert task["test_split"] == ("test" if CATALOGUE[config].test else "validation")
        assert [entry["metric"] for entry in task["metric_list"]] == list(own_metrics(config))
        assert all(hasattr(utils, entry["aggregation"].removeprefix("utils.")) for entry in task["metric_list"])
        assert task["generation_kwargs"]["until"] == []  # else lmms-eval cuts answers at an empty line


def test_translations_are_named_and_count_in_their_language(tmp_path):
    (task,) = write_tasks("lmms-eval", tmp_path, configs=["okvqa-zh"])
    assert task.groups == ["m3it", "m3it_language_zh"] and (tmp_path / "m3it_okvqa-zh.yaml").exists()
    row = {"dataset": "okvqa", "language": "zh"}
    assert config_of(row) == "okvqa-zh" and config_of({**row, "language": "en"}) == "okvqa"


@pytest.mark.parametrize("harness", ["lmms-eval", "inspect"])
def test_the_same_release_gives_the_same_bytes(harness, released, tmp_path):
    for name in ("one", "two"):
        write_tasks(harness, tmp_path / name, repo=str(released))
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one == two and len(one) == (14 if harness == "lmms-eval" else 1)


def test_a_task_asks_what_predict_asks_and_compares_with_what_predict_keeps(released):
    for config in (*CONFIGS, "coco"):
        questions = list(read_questions(str(released), config))
        rows = load_dataset(str(released), f"{config}-images", split=questions[0].head["split"])
        assert len(rows) == len(questions) > 2
        for row, question in zip(rows, questions, strict=True):
            line = as_line(row, "said")
            assert {**line, "split": question.head["split"]} == {**question.head, **question.tail, "prediction": "said"}


def test_the_numbers_of_a_harness_are_those_of_score_and_its_log_comes_back(released, tmp_path, m3it):
    write_tasks("lmms-eval", tmp_path / "tasks", repo=str(released))
    found = {config: run_task(tmp_path / "tasks", config, half_right, tmp_path / "logs") for config in CONFIGS}
    code, out, _ = m3it("score", "--from", "lmms-eval", tmp_path / "logs", "--out", tmp_path / "out")
    assert code == 0 and "small: scores in points" in out
    scores = score([tmp_path / "out"], tmp_path / "again", repo=str(released))
    for line in scores["models"][0]["datasets"]:
        mine = {name: told["score"] for name, told in line["scores"].items()}
        assert found[line["config"]] == pytest.approx(mine, abs=1e-6) and line["num_missing"] == 0
        assert 0 < mine[line["metric"]] < 100, line["config"]
    assert len(scores["models"][0]["datasets"]) == len(CONFIGS)


def test_captions_of_one_picture_and_failed_rows_have_no_number_and_do_not_end_a_run(released):
    rows = load_dataset(str(released), "coco-images", split="test")
    lines = [as_line(row, row["outputs"]) for row in rows]
    assert str(total("cider", lines)) == "nan" and total("rouge_l", lines) == 100
    assert row_score(lines[0]) == 100 and METRICS["rouge_l"].points == 100
    thinking = as_line(rows[0], "<think>a sun and a heart")
    assert thinking["error"].startswith("the model's thoughts end without an answer")
    assert str(total("rouge_l", [thinking])) == str(row_score(thinking)) == "nan"


def test_what_cannot_be_a_task_is_said(released, tmp_path):
    def failure(**options):
        with pytest.raises(M3ITError) as raised:
            write_tasks("lmms-eval", tmp_path / "none", **options)
        return str(raised.value)

    assert failure(configs=["mine"]) == "mine: is no config of M3IT. For one of your own, name its release as --repo."
    assert f"{released}: holds no nlvr. It holds coco, docvqa" in failure(repo=str(released), configs=["nlvr"])
    assert "has no column dataset: these tasks read releases with pictures. Make one: m3it release" in failure(
        repo=str(ROOT), configs=["viquae"]
    )
    write_rows(tmp_path / "repo/data/kvqa/viquae/train.jsonl", [make_row(1)])
    assert failure(repo=str(tmp_path / "repo")).endswith("repo: holds no test or validation split to ask a model.")
    assert "no test or validation split of viquae" in failure(repo=str(tmp_path / "repo"), configs=["viquae"])
    assert not (tmp_path / "none").exists()


def test_names_of_any_kind_are_read_back_as_they_are(tmp_path):
    names = ["2020", "a b #c", "ü-set"]
    for name in names:
        write_rows(tmp_path / f"in/data/vqa/{name}/test.jsonl", [make_row(1)])
    release(str(tmp_path / "in"), tmp_path / "r #1", images="native")
    tasks = write_tasks("lmms-eval", tmp_path / "tasks", repo=str(tmp_path / "r #1"))
    assert sorted(task.config for task in tasks) == names
    for name in names:
        task = read_task(tmp_path / "tasks", name)
        asked = (task["task"], task["dataset_name"], task["dataset_path"])
        assert asked == (f"m3it_{name}", name, str(tmp_path / "r #1"))
    group = yaml.load((tmp_path / "tasks/group_m3it.yaml").read_text("utf-8"), Loader)
    assert sorted(group["task"]) == [f"m3it_{name}" for name in names]


def test_tasks_of_another_call_are_not_mixed_with(tmp_path):
    write_tasks("lmms-eval", tmp_path, configs=["okvqa", "viquae"])
    write_tasks("lmms-eval", tmp_path, configs=["okvqa", "viquae"])
    with pytest.raises(M3ITError, match="m3it_okvqa.yaml is of another call.*Delete it, or pass another --out"):
        write_tasks("lmms-eval", tmp_path, configs=["viquae"])


def test_two_configs_that_python_cannot_tell_apart_are_refused(tmp_path):
    for name in ("a-b", "a_b"):
        write_rows(tmp_path / f"data/vqa/{name}/test.jsonl", [make_row(1)])
    with pytest.raises(M3ITError, match="a-b and a_b are both m3it_a_b in Python. Name one of them as --config"):
        write_tasks("inspect", tmp_path / "tasks", repo=str(tmp_path))
    assert len(write_tasks("inspect", tmp_path / "tasks", repo=str(tmp_path), configs=["a-b"])) == 1


def test_inspect_gets_one_file_with_a_task_for_each_config(released, tmp_path, m3it):
    code, out, _ = m3it("tasks", "inspect", "--repo", released, "--out", tmp_path)
    assert code == 0 and "m3it score --from inspect" in out
    tree = ast.parse((tmp_path / "m3it_tasks.py").read_text("utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("m3it_")]
    assert names == ["m3it_coco", "m3it_docvqa", "m3it_okvqa", "m3it_science_qa", "m3it_viquae", "m3it_multi30k"]
