"""m3it/training/train.py: models that train, what is refused before the first step; accuracy (slow)."""

import shutil
from collections import Counter
from dataclasses import replace

import datasets
import fsspec
import pytest
from conftest import make_row, write_rows
from fsspec.implementations.local import LocalFileSystem

from m3it.rows.instance import M3ITError

torch = pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("transformers", reason="transformers is an extra")
pytest.importorskip("accelerate", reason="accelerate is an extra")

from small_models import small, text_sizes, tokenizer_with  # noqa: E402
from training_runs import FAST, mixture_of, rows_of  # noqa: E402

from m3it.mixing.mixture import Mixture  # noqa: E402
from m3it.models.collator import Collator  # noqa: E402
from m3it.models.loading import load_model  # noqa: E402
from m3it.training.settings import Settings  # noqa: E402
from m3it.training.train import evaluation_rows, open_model, train  # noqa: E402
from m3it.training.trainer import STATE  # noqa: E402


class Locked(LocalFileSystem):
    """Files of this machine for who has the key."""

    protocol = "locked"

    def __init__(self, key=None, **options):
        super().__init__(**options)
        if key != "right":
            raise PermissionError("no key")


SPLITS = ("validation", "test")
EPOCHS = 5  # over SHAPES


def test_a_resumed_run_has_the_model_and_processor_of_its_checkpoint(data, whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "out")
    run = train("tiny", mixture_of(data), tmp_path / "out", replace(FAST, max_steps=5), resume=True)
    assert run["num_parameters"] == whole[1]["num_parameters"] and run["steps"] == 5


def test_lora_trains_and_loads(data, base, tmp_path):
    settings = Settings(batch_size=4, max_steps=2, lora=2, freeze=("vision",), gradient_checkpointing=True, bf16=True)
    run = train(base, mixture_of(data), tmp_path / "out", settings)
    assert 0 < run["num_learning"] < run["num_parameters"]
    assert (tmp_path / "out/adapter_config.json").exists() and load_model(tmp_path / "out")[0].num_parameters()


@pytest.mark.parametrize("name", ["idefics3", "instructblip"])
def test_other_real_classes_train_save_and_generate(name, data, tmp_path):
    model, processor = small(name)
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    run = train(str(tmp_path / "base"), mixture_of(data), tmp_path / "out", Settings(batch_size=4, max_steps=2))
    assert run["steps"] == 2 and run["train_loss"] > 0
    model, processor = load_model(tmp_path / "out")
    rows = [row for row in map(mixture_of(data).row, range(50)) if row["id"] in ("row-100", "row-102", "row-104")]
    assert sorted(len(row["images"]) for row in rows) == [0, 2, 8]
    assert model.generate(**Collator(processor).prompts(rows), max_new_tokens=2).shape[0] == 3


def test_tiny_starts_from_nothing(data, tmp_path):
    run = train("tiny", mixture_of(data), tmp_path / "out", Settings(batch_size=4, max_steps=3, workers=2))
    model, processor = load_model(tmp_path / "out")
    assert model.num_parameters() == run["num_parameters"] > 10_000
    text = "Answer the question about the image."  # the instruction of make_row, or not: bytes are in any case known
    assert processor.tokenizer.decode(processor.tokenizer(text)["input_ids"]) == text


def test_rows_to_evaluate_on_are_validation_rows_of_the_datasets_that_have_some(data, tmp_path):
    shutil.copytree(data, tmp_path / "repository")
    write_rows(tmp_path / "repository/data/kvqa/viquae/validation.jsonl", [make_row(200 + i) for i in range(9)])
    rows = evaluation_rows(mixture_of(tmp_path / "repository"))
    assert sorted(row["id"] for row in rows) == sorted(f"row-{200 + i}" for i in range(9))
    assert len(evaluation_rows(mixture_of(tmp_path / "repository"), limit=4)) == 4
    assert evaluation_rows(mixture_of(data)) == []


@pytest.fixture
def parts(base, tmp_path):
    """Folders of a vision encoder, a language model and an InstructBLIP, for ying."""
    import transformers as t

    tokenizer = tokenizer_with()
    t.LlamaForCausalLM(t.LlamaConfig(**text_sizes(tokenizer))).save_pretrained(tmp_path / "language")
    tokenizer.save_pretrained(tmp_path / "language")
    model, processor = small("instructblip")
    model.save_pretrained(tmp_path / "qformer")
    processor.save_pretrained(tmp_path / "qformer")
    return {"vision": base, "language": str(tmp_path / "language"), "qformer": str(tmp_path / "qformer")}


def test_a_start_that_was_made_for_another_model_is_made_anew(data, parts, tmp_path):
    """As a run leaves it that dies before its first checkpoint."""
    made = []
    for name, seed, own in (("tiny", 0, None), ("ying", 7, parts), ("ying", 7, parts), ("ying", 8, parts)):
        model, _ = open_model(name, mixture_of(data), tmp_path / "out", own, seed, False)
        made.append((type(model).__name__, model.state_dict()))
    assert [kind for kind, _ in made] == ["LlavaForConditionalGeneration", *["YingForConditionalGeneration"] * 3]
    name = "language_projection.weight"
    assert torch.equal(made[1][1][name], made[2][1][name]) and not torch.equal(made[1][1][name], made[3][1][name])


def test_the_tokenizer_of_tiny_is_that_of_the_rows_asked_for_now(data, tmp_path):
    write_rows(tmp_path / "repo/data/kvqa/viquae/train.jsonl", [make_row(i, inputs="zzzz " * 40) for i in range(9)])
    _, before = open_model("tiny", mixture_of(data), tmp_path / "out", None, 0, False)
    other = Mixture(tmp_path / "repo", ["viquae"], batch_size=4)
    _, after = open_model("tiny", other, tmp_path / "out", None, 0, False)
    assert len(after.tokenizer("zzzz")["input_ids"]) < len(before.tokenizer("zzzz")["input_ids"])


def test_a_start_that_a_checkpoint_builds_on_and_one_of_somebody_else_are_not_replaced(data, tmp_path):
    open_model("tiny", mixture_of(data), tmp_path / "out", None, 0, False)
    with pytest.raises(M3ITError, match="start: was not made for this run. Pass the options of the run before"):
        open_model("tiny", mixture_of(data), tmp_path / "out", None, 1, True)
    (tmp_path / "mine/start").mkdir(parents=True)
    (tmp_path / "mine/start/notes.txt").write_text("keep")
    with pytest.raises(M3ITError, match="start: was not made for this run"):
        open_model("tiny", mixture_of(data), tmp_path / "mine", None, 0, False)
    assert (tmp_path / "mine/start/notes.txt").read_text() == "keep"


def test_a_resumed_run_says_the_model_that_it_began_with(data, whole, base, tmp_path, capsys):
    shutil.copytree(whole[0], tmp_path / "out")
    run = train("tiny", mixture_of(data), tmp_path / "out", replace(FAST, max_steps=5), resume=True)
    assert run["options"]["model"] == base
    assert f"goes on with its own model, of --model {base}; --model tiny is not read" in capsys.readouterr().err


def test_lora_is_not_gone_on_with_on_another_model(data, base, tmp_path):
    settings = Settings(batch_size=4, max_steps=1, lora=2, save_every=1)
    train(base, mixture_of(data), tmp_path / "out", settings)
    with pytest.raises(M3ITError, match="checkpoint-1: was learned with --model .*, here it is --model tiny"):
        train("tiny", mixture_of(data), tmp_path / "out", replace(settings, max_steps=2), resume=True)


def test_rows_to_evaluate_on_are_reached_and_left_out_as_those_of_the_mixture(data, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "default")
    write_rows(tmp_path / "repository/data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(9)])
    write_rows(tmp_path / "repository/data/kvqa/viquae/validation.jsonl", [make_row(200 + i) for i in range(3)])
    fsspec.register_implementation("locked", Locked, clobber=True)
    options = {"storage_options": {"key": "right"}, "cache_dir": str(tmp_path / "cache"), "drop_list": ["row-201"]}
    mixture = Mixture(f"locked://{tmp_path}/repository", ["viquae"], batch_size=4, **options)
    assert sorted(row["id"] for row in evaluation_rows(mixture)) == ["row-200", "row-202"]
    assert (tmp_path / "cache").exists() and not (tmp_path / "default").exists()


# ---- what is refused before the first step


def test_a_run_is_not_overwritten(whole, data, base):
    with pytest.raises(M3ITError, match="holds a run already. Pass --resume to go on with it, or another --out"):
        train(base, mixture_of(data), whole[0], FAST)


@pytest.mark.parametrize(
    ("change", "words"), [({"seed": 1}, "its seed is 0, here it is 1"), ({"weights": "sqrt"}, "rows per epoch")]
)
def test_a_checkpoint_of_another_mixture_is_refused(whole, data, base, change, words):
    with pytest.raises(M3ITError, match=f"The checkpoint belongs to another mixture: .*{words}"):
        train(base, mixture_of(data, **change), whole[0], FAST, resume=True)


def test_a_checkpoint_of_another_rank_of_lora_is_refused(whole, data, base):
    with pytest.raises(M3ITError, match="was learned with --lora 0, here it is 3. Pass the same, or another --out"):
        train(base, mixture_of(data), whole[0], replace(FAST, lora=3), resume=True)


def test_a_checkpoint_that_is_cut_says_what_to_remove(whole, data, base, tmp_path):
    shutil.copytree(whole[0], tmp_path / "out")
    (tmp_path / "out/checkpoint-4" / STATE).write_text("{")
    with pytest.raises(M3ITError, match="mixture.json: no JSON .* Remove .*checkpoint-4 to go on from the one before"):
        train(base, mixture_of(data), tmp_path / "out", FAST, resume=True)


def test_parts_of_what_has_none_are_refused(data, base, tmp_path):
    with pytest.raises(M3ITError, match="--vision: expected --model ying, which is made of parts, found"):
        train(base, mixture_of(data), tmp_path / "out", FAST, parts={"vision": "clip"})


def test_more_images_than_the_model_can_take_are_refused(data, base, tmp_path):
    settings = Settings(batch_size=4, max_steps=1, max_length=30)
    with pytest.raises(M3ITError, match="images take .* tokens without any text, more than the 30"):
        train(base, Mixture(data, ["vist"], batch_size=4), tmp_path / "out", settings)


def test_a_model_without_chat_template_is_refused(data, tmp_path):
    model, processor = small("llava")
    processor.chat_template = None
    model.save_pretrained(tmp_path / "plain")
    processor.save_pretrained(tmp_path / "plain")
    with pytest.raises(M3ITError, match="LlavaProcessor has no chat template"):
        train(str(tmp_path / "plain"), mixture_of(data), tmp_path / "out", FAST)


def test_ying_without_its_parts_is_refused(data, tmp_path):
    with pytest.raises(M3ITError, match="ying needs --vision and --language"):
        train("ying", mixture_of(data), tmp_path / "out", FAST)


def test_a_broken_image_stops_or_is_left_out(data, base, tmp_path):
    rows = [make_row(i) for i in range(8)]
    rows[3]["image_base64_str"] = ["aGVsbG8="]
    write_rows(tmp_path / "data/kvqa/viquae/train.jsonl", rows)
    settings = Settings(batch_size=4, max_steps=2, log_rows=True)
    with pytest.raises(M3ITError, match="row-3: .*expected an image"):
        train(base, Mixture(tmp_path, ["viquae"], batch_size=4), tmp_path / "one", settings)
    train(base, Mixture(tmp_path, ["viquae"], batch_size=4, on_error="drop"), tmp_path / "two", settings)
    taken = sum(rows_of(tmp_path / "two"), [])
    assert Counter(taken) == Counter(f"row-{i}" for i in range(8) if i != 3)


# ---- the page


# ---- accuracy of `tiny`


def accuracy_of(out, rows):
    """Share of rows whose generated answer is the row's."""
    model, processor = load_model(out)
    collator, right = Collator(processor, 512), 0
    for start in range(0, len(rows), 256):
        batch = rows[start : start + 256]
        prompts = collator.prompts(batch)
        generated = model.eval().generate(**prompts, max_new_tokens=4, do_sample=False)
        answers = processor.batch_decode(generated[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)
        right += sum(answer.strip() == row["outputs"] for answer, row in zip(answers, batch, strict=True))
    return right / len(rows)


def all_rows(folder, config, split):
    mixture = Mixture(folder, [config], split=split)
    return [mixture.row(position) for position in range(mixture.num_rows)]


def share_of_no(rows):
    return sum(row["outputs"] == "no" for row in rows) / len(rows)


@pytest.mark.slow
@pytest.mark.xfail(
    reason="on questions never asked tiny has 0.59, the majority answer 0.63", raises=AssertionError, strict=True
)
def test_tiny_answers_unseen_questions_about_shapes(tmp_path):
    """Above 0.9 of the test questions, none of which is asked in training; drawn by the same rules as published, where
    an LSTM beside a CNN has 0.65, and a network put together by the parse of each question 0.91."""
    from m3it.making.convert import convert
    from m3it.sources import shapes

    shapes.generate(tmp_path / "files")
    convert("shapes", tmp_path / "files", tmp_path)
    mixture = Mixture(tmp_path, ["shapes"], batch_size=32)
    settings = Settings(batch_size=32, epochs=EPOCHS, workers=1, log_every=200, save_every=10**9)
    run = train("tiny", mixture, tmp_path / "out", settings)
    accuracy = {split: accuracy_of(tmp_path / "out", all_rows(tmp_path, "shapes", split)) for split in SPLITS}
    majority = {split: share_of_no(all_rows(tmp_path, "shapes", split)) for split in SPLITS}
    print(f"shapes: accuracy {accuracy}, majority {majority} after {run['seconds']} s")
    assert accuracy["test"] > 0.9
