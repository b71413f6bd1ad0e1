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
from m3it.evaluating.row_scores import majority_score
from m3it.evaluating.runs import Key, Place, Row
from m3it.rows.instance import M3ITError
from m3it.showing.case_study import Case, Found, mark, points_of

if TYPE_CHECKING:
    from jinja2 import Template

NUM_COLOURS = 6  # of models, c0 to c5 in page.css
NUM_FAILED = 20  # failed rows of a dataset that are listed by name
NUM_REFERENCES = 3  # of a row
ANSWER_LETTERS = 40  # of the commonest answer, beside its bar
TITLE_LETTERS = 80  # of it, where the mouse rests on its score
MARKS = {"right": "✓", "partly": "◐", "wrong": "✗"}
MEANINGS = {"win": "first wins", "tie": "tie", "lose": "second wins", "unreadable": "unreadable"}
COUNTED = ("num_rows", "num_failed", "num_missing", "num_unreadable")  # columns of the table by dataset
# How numbers are written. None lets a text pass: a file that holds one instead of a number ends in an error.
FILTERS = {
    "whole": "{:d}".format,
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
) -> str:
    """The page: `cases` for the case study, `worst` for the gallery; `problems`: what could not be shown, in words."""
    names = [model["model"] for model in found.scores["models"]] + [run.model for run in found.runs]
    colours = {model: f"c{i % NUM_COLOURS}" for i, model in enumerate(dict.fromkeys(names))}
    same = _majority_by_place(found)
    return load_template().render(
        colours=colours,
        facts=_facts(found, len(colours)),
        problems=problems,
        titles={name: metric.title for name, metric in METRICS.items()},
        bars_by_metric=_bars_by_metric(found, colours),
        dataset_bars=_dataset_bars(found, colours, same),
        score_lines=[_score_line(model, line, same.get(place)) for model, place, line in _dataset_lines(found)],
        comparisons=found.scores["comparisons"],
        verdicts=MEANINGS,
        judges=found.judges,
        curves=list(filter(None, (_curve(path, log) for path, log in found.curves.items()))),
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


def _dataset_lines(found: Found) -> list[tuple[str, Place, Row]]:
    """(model, place, its line of scores.json), those of one place together."""
    models = found.scores["models"]
    lines = [(m["model"], (line["config"], line["split"]), line) for m in models for line in m["datasets"]]
    places = list(dict.fromkeys(place for _, place, _ in lines))
    return sorted(lines, key=lambda item: places.index(item[1]))


def _facts(found: Found, num_models: int) -> dict[str, int]:
    """The numbers at the head."""
    lines = [line for *_, line in _dataset_lines(found)]
    facts = {
        "models": num_models,
        "datasets": len({line["config"] for line in lines}),
        "predictions scored": sum(line["num_rows"] for line in lines),
        "failed or missing": sum(line["num_failed"] + line["num_missing"] for line in lines),
    }
    num_judged = sum(judge["results"]["all"][verdict] for judge in found.judges for verdict in MEANINGS)
    return {**facts, **({"judged rows": num_judged} if num_judged else {})}


def _bars_by_metric(found: Found, colours: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    """For each metric the groups of datasets, and in each a bar for each model, on one scale."""
    lines = [(model["model"], line) for model in found.scores["models"] for line in model["groups"]]
    by_metric: dict[str, list[dict[str, Any]]] = {}
    for metric in dict.fromkeys(line["metric"] for _, line in lines):
        of_metric = [(model, line) for model, line in lines if line["metric"] == metric]
        full = max(100.0, *(line["micro"]["high"] for _, line in of_metric))
        groups = by_metric.setdefault(metric, [])
        for name in dict.fromkeys(line["group"] for _, line in of_metric):
            inside = [(model, line) for model, line in of_metric if line["group"] == name]
            num_rows, num_configs = inside[0][1]["num_rows"], inside[0][1]["num_configs"]
            told = f"{num_rows:,} rows of {num_configs} config{'s' * (num_configs > 1)}"
            bars = [_bar(model, line["micro"], colours) for model, line in inside]
            groups.append({"name": name, "told": told, "bars": bars, "full": full, "same": None})
    return by_metric


def _dataset_bars(
    found: Found, colours: dict[str, str], majority: dict[Place, tuple[str, float]]
) -> list[dict[str, Any]]:
    """The datasets with a metric of right and wrong: a bar for each model, and `same`, what always the commonest
    answer would get."""
    lines, groups = _dataset_lines(found), []
    for place, (answer, same) in majority.items():
        here = [(model, line) for model, of_line, line in lines if of_line == place]
        metric = here[0][1]["metric"]
        told = f"{METRICS[metric].title}; always “{_brief(answer)}”: {same:.1f}"
        scores = [(model, line["scores"][metric]) for model, line in here if metric in line["scores"]]
        bars = [_bar(model, score, colours) for model, score in scores]
        groups.append({"name": place[0], "told": told, "bars": bars, "full": 100, "same": same})
    return groups


def _majority_by_place(found: Found) -> dict[Place, tuple[str, float]]:
    """(the commonest reference, what always giving it would score), where a metric of right and wrong says so."""
    rows_by_place = {place: rows for run in reversed(found.runs) for place, rows in run.rows.items()}
    places = dict.fromkeys(place for _, place, _ in _dataset_lines(found))
    scores = {place: majority_score(rows_by_place[place], place) for place in places if place in rows_by_place}
    return {place: same for place, same in scores.items() if same}


def _bar(model: str, score: dict[str, float], colours: dict[str, str]) -> dict[str, Any]:
    return {"model": model, "colour": colours[model], **score}


def _brief(text: str) -> str:
    """The beginning of a text; isolated, so that Arabic turns around nothing beside it."""
    cut = text[:ANSWER_LETTERS].rstrip() + "…" if len(text) > ANSWER_LETTERS else text
    return f"\u2068{cut}\u2069"


def _score_line(model: str, line: Row, same: tuple[str, float] | None) -> dict[str, Any]:
    """A line of the table by dataset."""
    return {
        "config": line["config"],
        "split": line["split"],
        "metric": METRICS[line["metric"]].title,
        "model": model,
        "own": line["scores"].get(line["metric"]),
        "why": line.get("not_scored", {}).get(line["metric"], ""),
        "rouge_l": line["scores"].get("rouge_l"),
        "counts": [line[name] for name in COUNTED],
        "same": {"answer": same[0][:TITLE_LETTERS], "points": same[1]} if same else None,
    }


def _curve(path: str, log: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The losses of a training over its steps, on a scale of logarithms: most of a curve is flat."""
    series = {name: [(e["step"], e[name]) for e in log if name in e] for name in ("loss", "eval_loss")}
    points = [point for some in series.values() for point in some]
    if not points:
        return None
    last, losses = max(x for x, _ in points) or 1, [max(y, 1e-9) for _, y in points]
    low, high = math.log(min(losses)), math.log(max(losses))
    lines = []
    for i, (name, some) in enumerate(series.items()):
        heights = [(math.log(max(y, 1e-9)) - low) / ((high - low) or 1) for _, y in some]
        places = " ".join(f"{600 * x / last:.1f},{200 - 200 * h:.1f}" for (x, _), h in zip(some, heights, strict=True))
        lines.append({"name": name, "colour": f"c{i}", "losses": [y for _, y in some], "places": places})
    return {"path": path, "steps": last, "lines": lines}


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
    failed = [(model, row) for model, of_line, line in _dataset_lines(found) if of_line == place
              for row in line["failed"]]  # fmt: skip
    num_more = max(0, len(failed) - NUM_FAILED)
    return {"name": "/".join(place), "cards": cards, "failed": failed[:NUM_FAILED], "num_more": num_more}
