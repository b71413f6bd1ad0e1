"""What sets hold twice, found and listed."""

import json
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from m3it.commands.options import CURATE, Cluster, Configs, Json, OnError, Workers, app, as_drops, progress, say

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
    say(f"drop list: {out / 'drop.jsonl'}; look at {out / 'pairs.png'}", err=True)


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
    from m3it.curating.duplicates import conflicts_text, duplicates_text
    from m3it.curating.duplicates import duplicates as find_duplicates
    from m3it.curating.known import read_known

    known = read_known(prints, out, workers=workers, cluster=cluster, progress=progress)
    report = find_duplicates(known, out)
    if as_json:
        say(json.dumps(report, ensure_ascii=False))
        return
    say(duplicates_text(report))
    if groups := report["groups"]["conflict"]:
        say(f"the first conflicts:\n{conflicts_text(known, groups)}")
    say(f"drop list: {out / 'drop.jsonl'}", err=True)
