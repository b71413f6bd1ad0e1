"""The Trainer on the loader of a mixture, and what each of its checkpoints keeps of the mixture."""

import inspect
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments, modeling_utils

from m3it.models.collator import Collator
from m3it.rows.instance import M3ITError
from m3it.training.settings import Settings
from m3it.work.folder import write_json, write_text
from m3it.work.pace import Pace

TAKES_MASK = hasattr(modeling_utils, "slice_logits_to_keep")  # `logits_to_keep` may be one of (batch, length)
STATE = "mixture.json"  # in a checkpoint: what the mixture was, how many of its rows were consumed, and a `Begun`


class Begun(NamedTuple):
    """Where a run goes on. `model`: what it began with, as options of `train`; `step`: of its checkpoint; `losses`: of
    each process, the sum over the steps since the last log line."""

    model: dict[str, str]
    step: int = 0
    losses: Sequence[float] = ()


def wait_for_all() -> None:
    """Go on when every process has come here."""
    from accelerate import PartialState

    PartialState().wait_for_everyone()


class MixtureTrainer(Trainer):
    """The Trainer on the loader of a mixture."""

    def __init__(
        self,
        model: Any,
        arguments: TrainingArguments,
        mixture: Any,
        collator: Collator,
        evaluation: Sequence[dict[str, Any]],
        settings: Settings,
        begun: Begun,
    ):
        even = len(evaluation) - len(evaluation) % arguments.world_size  # each process evaluates as many rows
        self.mixture, self.settings, self.begun = mixture, settings, begun
        number, losses = arguments.process_index, begun.losses
        same = len(losses) == arguments.world_size  # else the processes are others, and share the mean
        self.unlogged = torch.tensor(losses[number] if same else sum(losses) / max(1, len(losses)))
        self.row_log = RowLog(Path(str(arguments.output_dir)), number, begun.step) if settings.log_rows else None
        super().__init__(
            model,
            arguments,
            data_collator=collator,
            processing_class=collator.processor,
            train_dataset=mixture,
            eval_dataset=list(evaluation[:even]) or None,
            callbacks=[KeepState(self)],
        )
        whole = model.get_base_model() if settings.lora else model
        self.makes_some_logits = "logits_to_keep" in inspect.signature(whole.forward).parameters

    @property
    def is_sharded(self) -> bool:
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def get_train_dataloader(self) -> DataLoader:
        """The mixture's loader, as it is."""
        return self.mixture.loader(
            self.settings.batch_size,
            self.settings.workers,
            self.data_collator,
            rank=self.args.process_index,
            world_size=self.args.world_size,
        )

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader:
        """This process's share of the rows to evaluate on; padded, since the Trainer weighs batches by their length."""
        held: Any = self.eval_dataset
        rows = held[self.args.process_index :: self.args.world_size]
        collator: Any = self.data_collator
        return DataLoader(rows, self.settings.batch_size, collate_fn=collator.padded())

    def _load_from_checkpoint(self, checkpoint: str, model: Any = None) -> None:
        """Load adapters, and sharded models; a whole model was opened from its checkpoint.

        transformers 5.23 saves a VLM under older names of its weights, and here would load none of them: with no more
        than a warning, a resumed run would begin from the first weights.
        """
        if self.settings.lora or self.is_fsdp_enabled:
            with going_on(checkpoint):
                super()._load_from_checkpoint(checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with going_on(checkpoint):
            if checkpoint and not self.is_sharded:  # sharded models write files of other names
                (Path(checkpoint) / "optimizer.pt").stat()  # without one the Trainer begins anew, and says nothing
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with going_on(checkpoint):
            super()._load_rng_state(checkpoint)

    def go_back_to(self, checkpoint: str) -> None:
        """Be where a checkpoint was written, without a step."""
        self._load_from_checkpoint(checkpoint)
        self.state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
        self.state.log_history.append({"step": self.state.global_step, "train_loss": self.loss_of_all_steps()})

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint; one that cannot be written whole is not left."""
        try:
            with written_to(str(self.args.output_dir)):
                super()._save_checkpoint(model, trial)
        except M3ITError:
            shutil.rmtree(self.checkpoint_folder(), ignore_errors=True)
            raise

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        with written_to(str(output_dir or self.args.output_dir)):
            super().save_model(output_dir, _internal_call)

    def checkpoint_folder(self) -> Path:
        """The folder of a checkpoint that is written at this step."""
        return Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"

    # ---- rows and losses

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **options: Any) -> Any:
        """The model's loss; the ids of the rows go into the log, not into the model."""
        row_ids = inputs.pop("row_ids", None)
        if row_ids and self.row_log and model.training:
            self.row_log.write(self.state.global_step + 1, row_ids)
        if self.makes_some_logits and "labels" in inputs:
            inputs = on_answers(inputs)
        return super().compute_loss(model, inputs, *args, **options)

    def training_step(self, *args: Any, **options: Any) -> Any:
        """The loss of a batch, which is also added up here: the Trainer's own sum begins at 0 after a resume. As in
        that, a loss that is no number counts as the mean of those since the last log line."""
        loss = super().training_step(*args, **options)
        steps = 1 + self.state.global_step - sum_of(self.state.log_history)[1]
        self.unlogged = self.unlogged.to(loss.device)
        self.unlogged = self.unlogged + torch.where(torch.isfinite(loss), loss, self.unlogged / steps)
        return loss

    def log(self, logs: dict[str, float], *args: Any) -> None:
        """Log, with the losses that a run has which was never stopped."""
        if "loss" in logs:
            steps = self.state.global_step - sum_of(self.state.log_history)[1]
            logs["loss"] = self.unlogged_losses().mean().item() / steps
            self.unlogged = torch.zeros_like(self.unlogged)
        if "train_loss" in logs:
            logs["train_loss"] = self.loss_of_all_steps()
        super().log(logs, *args)

    def unlogged_losses(self) -> torch.Tensor:
        """(processes,): of each, the sum of its losses since the last log line."""
        return self.accelerator.gather(self.unlogged.to(self.args.device).reshape(1))

    def loss_of_all_steps(self) -> float:
        """The mean over the steps of the run, those before a resume and those after the last log line, too."""
        total, _ = sum_of(self.state.log_history)
        return (total + self.unlogged_losses().mean().item()) / max(1, self.state.global_step)

    @property
    def rows_consumed(self) -> int:
        """Rows of the mixture that were learned from, counted by steps, since workers run ahead."""
        steps = self.state.global_step - self.begun.step
        return self.mixture.rows_consumed + steps * rows_per_step(self.settings, self.args)


def on_answers(inputs: dict[str, Any]) -> dict[str, Any]:
    """The batch for a model that makes logits from the token before the first answer on, and none of the questions:
    the same loss. Of a small model, and of one with a large vocabulary, logits are a good part of the work. In packed
    rows answers stand everywhere: there, logits of the tokens before each that is learned, and of no other."""
    labels, length = inputs["labels"], inputs["labels"].shape[1]
    if "position_ids" in inputs:  # packed
        learned = labels.roll(-1, dims=1) != -100
        learned[:, -1] = False
        some = {"logits_to_keep": learned, "shift_labels": labels.roll(-1, dims=1)[learned]}
        return {**inputs, **some} if TAKES_MASK else inputs
    learned = (labels != -100).any(0).nonzero()
    kept = length - max(0, int(learned[0]) - 1) if len(learned) else length
    return {**inputs, "labels": inputs["labels"][:, -kept:], "logits_to_keep": kept}


def rows_per_step(settings: Settings, arguments: TrainingArguments) -> int:
    """How many rows all processes take in a step."""
    return settings.batch_size * settings.accumulation * arguments.world_size


def sum_of(history: Iterable[dict[str, Any]]) -> tuple[float, int]:
    """(sum of the losses of all steps that were logged, the last of these steps) of a Trainer's log."""
    total, last = 0.0, 0
    for entry in history:
        if "loss" in entry:
            total, last = total + entry["loss"] * (entry["step"] - last), entry["step"]
    return total, last


class KeepState(TrainerCallback):
    """Writes the mixture's state into each checkpoint, as its last file."""

    def __init__(self, trainer: MixtureTrainer):
        self.trainer = trainer

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **more: Any) -> None:
        trainer, losses = self.trainer, self.trainer.unlogged_losses().tolist()  # every process has its own
        if state.is_world_process_zero:
            kept = {"rows_consumed": trainer.rows_consumed, "model": trainer.begun.model, "losses": losses}
            with written_to(str(args.output_dir)):
                write_json(trainer.checkpoint_folder() / STATE, {**trainer.mixture.state_dict(), **kept})


class TellPace(TrainerCallback):
    """Says in lines how far a run is, instead of the Trainer's bar."""

    def __init__(self, tell: Callable[[str], Any]):
        self.tell = tell

    def on_train_begin(self, args: TrainingArguments, state: Any, control: Any, **more: Any) -> None:
        self.pace = Pace(self.tell, "step", state.max_steps, state.global_step)

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **more: Any) -> None:
        losses = [entry["loss"] for entry in state.log_history[-3:] if "loss" in entry]
        self.pace(state.global_step, f", loss {losses[-1]:.3f}" if losses else "")


@contextmanager
def going_on(checkpoint: Any) -> Iterator[None]:
    """Within, an error is one about the files of a checkpoint: an M3ITError that says how to go on."""
    try:
        yield
    except Exception as error:  # any: a cut file ends in whatever the code that reads it happens to raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise M3ITError(
            f"{checkpoint}: cannot be read ({reason}). Remove {checkpoint} to go on from the one before."
        ) from error


@contextmanager
def written_to(folder: str) -> Iterator[None]:
    """Within, an error is one about writing to a folder, most often a full disk: an M3ITError of one sentence."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:  # RuntimeError: how PyTorch reports a full disk
        reason = " ".join(str(error).split("\n")[0].split())[:200]
        raise M3ITError(
            f"{folder}: cannot be written ({reason}). Make room there, and pass --resume to go on from the last "
            "checkpoint."
        ) from error


class RowLog:
    """What was learned from: lines of {"step", "rank", "rows"} in `out/rows/<rank>.jsonl`; a resume drops what it
    takes again."""

    def __init__(self, out: Path, rank: int, done: int):
        self.rank, self.path = rank, out / "rows" / f"{rank}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if rank == 0:  # the run may have had other processes before
            for path in self.path.parent.glob("*.jsonl"):
                with open(path, encoding="utf-8", newline="\n") as file:  # row ids may hold other ends of lines
                    kept = [line for line in file if is_done(line, done)]
                write_text(path, "".join(kept))
        wait_for_all()

    def write(self, step: int, row_ids: list[str]) -> None:
        """Add a line, at once."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "rank": self.rank, "rows": row_ids}, ensure_ascii=False) + "\n")


def is_done(line: str, done: int) -> bool:
    """Whether a line of a row log is whole, and of a step that the checkpoint has."""
    try:
        return line.endswith("\n") and json.loads(line)["step"] <= done
    except (ValueError, TypeError, KeyError) as error:
        raise M3ITError(f"a row log holds {line[:60]!r}, expected a step and its rows. Remove that line.") from error
