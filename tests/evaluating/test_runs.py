"""m3it/evaluating/runs.py: files of predictions, and sentences for those that cannot be scored."""

import json

import pytest
from conftest import make_row, write_rows
from prediction_files import dataset_line, failure, line, write_run

from m3it.evaluating.runs import read_run, read_runs
from m3it.evaluating.score import score


def test_folders_of_one_model_are_one_run_and_of_the_same_rows_two(tmp_path):
    write_run(tmp_path / "a", [line(0, "x")], "tiny")
    write_run(tmp_path / "b", [line(0, "x", config="gqa")], "tiny")
    write_run(tmp_path / "c", [line(0, "y")], "tiny")
    assert [len(run.rows) for run in read_runs([tmp_path / "a", tmp_path / "b"])] == [2]
    assert len(read_runs([tmp_path / "a", tmp_path / "c"])) == 2
    assert "named twice" in failure([tmp_path / "a", tmp_path / "c", tmp_path / "c"], tmp_path)


def test_an_empty_file_and_none_at_all(tmp_path):
    assert "is empty. Run m3it predict again" in failure([write_run(tmp_path / "a", [])], tmp_path)
    assert "there is no such file" in failure([tmp_path / "nowhere"], tmp_path)
    assert "expected a file, found a device" in failure(["/dev/zero"], tmp_path)  # it never ends


ODD_PARTS = (
    *({"references": value} for value in ("x", None, {"a": "b"}, [1], [None], [["x"]])),
    *({"choices": value} for value in ("ab", [1], {"A": "x"})),
    *({name: value} for name in ("group", "language", "prompt", "error") for value in ([1], {"a": 1}, 7)),
)


def test_lines_that_predict_does_not_write(tmp_path):
    (tmp_path / "a").mkdir()
    file = tmp_path / "a/predictions.jsonl"
    for text, said in [
        ('{"id": "1", "conf', "line 1: expected a JSON object"),
        ("[1]", "line 1: expected a JSON object, found [1]"),
        ("[" * 100_000, "line 1: expected a JSON object, "),
        ('{"id": 1}', "line 1: expected id to be a text, found 1"),
        ('{"config": "viquae", "prediction": "x"}', "line 1: expected id to be a text, found null"),
        (json.dumps({**line(0, None)}), "expected prediction to be a text, found null"),
        (json.dumps(line(0, "x\ud83d")), "line 1: expected text, found half a character"),
        *((json.dumps(line(0, "x", **part)), f"line 1: expected {next(iter(part))} to be ") for part in ODD_PARTS),
    ]:
        file.write_text(text + "\n", "utf-8")
        assert said in failure([file], tmp_path)
    file.write_bytes(b'{"id": "\xff"}\n')
    assert "line 1: expected a JSON object, 'utf-8' codec" in failure([file], tmp_path)


@pytest.mark.parametrize("field", ["choices", "group", "language", "references"])
@pytest.mark.parametrize("num_lost", [1, 3])
def test_a_field_that_predict_wrote_and_that_is_gone_is_noticed(tmp_path, field, num_lost):
    more = {"choices": ["cat", "dog"], "group": "1", "language": "de"}
    rows = [line(i, "B", "(B) dog", "imagenet", **more) for i in range(3)]
    fields = {"imagenet/test": {"references": 3, "choices": 3, "group": 3, "language": 3}}
    write_run(tmp_path / "a", rows[:2], "tiny", num_rows={"imagenet/test": 3}, fields=fields)
    assert len(read_run(tmp_path / "a").rows["imagenet", "test"]) == 2  # a line that is missing as a whole is counted
    cut = [{k: v for k, v in row.items() if k != field} if i < num_lost else row for i, row in enumerate(rows)]
    run = write_run(tmp_path / "a", cut, "tiny", num_rows={"imagenet/test": 3}, fields=fields)
    said = failure([run], tmp_path)
    assert f"are missing {field}, which m3it predict wrote" in said or field == "references"


def test_a_lettered_reference_without_its_options_is_not_scored(tmp_path):
    said = failure([write_run(tmp_path / "a", [line(0, "B", "(B) dog", "imagenet")])], tmp_path)
    assert "lines of imagenet/test are missing choices, the options of row 'row-0'" in said


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "null", "{", "[" * 100_000, '{"options": [1]}', '{"options": {"model": [1]}}', '{"model": {"a": 1}}'),
        *('{"num_rows": [1]}', '{"num_rows": "x"}', '{"num_rows": {"a/test": "x"}}', '{"num_rows": {"a/test": true}}'),
        *('{"fields": [1]}', '{"fields": {"viquae/test": [1]}}', '{"fields": {"viquae/test": {"group": "x"}}}'),
        *('{"options": {"reasoning_tags": 5}}', '{"options": {"reasoning_tags": [1]}}', '{"options": {"repo": []}}'),
    ],
)
def test_a_run_json_of_another_shape_is_one_sentence(tmp_path, text):
    run = write_run(tmp_path / "a", [line(0, "x")])
    (run / "run.json").write_text(text, "utf-8")
    assert f"{run / 'run.json'}: expected" in failure([run], tmp_path)


def test_a_row_that_stands_twice(tmp_path):
    said = failure([write_run(tmp_path / "a", [line(0, "x"), line(1, "x"), line(0, "y")])], tmp_path)
    assert "line 3: row 'row-0' of viquae/test stands there already" in said


def test_predictions_of_another_config_or_split_than_the_run(tmp_path):
    run = write_run(tmp_path / "a", [line(0, "x")], "tiny", num_rows={"viquae/validation": 3})
    assert "holds rows of viquae/test, but run.json beside it is of a run on viquae/validation" in failure(
        [run], tmp_path
    )


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


def test_a_file_alone_is_a_run_named_after_its_folder(tmp_path):
    run = read_run(write_run(tmp_path / "tiny", [line(0, "x")]) / "predictions.jsonl")
    assert run.model == "tiny" and list(run.rows) == [("viquae", "test")]
