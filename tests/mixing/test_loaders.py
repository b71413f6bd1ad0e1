"""Batches of any number of processes and workers, streams for other trainers, and what a checkpoint keeps."""

import gc
import itertools
import json
import multiprocessing
import signal
import threading
import time
from collections import Counter
from types import SimpleNamespace

import datasets
import pytest
from conftest import make_row, write_rows
from mixtures import ids, launch, mix_of, read_ranks, take, texts_row, write_parquet

from M3IT import M3ITError, ShardError
from m3it.mixing.loaders import Batches, one_ahead
from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part
from m3it.rows.messages import to_messages


def test_the_same_first_rows_on_any_number_of_ranks_and_workers(monkeypatch, mixed):
    mixture = mix_of(mixed, seed=3)
    expected = take(mixture, 1024)
    assert Counter(expected[: mixture.num_rows]) == Counter(dict.fromkeys(expected, 1))
    assert mixture.num_rows == 30 + 150 + 400 + 3 + 120
    for world_size, num_workers in itertools.product((1, 2, 4, 8), (0, 1, 3)):
        read = read_ranks(monkeypatch, mixture, world_size, num_workers, 1024 // (4 * world_size))
        assert read == expected, (world_size, num_workers)


@pytest.mark.parametrize(("world_size", "num_workers", "batch_size"), [(3, 2, 4), (1, 5, 4), (2, 3, 6), (1, 70, 4)])
def test_numbers_that_do_not_fit_the_lanes_read_the_same_rows(monkeypatch, mixed, world_size, num_workers, batch_size):
    mixture = mix_of(mixed, seed=3)
    read = read_ranks(monkeypatch, mixture, world_size, num_workers, 30, batch_size)
    assert read == take(mixture, 30 * world_size * batch_size)


def test_a_lot_of_workers_on_little_data(monkeypatch, tmp_path):
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(3)])
    mixture = Mixture(tmp_path, ["viquae"], batch_size=2)
    read = read_ranks(monkeypatch, mixture, 4, 8, 6)
    assert len(read) == 48 and Counter(Counter(read).values()) == {16: 3}


def test_a_worker_reads_its_own_lanes_only(mixed):
    mixture = mix_of(mixed)
    for world_size, num_workers in ((1, 3), (2, 5), (8, 3), (4, 4), (64, 1)):
        owner = {}
        for rank in range(world_size):
            stream = Batches(mixture, 4, rank, world_size, 200)
            for worker in range(num_workers):
                for step in filter(lambda step: step is not None, stream.steps(worker, num_workers)):
                    lane = mixture.order.lane((step * world_size + rank) * 4)
                    assert owner.setdefault(lane, (rank, worker)) == (rank, worker)


def test_a_data_loader_with_real_workers_reads_the_sequence(mixed):
    mixture = mix_of(mixed)
    expected = take(mixture, 480)
    loader = mixture.loader(num_workers=3, rank=1, world_size=2, num_batches=60, collate_fn=ids)
    assert len(loader) == 60
    batches = list(loader)
    assert batches == [expected[k * 4 : k * 4 + 4] for k in range(1, 120, 2)]
    endless = mixture.loader(num_workers=2, collate_fn=ids)
    assert list(itertools.islice(endless, 50)) == [expected[k * 4 : k * 4 + 4] for k in range(50)]
    with pytest.raises(TypeError, match="max_steps"):
        len(endless)


def test_a_plain_data_loader_spreads_the_sequence_over_its_workers(mixed):
    from torch.utils.data import DataLoader

    mixture = mix_of(mixed)
    loader = DataLoader(mixture, batch_size=4, num_workers=2, collate_fn=ids)
    assert list(itertools.chain.from_iterable(itertools.islice(loader, 40))) == take(mixture, 160)


def test_a_state_saved_on_four_ranks_goes_on_with_one_two_and_eight(monkeypatch, mixed):
    expected = take(mix_of(mixed), 900)
    first = mix_of(mixed)
    read = read_ranks(monkeypatch, first, 4, 2, 13)
    first.rows_consumed = 13 * 4 * 4
    state = json.loads(json.dumps(first.state_dict()))
    for world_size in (1, 2, 8):
        again = mix_of(mixed)
        again.load_state_dict(state)
        rest = read_ranks(monkeypatch, again, world_size, 3, 640 // (4 * world_size))
        assert read + rest == expected[: len(read + rest)], world_size


JOB = """
import json, sys
import torch.distributed as dist
from accelerate import Accelerator
from m3it.mixing.mixture import Mixture, Part

folder, out, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])
accelerator = Accelerator(cpu=True)
mixture = Mixture(f"{folder}/ours", parts=[Part(f"{folder}/fine", "ai2d")], batch_size=4)
name = lambda rows: [f"{row['dataset']} {row['id']}" for row in rows]
rank, size = accelerator.process_index, accelerator.num_processes
loader = mixture.loader(num_workers=1, rank=rank, world_size=size, num_batches=batches, collate_fn=name)
assert accelerator.prepare(loader) is loader
mine = list(loader)
everyone = [None] * size
dist.all_gather_object(everyone, mine)
if rank == 0:
    json.dump(everyone, open(out, "w"))
dist.destroy_process_group()
"""


def test_two_gloo_processes_read_every_row_once(mixed, tmp_path):
    mixture = mix_of(mixed)
    batches = mixture.num_steps(1, 8)
    launch(JOB, 2, mixed, tmp_path / "ids.json", batches, HF_HOME=str(tmp_path / "home"))
    first, second = json.loads((tmp_path / "ids.json").read_text())
    assert len(first) == len(second) == batches
    read = [row_id for pair in zip(first, second, strict=True) for batch in pair for row_id in batch]
    assert read == take(mixture, batches * 8)
    assert len(set(read[: mixture.num_rows])) == mixture.num_rows  # an epoch: each row once


def test_to_hf_gives_images_prompt_and_completion_from_where_the_mixture_stands(mixed):
    mixture = mix_of(mixed)
    expected = [to_messages(row) for row in itertools.islice(mixture, 12)]
    stream = mixture.to_hf()
    assert isinstance(stream, datasets.IterableDataset)
    rows = list(itertools.islice(stream, 12))
    assert all(set(row) == {"images", "prompt", "completion"} for row in rows)
    assert [(row["prompt"], row["completion"]) for row in rows] == [(asked[:1], asked[1:]) for asked in expected]
    assert [image.size for row in rows for image in row["images"]] == [(8, 6)] * 12
    mixture.rows_consumed = 5
    assert [row["prompt"] for row in itertools.islice(stream, 7)] == [asked[:1] for asked in expected[5:]]


def test_to_hf_of_an_epoch_ends_and_gives_each_row_that_can_be_read_once(spoiled):
    mixture = Mixture(spoiled / "jsonl", ["gqa"], batch_size=4, on_error="drop")
    stream = mixture.to_hf(epochs=1)
    asked = Counter(row["prompt"][0]["content"][-1]["text"] for row in stream)
    assert asked == Counter(
        to_messages(make_row_of(i))[0]["content"][-1]["text"] for i in range(40) if i not in (3, 17, 30)
    )
    assert sum(1 for _ in stream) == 37  # and begins again


def make_row_of(number):
    """A row as a mixture gives it."""
    return {**make_row(number), "id": f"row-{number}", "images": [b""], "meta": {}}


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "idefics3"])
def test_trl_learns_the_answers_and_no_place_of_an_image_and_its_evaluation_ends(mixed, tmp_path, name):
    trl = pytest.importorskip("trl", reason="trl is an extra")
    from small_models import small

    model, processor = small(name)
    place = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>" if "qwen" in name else "<image>")
    chat = [{"user": f"Question {k}?", "assistant": f"Answer {k}"} for k in range(2)]
    write_parquet(mixed / "chat/train.parquet", [{**texts_row(7), "texts": chat}] * 2)
    mixture = mix_of(mixed, parts=[Part(str(mixed / "fine"), "ai2d"), Part(str(mixed), "chat")], weights=2)
    args = trl.SFTConfig(str(tmp_path / "out"), max_length=None, max_steps=1, report_to=[], use_cpu=True, bf16=False)
    few = Mixture(mixed / "ours", ["iqa"], batch_size=4)
    trainer = trl.SFTTrainer(
        model, args, train_dataset=mixture.to_hf(), eval_dataset=few.to_hf(epochs=1), processing_class=processor
    )
    rows = list(itertools.islice(mixture.to_hf(), 24))
    assert any(len(row["prompt"]) == 3 for row in rows)
    answers = [row["completion"][0]["content"][0]["text"] for row in rows]
    batch = trainer.data_collator(rows)
    assert (batch["input_ids"] == place).any() and not (batch["labels"] == place).any()
    learned = [
        processor.tokenizer.decode(labels[labels != -100], skip_special_tokens=True) for labels in batch["labels"]
    ]
    assert [text.strip() for text in learned] == [answer.strip() for answer in answers]
    assert trainer.evaluate()["eval_loss"] > 0


def test_to_hf_refuses_a_transform_that_gives_no_row(mixed):
    with pytest.raises(ValueError, match="transform gives a str, expected a row. Leave it out"):
        next(iter(mix_of(mixed, transform=lambda row: row["id"]).to_hf()))


def test_the_callback_counts_rows_by_steps_and_refuses_what_would_lose_rows(mixed):
    mixture = mix_of(mixed)
    callback = mixture.callback()
    args = SimpleNamespace(train_batch_size=4, gradient_accumulation_steps=2, world_size=3, ignore_data_skip=True)
    start = SimpleNamespace(global_step=0, stateful_callbacks={})
    callback.on_train_begin(args, start, None)
    for _ in range(5):
        callback.on_step_end(args, None, None)
    saved = json.loads(json.dumps(callback.state()))
    assert saved["attributes"]["mixture"]["rows_consumed"] == 5 * 24
    resumed = SimpleNamespace(global_step=5, stateful_callbacks={"MixtureCallback": saved})
    again = mix_of(mixed)
    again.callback().on_train_begin(args, resumed, None)
    assert again.rows_consumed == 120
    with pytest.raises(M3ITError, match="ignore_data_skip=True"):
        again.callback().on_train_begin(SimpleNamespace(ignore_data_skip=False), resumed, None)
    with pytest.raises(M3ITError, match="saved without the callback"):
        again.callback().on_train_begin(args, SimpleNamespace(global_step=5, stateful_callbacks={}), None)
    with pytest.raises(M3ITError, match="its seed is 0, here it is 9"):
        mix_of(mixed, seed=9).callback().on_train_begin(args, resumed, None)


TRAIN = """
import json, os, re, sys
import torch
from transformers import Trainer, TrainingArguments
from m3it.mixing.mixture import Mixture, Part

folder, out, steps, resume = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
mixture = Mixture(f"{folder}/ours", parts=[Part(f"{folder}/fine", "ai2d")], batch_size=4)

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(8))

    def forward(self, texts, labels=None):
        return {"loss": ((self.weight * texts).sum(-1) - 1).square().mean()}

def collate(rows):
    with open(f"{out}/rows-{rank}.txt", "a") as file:
        file.write(json.dumps([f"{row['dataset']} {row['id']}" for row in rows]) + "\\n")
    texts = [[float(ord(c)) / 100 for c in row["inputs"][-8:].rjust(8)] for row in rows]
    return {"texts": torch.tensor(texts)}

class Ours(Trainer):
    def get_train_dataloader(self):
        return mixture.loader(4, 0, collate, rank, world_size)

args = TrainingArguments(
    out, max_steps=steps, per_device_train_batch_size=4, save_steps=7, logging_steps=1, report_to=[], use_cpu=True,
    ignore_data_skip=True, disable_tqdm=True, remove_unused_columns=False, learning_rate=0.05,
    lr_scheduler_type="constant",
)
trainer = Ours(Model(), args, train_dataset=mixture, callbacks=[mixture.callback()])
trainer.train(resume_from_checkpoint=resume or None)
if rank == 0:
    json.dump([log["loss"] for log in trainer.state.log_history if "loss" in log], open(f"{out}/losses.json", "w"))
if world_size > 1:
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
"""


def rows_seen(out, world_size, first=0):
    """The row ids of the batches that each process was given, in the order of the sequence, from a batch on."""
    batches = [
        [json.loads(line) for line in (out / f"rows-{r}.txt").read_text().splitlines()] for r in range(world_size)
    ]
    return [row_id for step in zip(*batches, strict=False) for batch in step for row_id in batch][first:]


@pytest.mark.slow
def test_a_killed_training_goes_on_with_one_two_and_four_processes(mixed, tmp_path):
    for name in ("whole", "killed", "one", "two", "four"):
        (tmp_path / name).mkdir()
    expected = take(mix_of(mixed), 704)  # 703 rows are an epoch
    environ = {"HF_HOME": str(tmp_path / "home")}
    launch(TRAIN, 2, mixed, tmp_path / "whole", 88, "", **environ)
    assert rows_seen(tmp_path / "whole", 2) == expected
    processes = launch(TRAIN, 2, mixed, tmp_path / "killed", 88, "", wait=False, **environ)
    while not (tmp_path / "killed/checkpoint-35/trainer_state.json").exists():
        time.sleep(0.02)
        assert all(process.poll() is None for process in processes)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait()
    checkpoint = tmp_path / "killed/checkpoint-35"
    before = rows_seen(tmp_path / "killed", 2)[: 35 * 8]
    for name, world_size, steps in (("two", 2, 88), ("one", 1, 35 + 106), ("four", 4, 35 + 27)):
        launch(TRAIN, world_size, mixed, tmp_path / name, steps, checkpoint, **environ)
        after = rows_seen(tmp_path / name, world_size)
        assert (before + after)[:704] == expected, name
        assert Counter((before + after)[:703]) == Counter(dict.fromkeys(expected[:703], 1)), name
    losses = [json.loads((tmp_path / name / "losses.json").read_text()) for name in ("whole", "two")]
    assert losses[0] == losses[1] and len(losses[0]) == 88  # bit for bit


SFT = """
import json, os, re, sys
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import CLIPImageProcessor, CLIPVisionConfig, LlamaConfig, LlavaConfig
from transformers import LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer
from m3it.mixing.mixture import Mixture, Part

folder, out, steps, resume = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
tokenizer = Tokenizer(models.BPE(vocab=letters, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
special = {"pad_token": "<pad>", "eos_token": "</s>", "additional_special_tokens": ["<image>"]}
tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
template = (
    "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %};{% endfor %}"
)
image_processor = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
processor = LlavaProcessor(
    image_processor, tokenizer, patch_size=14, vision_feature_select_strategy="default", chat_template=template,
    num_additional_image_tokens=1,
)
small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
vision = CLIPVisionConfig(**small, image_size=28, patch_size=14, projection_dim=16)
image_token_id = tokenizer.convert_tokens_to_ids("<image>")
torch.manual_seed(0)
text = LlamaConfig(vocab_size=len(tokenizer), **small)
config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=image_token_id, vision_feature_layer=-1)

class Watched(SFTTrainer):
    def compute_loss(self, model, inputs, *rest, **options):
        texts = tokenizer.batch_decode(inputs["input_ids"], skip_special_tokens=True)
        found = [re.search(r"What is \\S+ \\d+|Question \\d+", text)[0] for text in texts]
        with open(f"{out}/rows-{os.environ['RANK']}.txt", "a") as file:
            file.write(json.dumps(found) + "\\n")
        return super().compute_loss(model, inputs, *rest, **options)

mixture = Mixture(f"{folder}/ours", parts=[Part(f"{folder}/fine", "ai2d")], batch_size=4)
args = SFTConfig(
    out, max_steps=steps, per_device_train_batch_size=4, save_steps=9, report_to=[], use_cpu=True, bf16=False,
    max_length=None, disable_tqdm=True, ignore_data_skip=True, gradient_checkpointing=False,
)
trainer = Watched(
    LlavaForConditionalGeneration(config), args, train_dataset=mixture.to_hf(), processing_class=processor,
    callbacks=[mixture.callback()],
)
trainer.train(resume_from_checkpoint=resume or None)
if torch.distributed.is_initialized():
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [1, 2])
def test_a_plain_sft_trainer_sees_every_row_once_and_resumes(mixed, tmp_path, world_size):
    mixture = mix_of(mixed)
    steps = mixture.num_steps(1, 4 * world_size)
    rows = itertools.islice(mixture, steps * 4 * world_size)
    asked = [to_messages(row)[0]["content"][-1]["text"] for row in rows]
    expected = [text.partition("\n")[2].rstrip("?") or text.partition(".")[0] for text in asked]
    environ = {"HF_HOME": str(tmp_path / "home")}
    for name in ("whole", "resumed"):
        (tmp_path / name).mkdir()
    launch(SFT, world_size, mixed, tmp_path / "whole", steps, "", **environ)
    assert rows_seen(tmp_path / "whole", world_size) == expected
    assert len(set(expected[:703])) == 703
    launch(SFT, world_size, mixed, tmp_path / "resumed", steps, tmp_path / "whole/checkpoint-27", **environ)
    assert rows_seen(tmp_path / "resumed", world_size) == expected[27 * 4 * world_size :]
    if world_size == 2:  # on another number of processes, too
        (tmp_path / "alone").mkdir()
        launch(SFT, 1, mixed, tmp_path / "alone", 27 + 10, tmp_path / "whole/checkpoint-27", **environ)
        assert rows_seen(tmp_path / "alone", 1) == expected[27 * 8 : 27 * 8 + 40]


def test_a_loader_opens_the_mixture_before_its_workers_start(mixed):
    mixture = mix_of(mixed)
    mixture.loader(num_workers=2)
    assert "mixed_parts" in vars(mixture)


def test_workers_that_are_spawned_read_the_sequence(mixed):
    mixture = mix_of(mixed)
    loader = mixture.loader(num_workers=1, num_batches=5, collate_fn=ids, multiprocessing_context="spawn")
    assert list(itertools.chain.from_iterable(loader)) == take(mixture, 20)


def test_a_rank_beyond_the_world_is_refused(mixed):
    with pytest.raises(ValueError, match="rank=2, world_size=2, batch_size=4: expected 0 <= rank < size"):
        mix_of(mixed).loader(rank=2, world_size=2)


@pytest.mark.parametrize(
    ("num_workers", "start", "set_by_hand"),
    [(0, None, False), (2, None, True), (2, "fork", False), (2, "fork", True), (1, "forkserver", False)],
)
def test_a_loader_that_is_iterated_again_goes_on(mixed, num_workers, start, set_by_hand):
    mixture = mix_of(mixed)
    expected = take(mixture, 60)
    options = {"multiprocessing_context": start, "persistent_workers": True} if start else {}
    loader = mixture.loader(num_workers=num_workers, num_batches=5, collate_fn=ids, **options)
    read = []
    for _ in range(3):
        read += itertools.chain.from_iterable(loader)
        mixture.rows_consumed += 20 if set_by_hand else 0
    assert read == expected
    mixture.rows_consumed = 8
    assert next(iter(loader)) == expected[8:12]


def test_a_loader_that_was_left_goes_on_after_the_batches_that_it_gave(mixed):
    mixture = mix_of(mixed)
    loader = mixture.loader(rank=1, world_size=2, collate_fn=ids)
    read = [list(itertools.islice(loader, count)) for count in (3, 0, 2)]
    assert sum(read, []) == [take(mixture, 40)[k * 4 : k * 4 + 4] for k in range(1, 10, 2)]


def test_a_loader_that_is_left_lets_its_workers_go(mixed):
    loader = mix_of(mixed).loader(num_workers=1, collate_fn=ids)
    before = multiprocessing.active_children()
    for _ in loader:
        assert len(multiprocessing.active_children()) == len(before) + 1
        break
    gc.collect()
    assert multiprocessing.active_children() == before


def test_a_plain_data_loader_whose_workers_stay_is_not_read_twice(mixed):
    from torch.utils.data import DataLoader

    mixture = mix_of(mixed)
    loader = DataLoader(mixture, batch_size=4, num_workers=1, collate_fn=ids, persistent_workers=True)
    assert next(iter(loader)) == take(mixture, 4)
    with pytest.raises(M3ITError, match="would begin at the same row. Use mixture.loader"):
        next(iter(loader))


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("start", ["forkserver", "spawn"])
def test_a_function_that_cannot_be_sent_to_workers_is_named(mixed, start, plain):
    from torch.utils.data import DataLoader

    def loader(function=ids, **options):
        mixture, shared = mix_of(mixed, **options), {"num_workers": 1, "multiprocessing_context": start}
        if plain:
            return DataLoader(mixture, batch_size=4, collate_fn=function, **shared)
        return mixture.loader(collate_fn=function, **shared)

    with pytest.raises(M3ITError, match="^transform cannot be sent to a worker .*Expected a function that a module"):
        iter(loader(transform=lambda row: row))
    part = Part(str(mixed / "fine"), "ai2d", convert=lambda row: row)
    with pytest.raises(M3ITError, match="^convert of ai2d cannot be sent to a worker"):
        iter(loader(parts=[part]))
    if not plain:
        with pytest.raises(M3ITError, match="^collate_fn cannot be sent to a worker"):
            iter(loader(lambda rows: rows))


def test_the_next_batch_is_fetched_while_the_trainer_works_and_an_error_comes_in_its_turn():
    fetched = threading.Event()

    def batches():
        yield "first"
        fetched.set()
        yield "second"
        raise ShardError("the third")

    given = one_ahead(batches())
    assert next(given) == "first" and fetched.wait(10)
    assert next(given) == "second"
    with pytest.raises(ShardError, match="the third"):
        next(given)
