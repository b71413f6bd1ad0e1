"""Predictions: by models of transformers, by a server over HTTP, in a run that is killed, by several processes."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import fsspec
import pytest
from chat_server import ChatServer, Refuse, completion, words_of
from conftest import ROOT, make_row, picture, write_rows

from m3it.evaluating.judge import choose_pairs, judge
from m3it.evaluating.predict import Local, choose_split, predict
from m3it.evaluating.runs import read_run
from m3it.evaluating.score import score
from m3it.reading.load import load_builder
from m3it.rows.instance import M3ITError
from m3it.showing.report import report
from m3it.work.chat import Chat


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text("utf-8").splitlines()]


def without_times(folder: Path) -> list[dict]:
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines_of(folder)]


def shout(request: dict) -> str:
    """A server's model that repeats the question in capitals."""
    return words_of(request["messages"][-1]).splitlines()[-1].upper()


def pictures_of(request: dict) -> list[str]:
    content = request["messages"][-1]["content"]
    return [part["image_url"]["url"] for part in content if part["type"] == "image_url"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """The small model from scratch, with random weights."""
    pytest.importorskip("torch")
    from m3it.models.tiny import make_tiny

    folder = tmp_path_factory.mktemp("models") / "tiny"
    model, processor = make_tiny(["Answer the question. What is 1?", "answer 20"], 32, 32, 2)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


# ---- a server


def test_a_line_holds_the_row_and_what_the_server_said(repository, tmp_path):
    with ChatServer(shout) as server:
        run = predict("m", ["viquae"], tmp_path / "out", str(repository), base_url=server.url)
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
        predict("m", ["viquae"], tmp_path / "out", url, base_url=secret)
        score([tmp_path / "out"], tmp_path / "scores", url)
    report([tmp_path / "out", tmp_path / "scores"], tmp_path / "report.html")
    run = json.loads((tmp_path / "out/run.json").read_text("utf-8"))
    assert run["options"]["base_url"] == server.url and run["options"]["repo"] == f"memory://{rows.name}"
    written = [path.read_text("utf-8") for path in tmp_path.rglob("*") if path.is_file() and "repo" not in path.parts]
    assert len(written) > 5 and not [text for text in written if "SECRET" in text]


def test_pictures_go_with_their_own_bytes_in_order_before_the_text(tmp_path):
    write_rows(tmp_path / "repo/data/vqa/mine/test.jsonl", [make_row(5, num_images=3)])
    with ChatServer(shout) as server:
        predict("m", ["mine"], tmp_path / "out", str(tmp_path / "repo"), base_url=server.url)
    parts = server.asked[0]["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["image_url"] * 3 + ["text"]
    expected = [f"data:image/png;base64,{base64.b64encode(picture(5 + k)).decode()}" for k in range(3)]
    assert pictures_of(server.asked[0]) == expected


def test_the_scorer_reads_what_was_predicted(repository, tmp_path):
    with ChatServer(lambda request: "answer 21") as server:
        predict("m", ["viquae"], tmp_path / "out", str(repository), base_url=server.url)
    (model,) = score([tmp_path / "out"], tmp_path / "scores", str(repository))["models"]
    (line,) = model["datasets"]
    assert (line["num_rows"], line["num_missing"], line["num_failed"]) == (3, 0, 0)
    # F1 after SQuAD's rule: "answer 21" has one of two words of "answer 20" and "answer 22", and both of its own.
    assert line["scores"]["f1"]["score"] == pytest.approx(100 * (0.5 + 1 + 0.5) / 3, abs=1e-3)


def test_a_server_that_takes_one_picture_is_named_once_and_the_rows_are_listed(tmp_path, caplog):
    def one_only(request: dict) -> str:
        if len(pictures_of(request)) > 1:
            raise Refuse(400, "At most 1 image may be provided in one request.")
        return "seen"

    rows = [make_row(i, num_images=2 if i % 2 else 1) for i in range(40)]
    write_rows(tmp_path / "repo/data/vqa/mine/test.jsonl", rows)
    with ChatServer(one_only) as server:
        run = predict("m", ["mine"], tmp_path / "out", str(tmp_path / "repo"), base_url=server.url, parallel=1)
    failed = [line for line in lines_of(tmp_path / "out") if "error" in line]
    assert [line["id"] for line in failed] == [f"row-{i}" for i in range(1, 40, 2)]
    assert run["num_failed"] == {"mine/test": 20} and not any("prediction" in line for line in failed)
    assert "At most 1 image" in failed[0]["error"] and f"{server.url} refused" in failed[-1]["error"]
    told = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(told) == 1 and "2 pictures" in told[0] and server.url in told[0]
    assert len(server.asked) < 40  # after three refusals the others are not sent


def test_rows_that_fail_are_listed_and_never_scored_as_empty(tmp_path):
    broken = base64.b64encode(b"<html>404</html>").decode()
    rows = [make_row(1), make_row(2, image_base64_str=[broken]), make_row(3, image_base64_str=["???"])]
    write_rows(tmp_path / "repo/data/vqa/mine/test.jsonl", rows)
    with ChatServer(lambda request: "answer 1") as server:
        predict("m", ["mine"], tmp_path / "out", str(tmp_path / "repo"), base_url=server.url)
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
    with ChatServer(shout) as server:
        run = predict("m", base_url=server.url, **options)
        assert ["21" in words_of(body["messages"][-1]) for body in server.asked] == [True]
    assert run["num_failed"] == {"viquae/test": 0}
    assert [line["prediction"] for line in lines_of(tmp_path / "out")] == [f"WHAT IS {i}?" for i in (20, 21, 22)]


def test_a_reply_that_was_cut_off_before_its_text_is_no_empty_answer(repository, tmp_path):
    ends = {"20": "length", "21": "content_filter", "22": "stop"}

    def silent(request: dict) -> dict:
        number = words_of(request["messages"][-1]).rstrip("?")[-2:]
        return completion(request, None, ends[number])

    with ChatServer(silent) as server:
        run = predict("m", ["viquae"], tmp_path / "out", str(repository), base_url=server.url)
    cut, filtered, silent_line = lines_of(tmp_path / "out")
    assert "larger --max-tokens" in cut["error"] and "'content_filter'" in filtered["error"]
    assert silent_line["prediction"] == "" and run["num_failed"] == {"viquae/test": 2}


def test_a_config_named_twice_is_asked_once(repository, tmp_path):
    with ChatServer(shout) as server:
        run = predict("m", ["viquae", "viquae"], tmp_path / "out", str(repository), base_url=server.url)
        assert len(server.asked) == 3 and run["num_rows"] == {"viquae/test": 3}


KILLED = """
import sys
from m3it.evaluating.predict import predict
predict("m", ["viquae"], sys.argv[1], sys.argv[2], split="train", base_url=sys.argv[3], parallel=2)
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
        asked_before = {words_of(body["messages"][-1]).strip() for body in server.asked}
    assert 10 <= len(asked_before) < 30 and not (out / "predictions.jsonl").exists()
    with ChatServer(shout) as server:
        predict("m", ["viquae"], out, repo, split="train", base_url=server.url)
        asked = {words_of(body["messages"][-1]).strip() for body in server.asked}
        predict("m", ["viquae"], tmp_path / "at-once", repo, split="train", base_url=server.url)
    assert len(asked & asked_before) <= 2 + 2  # in flight when the end came, or answered and not yet on disk
    assert asked | asked_before == {f"Answer the question.\nWhat is {i}?" for i in range(30)}
    assert without_times(out) == without_times(tmp_path / "at-once")
    assert sorted(path.name for path in out.iterdir()) == ["predictions.jsonl", "replies", "run.json"]


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


# ---- bad input


def test_a_folder_of_another_model_is_not_mixed_up(repository, tmp_path):
    with ChatServer(shout) as server:
        predict("m", ["viquae"], tmp_path / "out", str(repository), base_url=server.url)
        with pytest.raises(M3ITError, match="holds predictions with model 'm', not 'n'. Pass another folder"):
            predict("n", ["viquae"], tmp_path / "out", str(repository), base_url=server.url)


def test_a_doubled_id_is_said(tmp_path):
    write_rows(tmp_path / "repo/data/vqa/mine/test.jsonl", [make_row(1), make_row(2), make_row(1)])
    with ChatServer(shout) as server, pytest.raises(M3ITError, match="mine/test: two rows have the id 'row-1'"):
        predict("m", ["mine"], tmp_path / "out", str(tmp_path / "repo"), base_url=server.url)


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


# ---- transformers


def questions(repository: Path, lengths: tuple[int, ...]) -> Path:
    """Rows of very different lengths, with none to two pictures."""
    rows = [
        make_row(i, num_images=i % 3, inputs="word " * length + f"What is {i}?") for i, length in enumerate(lengths)
    ]
    write_rows(repository / "data/vqa/mine/test.jsonl", rows)
    return repository


@pytest.mark.slow
def test_batches_predict_what_single_rows_predict(tiny, tmp_path):
    repo = str(questions(tmp_path / "repo", (0, 30, 3, 11, 1, 60, 2)))
    for size in (1, 4):
        predict(str(tiny), ["mine"], tmp_path / f"by-{size}", repo, batch_size=size, max_tokens=12)
    one, four = (without_times(tmp_path / f"by-{size}") for size in (1, 4))
    assert one == four and len({line["prediction"] for line in one}) > 2 and any(line["prediction"] for line in one)
    assert not any(line["prompt"] in line["prediction"] for line in one)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llava", "instructblip", "qwen2_5_vl"])
def test_every_kind_of_model_answers_without_its_prompt(name, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    small_models = pytest.importorskip("small_models")
    import m3it.models.loading

    monkeypatch.setattr(m3it.models.loading, "load_model", lambda _: small_models.small(name))
    repo = str(questions(tmp_path / "repo", (0, 9, 2, 5)))
    predict("small", ["mine"], tmp_path / "out", repo, batch_size=2, max_tokens=6)
    lines = lines_of(tmp_path / "out")
    assert [line.get("error") for line in lines] == [None] * 4
    assert not any("What is" in line["prediction"] for line in lines)


def test_a_picture_that_is_none_fails_its_own_row_only(tiny, tmp_path):
    broken = base64.b64encode(b"<html>404</html>").decode()
    rows = [make_row(1), make_row(2, image_base64_str=[broken]), make_row(3), make_row(4)]
    write_rows(tmp_path / "repo/data/vqa/mine/test.jsonl", rows)
    predict(str(tiny), ["mine"], tmp_path / "out", str(tmp_path / "repo"), batch_size=4, max_tokens=4)
    lines = lines_of(tmp_path / "out")
    assert ["error" in line for line in lines] == [False, True, False, False] and "row-2" in lines[1]["error"]


def test_the_answer_is_not_shown_to_the_model(tiny, tmp_path):
    from m3it.evaluating.predict import read_questions

    write_rows(tmp_path / "data/vqa/mine/test.jsonl", [make_row(1, outputs="swordfish")])
    (question,) = read_questions(str(tmp_path), "mine", None, None)
    local = Local(str(tiny), 4, 1)
    prepared = local.collator.prepare({**question.row, "images": question.images})
    assert "swordfish" not in str(prepared.messages) and question.tail["references"] == ["swordfish"]


def test_a_line_that_is_no_row_is_left_out_where_asked(tmp_path):
    from m3it.evaluating.predict import read_questions

    shard = tmp_path / "data/vqa/mine/test.jsonl"
    write_rows(shard, [make_row(1), make_row(2)])
    shard.write_bytes(shard.read_bytes() + b"{broken\n")
    with pytest.raises(M3ITError, match=r"test.jsonl:3"):
        list(read_questions(str(tmp_path), "mine", None, None))
    rows = list(read_questions(str(tmp_path), "mine", None, None, "drop"))
    assert [question.head["id"] for question in rows] == ["row-1", "row-2"]


@pytest.mark.slow
def test_two_processes_predict_what_one_does(tiny, tmp_path):
    repo = str(questions(tmp_path / "repo", tuple(range(13))))
    program = "import sys; from m3it.evaluating.predict import predict; "
    program += "predict(sys.argv[1], ['mine'], sys.argv[2], sys.argv[3], "
    (tmp_path / "program.py").write_text(program + "batch_size=2, max_tokens=8)", "utf-8")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    arguments = [str(tmp_path / "program.py"), str(tiny), str(tmp_path / "two"), repo]
    subprocess.run([*launch, *arguments], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    predict(str(tiny), ["mine"], tmp_path / "one", repo, batch_size=2, max_tokens=8)
    assert without_times(tmp_path / "two") == without_times(tmp_path / "one") and len(lines_of(tmp_path / "one")) == 13


@pytest.fixture
def real_server(tmp_path):
    """`transformers serve` with a small LLaVA of random weights: yields (its URL, the model's name there)."""
    for package in ("torch", "fastapi", "uvicorn"):
        pytest.importorskip(package)
    small_models = pytest.importorskip("small_models")
    model, processor = small_models.small("llava")
    model.generation_config.max_length = None
    model.save_pretrained(tmp_path / "llava")
    processor.save_pretrained(tmp_path / "llava")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("transformers"), "serve", tmp_path / "llava", "--port", str(port)]
    with open(tmp_path / "serve.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen([*command, "--host", "127.0.0.1", "--device", "cpu"], stdout=log, stderr=log)
        try:
            while process.poll() is None:
                with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                    break
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1", str(tmp_path / "llava")
        finally:
            process.terminate()
            process.wait()


@pytest.mark.slow
def test_a_real_server_answers_predict_and_judge(real_server, tmp_path):
    url, name = real_server
    repo = str(questions(tmp_path / "repo", (0, 3, 7)))
    runs = [tmp_path / "served", tmp_path / "local"]
    predict(name, ["mine"], runs[0], repo, base_url=url, max_tokens=8, parallel=1)
    predict(name, ["mine"], runs[1], repo, max_tokens=8)
    served, local = map(lines_of, runs)
    assert [line.get("error") for line in served + local] == [None] * 6
    assert [line["prediction"] for line in served] == [line["prediction"] for line in local]  # the same model, by HTTP
    lines = [{**line, "prediction": f"answer {i}"} for i, line in enumerate(local)]
    write_rows(runs[1] / "predictions.jsonl", lines)  # so that there is something to compare
    chat = Chat(name, url, cache_dir=tmp_path / "replies", parallel=1)
    found = judge(choose_pairs(*runs, ("mine",), num_rows=1), chat, tmp_path / "judge", num_evidences=1)
    # Random weights write no scores: what counts is that every reply came, was asked for again, and is told.
    assert found["results"]["all"]["unreadable"] == 1
    replies = found["replies"]
    assert (replies["num_evidences"], replies["num_asked_again"], replies["num_unreadable"]) == (2, 2, 2)
    assert replies["completion_tokens"] > 0 and len(replies["answered_as"]) == 1
