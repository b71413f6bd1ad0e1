"""The HTML page of a report, whole in itself: it opens from disk, with no network, light or dark as the reader's system
is.

In: what case_study.py found, and the rows to show.  Out: the text of the page. Here it is decided what stands there;
page.html is its markup, page.css its looks. Jinja2 escapes every value: models and rows may say what they like.
"""

import base64
import json
import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from M3IT import public_url
from m3it.evaluating.metrics import METRICS
from m3it.evaluating.runs import Key, Place, Row
from m3it.rows.instance import M3ITError
from m3it.showing.case_study import Case, Found, mark, points_of
from m3it.showing.curves import curve
from m3it.showing.standing import (
    VERDICTS,
    Majority,
    counted,
    dataset_lines,
    majority_by_place,
    model_summary,
    stand,
    summary,
)
from m3it.showing.tallies import tallies

if TYPE_CHECKING:
    from jinja2 import Template

NUM_COLOURS = 6  # of models, c0 to c5 in page.css
NUM_FAILED = 20  # failed rows of a dataset that are listed by name
NUM_REFERENCES = 3  # of a row
ANSWER_LETTERS = 40  # of the commonest answer, beside its bar
TITLE_LETTERS = 80  # of it, where the mouse rests on its score
MARKS = {"right": "✓", "partly": "◐", "wrong": "✗"}
LINES_TO_SORT = 4  # of the table by dataset
COUNTED = ("rows", "failed", "missing", "unreadable")  # columns of it
Line = tuple[str, Place, Row]  # of scores.json, with its model
Bars = dict[str, Any]  # a group of bars, one for each model
# How numbers are written. None lets a text pass: a file that holds one instead of a number ends in an error.
FILTERS = {
    "whole": "{:d}".format,
    "counted": counted,
    "count": "{:,}".format,
    "points": "{:.1f}".format,
    "signed": "{:+.1f}".format,
    "hundredths": "{:.2f}".format,
    "thousandths": "{:.3f}".format,
    "short": "{:.3g}".format,
    "percent": lambda number, full: f"{100 * number / full:.2f}%",
    "share": lambda number, total: f"{100 * number / max(1, total):.0f} %",
}


def render_page(
    found: Found,
    *,
    cases: list[Case],
    worst: dict[Place, list[Case]],
    pictures: dict[Key, list[bytes]],
    problems: list[str],
    command: str = "",
) -> str:
    """The page: `cases` for the case study, `worst` for the gallery; `problems`: what could not be shown, in words;
    `command`: what makes the page again."""
    names = [model["model"] for model in found.scores["models"]] + [run.model for run in found.runs]
    colours = {model: f"c{i % NUM_COLOURS}" for i, model in enumerate(dict.fromkeys(names))}
    lines, majority = dataset_lines(found), majority_by_place(found)
    table = [_score_line(model, place, line, majority.get(place)) for model, place, line in lines]
    return load_template().render(
        summary=summary(found),
        models=[(name, colour, model_summary(name, found, majority)) for name, colour in colours.items()],
        facts=_facts(lines, found, len(colours)),
        command=public_url(command),
        problems=problems,
        titles={name: metric.title for name, metric in METRICS.items()},
        own_metrics={line["metric"] for *_, line in lines},
        group_bars=_bars_by_group(found, colours),
        dataset_bars=_bars_by_dataset(lines, colours, majority),
        has_majority=bool(majority),
        orders=_sorted_lines(table) if table else {},
        columns=[name for name in COUNTED if name == "rows" or any(line["counts"][name] for line in table)],
        any_lenient=any(line["lenient"] is not None for line in table),
        anchors={place: f"rows-{number}" for number, place in enumerate(worst, 1)},
        tallies=tallies(found),
        comparisons=found.scores["comparisons"],
        verdicts=VERDICTS,
        judges=found.judges,
        curves=list(filter(None, (curve(path, log) for path, log in found.curves.items()))),
        case_cards=_cards(cases, pictures, colours),
        worst=[_gallery(place, _cards(some, pictures, colours), found) for place, some in worst.items()],
        settings={
            file: public_url(json.dumps(told, indent=1, ensure_ascii=False)) for file, told in found.settings.items()
        },
    )


@cache
def load_template() -> "Template":
    """page.html, which includes page.css; M3ITError without Jinja2."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise M3ITError("The page needs Jinja2: pip install 'm3it[eval]'") from error
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    return environment.get_template("page.html")


# ---- numbers


def _facts(lines: list[Line], found: Found, num_models: int) -> list[tuple[int, str]]:
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


def _bars_by_group(found: Found, colours: dict[str, str]) -> dict[str, list[Bars]]:
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


def _bars_by_dataset(lines: list[Line], colours: dict[str, str], majority: Majority) -> dict[str, list[Bars]]:
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
            bars_here = {"name": place[0], "told": f"{METRICS[metric].title}{always}", "bars": bars}
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


def _score_line(model: str, place: Place, line: Row, same: tuple[str, float] | None) -> dict[str, Any]:
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


def _sorted_lines(lines: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
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


# ---- rows


def _cards(cases: Iterable[Case], pictures: dict[Key, list[bytes]], colours: dict[str, str]) -> list[dict[str, Any]]:
    return [_card(case, pictures.get(case.key, []), colours) for case in cases]


def _card(case: Case, images: list[bytes], colours: dict[str, str]) -> dict[str, Any]:
    """A row with its pictures, references and answers."""
    instruction, _line, inputs = case.prompt.partition("\n")
    answers = []
    for model, prediction, score, error in case.answers:
        kind = mark(case, score)
        words = kind if kind in ("right", "wrong") else points_of(case, score)
        told = f"{MARKS.get(kind, '')} {words}"
        answer = {"mark": kind, "colour": colours[model], "model": model, "told": told}
        answers.append({**answer, "prediction": "" if error else prediction, "error": error})
    return {
        "config": case.key[0],
        "id": case.key[2],
        "pictures": [base64.b64encode(image).decode() for image in images],
        "instruction": instruction,
        "inputs": inputs,
        "references": list(dict.fromkeys(case.references))[:NUM_REFERENCES],
        "answers": answers,
    }


def _gallery(place: Place, cards: list[dict[str, Any]], found: Found) -> dict[str, Any]:
    """The worst rows of a config and split, and those that failed."""
    failed = [(model, row) for model, of_line, line in dataset_lines(found) if of_line == place
              for row in line["failed"]]  # fmt: skip
    num_more = max(0, len(failed) - NUM_FAILED)
    return {
        "name": "/".join(place),
        "place": place,
        "cards": cards,
        "failed": failed[:NUM_FAILED],
        "num_more": num_more,
    }
