"""m3it/evaluating/logs.py: logs of other harnesses, whole or not."""

import json
import shutil

import pytest
from harness_logs import run_task

from m3it.evaluating.logs import import_logs
from m3it.evaluating.runs import ScoreError
from m3it.evaluating.score import score
from m3it.evaluating.tasks import write_tasks


@pytest.fixture(scope="module")
def run(released, tmp_path_factory):
    """The logs of two tasks."""
    folder = tmp_path_factory.mktemp("run")
    write_tasks("lmms-eval", folder / "tasks", repo=str(released))
    for config in ("viquae", "docvqa"):
        run_task(folder / "tasks", config, lambda number, references: references[0], folder / "logs")
    return folder


@pytest.fixture
def logs(run, tmp_path):
    shutil.copytree(run / "logs", tmp_path / "logs")
    return tmp_path / "logs"


def failure(harness, paths, out):
    with pytest.raises(ScoreError) as raised:
        import_logs(harness, paths, out)
    assert not (out / "predictions.jsonl").exists()
    return str(raised.value)


def change(logs, spoil, config="viquae"):
    """Change the lines of a log."""
    file = logs / f"20261128_120000_samples_m3it_{config}.jsonl"
    file.write_text("".join(spoil(file.read_text("utf-8").splitlines(keepends=True))), "utf-8")
    return file


def with_row(line, **changes):
    sample = json.loads(line)
    return json.dumps({**sample, "f1": {**sample["f1"], **changes}}) + "\n"


def test_a_run_comes_back_as_predictions_twice_the_same(logs, tmp_path):
    out = import_logs("lmms-eval", [logs], tmp_path / "out")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert import_logs("lmms-eval", [logs], tmp_path / "out") == out
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
    told = json.loads(before["run.json"])
    assert told["num_rows"] == {"docvqa/validation": 4, "viquae/test": 4} and told["options"]["model"] == "small"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda lines: [*lines[:1], lines[1][:40]], "viquae.jsonl: line 2: expected a JSON object"),
        (lambda lines: [*lines[:1], "[]\n"], "viquae.jsonl: line 2: expected a JSON object, found .."),
        (lambda lines: lines[:3], "holds 3 of the 4 rows that were asked. Run the harness again."),
        (lambda lines: [*lines[:3], lines[0]], "stands there twice"),
        (lambda lines: [], "holds 0 of the 4 rows"),
        (lambda lines: [with_row(lines[0], config="nlvr")], "line 1: row .* is of nlvr/test, expected viquae/test"),
        (lambda lines: [with_row(lines[0], split="train")], "line 1: row .* is of viquae/train, expected viquae/test"),
        (lambda lines: [with_row(lines[0], id=7)], "line 1: expected id to be a text, found 7"),
        (lambda lines: [with_row(lines[0], references=None)], "line 1: expected references to be a list of texts"),
        (lambda lines: [json.dumps({"f1": 0.5}) + "\n"], "line 1: holds no row of m3it"),
    ],
    ids=[
        "cut",
        "list",
        "rows-missing",
        "row-twice",
        "empty",
        "other-config",
        "other-split",
        "id",
        "references",
        "none",
    ],
)
def test_a_log_that_is_not_whole_is_never_scored(logs, tmp_path, spoil, told):
    change(logs, spoil)
    with pytest.raises(ScoreError, match=told):
        import_logs("lmms-eval", [logs], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rows_that_were_not_asked_are_counted_as_missing(run, tmp_path):
    run_task(run / "tasks", "viquae", lambda number, references: references[0], tmp_path / "logs", limit=3)
    out = import_logs("lmms-eval", [tmp_path / "logs"], tmp_path / "out")
    (line,) = score([out], out)["models"][0]["datasets"]
    assert (line["num_rows"], line["num_missing"]) == (3, 1)


def test_rows_of_another_state_of_the_data_are_found_with_repo(logs, released, tmp_path):
    change(logs, lambda lines: [with_row(lines[0], id="no-such-row"), *lines[1:]])
    out = import_logs("lmms-eval", [logs], tmp_path / "out")
    with pytest.raises(ScoreError, match="1 of 4 predicted rows are not in it, the first is 'no-such-row'"):
        score([out], out, repo=str(released))


def test_logs_of_two_runs_two_models_or_none_are_refused(logs, tmp_path):
    out = tmp_path / "out"
    assert "holds no log of a task of m3it. Run lmms-eval with --log_samples" in failure(
        "lmms-eval", [tmp_path / "out"], out
    )
    shutil.copytree(logs, tmp_path / "again")
    twice = failure("lmms-eval", [logs, tmp_path / "again"], out)
    assert "docvqa/validation is in" in twice and twice.endswith("Name the logs of one run.")
    results = tmp_path / "again/20261128_120000_results.json"
    results.write_text(results.read_text("utf-8").replace('"small"', '"other"'), "utf-8")
    assert "is of other" in failure("lmms-eval", [logs, tmp_path / "again"], out)
    known = json.loads(results.read_text("utf-8"))
    for config, told in ((["x"], "config"), ({"offset": "1"}, "config.offset")):
        results.write_text(json.dumps(known | {"config": config}), "utf-8")
        assert f"results.json: expected {told}, found" in failure("lmms-eval", [results.parent], out)
    results.write_text(json.dumps(known).replace('"test_split"', '"split"'), "utf-8")
    assert "results.json: expected configs.m3it_docvqa.test_split, found null" in failure(
        "lmms-eval", [tmp_path / "again"], out
    )
    results.unlink()
    assert "expected 20261128_120000_results.json beside it" in failure("lmms-eval", [tmp_path / "again"], out)


def test_predictions_of_another_run_are_not_overwritten(logs, tmp_path):
    out = import_logs("lmms-eval", [logs], tmp_path / "out")
    file = logs / "20261128_120000_samples_m3it_viquae.jsonl"
    with pytest.raises(ScoreError, match="out: holds the predictions of another run"):
        import_logs("lmms-eval", [file], out)


# ---- inspect_ai


def inspect_log(samples, num_rows=2, split="test"):
    told = {
        "task": "m3it_viquae",
        "model": "openai/gpt",
        "task_args": {"split": split},
        "dataset": {"samples": num_rows},
    }
    return {"status": "success", "eval": told, "samples": samples}


def sample(number, **more):
    row = {"id": f"row-{number}", "config": "viquae", "split": "test", "prompt": "?", "references": ["paris"]}
    scored = {"m3it": {"value": 100.0, "metadata": {**row, "prediction": "Paris"}}}
    return {"id": row["id"], "metadata": row, **({} if more else {"scores": scored}), **more}


def test_a_log_of_inspect_comes_back_with_its_failed_rows(tmp_path):
    found = [sample(1), sample(2, error={"message": "the server is gone"})]
    (tmp_path / "log.json").write_text(json.dumps(inspect_log(found)), "utf-8")
    out = import_logs("inspect", [tmp_path], tmp_path / "out")
    (line,) = score([out], out)["models"][0]["datasets"]
    assert line["scores"]["f1"]["score"] == 100 and line["failed"] == [{"id": "row-2", "error": "the server is gone"}]


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (inspect_log([sample(1)]), "holds 1 of the 2 rows"),
        (inspect_log([sample(1), sample(1)]), "'row-1' stands there twice"),
        (inspect_log([sample(1), {"id": "row-2"}]), "sample 'row-2': holds no row of m3it"),
        (inspect_log([sample(1)], split="train"), "is of viquae/test, expected viquae/train"),
        (inspect_log("none"), "expected samples, found .none"),
        (inspect_log([{"id": 1, "error": "x", "metadata": []}]), "sample 1: holds no row of m3it"),
        ({"eval": ["x"]}, "expected eval.task, found null"),
    ],
)
def test_a_log_of_inspect_that_is_not_whole_is_never_scored(tmp_path, log, told):
    (tmp_path / "log.json").write_text(json.dumps(log), "utf-8")
    with pytest.raises(ScoreError, match=told):
        import_logs("inspect", [tmp_path / "log.json"], tmp_path / "out")


def test_a_packed_log_of_inspect_says_how_to_unpack_it(tmp_path):
    (tmp_path / "log.eval").write_bytes(b"PK")
    with pytest.raises(ScoreError, match="inspect log convert .* --to json --output-dir DIR"):
        import_logs("inspect", [tmp_path], tmp_path / "out")
