"""Rows and repositories, looked at and checked."""

import json
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Exit, Option

from m3it.commands.options import (
    READ,
    Fields,
    Json,
    Repo,
    app,
    as_fields,
    default_repo,
    progress,
)
from m3it.rows.instance import M3ITError


@app.command("list", rich_help_panel=READ)
def list_(
    task: Annotated[str | None, Option(help="Only this task, e.g. vqa.")] = None,
    language: Annotated[str | None, Option(help="Only this language, e.g. zh.")] = None,
    license: Annotated[
        str | None, Option(help="'commercial': only datasets whose annotations and pictures both allow it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The datasets, what they are and what is known of their terms.   Example: m3it list --task kvqa"""
    from M3IT import CATALOGUE, LANGUAGES
    from m3it.catalogue import allows_commercial_use

    if license not in (None, "commercial"):
        raise typer.BadParameter(f"--license {license}: expected 'commercial'")
    if task not in (None, *(d.task for d in CATALOGUE.values())):
        raise typer.BadParameter(
            f"--task {task}: expected one of {', '.join(dict.fromkeys(d.task for d in CATALOGUE.values()))}"
        )
    if language not in (None, *LANGUAGES, *(d.language for d in CATALOGUE.values())):
        raise typer.BadParameter(f"--language {language}: expected en or one of {', '.join(LANGUAGES)}")
    spoken = {d.name: [d.language, *(LANGUAGES if d.translated else [])] for d in CATALOGUE.values()}
    rows = [d for d in CATALOGUE.values() if task in (None, d.task) and language in (None, *spoken[d.name])]
    rows = [d for d in rows if license is None or allows_commercial_use(d)]
    if as_json:
        typer.echo(json.dumps([d._asdict() for d in rows], ensure_ascii=False))
        return
    head = ("dataset", "task", "language", "train", "validation", "test", "license of annotations / pictures")
    typer.echo("{:<27}{:<15}{:<10}{:>8}{:>11}{:>8}  {}".format(*head))
    for d in rows:
        kind = f"{d.language}{' +80' if d.translated else ''}{' video' if d.modality == 'video' else ''}"
        sizes = f"{d.train:>8,}{d.validation:>11,}{d.test:>8,}"
        typer.echo(f"{d.name:<27}{d.task:<15}{kind:<10}{sizes}  {d.license} / {d.image_license}")


@app.command(rich_help_panel=READ)
def show(
    config: Annotated[str, Argument(help="Config name, e.g. viquae or okvqa-zh.")],
    repo: Repo = None,
    split: Annotated[str | None, Option(help="train, validation or test. Default: the first that there is.")] = None,
    limit: Annotated[int, Option(help="How many rows.", min=1)] = 3,
    images: Annotated[Path | None, Option(help="Draw the rows into this PNG file, too.")] = None,
    fields: Fields = None,
    as_json: Json = False,
) -> None:
    """Rows of a config as text, or as a picture.   Example: m3it show viquae --images rows.png"""
    from M3IT import id_of
    from m3it.reading.load import load_builder
    from m3it.showing.rows import contact_sheet, row_text

    builder = load_builder(default_repo(repo), config, meta=True, fields=as_fields(fields))
    splits = builder.shards(builder.config.name)
    if split is not None and split not in splits:
        raise M3ITError(f"{builder.config.name} has no split {split!r}; it has {', '.join(splits)}.")
    rows = list(islice(builder.rows(split or next(iter(splits))), limit))
    if not rows:
        typer.echo(f"{builder.config.name}: the split has no rows.", err=True)
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
    else:
        typer.echo("\n\n".join(row_text(row) for row in rows))
    if images:
        number = contact_sheet([{**row, "title": f"{config} {id_of(row)}"} for row in rows], images)
        typer.echo(f"{number} rows drawn into {images}", err=True)


@app.command(rich_help_panel=READ)
def check(
    paths: Annotated[list[str] | None, Argument(help="Repositories: folders, URLs or Hub ids.")] = None,
    config: Annotated[str | None, Option(help="Only this config.")] = None,
    against: Annotated[str | None, Option(help="Compare all rows with those of this repository, of any kind.")] = None,
    fields: Fields = None,
    as_json: Json = False,
) -> None:
    """Every row against the contracts, every file against the Hub's rules; exit 1 on an error. Of a published
    repository (M3IT, M3IT-80): how each config is read, and its first row.   Example: m3it check ."""
    from M3IT import Repository
    from m3it.publishing.check import check as check_repository
    from m3it.publishing.check import compare
    from m3it.publishing.hub_rules import Finding
    from m3it.reading.layouts import Reading, describe

    findings: list[Finding] = []
    readings: list[Reading] = []
    counts: list[tuple[str, str, int]] = []
    for path in paths or [default_repo(None)]:
        empty = True
        results: Iterator[Any] = check_repository(
            Repository(path), config, as_fields(fields), partial(progress, leave=False)
        )
        if against:
            results = compare(path, against, config, as_fields(fields))
        for result in results:
            empty = False
            if isinstance(result, Finding):
                findings.append(result)
                text = str(result)
            elif isinstance(result, Reading):
                readings.append(result)
                text = describe(result)
            else:
                counts.append(result)
                continue
            if not as_json:
                typer.echo(text)
        if empty:
            raise M3ITError(f"{path}: no shards found below data/{f' for config {config!r}' if config else ''}.")
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "findings": [f._asdict() for f in findings],
                    "rows": [list(count) for count in counts],
                    "readings": [reading._asdict() for reading in readings],
                },
                ensure_ascii=False,
            )
        )
    else:
        rows = sum(number for _, _, number in counts) + sum(reading.row is not None for reading in readings)
        configs = {name for name, *_ in (*counts, *readings)}
        done = "the same in both" if against else "read"
        typer.echo(f"{rows:,} rows of {len(configs)} configs {done}, {len(findings)} findings", err=bool(findings))
    if any(finding.level == "error" for finding in findings):
        raise Exit(1)
