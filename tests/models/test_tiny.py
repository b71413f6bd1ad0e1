"""m3it/models/tiny.py: a model from scratch learns, is saved, and writes anything."""

import pytest
from conftest import picture

torch = pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("transformers", reason="transformers is an extra")

from small_models import TEXTS, row  # noqa: E402

from m3it.models.collator import Collator  # noqa: E402
from m3it.models.loading import load_model  # noqa: E402
from m3it.models.tiny import make_tiny  # noqa: E402


def test_a_tiny_model_learns_a_row_by_heart_and_is_the_same_when_loaded(tmp_path):
    rows = [{**row(1, outputs=answer), "images": [picture(i)]} for i, answer in enumerate(("red", "blue", "green"))]
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
