"""Scores of predictions by dataset, task and group, with 95 % intervals; and of two models on the same rows.

In: predictions.jsonl of `m3it predict`, one JSON object a line: `id, config, split, prompt, prediction, references,
seconds`; where they apply `choices, group, language` (references.reference_fields) and `error`: the row failed, it is
listed and never scored. Beside it run.json: `model`, and `num_rows`: how many rows there were to predict, by
"config/split". Out: scores.json, and row_scores.jsonl with the scores of every row. Scores are in points, as papers
print them: times 100, but for BLEU and chrF, which have that range of their own.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m3it.catalogue import lookup
from m3it.evaluating.metrics import METRICS
from m3it.evaluating.row_scores import (
    NUM_RESAMPLES,
    Scored,
    interval,
    lenient_accuracy,
    own_metrics,
    score_of,
    score_rows,
)
from m3it.evaluating.runs import Place, Row, Run, ScoreError, check_references, pool_captions, read_runs, usable
from m3it.reading.drop_list import DropList, dropped_rows, read_drop_list
from m3it.work.folder import write_json, write_text
from m3it.work.runner import versions

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
    paths: Sequence[Path | str],
    out: Path | str,
    *,
    repo: str | None = None,
    metrics: Iterable[str] = (),
    seed: int = 0,
    reasoning_tags: Sequence[str] | None = None,
    exclude: Path | str | None = None,
) -> dict[str, Any]:
    """Score predictions and write scores.json and row_scores.jsonl into `out`; returns what scores.json holds.

    `repo`: where the rows are, to see that no row is missing and no reference has changed since. `metrics`: more of
    them, for every config. `reasoning_tags`: see runs.read_run. `exclude`: a drop list, whose rows are not scored. With
    several models, the first is compared with each other one.
    """
    if unknown := [name for name in metrics if name not in METRICS]:
        raise ValueError(f"Unknown metric {unknown[0]!r}: expected one of {', '.join(METRICS)}")
    runs = read_runs(paths, reasoning_tags)
    runs = [check_references(run, repo) if repo else run for run in runs]
    kept = [without(run, read_drop_list(exclude)) for run in runs] if exclude else runs
    num_excluded = sum(len(rows) for run in runs for rows in run.rows.values())
    num_excluded -= sum(len(rows) for run in kept for rows in run.rows.values())
    runs = pool_captions(kept)
    models, lines = [], []
    for run in runs:
        scored = {
            place: score_rows(rows, dict.fromkeys((*own_metrics(place[0]), *metrics)), place[0], seed=seed)
            for place, all_rows in run.rows.items()
            if (rows := usable(all_rows))
        }
        datasets = [_dataset(run, place, scored.get(place)) for place in run.rows]
        models.append({"model": run.model, "datasets": datasets, "groups": _groups(scored)})
        lines += [line for place, found in scored.items() for line in _row_scores(run, place, found)]
    found = {
        "command": "score",
        "options": {"predictions": [str(path) for path in paths], "metrics": list(metrics), "seed": seed}
        | ({"reasoning_tags": list(reasoning_tags)} if reasoning_tags else {})
        | ({"exclude": str(exclude), "num_excluded": num_excluded} if exclude else {}),
        "versions": versions("numpy", "sacrebleu"),
        "num_resamples": NUM_RESAMPLES,
        "models": models,
        "comparisons": [compare(runs[0], run, metrics=metrics, seed=seed) for run in runs[1:]],
    }
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_text(Path(out) / "row_scores.jsonl", text)
    write_json(Path(out) / "scores.json", found)
    return found


def without(run: Run, drop_list: DropList) -> Run:
    """The run without the rows of a drop list, which are not missing either; ScoreError where none is left."""
    rows, num_rows = {}, dict(run.num_rows)
    for (config, split), found in run.rows.items():
        dropped = dropped_rows(drop_list, config, split)
        kept = [row for row in found if row["id"] not in dropped]
        if not kept:
            raise ScoreError(f"{config}/{split}: all {len(found)} predicted rows are on the drop list. Leave it out.")
        rows[config, split] = kept
        if (config, split) in num_rows:
            num_rows[config, split] -= len(found) - len(kept)
    return run._replace(rows=rows, num_rows=num_rows)


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
        if missing := [name for name in metrics if name not in scored.sums]:
            line["not_scored"] = dict.fromkeys(missing, "compares pictures, and there is one alone")
        if scored.num_unreadable:
            right = float(scored.sums["accuracy"][1])
            line["accuracy_of_readable"] = round(100 * right / max(1, num_scored - scored.num_unreadable), 4)
            line["accuracy_lenient"] = round(100 * lenient_accuracy(usable(rows)), 4)
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


def compare(run: Run, other: Run, *, metrics: Iterable[str] = (), seed: int = 0) -> dict[str, Any]:
    """Two models on the rows that both predicted: scores, their difference with its interval, and a p-value.

    Paired bootstrap, two-sided: twice the share of resamples in which the difference has not the sign it has on all
    rows, (n + 1) / (resamples + 1), at most 1 (https://aclanthology.org/W04-3250). It agrees with the interval.
    """
    if not any("pooled" in row for r in (run, other) for rows in r.rows.values() for row in rows):
        run, other = pool_captions((run, other))
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
        scored = [score_rows(found, names, place[0], seed=seed) for found in in_order]
        only = {f"num_only_{n}": len(usable(r.rows[place])) - len(ids) for n, r in (("first", run), ("second", other))}
        head = {"config": place[0], "split": place[1], "num_rows": len(ids), **only}
        lines += [
            {**head, "metric": name, **_difference(name, *scored)}
            for name in names
            if scored and name in scored[0].sums
        ]
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
