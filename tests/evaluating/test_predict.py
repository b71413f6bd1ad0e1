"""m3it/evaluating/predict.py: a run, one that is killed, one by several processes; and which rows it is of."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pytest
from chat_server import ChatServer, Refuse, words_of
from conftest import ROOT, make_row, write_rows
from prediction_files import lines_of, without_times, write_questions

from m3it.evaluating.predict import choose_split, predict, read_questions, weights_of
from m3it.evaluating.runs import read_run
from m3it.evaluating.score import score
from m3it.reading.load import load_builder
from m3it.rows.instance import M3ITError
from m3it.showing.report import report


def shout(request: dict) -> str:
    """A server's model that repeats the question in capitals."""
    return words_of(request["messages"][-1]).splitlines()[-1].upper()


def test_a_line_holds_the_row_and_what_the_server_said(repository, tmp_path):
    with ChatServer(shout) as server:
        run = predict("m", ["viquae"], tmp_path / "out", repo=str(repository), base_url=server.url)
    first = lines_of(tmp_path / "out")[0]
    assert first.pop("seconds") >= 0
    assert first == {
        "id": "row-20",
        "config": "viquae",
        "split": "test",
        "prompt": "Answer the question.\nWhat is 20?",
        "prediction": "WHAT IS 20?",
        "references": ["answer 20"],
    }
    assert run["num_rows"] == {"viquae/test": 3} and run["num_failed"] == {"viquae/test": 0}
    assert run["options"]["model"] == "m" and "openai" in run["versions"]


def test_no_file_of_a_run_holds_the_password_of_the_server_or_of_the_repository(repository, tmp_path):
    rows = Path("memory://private" + str(tmp_path).replace("/", "-"))
    url = f"memory://user:SECRET@{rows.name}"
    for path in repository.rglob("*.jsonl"):
        fsspec.filesystem("memory").pipe_file(f"{url}/{path.relative_to(repository)}", path.read_bytes())
    with ChatServer(shout) as server:
        secret = server.url.replace("http://", "http://user:SECRET@")
        predict("m", ["viquae"], tmp_path / "out", repo=url, base_url=secret)
        score([tmp_path / "out"], tmp_path / "scores", repo=url)
    report([tmp_path / "out", tmp_path / "scores"], tmp_path / "report.html")
    run = json.loads((tmp_path / "out/run.json").read_text("utf-8"))
    assert run["options"]["base_url"] == server.url and run["options"]["repo"] == f"memory://{rows.name}"
    written = [path.read_text("utf-8") for path in tmp_path.rglob("*") if path.is_file() and "repo" not in path.parts]
    assert len(written) > 5 and not [text for text in written if "SECRET" in text]


def test_the_scorer_reads_what_was_predicted(repository, tmp_path):
    with ChatServer(lambda request: "answer 21") as server:
        predict("m", ["viquae"], tmp_path / "out", repo=str(repository), base_url=server.url)
    (model,) = score([tmp_path / "out"], tmp_path / "scores", repo=str(repository))["models"]
    (line,) = model["datasets"]
    assert (line["num_rows"], line["num_missing"], line["num_failed"]) == (3, 0, 0)
    # F1 after SQuAD's rule: "answer 21" has one of two words of "answer 20" and "answer 22", and both of its own.
    assert line["scores"]["f1"]["score"] == pytest.approx(100 * (0.5 + 1 + 0.5) / 3, abs=1e-3)


def test_rows_that_fail_are_listed_and_never_scored_as_empty(tmp_path):
    broken = base64.b64encode(b"<html>404</html>").decode()
    rows = [make_row(1), make_row(2, image_base64_str=[broken]), make_row(3, image_base64_str=["???"])]
    write_rows(tmp_path / "repo/data/vqa/mine/test.jsonl", rows)
    with ChatServer(lambda request: "answer 1") as server:
        predict("m", ["mine"], tmp_path / "out", repo=str(tmp_path / "repo"), base_url=server.url)
    errors = {line["id"]: line.get("error", "") for line in lines_of(tmp_path / "out")}
    assert errors["row-1"] == "" and "HTML" in errors["row-2"] and "base64" in errors["row-3"]
    (line,) = score([tmp_path / "out"], tmp_path / "scores")["models"][0]["datasets"]
    assert (line["num_rows"], line["num_failed"], line["num_empty"]) == (1, 2, 0)
    assert line["scores"]["exact_match"]["score"] == 100


def test_a_failed_row_is_tried_again_and_nothing_else_is(repository, tmp_path):
    def refuse_21(request: dict) -> str:
        if "21" in words_of(request["messages"][-1]):
            raise Refuse(400, "not this one")
        return shout(request)

    options = {"repo": str(repository), "configs": ["viquae"], "out": tmp_path / "out"}
    with ChatServer(refuse_21) as server:
        predict("m", base_url=server.url, **options)
        assert len(server.asked) == 3
        server.reply = shout
        run = predict("m", base_url=server.url, **options)
        assert ["21" in words_of(body["messages"][-1]) for body in server.asked[3:]] == [True]
    assert run["num_failed"] == {"viquae/test": 0}
    assert [line["prediction"] for line in lines_of(tmp_path / "out")] == [f"WHAT IS {i}?" for i in (20, 21, 22)]


def test_a_config_named_twice_is_asked_once(repository, tmp_path):
    with ChatServer(shout) as server:
        run = predict("m", ["viquae", "viquae"], tmp_path / "out", repo=str(repository), base_url=server.url)
        assert len(server.asked) == 3 and run["num_rows"] == {"viquae/test": 3}


KILLED = """
import sys
from m3it.evaluating.predict import predict
predict("m", ["viquae"], sys.argv[1], repo=sys.argv[2], split="train", base_url=sys.argv[3], parallel=2)
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_predictions(tmp_path):
    write_rows(tmp_path / "repo/data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(30)])

    def slowly(request: dict) -> str:
        time.sleep(0.1)
        return shout(request)

    out, repo = tmp_path / "out", str(tmp_path / "repo")
    with ChatServer(slowly) as server:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen([sys.executable, "-c", KILLED, out, repo, server.url], env=environment)
        while len(server.asked) < 10 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        server.reply, num_before = shout, len(server.asked)
        asked_before = {words_of(body["messages"][-1]).strip() for body in server.asked}
        assert 10 <= len(asked_before) < 30 and not (out / "predictions.jsonl").exists()
        predict("m", ["viquae"], out, repo=repo, split="train", base_url=server.url)
        asked = {words_of(body["messages"][-1]).strip() for body in server.asked[num_before:]}
        predict("m", ["viquae"], tmp_path / "at-once", repo=repo, split="train", base_url=server.url)
    assert len(asked & asked_before) <= 2 + 2  # in flight when the end came, or answered and not yet on disk
    assert asked | asked_before == {f"Answer the question.\nWhat is {i}?" for i in range(30)}
    assert without_times(out) == without_times(tmp_path / "at-once")
    assert sorted(path.name for path in out.iterdir()) == ["predictions.jsonl", "replies", "run.json"]


def test_two_runs_at_once_into_one_folder_are_refused(repository, tmp_path):
    """The second one would gather the lines of the first, and take its open file away."""
    out, tries = tmp_path / "out", []

    def second(request: dict) -> str:
        if not tries:
            tries.append("the second")
            with pytest.raises(M3ITError, match="out: another process is at work in it. Wait until it has ended"):
                predict("m", ["viquae"], out, repo=str(repository), base_url=server.url)
        return shout(request)

    with ChatServer(second) as server:
        run = predict("m", ["viquae"], out, repo=str(repository), base_url=server.url, parallel=1)
    assert tries and run["num_rows"] == {"viquae/test": 3} and len(lines_of(out)) == 3
    assert sorted(path.name for path in out.iterdir()) == ["predictions.jsonl", "replies", "run.json"]


def test_what_a_killed_run_left_of_a_reply_goes(repository, tmp_path):
    left = tmp_path / "out/replies/ab/.abc.json.12-34.tmp"
    left.parent.mkdir(parents=True)
    left.write_text('{"requ', "ascii")
    with ChatServer(shout) as server:
        predict("m", ["viquae"], tmp_path / "out", repo=str(repository), base_url=server.url)
    assert not left.exists()


def test_rows_are_chosen_by_their_ids(repository, tmp_path):
    with ChatServer(shout) as server:
        options = {"repo": str(repository), "base_url": server.url}
        run = predict("m", ["viquae"], tmp_path / "out", ids=["row-22", "row-21"], **options)
        assert run["num_rows"] == {"viquae/test": 2} and run["options"]["ids"] == ["row-21", "row-22"]
        assert [line["id"] for line in lines_of(tmp_path / "out")] == ["row-21", "row-22"]
        with pytest.raises(M3ITError, match="--id: there is no row of 'row-99'. m3it show lists rows"):
            predict("m", ["viquae"], tmp_path / "out", ids=["row-20", "row-99"], **options)
        predict("m", ["viquae"], tmp_path / "out", **options)
        assert len(server.asked) == 3 == len(lines_of(tmp_path / "out"))


def test_more_rows_and_further_configs_join_a_run(repository, tmp_path):
    with ChatServer(shout) as server:
        options = {"repo": str(repository), "base_url": server.url}
        predict("m", ["viquae"], tmp_path / "out", limit=2, **options)
        run = predict("m", ["viquae", "okvqa-zh"], tmp_path / "out", **options)
        assert len(server.asked) == 3 + 4
    assert run["num_rows"] == {"viquae/test": 3, "okvqa-zh/validation": 4}
    assert len(read_run(tmp_path / "out").rows["okvqa-zh", "validation"]) == 4


def test_rows_that_no_process_answered_are_missing_until_they_are_asked_for(repository, tmp_path, monkeypatch):
    import m3it.evaluating.predict

    options = {"repo": str(repository), "configs": ["viquae"], "out": tmp_path / "out", "batch_size": 1}
    with ChatServer(shout) as server:
        with monkeypatch.context() as other:  # the first of two processes; the second wrote to a disk of its own
            other.setattr(m3it.evaluating.predict, "_process", lambda: (0, 2, lambda: None))
            run = predict("m", base_url=server.url, **options)
        assert run["num_rows"] == {"viquae/test": 3}
        assert [line["id"] for line in lines_of(tmp_path / "out")] == ["row-20", "row-22"]
        (line,) = score([tmp_path / "out"], tmp_path / "scores")["models"][0]["datasets"]
        assert (line["num_rows"], line["num_missing"]) == (2, 1)
        predict("m", base_url=server.url, **options)
        assert len(server.asked) == 3
    assert [line["id"] for line in lines_of(tmp_path / "out")] == ["row-20", "row-21", "row-22"]


def test_a_folder_of_another_model_is_not_mixed_up(repository, tmp_path):
    with ChatServer(shout) as server:
        predict("m", ["viquae"], tmp_path / "out", repo=str(repository), base_url=server.url)
        with pytest.raises(M3ITError, match="holds predictions with model 'm', not 'n'. Pass another folder"):
            predict("n", ["viquae"], tmp_path / "out", repo=str(repository), base_url=server.url)


def test_a_folder_of_another_server_or_with_other_fields_is_not_mixed_up(repository, tmp_path):
    options = {"configs": ["viquae"], "out": tmp_path / "out", "repo": str(repository)}
    with ChatServer(shout) as server, ChatServer(lambda request: "other") as other:
        run = predict("m", base_url=server.url.replace("//", "//me:secret@"), extra_body={"top_p": 0.8}, **options)
        assert server.asked[0]["top_p"] == 0.8 and run["options"]["base_url"] == server.url
        with pytest.raises(M3ITError, match=f"with base_url '{server.url}', not '{other.url}'. Pass another folder"):
            predict("m", base_url=other.url, extra_body={"top_p": 0.8}, **options)
        with pytest.raises(M3ITError, match="with extra_body {'top_p': 0.8}, not None"):
            predict("m", base_url=server.url, **options)
        assert not other.asked and len(server.asked) == 3


def test_a_model_that_was_trained_again_into_its_folder_is_another_one(tiny, repository, tmp_path):
    model = tmp_path / "tiny"
    shutil.copytree(tiny, model)
    options = {"configs": ["viquae"], "out": tmp_path / "out", "repo": str(repository), "max_tokens": 4}
    first = predict(str(model), **options)
    (model / "trainer_state.json").write_text("{}", "utf-8")  # of a run, not of the model
    assert predict(str(model), **options)["options"]["weights"] == first["options"]["weights"]
    weights = model / "model.safetensors"
    before, data = weights.stat(), bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))  # the same size and time: other weights
    with pytest.raises(M3ITError, match="holds predictions with weights '.*', not '.*'. Pass another folder"):
        predict(str(model), **options)


def test_the_weights_of_a_lora_are_those_below_it_too(tmp_path):
    for name in ("base", "lora"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"1")
    adapter = {"base_model_name_or_path": str(tmp_path / "base")}
    (tmp_path / "lora/adapter_config.json").write_text(json.dumps(adapter), "utf-8")
    before = weights_of(str(tmp_path / "lora"))
    (tmp_path / "base/model.safetensors").write_bytes(b"2")
    assert weights_of(str(tmp_path / "lora")) != before


def test_a_thought_without_an_answer_has_failed_and_its_text_is_kept(repository, tmp_path):
    said = {"20": "<think>Is it 20?</think>\n\nanswer 20", "21": "<think>Is it", "22": "<think>No.</think>"}

    def thinking(request: dict) -> str:
        return said[words_of(request["messages"][-1]).rstrip("?")[-2:]]

    options = {"repo": str(repository), "configs": ["viquae"], "out": tmp_path / "out"}
    with ChatServer(thinking) as server:
        run = predict("m", base_url=server.url, **options)
        predict("m", base_url=server.url, **options)
        assert len(server.asked) == 3 and run["num_failed"] == {"viquae/test": 2}
    assert [line["prediction"] for line in lines_of(tmp_path / "out")] == list(said.values())
    (line,) = score([tmp_path / "out"], tmp_path / "scores")["models"][0]["datasets"]
    assert (line["num_rows"], line["num_failed"], line["num_empty"]) == (1, 2, 0)
    assert line["scores"]["exact_match"]["score"] == 100
    assert "thoughts end without an answer" in line["failed"][0]["error"]


@pytest.mark.parametrize("odd", ["[]", "{", "{}", '{"id": 5}', "\x00\x00"])
def test_a_line_that_is_none_is_said_and_its_row_asked_for_again(repository, tmp_path, caplog, odd):
    with ChatServer(shout) as server:
        options = {"repo": str(repository), "base_url": server.url}
        predict("m", ["viquae"], tmp_path / "out", **options)
        whole = without_times(tmp_path / "out")
        path = tmp_path / "out/predictions.jsonl"
        path.write_text("\n".join([odd, *path.read_text("utf-8").split("\n")[1:]]), "utf-8")
        predict("m", ["viquae"], tmp_path / "out", **options)
    assert without_times(tmp_path / "out") == whole and "predictions.jsonl: line 1: expected" in caplog.text


def test_a_reply_with_half_a_character_has_failed(repository, tmp_path):
    with ChatServer(lambda request: "a dog \ud83d") as server:
        run = predict("m", ["viquae"], tmp_path / "out", repo=str(repository), base_url=server.url)
    assert run["num_failed"] == {"viquae/test": 3}
    assert "half a character" in lines_of(tmp_path / "out")[0]["error"]


def test_a_doubled_id_is_said(tmp_path):
    write_rows(tmp_path / "repo/data/vqa/mine/test.jsonl", [make_row(1), make_row(2), make_row(1)])
    with ChatServer(shout) as server, pytest.raises(M3ITError, match="mine/test: two rows have the id 'row-1'"):
        predict("m", ["mine"], tmp_path / "out", repo=str(tmp_path / "repo"), base_url=server.url)


def test_the_split_is_test_else_validation_from_the_catalogue(tmp_path):
    # okvqa has no test split in the catalogue; msrvtt-qa has one, but its translations come without
    for path in ("kvqa/okvqa/test", "kvqa/okvqa/validation", "vqa/msrvtt-qa/zh/validation", "vqa/mine/train"):
        write_rows(tmp_path / f"data/{path}.jsonl", [make_row(1)])
    chosen = {name: choose_split(load_builder(tmp_path, name), None) for name in ("okvqa", "msrvtt-qa-zh")}
    assert chosen == {"okvqa": "validation", "msrvtt-qa-zh": "validation"}
    with pytest.raises(M3ITError, match="has no test or validation split of mine; it has train"):
        choose_split(load_builder(tmp_path, "mine"), None)
    with pytest.raises(M3ITError, match="has no test split of mine; it has train"):
        choose_split(load_builder(tmp_path, "mine"), "test")


def test_a_line_that_is_no_row_is_left_out_where_asked(tmp_path):
    shard = tmp_path / "data/vqa/mine/test.jsonl"
    write_rows(shard, [make_row(1), make_row(2)])
    shard.write_bytes(shard.read_bytes() + b"{broken\n")
    with pytest.raises(M3ITError, match=r"test.jsonl:3"):
        list(read_questions(str(tmp_path), "mine", None, limit=None))
    rows = list(read_questions(str(tmp_path), "mine", None, limit=None, on_error="drop"))
    assert [question.head["id"] for question in rows] == ["row-1", "row-2"]


@pytest.mark.slow
def test_two_processes_predict_what_one_does(tiny, tmp_path):
    repo = str(write_questions(tmp_path / "repo", tuple(range(13))))
    program = "import sys; from m3it.evaluating.predict import predict; "
    program += "predict(sys.argv[1], ['mine'], sys.argv[2], repo=sys.argv[3], "
    (tmp_path / "program.py").write_text(program + "batch_size=2, max_tokens=8)", "utf-8")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    arguments = [str(tmp_path / "program.py"), str(tiny), str(tmp_path / "two"), repo]
    subprocess.run([*launch, *arguments], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    predict(str(tiny), ["mine"], tmp_path / "one", repo=repo, batch_size=2, max_tokens=8)
    assert without_times(tmp_path / "two") == without_times(tmp_path / "one") and len(lines_of(tmp_path / "one")) == 13


def test_a_folder_without_a_prediction_takes_another_model(repository, tmp_path):
    (tmp_path / "out").mkdir()
    told = {"options": {"model": "typo", "max_tokens": 256}}
    (tmp_path / "out/run.json").write_text(json.dumps(told), "utf-8")
    with ChatServer(shout) as server:
        run = predict("m", ["viquae"], tmp_path / "out", repo=str(repository), base_url=server.url)
    assert run["options"]["model"] == "m" and run["num_rows"] == {"viquae/test": 3}
