"""What the task files of other people's harnesses call (tasks.py writes them): rows become lines of predictions, lines
become the numbers of `m3it score`.

The lines stay in the logs of the harness, and logs.py gets them back from there.
"""

from collections.abc import Iterable
from typing import Any

from M3IT import CATALOGUE
from m3it.evaluating.metrics import METRICS
from m3it.evaluating.row_scores import own_metrics, score_of, score_rows
from m3it.evaluating.runs import NO_ANSWER, Row, answer_in, answered, usable
from m3it.reading.references import reference_fields
from m3it.rows.images import to_rgb
from m3it.rows.messages import prompt_of


def pictures_of(row: dict[str, Any]) -> list[Any]:
    """The pictures of a row of a release as PIL images in RGB, alpha on white, as our own models see them."""
    return [to_rgb(image) for image in row["images"]]


def config_of(row: dict[str, Any]) -> str:
    """The config that a row of a release is of: its dataset, or that dataset's translation."""
    dataset, language = row["dataset"], row["language"]
    return f"{dataset}-{language}" if dataset in CATALOGUE and language != CATALOGUE[dataset].language else dataset


def references_of(row: dict[str, Any]) -> list[str]:
    """What an answer to a row of a release is compared with."""
    return reference_fields(config_of(row), row)["references"]


def as_line(row: dict[str, Any], text: str) -> Row:
    """A row of a release and what a model said to it, as `m3it predict` writes it, but for the split, which the row
    does not know."""
    config = config_of(row)
    head = {"id": row["row_id"], "config": config, "prompt": prompt_of(row)}
    return with_answer({**head, **reference_fields(config, row)}, text)


def with_answer(line: Row, text: str) -> Row:
    """The line with what a model said; it has failed where its thoughts bring no answer."""
    return {**line, "prediction": text, **({"error": NO_ANSWER} if answer_in(text) is None else {})}


def total(metric: str, lines: Iterable[Row]) -> float:
    """The score of lines of one config, in points, as scores.json has it; nan where there is nothing to score, or one
    picture alone for a metric that compares pictures."""
    rows = usable(answered(line) for line in lines)
    if not rows:
        return float("nan")
    found = score_rows(rows, [metric, "rouge_l"], rows[0]["config"])
    return _points(metric, found.sums[metric]) if metric in found.sums else float("nan")


def row_score(line: Row) -> float:
    """The score of one line, in points, by its config's own metric, or by ROUGE-L where that compares pictures; nan
    where it cannot be scored."""
    rows = usable([answered(line)])
    found = score_rows(rows, own_metrics(line["config"]), line["config"]).by_row if rows else {}
    return next((round(float(of[0]) * METRICS[name].points, 4) for name, of in found.items()), float("nan"))


def _points(metric: str, sums: Any) -> float:
    return round(float(score_of(metric, sums)) * METRICS[metric].points, 4)
