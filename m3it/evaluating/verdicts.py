"""What the replies of a judge say of two models, and what the judge is worth; nothing here asks anybody.

In: two answers to a question, and the scores that a judge gave them, each draw in one of the two orders.  Out: the
verdict of a row, the counts of all, and how much the judge heeds the sides.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from m3it.evaluating.runs import Row
from m3it.work.chat import Reply

VERDICTS = ("win", "tie", "lose", "unreadable")
REVIEW_SHARE = Fraction(1, 5)  # of the rows, those of highest entropy: what FairEval hands to people
SCORE = re.compile(
    r"^[*#\s]*(?:the )?score of answer ([12])\s*(?:[(\[]?(\w{8})[)\]]?)?"  # number, mark
    r"[*\s]*:[*\s]*(\d+(?:\.\d+)?)(?:\s*/\s*10)?[*.\s]*$",
    re.IGNORECASE | re.M,
)
FRAME = re.compile(r"score of answer\s*[12]|answer\s*[12]\s*(?:begins|ends)\b", re.IGNORECASE)  # of the judge's prompt


class Pair(NamedTuple):
    """Two answers to one question, that of the first model first."""

    row: Row  # its line of predictions.jsonl
    answers: tuple[str, str]
    images: tuple[bytes, ...] = ()

    @property
    def are_equal(self) -> bool:
        """Whether both models answer the same: a tie without asking."""
        return self.answers[0].strip() == self.answers[1].strip()

    @property
    def quotes_frame(self) -> bool:
        """Whether an answer holds what frames the answers, or what is to be said of them, by chance or to steer."""
        return any(map(FRAME.search, self.answers))


class Draw(NamedTuple):
    """One evidence: about which pair, with sides swapped or not, the how manieth; `scores` as Answer 1, Answer 2."""

    pair: int
    swapped: bool
    sample: int
    scores: tuple[Fraction, Fraction] | None
    reply: Reply | None


def read_scores(text: str, mark: str = "", marked_only: bool = False) -> tuple[Fraction, Fraction] | None:
    """The two scores of a reply; None unless each stands once, in order, from 1 to 10, and evidence before them. Lines
    with the request's mark count where there are any; else those without one, unless an answer holds such itself."""
    lines = list(SCORE.finditer(text))
    found = [line for line in lines if mark and line[2] == mark]
    if not found and not marked_only:
        found = [line for line in lines if not line[2]]
    if [line[1] for line in found] != ["1", "2"]:
        return None
    evidence = re.sub(r"^\W*evidence\W*", "", text[: found[0].start()], flags=re.IGNORECASE)
    first, second = (Fraction(line[3]) for line in found)
    return (first, second) if evidence.strip(" *#:\n") and 1 <= min(first, second) <= max(first, second) <= 10 else None


def verdict_line(pair: Pair, draws: list[Draw], num_evidences: int) -> dict[str, Any]:
    """The line of verdicts.jsonl. `scores`: of the first and second model, with the first one's answer first, then
    swapped. `entropy`, in bits: of win, tie, lose over all draws. `favours`: the side that won both times."""
    orders: list[list[tuple[Fraction, Fraction]]] = [[], []]
    for draw in draws:
        if draw.scores:
            orders[draw.swapped].append(draw.scores[::-1] if draw.swapped else draw.scores)
    means = [[_mean([scores[model] for scores in order]) for model in (0, 1)] for order in orders if order]
    apart = [_sign(a - b) for a, b in means]
    if pair.are_equal:
        verdict = "tie"
    elif len(means) < 2:
        verdict = "unreadable"
    else:  # each order weighs half, also where one lost a draw that could not be read
        verdict = VERDICTS[1 - _sign(sum(a - b for a, b in means))]
    turned = len(apart) == 2 and apart[0] != apart[1]
    row = pair.row
    return {
        **{name: row[name] for name in ("id", "config", "split", "prompt", "references")},
        "answers": list(pair.answers),
        "verdict": verdict,
        "means": [round(float(_mean([m[model] for m in means])), 4) for model in (0, 1)] if len(means) == 2 else [],
        "scores": [[[float(a), float(b)] for a, b in order] for order in orders],
        "num_unreadable": 0 if pair.are_equal else 2 * num_evidences - sum(map(len, orders)),
        "equal_answers": pair.are_equal,
        "turned": turned,
        "favours": ("first" if apart[0] > 0 else "second") if turned and 0 not in apart else "",
        "entropy": round(entropy(Counter(_sign(a - b) for order in orders for a, b in order).values()), 4),
    }


def _mean(values: Sequence[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


def _sign(value: Fraction | int) -> int:
    return (value > 0) - (value < 0)


def entropy(counts: Iterable[int]) -> float:
    """The entropy of a distribution given by counts, in bits; 0 for nothing."""
    some = [count for count in counts if count]
    return sum(-count / sum(some) * math.log2(count / sum(some)) for count in some) if len(some) > 1 else 0.0


def sign_test(wins: int, losses: int) -> float:
    """How likely so uneven a result is if each row were a toss of a coin, ties left out: exact, two-sided."""
    total = wins + losses
    tail = sum(math.comb(total, k) for k in range(min(wins, losses) + 1))
    return min(1.0, float(Fraction(2 * tail, 2**total)))


def verdict_counts(lines: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of all lines and of those of each config: rows by verdict on the first model, and `p`, how likely so uneven a
    result is by chance."""
    lines_by_name: dict[str, list[dict[str, Any]]] = {"all": lines}
    for line in lines:
        lines_by_name.setdefault(line["config"], []).append(line)
    found = {}
    for name, some in lines_by_name.items():
        counts = Counter(line["verdict"] for line in some)
        found[name] = {**{v: counts[v] for v in VERDICTS}, "p": round(sign_test(counts["win"], counts["lose"]), 6)}
    return found


def position_bias(lines: list[dict[str, Any]], draws: list[Draw]) -> dict[str, Any]:
    """How much the judge heeds the sides, over rows that were asked about in both orders.

    num_turned    rows whose verdict is another one when the sides are swapped; of these `favours`: rows where the same
                  side won both times
    draws         evidences that gave the first, the second answer the higher score, or neither
    side_entropy  of first and second over the draws, in bits: 1 is even, 0 is always the same side
    mean_entropy  of win, tie, lose over the draws of a row, mean of rows, in bits: 0 is always the same verdict
    review        rows that a person should look at: turned, unreadable, or of highest entropy
    """
    asked = [line for line in lines if not line["equal_answers"]]
    both = [line for line in asked if line["verdict"] != "unreadable"]
    sides = Counter(_sign(draw.scores[0] - draw.scores[1]) for draw in draws if draw.scores)
    unsure = sorted((line for line in both if line["entropy"]), key=lambda line: -line["entropy"])
    highest = {id(line) for line in unsure[: math.ceil(len(both) * REVIEW_SHARE)]}
    review = [line for line in asked if line["turned"] or line["verdict"] == "unreadable" or id(line) in highest]
    review.sort(key=lambda line: -line["entropy"])
    return {
        "num_rows": len(both),
        "num_turned": sum(line["turned"] for line in both),
        "favours": {side: sum(line["favours"] == side for line in both) for side in ("first", "second")},
        "draws": {"first": sides[1], "second": sides[-1], "neither": sides[0]},
        "side_entropy": round(entropy((sides[1], sides[-1])), 4),
        "mean_entropy": round(sum(line["entropy"] for line in both) / max(1, len(both)), 4),
        "review": [{"config": line["config"], "id": line["id"], "entropy": line["entropy"]} for line in review],
    }
