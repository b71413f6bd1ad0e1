"""Rows and repositories, looked at and checked."""

import json
import textwrap
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Exit, Option

from m3it.commands.options import (
    MOST,
    READ,
    Fields,
    Ids,
    Json,
    License,
    Limit,
    Port,
    Repo,
    app,
    as_fields,
    as_ids,
    default_repo,
    progress,
    say,
    split_option,
)
from m3it.work.terminal import as_size, columns

TABLE_COLUMNS = 129  # of the longest line of `m3it list`


@app.command("list", rich_help_panel=READ)
def list_(
    task: Annotated[str | None, Option(help="Only this task, e.g. vqa.")] = None,
    language: Annotated[str | None, Option(help="Only this language, e.g. zh.")] = None,
    license: License = None,
    as_json: Json = False,
) -> None:
    """List the datasets: task, language, sizes, licenses.

    Example: m3it list --task kvqa"""
    from M3IT import CATALOGUE, LANGUAGES
    from m3it.catalogue import OWN_IMAGE_LICENSES, why_not_commercial

    if task not in (None, *(d.task for d in CATALOGUE.values())):
        raise typer.BadParameter(
            f"--task {task}: expected one of {', '.join(dict.fromkeys(d.task for d in CATALOGUE.values()))}"
        )
    if language not in (None, *LANGUAGES, *(d.language for d in CATALOGUE.values())):
        raise typer.BadParameter(f"--language {language}: expected en or one of {', '.join(LANGUAGES)}")
    spoken = {d.name: [d.language, *(LANGUAGES if d.translated else [])] for d in CATALOGUE.values()}
    rows = [d for d in CATALOGUE.values() if task in (None, d.task) and language in (None, *spoken[d.name])]
    rows = [d for d in rows if license is None or not why_not_commercial(d.name)]
    if as_json:
        say(json.dumps([d._asdict() for d in rows], ensure_ascii=False))
        return
    head = ("dataset", "task", "language", "train", "validation", "test", "license of annotations / pictures")
    table = "{:<27}{:<15}{:<13}{:>8}{:>11}{:>8}  {}"
    narrow = "{}: {}, {}; {} train, {} validation, {} test; {}"
    width = columns(TABLE_COLUMNS)
    if width == TABLE_COLUMNS:
        say(table.format(*head))
    for d in rows:
        kind = f"{d.language}{' +80' if d.translated else ''}{' video' if d.modality == 'video' else ''}"
        sizes = (f"{number:,}" for number in (d.train, d.validation, d.test))
        cells = (d.name, d.task, kind, *sizes, f"{d.license} / {d.image_license}")
        if width == TABLE_COLUMNS:
            say(table.format(*cells))
        else:
            say(textwrap.fill(narrow.format(*cells), width, subsequent_indent="  "))
    if license and (by_row := [d.name for d in rows if d.name in OWN_IMAGE_LICENSES]):
        say(f"Of {', '.join(by_row)} the rows whose pictures have licenses of their own that allow it.", err=True)


@app.command(rich_help_panel=READ)
def show(
    config: Annotated[str, Argument(help="Config name, e.g. viquae or okvqa-zh.")],
    repo: Repo = None,
    split: Annotated[str | None, split_option("the first that there is")] = None,
    limit: Limit = 3,
    ids: Ids = None,
    images: Annotated[Path | None, Option(help="Draw the rows into this PNG file, too.")] = None,
    model: Annotated[str | None, Option(help="With --html: show what this model sees of the rows.")] = None,
    html: Annotated[Path | None, Option(help="The page to write: prompts token by token, pictures as scaled.")] = None,
    max_length: Annotated[
        int | None, Option(help="Tokens of a row. Default: what the model can take.", min=1, max=MOST)
    ] = None,
    pack: Annotated[bool, Option("--pack", help="With --html: also the packed sequences, with their masks.")] = False,
    share_pictures: Annotated[
        bool, Option("--share-pictures", help="The same, of rows that have a picture once.")
    ] = False,
    fields: Fields = None,
    as_json: Json = False,
) -> None:
    """Rows of a config as text, as a picture, or as a model sees them.

    Example: m3it show viquae --images rows.png

    Example: m3it show viquae --model quickstart/tiny --html seen.html --pack"""
    from M3IT import M3ITError, id_of
    from m3it.reading.load import load_builder
    from m3it.showing.rows import contact_sheet, row_text, rows_of

    if (model is None) != (html is None):
        raise typer.BadParameter("expected --model and --html together: what a model sees is written as a page")
    if (pack or share_pictures) and html is None:
        name = "--pack" if pack else "--share-pictures"
        raise typer.BadParameter(f"{name} goes with --model and --html: packed rows are shown on the page")
    builder = load_builder(default_repo(repo), config, meta=True, fields=as_fields(fields))
    splits = builder.shards(builder.config.name)
    if split is not None and split not in splits:
        raise M3ITError(f"{builder.config.name} has no split {split!r}; it has {', '.join(splits)}.")
    wanted = as_ids(ids)
    if wanted is None:
        rows = list(islice(builder.rows(split or next(iter(splits))), limit))
    else:
        rows = rows_of(builder, [split] if split else list(splits), wanted)
    if not rows:
        say(f"{builder.config.name}: the split has no rows.", err=True)
    if as_json:
        say(json.dumps(rows, ensure_ascii=False))
    else:
        say("\n\n".join(row_text(row, columns(100)) for row in rows))
    if images:
        number = contact_sheet([{**row, "title": f"{config} {id_of(row)}"} for row in rows], images)
        say(f"{number} rows drawn into {images}", err=True)
    if model and html:
        from m3it.showing.seen import write_page

        write_page(model, config, rows, html, max_length, pack, share_pictures)
        say(html, err=True)


@app.command(rich_help_panel=READ)
def browse(
    repo: Repo = None,
    predictions: Annotated[
        list[Path] | None, Option(help="Folder that m3it predict wrote, to show beside the rows; may be repeated.")
    ] = None,
    port: Port = 7860,
) -> None:
    """Rows in the browser, on this machine alone.

    Example: m3it browse --predictions predictions"""
    from m3it.showing.browse.app import build
    from m3it.showing.browse.pages import Pages
    from m3it.showing.door import serve

    serve(build(Pages(default_repo(repo), predictions or [])), port, lambda url: say(f"{url}  (Ctrl-C ends it)"))


@app.command(rich_help_panel=READ)
def check(
    paths: Annotated[list[str] | None, Argument(help="Repositories: folders, URLs or Hub ids.")] = None,
    config: Annotated[str | None, Option(help="Only this config.")] = None,
    against: Annotated[str | None, Option(help="Compare all rows with those of this repository, of any kind.")] = None,
    fields: Fields = None,
    as_json: Json = False,
) -> None:
    """Every row against the contracts, every file against the Hub's rules; exit 1 on an error.

    Of a published repository (M3IT, M3IT-80): how each config is read, and its first row.

    Example: m3it check ."""
    from M3IT import M3ITError, Repository
    from m3it.publishing.check import check as check_repository
    from m3it.publishing.check import compare, quiet

    reports, tell = [], quiet if as_json else say
    for path in paths or [default_repo(None)]:
        if against:
            report = compare(path, against, config, as_fields(fields), tell=tell)
        else:
            shown = partial(progress, leave=False)
            report = check_repository(Repository(path), config, as_fields(fields), tell=tell, progress=shown)
        if not any(report):
            raise M3ITError(f"{path}: no shards found below data/{f' for config {config!r}' if config else ''}.")
        reports.append(report)
    findings = [finding for report in reports for finding in report.findings]
    readings = [reading for report in reports for reading in report.readings]
    counts = [(*place, number) for report in reports for place, number in report.counts.items()]
    if as_json:
        found = {"findings": [finding._asdict() for finding in findings], "rows": counts}
        found["readings"] = [reading._asdict() for reading in readings]
        say(json.dumps(found, ensure_ascii=False))
    else:
        rows = sum(number for *_, number in counts) + sum(reading.row is not None for reading in readings)
        configs = {name for name, *_ in (*counts, *readings)}
        done = "the same in both" if against else "read"
        say(f"{rows:,} rows of {len(configs)} configs {done}, {len(findings)} findings", err=bool(findings))
    if any(finding.level == "error" for finding in findings):
        raise Exit(1)


@app.command(rich_help_panel=READ)
def cache(
    clear: Annotated[list[str] | None, Option(help="Remove all of this kind, may be repeated; or all.")] = None,
    as_json: Json = False,
) -> None:
    """What m3it keeps in the cache of `datasets`, by kind.

    Example: m3it cache --clear files --clear indexes"""
    from m3it.work import cache

    if unknown := {*(clear or ())} - {*cache.KINDS, "all"}:
        raise typer.BadParameter(f"--clear {min(unknown)}: expected all, {', '.join(cache.KINDS)}")
    kinds = [kind for kind in cache.KINDS if not clear or kind in clear or "all" in clear]
    held = [cache.clear(kind) if clear else cache.measure(kind) for kind in kinds]
    if as_json:
        say(json.dumps([one._asdict() for one in held], default=datetime.isoformat))
        return
    say(f"{'kind':<13}{'files':>8}{'size':>10}{'oldest':>12}{'newest':>12}  {'removed' if clear else 'holds'}")
    for one in held:
        ages = f"{as_age(one.oldest):>12}{as_age(one.newest):>12}"
        say(f"{one.kind:<13}{one.num_files:>8,}{as_size(one.num_bytes):>10}{ages}  {one.holds}")
    num_files, num_bytes = sum(one.num_files for one in held), sum(one.num_bytes for one in held)
    say(f"{'in all':<13}{num_files:>8,}{as_size(num_bytes):>10}{'':24}  {Path(held[0].folder).parent}")


def as_age(written: datetime | None) -> str:
    """How long ago that was, in its largest whole unit; "-" for never."""
    if written is None:
        return "-"
    seconds = int((datetime.now(timezone.utc) - written).total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            number = seconds // length
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return "now"
