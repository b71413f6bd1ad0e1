"""Scores of predictions by dataset, task and group, with 95 % intervals; and of two models on the same rows.

In: predictions.jsonl of `m3it predict`, one JSON object a line: `id, config, split, prompt, prediction, references,
seconds`; where they apply `choices, group, language` (metrics.reference_fields) and `error`: the row failed, it is
listed and never scored. Beside it run.json: `model`, and `num_rows`: how many rows there were to predict, by
"config/split". Out: scores.json, and row_scores.jsonl with the scores of every row. Scores are in points, as papers
print them: times 100, but for BLEU and chrF, which have that range of their own.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from m3it.catalogue import lookup
from m3it.evaluating.metrics import METRICS, mean
from m3it.evaluating.ngrams import finish_bleu
from m3it.evaluating.references import short_answer
from m3it.evaluating.runs import Place, Row, Run, ScoreError, check_references, read_runs, usable
from m3it.rows.instance import hash_of
from m3it.work.folder import write_json
from m3it.work.runner import versions

NUM_RESAMPLES = 1000
GRADED = ("accuracy", "vqa_accuracy", "exact_match", "f1", "anls")  # 100 is right, 0 is wrong
# What everybody prints as CIDEr is CIDEr-D; the metric of that name in its paper stands beside it.
OWN = {"cider": ("cider_d", "cider"), "f1": ("f1", "exact_match")}


class Scored(NamedTuple):
    """The rows of one config and split: scores of each row by metric, and what a table needs of a metric: the sum of
    its counts over all rows, and over the rows of each resample, (NUM_RESAMPLES, counts)."""

    by_row: dict[str, np.ndarray]
    sums: dict[str, np.ndarray]
    resampled: dict[str, np.ndarray]
    num_unreadable: int


# ---- one config and split


def own_metrics(config: str) -> tuple[str, ...]:
    """The metrics that a config is reported with: its dataset's own first, ROUGE-L last, always."""
    dataset, _ = lookup(config)
    own = dataset.metric if dataset else "exact_match"
    return tuple(dict.fromkeys((*OWN.get(own, (own,)), "rouge_l")))


def measure(rows: list[Row], metrics: Iterable[str], config: str, seed: int = 0) -> Scored:
    """The scores of usable rows. A resample draws rows, and the rows of one image together, with replacement."""
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
    units = np.unique([row.get("group") or f"row {row['id']}" for row in rows], return_inverse=True)[1]
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


# ---- tables


def groups_of(config: str) -> list[str]:
    """The groups that a config counts in. As in the paper, a Chinese or video dataset counts in its own group, not in
    its task; a translation counts in its language."""
    dataset, language = lookup(config)
    if dataset is None:
        return ["all", "other"]
    if language != dataset.language:
        kind = f"language {language}"
    else:
        kind = "Chinese" if language == "zh" else "video" if dataset.modality == "video" else dataset.task
    return ["all", *(["held-out"] if dataset.held_out else []), kind]


def score(
    paths: Sequence[Path | str], out: Path | str, repo: str | None = None, metrics: Iterable[str] = (), seed: int = 0
) -> dict[str, Any]:
    """Score predictions and write scores.json and row_scores.jsonl into `out`; returns what scores.json holds.

    `repo`: where the rows are, to see that no row is missing and no reference has changed since. `metrics`: more of
    them, for every config. With several models, the first is compared with each other one.
    """
    if unknown := [name for name in metrics if name not in METRICS]:
        raise ValueError(f"Unknown metric {unknown[0]!r}: expected one of {', '.join(METRICS)}")
    runs = [check_references(run, repo) if repo else run for run in read_runs(paths)]
    models, lines = [], []
    for run in runs:
        scored = {
            place: measure(rows, dict.fromkeys((*own_metrics(place[0]), *metrics)), place[0], seed)
            for place, all_rows in run.rows.items()
            if (rows := usable(all_rows))
        }
        datasets = [_dataset(run, place, scored.get(place)) for place in run.rows]
        models.append({"model": run.model, "datasets": datasets, "groups": _groups(scored)})
        lines += [line for place, found in scored.items() for line in _row_scores(run, place, found)]
    found = {
        "command": "score",
        "options": {"predictions": [str(path) for path in paths], "metrics": list(metrics), "seed": seed},
        "versions": versions("numpy", "sacrebleu"),
        "num_resamples": NUM_RESAMPLES,
        "models": models,
        "comparisons": [compare(runs[0], run, metrics, seed) for run in runs[1:]],
    }
    _write(Path(out), found, lines)
    return found


def _write(out: Path, found: dict[str, Any], lines: list[Row]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    unfinished = out / ".row_scores.jsonl.tmp"
    unfinished.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    os.replace(unfinished, out / "row_scores.jsonl")
    write_json(out / "scores.json", found)


def _dataset(run: Run, place: Place, scored: Scored | None) -> Row:
    """One line of the table by dataset: what it is, how many rows became what, its scores."""
    rows, metrics = run.rows[place], own_metrics(place[0])
    failed = [{"id": row["id"], "error": str(row["error"])} for row in rows if row.get("error")]
    num_scored = len(next(iter(scored.by_row.values()))) if scored else 0
    line = {
        "config": place[0],
        "split": place[1],
        "groups": groups_of(place[0]),
        "metric": metrics[0],
        "num_rows": num_scored,
        "num_missing": max(0, run.num_rows.get(place, len(rows)) - len(rows)),
        "num_failed": len(failed),
        "num_without_reference": len(rows) - len(failed) - num_scored,
        "num_empty": sum(not row["prediction"].strip() for row in rows if not row.get("error")),
        "num_unreadable": scored.num_unreadable if scored else 0,
        "scores": {},
        "failed": failed,
    }
    if scored:
        line["scores"] = {name: _with_interval(name, [scored]) for name in scored.sums}
        if scored.num_unreadable:
            right = float(scored.sums["accuracy"][1])
            line["accuracy_of_readable"] = round(100 * right / max(1, num_scored - scored.num_unreadable), 4)
    return line


def _with_interval(name: str, members: list[Scored], macro: bool = False) -> dict[str, float]:
    """The score of several configs: of all their rows together, or the mean of their scores."""
    if macro:
        score = np.mean([score_of(name, m.sums[name]) for m in members])
        resampled = np.mean([score_of(name, m.resampled[name]) for m in members], axis=0)
    else:
        score = score_of(name, np.sum([m.sums[name] for m in members], axis=0))
        resampled = score_of(name, np.sum([m.resampled[name] for m in members], axis=0))
    return interval(float(score), resampled, METRICS[name].points)


def _groups(scored: dict[Place, Scored]) -> list[Row]:
    """The table by group: each metric over the configs that it is a metric of, ROUGE-L over all of them."""
    lines = []
    names = dict.fromkeys(group for config, _ in scored for group in groups_of(config))
    for group in names:
        inside = {place: found for place, found in scored.items() if group in groups_of(place[0])}
        for metric in dict.fromkeys(["rouge_l", *(name for found in inside.values() for name in found.sums)]):
            members = [found for found in inside.values() if metric in found.sums]
            lines.append(
                {
                    "group": group,
                    "metric": metric,
                    "num_configs": len(members),
                    "num_rows": sum(len(found.by_row[metric]) for found in members),
                    "micro": _with_interval(metric, members),
                    "macro": _with_interval(metric, members, macro=True),
                }
            )
    return lines


def _row_scores(run: Run, place: Place, scored: Scored) -> Iterable[Row]:
    """The scores of each row, in points."""
    for i, row in enumerate(usable(run.rows[place])):
        scores = {name: round(float(of[i]) * METRICS[name].points, 4) for name, of in scored.by_row.items()}
        yield {"model": run.model, "config": place[0], "split": place[1], "id": row["id"], "scores": scores}


# ---- two models


def compare(run: Run, other: Run, metrics: Iterable[str] = (), seed: int = 0) -> dict[str, Any]:
    """Two models on the rows that both predicted: scores, their difference with its interval, and a p-value.

    Paired bootstrap, two-sided: twice the share of resamples in which the difference has not the sign it has on all
    rows, (n + 1) / (resamples + 1), at most 1 (https://aclanthology.org/W04-3250). It agrees with the interval.
    """
    shared = {place: _in_both(run, other, place) for place in run.rows if place in other.rows}
    if not any(shared.values()):
        raise ScoreError(
            f"{run.model} predicted rows of {_names(run)}, {other.model} of {_names(other)}, and no row that can be "
            "scored is in both. Predict the same config and split with both."
        )
    lines = []
    for place, ids in shared.items():
        names = list(dict.fromkeys((*own_metrics(place[0]), *metrics)))
        rows = [usable(row for row in r.rows[place] if row["id"] in ids) for r in (run, other)] if ids else []
        in_order = [sorted(found, key=lambda row: ids[row["id"]]) for found in rows]
        scored = [measure(found, names, place[0], seed) for found in in_order]
        only = {f"num_only_{n}": len(usable(r.rows[place])) - len(ids) for n, r in (("first", run), ("second", other))}
        head = {"config": place[0], "split": place[1], "num_rows": len(ids), **only}
        lines += [{**head, "metric": name, **_difference(name, *scored)} for name in names if scored]
    return {"models": [run.model, other.model], "datasets": lines}


def _names(run: Run) -> str:
    return ", ".join(map("/".join, run.rows))


def _in_both(run: Run, other: Run, place: Place) -> dict[str, int]:
    """The ids of the rows that can be scored of both models, numbered; ScoreError where their references differ."""
    usable_ids = [{row["id"] for row in usable(r.rows[place])} for r in (run, other)]
    ids = [row["id"] for row in run.rows[place] if row["id"] in usable_ids[0] & usable_ids[1]]
    ours, theirs = ({row["id"]: row["references"] for row in r.rows[place]} for r in (run, other))
    if changed := [row_id for row_id in ids if ours[row_id] != theirs[row_id]]:
        raise ScoreError(
            f"{'/'.join(place)}: the references of {len(changed)} of {len(ids)} rows differ between {run.model} and "
            f"{other.model}, the first is {changed[0]!r}. Predict again from one state of the data."
        )
    return {row_id: number for number, row_id in enumerate(ids)}


def _difference(name: str, a: Scored, b: Scored) -> Row:
    points = METRICS[name].points
    first, second = (float(score_of(name, scored.sums[name])) for scored in (a, b))
    resampled = score_of(name, a.resampled[name]) - score_of(name, b.resampled[name])
    turned = min((resampled <= 0).sum(), (resampled >= 0).sum())
    apart = a.by_row[name] - b.by_row[name]
    return {
        "first": round(first * points, 4),
        "second": round(second * points, 4),
        "difference": interval(first - second, resampled, points),
        "p": min(1.0, round(2 * (int(turned) + 1) / (len(resampled) + 1), 6)),
        "rows": {"first": int((apart > 0).sum()), "equal": int((apart == 0).sum()), "second": int((apart < 0).sum())},
    }


def majority_score(rows: list[Row], place: Place) -> tuple[str, float] | None:
    """(the commonest reference, what a model would score that always gives it); None where no metric of right and wrong
    is the dataset's own."""
    metric, rows = own_metrics(place[0])[0], usable(rows)
    if metric not in GRADED or not rows:
        return None
    answer = Counter(row["references"][0] for row in rows).most_common(1)[0][0]
    scored = measure([{**row, "prediction": answer} for row in rows], [metric], place[0])
    return answer, float(score_of(metric, scored.sums[metric])) * METRICS[metric].points
