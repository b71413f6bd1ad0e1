"""Models asked, scored and compared."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from m3it.commands.options import (
    SCORE,
    Json,
    Repo,
    app,
    default_repo,
    holds_rows,
    progress,
)


@app.command(rich_help_panel=SCORE)
def predict(
    model: Annotated[str, Option(help="Hub id or folder; with --base-url the server's name for the model.")],
    config: Annotated[list[str], Option(help="Config name, e.g. viquae; may be given several times.")],
    out: Annotated[Path, Option(help="Folder for predictions.jsonl and run.json; a killed run goes on there.")],
    repo: Repo = None,
    split: Annotated[str | None, Option(help="Default: test, else validation.")] = None,
    limit: Annotated[int | None, Option(help="Stop after this many rows of a config.", min=1)] = None,
    base_url: Annotated[str | None, Option(help="Ask this OpenAI-compatible server.")] = None,
    batch_size: Annotated[int, Option(help="Rows at a time, of a transformers model.", min=1)] = 8,
    max_tokens: Annotated[int, Option(help="Longest prediction.", min=1)] = 256,
    parallel: Annotated[int, Option(help="Requests at a time, to a server.", min=1)] = 8,
    on_error: Annotated[str, Option(help="raise, or drop: leave out rows that cannot be read.")] = "raise",
) -> None:
    """What a model answers to rows.   Example: m3it predict --model runs/tiny --config shapes --out eval/tiny"""
    from m3it.evaluating.predict import predict as predict_rows

    run = predict_rows(
        model,
        config,
        out,
        default_repo(repo),
        split,
        limit,
        base_url,
        batch_size,
        max_tokens,
        parallel,
        on_error,
        progress,
    )
    for place, number in run["num_rows"].items():
        failed = run["num_failed"][place]
        typer.echo(f"{place}: {number - failed:,} rows predicted{f', {failed:,} failed' if failed else ''}")


@app.command(rich_help_panel=SCORE)
def score(
    predictions: Annotated[list[Path], Argument(help="Folders that m3it predict wrote; two models are compared.")],
    out: Annotated[Path | None, Option(help="Folder for scores.json. Default: the first one's.")] = None,
    repo: Annotated[str | None, Option(help="What was predicted: checks rows and references.")] = None,
    metric: Annotated[list[str] | None, Option(help="One more metric for every config, e.g. chrf.")] = None,
    seed: Annotated[int, Option(help="Of the resamples for the intervals.")] = 0,
    as_json: Json = False,
) -> None:
    """Scores by dataset, task and group with 95 % intervals; A B compares.   Example: m3it score runs/tiny"""
    from m3it.evaluating.score import score as score_predictions
    from m3it.evaluating.tables import render

    first = predictions[0]
    found = score_predictions(predictions, out or (first if first.is_dir() else first.parent), repo, metric or (), seed)
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else render(found))


@app.command(rich_help_panel=SCORE)
def judge(
    first: Annotated[Path, Argument(help="Folder of the first model's predictions.")],
    second: Annotated[Path, Argument(help="Folder of the second model's.")],
    model: Annotated[str, Option(help="The server's name for the judge.")],
    out: Annotated[Path, Option(help="Folder for verdicts.jsonl, judge.json and all replies.")],
    base_url: Annotated[str | None, Option(help="OpenAI-compatible server. Default: OpenAI's.")] = None,
    config: Annotated[list[str] | None, Option(help="Default: okvqa, a-okvqa, viquae, as in the paper.")] = None,
    limit: Annotated[int, Option(help="Rows of each config, chosen by hash.", min=1)] = 100,
    evidences: Annotated[int, Option(help="Of each verdict and order.", min=1)] = 3,
    with_images: Annotated[bool, Option("--with-images", help="Show the judge the pictures, too.")] = False,
    repo: Annotated[
        str | None, Option(help="Where the pictures are. Default: where the first run had them from.")
    ] = None,
    parallel: Annotated[int, Option(help="Requests at a time.", min=1)] = 8,
    prices: Annotated[tuple[float, float] | None, Option(help="Of a million tokens in and out.")] = None,
    max_cost: Annotated[float | None, Option(help="Stop before the request that may exceed it.")] = None,
    as_json: Json = False,
) -> None:
    """Which model answers better, by FairEval.   Example: m3it judge eval/a eval/b --model gpt-4o --out eval/judge"""
    from m3it.evaluating.judge import CONFIGS, choose_pairs, render, requests
    from m3it.evaluating.judge import judge as judge_pairs
    from m3it.work.chat import Chat

    match = choose_pairs(first, second, config or CONFIGS, limit, with_images, repo)
    chat = Chat(model, base_url, cache_dir=out / "replies", parallel=parallel, prices=prices, max_cost=max_cost)
    e = chat.estimate(requests(match, evidences))
    cost = "" if e.cost is None else f", at most about {e.cost:.2f}"
    tokens = f"about {e.prompt_tokens:,} tokens in, at most {e.completion_tokens:,} out"
    typer.echo(f"{e.num_requests:,} requests, {e.num_kept:,} replies on disk; the others {tokens}{cost}", err=True)
    found = judge_pairs(match, chat, out, evidences, progress)
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else render(found))


@app.command(rich_help_panel=SCORE)
def report(
    runs: Annotated[
        list[Path], Argument(help="Folders of predictions, scores, verdicts, trainings; or one that holds them.")
    ],
    out: Annotated[Path, Option(help="The HTML file to write.")] = Path("report.html"),
    figures: Annotated[Path | None, Option(help="Draw gpt4_eval.png and case_study.png into this folder, too.")] = None,
    repo: Annotated[
        str | None, Option(help="Where the pictures are. Default: where the predictions had them from.")
    ] = None,
) -> None:
    """One HTML page about runs, that opens offline.   Example: m3it report eval --out report.html --figures imgs"""
    from m3it.showing.report import report as write_report

    for problem in write_report(runs, out, repo, figures):
        typer.echo(f"pictures not shown, {problem}", err=True)
    typer.echo(out)


@app.command(rich_help_panel=SCORE)
def quickstart(
    out: Annotated[
        Path, Option(help="Folder of the data, the model and the report; a killed run goes on there.")
    ] = Path("quickstart"),
    repo: Annotated[
        str | None, Option(help="Mix in its configs. Default: this folder where data/ holds rows, else none.")
    ] = None,
) -> None:
    """Make SHAPES, train a tiny model, test it: some minutes on two cores, offline.   Example: m3it quickstart"""
    from m3it.quickstart import quickstart as run_all

    repo = repo or ("." if holds_rows() else None)
    found = run_all(out, repo, tell=partial(typer.echo, err=True), progress=progress)
    interval = f"{found['score']:.1f} % [{found['low']:.1f}, {found['high']:.1f}]"
    always = f"always {found['majority_answer']!r}: {found['majority_score']:.1f} %"
    typer.echo(f"accuracy on the test questions: {interval}; {always}\n{found['page']}")
