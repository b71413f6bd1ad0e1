"""Translators for tests: tiny models of the real classes, and a scripted server that misbehaves."""

import json

from chat_server import Refuse, completion
from conftest import make_row, write_rows
from make_data import FIXTURES

from m3it.translating.engines import EngineSettings

ENGLISH_TEXT = "How many people are sitting at the wooden table?"
GERMAN = "Wie viele Menschen sitzen an dem hölzernen Tisch?"
FAULTS = {
    "empty": "",
    "copy of the source": ENGLISH_TEXT,
    "wrong language": "Tell me the number of persons who sit around this table.",
    "wrong script": "Сколько людей сидит за деревянным столом?",
    "repetition": "Wie viele, wie viele, wie viele, wie viele, wie viele?",
    "length ratio": f"{GERMAN} Es gibt hier im Raum sehr viele Menschen, die alle zusammen an einem Tisch sitzen und "
    "miteinander essen, trinken, reden und lachen, bis spät in die Nacht hinein.",
    "no translation": Refuse(400, "no such text here"),
}  # what a model may say instead of GERMAN, by the reason that it is refused for


def pairs(dataset="okvqa", code="zh"):
    """(English, translation) of the sample's questions and answers, distinct."""
    english = [json.loads(line) for line in (FIXTURES / dataset / "expected.jsonl").read_text("utf-8").splitlines()]
    row_by_id = {row["id"]: row for row in english if "drop" not in row}
    rows = map(json.loads, (FIXTURES / dataset / "translations.jsonl").read_text("utf-8").splitlines())
    rows = [row for row in rows if row["language"] == code]
    return list(
        dict.fromkeys((row_by_id[row["id"]][name], row[name]) for row in rows for name in ("inputs", "outputs"))
    )


def train_sentencepiece(path, texts, **options):
    """Write a sentencepiece model of the texts to the path."""
    import sentencepiece

    (path.parent / "texts.txt").write_text("\n".join(texts), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(path.parent / "texts.txt"), model_prefix=str(path.with_suffix("")), character_coverage=1.0,
        hard_vocab_limit=False, minloglevel=2, **options,
    )  # fmt: skip


def tiny(kind, tokenizer, vocab_size=None):
    """An untrained model of a real class, a layer each way."""
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration, T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    if kind == "t5":
        config = T5Config(
            vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4,
            decoder_start_token_id=tokenizer.pad_token_id, **ids,
        )  # fmt: skip
        return T5ForConditionalGeneration(config)
    config = M2M100Config(
        vocab_size=vocab_size or len(tokenizer), d_model=64, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=128, decoder_ffn_dim=128, max_position_embeddings=128, dropout=0.0,
        attention_dropout=0.0, activation_dropout=0.0, encoder_layerdrop=0.0, decoder_layerdrop=0.0,
        decoder_start_token_id=tokenizer.eos_token_id, **ids,
    )  # fmt: skip
    return M2M100ForConditionalGeneration(config)


def server_settings(server, tmp_path):
    """Settings of an engine that asks the server and keeps what it said below tmp_path."""
    return EngineSettings("openai", "scripted", base_url=server.url, cache_dir=str(tmp_path / "kept"))


def repository_of(tmp_path, *rows):
    """A repository whose config `own` holds the rows."""
    made = [make_row(i, **{"instruction": "", **row}) for i, row in enumerate(rows)]
    write_rows(tmp_path / "repo/data/vqa/own/validation.jsonl", made)
    return str(tmp_path / "repo")


def scripted(said, at_first=True):
    """A server that says the given things at first, and the right ones when asked again; or the given ones always."""

    def reply(request):
        text, again = request["messages"][-1]["content"], request["temperature"] > 0
        answer = GERMAN if at_first and again else said.get(text, GERMAN)
        if isinstance(answer, Refuse):
            raise answer
        return answer if isinstance(answer, str) else completion(request, *answer)

    return reply
