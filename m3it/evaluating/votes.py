"""Votes of people on two models' answers, who did not see which model gave which.

In: a vote.  Out: votes.jsonl, an object a line: when; which models, in the order in which they were named, and which of
them stood on the left; the row, where the question was that of a row; the prompt and its sha256, those of the
pictures; both answers; the vote. Read again: wins, ties and losses of the first model, with intervals.
"""

import hashlib
import json
import logging
import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from m3it.evaluating.answering import Question
from m3it.evaluating.runs import Row, ScoreError
from m3it.evaluating.verdicts import sign_test
from m3it.work.folder import alone_in

FILE = "votes.jsonl"
VOTES = {"left": "Left is better", "right": "Right is better", "tie": "Tie", "bad": "Both are bad"}
KINDS = ("win", "tie", "bad", "lose")  # of a vote on the first model; "bad": both are
Z = 1.959964  # of the normal distribution, for 95 %
logger = logging.getLogger(__name__)


def is_swapped(question: Question) -> bool:
    """Whether the first model's answer stands on the right: drawn from the question, so that the same one is asked in
    the same way again."""
    drawn = [question.head["prompt"], *_digests(question)]
    return hashlib.sha256(json.dumps(drawn).encode()).digest()[0] % 2 == 1


def vote_line(models: Sequence[str], question: Question, answers: Sequence[str], vote: str) -> Row:
    """The line of votes.jsonl: `models` and their `answers` in the order in which the models were named."""
    head, prompt = question.head, question.head["prompt"]
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "models": list(models),
        "left": models[is_swapped(question)],
        **{name: head[name] for name in ("config", "split", "id") if "config" in head},
        "prompt": prompt,
        "prompt_sha256": _sha256(prompt.encode("utf-8", "surrogatepass")),
        "pictures_sha256": _digests(question),
        "answers": list(answers),
        "vote": vote,
    }


def _digests(question: Question) -> list[str]:
    return [_sha256(picture) for picture in question.images]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Ballots:
    """The votes.jsonl of a folder, to write to: whole lines, each on disk before the next."""

    def __init__(self, file: Any):
        self._file, self._lock = file, threading.Lock()

    def add(self, line: Row) -> None:
        """Write one vote."""
        text = json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with self._lock:
            self._file.write(text)  # unbuffered: one line, one write


@contextmanager
def ballots_in(folder: Path) -> Iterator[Ballots]:
    """The votes of a folder, in which no other process is at work; what a killed one left of its last line is cut off,
    and said."""
    path = folder / FILE
    with alone_in(folder), open(path, "ab", buffering=0) as file:
        held = path.read_bytes()
        if rest := len(held) - held.rfind(b"\n") - 1:
            logger.warning("%s: its last line was not finished, and is cut off: %.200r", path, held[-rest:])
            file.truncate(len(held) - rest)
        yield Ballots(file)


# ---- read again


def read_votes(path: Path) -> list[Row]:
    """The lines of a votes.jsonl; ScoreError, with file and line, for one that m3it demo does not write."""
    return [_parsed(line, f"{path}: line {number}") for number, line in enumerate(_lines(path), 1)]


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().removesuffix(b"\n").split(b"\n") if path.stat().st_size else []


def _parsed(line: bytes, where: str) -> Row:
    try:
        found = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise ScoreError(f"{where}: expected a JSON object, {error}. Remove the line.") from error
    named = found if isinstance(found, dict) else {}
    models, left, vote = (named.get(part) for part in ("models", "left", "vote"))
    is_pair = isinstance(models, list) and len(models) == 2 and all(isinstance(model, str) for model in models)
    if not isinstance(found, dict) or not is_pair or left not in (models or ()) or vote not in list(VOTES):
        told = "two models, which of them stood on the left, and a vote"
        raise ScoreError(f"{where}: expected {told}, found {json.dumps(found)[:80]}. Remove the line.")
    return found


def kind_of(line: Row) -> str:
    """What a vote says of the first model."""
    if line["vote"] in ("tie", "bad"):
        return line["vote"]
    first_is_left = line["left"] == line["models"][0]
    return "win" if (line["vote"] == "left") == first_is_left else "lose"


def count_votes(lines: Iterable[Row]) -> list[dict[str, Any]]:
    """Of each two models, however they were ordered, the votes by kind on the first; `share`: of the votes that name a
    better answer, how many name the first model's, in percent, with its interval; `p`: how likely so uneven a result is
    by chance."""
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for line in lines:
        first, second = line["models"]
        kind = kind_of(line)
        if (second, first) in counts and first != second:
            first, second = second, first
            kind = {"win": "lose", "lose": "win"}.get(kind, kind)
        counts.setdefault((first, second), dict.fromkeys(KINDS, 0))[kind] += 1
    return [
        {
            "models": list(models),
            **of,
            "share": wilson(of["win"], of["win"] + of["lose"]),
            "p": round(sign_test(of["win"], of["lose"]), 6),
        }
        for models, of in counts.items()
    ]


def wilson(wins: int, total: int) -> dict[str, float] | None:
    """The percentage of wins, and its 95 % interval after Wilson (1927), which holds for few votes, too; None for no
    votes."""
    if not total:
        return None
    share, square = wins / total, Z * Z / total
    middle, half = share + square / 2, Z * math.sqrt(share * (1 - share) / total + square / (4 * total))
    low, high = ((middle + sign * half) / (1 + square) for sign in (-1, 1))
    return {"score": 100 * share, "low": 100 * max(0.0, low), "high": 100 * min(1.0, high)}
