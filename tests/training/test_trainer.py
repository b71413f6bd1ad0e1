"""m3it/training/trainer.py: the rows that processes learn from, and what a checkpoint knows of them."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import pytest
from conftest import ROOT, make_row, write_rows

torch = pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("transformers", reason="transformers is an extra")
pytest.importorskip("accelerate", reason="accelerate is an extra")

from training_runs import FAST, finevision, ids_of, losses_of, mixture_of, rows_of  # noqa: E402
from transformers import Trainer  # noqa: E402

from m3it.mixing.mixture import Mixture  # noqa: E402
from m3it.mixing.part import Part  # noqa: E402
from m3it.models.collator import Collator  # noqa: E402
from m3it.models.loading import load_model  # noqa: E402
from m3it.rows.instance import M3ITError  # noqa: E402
from m3it.training.settings import Settings  # noqa: E402
from m3it.training.train import train  # noqa: E402
from m3it.training.trainer import STATE, MixtureTrainer, is_done, on_answers  # noqa: E402


def test_a_run_learns_from_the_rows_of_the_mixture_in_order(data, whole):
    assert sum(rows_of(whole[0]), []) == ids_of(mixture_of(data), 16)


def test_a_resumed_run_is_the_run_that_was_never_stopped(data, base, whole, tmp_path):
    out = tmp_path / "out"
    evaluation = [mixture_of(data).row(i) for i in range(6)]
    train(base, mixture_of(data), out, FAST, evaluation=evaluation)
    for path in (out / "checkpoint-4", out / "rows"):  # as if killed behind step 2, with a line that was cut
        for file in path.glob("*"):
            if path.name == "rows":
                file.write_text(file.read_text()[:-9])
            else:
                file.unlink()
    (out / "run.json").unlink()
    train(base, mixture_of(data), out, FAST, evaluation=evaluation, resume=True)
    assert rows_of(out) == rows_of(whole[0])
    assert losses_of(out) == losses_of(whole[0])
    one, two = load_model(out)[0].state_dict(), load_model(whole[0])[0].state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_resumed_run_with_lora_is_the_run_that_was_never_stopped(data, base, tmp_path):
    for name, steps in (("one", 4), ("two", 2)):
        settings = Settings(batch_size=4, max_steps=4, lora=2, save_every=2, log_every=1, learning_rate=1e-2)
        train(base, mixture_of(data), tmp_path / name, settings)
        if steps == 2:
            (tmp_path / name / "checkpoint-4" / STATE).unlink()  # as if killed while it was written
            train(base, mixture_of(data), tmp_path / name, settings, resume=True)
    assert losses_of(tmp_path / "one") == losses_of(tmp_path / "two")
    one, two = (load_model(tmp_path / name)[0].state_dict() for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_packed_run_takes_the_same_rows_and_is_resumed_exactly(data, base, tmp_path):
    settings = replace(FAST, share_pictures=True)
    run = train(base, mixture_of(data, share_pictures=True), tmp_path / "one", settings)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for path in [tmp_path / "two/run.json", tmp_path / "two/checkpoint-4" / STATE]:  # as if killed after step 2
        path.unlink()
    train(base, mixture_of(data, share_pictures=True), tmp_path / "two", settings, resume=True)
    assert rows_of(tmp_path / "two") == rows_of(tmp_path / "one")
    assert losses_of(tmp_path / "two") == losses_of(tmp_path / "one")
    assert sum(rows_of(tmp_path / "one"), []) == ids_of(mixture_of(data, share_pictures=True), 16)
    with pytest.raises(M3ITError, match="its share_pictures is True, here it is False"):
        train(base, mixture_of(data), tmp_path / "one", FAST, resume=True)
    padded = train(base, mixture_of(data, share_pictures=True), tmp_path / "padded", FAST)
    assert padded["train_loss"] == pytest.approx(run["train_loss"], rel=1e-4)


def test_an_epoch_takes_every_row(data, base, tmp_path):
    settings = Settings(batch_size=4, accumulation=2, epochs=1, log_rows=True)
    run = train(base, mixture_of(data), tmp_path / "out", settings)
    assert run["steps"] == 7  # 50 rows, 8 a step: the last step reaches into the next epoch
    taken = sum(rows_of(tmp_path / "out"), [])
    assert Counter(taken[:50]) == Counter(ids_of(mixture_of(data), 50)) and len(set(taken[:50])) == 50


@pytest.mark.parametrize("lora", [0, 2])
def test_a_run_killed_behind_its_last_step_is_finished_without_another(data, base, tmp_path, lora):
    settings = Settings(batch_size=4, max_steps=2, lora=lora, log_rows=True, log_every=1, learning_rate=1e-2)
    run = train(base, mixture_of(data), tmp_path / "out", settings)
    weights = load_model(tmp_path / "out")[0].state_dict()
    for path in [tmp_path / "out/run.json", *(tmp_path / "out").glob("*.safetensors")]:
        path.unlink()
    again = train(base, mixture_of(data), tmp_path / "out", settings, resume=True)
    assert again["steps"] == 2 and again["train_loss"] == run["train_loss"]
    assert sum(rows_of(tmp_path / "out"), []) == ids_of(mixture_of(data), 8)
    finished = load_model(tmp_path / "out")[0].state_dict()
    assert all(torch.equal(finished[name], weights[name]) for name in weights)


# ---- losses and counts of a resumed run


def test_losses_logged_every_third_step_are_those_of_a_run_that_was_never_stopped(data, base, tmp_path):
    """Killed after step 5 with a checkpoint of step 4, between the log lines of steps 3 and 6."""
    settings = replace(FAST, max_steps=7, save_every=2, log_every=3, learning_rate=1e-2)
    run = train(base, mixture_of(data), tmp_path / "one", settings)
    train(base, mixture_of(data), tmp_path / "two", settings)
    for path in [tmp_path / "two/run.json", *(tmp_path / "two").glob(f"checkpoint-[67]/{STATE}")]:
        path.unlink()
    again = train(base, mixture_of(data), tmp_path / "two", settings, resume=True)
    assert losses_of(tmp_path / "two") == losses_of(tmp_path / "one") and set(losses_of(tmp_path / "one")) == {3, 6}
    assert again["train_loss"] == run["train_loss"]
    assert run["mixture"]["rows_consumed"] == again["mixture"]["rows_consumed"] == 7 * 4


@pytest.mark.parametrize("steps_kept", [2, 3])
def test_a_run_too_short_to_log_has_the_loss_of_all_its_steps_resumed_or_not(data, base, tmp_path, steps_kept):
    settings = replace(FAST, max_steps=3, save_every=1, log_every=10)
    run = train(base, mixture_of(data), tmp_path / "out", settings)
    each = train(base, mixture_of(data), tmp_path / "each", replace(settings, log_every=1))
    assert run["train_loss"] == pytest.approx(each["train_loss"])
    (tmp_path / "out/run.json").unlink()
    for step in range(steps_kept + 1, 4):
        (tmp_path / f"out/checkpoint-{step}" / STATE).unlink()
    again = train(base, mixture_of(data), tmp_path / "out", settings, resume=True)
    assert (again["train_loss"], again["mixture"]["rows_consumed"]) == (run["train_loss"], 12)


def test_the_logged_losses_are_those_that_the_trainer_itself_adds_up(data, base, tmp_path, monkeypatch):
    settings = replace(FAST, log_every=2, accumulation=2, learning_rate=1e-2)
    run = train(base, mixture_of(data), tmp_path / "one", settings)
    monkeypatch.setattr(MixtureTrainer, "log", Trainer.log)
    theirs = train(base, mixture_of(data), tmp_path / "two", settings)
    assert losses_of(tmp_path / "one") == losses_of(tmp_path / "two") and run["train_loss"] == theirs["train_loss"]


def test_row_ids_with_odd_line_ends_do_not_cut_the_row_log(base, tmp_path):
    rows = [make_row(i, meta=json.dumps({"id": f"a\u2028b\u0085{i}"})) for i in range(16)]
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", rows)
    mixture = Mixture(tmp_path, ["viquae"], batch_size=4)
    settings = replace(FAST, max_steps=3, save_every=1)
    train(base, mixture, tmp_path / "out", settings)
    (tmp_path / "out/run.json").unlink()
    train(base, Mixture(tmp_path, ["viquae"], batch_size=4), tmp_path / "out", replace(FAST, max_steps=4), resume=True)
    lines = (tmp_path / "out/rows/0.jsonl").read_text("utf-8").split("\n")
    assert [json.loads(line)["step"] for line in lines[:-1]] == [1, 2, 3, 4]


# ---- files of a checkpoint that are broken, and a full disk


def cut(path):
    path.write_bytes(path.read_bytes()[:99])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("optimizer.pt", None),
        ("optimizer.pt", ""),
        ("optimizer.pt", "no pickle"),
        ("scheduler.pt", "no pickle"),
        ("rng_state.pth", "no pickle"),
        ("model.safetensors", None),
        ("config.json", "[]"),
        ("trainer_state.json", "[]"),
        ("trainer_state.json", '{"log_history": [{"loss": 1}]}'),
        ("trainer_state.json", '{"log_history": [3]}'),
        (STATE, "[]"),
        (STATE, "{}"),
        (STATE, '{"rows_consumed": "many"}'),
        (STATE, '{"rows_consumed": 8, "model": 3}'),
    ],
)
def test_a_broken_file_of_a_checkpoint_is_a_sentence_that_says_what_to_remove(whole, data, base, tmp_path, name, text):
    shutil.copytree(whole[0], tmp_path / "out")
    path = tmp_path / "out/checkpoint-4" / name
    cut(path) if text is None else path.write_text(text)
    with pytest.raises(M3ITError, match="checkpoint-4: cannot be read .* Remove .*checkpoint-4 to go on from the one"):
        train(base, mixture_of(data), tmp_path / "out", replace(FAST, max_steps=5), resume=True)


def test_a_checkpoint_without_its_optimizer_is_not_gone_on_from(whole, data, base, tmp_path):
    shutil.copytree(whole[0], tmp_path / "out")
    (tmp_path / "out/checkpoint-4/optimizer.pt").unlink()
    with pytest.raises(M3ITError, match="checkpoint-4: cannot be read .*optimizer.pt"):
        train(base, mixture_of(data), tmp_path / "out", replace(FAST, max_steps=5), resume=True)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "trainer_state.json", "config.json"])
def test_a_full_disk_is_a_sentence_and_leaves_no_half_checkpoint(data, base, tmp_path, name):
    out = tmp_path / "out"
    (out / "checkpoint-2").mkdir(parents=True)
    (out / "checkpoint-2" / name).symlink_to("/dev/full")  # writing to it says: no space left on device
    with pytest.raises(M3ITError, match="out.*: cannot be written .* Make room there, and pass --resume"):
        train(base, mixture_of(data), out, FAST)
    assert not (out / "checkpoint-2").exists() and not (out / "run.json").exists()
    assert train(base, mixture_of(data), out, FAST, resume=True)["steps"] == 4


# ---- several processes (gloo), killed and resumed


SCRIPT = """
import os, sys, time
from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part
from m3it.training.settings import Settings
from m3it.training.train import train

class Slow(Mixture):
    def batch(self, start, stop):
        time.sleep(float(os.environ.get("SECONDS", 0)))
        return super().batch(start, stop)

data, other, base, out, shares = sys.argv[1:]
shared = {"share_pictures": shares == "shared"}
often = {"save_every": 3, "log_every": 1, "log_rows": True}
settings = Settings(batch_size=2, **often, learning_rate=1e-2, pack=shares == "packed", **shared)
mixture = Slow(data, ["viquae", "vist"], parts=[Part(other)], batch_size=2, **shared)
train(base, mixture, out, settings, resume=True)
"""


def launch(processes, script, *arguments, seconds=0):
    """Start a run under torchrun."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--standalone"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "SECONDS": str(seconds)}
    return subprocess.Popen([*command, str(script), *map(str, arguments)], env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("shares", ["padded", "packed", "shared"])
def test_a_run_killed_on_two_processes_goes_on_on_one_two_and_four(data, base, tmp_path, shares):
    other = finevision(tmp_path / "fine")
    psutil = pytest.importorskip("psutil", reason="it comes with accelerate")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    assert launch(2, script, data, other, base, tmp_path / "whole", shares).wait() == 0
    killed = tmp_path / "killed"
    process = launch(2, script, data, other, base, killed, shares, seconds=1)
    while not (killed / "checkpoint-6" / STATE).exists():
        assert process.poll() is None
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    for one in [psutil.Process(process.pid), *workers]:  # torchrun's workers would outlive it, and go on
        one.send_signal(signal.SIGKILL)
    psutil.wait_procs(workers)
    process.wait()
    assert not (killed / "run.json").exists()
    expected = Counter(ids_of(mixture_of(data, parts=[Part(str(other))], batch_size=2), 60))
    assert len(expected) == 60
    for processes in (1, 2, 4):
        out = tmp_path / f"on-{processes}"
        shutil.copytree(killed, out)
        assert launch(processes, script, data, other, base, out, shares).wait() == 0
        taken = sum(rows_of(out), [])
        assert Counter(taken[:60]) == expected and len(taken) - 60 < 2 * processes
    assert rows_of(tmp_path / "on-2") == rows_of(tmp_path / "whole")
    assert losses_of(tmp_path / "on-2") == losses_of(tmp_path / "whole")


@pytest.mark.slow
def test_two_nodes_take_every_row_once_as_one_node_with_two_processes_does(data, base, tmp_path):
    """docs/cluster.md: `m3it train` under one torchrun for each node; both nodes are this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    rows = ["--model", base, "--repo", data, "--config", "viquae", "--config", "vist", "--epochs", 1, "--log-rows"]
    options = [*rows, "--batch-size", 2, "--fp32", "--out", tmp_path / "out"]
    meet = ["--nnodes", 2, "--nproc-per-node", 1, "--master-addr", "127.0.0.1", "--master-port", port]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run"]
            + [str(word) for word in (*meet, "--node-rank", rank, "-m", "m3it", "train", *options)],
            env=environment,
        )
        for rank in (0, 1)
    ]
    assert [node.wait() for node in nodes] == [0, 0]
    assert sorted(path.name for path in (tmp_path / "out/rows").iterdir()) == ["0.jsonl", "1.jsonl"]
    taken = sum(rows_of(tmp_path / "out"), [])
    assert Counter(taken[:50]) == Counter(ids_of(mixture_of(data, batch_size=2), 50)) and len(set(taken[:50])) == 50
    assert json.loads((tmp_path / "out/run.json").read_text("utf-8"))["mixture"]["rows_consumed"] == len(taken)


def test_a_line_of_a_row_log_counts_if_it_is_whole_and_the_checkpoint_has_its_step():
    line = '{"step": 3, "rank": 0, "rows": ["a"]}\n'
    assert [is_done(line, done) for done in (2, 3, 4)] == [False, True, True]
    assert not is_done(line[:-1], 4) and not is_done(line[:9], 4)


@pytest.mark.parametrize("outputs", [("blue", "a red circle"), ("blue", "")])
def test_logits_of_the_answers_alone_give_the_same_loss(data, base, outputs):
    model, processor = load_model(base)
    rows = [mixture_of(data).row(position) for position in range(2)]
    batch = Collator(processor)([{**row, "outputs": told} for row, told in zip(rows, outputs, strict=True)])
    short = on_answers(batch)
    assert 1 < short["labels"].shape[1] < batch["labels"].shape[1]
    whole, some = model(**batch), model(**short)
    assert some.logits.shape[1] == short["labels"].shape[1] and torch.allclose(some.loss, whole.loss, atol=1e-5)


def test_logits_of_what_is_learned_of_packed_rows_give_the_same_loss(data, base):
    model, processor = load_model(base)
    batch = Collator(processor, pack=True)([mixture_of(data).row(position) for position in range(4)])
    short = on_answers(batch)
    whole, some = model(**batch), model(**short)
    assert some.logits.shape[0] == (batch["labels"] != -100).sum()
    assert torch.allclose(some.loss, whole.loss, atol=1e-5)


def test_a_batch_that_teaches_nothing_keeps_all_its_logits():
    assert on_answers({"labels": torch.full((2, 5), -100)})["logits_to_keep"] == 5


def test_a_run_that_is_told_says_lines_and_draws_no_bar(data, base, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("m3it.work.pace.EVERY_SECONDS", 0.0)
    told = []
    train(base, mixture_of(data), tmp_path / "out", FAST, tell=told.append)
    assert [line[:11] for line in told] == [f"step {step} of 4" for step in (1, 2, 3)]  # the last ends it
    assert all("to go" in line for line in told) and "loss" in told[-1]
    captured = capsys.readouterr()
    assert "/4 [" not in captured.err and "{'loss'" not in captured.out
