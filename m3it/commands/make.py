"""Shards made, rewritten and translated."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Exit, Option

from m3it.commands.options import (
    MAKE,
    MOST,
    BaseUrl,
    Cluster,
    ExtraBody,
    Json,
    Limit,
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
    default_repo,
    progress,
    say,
    split_option,
)


@app.command(rich_help_panel=MAKE)
def download(
    dataset: Annotated[str | None, Argument(help="Dataset name, e.g. okvqa.")] = None,
    root: Annotated[
        Path, Option(help="Folder for the source files; with --group or --all, each dataset has a folder in it.")
    ] = Path("."),
    group: Annotated[str | None, Option(help="The datasets of a reporting group: captioning, vqa, video, ...")] = None,
    everything: Annotated[bool, Option("--all", help="All 40 datasets.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Fetch nothing; list all files with size and license.")] = False,
    check: Annotated[bool, Option("--check", help="Fetch nothing; ask each address whether it is still true.")] = False,
    as_json: Json = False,
) -> None:
    """Fetch the source files of a dataset, and list those that only a person can get.

    Example: m3it download okvqa --root ~/okvqa"""
    from tqdm import tqdm

    from m3it.making import download as downloads

    if [bool(dataset), bool(group), everything].count(True) != 1 or (check and dry_run):
        raise typer.BadParameter("expected one of DATASET, --group and --all, and at most one of --dry-run and --check")
    datasets = downloads.select(dataset, group, everything)
    if check:
        say_addresses(datasets, as_json)
        return
    found: list[downloads.Wanted] = []
    for file in downloads.plan(datasets, root) if dry_run else downloads.download(datasets, root, progress=progress):
        if dry_run and not as_json and file.dataset not in {other.dataset for other in found}:
            say(file.heading())
        found.append(file)
        if not as_json and (dry_run or not file.is_left):
            with tqdm.external_write_mode():  # above the bar
                say(file.line())
    left = [file for file in found if file.is_left and not dry_run]
    for file in () if as_json else left:
        say(file.line())
    say(json.dumps([f.as_json() for f in found], ensure_ascii=False) if as_json else downloads.in_all(found))
    if left:
        say(f"{len(left)} of {len(found)} files are left to get, as listed.", err=True)
        raise Exit(1)


def say_addresses(datasets: list[str], as_json: bool) -> None:
    """What `download --check` prints; exit 1 if an address is not true any more."""
    from m3it.making import download as downloads

    asked = list(downloads.check(datasets, progress=progress))
    as_text = "\n".join([*(address.line() for address in asked), downloads.addresses_in_all(asked)])
    say(json.dumps([address._asdict() for address in asked], ensure_ascii=False) if as_json else as_text)
    if num_others := sum(address.state != "true" for address in asked):
        say(f"{num_others} of {len(asked)} addresses are not as they were.", err=True)
        raise Exit(1)


@app.command(rich_help_panel=MAKE)
def convert(
    dataset: Annotated[str | None, Argument(help="Dataset name, e.g. okvqa.")] = None,
    root: Annotated[
        Path | None, Option(help="Folder that holds the source files, as downloaded (zip and tar are read in place).")
    ] = None,
    split: Annotated[str | None, split_option("all that are published")] = None,
    limit: Limit = None,
    out: Annotated[Path, Option(help="Repository to write into: its data/<task>/<dataset>/.")] = Path("."),
    on_error: OnError = "raise",
    frames: Annotated[int, Option(help="Frames of a clip.", min=1, max=10_000)] = 8,
    workers: Workers = 1,
    cluster: Cluster = None,
    converter: Annotated[str | None, Option(help="A converter of your own, my_set.py:convert, with --name.")] = None,
    name: Annotated[str | None, Option(help="Config name of a converter of your own.")] = None,
    task: Annotated[str, Option(help="Task folder of a converter of your own.")] = "vqa",
) -> None:
    """Turn the source files of a dataset into shards.

    Example: m3it convert okvqa --root ~/okvqa"""
    from m3it.catalogue import catalogue_row
    from m3it.making.convert import convert as convert_dataset
    from m3it.making.convert import source_root

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
        say(f"{file}: {made['num_rows']:,} rows, {made['num_bytes']:,} bytes{as_drops(made['drops'])}")


@app.command(rich_help_panel=MAKE)
def rephrase(
    shards: Annotated[list[Path], Argument(help="Shards, e.g. data/kvqa/okvqa/train.jsonl.")],
    model: Annotated[str, Option(help="The server's name for the model.")],
    base_url: BaseUrl = None,
    out: Annotated[Path, Option(help="Repository for the new shards.")] = Path("rephrased"),
    limit: Limit = None,
    parallel: Parallel = 8,
    prices: Prices = None,
    max_cost: MaxCost = None,
    extra_body: ExtraBody = None,
) -> None:
    """Rewrite short answers into sentences.

    Example: m3it rephrase data/kvqa/okvqa/train.jsonl --model qwen"""
    from m3it.making.rephrase import rephrase_shard
    from m3it.work.chat import Chat

    more = as_extra_body(extra_body)
    chat = Chat(model, base_url, parallel=parallel, prices=prices, max_cost=max_cost, extra_body=more)
    for shard in shards:
        counts = rephrase_shard(shard, out, chat, limit, progress)
        told = ", ".join(f"{number:,} {what}" for what, number in counts.most_common())
        say(f"{shard}: {counts.total():,} rows; {told}")
    used = chat.usage()
    cost = "" if used["cost"] is None else f", cost {used['cost']:.4f}"
    tokens = f"{used['prompt_tokens']:,} tokens in, {used['completion_tokens']:,} out"
    say(f"{used['num_asked']:,} requests, {used['num_kept']:,} replies from disk, {tokens}{cost}", err=True)


# Which translator, of `translate` and `languages`.
Backend = Annotated[
    Literal["transformers", "nllb", "ctranslate2", "openai"], Option(help="What runs the model; nllb: transformers.")
]
Model = Annotated[str, Option(help="Hub id, folder, or the server's name for the model.")]
Beams = Annotated[int, Option(help="Beams of the search.", min=1, max=100)]
NLLB = "facebook/nllb-200-distilled-1.3B"


@app.command(rich_help_panel=MAKE)
def translate(
    config: Annotated[str, Argument(help="Config name, e.g. okvqa.")],
    to: Annotated[str, Option(help="Codes, e.g. zh,fr; sw=swh_Latn for a language beyond the 80.")],
    repo: Repo = None,
    split: Annotated[str | None, split_option("all")] = None,
    backend: Backend = "transformers",
    model: Model = NLLB,
    base_url: BaseUrl = None,
    limit: Limit = None,
    out: Annotated[Path, Option(help="Repository to write into.")] = Path("translated"),
    on_error: Annotated[
        Literal["drop", "keep", "raise"], Option(help="Of a failed text: drop the row, keep the source's text, raise.")
    ] = "drop",
    back: Annotated[int, Option(help="Translate so many texts back, for chrF.", min=0, max=MOST)] = 0,
    beams: Beams = 4,
    parallel: Parallel = 8,
    prices: Prices = None,
    max_cost: MaxCost = None,
    reasoning_tags: ReasoningTags = None,
    extra_body: ExtraBody = None,
    workers: Workers = 1,
    cluster: Cluster = None,
) -> None:
    """Rows in other languages.

    Example: m3it translate okvqa --to zh,fr --out translated"""
    from m3it.translating.engines import EngineSettings
    from m3it.translating.translate import translate as translate_config

    backend = "transformers" if backend == "nllb" else backend
    tags, body = tuple(reasoning_tags or ()), as_extra_body(extra_body)
    more: dict[str, Any] = {"reasoning_tags": tags, "extra_body": json.dumps(body, sort_keys=True) if body else ""}
    settings = EngineSettings(backend, model, base_url, beams, parallel, prices, max_cost, **more)
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
            say(f"{code}/{file}: {made['num_rows']:,} rows{as_drops(made['drops'])}")


@app.command(rich_help_panel=MAKE)
def languages(
    flores: Annotated[Path, Argument(help="Folder of FLORES, as it is published.")],
    backend: Backend = "transformers",
    model: Model = NLLB,
    base_url: BaseUrl = None,
    limit: Annotated[int | None, Option(help="At most so many sentences.", min=1, max=MOST)] = None,
    threshold: Annotated[float, Option(help="spBLEU above which a language is marked.")] = 20.0,
    beams: Beams = 4,
    parallel: Parallel = 8,
    prices: Prices = None,
    max_cost: MaxCost = None,
    reasoning_tags: ReasoningTags = None,
    extra_body: ExtraBody = None,
    as_json: Json = False,
) -> None:
    """Which languages a model translates English into well enough.

    Example: m3it languages flores200_dataset --model facebook/nllb-200-distilled-1.3B"""
    from m3it.translating.engines import EngineSettings
    from m3it.translating.flores import select_languages

    backend = "transformers" if backend == "nllb" else backend
    tags, body = tuple(reasoning_tags or ()), as_extra_body(extra_body)
    more: dict[str, Any] = {"reasoning_tags": tags, "extra_body": json.dumps(body, sort_keys=True) if body else ""}
    settings = EngineSettings(backend, model, base_url, beams, parallel, prices, max_cost, **more)
    scores, signatures = select_languages(flores, settings, limit=limit, progress=progress)
    above = [score.code for score in scores if (score.spbleu or 0) > threshold]
    if as_json:
        found = {"scores": [score._asdict() for score in scores], "above": above, "signatures": signatures}
        say(json.dumps(found, ensure_ascii=False))
        return
    for score in scores:
        mark = "*" if score.code in above else " "
        say(f"{mark} {score.code:<4}{score.note or f'{score.spbleu:7.2f} spBLEU {score.bleu:7.2f} BLEU'}")
    say(f"{len(above)} above {threshold:g} spBLEU: {','.join(above) or 'none'}")
    say("\n".join(f"{name}: {value}" for name, value in signatures.items()), err=True)
