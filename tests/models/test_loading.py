"""m3it/models/loading.py: real classes learn, are saved and loaded; parts that are frozen; LoRA."""

from pathlib import Path

import pytest
from conftest import picture

from m3it.rows.instance import M3ITError

torch = pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("transformers", reason="transformers is an extra")

from small_models import NAMES, ROWS, loss_of, row, small, step, text_sizes, tokenizer_with  # noqa: E402

from m3it.models.collator import Collator  # noqa: E402
from m3it.models.loading import add_lora, freeze, load_model, part_of  # noqa: E402


@pytest.mark.parametrize("name", NAMES)
def test_a_real_class_learns_saves_loads_and_generates(name, tmp_path):
    model, processor = small(name)
    collator = Collator(processor, 4096)
    batch = collator(ROWS)
    before = loss_of(model, batch)
    step(model, batch)
    after = loss_of(model, batch)
    assert after < before
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert loss_of(again, batch) == pytest.approx(after, abs=1e-6)
    prompts = collator.prompts(ROWS)
    options = {"max_new_tokens": 3, "do_sample": False}
    generated = again.generate(**prompts, **options)
    assert generated.tolist() == model.eval().generate(**prompts, **options).tolist()
    assert generated.shape[0] == len(ROWS)


@pytest.mark.parametrize("name", NAMES)
def test_images_reach_the_model(name):
    model, processor = small(name)
    collator = Collator(processor, 4096)
    seen, other = collator([row(2)]), collator([{**row(2), "images": [picture(3), picture(5)]}])
    changed = {**seen, "pixel_values": other["pixel_values"]}
    if name == "instructblip":  # its query tokens are zeros, and so is their gradient, in a model made of a config
        torch.nn.init.normal_(model.query_tokens, std=0.5)
    assert loss_of(model, seen) != loss_of(model, changed)


@pytest.mark.parametrize("name", NAMES)
def test_every_part_of_a_model_is_known(name):
    model, _ = small(name)
    assert {part_of(key) for key, _ in model.named_parameters()} == {"vision", "projector", "language"}


def test_frozen_parts_do_not_change():
    model, processor = small("llava")
    freeze(model, ("vision", "language"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    step(model, Collator(processor)(ROWS))
    changed = {part_of(name) for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"projector"}


def test_an_unknown_part_and_nothing_left_are_refused():
    model, _ = small("llava")
    with pytest.raises(M3ITError, match="has no part 'eyes' to freeze: expected projector, vision, language"):
        freeze(model, ["eyes"])
    with pytest.raises(M3ITError, match="nothing is left to learn"):
        freeze(model, ["vision", "projector", "language"])


@pytest.mark.parametrize("name", ["llava", "instructblip", "idefics3"])
def test_lora_learns_in_the_language_model_and_is_merged_when_loaded(name, tmp_path):
    model, processor = small(name)
    base = str(tmp_path / "base")
    model.save_pretrained(base)
    processor.save_pretrained(base)
    model, processor = load_model(base)
    freeze(model, ["vision"])
    lora = add_lora(model, 4)
    learning = [key for key, parameter in lora.named_parameters() if parameter.requires_grad]
    assert {part_of(key) for key in learning} == {"language", "projector"}
    assert all("lora_" in key for key in learning if part_of(key) == "language")
    batch = Collator(processor, 4096)(ROWS)
    losses = [step(lora, batch) for _ in range(4)]
    assert losses[3] < losses[0]
    lora.save_pretrained(tmp_path / "out")
    processor.save_pretrained(tmp_path / "out")
    assert not list(Path(tmp_path / "out").glob("model*"))
    merged, _ = load_model(tmp_path / "out")
    assert loss_of(merged, batch) == pytest.approx(loss_of(lora, batch), abs=1e-4)


def test_what_is_no_vlm_is_refused_in_a_sentence(tmp_path):
    import transformers as t

    tokenizer = tokenizer_with()
    t.LlamaForCausalLM(t.LlamaConfig(**text_sizes(tokenizer))).save_pretrained(tmp_path)
    with pytest.raises(M3ITError, match="cannot be loaded as an image-text-to-text model"):
        load_model(tmp_path)
    with pytest.raises(M3ITError, match="no-such-folder: there is no such folder"):
        load_model(tmp_path / "no-such-folder")
    (tmp_path / "config.json").write_text('{"model_type": "flamingo-9"}')
    with pytest.raises(M3ITError, match="flamingo-9"):
        load_model(tmp_path)
