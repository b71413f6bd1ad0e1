"""m3it/training/outcome.py: what a run leaves to read."""

import json

import pytest

pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("transformers", reason="transformers is an extra")
pytest.importorskip("accelerate", reason="accelerate is an extra")

from training_runs import mixture_of

from m3it.models.collator import Collator
from m3it.models.loading import load_model
from m3it.training.outcome import mean_loss, plot_loss
from m3it.training.settings import Settings
from m3it.training.train import train


def test_a_run_leaves_a_model_that_generates_and_says_how_it_was_made(whole, data):
    out, run = whole
    assert run == json.loads((out / "run.json").read_text())
    assert run["steps"] == 4 and run["mixture"]["seed"] == 0 and run["options"]["batch_size"] == 4
    assert run["versions"]["transformers"] and run["num_learning"] == run["num_parameters"]
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    model, processor = load_model(out)
    prompts = Collator(processor).prompts([mixture_of(data).row(i) for i in range(3)])
    assert model.generate(**prompts, max_new_tokens=2).shape[0] == 3


def test_the_evaluation_loss_is_measured_during_training(data, base, tmp_path):
    rows = [mixture_of(data).row(i) for i in range(6)]
    settings = Settings(batch_size=4, max_steps=4, evaluate_every=2, learning_rate=1e-3)
    run = train(base, mixture_of(data), tmp_path / "out", settings, evaluation=rows)
    assert [step for step, _ in run["eval_loss"]] == [2, 4]
    assert run["eval_loss"][1][1] < run["eval_loss"][0][1]


def test_the_training_loss_is_the_mean_over_steps_not_over_log_lines():
    history = [{"step": 10, "loss": 2.0}, {"step": 10, "eval_loss": 9.0}, {"step": 15, "loss": 1.0}]
    assert mean_loss(history) == pytest.approx((10 * 2.0 + 5 * 1.0) / 15)


def test_a_run_too_short_to_log_has_the_loss_of_its_end():
    assert mean_loss([{"step": 2, "train_loss": 3.5}]) == 3.5
    assert mean_loss([]) is None


@pytest.mark.parametrize(
    "history", [[], [{"step": 1, "loss": 2.0}], [{"step": 1, "loss": 2.0}, {"step": 1, "eval_loss": 1.0}]]
)
def test_losses_are_drawn_even_if_there_are_none(history, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is an extra")
    plot_loss(history, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
