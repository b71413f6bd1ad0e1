"""The HTML page of a report, whole in itself: it opens from disk, with no network, light or dark as the reader's system
is."""

import base64
import html
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from M3IT import public_url
from m3it.evaluating.metrics import METRICS
from m3it.evaluating.runs import Place, Row
from m3it.evaluating.score import majority_score
from m3it.showing.case_study import Case, Found, Key, mark, points_of

NUM_FAILED = 20  # failed rows of a dataset that are listed by name
MARKS = {"right": "✓", "partly": "◐", "wrong": "✗"}


def render_page(
    found: Found,
    cases: list[Case],
    worst: dict[Place, list[Case]],
    pictures: dict[Key, list[bytes]],
    problems: list[str],
) -> str:
    """The page: `cases` for the case study, `worst` for the gallery; `problems`: what could not be shown, in words."""
    names = [model["model"] for model in found.scores["models"]] + [run.model for run in found.runs]
    colours = {model: f"c{i % 6}" for i, model in enumerate(dict.fromkeys(names))}
    sections = {
        "Scores": _scores(found, colours),
        "Comparison": "".join(map(_comparison, found.scores["comparisons"])),
        "Judge": "".join(map(_judge, found.judges)),
        "Training": "".join(_curve(path, log) for path, log in found.curves.items()),
        "Case study": _cards(cases, pictures, colours),
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
    return PAGE.replace("{{body}}", body)


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
    """Bars by group, those of ROUGE-L unfolded, then by dataset, bars and a table."""
    models, bars = found.scores["models"], ""
    for metric in dict.fromkeys(line["metric"] for model in models for line in model["groups"]):
        lines = [(m["model"], line) for m in models for line in m["groups"] if line["metric"] == metric]
        title = f"{METRICS[metric].title} by group"
        bars += fold(title, f"<div class=bars>{_bars(lines, colours)}</div>", is_open=metric == "rouge_l")
    note = "All rows of a group together, in points; lines are 95 % bootstrap intervals."
    return f"<p class=note>{note}</p>{bars}{_by_dataset(found, colours)}" if models else ""


def _bars(lines: list[tuple[str, Row]], colours: dict[str, str]) -> str:
    """A bar for each model in each group, of one metric."""
    full, bars = max(100.0, *(line["micro"]["high"] for _, line in lines)), ""
    for group in dict.fromkeys(line["group"] for _, line in lines):
        inside = [(model, line) for model, line in lines if line["group"] == group]
        num_rows, num_configs = inside[0][1]["num_rows"], inside[0][1]["num_configs"]
        bars += _bar_title(group, f"{num_rows:,} rows of {num_configs} config{'s' * (num_configs > 1)}")
        bars += "".join(_bar(model, line["micro"], colours[model], full) for model, line in inside)
    return bars


def _brief(text: str, length: int = 40) -> str:
    """The beginning of a text; isolated, so that Arabic turns around nothing beside it."""
    cut = text[:length].rstrip() + "…" if len(text) > length else text
    return f"\u2068{cut}\u2069"


def _bar_title(name: str, told: str) -> str:
    return f"<div class=group><span>{esc(name)}</span><small>{esc(told)}</small></div>"


def _bar(model: str, score: dict[str, float], colour: str, full: float = 100, same: float | None = None) -> str:
    """A bar with its interval; `same`: where to mark what always the same answer would score."""
    left, width = 100 * score["low"] / full, 100 * (score["high"] - score["low"]) / full
    marked = "" if same is None else f"<u style='left:{100 * same / full:.2f}%'></u>"
    return (
        f"<div class='bar {colour}'><div class=track>"
        f"<b style='width:{100 * score['score'] / full:.2f}%'></b>"
        f"<i style='left:{left:.2f}%;width:{width:.2f}%'></i>{marked}</div><span>{score['score']:.1f}"
        f"<small> {score['low']:.1f} to {score['high']:.1f} · {esc(model)}</small></span></div>"
    )


COLUMNS = ("dataset", "model", "score", "95 %", "ROUGE-L", "rows", "failed", "missing", "unreadable", "same answer")


def _by_dataset(found: Found, colours: dict[str, str]) -> str:
    """Bars of the metrics of right and wrong beside what always the same answer would get; a table of all."""
    rows_by_place = {place: rows for run in reversed(found.runs) for place, rows in run.rows.items()}
    lines = [(line, model["model"]) for model in found.scores["models"] for line in model["datasets"]]
    bars = body = ""
    for place in dict.fromkeys((line["config"], line["split"]) for line, _ in lines):
        same = majority_score(rows_by_place[place], place) if place in rows_by_place else None
        here = [(line, model) for line, model in lines if (line["config"], line["split"]) == place]
        body += "".join(_table_row(line, model, same) for line, model in here)
        if same:
            metric = here[0][0]["metric"]
            bars += _bar_title(place[0], f"{METRICS[metric].title}; always “{_brief(same[0])}”: {same[1]:.1f}")
            own = [(model, line["scores"][metric]) for line, model in here if metric in line["scores"]]
            bars += "".join(_bar(model, score, colours[model], same=same[1]) for model, score in own)
    note = "same answer: the score of giving every row the commonest reference, to see what a score is worth"
    note += "; a dashed line in the bars." if bars else "."
    return f"<h3>By dataset</h3><div class=bars>{bars}</div>{_scroll(COLUMNS, body)}<p class=note>{note}</p>"


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
        bars += _bar_title(name, f"p = {counts['p']:.3f}") + "<div class=stack>"
        bars += "".join(f"<span class={kind} style='flex:{n}'><b>{n}</b></span>" for kind, n in parts) + "</div>"
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
    """The losses of a training over its steps, on a scale of logarithms: most of a curve is flat."""
    series = {name: [(e["step"], e[name]) for e in log if name in e] for name in ("loss", "eval_loss")}
    points = [point for some in series.values() for point in some]
    if not points:
        return ""
    last, losses = max(x for x, _ in points) or 1, [max(y, 1e-9) for _, y in points]
    low, high = math.log(min(losses)), math.log(max(losses))
    lines = ""
    for i, some in enumerate(series.values()):
        heights = [(math.log(max(y, 1e-9)) - low) / ((high - low) or 1) for _, y in some]
        places = " ".join(f"{600 * x / last:.1f},{200 - 200 * h:.1f}" for (x, _), h in zip(some, heights, strict=True))
        lines += f"<polyline class=c{i} points='{places}'/>"
    told = ", ".join(
        f"<i class='dot c{i}'></i>{name} {some[0][1]:.3g} to {some[-1][1]:.3g}"
        for i, (name, some) in enumerate(series.items())
        if some
    )
    label = f"losses over the steps of {esc(path)}"
    chart = f"<svg viewBox='-4 -4 608 208' preserveAspectRatio=none role=img aria-label='{label}'>{lines}</svg>"
    return f"<h3>{esc(path)}</h3><p class=note>{told}, over {last:,} steps; logarithmic</p>{chart}"


def _cards(cases: Iterable[Case], pictures: dict[Key, list[bytes]], colours: dict[str, str]) -> str:
    cards = "".join(_card(case, pictures.get(case.key, []), colours) for case in cases)
    return f"<div class=cards>{cards}</div>" if cards else ""


def _card(case: Case, images: list[bytes], colours: dict[str, str]) -> str:
    name = f"{case.key[0]} {case.key[2]}"
    shown = "".join(
        f"<img alt='{esc(name)}, picture {k} of {len(images)}' "
        f"src='data:image/jpeg;base64,{base64.b64encode(image).decode()}'>"
        for k, image in enumerate(images, 1)
    )
    instruction, _line, inputs = case.prompt.partition("\n")
    answers = ""
    for model, prediction, score, error in case.answers:
        kind = mark(case, score)
        text = f"<em>{esc(error)}</em>" if error else esc(prediction) or "<em>nothing</em>"
        told = (
            f"{MARKS[kind]} {kind}" if kind in ("right", "wrong") else f"{MARKS.get(kind, '')} {points_of(case, score)}"
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
    content = _cards(cases, pictures, colours) + told
    return fold(esc("/".join(place)), content)


def _settings(name: str, told: Any) -> str:
    return fold(esc(name), f"<pre>{esc(public_url(json.dumps(told, indent=1, ensure_ascii=False)))}</pre>")


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
details>summary{font-weight:600}.bars{max-width:60rem;margin-bottom:1rem}
.group{display:flex;justify-content:space-between;gap:1rem;margin:.8rem 0 .2rem;font-weight:600}
.group small{font-weight:400}.bar{display:flex;align-items:center;gap:.8rem;margin:.2rem 0}
.bar>span{flex:0 0 18rem;min-width:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.track{position:relative;flex:1;height:1.05rem;background:var(--track);border-radius:.25rem}
.track b{position:absolute;inset:0 auto 0 0;border-radius:.25rem;opacity:.85}
.track i{position:absolute;top:50%;height:2px;margin-top:-1px;background:var(--ink)}
.track i:before,.track i:after{content:"";position:absolute;width:2px;height:9px;top:-3.5px;background:var(--ink)}
.track i:after{right:0}
.track u{position:absolute;top:-3px;bottom:-3px;border-left:2px dashed var(--ink)}
.c0 b,.dot.c0{background:var(--c0)}.c1 b,.dot.c1{background:var(--c1)}
.c2 b,.dot.c2{background:var(--c2)}.c3 b,.dot.c3{background:var(--c3)}.c4 b,.dot.c4{background:var(--c4)}
.c5 b,.dot.c5{background:var(--c5)}
.stack{display:flex;height:2rem;border-radius:.35rem;overflow:hidden;font-weight:600;color:#fff}
.stack span{display:flex;align-items:center;justify-content:center;min-width:1.6rem}.win{background:var(--win)}
.tie{background:var(--tie)}.lose{background:var(--lose)}
.unreadable{background:repeating-linear-gradient(45deg,var(--soft) 0 5px,var(--track) 5px 10px)}
.stack .tie,.stack .unreadable{color:var(--ink)}.stack .unreadable b{background:var(--track);padding:0 .35em;
border-radius:.2em}
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
.track,.bar>span{flex:1 0 100%}dl{grid-template-columns:1fr;gap:.1rem}dd{margin-bottom:.5rem}}
</style></head><body><main>{{body}}</main></body></html>
"""
