"""What models answered, as it is shown beside a row.

In: the predictions of a run.  Out: an `Answer` for each of its rows, scored by the dataset's own metric.
"""

from collections.abc import Iterator
from typing import NamedTuple

from m3it.evaluating.metrics import METRICS
from m3it.evaluating.row_scores import own_metrics, score_rows
from m3it.evaluating.runs import Place, Run, usable
from m3it.showing.case_study import mark_of

MARKS = ("right", "partly", "wrong", "failed")


class Answer(NamedTuple):
    """What a model wrote: `mark` is one of MARKS, or "" where the metric does not say so; `points` in words."""

    model: str
    text: str
    mark: str
    points: str


def answers_of(run: Run, place: Place) -> Iterator[tuple[str, Answer]]:
    """(row id, answer) of the lines of a run on one config and split."""
    lines, metric = run.rows.get(place, []), own_metrics(place[0])[0]
    scored = usable(lines)
    found = score_rows(scored, [metric], place[0]).by_row if scored else {}
    points = (found[metric] * METRICS[metric].points).tolist() if metric in found else []  # CIDEr needs two pictures
    points_by_id = dict(zip((row["id"] for row in scored), points, strict=False))
    for line in lines:
        failed, value = str(line.get("error") or ""), points_by_id.get(line["id"])
        mark = "failed" if failed else mark_of(metric, value)
        told = "" if value is None else f"{METRICS[metric].title} {value:.0f}"
        yield line["id"], Answer(run.model, failed or line["prediction"], mark, told)
