"""Shards released, described and counted."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Exit, Option

from m3it.commands.options import (
    MAKE,
    Cluster,
    Configs,
    Exclude,
    Fields,
    Json,
    License,
    OnError,
    Repo,
    Workers,
    app,
    as_bytes,
    as_drops,
    as_fields,
    default_repo,
    progress,
    say,
)
from m3it.work.terminal import as_size


@app.command(rich_help_panel=MAKE)
def release(
    repo: Annotated[str, Argument(help="Folder, URL or Hub id, of any layout.")],
    out: Annotated[str, Option(help="Folder or URL of the release.")],
    format: Annotated[
        str,
        Option(help="parquet; for other tools messages, llava, webdataset; jsonl: a card for JSON Lines as they lie."),
    ] = "parquet",
    images: Annotated[str, Option(help="native: image files alone; base64: base64 strings alone; both.")] = "both",
    config: Configs = None,
    shard_size: Annotated[str, Option(help="How much of the source goes into one file.")] = "400MB",
    on_error: OnError = "raise",
    fields: Fields = None,
    corrections: Annotated[str | None, Option(help="TSV file of corrected texts.")] = None,
    exclude: Exclude = None,
    license: License = None,
    ratings: Annotated[
        list[str] | None, Option(help="Put the ratings of a file of m3it rate into columns; may be repeated.")
    ] = None,
    workers: Workers = 1,
    cluster: Cluster = None,
    push: Annotated[
        str | None, Option(metavar="ORG/NAME", help="Say what an upload to the Hub would send; with --yes, send it.")
    ] = None,
    yes: Annotated[bool, Option("--yes", help="Send what --push says. A new repository is private.")] = False,
) -> None:
    """Write rows as Parquet that plain `datasets` loads and the Hub shows, or as other tools read them.

    Example: m3it release . --out release"""
    from M3IT import Repository
    from m3it.publishing.check import check as check_repository
    from m3it.publishing.formats import FORMATS
    from m3it.publishing.push import refuse_name
    from m3it.publishing.release import ACCEPTED_FORMATS, KINDS_BY_IMAGES, upload_line
    from m3it.publishing.release import release as release_repository

    for option, given, known in (("format", format, ACCEPTED_FORMATS), ("images", images, KINDS_BY_IMAGES)):
        if given not in known:
            raise typer.BadParameter(f"--{option} {given}: expected {', '.join(known)}")
    if (yes and not push) or (push and (format == "jsonl" or "://" in out)):
        raise typer.BadParameter("expected --push ORG/NAME with --yes, with rows in the release, in a local folder")
    if push:
        refuse_name(push)  # before the work
    run = release_repository(
        repo,
        out,
        config or None,
        format=format,
        images=images,
        shard_bytes=as_bytes(shard_size),
        on_error=on_error,
        fields=as_fields(fields),
        corrections=corrections,
        exclude=None if exclude is None else str(exclude),
        license=license,
        ratings=ratings or (),
        workers=workers,
        cluster=cluster,
        progress=progress,
    )
    say_proof(run)
    if format == "jsonl":  # a card alone
        return
    if format not in FORMATS or FORMATS[format].HAS_CONFIGS:  # else there are none whose rules to check
        report = check_repository(Repository(out), tell=partial(say, err=True))
        if any(finding.level == "error" for finding in report.findings):
            raise Exit(1)
    if push:
        push_release(out, push, yes)
    else:
        say(upload_line(out))


def say_proof(run: dict[str, Any]) -> None:
    """Say what run.json of a release holds: what was corrected, left out and rated, and each split's rows and
    digest."""
    if counted := run.get("corrections"):
        left = ", ".join(f"{name} {row_id}" for name, ids in counted["no_such_row"].items() for row_id in ids)
        say(f"{counted['num_rows']:,} rows corrected" + (f"; no such row: {left}" if left else ""))
    if counted := run.get("exclude"):
        strange = f"; {counted['no_such_row']:,} more are not here: is it the list of another release?"
        say(f"{counted['num_rows']:,} rows of the drop list left out{strange if counted['no_such_row'] else ''}")
    if counted := run.get("ratings"):
        strange = f"; ratings of rows that are not in this release: {counted['no_such_row']:,}"
        told = f"{counted['num_rows']:,} rows rated, {counted['unrated']:,} not"
        say(told + strange * bool(counted["no_such_row"]))
    for name, reason in run.get("license", {}).get("left_out", {}).items():
        say(f"{name}: left out, none of its rows is for commercial use: {reason}")
    for split, proof in run["splits"].items():
        out_of_in = f"{proof['rows_in']:,} rows in, {proof['rows_out']:,} out{as_drops(proof['drops'])}"
        say(f"{split}: {out_of_in}, {proof['digest'][:16]}")
    say(f"digest of all: {run['digest']}")


def push_release(out: str, repo_id: str, yes: bool) -> None:
    """Say what a push sends; send it, if it is meant."""
    from m3it.publishing.push import plan_push, push

    plan = plan_push(out, repo_id)
    size = as_size(sum(plan.files.values()))
    say(f"{repo_id}: {len(plan.files):,} files, {size}, in up to {plan.num_requests:,} requests")
    if not yes:
        say("Nothing was sent: add --yes to send them.")
        return
    pushed = push(plan)
    if pushed.others:
        few = ", ".join(pushed.others[:5]) + ", ..." * (len(pushed.others) > 5)
        say(f"{len(pushed.others):,} files lie there that are not of this release: {few}", err=True)
    say(f"{pushed.url}: all files are there. A new repository is private, until its settings say otherwise.")


@app.command(rich_help_panel=MAKE)
def card(
    folder: Annotated[Path, Argument(help="A repository's folder, with data/ and README.md.")] = Path("."),
    check: Annotated[
        bool, Option("--check", help="Write nothing; exit 1 and show the difference if something is out of date.")
    ] = False,
) -> None:
    """Measure data/ into dataset_infos.json and render README's head and tables.

    Example: m3it card --check"""
    from m3it.publishing.repository_card import card as render_card

    diffs = render_card(folder, check, partial(progress, leave=False))
    files = f"{len(diffs)} file{'' if len(diffs) == 1 else 's'} {'out of date' if check else 'written'}"
    say("\n".join(diffs) if check and diffs else files)
    if check and diffs:
        raise Exit(1)


@app.command(rich_help_panel=MAKE)
def stats(
    repo: Repo = None,
    figures: Annotated[Path | None, Option(help="Draw the figures into this folder, too.")] = None,
    as_json: Json = False,
) -> None:
    """Instructions, rows, answers, pictures, licenses, counted.

    Example: m3it stats --figures imgs"""
    from m3it.showing.figures import draw_figures
    from m3it.showing.stats import all_stats, stats_text

    measured = all_stats(default_repo(repo))
    say(json.dumps(measured, ensure_ascii=False) if as_json else stats_text(measured))
    if figures:
        for path in draw_figures(measured, default_repo(repo), figures):
            say(f"{path} drawn", err=True)
