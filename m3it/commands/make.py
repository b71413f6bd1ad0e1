"""Shards made, rewritten, translated and released."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Exit, Option

from m3it.commands.options import (
    MAKE,
    Fields,
    Json,
    Repo,
    app,
    as_bytes,
    as_fields,
    default_repo,
    progress,
)


@app.command(rich_help_panel=MAKE)
def convert(
    dataset: Annotated[str | None, Argument(help="Dataset name, e.g. okvqa.")] = None,
    root: Annotated[
        Path | None, Option(help="Folder that holds the source files, as downloaded (zip and tar are read in place).")
    ] = None,
    split: Annotated[str | None, Option(help="train, validation or test. Default: all that are published.")] = None,
    limit: Annotated[int | None, Option(help="Take only so many rows of a split, drops counted.", min=1)] = None,
    out: Annotated[Path, Option(help="Repository to write into: its data/<task>/<dataset>/.")] = Path("."),
    on_error: Annotated[
        str, Option(help="raise, or drop: leave out rows whose pictures cannot be read, count and list them.")
    ] = "raise",
    frames: Annotated[int, Option(help="Frames of a clip.", min=1)] = 8,
    workers: Annotated[int, Option(help="Processes.", min=1)] = 1,
    cluster: Annotated[str | None, Option(help="Address of a Dask scheduler, in place of --workers.")] = None,
    converter: Annotated[str | None, Option(help="A converter of your own, my_set.py:convert, with --name.")] = None,
    name: Annotated[str | None, Option(help="Config name of a converter of your own.")] = None,
    task: Annotated[str, Option(help="Task folder of a converter of your own.")] = "vqa",
) -> None:
    """Turn the source files of a dataset into shards.   Example: m3it convert okvqa --root ~/okvqa"""
    from m3it.catalogue import catalogue_row
    from m3it.making.convert import convert as convert_dataset
    from m3it.making.convert import source_root

    if on_error not in ("raise", "drop"):
        raise typer.BadParameter(f"--on-error {on_error}: expected raise or drop")
    config = dataset or name
    if config is None or (dataset and name) or bool(name) != bool(converter):
        raise typer.BadParameter("expected the name of a dataset, or --converter together with --name")
    if dataset:
        catalogue_row(dataset)  # a wrong name is said before a missing --root
    run = convert_dataset(
        config,
        source_root(config, root, out),
        out,
        [split] if split else None,
        limit=limit,
        on_error=on_error,
        num_frames=frames,
        workers=workers,
        cluster=cluster,
        converter=converter,
        task=task if name else None,
        progress=progress,
    )
    for file, made in run["files"].items():
        dropped = "".join(f", {number} dropped: {reason}" for reason, number in made["drops"].items())
        typer.echo(f"{file}: {made['num_rows']:,} rows, {made['num_bytes']:,} bytes{dropped}")


@app.command(rich_help_panel=MAKE)
def rephrase(
    shards: Annotated[list[Path], Argument(help="Shards, e.g. data/kvqa/okvqa/train.jsonl.")],
    model: Annotated[str, Option(help="The server's name for the model.")],
    base_url: Annotated[str | None, Option(help="OpenAI-compatible server. Default: OpenAI's.")] = None,
    out: Annotated[Path, Option(help="Repository for the new shards.")] = Path("rephrased"),
    limit: Annotated[int | None, Option(help="Stop after this many rows of a shard.")] = None,
    parallel: Annotated[int, Option(help="Requests at a time.")] = 8,
    prices: Annotated[tuple[float, float] | None, Option(help="Of a million tokens in and out.")] = None,
    max_cost: Annotated[float | None, Option(help="Stop before the request that may exceed it.")] = None,
) -> None:
    """Rewrite short answers into sentences.   Example: m3it rephrase data/kvqa/okvqa/train.jsonl --model qwen"""
    from m3it.making.rephrase import rephrase_shard
    from m3it.work.chat import Chat

    chat = Chat(model, base_url, parallel=parallel, prices=prices, max_cost=max_cost)
    for shard in shards:
        counts = rephrase_shard(shard, out, chat, limit, progress)
        told = ", ".join(f"{number:,} {what}" for what, number in counts.most_common())
        typer.echo(f"{shard}: {counts.total():,} rows; {told}")
    used = chat.usage()
    cost = "" if used["cost"] is None else f", cost {used['cost']:.4f}"
    tokens = f"{used['prompt_tokens']:,} tokens in, {used['completion_tokens']:,} out"
    typer.echo(f"{used['num_asked']:,} requests, {used['num_kept']:,} replies from disk, {tokens}{cost}", err=True)


@app.command(rich_help_panel=MAKE)
def translate(
    config: Annotated[str | None, Argument(help="Config name, e.g. okvqa.")] = None,
    to: Annotated[str, Option(help="Codes, e.g. zh,fr; sw=swh_Latn for a language beyond the 80.")] = "",
    repo: Repo = None,
    split: Annotated[str | None, Option(help="train, validation or test. Default: all.")] = None,
    backend: Annotated[str, Option(help="transformers (or nllb), ctranslate2, openai.")] = "transformers",
    model: Annotated[str, Option(help="Hub id, folder, or server's name.")] = "facebook/nllb-200-distilled-1.3B",
    base_url: Annotated[str | None, Option(help="OpenAI-compatible server. Default: OpenAI's.")] = None,
    limit: Annotated[int | None, Option(help="Only so many rows of a split.", min=1)] = None,
    out: Annotated[Path, Option(help="Repository to write into.")] = Path("translated"),
    on_error: Annotated[str, Option(help="drop, keep the source's text, or raise.")] = "drop",
    back: Annotated[int, Option(help="Translate so many texts back, for chrF.", min=0)] = 0,
    beams: Annotated[int, Option(help="Beams of the search.", min=1)] = 4,
    parallel: Annotated[int, Option(help="Requests at a time.")] = 8,
    prices: Annotated[tuple[float, float] | None, Option(help="Of a million tokens in and out.")] = None,
    max_cost: Annotated[float | None, Option(help="Stop before the request that may exceed it.")] = None,
    reasoning_tags: Annotated[
        list[str] | None, Option(help="Mark of a server's thoughts, such as think, may be repeated.")
    ] = None,
    workers: Annotated[int, Option(help="Processes.", min=1)] = 1,
    cluster: Annotated[str | None, Option(help="Address of a Dask scheduler.")] = None,
    choose: Annotated[bool, Option("--select-languages", help="Score the model on FLORES instead.")] = False,
    flores: Annotated[Path | None, Option(help="FLORES as it is published, for --select-languages.")] = None,
    threshold: Annotated[float, Option(help="spBLEU that marks a language, with --select-languages.")] = 20.0,
) -> None:
    """Rows in other languages.   Example: m3it translate okvqa --to zh,fr --out translated"""
    from m3it.translating.engines import BACKENDS, EngineSettings

    backend = {"nllb": "transformers"}.get(backend, backend)
    if backend not in BACKENDS or on_error not in ("drop", "keep", "raise"):
        raise typer.BadParameter(f"expected --backend of {', '.join(BACKENDS)}, --on-error of drop, keep, raise")
    settings = EngineSettings(backend, model, base_url, beams, parallel, prices, max_cost)
    settings = settings._replace(reasoning_tags=tuple(reasoning_tags)) if reasoning_tags else settings
    if choose != (flores is not None):
        raise typer.BadParameter("expected --select-languages and --flores DIR together")
    if flores is not None:
        from m3it.translating.flores import select_languages

        scores, signatures = select_languages(flores, settings, limit=limit)
        for s in scores:
            mark = "*" if (s.spbleu or 0) > threshold else " "
            typer.echo(f"{mark} {s.code:<4}{s.note or f'{s.spbleu:7.2f} spBLEU {s.bleu:7.2f} BLEU'}")
        above = [s.code for s in scores if (s.spbleu or 0) > threshold]
        typer.echo(f"{len(above)} above {threshold:g} spBLEU: {','.join(above) or 'none'}")
        typer.echo("\n".join(f"{name}: {value}" for name, value in signatures.items()), err=True)
        return
    if not config or not to:
        raise typer.BadParameter("expected a config and --to")
    from m3it.translating.translate import translate as translate_config

    runs = translate_config(
        config,
        [code.strip() for code in to.split(",") if code.strip()],
        settings,
        default_repo(repo),
        out,
        split=split,
        limit=limit,
        on_error=on_error,
        back=back,
        workers=workers,
        cluster=cluster,
        progress=progress,
    )
    for code, run in runs.items():
        for file, made in run["files"].items():
            dropped = "".join(f", {number} dropped: {reason}" for reason, number in made["drops"].items())
            typer.echo(f"{code}/{file}: {made['num_rows']:,} rows{dropped}")


@app.command(rich_help_panel=MAKE)
def release(
    repo: Annotated[str, Argument(help="Folder, URL or Hub id, of any layout.")],
    out: Annotated[str, Option(help="Folder or URL of the release.")],
    format: Annotated[
        str, Option(help="parquet; messages, for other trainers; jsonl: a card for rows in the schema.")
    ] = "parquet",
    images: Annotated[str, Option(help="Configs with image files (native), base64 strings, or both.")] = "both",
    config: Annotated[list[str] | None, Option(help="Config to release, may be repeated; default: all.")] = None,
    shard_size: Annotated[str, Option(help="Of the source, for each file.")] = "400MB",
    on_error: Annotated[str, Option(help="raise, or drop: leave out broken rows, count and list them.")] = "raise",
    fields: Fields = None,
    corrections: Annotated[str | None, Option(help="TSV file of mended texts.")] = None,
    workers: Annotated[int, Option(help="Processes.", min=1)] = 1,
    cluster: Annotated[str | None, Option(help="Address of a Dask scheduler, in place of --workers.")] = None,
) -> None:
    """Parquet that plain `datasets` loads and the Hub's viewer shows.   Example: m3it release . --out release"""
    from M3IT import Repository
    from m3it.publishing.check import check as check_repository
    from m3it.publishing.hub_rules import Finding
    from m3it.publishing.release import FORMATS, KINDS, upload_line
    from m3it.publishing.release import release as release_repository

    for option, given, known in (("format", format, FORMATS), ("images", images, KINDS),
                                 ("on-error", on_error, ("raise", "drop"))):  # fmt: skip
        if given not in known:
            raise typer.BadParameter(f"--{option} {given}: expected {', '.join(known)}")
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
        workers=workers,
        cluster=cluster,
        progress=progress,
    )
    if counted := run.get("corrections"):
        left = ", ".join(f"{name} {row_id}" for name, ids in counted["no_such_row"].items() for row_id in ids)
        typer.echo(f"{counted['num_rows']:,} rows corrected" + (f"; no such row: {left}" if left else ""))
    for split, proof in run["splits"].items():
        dropped = "".join(f", {number} dropped: {reason}" for reason, number in proof["drops"].items())
        typer.echo(f"{split}: {proof['rows_in']:,} rows in, {proof['rows_out']:,} out{dropped}, {proof['digest'][:16]}")
    typer.echo(f"digest of all: {run['digest']}")
    if format == "jsonl":  # a card alone: what it says can be checked where the rows are
        return
    found = [result for result in check_repository(Repository(out)) if isinstance(result, Finding)]
    for finding in found:
        typer.echo(str(finding), err=True)
    if any(finding.level == "error" for finding in found):
        raise Exit(1)
    typer.echo(upload_line(out))


@app.command(rich_help_panel=MAKE)
def card(
    folder: Annotated[Path, Argument(help="A repository's folder, with data/ and README.md.")] = Path("."),
    check: Annotated[
        bool, Option("--check", help="Write nothing; exit 1 and show the difference if something is out of date.")
    ] = False,
) -> None:
    """Measure data/ into dataset_infos.json and render README's head and tables.   Example: m3it card --check"""
    from m3it.publishing.repository_card import card as render_card

    diffs = render_card(folder, check, partial(progress, leave=False))
    typer.echo(
        "\n".join(diffs) if check and diffs else f"{len(diffs)} of 2 files {'are out of date' if check else 'written'}"
    )
    if check and diffs:
        raise Exit(1)


@app.command(rich_help_panel=MAKE)
def stats(
    repo: Repo = None,
    figures: Annotated[Path | None, Option(help="Draw the figures into this folder, too.")] = None,
    as_json: Json = False,
) -> None:
    """Instructions, rows, answers, pictures, licenses, counted.   Example: m3it stats --figures imgs"""
    from m3it.showing.figures import draw_figures
    from m3it.showing.stats import as_text, measure

    measured = measure(default_repo(repo))
    typer.echo(json.dumps(measured, ensure_ascii=False) if as_json else as_text(measured))
    if figures:
        for path in draw_figures(measured, default_repo(repo), figures):
            typer.echo(f"{path} drawn", err=True)
