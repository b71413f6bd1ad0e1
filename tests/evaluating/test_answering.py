"""m3it/evaluating/answering.py: questions answered by models of transformers, and by a server over HTTP."""

import base64
import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from chat_server import ChatServer, Refuse, completion, words_of
from conftest import make_row, picture, write_rows
from prediction_files import lines_of, without_times, write_questions

from m3it.evaluating.answering import LocalModel
from m3it.evaluating.judge import choose_pairs, judge
from m3it.evaluating.predict import predict, read_questions
from m3it.work.chat import Chat


def pictures_of(request: dict) -> list[str]:
    content = request["messages"][-1]["content"]
    return [part["image_url"]["url"] for part in content if part["type"] == "image_url"]


def test_pictures_go_with_their_own_bytes_in_order_before_the_text(tmp_path):
    write_rows(tmp_path / "repo/data/vqa/mine/test.jsonl", [make_row(5, num_images=3)])
    with ChatServer(lambda request: "seen") as server:
        predict("m", ["mine"], tmp_path / "out", repo=str(tmp_path / "repo"), base_url=server.url)
    parts = server.asked[0]["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["image_url"] * 3 + ["text"]
    expected = [f"data:image/png;base64,{base64.b64encode(picture(5 + k)).decode()}" for k in range(3)]
    assert pictures_of(server.asked[0]) == expected


def test_a_server_that_takes_one_picture_is_named_once_and_the_rows_are_listed(tmp_path, caplog):
    def one_only(request: dict) -> str:
        if len(pictures_of(request)) > 1:
            raise Refuse(400, "At most 1 image may be provided in one request.")
        return "seen"

    rows = [make_row(i, num_images=2 if i % 2 else 1) for i in range(40)]
    write_rows(tmp_path / "repo/data/vqa/mine/test.jsonl", rows)
    with ChatServer(one_only) as server:
        run = predict("m", ["mine"], tmp_path / "out", repo=str(tmp_path / "repo"), base_url=server.url, parallel=1)
    failed = [line for line in lines_of(tmp_path / "out") if "error" in line]
    assert [line["id"] for line in failed] == [f"row-{i}" for i in range(1, 40, 2)]
    assert run["num_failed"] == {"mine/test": 20} and not any("prediction" in line for line in failed)
    assert "At most 1 image" in failed[0]["error"] and f"{server.url} refused" in failed[-1]["error"]
    told = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(told) == 1 and "2 pictures" in told[0] and server.url in told[0]
    assert len(server.asked) < 40  # after three refusals the others are not sent


def test_a_reply_that_was_cut_off_before_its_text_is_no_empty_answer(repository, tmp_path):
    ends = {"20": "length", "21": "content_filter", "22": "stop"}

    def silent(request: dict) -> dict:
        number = words_of(request["messages"][-1]).rstrip("?")[-2:]
        return completion(request, None, ends[number])

    with ChatServer(silent) as server:
        run = predict("m", ["viquae"], tmp_path / "out", repo=str(repository), base_url=server.url)
    cut, filtered, silent_line = lines_of(tmp_path / "out")
    assert "larger --max-tokens" in cut["error"] and "'content_filter'" in filtered["error"]
    assert silent_line["prediction"] == "" and run["num_failed"] == {"viquae/test": 2}


@pytest.mark.slow
def test_batches_predict_what_single_rows_predict(tiny, tmp_path):
    repo = str(write_questions(tmp_path / "repo", (0, 30, 3, 11, 1, 60, 2)))
    for size in (1, 4):
        predict(str(tiny), ["mine"], tmp_path / f"by-{size}", repo=repo, batch_size=size, max_tokens=12)
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
    repo = str(write_questions(tmp_path / "repo", (0, 9, 2, 5)))
    (tmp_path / "small").mkdir()
    predict(str(tmp_path / "small"), ["mine"], tmp_path / "out", repo=repo, batch_size=2, max_tokens=6)
    lines = lines_of(tmp_path / "out")
    assert [line.get("error") for line in lines] == [None] * 4
    assert not any("What is" in line["prediction"] for line in lines)


def test_a_picture_that_is_none_fails_its_own_row_only(tiny, tmp_path):
    broken = base64.b64encode(b"<html>404</html>").decode()
    rows = [make_row(1), make_row(2, image_base64_str=[broken]), make_row(3), make_row(4)]
    write_rows(tmp_path / "repo/data/vqa/mine/test.jsonl", rows)
    predict(str(tiny), ["mine"], tmp_path / "out", repo=str(tmp_path / "repo"), batch_size=4, max_tokens=4)
    lines = lines_of(tmp_path / "out")
    assert ["error" in line for line in lines] == [False, True, False, False] and "row-2" in lines[1]["error"]


def test_the_answer_is_not_shown_to_the_model(tiny, tmp_path):
    write_rows(tmp_path / "data/vqa/mine/test.jsonl", [make_row(1, outputs="swordfish")])
    (question,) = read_questions(str(tmp_path), "mine", None, limit=None)
    local = LocalModel(str(tiny), 4, 1)
    prepared = local.collator.prepare({**question.row, "images": question.images})
    assert "swordfish" not in str(prepared.messages) and question.tail["references"] == ["swordfish"]


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
    repo = str(write_questions(tmp_path / "repo", (0, 3, 7)))
    runs = [tmp_path / "served", tmp_path / "local"]
    predict(name, ["mine"], runs[0], repo=repo, base_url=url, max_tokens=8, parallel=1)
    predict(name, ["mine"], runs[1], repo=repo, max_tokens=8)
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
