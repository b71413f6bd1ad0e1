"""Scores of the rows of one config and split, of all of them together, and of resamples of them.

In: rows of predictions.jsonl that can be scored (runs.usable), and names of metrics.  Out: `Scored`; of its sums come
scores, and of its resamples their 95 % intervals.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from m3it.catalogue import lookup
from m3it.evaluating.metrics import METRICS, accuracy, mean
from m3it.evaluating.ngrams import finish_bleu
from m3it.evaluating.runs import Place, Row, usable
from m3it.reading.references import short_answer
from m3it.rows.instance import hash_of

NUM_RESAMPLES = 1000
GRADED = ("accuracy", "vqa_accuracy", "exact_match", "f1", "anls")  # 100 is right, 0 is wrong
# What everybody prints as CIDEr is CIDEr-D; the metric of that name in its paper stands beside it.
PICTURES = ("cider", "cider_d")  # of one picture these say nothing: words weigh by how few pictures they are said of
OWN = {"cider": ("cider_d", "cider"), "f1": ("f1", "exact_match")}


class Scored(NamedTuple):
    """The rows of one config and split: scores of each row by metric, and what a table needs of a metric: the sum of
    its counts over all rows, and over the rows of each resample, (NUM_RESAMPLES, counts)."""

    by_row: dict[str, np.ndarray]
    sums: dict[str, np.ndarray]
    resampled: dict[str, np.ndarray]
    num_unreadable: int


def own_metrics(config: str) -> tuple[str, ...]:
    """The metrics that a config is reported with: its dataset's own first, ROUGE-L last, always."""
    dataset, _ = lookup(config)
    own = dataset.metric if dataset else "exact_match"
    return tuple(dict.fromkeys((*OWN.get(own, (own,)), "rouge_l")))


def score_rows(rows: list[Row], metrics: Iterable[str], config: str, *, seed: int = 0) -> Scored:
    """The scores of usable rows. A resample draws rows, and the rows of one image together, with replacement. What
    compares pictures with each other is left out where there is one picture alone."""
    units = np.unique([row.get("group") or f"row {row['id']}" for row in rows], return_inverse=True)[1]
    metrics = [name for name in metrics if name not in PICTURES or units.max() > 0]
    by_row: dict[str, np.ndarray] = {}
    at: dict[str, slice] = {}
    columns: list[np.ndarray] = []
    num_unreadable = width = 0
    for name in metrics:
        counts = _counts(rows, name, config)
        if counts.ndim == 1:
            num_unreadable = max(num_unreadable, int(np.isnan(counts).sum()))
            counts = np.stack([np.ones(len(rows)), np.nan_to_num(counts)], axis=1)
        at[name] = slice(width, width := width + counts.shape[1])
        by_row[name] = finish_bleu(counts, rows=True) if name == "bleu" else score_of(name, counts)
        columns.append(counts)
    stacked = np.concatenate(columns, axis=1)
    of_units = np.stack([np.bincount(units, column) for column in stacked.T], axis=1)
    resampled = resample(of_units, hash_of(config, "resample", seed))
    sums = stacked.sum(axis=0)
    return Scored(
        by_row, {n: sums[s] for n, s in at.items()}, {n: resampled[:, s] for n, s in at.items()}, num_unreadable
    )


def _counts(rows: list[Row], name: str, config: str) -> np.ndarray:
    """What the metric says of each row; the rows of each language by themselves."""
    metric, default = METRICS[name], lookup(config)[1]
    languages = [row.get("language", default) for row in rows]
    counts = None
    for language in dict.fromkeys(languages):
        here = [i for i, spoken in enumerate(languages) if spoken == language]
        of_language = [rows[i] for i in here]
        references = [row["references"] for row in of_language]
        if name == "vqa_accuracy":  # the annotators' answers; the row's own text only where there are none
            references = [texts[1:] or texts for texts in references]
        predictions = [row["prediction"] for row in of_language]
        if metric.short:
            predictions = [short_answer(text) for text in predictions]
            references = [[short_answer(text) for text in texts] for texts in references]
        options = {"options": [row.get("choices", ()) for row in of_language]} if name == "accuracy" else {}
        found = metric.measure(predictions, references, language, **options)
        counts = np.zeros((len(rows), *found.shape[1:])) if counts is None else counts
        counts[here] = found
    assert counts is not None
    return counts


def lenient_accuracy(rows: list[Row]) -> float:
    """The accuracy of usable rows, answers that are unreadable read as other harnesses do."""
    predictions, references = [row["prediction"] for row in rows], [row["references"] for row in rows]
    found = accuracy(predictions, references, options=[row.get("choices", ()) for row in rows], lenient=True)
    return float(np.nan_to_num(found).mean())


def score_of(name: str, sums: np.ndarray) -> np.ndarray:
    """The score, in the metric's own range, of sums of counts: one, or one of each resample."""
    return (METRICS[name].finish or mean)(sums)


def resample(counts: np.ndarray, seed: int, num: int = NUM_RESAMPLES) -> np.ndarray:
    """Sums of counts, (num, columns), over as many units as there are, drawn with replacement; the same draws for the
    same seed and number of units, so that two models are compared on the same ones."""
    rng, num_units = np.random.default_rng(seed), len(counts)
    step = max(1, 2_000_000 // num_units)
    sums = []
    for start in range(0, num, step):
        size = min(step, num - start)
        drawn = rng.integers(num_units, size=(size, num_units)) + np.arange(size)[:, None] * num_units
        sums.append(np.bincount(drawn.ravel(), minlength=size * num_units).reshape(size, num_units) @ counts)
    return np.concatenate(sums)


def interval(score: float, resampled: np.ndarray, points: int = 1) -> dict[str, float]:
    """A score with its 95 % interval (percentiles of the resamples), times `points`."""
    low, high = np.percentile(resampled, [2.5, 97.5])
    return {name: round(float(value) * points, 4) for name, value in (("score", score), ("low", low), ("high", high))}


def majority_score(rows: list[Row], place: Place) -> tuple[str, float] | None:
    """(the commonest reference, what a model would score that always gives it); None where no metric of right and wrong
    is the dataset's own."""
    metric, rows = own_metrics(place[0])[0], usable(rows)
    if metric not in GRADED or not rows:
        return None
    answer = Counter(row["references"][0] for row in rows).most_common(1)[0][0]
    scored = score_rows([{**row, "prediction": answer} for row in rows], [metric], place[0])
    return answer, float(score_of(metric, scored.sums[metric])) * METRICS[metric].points
