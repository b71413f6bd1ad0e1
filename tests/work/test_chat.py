"""The client of model servers against one that misbehaves: replies on disk, faults, costs, refusals in sentences."""

import base64
import hashlib
import io
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from itertools import islice

import pytest
from chat_server import ChatServer, Refuse, completion, events
from conftest import ROOT, picture
from PIL import Image

import m3it.work.chat
from M3IT import stated_wait
from m3it.work.chat import Chat, ChatError, CostError, Request, message, num_tokens, server_name
from m3it.work.reasoning import open_thought, without_reasoning


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    """As many tries as ever, but no waits of ours; no key and no proxy from outside."""
    monkeypatch.setattr(m3it.work.chat, "RETRY_SECONDS", (0,) * 10)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    """Answers with the last message in capitals."""
    with ChatServer(lambda request: request["messages"][-1]["content"].upper()) as server:
        yield server


def requests(number, **options):
    return [Request([message(f"question {i}")], options=options) for i in range(number)]


def texts(replies):
    return [reply.text for reply in replies]


def closed_port():
    """A port of this machine where nobody answers."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_a_server_that_said_that_it_is_busy_runs_though_it_hangs_up_next(server, tmp_path):
    server.fault(503, times=2)
    server.fault("drop", times=2)
    assert Chat("m", server.url, cache_dir=tmp_path).ask([message("hello")]).text == "HELLO"


# ---- what goes out, what comes back


def test_a_reply_has_text_tokens_and_the_servers_name_of_the_model(server, tmp_path):
    chat = Chat("m", server.url, cache_dir=tmp_path)
    reply = chat.ask([message("be brief", role="system"), message("how are you")], temperature=0, max_tokens=5, top_k=3)
    assert reply._asdict() == {
        "text": "HOW ARE YOU", "prompt_tokens": 5, "completion_tokens": 3, "model": "m-2024", "finish_reason": "stop",
        "created": 1_700_000_000,
    }  # fmt: skip
    assert server.asked == [
        {
            "model": "m",
            "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "how are you"}],
            "temperature": 0, "max_tokens": 5, "top_k": 3,
        }
    ]  # fmt: skip


def test_images_go_as_data_uris_with_their_bytes_in_order_before_the_text(tmp_path):
    jpeg = b"\xff\xd8\xff\xe0 not looked into"
    with ChatServer(lambda request: "two") as server:
        Chat("m", server.url, cache_dir=tmp_path).ask([message("how many?", [picture(1), jpeg])])
    first, second, text = server.asked[0]["messages"][0]["content"]
    assert first == {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + base64.b64encode(picture(1)).decode()},
    }
    assert second == {
        "type": "image_url",
        "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()},
    }
    assert text == {"type": "text", "text": "how many?"}


def test_no_content_is_an_empty_text_and_a_refusal_is_its_text(tmp_path):
    with ChatServer(lambda request: completion(request, None, "content_filter")) as server:
        reply = Chat("m", server.url, cache_dir=tmp_path).ask([message("a")])
        assert (reply.text, reply.finish_reason) == ("", "content_filter")

    def refusal(request):
        body = completion(request, None)
        body["choices"][0]["message"]["refusal"] = "I would rather not."
        return body

    with ChatServer(refusal) as server:
        reply = Chat("m", server.url, cache_dir=tmp_path).ask([message("b")])
        assert (reply.text, reply.finish_reason) == ("I would rather not.", "refusal")
        assert reply.fault == "the model refused: I would rather not."


def said_with(request, text="fine", finish_reason="stop", **fields):
    """A completion whose message has further fields."""
    body = completion(request, text if isinstance(text, str) else "", finish_reason)
    body["choices"][0]["message"] |= {"content": text, **fields}
    return body


@pytest.mark.parametrize(
    ("content", "fields", "expected"),
    [
        ([{"type": "text", "text": "Par"}, {"type": "text", "text": "is"}], {}, ("Paris", "")),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Paris"}], {},
         ("Paris", "")),
        (["Paris"], {}, ("Paris", "")),
        ([], {}, ("", "")),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}], {}, ("", "thoughts and no answer")),
        ([{"type": "refusal", "refusal": "No."}], {}, ("No.", "the model refused: No.")),
        (None, {"reasoning": "hm"}, ("", "thoughts and no answer")),
        ("", {"reasoning_content": "hm"}, ("", "thoughts and no answer")),
        ("Paris", {"reasoning_content": "hm"}, ("Paris", "")),
        (None, {}, ("", "")),
    ],
)  # fmt: skip
def test_content_comes_as_a_text_or_in_parts_and_thoughts_are_no_answer(tmp_path, content, fields, expected):
    with ChatServer(lambda request: said_with(request, content, **fields)) as server:
        reply = Chat("m", server.url, cache_dir=tmp_path).ask([message("a")])
    assert reply.text == expected[0] and expected[1] in reply.fault and bool(reply.fault) == bool(expected[1])


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": 7}, {"prompt_tokens": 7, "completion_tokens": None}, {"completion_tokens": "1"}, {}]
)
def test_tokens_that_a_server_leaves_out_are_estimated(tmp_path, usage):
    with ChatServer(lambda request: {**completion(request, "x" * 30), "usage": usage}) as server:
        chat = Chat("m", server.url, cache_dir=tmp_path)
        reply = chat.ask([message("y" * 300)])
    assert (reply.prompt_tokens, reply.completion_tokens) == (usage.get("prompt_tokens", 105), 11)
    assert chat.usage()["completion_tokens"] == 11


@pytest.mark.parametrize(
    "answer",
    [{"choices": []}, {"choices": [{}]}, {"choices": [{"index": 0, "message": None, "finish_reason": "stop"}]},
     {"choices": [{"index": 0, "message": {"role": "assistant", "content": 5}, "finish_reason": "stop"}]}],
)  # fmt: skip
def test_a_request_that_is_answered_by_nothing_fails_alone_and_at_once(tmp_path, answer):
    def reply(request):
        blocked = request["messages"][0]["content"] == "question 2"
        return {**completion(request, "fine"), **(answer if blocked else {})}

    with ChatServer(reply) as server:
        replies = list(Chat("m", server.url, cache_dir=tmp_path).ask_all(requests(4), on_error="drop"))
        assert len(server.asked) == 4
    assert [isinstance(reply, ChatError) for reply in replies] == [False, False, True, False]
    assert "refuses the request" in str(replies[2])


def test_an_error_under_status_200_is_that_error(tmp_path):
    with ChatServer(lambda request: {"error": {"message": "Prompt is too long", "code": 400}}) as server:
        with pytest.raises(ChatError, match="refuses the request: 400, Prompt is too long"):
            Chat("m", server.url, cache_dir=tmp_path).ask([message("a")])
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "told",
    ["This model only support stream mode, please enable the stream parameter.", "Stream must be set to true",
     "parameter.enable_thinking must be set to false for non-streaming calls", ""],
)  # fmt: skip
def test_a_server_that_answers_only_as_a_stream_is_asked_so(tmp_path, caplog, told):
    def reply(request):
        if told and not request.get("stream"):
            raise Refuse(400, told)
        return events(request, "Pa", "ris")

    with ChatServer(reply) as server:
        chat = Chat("m", server.url, cache_dir=tmp_path, parallel=1)
        assert texts(chat.ask_all(requests(3))) == ["Paris"] * 3
        assert [body.get("stream") for body in server.asked] == [None, True, True, True]
    assert chat.ask(requests(1)[0].messages).completion_tokens == 1  # as the stream counts: one word
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "answers only as a stream; asked so"
    ]


def test_who_is_told_gets_the_text_as_it_is_streamed(tmp_path):
    with ChatServer(lambda request: events(request, "a ", "red ", "circle")) as server:
        chat, told = Chat("m", server.url, cache_dir=tmp_path), []
        reply = chat.ask(requests(1)[0].messages, tell=told.append, temperature=0)
        assert reply.text == "a red circle" and reply.completion_tokens == 3
        assert list(dict.fromkeys(told)) == ["a ", "a red ", "a red circle"]
        assert chat.ask(requests(1)[0].messages, temperature=0) == reply  # of the disk: it is the same request
    assert [body["stream"] for body in server.asked] == [True]


@pytest.mark.parametrize("refuses", [False, True])
def test_a_server_that_does_not_stream_is_asked_for_one_reply(tmp_path, refuses):
    def reply(request):
        if refuses and "stream" in request:
            raise Refuse(400, "stream is not supported here")
        return "a circle"  # whether a stream was asked for or not

    with ChatServer(reply) as server:
        chat, told = Chat("m", server.url, cache_dir=tmp_path), []
        for request in requests(2):
            assert chat.ask(request.messages, tell=told.append).text == "a circle"
    assert told == [] and [body.get("stream") for body in server.asked] == [True, None, None]


def test_a_stream_that_ends_early_is_asked_for_again(tmp_path):
    cut = iter([True, False])

    def reply(request):
        whole = events(request, "Pa", "ris", reasoning_content="hm")
        return whole[: whole.index(b"stop") - 60] if next(cut) else whole

    with ChatServer(reply) as server:
        chat = Chat("m", server.url, cache_dir=tmp_path, extra_body={"stream": True})
        assert chat.ask([message("a")]).text == "Paris" and len(server.asked) == 2


def test_further_fields_of_requests_go_along_and_make_other_requests(server, tmp_path):
    extra = {"top_p": 0.8, "chat_template_kwargs": {"enable_thinking": False}, "temperature": 0.6}
    for fields in ({}, extra, extra):
        Chat("m", server.url, cache_dir=tmp_path, extra_body=fields).ask([message("a")], temperature=0)
    assert [{k: v for k, v in body.items() if k not in ("model", "messages")} for body in server.asked] == [
        {"temperature": 0}, extra,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="extra_body: messages is what m3it sends itself"):
        Chat("m", server.url, cache_dir=tmp_path, extra_body={"messages": []})


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_pictures_that_servers_do_not_take_go_as_png_and_it_is_said_once(kind, caplog):
    m3it.work.chat._say_converted.cache_clear()
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture(3))).convert("RGB").save(buffer, kind)
    for _ in range(2):
        url = message("?", [buffer.getvalue()])["content"][0]["image_url"]["url"]
    head, _, data = url.partition(",")
    shown = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == "data:image/png;base64" and shown.format == "PNG"
    assert shown.tobytes() == Image.open(io.BytesIO(picture(3))).convert("RGB").tobytes()
    assert [f"image/{kind.lower()}" in record.getMessage() for record in caplog.records] == [True]


# ---- thoughts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>Two dogs.</think>\n\nyes", "yes"),
        ("Two dogs.</think>\n\nyes", "yes"),  # the chat template opened the thought
        ("<think>Is it </think> no, <think>again</think> yes ", "yes"),
        ("<think>a <think>b</think> c</think>d", "d"),
        ("<Thinking>Hm.</Thinking>yes", "yes"),
        ("[THINK]Hm.[/THINK]yes", "yes"),
        ("◁think▷Hm.◁/think▷yes", "yes"),
        ("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>yes", "yes"),
        ("<think></think>", ""),
        ("<think>Hm.</think><answer>yes</answer>", "yes"),
        ("<think>Two dogs, and", None),
        ("<think>Hm.</think> yes <think>or", None),
        ("[THINK]Two dogs, and", None),
        ("<|channel|>analysis<|message|>Two dogs", None),
        (" yes \n", " yes \n"),  # without marks, as it is
        ("I [think] so", "I [think] so"),
        ("", ""),
    ],
)
def test_what_counts_is_the_text_after_the_thought(text, expected):
    assert without_reasoning(text) == expected


def test_the_marks_of_thoughts_can_be_named():
    assert without_reasoning("<plan>a</plan>b", ["plan"]) == without_reasoning("<plan>a</plan>b", ["<plan>"]) == "b"
    assert (
        without_reasoning("BEGIN a END b", ["BEGIN END"]) == "b" and without_reasoning("BEGIN a", ["BEGIN END"]) is None
    )
    assert (
        without_reasoning("<think>a</think>b", ["plan"])
        == without_reasoning("<think>a</think>b", [])
        == "<think>a</think>b"
    )
    assert open_thought("<|im_start|>assistant\n<think>\n") == "<think>" and open_thought("<think>a</think>\n") == ""


def test_tokens_are_estimated_where_the_server_does_not_count(tmp_path):
    with ChatServer(lambda request: {**completion(request, "x" * 30), "usage": None}) as server:
        reply = Chat("m", server.url, cache_dir=tmp_path).ask([message("y" * 300)])
    assert (reply.prompt_tokens, reply.completion_tokens) == (105, 11)  # 300/3 + 1 + 4 of the frame; 30/3 + 1


def test_max_tokens_goes_under_its_new_name_where_the_model_knows_only_that(tmp_path, caplog):
    def newer(request):
        for name in ("max_tokens", "temperature"):
            if name in request:
                raise Refuse(
                    400,
                    f"Unsupported: {name!r}",
                    param=name,
                    code="unsupported_parameter" if name == "max_tokens" else "unsupported_value",
                )
        return "fine"

    with ChatServer(newer) as server, caplog.at_level(logging.WARNING, "m3it.work.chat"):
        chat = Chat("m", server.url, cache_dir=tmp_path, parallel=1)
        assert texts(chat.ask_all(requests(2, max_tokens=9, temperature=0))) == ["fine", "fine"]
    assert [sorted(set(body) - {"model", "messages"}) for body in server.asked] == [
        ["max_tokens", "temperature"], ["max_completion_tokens", "temperature"],
        ["max_completion_tokens"], ["max_completion_tokens"],
    ]  # fmt: skip
    assert server.asked[-1]["max_completion_tokens"] == 9
    assert [record.args[2] for record in caplog.records] == ["max_tokens", "temperature"]


# ---- on disk


def test_a_replay_needs_neither_server_nor_key_nor_client(server, tmp_path):
    asked = list(Chat("m", server.url, cache_dir=tmp_path).ask_all(requests(5, temperature=1)))
    program = f"""
import sys
sys.modules["openai"] = None  # as if it were not installed
from m3it.work.chat import Chat, Request, message
chat = Chat("m", {server.url!r}, cache_dir={str(tmp_path)!r})
requests = [Request([message(f"question {{i}}")], 0, {{"temperature": 1}}) for i in range(5)]
print([reply.text for reply in chat.ask_all(requests)], chat.usage())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    counts = {"num_asked": 0, "num_kept": 5, "prompt_tokens": 0, "completion_tokens": 0, "cost": None}
    assert done.stdout.strip() == f"{texts(asked)} {counts}", done.stderr


def test_sample_options_messages_and_model_each_make_another_request(server, tmp_path):
    chat, other = Chat("m", server.url, cache_dir=tmp_path), Chat("n", server.url, cache_dir=tmp_path)
    for _ in range(2):
        chat.ask([message("a")])
        chat.ask([message("a")], sample=1)
        chat.ask([message("a")], temperature=1)
        chat.ask([message("a", role="system")])
        other.ask([message("a")])
    assert len(server.asked) == 5
    assert (chat.num_asked, chat.num_kept) == (4, 4)


def test_a_kept_reply_says_what_was_sent_but_no_key_and_no_pixels(tmp_path):
    with ChatServer(key="sk-secret") as server:
        Chat("m", server.url, "sk-secret", tmp_path).ask([message("what?", [picture(2)])], sample=3, temperature=1)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    kept = json.loads(path.read_text())
    assert kept["request"]["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;sha256,{hashlib.sha256(picture(2)).hexdigest()}"}},
        {"type": "text", "text": "what?"},
    ]
    assert (kept["request"]["temperature"], kept["sample"], kept["reply"]["text"]) == (1, 3, "ok")
    assert "sk-secret" not in path.read_text() and path.parent.name == path.name[:2]


def test_equal_requests_under_way_are_asked_once(server, tmp_path):
    chat = Chat("m", server.url, cache_dir=tmp_path)
    assert texts(chat.ask_all([Request([message("same")])] * 20)) == ["SAME"] * 20
    assert len(server.asked) == 1


def test_none_among_requests_comes_back_in_its_place(server, tmp_path):
    one, two = requests(2)
    replies = list(Chat("m", server.url, cache_dir=tmp_path).ask_all([None, one, None, None, two]))
    assert [reply and reply.text for reply in replies] == [None, "QUESTION 0", None, None, "QUESTION 1"]


@pytest.mark.parametrize(
    "text",
    ['{"reply": ', "[]", '{"reply": {"text": ["Paris"], "prompt_tokens": 1, "completion_tokens": 1, "model": "m"}}',
     '{"reply": {"text": "Paris", "prompt_tokens": 1, "completion_tokens": null, "model": "m"}}'],
)  # fmt: skip
def test_a_file_that_is_no_reply_is_named_and_asked_for_again(server, tmp_path, caplog, text):
    chat = Chat("m", server.url, cache_dir=tmp_path)
    chat.ask([message("a")])
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_text(text)
    assert chat.ask([message("a")]).text == "A" and len(server.asked) == 2
    assert f"{path.name}: expected a reply" in caplog.text
    assert chat.ask([message("a")]).text == "A" and len(server.asked) == 2  # and kept


def test_another_server_is_another_model_and_its_credentials_are_not_kept(tmp_path):
    for said in ("one", "two"):
        with ChatServer(lambda request, said=said: said) as server:
            url = server.url.replace("http://", "http://me:secret@")
            assert Chat("m", url, cache_dir=tmp_path).ask([message("a")]).text == said
            assert Chat("m", f"{server.url}/", cache_dir=tmp_path).ask([message("a")]).text == said
            assert len(server.asked) == 1
    assert not any("secret" in path.read_text() for path in tmp_path.rglob("*.json"))
    assert server_name() == server_name("https://API.openai.com/v1/") == "https://api.openai.com/v1"
    assert server_name("http://me:secret@host:8000/v1?key=x") == "http://host:8000/v1"


def test_a_killed_run_asks_only_what_is_missing(tmp_path):
    """The server kills the program in the middle, with SIGKILL; what it had answered before is not asked again."""
    program = """
import os, sys
from m3it.work.chat import Chat, Request, message
chat = Chat("m", sys.argv[1], cache_dir=sys.argv[2], parallel=4)
name = os.getpid() if len(sys.argv) < 4 else sys.argv[3]
for reply in chat.ask_all(Request([message(f"{name} {i}")]) for i in range(40)):
    print(reply.text)
"""
    pids = []

    def reply(request):
        pid, number = request["messages"][0]["content"].split()
        pids.append(pid)
        if len(pids) == 21:
            os.kill(int(pid), 9)
        return f"reply {number}"

    with ChatServer(reply) as server:
        command = [sys.executable, "-c", program, server.url, str(tmp_path)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        assert subprocess.run(command, env=env, capture_output=True, check=False).returncode == -9
        kept = len([path for path in tmp_path.rglob("*.json") if not path.name.startswith(".")])
        env["OPENAI_API_KEY"] = "second"
        done = subprocess.run([*command, pids[0]], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[:-1] == [f"reply {i}" for i in range(40)], done.stderr
    assert 16 <= kept <= 24  # four were under way
    assert len([exchange for exchange in server.exchanges if exchange.key == "Bearer second"]) == 40 - kept


def test_an_option_that_is_refused_under_every_name_ends_the_run(tmp_path):
    def never(request):
        raise Refuse(400, "Unsupported: 'max_tokens'", param="max_tokens", code="unsupported_parameter")

    with ChatServer(never) as server:
        with pytest.raises(ChatError, match="refuses the request: 400, Unsupported: 'max_tokens'"):
            Chat("m", server.url, cache_dir=tmp_path).ask([message("a")], max_tokens=5)
        assert len(server.asked) == 2


# ---- many at once


def test_replies_come_in_order_and_requests_are_drawn_as_needed(tmp_path):
    drawn, gate = [], threading.Event()

    def reply(request):
        text = request["messages"][0]["content"]
        if text == "question 0":
            gate.wait(30)  # the first is the last to be answered
        return text

    def draw():
        for request in requests(100):
            drawn.append(request)
            yield request

    with ChatServer(reply) as server:
        replies = Chat("m", server.url, cache_dir=tmp_path, parallel=3).ask_all(draw())
        threading.Timer(0.3, gate.set).start()
        first = next(replies)
        assert (first.text, len(drawn)) == ("question 0", 12)  # four times `parallel`
        assert [first.text, *texts(replies)] == [f"question {i}" for i in range(100)]
    assert len(server.asked) == 100


def test_as_many_requests_as_asked_for_run_at_once(tmp_path):
    together = threading.Barrier(5)

    def reply(request):
        together.wait(30)  # goes on only when five are here
        return "met"

    with ChatServer(reply) as server:
        assert texts(Chat("m", server.url, cache_dir=tmp_path, parallel=5).ask_all(requests(20))) == ["met"] * 20
        assert server.most_at_once == 5


def test_a_reader_that_has_enough_stops_the_asking(server, tmp_path):
    chat = Chat("m", server.url, cache_dir=tmp_path, parallel=2)
    replies = chat.ask_all(requests(1000))
    assert texts(islice(replies, 3)) == ["QUESTION 0", "QUESTION 1", "QUESTION 2"]
    replies.close()
    asked = len(server.asked)
    assert asked <= 3 + 8  # the eight that were drawn ahead
    assert len(list(tmp_path.rglob("*.json"))) == asked  # all of them kept


# ---- faults


@pytest.mark.parametrize("kind", [408, 429, 500, 503, 529, "cut", "drop", "garbage", "broken", "nonsense"])
def test_a_fault_that_passes_is_waited_out(server, tmp_path, kind):
    server.fault(kind, times=2)
    chat = Chat("m", server.url, cache_dir=tmp_path, parallel=3)
    assert texts(chat.ask_all(requests(6))) == [f"QUESTION {i}" for i in range(6)]
    assert [exchange.fault for exchange in server.exchanges].count(kind) == 2
    assert (len(server.asked), chat.num_asked) == (8, 6)


def test_a_reply_that_does_not_come_is_asked_for_again(server, tmp_path):
    server.slow_seconds = 30
    server.fault("slow")
    assert Chat("m", server.url, cache_dir=tmp_path, timeout_seconds=0.5).ask([message("a")]).text == "A"
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"retry_after": "1"},
        {"retry_after": "0.6"},
        {"retry_after_ms": "600", "retry_after": "9"},
        {"retry_after": "a date"},
    ],
)
def test_the_stated_wait_is_kept_to(server, tmp_path, headers):
    if headers == {"retry_after": "a date"}:
        headers = {"retry_after": formatdate(time.time() + 2, usegmt=True)}  # whole seconds: 1 to 2 from now
    server.fault(429, **headers)
    Chat("m", server.url, cache_dir=tmp_path).ask([message("a")])
    refused, passed = server.exchanges
    assert passed.seconds - refused.seconds >= 0.6


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0.6"}, 0.6),
        ({"Retry-After": "86400"}, 600),  # no longer than ten minutes
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After-Ms": "600", "Retry-After": "9"}, 0.6),
        ({"RateLimit": '"api";r=0;t=55'}, 55),  # the Hub's
        ({"RateLimit": '"api";r=0;t=55', "Retry-After": "3"}, 3),
    ],
)
def test_a_stated_wait_is_read_in_every_form(headers, seconds):
    assert stated_wait(headers) == seconds


def test_a_stated_wait_is_for_all_that_would_ask(tmp_path):
    with ChatServer() as server:
        chat = Chat("m", server.url, cache_dir=tmp_path, parallel=1)
        chat.ask([message("warm up")])
        server.fault(429, retry_after="1")
        slow = threading.Thread(target=chat.ask, args=([message("refused")],))
        slow.start()
        while chat._not_before == 0:
            threading.Event().wait(0.01)
        chat.ask([message("another")])
        slow.join()
    refused, *later = server.exchanges[1:]
    assert len(later) == 2 and all(exchange.seconds - refused.seconds >= 0.95 for exchange in later)


def test_a_rate_limit_far_below_the_parallelism_does_not_exhaust_the_patience(tmp_path):
    """Question 0 is refused 33 times, more than its 11 tries; between any three refusals another one gets its reply."""
    refusals, change = [], threading.Condition()

    def reply(request):
        text, number = request["messages"][0]["content"], int(request["messages"][0]["content"].split()[1])
        with change:
            if number:  # the n-th of the others has to wait for 3 n refusals
                change.wait_for(lambda: len(refusals) >= 3 * number, 30)
            elif len(refusals) < 33:
                refusals.append(text)
                change.notify_all()
                change.wait(0.05)  # until another one has been answered, mostly
                raise Refuse(429, "slow down")
        return text

    with ChatServer(reply) as server:
        replies = Chat("m", server.url, cache_dir=tmp_path, parallel=12).ask_all(requests(12))
        assert texts(replies) == [f"question {i}" for i in range(12)]
    assert len(refusals) == 33


def test_patience_ends_with_a_sentence(server, tmp_path):
    server.fault(500, times=100)
    chat = Chat("m", server.url, cache_dir=tmp_path)
    with pytest.raises(
        ChatError, match=r"127.0.0.1:\d+/v1 gives no reply after 11 tries: 500, fault 500, as asked for\..*Run again"
    ) as raised:
        chat.ask([message("a")])
    assert (raised.value.status, len(server.asked)) == (500, 11)


def test_a_server_that_never_answered_is_given_up_soon(tmp_path):
    chat = Chat("m", f"http://127.0.0.1:{closed_port()}/v1", cache_dir=tmp_path)
    with pytest.raises(
        ChatError,
        match=r"gives no reply after 3 tries: ConnectError.*Is it running there\? The URL of most servers ends in /v1",
    ):
        chat.ask([message("a")])


def test_no_sentence_and_no_warning_shows_the_password_of_the_server(server, tmp_path, caplog):
    server.fault(500, times=1)
    server.fault(404, times=1)
    chat = Chat("m", server.url.replace("http://", "http://user:SECRET@") + "?sig=SECRET", cache_dir=tmp_path)
    with pytest.raises(ChatError, match=r"^http://127.0.0.1:\d+/v1 has no 'm': 404") as raised:
        chat.ask([message("a")])
    assert "trying again" in caplog.text and "SECRET" not in caplog.text + str(raised.value)


def test_replies_before_a_failure_are_kept(tmp_path):
    def reply(request):
        if request["messages"][0]["content"] == "question 5":
            raise Refuse(401, "Key expired")
        return "fine"

    with ChatServer(reply) as server:
        chat = Chat("m", server.url, cache_dir=tmp_path, parallel=1)
        with pytest.raises(ChatError, match="refuses the key: 401, Key expired"):
            list(chat.ask_all(requests(50)))
        assert 5 <= chat.num_asked < 12
        server.reply, asked = (lambda request: "mended"), chat.num_asked
        assert texts(chat.ask_all(requests(50)))[5] == "mended"
    assert len(server.asked) == 50 + 1 and chat.num_kept == asked


def test_a_run_that_fails_does_not_wait_for_those_that_wait(tmp_path):
    waiting = threading.Event()

    def reply(request):
        if request["messages"][0]["content"] == "question 0":
            waiting.wait(30)
            raise Refuse(401, "Key expired")
        waiting.set()
        raise Refuse(429, "slow down", headers={"Retry-After": "3"})

    with ChatServer(reply) as server:
        chat = Chat("m", server.url, cache_dir=tmp_path, parallel=2)
        with pytest.raises(ChatError, match="Key expired"):
            list(chat.ask_all(requests(2)))
        assert len(server.asked) == 2  # not asked again after the three seconds


# ---- refusals


def test_a_missing_key_is_said_before_anything_is_sent(tmp_path):
    with pytest.raises(ChatError, match="No API key. Set OPENAI_API_KEY"):
        Chat("m", cache_dir=tmp_path).ask([message("a")])


def test_a_server_of_ones_own_needs_no_key_and_gets_the_one_there_is(server, tmp_path, monkeypatch):
    Chat("m", server.url, cache_dir=tmp_path).ask([message("a")])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    Chat("m", server.url, cache_dir=tmp_path).ask([message("b")])
    Chat("m", server.url, "sk-2", cache_dir=tmp_path).ask([message("c")])
    assert [exchange.key for exchange in server.exchanges] == ["Bearer none", "Bearer sk-1", "Bearer sk-2"]


def test_a_wrong_key_is_not_tried_again(tmp_path):
    with ChatServer(key="sk-right") as server:
        with pytest.raises(ChatError, match="refuses the key: 401, Incorrect API key provided. Set OPENAI_API_KEY"):
            Chat("m", server.url, "sk-wrong", tmp_path).ask([message("a")])
        assert len(server.asked) == 1


def test_an_unknown_model_is_answered_with_the_nearest(tmp_path):
    with ChatServer(models=("llama-3-8b", "qwen2-vl-7b")) as server:
        chat = Chat("qwen2-vl", server.url, cache_dir=tmp_path)
        with pytest.raises(
            ChatError, match=r"has no 'qwen2-vl': 404, .* Did you mean 'qwen2-vl-7b'\? It has llama-3-8b, qwen2-vl-7b\."
        ):
            chat.ask([message("a")])


def test_a_wrong_url_is_told_from_a_wrong_model(server, tmp_path):
    with pytest.raises(ChatError, match="lists no models either: is the URL right"):
        Chat("m", server.url.removesuffix("/v1"), cache_dir=tmp_path).ask([message("a")])


def test_a_spent_quota_is_not_waited_out(tmp_path):
    def reply(request):
        raise Refuse(429, "You exceeded your current quota", code="insufficient_quota")

    with ChatServer(reply) as server:
        with pytest.raises(ChatError, match="refuses the request: 429, You exceeded your current quota"):
            Chat("m", server.url, cache_dir=tmp_path).ask([message("a")])
        assert len(server.asked) == 1


def test_a_refused_request_comes_in_its_place_if_asked_for(tmp_path):
    def reply(request):
        if request["messages"][0]["content"] == "question 2":
            raise Refuse(400, "at most 1 image(s) may be provided")
        return "fine"

    with ChatServer(reply) as server:
        chat = Chat("m", server.url, cache_dir=tmp_path)
        replies = list(chat.ask_all(requests(5), on_error="drop"))
        assert [str(r) if isinstance(r, ChatError) else r.text for r in replies] == [
            "fine", "fine", f"{server.url} refuses the request: 400, at most 1 image(s) may be provided.",
            "fine", "fine",
        ]  # fmt: skip
        assert replies[2].status == 400
        with pytest.raises(ChatError, match="at most 1 image"):
            list(chat.ask_all(requests(5)))


def test_a_request_that_gets_500_at_every_try_while_others_are_answered_counts_as_refused(tmp_path):
    num_answered = threading.Semaphore(0)

    def reply(request):
        if request["messages"][0]["content"] == "question 0":
            num_answered.acquire(timeout=30)  # another one has its reply, before each failure
            raise Refuse(500, "cannot identify image file")
        num_answered.release()
        return "fine"

    with ChatServer(reply) as server:
        chat = Chat("m", server.url, cache_dir=tmp_path, parallel=4)
        first, *others = chat.ask_all(requests(16), on_error="drop")
        assert texts(others) == ["fine"] * 15 and first.status == 500
        assert "fails on this request at each of 11 tries, while it answers others: 500" in str(first)
        server.reply = lambda request: (_ for _ in ()).throw(Refuse(500, "out of order"))  # it answers nobody
        with pytest.raises(ChatError, match="out of order"):
            list(Chat("m", server.url, cache_dir=tmp_path / "new", parallel=4).ask_all(requests(8), on_error="drop"))


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="max_cost=1.0: expected prices"):
        Chat("m", max_cost=1.0)
    with pytest.raises(ValueError, match="parallel=0"):
        Chat("m", parallel=0)
    with pytest.raises(ValueError, match="on_error='skip'"):
        next(Chat("m", cache_dir=tmp_path).ask_all([], on_error="skip"))


# ---- costs


def test_tokens_and_price_are_counted(server, tmp_path):
    chat = Chat("m", server.url, cache_dir=tmp_path, prices=(2.0, 10.0))
    list(chat.ask_all(requests(10)))
    # "question 7" and its reply are two words each: 10 * (2 * 2 + 2 * 10) / 1,000,000
    assert chat.usage() == {
        "num_asked": 10,
        "num_kept": 0,
        "prompt_tokens": 20,
        "completion_tokens": 20,
        "cost": 0.00024,
    }
    list(chat.ask_all(requests(10)))
    assert chat.usage() == {
        "num_asked": 10,
        "num_kept": 10,
        "prompt_tokens": 20,
        "completion_tokens": 20,
        "cost": 0.00024,
    }


@pytest.mark.parametrize("parallel", [1, 8])
def test_max_cost_stops_before_the_request_that_may_exceed_it(tmp_path, parallel):
    """A request is 8 tokens by our estimate (10 or 11 bytes / 3 + 1 + 4) and 2 for the server; its reply has 100."""
    with ChatServer(lambda request: " ".join(["word"] * 100)) as server:
        chat = Chat("m", server.url, cache_dir=tmp_path, parallel=parallel, prices=(1e6, 1e6), max_cost=1000)
        with pytest.raises(
            CostError,
            match=r"max_cost 1000: 9 replies have cost 918.0000, the next may cost 108.0000. All replies are kept",
        ):
            list(chat.ask_all(requests(50, max_tokens=100)))
        assert (len(server.asked), chat.cost) == (9, 918)  # 10 would have cost 1020
        more = Chat("m", server.url, cache_dir=tmp_path, parallel=parallel, prices=(1e6, 1e6), max_cost=10_000)
        assert len(list(more.ask_all(requests(50, max_tokens=100)))) == 50
    assert (len(server.asked), more.num_kept) == (50, 9)


def test_an_estimate_leaves_out_what_is_kept(server, tmp_path):
    chat = Chat("m", server.url, cache_dir=tmp_path, prices=(1.0, 2.0))
    list(chat.ask_all(requests(4, max_tokens=50)))
    # six requests of 10 / 3 + 1 + 4 = 8 tokens, 50 out of each: 6 * (8 + 2 * 50) / 1,000,000
    assert chat.estimate(requests(10, max_tokens=50))._asdict() == {
        "num_requests": 10, "num_kept": 4, "prompt_tokens": 48, "completion_tokens": 300,
        "cost": pytest.approx(0.000648),
    }  # fmt: skip
    assert Chat("m", cache_dir=tmp_path).estimate(requests(10)).cost is None


def test_the_estimate_of_tokens_counts_texts_images_and_messages():
    assert (
        num_tokens([message("x" * 30, role="system"), message("图" * 10, [picture(0), picture(1)])])
        == 60 // 3 + 1 + 2 * 4 + 2 * 765
    )
