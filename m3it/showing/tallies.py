"""What the models answered to what: a tally by kind of question, and which answer they gave instead of the right one.

In: what case_study.py found.  Out: for each config and split with few distinct answers, or with questions of yes or no,
the tables of the page's section on answers. Lines of predictions do not say what kind a question is of; here it is the
words that it begins with, as in VQA's tables by question type.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from m3it.catalogue import lookup
from m3it.evaluating.metrics import METRICS, plain
from m3it.evaluating.row_scores import GRADED, own_metrics
from m3it.evaluating.runs import Place, Row, usable
from m3it.evaluating.words import spaced, words
from m3it.reading.references import short_answer
from m3it.showing.case_study import Found, places_of

MAX_ANSWERS = 16  # distinct ones, of rows that are tallied
ROWS_OF_ANSWER = 3  # rows that an answer has on average: with fewer, a table says no more than the rows
YES_NO = ("yes", "no")
KIND_WORDS = 4  # that name a kind of question, at most
KIND_SHARE = 0.05  # of the questions, at least, that begin so
OTHERS = "other"


def tallies(found: Found) -> list[dict[str, Any]]:
    """The tables of every config and split that has some."""
    return [tally for place in places_of(found) if (tally := _tally(found, place))]


def _tally(found: Found, place: Place) -> dict[str, Any] | None:
    """The tables of one; None where answers are too many, are letters of options, or have no right and wrong."""
    metric, language = own_metrics(place[0])[0], lookup(place[0])[1]
    by_model = {run.model: usable(run.rows.get(place, ())) for run in found.runs if place in run.rows}
    rows = {row["id"]: row for some in by_model.values() for row in some}
    rights = Counter(label_of(row["references"][0]) for row in rows.values())
    if metric not in GRADED or any(row.get("choices") for row in rows.values()):
        return None
    few = 1 < len(rights) <= min(MAX_ANSWERS, len(rows) // ROWS_OF_ANSWER)
    answers = [answer for answer, _ in rights.most_common()] if few else [a for a in YES_NO if rights[a]]
    if len(answers) < 2:
        return None
    scores = {model: {row_id: of[metric] for row_id in rows if metric in (
              of := found.row_scores.get((model, (*place, row_id)), {}))} for model in by_model}  # fmt: skip
    return {
        "name": "/".join(place),
        "metric": METRICS[metric].title,
        "models": list(by_model),
        "answers": answers,
        "kinds": _kinds(rows, scores, language),
        "confusions": [
            {"model": model, "lines": confusion(some, answers, scores[model])} for model, some in by_model.items()
        ],
    }


def label_of(text: str) -> str:
    """The first line of a short answer, as the metric accuracy compares it."""
    return plain(short_answer(text).strip().partition("\n")[0])


def confusion(rows: Iterable[Row], answers: list[str], scores: dict[str, float]) -> list[dict[str, Any]]:
    """For each right answer, how often which answer was given; last, something else. What the metric takes for right is
    counted as the right answer, however it is written."""
    given: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        right, said = label_of(row["references"][0]), label_of(row["prediction"])
        is_right = scores.get(row["id"], 0) >= 99.99
        given[right][right if is_right else said if said in answers else OTHERS] += 1
    return [
        {"answer": answer, "num_rows": given[answer].total(), "cells": [given[answer][a] for a in (*answers, OTHERS)]}
        for answer in answers
    ]


# ---- kinds of question


def _kinds(rows: dict[str, Row], scores: dict[str, dict[str, float]], language: str) -> list[dict[str, Any]]:
    """For each kind of question its rows, their commonest answer, and the mean score of each model; [] for one kind."""
    kind_by_id = dict(zip(rows, kinds_of([_question(row) for row in rows.values()], language), strict=True))
    lines = []
    for kind, num_rows in Counter(kind_by_id.values()).most_common():
        ids = [row_id for row_id in rows if kind_by_id[row_id] == kind]
        commonest = Counter(label_of(rows[row_id]["references"][0]) for row_id in ids).most_common(1)[0]
        of_models = [[of[row_id] for row_id in ids if row_id in of] for of in scores.values()]
        means = [sum(some) / len(some) if some else None for some in of_models]
        lines.append({"kind": kind, "num_rows": num_rows, "commonest": commonest, "scores": means})
    return lines if len(lines) > 1 else []


def kinds_of(questions: list[str], language: str) -> list[str]:
    """The kind of each question: the longest beginning, of so few words, that so many questions share."""
    blank = " " if spaced(language) else ""
    starts = [tuple(words(question, language)[:KIND_WORDS]) for question in questions]
    shared = Counter(start[:length] for start in starts for length in range(1, len(start) + 1))
    common = {start for start, number in shared.items() if number >= max(2, KIND_SHARE * len(questions))}
    longest = [next((s[:n] for n in range(len(s), 0, -1) if s[:n] in common), ()) for s in starts]
    return [f"{blank.join(start)} …" if start else OTHERS for start in longest]


def _question(row: Row) -> str:
    """The prompt without its instruction."""
    prompt = str(row.get("prompt", ""))
    return prompt.partition("\n")[2] or prompt
