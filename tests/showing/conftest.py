"""Shared by the tests of showing: two models that were asked, scored and judged; and a page served in this process."""

import re
import shutil
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from chat_server import ChatServer, words_of
from conftest import make_row, write_rows

from m3it.evaluating.judge import choose_pairs, judge
from m3it.evaluating.predict import predict
from m3it.evaluating.score import score
from m3it.work.chat import Chat


@pytest.fixture(scope="session")
def made_runs(tmp_path_factory) -> Path:
    """The folder that `runs` is a copy of, with the rows beside it."""
    folder = tmp_path_factory.mktemp("runs")
    rows = [make_row(i, num_images=1 + i % 2) for i in range(12)]
    write_rows(folder / "repo/data/kvqa/viquae/test.jsonl", rows)
    own = [make_row(i, inputs="<script>alert(1)</script> & what?", outputs=f"<b>{i}") for i in range(2)]
    write_rows(folder / "repo/data/vqa/mine/test.jsonl", own)

    def good(body: dict) -> str:
        number = re.search(r"What is (\d+)", words_of(body["messages"][-1]))
        return f"answer {number[1]}" if number and int(number[1]) % 2 == 0 else "<b>0"

    def first(body: dict) -> str:
        return "Evidence: it is first.\nScore of answer 1: 9\nScore of answer 2: 2"

    for name, model in (("good", good), ("poor", lambda body: "nothing known")):
        with ChatServer(model) as server:
            predict(name, ["viquae", "mine"], folder / "run" / name, repo=str(folder / "repo"), base_url=server.url)
    score([folder / "run/good", folder / "run/poor"], folder / "run/scores")
    with ChatServer(first) as server:
        match = choose_pairs(folder / "run/good", folder / "run/poor", ("viquae",))
        judge(match, Chat("gpt", server.url, cache_dir=folder / "replies"), folder / "run/judge")
    return folder


@pytest.fixture
def runs(made_runs, tmp_path) -> Path:
    """Two models on 12 rows of viquae and two of an own config, scored and judged: `good` knows the even rows, `poor`
    knows none; rows of the own config hold markup."""
    shutil.copytree(made_runs, tmp_path, dirs_exist_ok=True)
    for file in tmp_path.glob("run/*/run.json"):
        file.write_text(file.read_text("utf-8").replace(str(made_runs), str(tmp_path)), "utf-8")
    return tmp_path / "run"


@pytest.fixture
def serving():
    """A context manager that serves a page of Gradio in this process, and gives its address."""

    @contextmanager
    def serve(page):
        import uvicorn

        from m3it.showing import door

        running = uvicorn.Server(uvicorn.Config(door.program_of(page), log_level="error"))
        with socket.socket() as opened:
            opened.bind(("127.0.0.1", 0))
            thread = threading.Thread(target=running.run, args=([opened],), daemon=True)
            thread.start()
            while not running.started:
                time.sleep(0.05)
            yield f"http://127.0.0.1:{opened.getsockname()[1]}"
            running.should_exit = running.force_exit = True
            thread.join()

    return serve
