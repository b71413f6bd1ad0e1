"""The HTML page of a report, whole in itself: it opens from disk, with no network, light or dark as the reader's system
is.

In: what case_study.py found, and the rows to show.  Out: the text of the page. Here it is decided what stands there;
page.html is its markup, page.css its looks. Jinja2 escapes every value: models and rows may say what they like.
"""

import base64
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from M3IT import public_url
from m3it.evaluating.metrics import METRICS
from m3it.evaluating.runs import Key, Place
from m3it.rows.instance import M3ITError
from m3it.showing.case_study import Case, Found, mark, points_of
from m3it.showing.curves import curve
from m3it.showing.score_bars import COUNTED, bars_by_dataset, bars_by_group, facts, score_line, sorted_lines
from m3it.showing.standing import (
    VERDICTS,
    VOTE_KINDS,
    counted,
    dataset_lines,
    majority_by_place,
    model_summary,
    summary,
)
from m3it.showing.tallies import tallies

if TYPE_CHECKING:
    from jinja2 import Template

NUM_COLOURS = 6  # of models, c0 to c5 in page.css
NUM_FAILED = 20  # failed rows of a dataset that are listed by name
NUM_REFERENCES = 3  # of a row
MARKS = {"right": "✓", "partly": "◐", "wrong": "✗"}
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
    table = [score_line(model, place, line, majority.get(place)) for model, place, line in lines]
    return load_template().render(
        summary=summary(found),
        models=[(name, colour, model_summary(name, found, majority)) for name, colour in colours.items()],
        facts=facts(lines, found, len(colours)),
        command=public_url(command),
        problems=problems,
        titles={name: metric.title for name, metric in METRICS.items()},
        own_metrics={line["metric"] for *_, line in lines},
        group_bars=bars_by_group(found, colours),
        dataset_bars=bars_by_dataset(lines, colours, majority),
        has_majority=bool(majority),
        orders=sorted_lines(table) if table else {},
        columns=[name for name in COUNTED if name == "rows" or any(line["counts"][name] for line in table)],
        any_lenient=any(line["lenient"] is not None for line in table),
        anchors={place: f"rows-{number}" for number, place in enumerate(worst, 1)},
        tallies=tallies(found),
        comparisons=found.scores["comparisons"],
        verdicts=VERDICTS,
        judges=found.judges,
        votes=found.votes,
        vote_kinds=VOTE_KINDS,
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
