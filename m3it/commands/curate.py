"""Rows looked at critically: what stands twice, what leaks, what is odd."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from m3it.commands.options import (
    CURATE,
    MOST,
    BaseUrl,
    Cluster,
    Configs,
    ExtraBody,
    Ids,
    Json,
    MaxCost,
    OnError,
    Parallel,
    Prices,
    ReasoningTags,
    Repo,
    Workers,
    app,
    as_drops,
    as_extra_body,
    as_ids,
    default_repo,
    progress,
    say,
    split_option,
)

Repos = Annotated[list[str], Argument(help="Folders, URLs or Hub ids, of any layout.")]
Prints = Annotated[
    list[str], Argument(help="Folders that m3it fingerprint wrote; or repositories, which are fingerprinted first.")
]


@app.command(rich_help_panel=CURATE)
def fingerprint(
    repos: Repos,
    out: Annotated[str, Option(help="Folder or URL for the prints; a second call reads what is new.")],
    config: Configs = None,
    on_error: OnError = "raise",
    workers: Workers = 1,
    cluster: Cluster = None,
) -> None:
    """A small Parquet by which pictures and questions are known again.

    Example: m3it fingerprint . --out prints"""
    from m3it.curating.fingerprint import fingerprint as fingerprint_repos

    run = fingerprint_repos(repos, out, config, on_error=on_error, workers=workers, cluster=cluster, progress=progress)
    drops: dict[str, int] = {}
    for file in run["files"].values():
        drops = {reason: drops.get(reason, 0) + file["drops"].get(reason, 0) for reason in {**drops, **file["drops"]}}
    files = run["files"].values()
    num_rows, num_bytes = (sum(file[name] for file in files) for name in ("num_rows", "num_bytes"))
    say(f"{num_rows:,} rows in {len(files):,} files, {num_bytes:,} bytes{as_drops(drops)}")


@app.command(rich_help_panel=CURATE)
def leaks(
    prints: Prints,
    out: Annotated[Path, Option(help="Folder for leaks.json, drop.jsonl, matrix.png and pairs.png.")] = Path("leaks"),
    train: Annotated[
        list[str] | None,
        Option(help="A split, config or okvqa/train that is trained on, may be repeated. Default: train."),
    ] = None,
    evaluation: Annotated[
        list[str] | None, Option("--eval", help="What is evaluated on. Default: validation and test.")
    ] = None,
    workers: Workers = 1,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Training rows whose pictures or questions are in evaluation splits.

    Example: m3it leaks prints --out leaks"""
    from m3it.curating.known import read_known
    from m3it.curating.leaks import leaks as find_leaks
    from m3it.curating.leaks import matrix_text

    known = read_known(prints, out, workers=workers, cluster=cluster, progress=progress)
    report = find_leaks(known, out, train, evaluation)
    say(json.dumps(report, ensure_ascii=False) if as_json else matrix_text(report))
    sheet = "" if "not_drawn" in report else f"; look at {out / 'pairs.png'}"
    say(f"drop list: {out / 'drop.jsonl'}{sheet}", err=True)


@app.command(rich_help_panel=CURATE)
def duplicates(
    prints: Prints,
    out: Annotated[Path, Option(help="Folder for duplicates.json and drop.jsonl.")] = Path("duplicates"),
    workers: Workers = 1,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Rows that stand there twice, and answers that conflict.

    Example: m3it duplicates prints"""
    from m3it.curating.duplicates import conflicts_text, duplicates_text, find_groups
    from m3it.curating.duplicates import duplicates as write_duplicates
    from m3it.curating.known import read_known

    known = read_known(prints, out, workers=workers, cluster=cluster, progress=progress)
    groups = find_groups(known)
    report = write_duplicates(known, groups, out)
    if as_json:
        say(json.dumps(report, ensure_ascii=False))
        return
    say(duplicates_text(report))
    if conflicts := groups["conflict"]:
        say(f"the first conflicts:\n{conflicts_text(known, conflicts)}")
    say(f"drop list: {out / 'drop.jsonl'}", err=True)


@app.command(rich_help_panel=CURATE)
def quality(
    repos: Repos,
    out: Annotated[str, Option(help="Folder or URL for quality.json and all flags; a second call reads what is new.")],
    config: Configs = None,
    drop: Annotated[
        list[str] | None, Option(help="Write the rows that this rule flags to drop.jsonl; may be repeated.")
    ] = None,
    on_error: OnError = "raise",
    workers: Workers = 1,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Rows that are odd by simple rules: blurred, empty, cut off, in another script.

    Example: m3it quality . --out quality --drop no_answer"""
    from m3it.curating.flags import flag_rows, quality_text
    from m3it.curating.quality import RULES

    if unknown := [rule for rule in drop or () if rule not in RULES]:
        raise typer.BadParameter(f"--drop {unknown[0]}: expected one of {', '.join(RULES)}")
    work: dict[str, Any] = {"on_error": on_error, "workers": workers, "cluster": cluster}
    found = flag_rows(repos, out, config, drop=drop or (), **work, progress=progress)
    say(json.dumps(found) if as_json else quality_text(found))


@app.command(rich_help_panel=CURATE)
def rate(
    config: Annotated[str, Argument(help="Config name, e.g. viquae.")],
    model: Annotated[str, Option(help="The server's name for the model that rates.")],
    out: Annotated[Path, Option(help="Folder for ratings.jsonl, rate.json and all replies.")],
    base_url: BaseUrl = None,
    repo: Repo = None,
    split: Annotated[str | None, split_option("train, else the first that there is")] = None,
    limit: Annotated[int | None, Option(help="Rows, chosen by hash.", min=1, max=MOST)] = None,
    ids: Ids = None,
    drop_below: Annotated[
        int | None, Option(help="Write rows with a rating below this to drop.jsonl.", min=2, max=5)
    ] = None,
    on_error: OnError = "raise",
    parallel: Parallel = 8,
    prices: Prices = None,
    max_cost: MaxCost = None,
    reasoning_tags: ReasoningTags = None,
    extra_body: ExtraBody = None,
    as_json: Json = False,
) -> None:
    """What a model thinks of rows, 1 to 5: the picture fits, the answer follows.

    Example: m3it rate viquae --model gpt-4o --limit 100 --out ratings"""
    from m3it.curating.rate import Rows, rate_text
    from m3it.curating.rate import rate as rate_rows
    from m3it.work.chat import Chat

    rows = Rows(default_repo(repo), config, split, limit=limit, ids=as_ids(ids), on_error=on_error)
    paid: dict[str, Any] = {"prices": prices, "max_cost": max_cost, "extra_body": as_extra_body(extra_body)}
    chat = Chat(model, base_url, cache_dir=out / "replies", parallel=parallel, **paid)
    say(chat.estimate(rows.requests()).told(), err=True)
    found = rate_rows(rows, chat, out, drop_below=drop_below, reasoning_tags=reasoning_tags, progress=progress)
    say(json.dumps(found, ensure_ascii=False) if as_json else rate_text(found))
