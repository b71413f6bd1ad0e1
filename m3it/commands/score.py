"""Models asked, scored and compared."""

import json
import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option

from m3it.commands.options import (
    MOST,
    SCORE,
    BaseUrl,
    BatchSize,
    Configs,
    Exclude,
    ExtraBody,
    Ids,
    Json,
    Limit,
    MaxCost,
    OnError,
    Parallel,
    PicturesFrom,
    Port,
    Prices,
    ReasoningTags,
    Repo,
    Seed,
    app,
    as_extra_body,
    as_ids,
    default_repo,
    holds_rows,
    progress,
    say,
    split_option,
)


@app.command(rich_help_panel=SCORE)
def predict(
    model: Annotated[str, Option(help="Hub id or folder; with --base-url the server's name for the model.")],
    config: Annotated[list[str], Option(help="Config name, e.g. viquae; may be given several times.")],
    out: Annotated[Path, Option(help="Folder for predictions.jsonl and run.json; a killed run goes on there.")],
    repo: Repo = None,
    split: Annotated[str | None, split_option("test, else validation")] = None,
    limit: Limit = None,
    ids: Ids = None,
    base_url: Annotated[str | None, Option(help="Ask this OpenAI-compatible server.")] = None,
    batch_size: BatchSize = 8,
    max_tokens: Annotated[int, Option(help="Longest answer, in tokens.", min=1, max=1_000_000)] = 256,
    parallel: Parallel = 8,
    on_error: OnError = "raise",
    reasoning_tags: ReasoningTags = None,
    extra_body: ExtraBody = None,
) -> None:
    """What a model answers to rows.

    Example: m3it predict --model runs/tiny --config shapes --out eval/tiny"""
    from m3it.evaluating.predict import predict as predict_rows

    run = predict_rows(
        model,
        config,
        out,
        repo=default_repo(repo),
        split=split,
        limit=limit,
        ids=as_ids(ids),
        base_url=base_url,
        batch_size=batch_size,
        max_tokens=max_tokens,
        parallel=parallel,
        on_error=on_error,
        reasoning_tags=reasoning_tags or None,
        extra_body=as_extra_body(extra_body),
        progress=progress,
    )
    for place, number in run["num_rows"].items():
        failed = run["num_failed"][place]
        say(f"{place}: {number - failed:,} rows predicted{f', {failed:,} failed' if failed else ''}")


@app.command(rich_help_panel=SCORE)
def score(
    predictions: Annotated[list[Path], Argument(help="Folders that m3it predict wrote; two models are compared.")],
    logs_of: Annotated[
        Literal["lmms-eval", "inspect"] | None,
        Option(
            "--from", help="The folders hold logs of this harness, of one model: write its predictions to --out first."
        ),
    ] = None,
    out: Annotated[Path | None, Option(help="Folder for scores.json. Default: the first one's.")] = None,
    repo: Annotated[str | None, Option(help="Compare rows and references with this repository.")] = None,
    metric: Annotated[list[str] | None, Option(help="One more metric for every config, e.g. chrf.")] = None,
    exclude: Exclude = None,
    seed: Seed = 0,
    reasoning_tags: ReasoningTags = None,
    as_json: Json = False,
) -> None:
    """Score predictions by dataset, task and group, with 95 % intervals; compare two models.

    Example: m3it score eval/tiny"""
    from m3it.evaluating.score import score as score_predictions
    from m3it.evaluating.tables import score_table

    first = predictions[0]
    out = out or (first if first.is_dir() else first.parent)
    if logs_of:
        from m3it.evaluating.logs import import_logs

        predictions = [import_logs(logs_of, predictions, out)]
    tags = reasoning_tags or None
    options: dict[str, Any] = {"repo": repo, "metrics": metric or (), "seed": seed, "exclude": exclude}
    found = score_predictions(predictions, out, **options, reasoning_tags=tags)
    say(json.dumps(found, ensure_ascii=False) if as_json else score_table(found))


@app.command(rich_help_panel=SCORE)
def tasks(
    harness: Annotated[Literal["lmms-eval", "inspect"], Argument(help="Which harness is to run them.")],
    out: Annotated[Path, Option(help="New folder for the task files.")],
    repo: Annotated[
        str | None, Option(help="The release to ask about: a folder or Hub id. Default: MMInstruction/M3IT.")
    ] = None,
    config: Configs = None,
) -> None:
    """Write task files for lmms-eval or inspect_ai, with our prompts, references and metrics.

    Example: m3it tasks lmms-eval --repo release --out tasks"""
    from m3it.evaluating.tasks import how_to_run, write_tasks

    say(how_to_run(harness, out, write_tasks(harness, out, repo=repo, configs=config or None)))


@app.command(rich_help_panel=SCORE)
def judge(
    first: Annotated[Path, Argument(help="Folder of the first model's predictions.")],
    second: Annotated[Path, Argument(help="Folder of the second model's.")],
    model: Annotated[str, Option(help="The server's name for the judge.")],
    out: Annotated[Path, Option(help="Folder for verdicts.jsonl, judge.json and all replies.")],
    base_url: BaseUrl = None,
    config: Annotated[list[str] | None, Option(help="Default: okvqa, a-okvqa, viquae, as in the paper.")] = None,
    limit: Annotated[int, Option(help="Rows of each config, chosen by hash.", min=1, max=MOST)] = 100,
    ids: Ids = None,
    evidences: Annotated[int, Option(help="Of each verdict and order.", min=1, max=1000)] = 3,
    with_images: Annotated[bool, Option("--with-images", help="Show the judge the pictures, too.")] = False,
    repo: PicturesFrom = None,
    parallel: Parallel = 8,
    prices: Prices = None,
    max_cost: MaxCost = None,
    reasoning_tags: ReasoningTags = None,
    extra_body: ExtraBody = None,
    as_json: Json = False,
) -> None:
    """Which model answers better, by FairEval.

    Example: m3it judge eval/a eval/b --model gpt-4o --out eval/judge"""
    from m3it.evaluating.judge import CONFIGS, choose_pairs, requests
    from m3it.evaluating.judge import judge as judge_pairs
    from m3it.evaluating.tables import verdict_table
    from m3it.work.chat import Chat

    tags = reasoning_tags or None
    match = choose_pairs(
        first,
        second,
        config or CONFIGS,
        num_rows=limit,
        ids=as_ids(ids),
        with_images=with_images,
        repo=repo,
        reasoning_tags=tags,
    )
    chat = Chat(
        model,
        base_url,
        cache_dir=out / "replies",
        parallel=parallel,
        prices=prices,
        max_cost=max_cost,
        extra_body=as_extra_body(extra_body),
    )
    say(chat.estimate(requests(match, evidences)).told(), err=True)
    found = judge_pairs(match, chat, out, num_evidences=evidences, reasoning_tags=tags, progress=progress)
    say(json.dumps(found, ensure_ascii=False) if as_json else verdict_table(found))


@app.command(rich_help_panel=SCORE)
def report(
    runs: Annotated[
        list[Path], Argument(help="Folders of predictions, scores, verdicts, trainings; or one that holds them.")
    ],
    out: Annotated[Path, Option(help="The HTML file to write.")] = Path("report.html"),
    figures: Annotated[Path | None, Option(help="Draw gpt4_eval.png and case_study.png into this folder, too.")] = None,
    repo: PicturesFrom = None,
) -> None:
    """One HTML page about runs, that opens offline.

    Example: m3it report eval --out report.html --figures imgs"""
    from m3it.showing.report import report as write_report

    for problem in write_report(runs, out, repo=repo, figures=figures):
        say(f"pictures not shown, {problem}", err=True)
    say(out)


@app.command(rich_help_panel=SCORE)
def evaluate(
    model: Annotated[str, Option(help="Hub id or folder; with --base-url the server's name for the model.")],
    config: Annotated[list[str], Option(help="Config name, e.g. viquae; may be given several times.")],
    out: Annotated[Path, Option(help="Folder of predictions/, scores/, figures/ and report.html.")],
    repo: Repo = None,
    split: Annotated[str | None, split_option("test, else validation")] = None,
    limit: Limit = None,
    base_url: Annotated[str | None, Option(help="Ask this OpenAI-compatible server.")] = None,
    batch_size: BatchSize = 8,
    max_tokens: Annotated[int, Option(help="Longest answer, in tokens.", min=1, max=1_000_000)] = 256,
    parallel: Parallel = 8,
    on_error: OnError = "raise",
    reasoning_tags: ReasoningTags = None,
    extra_body: ExtraBody = None,
) -> None:
    """Predict, score and report in one go; on all GPUs: accelerate launch -m m3it evaluate ...

    Example: m3it evaluate --model runs/tiny --config shapes --out eval"""
    from m3it.evaluating.tables import score_table
    from m3it.showing.evaluate import evaluate as predict_score_report

    scores, problems = predict_score_report(
        model,
        config,
        out,
        repo=default_repo(repo),
        split=split,
        limit=limit,
        base_url=base_url,
        batch_size=batch_size,
        max_tokens=max_tokens,
        parallel=parallel,
        on_error=on_error,
        reasoning_tags=reasoning_tags or None,
        extra_body=as_extra_body(extra_body),
        progress=progress,
    )
    for problem in problems:
        say(f"pictures not shown, {problem}", err=True)
    if scores:
        say(f"{score_table(scores)}\n{out / 'report.html'}")


@app.command(rich_help_panel=SCORE)
def demo(
    model: Annotated[
        list[str] | None,
        Option(help="Hub id or folder, or a server's name for a model. Twice: a blind comparison of two."),
    ] = None,
    base_url: Annotated[
        str | None, Option(help="OpenAI-compatible server, for each model that is no folder here.")
    ] = None,
    repo: Annotated[
        str | None, Option(help="Take rows of it. Default: this folder where data/ holds rows, else none.")
    ] = None,
    out: Annotated[Path, Option(help="Folder for votes.jsonl, of two models.")] = Path("votes"),
    port: Port = 7860,
    max_tokens: Annotated[int, Option(help="Longest answer, in tokens.", min=1, max=1_000_000)] = 256,
    space: Annotated[
        Path | None, Option(help="Open nothing: write a Hugging Face Space that asks a model of the Hub.")
    ] = None,
) -> None:
    """A model asked about pictures, in the browser.

    Example: m3it demo --model quickstart/tiny"""
    names = model or []
    if space:
        from m3it.showing.demo.space import write_space

        if base_url or repo or len(names) > 1:
            raise typer.BadParameter("--space goes with one --model, and with neither --base-url nor --repo")
        write_space(space, names[0] if names else None)
        say(f"{space}: a Space. Look at it, then: hf upload NAME {shlex.quote(str(space))} --repo-type space")
        return
    if not 0 < len(names) < 3 or len(set(names)) < len(names):
        raise typer.BadParameter("--model: expected one model, or two different ones to compare")
    from m3it.evaluating.votes import ballots_in
    from m3it.showing.browse.pages import Pages
    from m3it.showing.demo.app import build
    from m3it.showing.demo.rounds import load_models
    from m3it.showing.door import load_gradio, serve

    load_gradio("demo")
    where = repo or ("." if holds_rows() else None)
    pages = Pages(where) if where else None
    with ballots_in(out) if len(names) > 1 else nullcontext() as ballots:
        page = build(load_models(names, base_url, max_tokens), pages, ballots)
        serve(page, port, lambda url: say(f"{url}  (Ctrl-C ends it)"))
