"""Models: tiny from scratch, Ying from parts, parts that are frozen, LoRA; each learns, saves, loads and generates."""

from pathlib import Path

import pytest
from conftest import picture

from m3it.rows.instance import M3ITError

torch = pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("transformers", reason="transformers is an extra")

from small_models import NAMES, TEXTS, small, text_sizes, tokenizer_with  # noqa: E402

from m3it.models.collator import Collator  # noqa: E402
from m3it.models.loading import add_lora, freeze, load_model, part_of  # noqa: E402
from m3it.models.tiny import make_tiny  # noqa: E402
from m3it.models.ying import make_ying  # noqa: E402


def row(num_images=1, outputs="a red circle"):
    """A row of a mixture."""
    texts = {"instruction": "Look at the picture.", "inputs": "What is shown?", "outputs": outputs}
    images = [picture(i) for i in range(num_images)]
    return {"dataset": "d", "id": f"row-{num_images}", **texts, "images": images, "meta": {}}


ROWS = [row(n) for n in (0, 1, 2, 5, 8)]


def step(model, batch, learning_rate=1e-2):
    """The loss before one step of AdamW, on the parameters that may learn."""
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], learning_rate)
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    return loss.item()


def loss_of(model, batch):
    with torch.no_grad():
        return model.eval()(**batch).loss.item()


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


def test_a_tiny_model_learns_a_row_by_heart_and_is_the_same_when_loaded(tmp_path):
    rows = [{**row(1, answer), "images": [picture(i)]} for i, answer in enumerate(("red", "blue", "green"))]
    model, processor = make_tiny([*TEXTS, "red", "blue", "green"])
    collator = Collator(processor, 512)
    batch = collator(rows)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(100):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, its_processor = load_model(tmp_path)
    prompts = Collator(its_processor, 512).prompts(rows)
    generated = loaded.eval().generate(**prompts, max_new_tokens=8, do_sample=False)
    answers = its_processor.batch_decode(generated[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answers == ["red", "blue", "green"]


def test_a_tiny_model_is_the_same_for_the_same_texts_and_seed():
    one, two, other = (make_tiny(TEXTS, seed=seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_a_tiny_tokenizer_can_write_anything():
    tokenizer = make_tiny(TEXTS)[1].tokenizer
    for text in ("What is shown?", "中文 é 😀", "  two  blanks\n"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


# ---- Ying


@pytest.fixture
def parts(tmp_path):
    """Folders of a CLIP, a Llama with its tokenizer, and an InstructBLIP whose Q-Former fits the CLIP."""
    import transformers as t

    t.set_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision = t.CLIPVisionConfig(**sizes, image_size=28, patch_size=14)
    text = t.CLIPTextConfig(**sizes, vocab_size=99)
    t.CLIPModel(t.CLIPConfig(vision_config=vision.to_dict(), text_config=text.to_dict())).save_pretrained(
        tmp_path / "v"
    )
    t.CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(
        tmp_path / "v"
    )
    tokenizer = tokenizer_with()
    t.LlamaForCausalLM(t.LlamaConfig(**text_sizes(tokenizer))).save_pretrained(tmp_path / "l")
    tokenizer.save_pretrained(tmp_path / "l")
    model, processor = small("instructblip")
    model.save_pretrained(tmp_path / "q")
    processor.save_pretrained(tmp_path / "q")
    return {"vision": str(tmp_path / "v"), "language": str(tmp_path / "l"), "qformer": str(tmp_path / "q")}


@pytest.mark.parametrize("encoder", ["v", "q"], ids=["CLIP", "InstructBLIP"])
def test_ying_has_the_weights_of_its_parts_and_only_the_middle_learns(parts, tmp_path, encoder):
    import transformers as t

    parts["vision"] = str(tmp_path / encoder)
    model, processor = make_ying(**parts)
    llama = t.LlamaForCausalLM.from_pretrained(parts["language"]).state_dict()
    qformer = t.InstructBlipForConditionalGeneration.from_pretrained(parts["qformer"]).qformer.state_dict()
    rows = len(llama["model.embed_tokens.weight"])
    for name, value in llama.items():
        assert torch.equal(model.language_model.state_dict()[name][:rows], value), name
    assert all(torch.equal(model.qformer.state_dict()[name], value) for name, value in qformer.items())
    freeze(model, ("vision", "language"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batch = Collator(processor, 512)(ROWS)
    losses = [step(model, batch) for _ in range(3)]
    assert losses[2] < losses[0]
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"qformer", "query_tokens", "language_projection"}


@pytest.mark.slow  # a Q-Former of BERT's size
def test_ying_with_a_fresh_qformer_saves_loads_and_generates(parts, tmp_path):
    parts.pop("qformer")
    model, processor = make_ying(**parts, num_query_tokens=2)
    model.save_pretrained(tmp_path / "ying")
    processor.save_pretrained(tmp_path / "ying")
    loaded, its_processor = load_model(tmp_path / "ying")
    batch = Collator(processor, 512)(ROWS)
    assert loss_of(loaded, batch) == pytest.approx(loss_of(model, batch), abs=1e-6)
    prompts = Collator(its_processor, 512).prompts(ROWS)
    assert loaded.generate(**prompts, max_new_tokens=2, do_sample=False).shape[0] == len(ROWS)


def test_a_qformer_of_another_width_is_refused(parts, tmp_path):
    import transformers as t

    wide = t.SiglipVisionConfig(hidden_size=64, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)
    t.SiglipVisionModel(wide).save_pretrained(tmp_path / "wide")
    with pytest.raises(M3ITError, match="its Q-Former expects 32, .*wide gives 64 numbers a token"):
        make_ying(**{**parts, "vision": str(tmp_path / "wide")})


# ---- parts


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
    with pytest.raises(M3ITError, match="no-such-folder: cannot be loaded"):
        load_model(tmp_path / "no-such-folder")
    (tmp_path / "config.json").write_text('{"model_type": "flamingo-9"}')
    with pytest.raises(M3ITError, match="flamingo-9"):
        load_model(tmp_path)
