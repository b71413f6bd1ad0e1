"""The command line: a command parses, calls one library function, and prints. Results go to stdout, progress to
stderr."""

import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Exit, Option

from m3it.rows.instance import M3ITError

READ, MAKE, TRAIN, SCORE = "Read", "Make", "Train", "Score"
app = typer.Typer(
    help="M3IT: load, make, mix, train, score. Start with: m3it list",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Repo = Annotated[
    str | None,
    Option(help="Hub id, folder or URL. Default: this folder where it holds data/, else MMInstruction/M3IT."),
]
Fields = Annotated[
    list[str] | None,
    Option(help="Where raw rows of a published repository keep a thing: inputs=question, outputs=..., images=..."),
]
Json = Annotated[bool, Option("--json", help="Print one JSON value.")]


def default_repo(repo: str | None) -> str:
    """What --repo stands for where it is not given."""
    return repo or ("." if os.path.isdir("data") else "MMInstruction/M3IT")


def as_fields(given: list[str] | None) -> dict[str, str] | None:
    """What --fields says: the field of a raw row that holds each thing."""
    if wrong := [text for text in given or () if "=" not in text]:
        raise typer.BadParameter(f"--fields {wrong[0]}: expected e.g. inputs=question")
    return dict(text.split("=", 1) for text in given) if given else None


def as_bytes(size: str) -> int:
    """Bytes of a size such as 400MB or 1.5GB."""
    units = {"KB": 1e3, "MB": 1e6, "GB": 1e9}
    try:
        num_bytes = int(float(size[:-2]) * units[size[-2:].upper()])
        if num_bytes < 1:
            raise ValueError
        return num_bytes
    except (KeyError, ValueError, OverflowError):
        raise typer.BadParameter(f"--shard-size {size}: expected e.g. 400MB or 1.5GB") from None


def progress(items: Iterable[Any], description: str, total: int | None = None, leave: bool = True) -> Iterator[Any]:
    """The items, with a bar on stderr in a terminal, which stays there unless it is one of many."""
    from tqdm import tqdm

    return iter(tqdm(items, description, total, leave, file=sys.stderr, disable=not sys.stderr.isatty()))


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
    from m3it.showing.rows import as_text, contact_sheet

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
        typer.echo("\n\n".join(as_text(row) for row in rows))
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
    workers: Annotated[int, Option(help="Processes.", min=1)] = 1,
    cluster: Annotated[str | None, Option(help="Address of a Dask scheduler.")] = None,
    choose: Annotated[bool, Option("--select-languages", help="Score the model on FLORES instead.")] = False,
    flores: Annotated[Path | None, Option(help="FLORES as it is published, for --select-languages.")] = None,
    threshold: Annotated[float, Option(help="spBLEU that marks a language, with --select-languages.")] = 20.0,
) -> None:
    """Rows in other languages.   Example: m3it translate okvqa --to zh,fr --out translated"""
    from m3it.translating.engines import BACKENDS, Job

    backend = {"nllb": "transformers"}.get(backend, backend)
    if backend not in BACKENDS or on_error not in ("drop", "keep", "raise"):
        raise typer.BadParameter(f"expected --backend of {', '.join(BACKENDS)}, --on-error of drop, keep, raise")
    job = Job(backend, model, base_url, beams, parallel, prices, max_cost)
    if choose != (flores is not None):
        raise typer.BadParameter("expected --select-languages and --flores DIR together")
    if flores is not None:
        from m3it.translating.flores import select_languages

        scores, signatures = select_languages(flores, job, limit=limit)
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
        job,
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


@app.command(rich_help_panel=TRAIN)
def train(
    model: Annotated[str, Option(help="Hub id or folder of a vision-language model; tiny; or ying with its parts.")],
    out: Annotated[Path, Option(help="Folder of the run: model, checkpoints, run.json, loss.png.")],
    repo: Repo = None,
    config: Annotated[list[str] | None, Option(help="Config to train on, may be repeated; default: all.")] = None,
    part: Annotated[list[str] | None, Option(help="Another set to mix in: Hub id, folder or file.")] = None,
    task: Annotated[list[str] | None, Option(help="Only configs of this task.")] = None,
    exclude_held_out: Annotated[bool, Option(help="Leave out what the paper holds out for evaluation.")] = False,
    license: Annotated[str | None, Option(help="'commercial': only datasets that allow it.")] = None,
    weights: Annotated[str, Option(help="size, sqrt, a temperature, or a JSON file of dataset: share.")] = "size",
    epochs: Annotated[float, Option(help="Passes over the mixture.")] = 1.0,
    max_steps: Annotated[int | None, Option(help="Steps, in place of --epochs.", min=1)] = None,
    batch_size: Annotated[int, Option(help="Rows on each device at a time.", min=1)] = 16,
    accumulation: Annotated[int, Option(help="Batches a step.", min=1)] = 1,
    learning_rate: Annotated[float | None, Option(help="Default: 1e-3 tiny, 1e-4 LoRA, 2e-5 else.")] = None,
    lora: Annotated[int, Option(help="Rank of LoRA on the language model; 0: none.", min=0)] = 0,
    freeze: Annotated[list[str] | None, Option(help="vision, projector or language; may be repeated.")] = None,
    bf16: Annotated[bool | None, Option("--bf16/--fp32", help="Default: bf16 where a GPU has it.")] = None,
    gradient_checkpointing: Annotated[bool, Option("--gradient-checkpointing", help="Less memory.")] = False,
    max_length: Annotated[int | None, Option(help="Tokens of a row. Default: what the model can take.")] = None,
    max_side_pixels: Annotated[int | None, Option(help="Larger pictures are reduced to it.", min=1)] = None,
    vision: Annotated[str | None, Option(help="Of ying: the vision encoder.")] = None,
    language: Annotated[str | None, Option(help="Of ying: the causal language model.")] = None,
    qformer: Annotated[str | None, Option(help="Of ying: an InstructBLIP to take the Q-Former of.")] = None,
    evaluate_every: Annotated[int, Option(help="Steps between evaluation losses on validation rows.", min=1)] = 500,
    save_every: Annotated[int, Option(help="Steps between checkpoints.", min=1)] = 500,
    workers: Annotated[int, Option(help="Processes that read rows, for each device.", min=0)] = 0,
    seed: Annotated[int, Option(help="Of the order of rows, and of new weights.")] = 0,
    on_error: Annotated[str, Option(help="raise, or drop: leave out rows that cannot be read.")] = "raise",
    log_rows: Annotated[bool, Option("--log-rows", help="Write the row ids learned from to OUT/rows/.")] = False,
    resume: Annotated[bool, Option("--resume", help="Go on from the last checkpoint in OUT, if any.")] = False,
    as_json: Json = False,
) -> None:
    """Tune a model on a mixture; under accelerate: accelerate launch scripts/train.py ...
    Example: m3it train --model tiny --config shapes --out runs/shapes"""
    from m3it.mixing.mixture import Mixture
    from m3it.mixing.part import Part
    from m3it.mixing.selection import read_weights
    from m3it.training.settings import Settings
    from m3it.training.train import evaluation_rows
    from m3it.training.train import train as train_model

    share: Any = read_weights(weights) if weights.endswith(".json") else weights
    if isinstance(share, str) and share not in ("size", "sqrt"):
        try:
            share = float(share)
        except ValueError:
            raise typer.BadParameter(f"--weights {weights}: expected size, sqrt, a number, or a JSON file") from None
    mixture = Mixture(
        default_repo(repo),
        config or None,
        parts=[Part(path) for path in part or ()],
        weights=share,
        seed=seed,
        batch_size=batch_size,
        tasks=task or None,
        exclude_held_out=exclude_held_out,
        license=license,
        on_error=on_error,
    )
    settings = Settings(
        batch_size=batch_size,
        accumulation=accumulation,
        epochs=epochs,
        max_steps=max_steps,
        learning_rate=learning_rate,
        lora=lora,
        freeze=tuple(freeze) if freeze else None,
        bf16=bf16,
        gradient_checkpointing=gradient_checkpointing,
        max_length=max_length,
        max_side_pixels=max_side_pixels,
        evaluate_every=evaluate_every,
        save_every=save_every,
        log_rows=log_rows,
        workers=workers,
        seed=seed,
    )
    given = {"vision": vision, "language": language, "qformer": qformer}
    parts = {name: value for name, value in given.items() if value}
    run = train_model(model, mixture, out, settings, evaluation_rows(mixture), parts or None, resume)
    losses = f", evaluation loss {run['eval_loss'][-1][1]:.4f}" if run["eval_loss"] else ""
    learned = "" if run["train_loss"] is None else f", training loss {run['train_loss']:.4f}"
    text = f"{out}: {run['steps']} steps{learned}{losses}, {run['seconds']} s"
    typer.echo(json.dumps(run, ensure_ascii=False) if as_json else text)


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
        str | None, Option(help="Mix in its configs. Default: this folder where it holds data/, else none.")
    ] = None,
) -> None:
    """Make SHAPES, train a tiny model, test it: some minutes on two cores, offline.   Example: m3it quickstart"""
    from m3it.quickstart import quickstart as run_all

    repo = repo or ("." if os.path.isdir("data") else None)
    found = run_all(out, repo, tell=partial(typer.echo, err=True), progress=progress)
    interval = f"{found['score']:.1f} % [{found['low']:.1f}, {found['high']:.1f}]"
    always = f"always {found['majority_answer']!r}: {found['majority_score']:.1f} %"
    typer.echo(f"accuracy on the test questions: {interval}; {always}\n{found['page']}")


def main() -> None:
    """Run the command line: a known error is one sentence and exit 1, wrong usage 2, Ctrl-C 130; M3IT_DEBUG=1 shows
    tracebacks."""
    warnings.formatwarning = lambda message, *_, **__: f"{message}\n"  # the sentence, not the line of code
    try:
        code = app(standalone_mode=False)  # the exit code of typer.Exit, None for a command that ran through
        sys.stdout.flush()
        sys.exit(code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (BrokenPipeError, SystemExit) as end:
        if not isinstance(end, BrokenPipeError) and not isinstance(end.__context__, BrokenPipeError):
            raise
        # The reader has had enough (`m3it list | head -1`), which typer takes for an error. What is still in the
        # buffer goes nowhere, else Python would fail on it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    except (M3ITError, ValueError, OSError) as error:
        if os.environ.get("M3IT_DEBUG"):
            raise
        typer.echo(str(error), err=True)
        sys.exit(1)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "exit_code"):
            error.show()  # type: ignore[attr-defined]
            sys.exit(error.exit_code)
        raise


if __name__ == "__main__":
    main()
