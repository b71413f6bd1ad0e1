"""m3it/showing/demo: what is asked, as m3it predict would; pictures that are refused; votes; the page; a Space."""

import base64
import hashlib
import inspect
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from html import unescape

import pytest
import yaml
from chat_server import ChatServer, events, words_of
from conftest import ROOT, picture, write_rows
from prediction_files import lines_of, write_questions

from M3IT import M3ITError, image_bytes
from m3it.evaluating import answering
from m3it.evaluating.answering import ModelInput, Question
from m3it.evaluating.predict import predict
from m3it.evaluating.runs import ScoreError
from m3it.evaluating.votes import ballots_in, count_votes, is_swapped, read_votes, vote_line, wilson
from m3it.rows.images import encode
from m3it.showing import door
from m3it.showing.browse.pages import Pages
from m3it.showing.demo.answers import answers_html, strip_html
from m3it.showing.demo.app import build
from m3it.showing.demo.pictures import MAX_PICTURES, read_uploads
from m3it.showing.demo.rounds import Round, Taken, ask, load_models, question_from, seen
from m3it.showing.demo.space import write_space
from m3it.showing.report import report
from m3it.work.chat import Chat


def sent(file: bytes | None, name: str = "a.png") -> dict:
    """A file as the browser sends it."""
    return {"name": name} if file is None else {"name": name, "data": base64.b64encode(file).decode()}


def question(text: str = "What?", pictures: tuple = ()) -> Question:
    return question_from(list(pictures), "", text, None)[0]


def asked_of(model, row: dict) -> list[str]:
    """The texts that come, one after the other, where the page holds what the row says."""
    files = image_bytes(row)
    taken = Taken({"config": "mine", "split": "test"}, "row-1", row["inputs"], files, row["outputs"])
    asked, reference = question_from(files, row["instruction"], row["inputs"], taken)
    assert reference == row["outputs"]
    return [each.answers[0] for each in ask([model], asked, reference)]


# ---- what is asked


@pytest.fixture
def every_word(monkeypatch):
    """All texts that a model tells come to the reader, however slow it is."""

    def streamed(work):
        told = []
        last = work(told.append)
        return iter([*told, last])

    monkeypatch.setattr(answering, "streamed", streamed)


def test_a_model_is_asked_what_predict_asks_it_and_answers_word_by_word(tiny, tmp_path, every_word):
    repo = write_questions(tmp_path / "repo", (0, 3, 40, 7))
    predict(str(tiny), ["mine"], tmp_path / "out", repo=str(repo), max_tokens=12, batch_size=1)
    expected = [line["prediction"] for line in lines_of(tmp_path / "out")]
    rows = [json.loads(line) for line in (repo / "data/vqa/mine/test.jsonl").read_text("utf-8").splitlines()]
    (model,) = load_models([str(tiny)], max_tokens=12).values()
    streams = [asked_of(model, row) for row in rows]
    assert [texts[-1] for texts in streams] == expected and any(expected)
    assert all(len(last) >= len(first) for texts in streams for first, last in zip(texts, texts[1:], strict=False))
    assert max(len(texts) for texts in streams) > 1


def test_a_server_is_asked_what_predict_asks_it(tmp_path, every_word):
    repo = write_questions(tmp_path / "repo", (0, 3))
    rows = [json.loads(line) for line in (repo / "data/vqa/mine/test.jsonl").read_text("utf-8").splitlines()]

    def reply(request):
        text = words_of(request["messages"][-1]).upper()
        return events(request, *re.findall(r"\s*\S+", text)) if request.get("stream") else text

    with ChatServer(reply) as server:
        predict("m", ["mine"], tmp_path / "out", repo=str(repo), base_url=server.url, parallel=1)
        (model,) = load_models(["m"], server.url).values()
        streams = [asked_of(model, row) for row in rows]
    assert [texts[-1] for texts in streams] == [line["prediction"] for line in lines_of(tmp_path / "out")]
    assert all(len(texts) > 1 for texts in streams)
    own = [{**body, "stream": None, "stream_options": None} for body in server.asked]
    assert own[:2] == own[2:] and server.asked[2]["stream"]


def test_what_the_models_saw_is_the_prompt_and_the_scaled_pictures(tiny):
    models = [*load_models([str(tiny)]).values(), *load_models(["m"], "http://127.0.0.1:9/v1").values()]
    local, served = seen(models, question("What is it?", (picture(3), picture(4))))
    assert local.prompt == "<image> × 4 <image> × 4 What is it?<s>" or "What is it?<s>" in local.prompt
    assert [picture.size for picture in local.pictures] == [(32, 32)] * 2
    assert local.pictures[0].getpixel((9, 9)) == pytest.approx((111, 17, 128), abs=1)
    assert "What is it?" in served.prompt and "image/png;sha256," in served.prompt and served.pictures == []


def test_which_models_are_asked_where(tiny, tmp_path):
    models = load_models([str(tiny), "gpt"], "http://127.0.0.1:9/v1", 7)
    assert [type(model).__name__ for model in models.values()] == ["LocalModel", "ServedModel"]
    assert isinstance(models["gpt"].chat, Chat) and models["gpt"].options["max_tokens"] == 7


def test_an_answer_ends_when_nobody_reads_on(tiny):
    (model,) = load_models([str(tiny)], max_tokens=4000).values()
    before, stream = threading.active_count(), model.stream(question())
    next(stream)
    stream.close()
    for _ in range(200):
        if threading.active_count() <= before:
            break
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_a_changed_row_is_no_row_and_has_no_reference():
    taken = Taken({"config": "okvqa", "split": "test"}, "row-1", "What?", [picture(1)], "a cat")
    head = {"id": "row-1", "config": "okvqa", "split": "test"}
    asked, reference = question_from([picture(1)], "Another instruction.", "What?", taken)
    assert reference == "a cat" and asked.head == head | {"prompt": "Another instruction.\nWhat?"}
    for pictures, text in (([picture(2)], "What?"), ([picture(1)], "Where?"), ([], "What?")):
        asked, reference = question_from(pictures, "", text, taken)
        assert reference == "" and "config" not in asked.head
    with pytest.raises(M3ITError, match="There is nothing to ask"):
        question_from([], " ", "\n", None)


# ---- pictures


def bomb(side: int) -> bytes:
    """A PNG of so many pixels a side, in some hundred bytes."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def truncated() -> bytes:
    import numpy as np

    file = encode(np.random.default_rng(0).integers(0, 255, (90, 90, 3), "uint8"), "JPEG")
    return file[: len(file) // 2]


@pytest.mark.parametrize("file, sentence", [
    (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "expected an image, found "),
    (b"<?xml version='1.0'?><svg/>", "expected an image, found "), (b"", "expected an image, found "),
    (b"just a text\n", "expected an image, found "), (b"%PDF-1.7\n", "expected an image, found "),
    (b"<!doctype html><p>hello", "found an HTML page"), (truncated(), "truncated or broken image/jpeg"),
    (bomb(60_000), "decompression bomb"),
    (bomb(8_000), "at most 50 megapixels, found 8,000 x 8,000"), (None, "expected at most 20 MB"),
    (b"\x89PNG\r\n\x1a\n" + b"\0" * 20_000_000, "at most 20 MB"),
])  # fmt: skip
def test_what_is_no_picture_is_refused_in_a_sentence(file, sentence):
    taken, refused = read_uploads([sent(file, "<b>.png"), sent(picture(1))], [picture(0)])
    assert taken == [picture(0), picture(1)]
    (told,) = refused
    assert told.startswith("<b>.png: ") and re.search(sentence, told) and told.endswith(".") and "\n" not in told


def test_so_many_pictures_and_no_more_and_nothing_but_base64():
    taken, refused = read_uploads([sent(picture(i), f"{i}.png") for i in range(MAX_PICTURES + 2)], [])
    assert len(taken) == MAX_PICTURES and [text.partition(":")[0] for text in refused] == ["8.png", "9.png"]
    for wrong in ("€", "a", 7, ["x"]):
        assert read_uploads([{"name": "x", "data": wrong}], [])[0] == []


# ---- sides and votes


def test_sides_are_drawn_from_the_question_and_are_about_even():
    drawn = [is_swapped(question(f"What is {i}?", (picture(i),))) for i in range(200)]
    assert drawn == [is_swapped(question(f"What is {i}?", (picture(i),))) for i in range(200)]
    assert 70 < sum(drawn) < 130


class Parrot:
    """A model that says one thing."""

    def __init__(self, text: str):
        self.text = text

    def stream(self, asked: Question):
        yield self.text[:2]
        yield self.text

    def seen(self, asked: Question) -> ModelInput:
        return ModelInput("the prompt", [])


def test_before_the_vote_nothing_says_which_model_answered():
    names, models = ["tiny-one", "big-two"], [Parrot("first text"), Parrot("second text")]
    for number in range(20):
        asked = question(f"What is {number}?")
        last = list(ask(models, asked, ""))[-1]
        shown = answers_html(last, names, done=True)
        assert "tiny-one" not in shown and "big-two" not in shown and "the prompt" not in shown
        order = ["second text", "first text"] if is_swapped(asked) else ["first text", "second text"]
        assert shown.index(order[0]) < shown.index(order[1])
        told = answers_html(last, names, seen(models, asked), "Tie", True)
        sides = [told.index(text) for text in ("Left", "tiny-one", "Right", "big-two")]
        assert sides == sorted(sides) or is_swapped(asked)


def test_all_that_is_said_is_escaped():
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)> \u202e"
    asked = Round(question(evil), (evil,), (0,), evil)
    html = answers_html(asked, [evil], [ModelInput(evil, [])], done=True)
    assert "<script" not in html and "<img src=x" not in html and "\u202e" not in html
    assert strip_html([b"<svg onload=alert(1)>"]).count("<svg") == 0


def test_a_vote_is_a_whole_line_that_says_who_what_and_when(tmp_path):
    taken = Taken({"config": "okvqa", "split": "test"}, "row-1", "What?", [picture(1)], "a cat")
    asked, _ = question_from([picture(1)], "", "What?", taken)
    with ballots_in(tmp_path / "votes") as ballots:
        ballots.add(vote_line(["a", "b"], asked, ["a cat\n", "\ud83d"], "left"))
        with pytest.raises(M3ITError, match="another process is at work in it"), ballots_in(tmp_path / "votes"):
            pass
    with ballots_in(tmp_path / "votes") as ballots:
        ballots.add(vote_line(["a", "b"], question("Where?"), ["x", "y"], "bad"))
    first, second = read_votes(tmp_path / "votes/votes.jsonl")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", first.pop("time"))
    assert first == {
        **{"models": ["a", "b"], "left": "b" if is_swapped(asked) else "a", "config": "okvqa", "split": "test"},
        **{"id": "row-1", "prompt": "What?", "answers": ["a cat\n", "?"], "vote": "left"},
        # printf 'What?' | sha256sum; that of the picture depends on the version of Pillow
        "prompt_sha256": "a4949e2c96de26681c9519749e57bfb362bbac2a8f40c89b24c35d1de111336d",
        "pictures_sha256": [hashlib.sha256(picture(1)).hexdigest()],
    }
    assert "config" not in second and second["pictures_sha256"] == [] and second["vote"] == "bad"


def test_what_a_killed_process_left_of_a_line_is_cut_off_and_said(tmp_path, caplog):
    line = json.dumps(vote_line(["a", "b"], question(), ["x", "y"], "tie"))
    (tmp_path / "votes.jsonl").write_text(f"{line}\n{line[:40]}", "utf-8")
    with pytest.raises(ScoreError, match="votes.jsonl: line 2: expected a JSON object"):
        read_votes(tmp_path / "votes.jsonl")
    with ballots_in(tmp_path) as ballots:
        ballots.add(json.loads(line))
    assert len(read_votes(tmp_path / "votes.jsonl")) == 2 and "its last line was not finished" in caplog.text


@pytest.mark.parametrize("broken", [
    "", "[]", "7", "\ufffd", '{"models": ["a"]}', '{"models": [1, 2]}', '{"models": ["a", "b"], "vote": "tie"}',
    '{"models": ["a", "b"], "left": "c", "vote": "tie"}', '{"models": ["a", "b"], "left": "a", "vote": "yes"}',
    '{"models": ["a", "b"], "left": "a", "vote": []}',
])  # fmt: skip
def test_a_broken_line_of_votes_is_named_in_a_sentence(m3it, tmp_path, broken):
    line = json.dumps({"models": ["a", "b"], "left": "a", "vote": "tie"})
    (tmp_path / "votes.jsonl").write_text(f"{line}\n{broken}\n{line}\n", "utf-8")
    code, _, err = m3it("report", tmp_path, "--out", tmp_path / "report.html")
    assert code == 1 and f"{tmp_path}/votes.jsonl: line 2: expected " in err and err.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_votes_are_counted_by_pair_whatever_the_order_of_their_names():
    def line(models, left, vote):
        return {"models": models, "left": left, "vote": vote}

    lines = (
        [line(["a", "b"], "a", "left")] * 5 + [line(["a", "b"], "b", "right")] * 2 + [line(["b", "a"], "b", "left")] * 2
    )
    lines += [line(["b", "a"], "b", "right"), line(["a", "b"], "a", "tie"), line(["a", "b"], "b", "bad")]
    lines += [line(["a", "c"], "a", "tie")]
    ab, ac = count_votes(lines)
    assert [ab[kind] for kind in ("win", "tie", "bad", "lose")] == [8, 1, 1, 2] and ab["models"] == ["a", "b"]
    assert ab["p"] == pytest.approx(2 * (1 + 10 + 45) / 1024, abs=1e-6)  # two or fewer of ten tosses, both sides
    assert ac["share"] is None and ac["p"] == 1


def test_wilson_intervals_are_those_of_the_formula():
    # Brown, Cai & DasGupta 2001, equation 4, by hand: 7 of 10 gives 0.397 to 0.892; 0 of 10 gives 0 to 0.278
    assert wilson(7, 10) == pytest.approx({"score": 70, "low": 39.68, "high": 89.22}, abs=0.01)
    assert wilson(0, 10) == pytest.approx({"score": 0, "low": 0, "high": 27.75}, abs=0.01)
    assert wilson(0, 0) is None


def test_the_report_shows_votes_beside_the_judge(runs, tmp_path):
    lines = [{"models": ["good", "poor"], "left": "poor", "vote": "right"}] * 6
    lines += [{"models": ["good", "poor"], "left": "good", "vote": vote} for vote in ("right", "tie", "bad")]
    write_rows(runs / "votes/votes.jsonl", lines)
    report([runs], tmp_path / "report.html")
    page = unescape(
        re.sub(r"<style>.*?</style>|<[^>]+>", " ", (tmp_path / "report.html").read_text("utf-8"), flags=re.S)
    )
    page = " ".join(page.split())
    assert "People compared good and poor blindly in 9 votes." in page
    assert "good is better in 85.7 % 48.7 to 97.4 of the 7 votes that name a better answer." in page
    assert page.index("Judge good against poor") < page.index("Votes By people")
    (tmp_path / "alone").mkdir()
    write_rows(tmp_path / "alone/votes.jsonl", lines)
    report([tmp_path / "alone"], tmp_path / "alone.html")
    assert "blindly in 9 votes" in (tmp_path / "alone.html").read_text("utf-8")


# ---- the page


@pytest.fixture
def served(repository, serving, tmp_path):
    """The address of a page that compares two parrots, and the folder of their votes."""
    pytest.importorskip("gradio", reason="the page needs Gradio: pip install -e '.[demo]'")
    with ballots_in(tmp_path / "votes") as ballots:
        models = {"one": Parrot("first text"), "two": Parrot("second text")}
        with serving(build(models, Pages(str(repository)), ballots)) as url:
            yield url


def test_only_the_page_is_served_and_no_large_request_is_read(served):
    with urllib.request.urlopen(f"{served}/config", timeout=60) as answer:
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "/gradio_api/file" not in json.dumps(json.load(answer)["components"])
    for path in ("/gradio_api/file=/etc/hostname", "/gradio_api/upload", "/gradio_api/component_server", "/docs"):
        for data in (None, b"{}"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(served + path, data, timeout=60)
    head = {"content-type": "application/json"}
    body = b'{"data": ["' + b"a" * (door.MAX_BODY_BYTES + 10_000_000) + b'"]}'
    with pytest.raises(OSError):  # HTTPError is one, too
        urllib.request.urlopen(urllib.request.Request(f"{served}/gradio_api/queue/join", body, head), timeout=60)
    with urllib.request.urlopen(f"{served}/config", timeout=60) as answer:
        assert answer.status == 200


# ---- a Space


def test_a_space_is_three_files_that_name_the_model(m3it, tmp_path):
    code, out, _ = m3it("demo", "--space", tmp_path / "space", "--model", "org/name.1")
    assert code == 0 and "hf upload" in out
    files = {path.name: path.read_text("utf-8") for path in (tmp_path / "space").iterdir()}
    assert set(files) == {"app.py", "requirements.txt", "README.md"}
    head = yaml.safe_load(files["README.md"].split("---\n")[1])
    assert head["sdk"] == "gradio" and head["app_file"] == "app.py" and head["models"] == ["org/name.1"]
    assert "'org/name.1'" in files["app.py"] and files["requirements.txt"].startswith("m3it[demo,train]")
    m3it("demo", "--space", tmp_path / "space")  # written anew, for a model that a variable names
    assert "models" not in yaml.safe_load((tmp_path / "space/README.md").read_text("utf-8").split("---\n")[1])
    (tmp_path / "space/README.md").write_text("my notes", "utf-8")
    code, _, err = m3it("demo", "--space", tmp_path / "space")
    assert code == 1 and "holds something else than part of a Space" in err


@pytest.mark.parametrize("model", ["{here}", "no id", "a/b/c", "x" * 200, "'); import os"])
def test_a_space_needs_a_model_of_the_hub(tmp_path, model):
    with pytest.raises(M3ITError, match="expected the Hub id of a model"):
        write_space(tmp_path / "space", model.format(here=tmp_path))
    assert not (tmp_path / "space").exists()


@pytest.mark.slow
def test_the_app_of_a_space_answers(tiny, tmp_path):
    pytest.importorskip("gradio", reason="the page needs Gradio: pip install -e '.[demo]'")
    write_space(tmp_path, "org/name")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = {"MODEL": str(tiny), "GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1"}
    more["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen([sys.executable, "app.py"], cwd=tmp_path, env={**os.environ, **more}) as app:
        try:
            url = f"http://127.0.0.1:{port}"
            while app.poll() is None:
                try:
                    with urllib.request.urlopen(f"{url}/config", timeout=60) as answer:
                        config, policy = json.load(answer), answer.headers["content-security-policy"]
                        break
                except urllib.error.URLError:
                    time.sleep(0.5)
            assert "frame-ancestors https://huggingface.co" in policy
            said = answer_of(url, config, ["What is 1?"])
            assert "What the model saw" in said and "What is 1?" in said
        finally:
            app.terminate()


def answer_of(url, config, texts):
    """The HTML of the answer to a question without pictures."""
    asked = next(each for each in config["dependencies"] if each["types"]["generator"])
    data = {"data": [None, None, "", *texts], "fn_index": asked["id"], "session_hash": "test"}
    head = {"content-type": "application/json"}
    urllib.request.urlopen(
        urllib.request.Request(f"{url}/gradio_api/queue/join", json.dumps(data).encode(), head)
    ).read()
    for line in urllib.request.urlopen(f"{url}/gradio_api/queue/data?session_hash=test", timeout=120):
        said = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {}
        if said.get("msg") == "process_generating":
            last = said["output"]["data"]
        if said.get("msg") == "process_completed":
            return json.dumps(last)
    raise AssertionError("the page said nothing")


# ---- the command


@pytest.mark.parametrize("words", [
    [], ["--model", "a", "--model", "b", "--model", "c"], ["--model", "a", "--model", "a"],
    ["--space", "s", "--model", "a", "--model", "b"], ["--space", "s", "--model", "a/b", "--base-url", "http://x"],
    ["--model", "a", "--port", "70000"], ["--model", "a", "--max-tokens", "0"],
])  # fmt: skip
def test_wrong_options_are_refused_before_anything_is_loaded(m3it, tmp_path, monkeypatch, words):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.chdir(tmp_path)
    code, out, err = m3it("demo", *words)
    assert (code, out) == (2, "") and "Invalid value" in err and not list(tmp_path.iterdir())


def test_gradio_finds_no_file_to_write_stubs_for_and_all_others_do():
    def create_or_modify_pyi():
        return inspect.getfile(pytest)

    path = create_or_modify_pyi()
    with door._no_stubs():
        assert inspect.getfile(pytest) == path
        with pytest.raises(OSError, match="no stubs"):
            create_or_modify_pyi()
    assert create_or_modify_pyi() == path


def test_without_gradio_the_command_says_what_to_install(m3it, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    code, _, err = m3it("demo", "--model", "a")
    assert code == 1 and "m3it demo needs Gradio: pip install " in err
