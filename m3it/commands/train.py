"""Models tuned on a mixture."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from m3it.commands.options import (
    TRAIN,
    Json,
    Repo,
    app,
    default_repo,
)


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
    """Tune a model on a mixture.

    Example: m3it train --model tiny --config shapes --out runs/shapes

    On all GPUs: accelerate launch -m m3it train ..."""
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
