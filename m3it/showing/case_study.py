"""What a report shows: what the folders hold, and which rows of it.

In: folders of predictions, of scores.json, of judge.json, of votes.jsonl, and of a training (trainer_state.json).  Out:
`Found`, and the rows, as `Case`s, with their pictures. Rows are shown by rule, never picked: those of the case study by
hash among rows on which the models' scores differ, those of the gallery by the lowest score of the dataset's metric.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from M3IT import image_bytes
from m3it.evaluating.metrics import METRICS
from m3it.evaluating.row_scores import GRADED, own_metrics
from m3it.evaluating.runs import Key, Place, Run, read_runs
from m3it.evaluating.votes import count_votes, read_votes
from m3it.reading.load import find_rows
from m3it.rows.images import encode, pixels
from m3it.rows.instance import M3ITError, hash_of
from m3it.work.folder import lines_of

NUM_CASES = 8  # rows of the case study
NUM_WORST = 6  # rows of a dataset in the gallery
SIDE_PIXELS = 360
FILES = ("predictions.jsonl", "scores.json", "judge.json", "trainer_state.json", "votes.jsonl", "run.json")
# What each file must hold, by the kind of value, for a report to begin with it; what lies below is met on the way.
SHAPES: dict[str, dict[str, type]] = {
    "scores.json": {"models": list, "comparisons": list, "options": dict},
    "judge.json": {"models": list, "results": dict, "bias": dict, "replies": dict},
    "trainer_state.json": {"log_history": list},
    "run.json": {},
}
SETTLED = ("run.json", "scores.json", "judge.json")  # that say what made them


class ReportError(M3ITError):
    """Folders that hold nothing to report on."""


class Found(NamedTuple):
    """What the folders hold: predictions, scores by model and row, judgements, votes on each two models, curves;
    settings by path; for each config and split the repository of its rows."""

    runs: list[Run]
    scores: dict[str, Any]
    row_scores: dict[tuple[str, Key], dict[str, float]]
    judges: list[dict[str, Any]]
    votes: list[dict[str, Any]]
    curves: dict[str, list[dict[str, Any]]]
    settings: dict[str, Any]
    repos: dict[Place, str]


class Case(NamedTuple):
    """A row as it is shown: `answers` are (model, prediction, its score in points or None, error)."""

    key: Key
    metric: str
    prompt: str
    references: list[str]
    answers: list[tuple[str, str, float | None, str]]


# ---- reading


def gather(paths: Sequence[Path | str], repo: str | None = None) -> Found:
    """What the folders, and the folders in them, hold; ReportError for nothing, and for predictions without scores."""
    if missing := [path for path in paths if not Path(path).is_dir()]:
        raise ReportError(
            f"{missing[0]}: expected a folder of predictions, scores, verdicts, votes or a training; there is none."
        )
    folders = dict.fromkeys(f for path in map(Path, paths) for f in (path, *sorted(path.glob("*/"))) if f.is_dir())
    files = {name: [f / name for f in folders if (f / name).exists()] for name in FILES}
    of_training = {file.parent.parent: file for file in sorted(files["trainer_state.json"], key=_step)}
    files["trainer_state.json"] = list(of_training.values())  # the last checkpoint knows of all steps
    found = {name: {str(file.parent): _json(file) for file in files[name]} for name in SHAPES}
    if not any(files[name] for name in FILES if name != "run.json"):
        raise ReportError(f"{', '.join(map(str, paths))}: nothing to report. Name folders of {', '.join(FILES[:5])}.")
    if files["predictions.jsonl"] and not files["scores.json"]:
        named = " ".join(str(file.parent) for file in files["predictions.jsonl"])
        raise ReportError(
            f"Predictions without scores. Run: m3it score {named} --out scores; then name that folder, too."
        )
    told = found["scores.json"].values()
    scores = {name: [item for part in told for item in part[name]] for name in ("models", "comparisons")}
    order = [model["model"] for model in scores["models"]]
    tags = next((part["options"]["reasoning_tags"] for part in told if "reasoning_tags" in part["options"]), None)
    folders_of_runs = [file.parent for file in files["predictions.jsonl"]]
    runs = read_runs(folders_of_runs, tags) if folders_of_runs else []
    runs.sort(key=lambda run: order.index(run.model) if run.model in order else len(order))
    row_scores = dict(_row_scores(file.with_name("row_scores.jsonl") for file in files["scores.json"]))
    curves = {path: state["log_history"] for path, state in found["trainer_state.json"].items()}
    judges = list(found["judge.json"].values())
    votes = count_votes(line for file in files["votes.jsonl"] for line in read_votes(file))
    settings, repos = _settings_of(found), _repos_of(found["run.json"], repo)
    return Found(runs, scores, row_scores, judges, votes, curves, settings, repos)


def _settings_of(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What made each file, by its path."""
    parts = ("command", "options", "versions", "replies")
    files = [(f"{path}/{name}", told) for name in SETTLED for path, told in found[name].items()]
    return {file: {part: told[part] for part in parts if part in told} for file, told in files}


def _repos_of(runs: dict[str, Any], repo: str | None) -> dict[Place, str]:
    """Where the rows of each config and split are."""
    predicted = [run for run in runs.values() if run.get("command") == "predict"]
    named = [(name, run.get("options") or {}) for run in predicted for name in run.get("num_rows") or {}]
    names = [(name, repo or options.get("repo", "")) for name, options in named]
    return {(name.rpartition("/")[0], name.rpartition("/")[2]): where for name, where in names}


def _step(state: Path) -> int:
    """The step of the checkpoint that a file stands in; 0 in another folder."""
    return int(found[1]) if (found := re.fullmatch(r"checkpoint-(\d+)", state.parent.name)) else 0


def _json(file: Path) -> dict[str, Any]:
    """What a JSON file holds; ReportError where that is not what m3it writes under its name."""
    try:
        found = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{file}: expected JSON, {error}. Make it again.") from error
    shape = SHAPES[file.name]
    if not isinstance(found, dict) or not all(isinstance(found.get(name), kind) for name, kind in shape.items()):
        named = f" with {', '.join(shape)}" if shape else ""
        raise ReportError(f"{file}: expected a JSON object{named}, found {json.dumps(found)[:60]}. Make it again.")
    return found


def _row_scores(files: Iterable[Path]) -> Iterator[tuple[tuple[str, Key], dict[str, float]]]:
    for file in files:
        for line in filter(str.strip, lines_of(file)) if file.exists() else ():
            try:
                row = json.loads(line)
                yield (row["model"], (row["config"], row["split"], row["id"])), row["scores"]
            except (ValueError, LookupError, TypeError) as error:
                say = f"expected a line as m3it score writes it, found {line[:60]!r}. Score again."
                raise ReportError(f"{file}: {say}") from error


# ---- which rows


def cases_of(found: Found, place: Place) -> list[Case]:
    """The rows of a config and split that every model has a line of, in the order of the first."""
    runs = [run for run in found.runs if place in run.rows]
    by_id = [{row["id"]: row for row in run.rows[place]} for run in runs]
    metric = own_metrics(place[0])[0]
    cases = []
    for row_id, row in by_id[0].items():
        lines = [rows[row_id] for rows in by_id if row_id in rows]
        key = (*place, row_id)
        if len(lines) < len(runs):
            continue
        scores = [found.row_scores.get((run.model, key), {}).get(metric) for run in runs]
        named = [(run.model, line.get("prediction", ""), s, str(line.get("error", "")))
                 for run, line, s in zip(runs, lines, scores, strict=True)]  # fmt: skip
        cases.append(Case(key, metric, row.get("prompt", ""), row["references"], named))
    return cases


def choose_cases(found: Found, num: int = NUM_CASES) -> list[Case]:
    """Rows for the case study: of each config in turn the next by hash, those first on which the scores differ."""
    queues = []
    for place in places_of(found):
        cases = [case for case in cases_of(found, place) if not any(error for *_, error in case.answers)]
        cases.sort(key=lambda case: (len({score for _, _, score, _ in case.answers}) < 2, _hash(case)))
        queues.append(cases)
    ranked = [(i, case) for cases in queues for i, case in enumerate(cases[:num])]
    return [case for _, case in sorted(ranked, key=lambda item: item[0])][:num]


def worst_cases(found: Found, place: Place, num: int = NUM_WORST) -> list[Case]:
    """The rows with the lowest scores, mean of the models; equal ones by hash."""
    scored = [(sum(s for _, _, s, _ in case.answers if s is not None), case) for case in cases_of(found, place)
              if any(s is not None for _, _, s, _ in case.answers)]  # fmt: skip
    return [case for _, case in sorted(scored, key=lambda item: (item[0], _hash(item[1])))][:num]


def places_of(found: Found) -> list[Place]:
    """The configs and splits that were predicted."""
    return list(dict.fromkeys(place for run in found.runs for place in run.rows))


def _hash(case: Case) -> int:
    return hash_of(case.key[0], case.key[2], 0, "case")


def mark(case: Case, score: float | None) -> str:
    """right, partly or wrong; "" where the metric does not say so."""
    return mark_of(case.metric, score)


def mark_of(metric: str, points: float | None) -> str:
    """The same of points of a metric."""
    if points is None or metric not in GRADED:
        return ""
    return "right" if points >= 99.99 else "wrong" if points <= 0.01 else "partly"


def points_of(case: Case, score: float | None) -> str:
    """The score of an answer in words."""
    return "" if score is None else f"{METRICS[case.metric].title} {score:.0f}"


def read_pictures(found: Found, cases: Iterable[Case]) -> tuple[dict[Key, list[bytes]], list[str]]:
    """The pictures of the rows that are shown, as JPEG files; and what could not be read, in words."""
    wanted: dict[Place, set[str]] = {}
    for case in cases:
        wanted.setdefault(case.key[:2], set()).add(case.key[2])
    pictures: dict[Key, list[bytes]] = {}
    problems = []
    for place, ids in wanted.items():
        try:
            for row_id, row in find_rows(found.repos.get(place, ""), *place, ids):
                pictures[(*place, row_id)] = [_shown(file, row_id) for file in image_bytes(row)]
        except (M3ITError, ValueError, OSError) as error:
            problems.append(f"{'/'.join(place)}: {error}")
    return pictures, problems


def _shown(file: bytes, row_id: str) -> bytes:
    """The picture as JPEG: a big one reduced, each pixel of a very small one made a square."""
    found = pixels(file, row_id, SIDE_PIXELS)
    times = max(1, SIDE_PIXELS // 2 // max(found.shape[:2]))
    return encode(found.repeat(times, axis=0).repeat(times, axis=1), quality=82)
