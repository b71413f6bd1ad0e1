"""Instruction tuning of a VLM on a mixture, by transformers' Trainer: on a CPU, or by `accelerate launch` on many GPUs.

In: a mixture and a model (see m3it/models/). Out, in one folder: the model and its processor, checkpoints, run.json
(options, versions, what the mixture was, losses), loss.png, and TensorBoard logs where TensorBoard is installed.
The Trainer gets the mixture's own DataLoader, unprepared: accelerate would shard once more what knows of ranks, and
lose rows. A resumed run takes the rows that follow those of its checkpoint, on any number of processes.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import ProgressCallback, TrainerState, TrainingArguments, set_seed

from m3it.models.collator import Collator
from m3it.models.loading import add_lora, freeze, load_model
from m3it.models.packing import check_packs
from m3it.models.tiny import make_tiny
from m3it.models.ying import YingConfig, make_ying
from m3it.rows.instance import M3ITError
from m3it.rows.messages import to_messages
from m3it.training.outcome import plot_loss, run_record
from m3it.training.settings import RATES, Settings
from m3it.training.trainer import (
    STATE,
    Begun,
    MixtureTrainer,
    TellPace,
    going_on,
    rows_per_step,
    sum_of,
    wait_for_all,
    written_to,
)
from m3it.work.folder import write_json
from m3it.work.terminal import printable

TOKENIZER_ROWS = 4096  # from which the tokenizer of `tiny` is trained
TRIED_ROWS = 10_000  # among which each dataset has a row tried before the first step


def train(
    model: str,
    mixture: Any,
    out: Path | str,
    settings: Settings | None = None,
    evaluation: Sequence[dict[str, Any]] = (),
    parts: dict[str, str] | None = None,
    resume: bool = False,
    tell: Callable[[str], Any] | None = None,
) -> dict[str, Any]:
    """Train a model on a mixture, into a folder; returns what run.json says.

    `model`: "tiny", "ying" (with `parts`: vision, language, and qformer, as for make_ying), a Hub id or a folder.
    `evaluation`: rows to measure the loss on. `resume`: go on from the last checkpoint in `out`, if there is one, with
    its model and processor: of `model` only what LoRA is added to is read again. `tell`: called with a line every ten
    seconds, instead of the Trainer's bar.
    """
    out, settings = Path(out), settings or Settings()
    if parts and model != "ying":
        raise M3ITError(f"--{' and --'.join(parts)}: expected --model ying, which is made of parts, found {model}.")
    checkpoint = find_checkpoint(out, resume)
    check_lora(checkpoint, settings.lora)
    begun = go_on(mixture, checkpoint, {"model": model, **(parts or {})}, settings.lora)
    set_seed(settings.seed)  # for what LoRA starts from
    rate = RATES["tiny" if model == "tiny" else "lora" if settings.lora else "whole"]
    arguments = make_arguments(out, settings, rate, bool(evaluation))
    vlm, processor = start_from(checkpoint, model, mixture, out, parts, settings)
    collator = Collator(
        processor,
        settings.max_length or max_tokens_of(vlm.config),
        settings.max_side_pixels,
        settings.log_rows,
        settings.pack,
        settings.share_pictures,
    )
    mixture.transform = collator.prepare
    left = mixture.num_steps(settings.epochs, 1) - mixture.rows_consumed
    arguments.max_steps = settings.max_steps or begun.step + max(0, -(-left // rows_per_step(settings, arguments)))
    tried = try_rows(mixture, collator, evaluation)
    if settings.lora:
        vlm = add_lora(vlm, settings.lora)
    for parameter in vlm.parameters():
        if parameter.requires_grad or not arguments.bf16:
            parameter.data = parameter.data.float()  # small steps vanish in bfloat16
    trainer = MixtureTrainer(vlm, arguments, mixture, collator, evaluation, settings, begun)
    if collator.pack and not trainer.is_sharded:
        with trainer.compute_loss_context_manager():
            check_packs(trainer.model, collator, tried[:2] * 2)  # twice: they share their pictures
    if tell:
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(TellPace(tell))
    began = time.monotonic()
    if checkpoint and begun.step >= arguments.max_steps:  # killed after its last step: the Trainer would take one more
        trainer.go_back_to(checkpoint)
    else:
        trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model(str(out))
    run = run_record(settings, trainer, time.monotonic() - began)
    if trainer.is_world_process_zero():
        plot_loss(trainer.state.log_history, out / "loss.png")
        write_json(out / "run.json", run)
    return run


def evaluation_rows(mixture: Any, limit: int = 256) -> list[dict[str, Any]]:
    """Up to `limit` validation rows of a mixture's datasets, as far as they have any, by the root of their size."""
    from m3it.mixing.mixture import Mixture

    builders = [(mixed.part, mixed.builder) for mixed in mixture.mixed_parts]
    parts = [
        replace(part, split="validation")
        for part, builder in builders
        if "validation" in builder.shards(builder.config.name)
    ]
    if not parts:
        return []
    options = {**vars(mixture.access), "drop_list": mixture.drop_list, "max_drops": mixture.max_drops}
    options["license"] = mixture.selection.license
    others = Mixture(None, parts=parts, weights="sqrt", seed=mixture.seed, **options)
    if not any(mixed.rows.num_rows for mixed in others.opened):
        print(printable(f"no evaluation loss: no validation row passes filters={mixture.filters}"), file=sys.stderr)
        return []
    if os.environ.get("RANK", "0") == "0":
        print(printable(f"evaluation loss on up to {limit} of these rows:\n{others.describe()}"), file=sys.stderr)
    rows = (others.row(position) for position in range(min(limit, others.num_rows)))
    return [row for row in rows if row is not None]


# ---- before the first step


def find_checkpoint(out: Path, resume: bool) -> str | None:
    """The last whole checkpoint of a folder, None if there is none; M3ITError if nobody asked to go on with its run."""
    whole = sorted((path.parent for path in out.glob(f"checkpoint-*/{STATE}")), key=step_of)  # STATE is written last
    if not resume and (whole or (out / "run.json").exists()):
        raise M3ITError(f"{out}: holds a run already. Pass --resume to go on with it, or another --out.")
    return str(whole[-1]) if whole else None


def step_of(checkpoint: Path | str) -> int:
    """The step that a checkpoint was written at."""
    return int(Path(checkpoint).name.rpartition("-")[2])


def make_arguments(out: Path, settings: Settings, rate: float, evaluates: bool) -> TrainingArguments:
    """The Trainer's settings that follow from ours."""
    on_gpu = torch.cuda.is_available()
    checkpointing: dict[str, Any] = {}
    if settings.gradient_checkpointing:
        checkpointing = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}
    return TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        max_steps=1,  # set when the model and its checkpoint are there
        learning_rate=settings.learning_rate or rate,
        weight_decay=settings.weight_decay,
        adam_beta2=0.98,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup,
        bf16=on_gpu and torch.cuda.is_bf16_supported() if settings.bf16 is None else settings.bf16,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=settings.evaluate_every,
        save_steps=settings.save_every,
        save_total_limit=3,
        logging_steps=settings.log_every,
        report_to=["tensorboard"] if find_spec("tensorboard") or find_spec("tensorboardX") else [],
        ignore_data_skip=True,  # the mixture begins where the checkpoint ended
        remove_unused_columns=False,
        ddp_find_unused_parameters=True,  # the vision part, where one process has a batch without images
        use_cpu=not on_gpu,
        seed=settings.seed,
        **checkpointing,
    )


def start_from(
    checkpoint: str | None, name: str, mixture: Any, out: Path, parts: dict[str, str] | None, settings: Settings
) -> tuple[Any, Any]:
    """(model, processor) to go on with, of a checkpoint where it has the whole model; what is not to learn, frozen."""
    if checkpoint and has_model(checkpoint, settings.lora):
        with going_on(checkpoint):
            model, processor = load_model(checkpoint)
    else:
        model, processor = open_model(name, mixture, out, parts, settings.seed, bool(checkpoint))
    default = ("vision", "language") if isinstance(model.config, YingConfig) and not settings.lora else ()
    freeze(model, default if settings.freeze is None else settings.freeze)
    return model, processor


def has_model(checkpoint: str, lora: int) -> bool:
    """Whether a checkpoint has the whole model: not LoRA alone, nor the shards of FSDP."""
    return not lora and any(Path(checkpoint).glob("*.safetensors"))


def open_model(
    name: str, mixture: Any, out: Path, parts: dict[str, str] | None, seed: int, goes_on: bool
) -> tuple[Any, Any]:
    """(model, processor). One made here is kept in `out/start`: every process, and a resumed run, has the same."""
    if name not in ("tiny", "ying"):
        return load_model(name)
    start = out / "start"
    if int(os.environ.get("RANK", "0")) == 0:
        make_start(start, name, mixture, parts or {}, seed, goes_on)
    wait_for_all()
    return load_model(start)


def make_start(start: Path, name: str, mixture: Any, parts: dict[str, Any], seed: int, goes_on: bool) -> None:
    """Make the model to begin with, unless the folder holds it. `made` says what it was made for: that of a run which
    died before its first checkpoint may be another one, and is replaced; M3ITError where a checkpoint builds on it."""
    made = start / "made"
    wanted = json.dumps(made_for(name, mixture, parts, seed), indent=1) + "\n"
    if made.exists() and made.read_text("utf-8") == wanted:
        return
    if start.exists() and (goes_on or not made.exists()):
        raise M3ITError(f"{start}: was not made for this run. Pass the options of the run before, or another --out.")
    if missing := [part for part in ("vision", "language") if name == "ying" and part not in parts]:
        raise M3ITError(f"ying needs --{' and --'.join(missing)}: Hub ids or folders.")
    model, processor = make_ying(**parts, seed=seed) if name == "ying" else make_tiny(texts_of(mixture), seed=seed)
    unfinished = start.with_name(".start")
    shutil.rmtree(unfinished, ignore_errors=True)
    with written_to(str(start)):
        model.save_pretrained(unfinished)
        processor.save_pretrained(unfinished)
        (unfinished / made.name).write_text(wanted, "utf-8")
        shutil.rmtree(start, ignore_errors=True)
        unfinished.rename(start)


def made_for(name: str, mixture: Any, parts: dict[str, Any], seed: int) -> dict[str, Any]:
    """What a model made here depends on: the seed, the parts of ying, the rows that give tiny its tokenizer."""
    rows = {**mixture.state_dict(), "rows_consumed": 0} if name == "tiny" else {}
    return {"model": name, **parts, "seed": seed, **({"mixture": rows} if rows else {})}


def texts_of(mixture: Any) -> list[str]:
    """The texts of the mixture's first rows."""
    rows = (mixture.row(position) for position in range(min(mixture.num_rows, TOKENIZER_ROWS)))
    messages = [message for row in rows if row is not None for message in to_messages(row)]
    return [part["text"] for message in messages for part in message["content"] if part["type"] == "text"]


def max_tokens_of(config: Any) -> int | None:
    """How many tokens a model can take; None if its config does not say."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def check_lora(checkpoint: str | None, lora: int) -> None:
    """M3ITError if a checkpoint was learned with another rank of LoRA, or without."""
    if checkpoint is None:
        return
    adapter = Path(checkpoint) / "adapter_config.json"
    with going_on(checkpoint):
        rank = json.loads(adapter.read_text("utf-8"))["r"] if adapter.exists() else 0
    if rank != lora:
        raise M3ITError(
            f"{checkpoint}: was learned with --lora {rank}, here it is {lora}. Pass the same, or another --out."
        )


def go_on(mixture: Any, checkpoint: str | None, asked: dict[str, str], lora: int) -> Begun:
    """Where a run begins or goes on, the mixture set to the rows after the checkpoint."""
    if checkpoint is None:
        return Begun(asked)
    state = read_state(checkpoint)
    mixture.load_state_dict(state)
    model = state.get("model", asked)
    if {name: os.path.realpath(path) for name, path in model.items()} != {
        name: os.path.realpath(path) for name, path in asked.items()
    }:
        theirs, ours = (" ".join(f"--{name} {path}" for name, path in one.items()) for one in (model, asked))
        if not has_model(checkpoint, lora):
            raise M3ITError(f"{checkpoint}: was learned with {theirs}, here it is {ours}. Pass the same.")
        told = f"{checkpoint}: goes on with its own model, of {theirs}; {ours} is not read."
        print(printable(told), file=sys.stderr)
    return Begun(model, step_of(checkpoint), state.get("losses", []))


def read_state(checkpoint: str) -> dict[str, Any]:
    """What a checkpoint says of the mixture; M3ITError where it, or what it says of the Trainer, is cut or odd."""
    path = Path(checkpoint) / STATE
    try:
        state = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise M3ITError(f"{path}: no JSON ({error}). Remove {checkpoint} to go on from the one before.") from error
    with going_on(checkpoint):
        if not isinstance(state, dict) or not isinstance(state.get("rows_consumed"), int):
            raise ValueError(f"{STATE} holds no object with rows_consumed")
        if not all(isinstance(path, str) for path in dict(state.get("model", {})).values()):
            raise ValueError(f"{STATE} names no model")
        sum(map(float, state.get("losses", [])))
        sum_of(TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json")).log_history)
    return state


def try_rows(mixture: Any, collator: Collator, evaluation: Sequence[dict[str, Any]]) -> list[Any]:
    """Collate one row of each dataset that comes soon, and some to evaluate on; M3ITError before the first step where
    the model cannot take them. Returns those of the mixture."""
    first: dict[int, int] = {}
    for position in range(mixture.rows_consumed, mixture.rows_consumed + min(mixture.num_rows, TRIED_ROWS)):
        first.setdefault(mixture.order.place(position).series, position)
        if len(first) == len(mixture.mixed_parts):
            break
    tried = [row for position in first.values() if (row := mixture.row(position)) is not None]
    for row in [*tried, *islice(evaluation, 8)]:
        collator([row])
    return tried
