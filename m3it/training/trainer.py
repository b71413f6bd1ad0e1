"""The Trainer on the loader of a mixture, and what each of its checkpoints keeps of the mixture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments

from m3it.models.collator import Collator
from m3it.rows.instance import M3ITError
from m3it.training.settings import Settings
from m3it.work.folder import write_json, write_text

STATE = "mixture.json"  # in a checkpoint: what the mixture was, and how many of its rows were consumed


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
        done: int,
    ):
        even = len(evaluation) - len(evaluation) % arguments.world_size  # each process evaluates as many rows
        self.mixture, self.settings = mixture, settings
        self.row_log = (
            RowLog(Path(str(arguments.output_dir)), arguments.process_index, done) if settings.log_rows else None
        )
        super().__init__(
            model,
            arguments,
            data_collator=collator,
            processing_class=collator.processor,
            train_dataset=mixture,
            eval_dataset=list(evaluation[:even]) or None,
            callbacks=[KeepState(mixture, rows_per_step(settings, arguments), done)],
        )

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
        """This process's share of the rows to evaluate on."""
        held: Any = self.eval_dataset
        rows = held[self.args.process_index :: self.args.world_size]
        return DataLoader(rows, self.settings.batch_size, collate_fn=self.data_collator)

    def _load_from_checkpoint(self, checkpoint: str, model: Any = None) -> None:
        """Load adapters, and sharded models; a whole model was opened from its checkpoint.

        transformers 5.23 saves a VLM under older names of its weights, and here would load none of them: with no more
        than a warning, a resumed run would begin from the first weights.
        """
        if self.settings.lora or self.is_fsdp_enabled:
            try:
                super()._load_from_checkpoint(checkpoint, model)
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:200]
                raise M3ITError(f"{checkpoint}: its weights do not fit the model ({reason}). Is it another?") from error

    def go_back_to(self, checkpoint: str) -> None:
        """Be where a checkpoint was written, without a step."""
        self._load_from_checkpoint(checkpoint)
        self.state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **options: Any) -> Any:
        """The model's loss; the ids of the rows go into the log, not into the model."""
        row_ids = inputs.pop("row_ids", None)
        if row_ids and self.row_log and model.training:
            self.row_log.write(self.state.global_step + 1, row_ids)
        return super().compute_loss(model, inputs, *args, **options)


def rows_per_step(settings: Settings, arguments: TrainingArguments) -> int:
    """How many rows all processes take in a step."""
    return settings.batch_size * settings.accumulation * arguments.world_size


class KeepState(TrainerCallback):
    """Writes the mixture's state into each checkpoint, as its last file; rows are counted by the Trainer's steps, since
    workers run ahead."""

    def __init__(self, mixture: Any, rows_per_step: int, done: int):
        self.mixture, self.rows_per_step, self.done = mixture, rows_per_step, done

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **more: Any) -> None:
        if state.is_world_process_zero:
            consumed = self.mixture.rows_consumed + (state.global_step - self.done) * self.rows_per_step
            folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            write_json(folder / STATE, {**self.mixture.state_dict(), "rows_consumed": consumed})


class RowLog:
    """What was learned from: lines of {"step", "rank", "rows"} in `out/rows/<rank>.jsonl`; a resume drops what it
    takes again."""

    def __init__(self, out: Path, rank: int, done: int):
        self.rank, self.path = rank, out / "rows" / f"{rank}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if rank == 0:  # the run may have had other processes before
            for path in self.path.parent.glob("*.jsonl"):
                lines = path.read_text("utf-8").splitlines(keepends=True)
                write_text(path, "".join(line for line in lines if is_done(line, done)))
        wait_for_all()

    def write(self, step: int, row_ids: list[str]) -> None:
        """Add a line, at once."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "rank": self.rank, "rows": row_ids}, ensure_ascii=False) + "\n")


def is_done(line: str, done: int) -> bool:
    """Whether a line of a row log is whole, and of a step that the checkpoint has."""
    return line.endswith("\n") and json.loads(line)["step"] <= done
