"""The scores of a page: numbers at its head, bars by dataset and by group, and the table.

In: what case_study.py found.  Out: what page.html shows of it, numbers as scores.json has them.
"""

import math
from collections.abc import Iterable
from typing import Any

from m3it.evaluating.metrics import METRICS
from m3it.evaluating.runs import Place, Row
from m3it.showing.case_study import Found
from m3it.showing.standing import VERDICTS, Majority, counted, stand

ANSWER_LETTERS = 40  # of the commonest answer, beside its bar
TITLE_LETTERS = 80  # of it, where the mouse rests on its score
LINES_TO_SORT = 4  # of the table by dataset
COUNTED = ("rows", "failed", "missing", "unreadable")  # columns of it
Line = tuple[str, Place, Row]  # of scores.json, with its model
Bars = dict[str, Any]  # a group of bars, one for each model


def facts(lines: list[Line], found: Found, num_models: int) -> list[tuple[int, str]]:
    """The numbers at the head, each with its name."""
    num_scored = sum(line["num_rows"] for *_, line in lines)
    num_lost = sum(line["num_failed"] + line["num_missing"] for *_, line in lines)
    num_judged = sum(judge["results"]["all"][verdict] for judge in found.judges for verdict in VERDICTS)
    facts = [
        (num_models, "model", "models"),
        (len({place[0] for _, place, _ in lines}), "dataset", "datasets"),
        (num_scored, "prediction scored", "predictions scored"),
        (num_lost, "failed or missing", "failed or missing"),
        *([(num_judged, "judged row", "judged rows")] if num_judged else []),
    ]
    return [(number, one if number == 1 else many) for number, one, many in facts]


def bars_by_group(found: Found, colours: dict[str, str]) -> dict[str, list[Bars]]:
    """For each metric the groups of several datasets, and in each a bar for each model, on one scale."""
    models = found.scores["models"]
    lines = [(m["model"], line) for m in models for line in m["groups"] if line["num_configs"] > 1]
    by_metric: dict[str, list[Bars]] = {}
    for metric in _in_order(line["metric"] for _, line in lines):
        of_metric = [(model, line) for model, line in lines if line["metric"] == metric]
        full = max(100.0, *(line["micro"]["high"] for _, line in of_metric))
        groups = by_metric.setdefault(metric, [])
        for name in dict.fromkeys(line["group"] for _, line in of_metric):
            inside = [(model, line) for model, line in of_metric if line["group"] == name]
            told = f"{counted(inside[0][1]['num_rows'], 'row')} of {counted(inside[0][1]['num_configs'], 'config')}"
            bars = [_bar(model, line["micro"], colours) for model, line in inside]
            groups.append({"name": name, "told": told, "bars": bars, "full": full, "same": None})
    return by_metric


def bars_by_dataset(lines: list[Line], colours: dict[str, str], majority: Majority) -> dict[str, list[Bars]]:
    """The datasets, a bar for each model: those with their own metric as "", those with any other by the metric."""
    names = _in_order(name for *_, line in lines for name in line["scores"] if name != line["metric"])
    by_metric: dict[str, list[Bars]] = {"": [], **{name: [] for name in names}}
    for place in dict.fromkeys(place for _, place, _ in lines):
        here = [(model, line) for model, of, line in lines if of == place]
        own = here[0][1]["metric"]
        for metric in _in_order(name for _, line in here for name in line["scores"]):
            full = max(100.0, *(line["scores"][metric]["high"] for _, line in here if metric in line["scores"]))
            bars = [
                _bar(model, line["scores"][metric], colours, _read(line) if metric == "accuracy" else "")
                for model, line in here
                if metric in line["scores"]
            ]
            answer, same = majority.get(place, ("", None)) if metric == own else ("", None)
            always = "" if same is None else f"; always “{_brief(answer)}”: {same:.1f}"
            bars_here = {"name": place[0], "told": f"{place[1]}, {METRICS[metric].title}{always}", "bars": bars}
            by_metric["" if metric == own else metric].append({**bars_here, "full": full, "same": same})
    return by_metric


def _in_order(metrics: Iterable[str]) -> list[str]:
    """The metrics, each once, ROUGE-L last: it is there for all datasets, and is the own metric of few."""
    return sorted(dict.fromkeys(metrics), key=lambda name: name == "rouge_l")


def _bar(model: str, score: dict[str, float], colours: dict[str, str], more: str = "") -> dict[str, Any]:
    return {"model": model, "colour": colours[model], "more": more, **score}


def _read(line: Row) -> str:
    """How many answers could not be read, and what they would be worth to a reader who guesses."""
    if not line["num_unreadable"]:
        return ""
    unreadable = f"{100 * line['num_unreadable'] / line['num_rows']:.0f} % unreadable"
    return f"{unreadable}, read leniently {line['accuracy_lenient']:.1f}" if "accuracy_lenient" in line else unreadable


def _brief(text: str) -> str:
    """The beginning of a text; isolated, so that Arabic turns around nothing beside it."""
    cut = text[:ANSWER_LETTERS].rstrip() + "…" if len(text) > ANSWER_LETTERS else text
    return f"\u2068{cut}\u2069"


def score_line(model: str, place: Place, line: Row, same: tuple[str, float] | None) -> dict[str, Any]:
    """A line of the table by dataset."""
    own = line["scores"].get(line["metric"])
    return {
        "config": line["config"],
        "split": line["split"],
        "place": place,
        "metric": METRICS[line["metric"]].title,
        "model": model,
        "own": own,
        "why": line.get("not_scored", {}).get(line["metric"], ""),
        "counts": {name: line[f"num_{name}"] for name in COUNTED},
        "lenient": line.get("accuracy_lenient"),
        "same": {"answer": same[0][:TITLE_LETTERS], "points": same[1]} if same else None,
        "stands": " by ".join(filter(None, stand(own, same[1]))) if own and same else "",
    }


def sorted_lines(lines: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The lines in every order that a reader can choose: without scripts, a table for each. A few need one alone."""

    def above(line: dict[str, Any]) -> float:
        return line["same"]["points"] - line["own"]["score"] if line["same"] and line["own"] else math.inf

    def score(line: dict[str, Any]) -> float:
        return -line["own"]["score"] if line["own"] else math.inf

    orders = {
        "dataset": lines,
        "score": sorted(lines, key=score),
        "distance to the majority answer": sorted(lines, key=above),
        "rows": sorted(lines, key=lambda line: -line["counts"]["rows"]),
    }
    return orders if len(lines) >= LINES_TO_SORT else {"dataset": lines}
