"""The whole stage: tiny models of the real classes, a tokenizer trained here, a scripted server that misbehaves."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from chat_server import ChatServer, Refuse, completion
from conftest import ROOT, make_row, write_rows
from make_data import FIXTURES
from typer.testing import CliRunner

from m3it import LANGUAGES, load_dataset
from m3it.catalogue import ENGLISH, known_instructions
from m3it.cli import app
from m3it.publishing.release import release
from m3it.reading.corrections import read_corrections, unused
from m3it.rows.instance import M3ITError
from m3it.translating.engines import Job, by_length, open_translator
from m3it.translating.flores import select_languages
from m3it.translating.languages import find_language
from m3it.translating.texts import Desk
from m3it.translating.translate import translate

ZH = LANGUAGES["zh"]


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
    torch.set_num_threads(1)
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


@pytest.fixture(scope="module")
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
def job(nllb, tmp_path):
    return Job("transformers", str(nllb), cache_dir=str(tmp_path / "kept"))


# ---- the stage


def test_okvqa_zh_made_by_a_model_loads_with_the_ids_pictures_and_instructions_of_its_rows(job, tmp_path):
    runs = translate("okvqa", ["zh"], job, str(ROOT), tmp_path / "out", split="validation")
    (file,) = runs["zh"]["files"].values()
    english = load_dataset(str(ROOT), "okvqa", split="validation", meta=True)
    chinese = load_dataset(str(tmp_path / "out"), "okvqa-zh", split="validation", meta=True)
    by_hand = dict(pairs())
    assert len(chinese) == len(english) == file["num_rows"] > 2 and not file["drops"]
    for row, source in zip(chinese, english, strict=True):
        meta = json.loads(row["meta"])
        assert meta["id"] == json.loads(source["meta"])["id"]
        assert row["image_base64_str"] == source["image_base64_str"]
        assert row["instruction"] == known_instructions("okvqa", "zh")[source["instruction"]]
        assert row["outputs"] == by_hand[source["outputs"]]
        assert row["inputs"] == by_hand[source["inputs"]].replace("？", "?")  # sentencepiece's normal form, as NLLB's
        assert meta["translated"] == job.model and meta["translation_notes"]["instruction"] == ["by hand"]
    counts = runs["zh"]["counts"]
    assert (
        counts["passed"]
        == counts["asked"]
        == counts["texts"]
        == len({t for r in english for t in (r["inputs"], r["outputs"])})
    )


def test_a_second_run_asks_the_model_nothing_and_writes_the_same_bytes(job, tmp_path):
    first = translate("okvqa", ["zh"], job, str(ROOT), tmp_path / "one", split="validation")
    second = translate("okvqa", ["zh"], job, str(ROOT), tmp_path / "two", split="validation")
    assert first["zh"]["counts"]["asked"] > 0 == second["zh"]["counts"]["asked"]
    assert first["zh"]["files"] == second["zh"]["files"]
    third = translate("okvqa", ["zh"], job, str(ROOT), tmp_path / "one", split="validation")
    assert third == first  # what is done is not done again


def test_several_workers_write_the_same_bytes(job, tmp_path):
    one = translate("okvqa", ["zh"], job, str(ROOT), tmp_path / "one", limit=2)
    two = translate("okvqa", ["zh"], job, str(ROOT), tmp_path / "two", limit=2, workers=2)
    assert one["zh"]["files"] == two["zh"]["files"] and len(one["zh"]["files"]) == 2


def test_another_model_is_not_mixed_into_a_folder(job, tmp_path):
    translate("okvqa", ["zh"], job, str(ROOT), tmp_path, split="validation", limit=1)
    with pytest.raises(M3ITError, match="was made with limit=1, not 2"):
        translate("okvqa", ["zh"], job, str(ROOT), tmp_path, split="validation", limit=2)


def killing(pid_path, at):
    """A server that ends a program after so many requests with SIGKILL, once."""
    count = itertools.count(1)

    def reply(request):
        if next(count) == at:
            os.kill(int(pid_path.read_text()), signal.SIGKILL)
        return f"Griechisch {request['messages'][-1]['content']}".translate(GREEK)

    return reply


GREEK = str.maketrans("abcdefghijklmnopqrstuvwxyzGS", "αβψδεφγηιξκλμνοπρστθυςωχζϊΓΣ")


def test_a_killed_run_goes_on_where_it_was_and_ends_with_the_same_bytes(tmp_path):
    program = """
import os, sys
open(sys.argv[3], "w").write(str(os.getpid()))
from m3it.translating import translate
translate.WINDOW_ROWS = 4
job = translate.Job("openai", "scripted", base_url=sys.argv[1], cache_dir=sys.argv[4], parallel=2)
translate.translate("own", ["el"], job, sys.argv[2], sys.argv[5])
"""
    words = ["dog", "cat", "car", "house", "tree", "boat", "chair", "fish", "robot", "flower", "star", "train"]
    repo = repository_of(tmp_path, *({"inputs": f"where is the {word}", "outputs": word} for word in words))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(server, name):
        ours = [str(tmp_path / "pid"), str(tmp_path / f"kept-{name}"), str(tmp_path / name)]
        return subprocess.run([sys.executable, "-c", program, server.url, repo, *ours], env=env, check=False).returncode

    def bytes_of(name):
        paths = (path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in paths}

    with ChatServer(killing(tmp_path / "pid", at=13)) as server:
        assert run(server, "killed") == -signal.SIGKILL and not list((tmp_path / "killed").rglob("validation.jsonl"))
        before = len(server.asked)
        assert run(server, "killed") == 0
        assert len(server.asked) - before < 2 * len(words) - 8  # the first windows' texts were kept
    with ChatServer(killing(tmp_path / "pid", at=0)) as server:
        assert run(server, "whole") == 0 and len(server.asked) == 2 * len(words)
    killed, whole = bytes_of("killed"), bytes_of("whole")
    shard = "data/vqa/own/el/validation.jsonl"
    assert killed[shard] == whole[shard] and len(killed[shard].splitlines()) == len(words)
    assert set(killed) == set(whole)


@pytest.mark.slow
def test_a_cluster_writes_the_same_bytes(tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is an extra: pip install 'm3it[cluster]'")
    repo = repository_of(tmp_path, *({"inputs": f"the {word} there", "outputs": word} for word in ("dog", "cat")))
    options = {"processes": True, "n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with ChatServer(killing(tmp_path / "pid", at=0)) as server:
        job = translator_job(server, tmp_path)
        one = translate("own", ["el"], job, repo, tmp_path / "one")
        with distributed.LocalCluster(**options, local_directory=str(tmp_path / "dask")) as cluster:
            two = translate("own", ["el"], job, repo, tmp_path / "two", cluster=cluster.scheduler_address)
    assert one["el"]["files"] == two["el"]["files"] and one["el"]["files"]["validation.jsonl"]["num_rows"] == 2


def test_progress_is_told_window_by_window_with_the_number_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("m3it.translating.translate.WINDOW_ROWS", 2)
    repo, seen = (
        repository_of(tmp_path, *({"inputs": word, "outputs": ""} for word in ("is", "are", "was", "were"))),
        [],
    )

    def progress(items, description, total):
        for item in items:
            seen.append((len(server.asked), total))
            yield item

    with ChatServer(lambda request: "sein") as server:
        translate("own", ["de"], translator_job(server, tmp_path), repo, tmp_path / "out", limit=3, progress=progress)
    assert seen == [(2, 3), (2, 3), (3, 3)]  # texts asked for, rows in all, as each row is done


def test_shards_that_no_run_made_are_not_written_over(tmp_path):
    repo = repository_of(tmp_path, {"inputs": ENGLISH_TEXT, "outputs": ""})
    write_rows(tmp_path / "repo/data/vqa/own/de/validation.jsonl", [make_row(0)])
    with ChatServer(lambda request: GERMAN) as server:
        with pytest.raises(M3ITError, match="own/de: holds validation.jsonl, which this command did not make"):
            translate("own", ["de"], translator_job(server, tmp_path), repo, repo)
        (tmp_path / "repo/data/vqa/own/de/validation.jsonl").unlink()
        translate("own", ["de"], translator_job(server, tmp_path), repo, repo)
        write_rows(tmp_path / "repo/data/vqa/own/de/validation-00000-of-00002.jsonl", [make_row(0)])
        with pytest.raises(M3ITError, match="holds validation-00000-of-00002.jsonl already"):
            translate("own", ["de"], translator_job(server, tmp_path), repo, repo)


def test_back_translation_is_scored(job, tmp_path):
    runs = translate("okvqa", ["zh"], job, str(ROOT), tmp_path, split="validation", back=3)
    score = runs["zh"]["back_translation"]
    assert score["num_texts"] == 3 and 0 <= score["chrf"] <= 100 and score["signature"].startswith("nrefs:1")


# ---- models


def test_ctranslate2_gives_the_tokens_that_transformers_gives(nllb, job, tmp_path):
    converters = pytest.importorskip("ctranslate2.converters")
    names = ["sentencepiece.bpe.model", "tokenizer.json", "tokenizer_config.json"]
    converters.TransformersConverter(str(nllb), copy_files=[n for n in names if (nllb / n).exists()]).convert(
        str(tmp_path / "ct2")
    )
    texts = [text for text, _ in pairs()]
    ours = open_translator(job._replace(num_beams=1)).translate(texts, ENGLISH, ZH)
    theirs = open_translator(Job("ctranslate2", str(tmp_path / "ct2"), num_beams=1)).translate(texts, ENGLISH, ZH)
    assert theirs == ours and len(set(ours)) > 8


def test_m2m100_gets_its_own_language_tokens_and_says_which_of_the_80_it_lacks(tmp_path):
    from transformers import M2M100Tokenizer

    train_sentencepiece(tmp_path / "sentencepiece.bpe.model", [a for a, _ in pairs()], vocab_size=120, model_type="bpe")
    words = [line.split("\t")[0] for line in (tmp_path / "sentencepiece.bpe.vocab").read_text("utf-8").splitlines()]
    vocab = {word: i for i, word in enumerate(dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *words]))}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab), "utf-8")
    tokenizer = M2M100Tokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "sentencepiece.bpe.model"))
    tokenizer.save_pretrained(tmp_path)
    tiny("m2m", tokenizer, max(tokenizer.lang_code_to_id.values()) + 9).save_pretrained(tmp_path)
    translator = open_translator(Job("transformers", str(tmp_path)))
    assert translator.token(ZH) == "__zh__"
    (ids,) = translator.encode(["What is the capital?"], ENGLISH, ZH)
    assert ids[0] == tokenizer.get_lang_id("en") and ids[-1] == tokenizer.eos_token_id
    (written,) = translator.generate([ids], ZH, {"num_beams": 1})
    assert written[:2] == [tokenizer.eos_token_id, tokenizer.get_lang_id("zh")]
    with pytest.raises(M3ITError, match=r"no token for as \(Assamese\)\. Of the 80 languages it lacks 10: as, ky,"):
        translator.translate(["a"], ENGLISH, LANGUAGES["as"])


def test_madlad_gets_the_language_in_front_of_the_text(tmp_path):
    from transformers import T5Tokenizer

    train_sentencepiece(
        tmp_path / "spiece.model", [a for a, _ in pairs()], vocab_size=100, model_type="unigram", pad_id=1, eos_id=2,
        unk_id=0, bos_id=-1, user_defined_symbols=["<2en>", "<2zh>", "<2fil>"],
    )  # fmt: skip
    tokenizer = T5Tokenizer.from_pretrained(str(tmp_path), extra_ids=0)
    tokenizer.save_pretrained(tmp_path)
    tiny("t5", tokenizer).save_pretrained(tmp_path)
    translator = open_translator(Job("transformers", str(tmp_path), num_beams=2))
    assert [translator.token(LANGUAGES[code]) for code in ("zh", "tl", "de")] == ["<2zh>", "<2fil>", None]
    (ids,) = translator.encode(["What is the capital?"], ENGLISH, ZH)
    assert tokenizer.convert_tokens_to_ids("<2zh>") in ids[:2] and ids[-1] == tokenizer.eos_token_id
    assert len(translator.translate(["What is it?", "a"], ENGLISH, ZH)) == 2


def test_batches_are_of_like_length_and_hold_every_text_once():
    sizes = [5, 900, 5, 7, 800, 6, 1000, 4]
    batches = list(by_length(sizes, batch_tokens=2000))
    assert batches == [[6, 1], [4, 3], [5, 0, 2, 7]]
    assert sorted(place for batch in by_length([1] * 300) for place in batch) == list(range(300))


def test_a_text_longer_than_the_model_is_translated_in_parts(job):
    desk = Desk(job, ENGLISH, ZH)
    text = "What is the capital of the country with this flag? " * 40
    assert desk.translator.num_tokens(text) > desk.translator.max_tokens == 128
    desk.translate([text])
    assert desk.counts["texts"] == 1 and desk.memory.num_asked == 1  # the one sentence that stands there forty times


# ---- a server that misbehaves

ENGLISH_TEXT = "How many people are sitting at the wooden table?"
GERMAN = "Wie viele Menschen sitzen an dem hölzernen Tisch?"


def translator_job(server, tmp_path):
    return Job("scripted", "scripted", base_url=server.url, cache_dir=str(tmp_path / "kept"))._replace(backend="openai")


def repository_of(tmp_path, *rows):
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


FAULTS = {
    "empty": "",
    "copy of the source": ENGLISH_TEXT,
    "wrong language": "Tell me the number of persons who sit around this table.",
    "wrong script": "Сколько людей сидит за деревянным столом?",
    "repetition": "Wie viele, wie viele, wie viele, wie viele, wie viele?",
    "length ratio": f"{GERMAN} Es gibt hier im Raum sehr viele Menschen, die alle zusammen an einem Tisch sitzen und "
    "miteinander essen, trinken, reden und lachen, bis spät in die Nacht hinein.",
    "no translation": Refuse(400, "no such text here"),
}


@pytest.mark.parametrize("reason", FAULTS)
def test_each_fault_is_caught_counted_and_mended_by_asking_again(reason, tmp_path):
    repo = repository_of(tmp_path, {"inputs": ENGLISH_TEXT, "outputs": ""})
    with ChatServer(scripted({ENGLISH_TEXT: FAULTS[reason]})) as server:
        run = translate("own", ["de"], translator_job(server, tmp_path), repo, tmp_path / "out")["de"]
    (row,) = load_dataset(str(tmp_path / "out"), "own-de", split="validation", meta=True)
    assert row["inputs"] == GERMAN and run["counts"][reason] == 1 == run["counts"]["passed"]
    assert json.loads(row["meta"])["translation_notes"] == {"inputs": [f"{reason} (decoding 0)"]}


@pytest.mark.parametrize("reason", FAULTS)
def test_each_fault_that_stays_drops_the_row_with_its_reason_or_keeps_its_english(reason, tmp_path):
    repo = repository_of(tmp_path, {"inputs": ENGLISH_TEXT, "outputs": "3"}, {"inputs": "7?", "outputs": "8"})
    with ChatServer(scripted({ENGLISH_TEXT: FAULTS[reason]}, at_first=False)) as server:
        job = translator_job(server, tmp_path)
        run = translate("own", ["de"], job, repo, tmp_path / "drop")["de"]
        kept = translate("own", ["de"], job, repo, tmp_path / "keep", on_error="keep")["de"]
        with pytest.raises(M3ITError, match=f"row 'row-0' in de: inputs: {reason}. Pass --on-error drop"):
            translate("own", ["de"], job, repo, tmp_path / "raise", on_error="raise")
    assert run["counts"][reason] == 3 and run["files"]["validation.jsonl"]["drops"] == {f"inputs: {reason}": 1}
    (drop,) = map(json.loads, (tmp_path / "drop/data/vqa/own/de/drops.jsonl").read_text("utf-8").splitlines())
    assert drop == {"id": "row-0", "shard": "validation.jsonl", "reason": f"inputs: {reason}"}
    rows = list(load_dataset(str(tmp_path / "keep"), "own-de", split="validation", meta=True))
    assert kept["files"]["validation.jsonl"]["num_rows"] == 2 and rows[0]["inputs"] == ENGLISH_TEXT
    assert json.loads(rows[0]["meta"])["translation_kept"] == f"inputs: {reason}"


def test_a_lost_placeholder_is_mended_by_translating_the_pieces_between(tmp_path):
    said = {"Is [1] in [2]?": "Ist das dort?", "Is": "Ist", "in": "in"}
    repo = repository_of(tmp_path, {"inputs": "Is B52 in <image>?", "outputs": ""})
    with ChatServer(scripted(said, at_first=False)) as server:
        run = translate("own", ["de"], translator_job(server, tmp_path), repo, tmp_path / "out")["de"]
    (row,) = load_dataset(str(tmp_path / "out"), "own-de", split="validation", meta=True)
    assert row["inputs"] == "Ist B52 in <image>?" and run["counts"]["by pieces"] == 1
    assert json.loads(row["meta"])["translation_notes"] == {"inputs": ["by pieces"]}


def test_a_placeholder_invented_between_the_protected_parts_is_no_translation(tmp_path):
    said = {"Is [1] here?": "Ist das hier?", "Is": "Ist [1]", "here?": "hier?"}
    repo = repository_of(tmp_path, {"inputs": "Is B52 here?", "outputs": ""})
    with ChatServer(scripted(said, at_first=False)) as server:
        run = translate("own", ["de"], translator_job(server, tmp_path), repo, tmp_path / "out")["de"]
    assert run["files"]["validation.jsonl"]["drops"] == {"inputs: no translation": 1}


@pytest.mark.parametrize(
    ("source", "target", "text", "said", "expected"),
    [
        ("en", "zh", "He left. Why?\n He did.", {"He left.": "他走了。", "Why?": "为什么？", "He did.": "走了。"},
         "他走了。为什么？\n 走了。"),
        ("en", "th", "He left. Why?", {"He left.": "เขาไปแล้ว", "Why?": "ทำไม"}, "เขาไปแล้ว ทำไม"),
        ("en", "ar", "He left. Why?", {"He left.": "لقد غادر.", "Why?": "لماذا؟"}, "لقد غادر. لماذا؟"),
        ("zh", "de", "他走了。为什么？", {"他走了。": "Er ging.", "为什么？": "Warum?"}, "Er ging. Warum?"),
        ("zh", "de", "有7只狗。", {"有[1]只狗。": "Hunde", "有": "Es gibt", "只狗。": "Hunde."}, "Es gibt 7 Hunde."),
        ("zh", "ja", "他走了。为什么？", {"他走了。": "彼は行った。", "为什么？": "なぜ？"}, "彼は行った。なぜ？"),
    ],
)  # fmt: skip
def test_parts_are_put_together_with_the_blanks_of_the_language(source, target, text, said, expected, tmp_path):
    languages = {"en": ENGLISH, **LANGUAGES}
    with ChatServer(scripted(said, at_first=False)) as server:
        desk = Desk(translator_job(server, tmp_path), languages[source], languages[target])
        assert desk.translate([text])[text].text == expected


def test_what_was_asked_for_otherwise_for_one_row_is_not_taken_for_others(tmp_path):
    with ChatServer(scripted({"a dog": "ein Köter"})) as server:
        desk = Desk(translator_job(server, tmp_path), ENGLISH, LANGUAGES["de"])
        first = desk.translate(["a dog"])["a dog"]
        assert desk.translate(["a dog"], decoding=1)["a dog"] != first == desk.translate(["a dog"])["a dog"]


def test_a_long_protected_span_does_not_make_a_text_too_long(tmp_path):
    url = f"https://a.example/{'x' * 9000}"
    with ChatServer(lambda request: "Siehe [1], bitte.") as server:
        desk = Desk(translator_job(server, tmp_path), ENGLISH, LANGUAGES["de"])
        text = f"See {url}, please."
        assert desk.translate([text])[text].text == f"Siehe {url}, bitte."


def test_a_changed_number_is_caught(tmp_path):
    said = {"Who was born in the 1940s?": "Wer wurde in den 1950er-Jahren geboren?"}
    repo = repository_of(tmp_path, {"inputs": "Who was born in the 1940s?", "outputs": ""})
    with ChatServer(scripted(said, at_first=False)) as server:
        run = translate("own", ["de"], translator_job(server, tmp_path), repo, tmp_path / "out")["de"]
    assert run["files"]["validation.jsonl"]["drops"] == {"inputs: number changed": 1}


OPTIONS = "Options:\n(A) a dog\n(B) a cat"


def test_options_keep_their_letters_and_the_answer_stays_one_of_them(tmp_path):
    said = {"Options:": "Optionen:", "a dog": "ein Hund", "a cat": "eine Katze"}
    repo = repository_of(tmp_path, {"inputs": OPTIONS, "outputs": "(B) a cat"})
    with ChatServer(scripted(said, at_first=False)) as server:
        translate("own", ["de"], translator_job(server, tmp_path), repo, tmp_path / "out")
        assert len(server.asked) == 3  # each distinct part once
    (row,) = load_dataset(str(tmp_path / "out"), "own-de", split="validation")
    assert row["inputs"] == "Optionen:\n(A) ein Hund\n(B) eine Katze" and row["outputs"] == "(B) eine Katze"


@pytest.mark.parametrize(("again", "kept"), [("ein Hund.", True), ("ein Wauwau.", False)])
def test_an_answer_that_leaves_its_options_is_asked_again_then_dropped(tmp_path, again, kept):
    said = {"Options:": "Optionen:", "a dog": "ein Hund", "a cat": "eine Katze"}

    def reply(request):
        text = request["messages"][-1]["content"]
        return said[text] if text in said else again if request["temperature"] else "ein Köter."

    repo = repository_of(tmp_path, {"inputs": OPTIONS, "outputs": "a dog."})
    with ChatServer(reply) as server:
        run = translate("own", ["de"], translator_job(server, tmp_path), repo, tmp_path / "out")["de"]
    made = run["files"]["validation.jsonl"]
    assert made["num_rows"] == kept and made["drops"] == ({} if kept else {"answer not among the options": 1})


def test_an_answer_that_became_the_question_is_dropped(tmp_path):
    repo = repository_of(tmp_path, {"inputs": ENGLISH_TEXT, "outputs": "Three old people are sitting there."})
    with ChatServer(lambda request: GERMAN) as server:
        run = translate("own", ["de"], translator_job(server, tmp_path), repo, tmp_path / "out")["de"]
    assert run["files"]["validation.jsonl"]["drops"] == {"answer equals the question": 1}


def test_a_row_with_no_text_is_dropped_and_counted(tmp_path):
    repo = repository_of(tmp_path, {"inputs": " ", "outputs": ""}, {"inputs": ENGLISH_TEXT, "outputs": ""})
    with ChatServer(lambda request: GERMAN) as server:
        run = translate("own", ["de"], translator_job(server, tmp_path), repo, tmp_path / "out", on_error="keep")["de"]
    made = run["files"]["validation.jsonl"]
    assert made["num_rows"] == 1 and made["drops"] == {"no text": 1}


def test_a_row_with_no_text_ends_a_run_that_is_to_raise(tmp_path):
    repo = repository_of(tmp_path, {"inputs": " ", "outputs": ""})
    with ChatServer() as server, pytest.raises(M3ITError, match="row 'row-0' in de: no text"):
        translate("own", ["de"], translator_job(server, tmp_path), repo, tmp_path / "out", on_error="raise")


def test_line_breaks_stay(tmp_path):
    repo = repository_of(tmp_path, {"inputs": f"{ENGLISH_TEXT}\n\n  {ENGLISH_TEXT}", "outputs": ""})
    with ChatServer(lambda request: GERMAN) as server:
        translate("own", ["de"], translator_job(server, tmp_path), repo, tmp_path / "out")
        assert len(server.asked) == 1
    (row,) = load_dataset(str(tmp_path / "out"), "own-de", split="validation")
    assert row["inputs"] == f"{GERMAN}\n\n  {GERMAN}"


def test_rows_travel_through_all_80_codes_and_back_and_load_by_their_names(tmp_path):
    repo = repository_of(tmp_path, {"inputs": "a small dog", "outputs": "15"})

    def reply(request):
        """The own name of the language that is asked for, in its own script."""
        asked = request["messages"][0]["content"].split("\n")[0]
        found = [x.own_name for x in LANGUAGES.values() if f"to {x.name} ({x.own_name})" in asked]
        return found[0] if found else "a small dog"

    with ChatServer(reply) as server:
        runs = translate("own", LANGUAGES, translator_job(server, tmp_path), repo, tmp_path / "out", back=1)
        assert list(runs) == list(LANGUAGES) and len(server.asked) == 160
    assert {run["back_translation"]["chrf"] for run in runs.values()} == {100}
    for code, language in LANGUAGES.items():
        (row,) = load_dataset(str(tmp_path / "out"), f"own-{code}", split="validation", streaming=True)
        assert (row["inputs"], row["outputs"]) == (language.own_name, "15")


# ---- languages


def test_every_language_is_found_by_its_code_and_no_two_share_anything():
    assert len(LANGUAGES) == 80 and [find_language(code) for code in LANGUAGES] == list(LANGUAGES.values())
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    assert {language.nllb for language in LANGUAGES.values()} <= set(FAIRSEQ_LANGUAGE_CODES)
    assert {code for code, language in LANGUAGES.items() if language.rtl} == {"ar", "he", "sd", "ur"}
    assert {code for code, x in LANGUAGES.items() if not x.spaces} == {"ja", "km", "lo", "my", "th", "zh"}
    for column in ("code", "name", "own_name", "nllb"):
        assert len({getattr(language, column) for language in LANGUAGES.values()}) == 80


@pytest.mark.parametrize(
    ("given", "near"),
    [("zh-CN", "zh"), ("Chinese", "zh"), ("german", "de"), ("fra_Latn", "fr"), ("日本語", "ja"), ("deu", "de")],
)
def test_an_unknown_code_is_answered_with_the_nearest(given, near):
    with pytest.raises(M3ITError, match=f"Unknown language '{given}'. Did you mean '{near}'"):
        find_language(given)


def test_an_81st_language_is_named_by_its_nllb_code(tmp_path):
    assert find_language("sw=swh_Latn").nllb == "swh_Latn"
    repo = repository_of(tmp_path, {"inputs": ENGLISH_TEXT, "outputs": ""})
    with ChatServer(lambda request: "Ni watu wangapi wameketi kwenye meza ya mbao?") as server:
        translate("own", ["sw=swh_Latn"], translator_job(server, tmp_path), repo, tmp_path / "out")
    (row,) = load_dataset(str(tmp_path / "out"), "own-sw", split="validation")
    assert row["inputs"].startswith("Ni watu")


def test_wrong_questions_get_clear_sentences(job, tmp_path):
    with pytest.raises(M3ITError, match="fm-iqa: is in zh already"):
        translate("fm-iqa", ["zh"], job, str(ROOT), tmp_path)
    with pytest.raises(M3ITError, match="okvqa-de: is a translation itself"):
        translate("okvqa-de", ["fr"], job, str(ROOT), tmp_path)
    with pytest.raises(M3ITError, match="okvqa: there is no split 'test', only train, validation"):
        translate("okvqa", ["fr"], job, str(ROOT), tmp_path, split="test")
    with pytest.raises(M3ITError, match="nowhere: expected a translation model"):
        open_translator(Job("transformers", str(tmp_path / "nowhere")))


def test_a_folder_without_weights_and_a_model_of_another_kind_are_told_from_translators(nllb, tmp_path):
    shutil.copytree(nllb, tmp_path / "empty", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(M3ITError, match="empty: expected a translation model"):
        open_translator(Job("transformers", str(tmp_path / "empty")))
    shutil.copytree(nllb, tmp_path / "bert")
    config = json.loads((tmp_path / "bert/config.json").read_text("utf-8"))
    (tmp_path / "bert/config.json").write_text(json.dumps({**config, "model_type": "bert"}), "utf-8")
    with pytest.raises(M3ITError, match="bert: expected a translation model"):
        open_translator(Job("transformers", str(tmp_path / "bert")))


def test_chinese_rows_can_be_had_in_english(tmp_path):
    write_rows(
        tmp_path / "repo/data/vqa/fm-iqa/validation.jsonl",
        [make_row(0, instruction="", inputs="他走了。为什么？", outputs="")],
    )
    said = {"他走了。": "He left.", "为什么？": "Why?"}
    with ChatServer(lambda request: said[request["messages"][-1]["content"]]) as server:
        translate("fm-iqa", ["en"], translator_job(server, tmp_path), str(tmp_path / "repo"), tmp_path / "out")
    (row,) = load_dataset(str(tmp_path / "out"), "fm-iqa-en", split="validation")
    assert row["inputs"] == "He left. Why?"


def test_the_command_takes_codes_with_blanks_and_the_name_nllb(nllb, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    command = ["translate", "okvqa", "--repo", str(ROOT), "--to", "zh, zh,", "--backend", "nllb", "--model", str(nllb)]
    done = CliRunner().invoke(app, [*command, "--split", "validation", "--limit", "2", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0 and done.stdout == "zh/validation.jsonl: 2 rows\n", done.output
    assert json.loads((tmp_path / "out/data/kvqa/okvqa/zh/run.json").read_text("utf-8"))["versions"]["transformers"]


def test_languages_are_scored_on_flores_as_it_is_published(job, tmp_path, monkeypatch):
    import sacrebleu.tokenizers.tokenizer_spm as spm

    (tmp_path / "models").mkdir()
    train_sentencepiece(tmp_path / "letters.model", [b for _, b in pairs()], vocab_size=200, model_type="char")
    shutil.copy(tmp_path / "letters.model", tmp_path / "models" / "flores200sacrebleuspm")
    monkeypatch.setattr(spm, "SACREBLEU_DIR", str(tmp_path))  # sacrebleu would fetch FLORES-200's own model
    folder = tmp_path / "flores200_dataset" / "devtest"
    folder.mkdir(parents=True)
    known = [pair for pair in pairs() if len(pair[0]) > 20]
    for name, lines in {"eng_Latn": [a for a, _ in known], "zho_Hans": [b.replace("？", "?") for _, b in known],
                        "deu_Latn": ["Welche Hauptstadt hat das Land?"] * len(known)}.items():  # fmt: skip
        (folder / f"{name}.devtest").write_text("\n".join(lines) + "\n", "utf-8")
    scores, signatures = select_languages(tmp_path, job, ["fr", "de", "zh"])
    assert [score.code for score in scores] == ["zh", "de", "fr"], (scores, signatures)
    assert scores[0].spbleu == scores[0].bleu == 100 and scores[1].bleu < 20
    assert scores[2] == ("fr", None, None, "not in this FLORES")
    assert "tok:flores200" in signatures["spbleu"] and "tok:zh" in signatures["bleu zh"]
    (folder / "deu_Latn.devtest").write_text("Eins\n", "utf-8")
    with pytest.raises(M3ITError, match="deu_Latn has 1 sentences, English "):
        select_languages(tmp_path, job, ["de"])
    with pytest.raises(
        M3ITError, match="expected devtest/eng_Latn.devtest .* FLORES-200 comes from https://github.com"
    ):
        select_languages(tmp_path / "models", job)


# ---- corrections

HEAD = "config\tid\tfield\ttext\twho\n"


def test_corrections_are_read_with_their_tabs_and_line_breaks(tmp_path):
    (tmp_path / "c.tsv").write_text(
        HEAD + 'okvqa-zh\t7\tinputs\t"one\ntwo"\tLi\nokvqa-zh\t7\toutputs\t猫\tLi\n', "utf-8"
    )
    found = read_corrections(tmp_path / "c.tsv")
    assert found == {"okvqa-zh": {"7": {"inputs": ("one\ntwo", "Li"), "outputs": ("猫", "Li")}}}
    assert unused(found, "okvqa-zh", ["1", "2"]) == ["7"] and not unused(found, "okvqa-zh", ["7"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\tb\n", ":1: expected the columns config, id, field, text, who, found a, b"),
        (HEAD + "c\t1\toutput\tx\tme\n", ":2: expected a field .* found 'output'. Did you mean 'outputs'"),
        (HEAD + "c\t1\toutputs\tx\n", ":2: expected 5 columns, found 4"),
        (HEAD + "c\t1\toutputs\t\tme\n", ":2: expected a text in every column"),
        (HEAD + "c\t1\toutputs\tx\tme\n" * 2, ":3: outputs of row '1' of c is corrected twice"),
    ],
)
def test_a_broken_table_of_corrections_is_refused_with_its_line(tmp_path, text, said):
    (tmp_path / "c.tsv").write_text(text, "utf-8")
    with pytest.raises(M3ITError, match=said):
        read_corrections(tmp_path / "c.tsv")


def test_a_correction_is_applied_at_load_and_at_release_and_meta_says_who(tmp_path, caplog):
    table = tmp_path / "c.tsv"
    table.write_text(HEAD + "okvqa-zh\trow-1\toutputs\t猫\tLi\nokvqa-zh\trow-9\toutputs\t狗\tLi\n", "utf-8")
    write_rows(tmp_path / "repo/data/kvqa/okvqa/zh/validation.jsonl", [make_row(i) for i in range(3)])
    repo = str(tmp_path / "repo")
    plain = load_dataset(repo, "okvqa-zh", split="validation")
    mended = load_dataset(repo, "okvqa-zh", split="validation", meta=True, corrections=table)
    assert plain["outputs"][1] == "answer 1" and list(mended["outputs"]) == ["answer 0", "猫", "answer 2"]
    assert json.loads(mended[1]["meta"]) == {"id": "row-1", "corrected": {"outputs": "Li"}}
    assert json.loads(mended[0]["meta"]) == {"id": "row-0"}
    assert "okvqa-zh: 1 corrections name a row that it does not have: row-9" in caplog.text
    streamed = load_dataset(repo, "okvqa-zh", split="validation", streaming=True, corrections=table)
    assert [row["outputs"] for row in streamed] == ["answer 0", "猫", "answer 2"] and "meta" not in streamed.features
    run = release(repo, tmp_path / "released", corrections=str(table))
    assert run["corrections"] == {"num_rows": 1, "no_such_row": {"okvqa-zh": ["row-9"]}}
    released = load_dataset(str(tmp_path / "released"), "okvqa-zh", split="validation", meta=True)
    assert released["outputs"][1] == "猫" and json.loads(released[1]["meta"])["corrected"] == {"outputs": "Li"}


def test_tables_of_corrections_share_no_cache_entry_whatever_their_name(tmp_path):
    write_rows(tmp_path / "repo/data/kvqa/okvqa/zh/validation.jsonl", [make_row(i) for i in range(2)])
    for word in ("猫", "狗"):
        (tmp_path / "c.tsv").write_text(HEAD + f"okvqa-zh\trow-1\toutputs\t{word}\tLi\n", "utf-8")
        for _ in range(2):  # prepared, then from the cache
            rows = load_dataset(str(tmp_path / "repo"), "okvqa-zh", split="validation", corrections=tmp_path / "c.tsv")
            assert list(rows["outputs"]) == ["answer 0", word]
    (tmp_path / "c.tsv").write_text(HEAD, "utf-8")
    rows = load_dataset(str(tmp_path / "repo"), "okvqa-zh", split="validation", corrections=tmp_path / "c.tsv")
    assert list(rows["outputs"]) == ["answer 0", "answer 1"]


def test_a_correction_of_a_config_that_there_is_not_is_refused_and_a_card_alone_takes_none(tmp_path):
    write_rows(tmp_path / "repo/data/kvqa/own/validation.jsonl", [make_row(0)])
    (tmp_path / "c.tsv").write_text(HEAD + "okvqa_zh\trow-1\toutputs\t猫\tLi\n", "utf-8")
    with pytest.raises(M3ITError, match="corrections of 'okvqa_zh': there is no such config. Did you mean 'okvqa-zh'"):
        load_dataset(str(tmp_path / "repo"), "own", corrections=tmp_path / "c.tsv")
    with pytest.raises(M3ITError, match="corrected rows must be written anew. Pass --format parquet"):
        release(str(tmp_path / "repo"), tmp_path / "out", format="jsonl", corrections=str(tmp_path / "c.tsv"))
