"""Models tuned on a mixture."""

import json
import os
import re
import shlex
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from m3it.commands.options import (
    MOST,
    TRAIN,
    BatchSize,
    Configs,
    Exclude,
    Json,
    License,
    OnError,
    Repo,
    Seed,
    app,
    as_settings,
    default_repo,
    holds_rows,
    say,
)

CONDITION = re.compile(r"\s*([\w.-]+?)\s*(==|!=|<=|>=|=|<|>|\bnot in\b|\bin\b)(?!=)\s*(.+)")


@app.command(rich_help_panel=TRAIN)
def train(
    model: Annotated[str, Option(help="Hub id or folder of a vision-language model; tiny; or ying with its parts.")],
    out: Annotated[Path, Option(help="Folder of the run: model, checkpoints, run.json, loss.png.")],
    repo: Repo = None,
    config: Configs = None,
    part: Annotated[list[str] | None, Option(help="Another set to mix in: Hub id, folder or file.")] = None,
    task: Annotated[list[str] | None, Option(help="Only configs of this task.")] = None,
    exclude_held_out: Annotated[
        bool, Option("--exclude-held-out", help="Leave out what the paper holds out for evaluation.")
    ] = False,
    license: License = None,
    exclude: Exclude = None,
    weights: Annotated[
        str, Option(help="size, sqrt, a temperature, languages (english=0.6), or a JSON file of dataset: share.")
    ] = "size",
    filter: Annotated[
        list[str] | None, Option(help="Only rows of which it holds: num_images<=4, meta.split==train2014.")
    ] = None,
    epochs: Annotated[float, Option(help="Passes over the mixture.")] = 1.0,
    max_steps: Annotated[int | None, Option(help="Steps, instead of --epochs.", min=1, max=MOST)] = None,
    batch_size: BatchSize = 16,
    accumulation: Annotated[int, Option(help="Batches a step.", min=1, max=65_536)] = 1,
    learning_rate: Annotated[float | None, Option(help="Default: 1e-3 tiny, 1e-4 LoRA, 2e-5 else.")] = None,
    lora: Annotated[int, Option(help="Rank of LoRA on the language model; 0: none.", min=0, max=65_536)] = 0,
    freeze: Annotated[list[str] | None, Option(help="vision, projector or language; may be repeated.")] = None,
    bf16: Annotated[bool | None, Option("--bf16", help="Half precision. Default: where a GPU has it.")] = None,
    fp32: Annotated[bool, Option("--fp32", help="Full precision.")] = False,
    gradient_checkpointing: Annotated[bool, Option("--gradient-checkpointing", help="Less memory.")] = False,
    max_length: Annotated[
        int | None, Option(help="Tokens of a row. Default: what the model can take.", min=1, max=10_000_000)
    ] = None,
    max_side_pixels: Annotated[
        int | None, Option(help="Larger pictures are reduced to it.", min=1, max=100_000)
    ] = None,
    pack: Annotated[
        bool, Option("--pack", help="Rows in fewer, fuller sequences: less padding, the same loss.")
    ] = False,
    share_pictures: Annotated[
        bool, Option("--share-pictures", help="Packed, and rows about one picture have it once.")
    ] = False,
    vision: Annotated[str | None, Option(help="Of ying: the vision encoder.")] = None,
    language: Annotated[str | None, Option(help="Of ying: the causal language model.")] = None,
    qformer: Annotated[str | None, Option(help="(ying only) The InstructBLIP model whose Q-Former is used.")] = None,
    evaluate_every: Annotated[
        int, Option(help="Steps between evaluation losses on validation rows.", min=1, max=MOST)
    ] = 500,
    save_every: Annotated[int, Option(help="Steps between checkpoints.", min=1, max=MOST)] = 500,
    workers: Annotated[int, Option(help="Processes that read rows, for each device.", min=0, max=1024)] = 0,
    seed: Seed = 0,
    on_error: OnError = "raise",
    log_rows: Annotated[bool, Option("--log-rows", help="Write the row ids learned from to OUT/rows/.")] = False,
    resume: Annotated[bool, Option("--resume", help="Go on from the last checkpoint in OUT, if any.")] = False,
    as_json: Json = False,
) -> None:
    """Tune a model on a mixture.

    Example: m3it train --model tiny --config shapes --out runs/shapes

    On all GPUs: accelerate launch -m m3it train ..."""
    if bf16 and fp32:
        raise typer.BadParameter("expected --bf16 or --fp32, found both")
    options = {**locals(), "bf16": False if fp32 else bf16}  # by name, the same as in Settings
    from m3it.mixing.mixture import Mixture
    from m3it.mixing.part import Part
    from m3it.mixing.selection import read_weights
    from m3it.training.settings import Settings
    from m3it.training.train import evaluation_rows
    from m3it.training.train import train as train_model

    mixture = Mixture(
        default_repo(repo),
        config or None,
        parts=[Part(path) for path in part or ()],
        weights=read_weights(weights) if weights.endswith(".json") else as_weights(weights),
        seed=seed,
        batch_size=batch_size,
        tasks=task or None,
        exclude_held_out=exclude_held_out,
        license=license,
        drop_list=exclude or (),
        filters=[as_condition(text) for text in filter] if filter else None,
        on_error=on_error,
        share_pictures=share_pictures,
    )
    if os.environ.get("RANK", "0") == "0":
        say(mixture.describe(), err=True)
    settings = as_settings(Settings, {**options, "freeze": tuple(freeze) if freeze else None})
    parts = {name: options[name] for name in ("vision", "language", "qformer") if options[name]}
    with redirect_stdout(sys.stderr):  # where the Trainer, too, shall write its progress
        run = train_model(model, mixture, out, settings, evaluation_rows(mixture), parts=parts or None, resume=resume)
    losses = f", evaluation loss {run['eval_loss'][-1][1]:.4f}" if run["eval_loss"] else ""
    learned = "" if run["train_loss"] is None else f", training loss {run['train_loss']:.4f}"
    text = f"{out}: {run['steps']} steps{learned}{losses}, {run['seconds']} s"
    say(json.dumps(run, ensure_ascii=False) if as_json else text)


def as_condition(text: str) -> tuple[str, str, Any]:
    """What --filter says: a column, an operator, and a number, or else a text; of another kind as in JSON."""
    found = CONDITION.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"--filter {text}: expected a column, an operator and a value, as in num_images<=4")
    column, operator, value = found.groups()
    try:
        return column, operator.strip(), json.loads(value)
    except ValueError:
        return column, operator.strip(), value


def as_weights(text: str) -> str | float:
    """What --weights says, when it is no file: size, sqrt, a temperature, or languages with their shares."""
    if text in ("size", "sqrt") or "=" in text:
        return text
    try:
        return float(text)
    except ValueError:
        told = f"--weights {text}: expected size, sqrt, a number, languages (english=0.6), or a JSON file"
        raise typer.BadParameter(told) from None


@app.command(rich_help_panel=TRAIN)
def quickstart(
    out: Annotated[
        Path, Option(help="Folder of the data, the model and the report; an interrupted run resumes there.")
    ] = Path("quickstart"),
    repo: Annotated[
        str | None, Option(help="Mix in its configs. Default: this folder where data/ holds rows, else none.")
    ] = None,
    hard: Annotated[
        bool, Option("--hard", help="Learn SHAPES, too: questions about nine cells, which tiny does not solve.")
    ] = False,
) -> None:
    """Train a tiny model on 38,575 questions and test it on 9,673: some minutes on two cores, offline.

    Example: m3it quickstart"""
    from m3it.quickstart import quickstart as run_all

    repo = repo or ("." if holds_rows() else None)
    with redirect_stdout(sys.stderr):  # where the Trainer shall write, too
        found = run_all(out, repo, hard=hard, tell=partial(say, err=True))
    say(as_table(found["lines"]))
    if hard:
        say(
            "\nSHAPES is not solved: its test asks questions that were never asked in training, and tiny does not find "
            "the rule behind them."
        )
    data, model = (shlex.quote(str(path)) for path in (out, found["model"]))
    say(f"\nThe report: {found['page']}\nNext:")
    say(f"  m3it demo --model {model} --repo {data}    # ask it yourself, in the browser")
    say(f"  m3it show easy-vqa --repo {data} --model {model} --html seen.html    # what it sees of its rows")
    say(f"  m3it browse --repo {data} --predictions {data}/predictions    # its answers, right and wrong")
    if not hard:
        say("  m3it quickstart --hard    # SHAPES, too: a harder one")


def as_table(lines: list[dict[str, Any]]) -> str:
    """How many answers are right, by kind of question, next to a majority-answer baseline."""
    text = [f"{'test questions':<22}{'number':>8}{'right':>10}   always the commonest answer"]
    for line in lines:
        name = f"{line['dataset']}, {line['kind']}"
        always = f"{line['majority_score']:.1f} %" + (
            f" ({line['majority_answer']})" if line["majority_answer"] else ""
        )
        text.append(f"{name:<22}{line['num_rows']:>8,}{line['score']:>8.1f} %   {always}")
    return "\n".join(text)
