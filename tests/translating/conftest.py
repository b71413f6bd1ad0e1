"""A tiny NLLB, trained once for all tests of the wing."""

import pytest
from scripted_translations import pairs, tiny, train_sentencepiece

from m3it.translating.engines import EngineSettings


@pytest.fixture(scope="session")
def nllb(tmp_path_factory):
    """A tiny NLLB that has learnt OK-VQA's sample by heart, English to Chinese."""
    import torch
    from transformers import NllbTokenizer
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    folder, known = tmp_path_factory.mktemp("nllb"), pairs()
    train_sentencepiece(
        folder / "sentencepiece.bpe.model", [text for pair in known for text in pair], vocab_size=400, model_type="bpe"
    )
    tokenizer = NllbTokenizer.from_pretrained(str(folder), extra_special_tokens=FAIRSEQ_LANGUAGE_CODES)
    tokenizer.save_pretrained(folder)
    model = tiny("m2m", tokenizer)
    tokenizer.src_lang, tokenizer.tgt_lang = "eng_Latn", "zho_Hans"
    batch = tokenizer([a for a, _ in known], text_target=[b for _, b in known], padding=True, return_tensors="pt")
    batch["labels"][batch["labels"] == tokenizer.pad_token_id] = -100
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(200):
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)
    return folder


@pytest.fixture
def settings(nllb, tmp_path):
    return EngineSettings("transformers", str(nllb), cache_dir=str(tmp_path / "kept"))
