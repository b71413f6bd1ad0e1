"""One HTML page about runs, whole in itself: it opens from disk, with no network; and its figures as PNG.

In: folders of predictions, of scores.json, of judge.json, and of a training (trainer_state.json).  Out: the page, light
or dark as the reader's system is; gpt4_eval.png and case_study.png.
Rows are shown by rule, never picked: those of the case study by hash among rows on which the models' scores differ,
those of the gallery by the lowest score of the dataset's own metric.
"""

import base64
import html
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from M3IT import image_bytes
from m3it.images import encode, pixels
from m3it.instance import M3ITError, hash_of
from m3it.judge import find_rows
from m3it.metrics import METRICS
from m3it.score import Place, Row, Run, measure, own_metrics, read_runs, score_of, usable
from m3it.work import write_text

NUM_CASES = 8  # rows of the case study
NUM_WORST = 6  # rows of a dataset in the gallery
NUM_FAILED = 20  # failed rows of a dataset that are listed by name
SIDE_PIXELS = 360
PUBLISHED = {"MiniGPT-4": (167, 28, 105), "InstructBLIP": (196, 9, 95)}  # win, tie, lose: arXiv 2306.04387
GRADED = ("accuracy", "vqa_accuracy", "exact_match", "f1", "anls")  # 100 is right, 0 is wrong
MARKS = {"right": "✓", "partly": "◐", "wrong": "✗"}
FILES = ("predictions.jsonl", "scores.json", "judge.json", "trainer_state.json", "run.json")
SETTLED = ("run.json", "scores.json", "judge.json")  # that say what made them
Key = tuple[str, str, str]  # config, split, row id


class ReportError(M3ITError):
    """Folders that hold nothing to report on."""


class Found(NamedTuple):
    """What the folders hold: predictions, scores by model and row, judgements, curves; settings by path; for each
    config and split the repository of its rows."""

    runs: list[Run]
    scores: dict[str, Any]
    row_scores: dict[tuple[str, Key], dict[str, float]]
    judges: list[dict[str, Any]]
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
    folders = dict.fromkeys(f for path in map(Path, paths) for f in (path, *sorted(path.glob("*/"))) if f.is_dir())
    files = {name: [f / name for f in folders if (f / name).exists()] for name in FILES}
    found = {name: {str(file.parent): _json(file) for file in files[name]} for name in FILES[1:]}
    if not any(files[name] for name in FILES if name != "run.json"):
        raise ReportError(f"{', '.join(map(str, paths))}: nothing to report. Name folders of {', '.join(FILES[:4])}.")
    if files["predictions.jsonl"] and not files["scores.json"]:
        named = " ".join(str(file.parent) for file in files["predictions.jsonl"])
        raise ReportError(
            f"Predictions without scores. Run: m3it score {named} --out scores; then name that folder, too."
        )
    told = found["scores.json"].values()
    scores = {name: [item for part in told for item in part[name]] for name in ("models", "comparisons")}
    order = [model["model"] for model in scores["models"]]
    runs = read_runs([file.parent for file in files["predictions.jsonl"]]) if files["predictions.jsonl"] else []
    runs.sort(key=lambda run: order.index(run.model) if run.model in order else len(order))
    row_scores = dict(_row_scores(file.with_name("row_scores.jsonl") for file in files["scores.json"]))
    curves = {path: state.get("log_history", []) for path, state in found["trainer_state.json"].items()}
    judges = list(found["judge.json"].values())
    return Found(runs, scores, row_scores, judges, curves, _settings_of(found), _repos_of(found["run.json"], repo))


def _settings_of(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What made each file, by its path."""
    parts = ("command", "options", "versions", "replies")
    files = [(f"{path}/{name}", told) for name in SETTLED for path, told in found[name].items()]
    return {file: {part: told[part] for part in parts if part in told} for file, told in files}


def _repos_of(runs: dict[str, Any], repo: str | None) -> dict[Place, str]:
    """Where the rows of each config and split are."""
    predicted = [run for run in runs.values() if run.get("command") == "predict"]
    names = [(name, repo or run["options"].get("repo", "")) for run in predicted for name in run.get("num_rows", {})]
    return {(name.rpartition("/")[0], name.rpartition("/")[2]): where for name, where in names}


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ReportError(f"{file}: expected JSON, {error}. Make it again.") from error


def _row_scores(files: Iterable[Path]) -> Iterator[tuple[tuple[str, Key], dict[str, float]]]:
    for file in files:
        for line in file.read_text("utf-8").splitlines() if file.exists() else ():
            row = json.loads(line)
            yield (row["model"], (row["config"], row["split"], row["id"])), row["scores"]


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
    for place in _places(found):
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


def _places(found: Found) -> list[Place]:
    return list(dict.fromkeys(place for run in found.runs for place in run.rows))


def _hash(case: Case) -> int:
    return hash_of(case.key[0], case.key[2], 0, "case")


def mark(case: Case, score: float | None) -> str:
    """right, partly or wrong; "" where the metric does not say so."""
    if score is None or case.metric not in GRADED:
        return ""
    return "right" if score >= 99.99 else "wrong" if score <= 0.01 else "partly"


def majority_score(rows: list[Row], place: Place) -> tuple[str, float] | None:
    """(the commonest reference, what a model would score that always gives it); None where no metric of right and wrong
    is the dataset's own."""
    metric, rows = own_metrics(place[0])[0], usable(rows)
    if metric not in GRADED or not rows:
        return None
    answer = Counter(row["references"][0] for row in rows).most_common(1)[0][0]
    scored = measure([{**row, "prediction": answer} for row in rows], [metric], place[0])
    return answer, float(score_of(metric, scored.sums[metric])) * METRICS[metric].points


def read_pictures(found: Found, cases: Iterable[Case]) -> tuple[dict[Key, list[bytes]], list[str]]:
    """The pictures of the rows that are shown, reduced to JPEG files; and what could not be read, in words."""
    wanted: dict[Place, set[str]] = {}
    for case in cases:
        wanted.setdefault(case.key[:2], set()).add(case.key[2])
    pictures: dict[Key, list[bytes]] = {}
    problems = []
    for place, ids in wanted.items():
        try:
            for row_id, row in find_rows(found.repos.get(place, ""), *place, ids):
                files = image_bytes(row)
                pictures[(*place, row_id)] = [encode(pixels(f, row_id, SIDE_PIXELS), quality=82) for f in files]
        except (M3ITError, ValueError, OSError) as error:
            problems.append(f"{'/'.join(place)}: {error}")
    return pictures, problems


# ---- the page


def report(
    paths: Sequence[Path | str], out: Path | str, repo: str | None = None, figures: Path | str | None = None
) -> list[str]:
    """Write the page and, into the folder `figures`, the PNG figures; returns what could not be shown, in words.

    `repo`: where the pictures are, if not where the predictions say that they had them from.
    """
    found = gather(paths, repo)
    cases, worst = choose_cases(found), {place: worst_cases(found, place) for place in _places(found)}
    pictures, problems = read_pictures(found, [*cases, *(case for some in worst.values() for case in some)])
    names = [model["model"] for model in found.scores["models"]] + [run.model for run in found.runs]
    colours = {model: f"c{i % 6}" for i, model in enumerate(dict.fromkeys(names))}
    sections = {
        "Scores": _scores(found, colours),
        "Comparison": "".join(map(_comparison, found.scores["comparisons"])),
        "Judge": "".join(map(_judge, found.judges)),
        "Training": "".join(_curve(path, log) for path, log in found.curves.items()),
        "Case study": _cards(cases, pictures, colours, found),
        "Worst rows": "".join(_gallery(place, some, pictures, colours, found) for place, some in worst.items()),
        "Settings and versions": "".join(_settings(name, told) for name, told in found.settings.items()),
    }
    notes = {
        "Case study": "Chosen by hash, one dataset after another, among rows on which the models' scores "
        "differ, if there are such; nobody picked them.",
        "Worst rows": "The lowest scores of each dataset's own metric, mean of the models.",
    }
    problem = "".join(f"<p class=note>Pictures not shown, {esc(text)}</p>" for text in problems)
    body = _head(found, colours) + problem
    for title, content in sections.items():
        note = f"<p class=note>{notes[title]}</p>" if title in notes else ""
        body += f"<section><h2>{title}</h2>{note}{content}</section>" if content else ""
    page = PAGE.replace("{{body}}", body)
    write_text(Path(out), page)
    if figures:
        draw_figures(found, cases, pictures, Path(figures))
    return problems


def esc(text: Any) -> str:
    """The text as HTML has it."""
    return html.escape(str(text))


def fold(title: str, content: str, is_open: bool = False) -> str:
    """Content below a title that opens and closes it; nothing for nothing."""
    return f"<details{' open' * is_open}><summary>{title}</summary>{content}</details>" if content else ""


def _head(found: Found, colours: dict[str, str]) -> str:
    names = "".join(f"<li><i class='dot {colour}'></i>{esc(model)}</li>" for model, colour in colours.items())
    lines = [line for model in found.scores["models"] for line in model["datasets"]]
    facts = {
        "models": len(colours),
        "datasets": len({line["config"] for line in lines}),
        "predictions scored": sum(line["num_rows"] for line in lines),
        "failed or missing": sum(line["num_failed"] + line["num_missing"] for line in lines),
        "judged rows": sum(
            sum(j["results"]["all"][v] for v in ("win", "tie", "lose", "unreadable")) for j in found.judges
        ),
    }
    tiles = "".join(
        f"<div><b>{number:,}</b>{name}</div>" for name, number in facts.items() if number or name != "judged rows"
    )
    return f"<h1>M3IT evaluation</h1><ul class=models>{names}</ul><div class=tiles>{tiles}</div>"


def _scores(found: Found, colours: dict[str, str]) -> str:
    """Bars by group, those of ROUGE-L unfolded, then the table by dataset."""
    models, bars = found.scores["models"], ""
    for metric in dict.fromkeys(line["metric"] for model in models for line in model["groups"]):
        lines = [(m["model"], line) for m in models for line in m["groups"] if line["metric"] == metric]
        title = f"{METRICS[metric].title} by group"
        bars += fold(title, f"<div class=bars>{_bars(lines, colours)}</div>", is_open=metric == "rouge_l")
    note = "All rows of a group together, in points; lines are 95 % bootstrap intervals."
    return f"<p class=note>{note}</p>{bars}{_table(found)}" if models else ""


def _bars(lines: list[tuple[str, Row]], colours: dict[str, str]) -> str:
    """A bar for each model in each group, of one metric."""
    full, bars = max(100.0, *(line["micro"]["high"] for _, line in lines)), ""
    for group in dict.fromkeys(line["group"] for _, line in lines):
        inside = [(model, line) for model, line in lines if line["group"] == group]
        num_rows, num_configs = inside[0][1]["num_rows"], inside[0][1]["num_configs"]
        told = f"{num_rows:,} rows of {num_configs} config{'s' * (num_configs > 1)}"
        bars += f"<div class=group><span>{esc(group)}</span><small>{told}</small></div>"
        bars += "".join(_bar(model, line["micro"], colours[model], full) for model, line in inside)
    return bars


def _bar(model: str, score: dict[str, float], colour: str, full: float) -> str:
    left, width = 100 * score["low"] / full, 100 * (score["high"] - score["low"]) / full
    return (
        f"<div class='bar {colour}'><div class=track>"
        f"<b style='width:{100 * score['score'] / full:.2f}%'></b>"
        f"<i style='left:{left:.2f}%;width:{width:.2f}%'></i></div><span>{score['score']:.1f}"
        f"<small> {score['low']:.1f} to {score['high']:.1f} · {esc(model)}</small></span></div>"
    )


COLUMNS = ("dataset", "model", "score", "95 %", "ROUGE-L", "rows", "failed", "missing", "unreadable", "same answer")


def _table(found: Found) -> str:
    """A line for each config, split and model."""
    rows_by_place = {place: rows for run in reversed(found.runs) for place, rows in run.rows.items()}
    lines = [(line, model["model"]) for model in found.scores["models"] for line in model["datasets"]]
    body = ""
    for place in dict.fromkeys((line["config"], line["split"]) for line, _ in lines):
        same = majority_score(rows_by_place[place], place) if place in rows_by_place else None
        here = [(line, model) for line, model in lines if (line["config"], line["split"]) == place]
        body += "".join(_table_row(line, model, same) for line, model in here)
    note = "same answer: the score of giving every row the commonest reference, to see what a score is worth."
    return f"<h3>By dataset</h3>{_scroll(COLUMNS, body)}<p class=note>{note}</p>"


def _table_row(line: Row, model: str, same: tuple[str, float] | None) -> str:
    own, rouge = line["scores"].get(line["metric"]), line["scores"].get("rouge_l")
    cells = [
        f"{own['score']:.1f}" if own else "",
        f"{own['low']:.1f} to {own['high']:.1f}" if own else "",
        f"{rouge['score']:.1f}" if rouge else "",
        *(f"{line[f'num_{what}']:,}" for what in COLUMNS[5:9]),
        f"<span title='always: {esc(same[0][:80])}'>{same[1]:.1f}</span>" if same else "",
    ]
    told = f"{esc(line['split'])}, {METRICS[line['metric']].title}"
    names = f"<td>{esc(line['config'])} <small>{told}</small></td><td>{esc(model)}</td>"
    return f"<tr>{names}{''.join(f'<td class=n>{cell}</td>' for cell in cells)}</tr>"


def _scroll(head: Sequence[str], rows: str) -> str:
    return f"<div class=scroll><table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>{rows}</table></div>"


def _comparison(found: dict[str, Any]) -> str:
    head = ("dataset", "metric", "first", "second", "difference", "p", "rows better / equal / worse")
    rows = ""
    for line in found["datasets"]:
        apart, counts = line["difference"], " / ".join(f"{line['rows'][k]:,}" for k in ("first", "equal", "second"))
        numbers = (f"{line['first']:.1f}", f"{line['second']:.1f}", f"{apart['score']:+.1f} [{apart['low']:+.1f}, "
                   f"{apart['high']:+.1f}]", f"{line['p']:.3f}", counts)  # fmt: skip
        rows += f"<tr><td>{esc(line['config'])}</td><td>{esc(METRICS[line['metric']].title)}</td>"
        rows += "".join(f"<td class=n>{number}</td>" for number in numbers) + "</tr>"
    first, second = map(esc, found["models"])
    told = f"<p>First: <b>{first}</b>, second: <b>{second}</b>; paired on the rows that both predicted.</p>"
    return told + _scroll(head, rows)


def _judge(found: dict[str, Any]) -> str:
    """Stacked bars of win, tie, lose, and what the judge is worth."""
    first, second = map(esc, found["models"])
    bars = ""
    for name, counts in found["results"].items():
        parts = [(kind, counts[kind]) for kind in ("win", "tie", "lose", "unreadable") if counts[kind]]
        bars += f"<div class=group><span>{esc(name)}</span><small>p = {counts['p']:.3f}</small></div><div class=stack>"
        bars += "".join(f"<span class={kind} style='flex:{n}'>{n}</span>" for kind, n in parts) + "</div>"
    bias, replies, favours = found["bias"], found["replies"], found["bias"]["favours"]
    names = ", ".join(f"{esc(name)}" for name in replies["answered_as"])
    share = 100 * bias["num_turned"] / max(1, bias["num_rows"])
    facts = {
        "judge": f"{names} {' to '.join(dict.fromkeys(replies['days']))}, asked for as {esc(replies['model'])}",
        "sides": f"{bias['num_turned']} of {bias['num_rows']} verdicts ({share:.0f} %) turned when the sides were "
        f"swapped: {favours['first']} for the first place both times, {favours['second']} for the second",
        "entropy": f"{bias['side_entropy']:.2f} of 1 bit over the sides (0: always the same side), "
        f"{bias['mean_entropy']:.2f} bits over the draws of a row",
        "replies": f"{replies['num_evidences']:,} evidences, {replies['num_unreadable']:,} unreadable, "
        f"{replies['num_refused']:,} refused, {replies['prompt_tokens'] + replies['completion_tokens']:,} tokens",
    }
    told = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts.items())
    review = "".join(
        f"<li>{esc(row['config'])} {esc(row['id'])} <small>{row['entropy']:.2f} bits</small></li>"
        for row in bias["review"]
    )
    listed = fold(f"rows that a person should look at: {len(bias['review'])}", review and f"<ul>{review}</ul>")
    meaning = {"win": "first wins", "tie": "tie", "lose": "second wins", "unreadable": "unreadable"}
    legend = "".join(f"<i class={kind}></i>{name} " for kind, name in meaning.items())
    head = f"<h3>{first} against {second}</h3><p class=legend>{legend}</p>"
    return f"{head}<div class=bars>{bars}</div><dl>{told}</dl>{listed}"


def _curve(path: str, log: list[dict[str, Any]]) -> str:
    """The losses of a training over its steps."""
    series = {name: [(e["step"], e[name]) for e in log if name in e] for name in ("loss", "eval_loss")}
    points = [point for some in series.values() for point in some]
    if not points:
        return ""
    last, top = max(x for x, _ in points) or 1, max(y for _, y in points) or 1
    lines = ""
    for i, some in enumerate(series.values()):
        places = " ".join(f"{600 * x / last:.1f},{200 - 200 * y / top:.1f}" for x, y in some)
        lines += f"<polyline class=c{i} points='{places}'/>"
    told = ", ".join(
        f"<i class='dot c{i}'></i>{name} {some[0][1]:.3g} to {some[-1][1]:.3g}"
        for i, (name, some) in enumerate(series.items())
        if some
    )
    chart = f"<svg viewBox='-4 -4 608 208' preserveAspectRatio=none role=img aria-label='loss'>{lines}</svg>"
    return f"<h3>{esc(path)}</h3><p class=note>{told}, over {last:,} steps</p>{chart}"


def _cards(cases: Iterable[Case], pictures: dict[Key, list[bytes]], colours: dict[str, str], found: Found) -> str:
    cards = "".join(_card(case, pictures.get(case.key, []), colours) for case in cases)
    return f"<div class=cards>{cards}</div>" if cards else ""


def _card(case: Case, images: list[bytes], colours: dict[str, str]) -> str:
    shown = "".join(f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(i).decode()}'>" for i in images)
    instruction, _line, inputs = case.prompt.partition("\n")
    answers = ""
    for model, prediction, score, error in case.answers:
        kind = mark(case, score)
        text = f"<em>{esc(error)}</em>" if error else esc(prediction) or "<em>nothing</em>"
        told = (
            f"{MARKS[kind]} {kind}" if kind in ("right", "wrong") else f"{MARKS.get(kind, '')} {_points(case, score)}"
        )
        answers += (
            f"<li class={kind or 'plain'}><small><i class='dot {colours[model]}'></i>{esc(model)} <b>{told}</b></small>"
        )
        answers += f"<p dir=auto>{text}</p></li>"
    references = "<br>".join(esc(text) for text in list(dict.fromkeys(case.references))[:3])
    return (
        f"<article><div class='pictures n{min(len(images), 3)}'>{shown}</div>"
        f"<h4>{esc(case.key[0])} <small>{esc(case.key[2])}</small></h4>"
        f"<p class=note dir=auto>{esc(instruction)}</p><p class=inputs dir=auto>{esc(inputs)}</p>"
        f"<p class=reference dir=auto><small>reference</small><br>{references}</p><ul>{answers}</ul></article>"
    )


def _points(case: Case, score: float | None) -> str:
    return "" if score is None else f"{METRICS[case.metric].title} {score:.0f}"


def _gallery(
    place: Place, cases: list[Case], pictures: dict[Key, list[bytes]], colours: dict[str, str], found: Found
) -> str:
    lines = [(m["model"], line) for m in found.scores["models"] for line in m["datasets"]]
    failed = [
        (model, row) for model, line in lines if (line["config"], line["split"]) == place for row in line["failed"]
    ]
    listed = "".join(
        f"<li>{esc(model)}, {esc(row['id'])}: {esc(row['error'])}</li>" for model, row in failed[:NUM_FAILED]
    )
    more = f"<li>and {len(failed) - NUM_FAILED:,} more</li>" if len(failed) > NUM_FAILED else ""
    told = f"<p class=note>Failed rows, not scored:</p><ul class=note>{listed}{more}</ul>" if failed else ""
    content = _cards(cases, pictures, colours, found) + told
    return fold(esc("/".join(place)), content)


def _settings(name: str, told: Any) -> str:
    return fold(esc(name), f"<pre>{esc(json.dumps(told, indent=1, ensure_ascii=False))}</pre>")


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><title>M3IT evaluation</title><style>

:root{--bg:#fbfaf8;--card:#fff;--ink:#1d1f23;--soft:#62666e;--line:#e2e0da;--track:#eceae4;--good:#14804f;
--bad:#b3263e;--half:#946200;--win:#2f6fde;--tie:#b9b5ab;--lose:#d9730d;--c0:#2f6fde;--c1:#d9730d;--c2:#16906a;
--c3:#9a45b0;--c4:#c2385c;--c5:#6d737c}
@media(prefers-color-scheme:dark){:root{--bg:#15171a;--card:#1d2024;--ink:#e9e8e4;--soft:#a0a5ad;--line:#33373d;
--track:#2a2e34;--good:#4cc38a;--bad:#ff7a90;--half:#e0b341;--win:#5b94f5;--tie:#5b5f66;--lose:#e88a35;--c0:#5b94f5;
--c1:#e88a35;--c2:#3fbf92;--c3:#c27bd6;--c4:#ee6f8f;--c5:#9aa1ab}}*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:68rem;margin:0 auto;padding:1.5rem 1rem 4rem}h1{font-size:1.9rem;margin:.2em 0}
h2{margin:2.4em 0 .6em;padding-bottom:.25em;border-bottom:1px solid var(--line)}
h3{margin:1.6em 0 .5em;font-size:1.05rem}h4{margin:.7em 0 .2em;font-size:.95rem}
small,.note{color:var(--soft);font-size:.85rem}h4 small,td small{font-weight:400}
p,h1,h3,h4,li,dd,summary{overflow-wrap:anywhere}
.models{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.3rem 1.4rem}
.dot{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.45em}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.7rem}
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.6rem .9rem;
color:var(--soft);font-size:.85rem}.tiles b{display:block;font-size:1.5rem;color:var(--ink)}
details>summary{font-weight:600}.bars{max-width:60rem}
.group{display:flex;justify-content:space-between;gap:1rem;margin:.8rem 0 .2rem;font-weight:600}
.group small{font-weight:400}.bar{display:flex;align-items:center;gap:.8rem;margin:.2rem 0}
.bar>span{flex:0 0 18rem;font-variant-numeric:tabular-nums}
.track{position:relative;flex:1;height:1.05rem;background:var(--track);border-radius:.25rem}
.track b{position:absolute;inset:0 auto 0 0;border-radius:.25rem;opacity:.85}
.track i{position:absolute;top:50%;height:2px;margin-top:-1px;background:var(--ink)}
.track i:before,.track i:after{content:"";position:absolute;width:2px;height:9px;top:-3.5px;background:var(--ink)}
.track i:after{right:0}.c0 b,.dot.c0{background:var(--c0)}.c1 b,.dot.c1{background:var(--c1)}
.c2 b,.dot.c2{background:var(--c2)}.c3 b,.dot.c3{background:var(--c3)}.c4 b,.dot.c4{background:var(--c4)}
.c5 b,.dot.c5{background:var(--c5)}
.stack{display:flex;height:2rem;border-radius:.35rem;overflow:hidden;font-weight:600;color:#fff}
.stack span{display:flex;align-items:center;justify-content:center;min-width:1.6rem}.win{background:var(--win)}
.tie{background:var(--tie)}.lose{background:var(--lose)}
.unreadable{background:repeating-linear-gradient(45deg,var(--soft) 0 5px,var(--track) 5px 10px)}
.stack .tie,.stack .unreadable{color:var(--ink)}
@media(prefers-color-scheme:dark){.stack .win,.stack .lose{color:#111}}.legend{font-size:.85rem;color:var(--soft)}
.legend i{display:inline-block;width:.9em;height:.9em;border-radius:.2em;margin:0 .35em 0 .9em;vertical-align:-.1em}
.legend i:first-child{margin-left:0}.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.88rem;min-width:100%}
th,td{padding:.35rem .7rem .35rem 0;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:500}.n,th:nth-child(n+3){text-align:right;font-variant-numeric:tabular-nums}
dl{display:grid;grid-template-columns:5rem 1fr;gap:.3rem .8rem}dt{color:var(--soft)}dd{margin:0}
details{margin:.6rem 0}summary{cursor:pointer;padding:.3rem 0}
pre{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.8rem;
font-size:.8rem}
svg{width:100%;max-width:52rem;height:14rem;background:var(--card);border:1px solid var(--line);border-radius:.5rem}
polyline{fill:none;stroke-width:2;vector-effect:non-scaling-stroke;stroke:var(--c0)}polyline.c1{stroke:var(--c1)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(19rem,100%),1fr));gap:1rem;margin:1rem 0}
article{background:var(--card);border:1px solid var(--line);border-radius:.7rem;padding:.8rem;min-width:0}
.pictures{display:grid;gap:.3rem}.pictures.n2{grid-template-columns:1fr 1fr}
.pictures.n3{grid-template-columns:repeat(3,1fr)}img{width:100%;border-radius:.4rem;display:block}
.n1 img{max-height:15rem;object-fit:contain;background:var(--track)}article p{margin:.35rem 0;white-space:pre-line}
.inputs{font-weight:600}.reference{border-left:3px solid var(--line);padding-left:.6rem}
article ul{list-style:none;margin:.7rem 0 0;padding:0}
article li{padding:.45rem .6rem;margin-top:.4rem;border-radius:.4rem;background:var(--bg);
border-left:3px solid var(--soft)}li.right{border-color:var(--good)}li.wrong{border-color:var(--bad)}
li.partly{border-color:var(--half)}li.right b{color:var(--good)}li.wrong b{color:var(--bad)}
li.partly b{color:var(--half)}
@media(max-width:34rem){td:nth-child(-n+2){white-space:normal}td:first-child small{display:block}
body{font-size:15px}.bar{flex-wrap:wrap;gap:.1rem .6rem}
.track{flex:1 0 100%}.bar>span{flex:none}dl{grid-template-columns:1fr;gap:.1rem}dd{margin-bottom:.5rem}}
</style></head><body><main>{{body}}</main></body></html>
"""


# ---- figures


def draw_figures(found: Found, cases: list[Case], pictures: dict[Key, list[bytes]], folder: Path) -> list[Path]:
    """Draw gpt4_eval.png and, if there are predictions, case_study.png; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    draw_verdicts(found.judges, folder / "gpt4_eval.png")
    if not cases:
        return [folder / "gpt4_eval.png"]
    draw_cases(cases, pictures, folder / "case_study.png")
    return [folder / "gpt4_eval.png", folder / "case_study.png"]


def draw_verdicts(judges: list[dict[str, Any]], path: Path) -> None:
    """Stacked bars of win, tie, lose: the published ones, and below them ours."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    bars = [(f"Ying-VLM vs {other}\npublished", list(counts), True) for other, counts in PUBLISHED.items()]
    for judge in judges:
        counts = judge["results"]["all"]
        names = ", ".join(judge["replies"]["answered_as"]) or judge["replies"]["model"]
        bars.append(
            (f"{' vs '.join(judge['models'])}\nours, judge {names}", [counts[v] for v in ("win", "tie", "lose")], False)
        )
    figure = Figure(figsize=(9, 1.2 + 0.85 * len(bars)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for y, (_label, counts, published) in enumerate(bars):
        left, total = 0.0, sum(counts) or 1
        for number, colour in zip(counts, ("#2f6fde", "#b9b5ab", "#d9730d"), strict=True):
            width = 100 * number / total
            hatch = "//" if published else None
            axes.barh(y, width, left=left, color=colour, edgecolor="white", hatch=hatch, height=0.62)
            if number:
                box = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
                axes.text(
                    left + width / 2, y, str(number), ha="center", va="center", color="white", weight="bold", bbox=box
                )
            left += width
    axes.set_yticks(range(len(bars)), [label for label, *_ in bars])
    axes.set(xlim=(0, 100), xlabel="% of the judged rows (win, tie, lose of the first model; numbers are rows)")
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(
        "FairEval verdicts: blue win, gray tie, orange lose; hatched bars are published figures", fontsize=10
    )
    figure.savefig(path, dpi=110, metadata={"Software": None})


def draw_cases(cases: list[Case], pictures: dict[Key, list[bytes]], path: Path, columns: int = 2) -> None:
    """The case study as a picture: image, texts, each model's answer, right and wrong marked."""
    from PIL import Image

    cells = [_cell(case, pictures.get(case.key, [])) for case in cases]
    heights = [max(cell.height for cell in cells[i : i + columns]) for i in range(0, len(cells), columns)]
    sheet = Image.new("RGB", (CELL_PIXELS * min(columns, len(cells)), sum(heights)), "white")
    for i, cell in enumerate(cells):
        sheet.paste(cell, (CELL_PIXELS * (i % columns), sum(heights[: i // columns])))
    sheet.save(path, "PNG", optimize=True)


CELL_PIXELS = 520
INKS = {"right": "#14804f", "wrong": "#b3263e", "partly": "#946200", "": "#333"}


def _cell(case: Case, images: list[bytes]) -> Any:
    """One row: pictures on the left, up to four, texts on the right."""
    import io

    from PIL import Image, ImageDraw

    from m3it.show import _font, _wrap

    margin, step, left = 12, 20, 190
    font, width = _font(), CELL_PIXELS - left - margin
    instruction, _line, inputs = case.prompt.partition("\n")
    texts = [(f"{case.key[0]} {case.key[2]}", "#888"), (instruction, "#666"), (inputs, "#000")]
    texts.append((f"reference: {case.references[0]}", "#555"))
    for model, prediction, score, error in case.answers:
        kind = mark(case, score)
        told = kind or _points(case, score)
        texts.append(
            (f"{model} [{told}]: {error or prediction}" if told else f"{model}: {error or prediction}", INKS[kind])
        )
    lines = [(part, ink) for text, ink in texts for part in _wrap(text, font, width)[:8] if part]
    side = left - 2 * margin if len(images) < 2 else (left - 2 * margin) // 2
    thumbs = [Image.open(io.BytesIO(image)) for image in images[:4]]
    for thumb in thumbs:
        thumb.thumbnail((side - 2, 220))
    tall = sum(max(t.height for t in thumbs[i : i + 2]) + 4 for i in range(0, len(thumbs), 2)) if thumbs else 0
    cell = Image.new("RGB", (CELL_PIXELS, max(tall, step * len(lines)) + 2 * margin), "white")
    y = margin
    for i in range(0, len(thumbs), 2 if len(images) > 1 else 1):
        pair = thumbs[i : i + (2 if len(images) > 1 else 1)]
        for k, thumb in enumerate(pair):
            cell.paste(thumb, (margin + k * side, y))
        y += max(thumb.height for thumb in pair) + 4
    pen = ImageDraw.Draw(cell)
    for i, (part, ink) in enumerate(lines):
        pen.text((left, margin + step * i), part, font=font, fill=ink)
    return cell
