"""Scripted judges, and two models for them to judge."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from chat_server import ChatServer, words_of
from conftest import write_rows

from m3it.evaluating.judge import Match, choose_pairs, judge
from m3it.work.chat import Chat

SPLITS = {"okvqa": "validation", "a-okvqa": "validation", "viquae": "test"}


def write_answers(
    folder: Path, answer: Callable[[int], str], num: int = 12, configs: tuple[str, ...] = ("viquae",)
) -> Path:
    """Predictions of a model that is named after its folder."""
    lines = [
        {"id": f"row-{i}", "config": config, "split": SPLITS.get(config, "test"), "prompt": f"What is {i}?"}
        | {"prediction": answer(i), "references": [f"answer {i}"], "seconds": 0.1}
        for config in configs
        for i in range(num)
    ]
    write_rows(folder / "predictions.jsonl", lines)
    run = {"options": {"model": folder.name, "repo": str(folder.parent / "repo")}}
    (folder / "run.json").write_text(json.dumps(run), "utf-8")
    return folder


def answers_of(body: dict) -> tuple[str, str]:
    """The two answers, as they stand in the request."""
    text = words_of(body["messages"][-1])
    mark = mark_of(body)
    return tuple(
        re.search(rf"\[Answer {n} begins {mark}\]\n(.*)\n\[Answer {n} ends {mark}\]", text, re.S)[1] for n in (1, 2)
    )


def mark_of(body: dict) -> str:
    """The mark of the request."""
    return re.search(r"^Score of answer 1 \((\w+)\): a number$", words_of(body["messages"][-1]), re.M)[1]


def scores(
    first: float, second: float, evidence: str = "The first names it, the second does not.", mark: str = ""
) -> str:
    told = f" ({mark})" if mark else ""
    return f"Evidence: {evidence}\nScore of answer 1{told}: {first}\nScore of answer 2{told}: {second}"


def always_first(body: dict) -> str:
    return scores(9, 3)


def always_longer(body: dict) -> str:
    first, second = map(len, answers_of(body))
    return scores(*((8, 2) if first > second else (2, 8) if second > first else (5, 5)))


def match_of(folder: Path, num: int = 12, **options) -> Match:
    """Model `long` gives the longer answer in two rows of three, `short` in the third."""
    long = write_answers(folder / "long", lambda i: "yes" if i % 3 == 2 else "yes, it is", num)
    short = write_answers(folder / "short", lambda i: "no, it is not" if i % 3 == 2 else "no", num)
    return choose_pairs(long, short, ("viquae",), **options)


def judged(match: Match, out: Path, server: ChatServer, num_evidences: int = 3, **options) -> dict:
    return judge(
        match, Chat("judge", server.url, cache_dir=out / "replies", **options), out, num_evidences=num_evidences
    )


def verdicts_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "verdicts.jsonl").read_text("utf-8").splitlines()]
