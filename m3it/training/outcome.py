"""What a training leaves to read: run.json, the mean of its losses, the plot of their course."""

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from m3it.training.settings import Settings
from m3it.training.trainer import MixtureTrainer, sum_of
from m3it.work.folder import writing
from m3it.work.runner import versions

PACKAGES = ("torch", "transformers", "accelerate", "peft", "tokenizers")  # whose versions a loss depends on


def run_record(settings: Settings, trainer: MixtureTrainer, seconds: float) -> dict[str, Any]:
    """What run.json says of a run."""
    history = trainer.state.log_history
    learned: Any = trainer.model
    parameters = list(learned.parameters())
    num_listed = sum(map(len, trainer.mixture.drop_list.values()))
    return {
        "command": "train",
        "options": {**trainer.begun.model, **asdict(settings), "processes": trainer.args.world_size},
        "learning_rate": trainer.args.learning_rate,
        "versions": versions(*PACKAGES),
        "mixture": {**trainer.mixture.state_dict(), "rows_consumed": trainer.rows_consumed}
        | ({"rows_on_drop_list": num_listed} if num_listed else {}),
        "num_parameters": sum(parameter.numel() for parameter in parameters),
        "num_learning": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        "steps": trainer.state.global_step,
        "train_loss": mean_loss(history),
        "eval_loss": [[entry["step"], entry["eval_loss"]] for entry in history if "eval_loss" in entry],
        "seconds": round(seconds, 1),
    }


def mean_loss(history: list[dict[str, Any]]) -> float | None:
    """The training loss of all steps that were logged, before a resume, too; of a run too short to log that of all."""
    total, last = sum_of(history)
    return total / last if last else next((entry["train_loss"] for entry in history if "train_loss" in entry), None)


def plot_loss(history: list[dict[str, Any]], path: Path) -> None:
    """Draw the losses over the steps into a PNG file, where matplotlib is installed."""
    if not find_spec("matplotlib"):
        return
    from matplotlib.figure import Figure

    figure = Figure((7, 4), layout="constrained")
    axes = figure.subplots()
    curves = {
        label: [(entry["step"], entry[name]) for entry in history if name in entry]
        for name, label in (("loss", "training"), ("eval_loss", "evaluation"))
    }
    for label, points in curves.items():
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="." if label == "evaluation" else None)
    axes.set(xlabel="step", ylabel="loss per token of the answers")
    if any(curves.values()):  # a run of a step or two logs nothing
        axes.legend()
    with writing(path) as unfinished:
        figure.savefig(unfinished, format="png")
