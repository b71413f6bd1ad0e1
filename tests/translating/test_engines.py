"""The models: what each is given, and what it says of a language that it does not know."""

import io
import json
import shutil

import pytest
from chat_server import ChatServer, Refuse
from scripted_translations import pairs, scripted, server_settings, tiny, train_sentencepiece

from m3it import LANGUAGES
from m3it.catalogue import ENGLISH
from m3it.rows.instance import M3ITError
from m3it.translating.engines import EngineSettings, by_length, open_engine, without_added_quotes
from m3it.translating.languages import find_language

ZH = LANGUAGES["zh"]


def test_ctranslate2_gives_the_tokens_that_transformers_gives(nllb, settings, tmp_path):
    converters = pytest.importorskip("ctranslate2.converters")
    names = ["sentencepiece.bpe.model", "tokenizer.json", "tokenizer_config.json"]
    converters.TransformersConverter(str(nllb), copy_files=[n for n in names if (nllb / n).exists()]).convert(
        str(tmp_path / "ct2")
    )
    texts = [text for text, _ in pairs()]
    ours = open_engine(settings._replace(num_beams=1)).translate(texts, ENGLISH, ZH)
    theirs = open_engine(EngineSettings("ctranslate2", str(tmp_path / "ct2"), num_beams=1)).translate(
        texts, ENGLISH, ZH
    )
    assert theirs == ours and len(set(ours)) > 8


def test_m2m100_gets_its_own_language_tokens_and_says_which_of_the_80_it_has_not(tmp_path):
    from transformers import M2M100Tokenizer

    train_sentencepiece(tmp_path / "sentencepiece.bpe.model", [a for a, _ in pairs()], vocab_size=120, model_type="bpe")
    words = [line.split("\t")[0] for line in (tmp_path / "sentencepiece.bpe.vocab").read_text("utf-8").splitlines()]
    vocab = {word: i for i, word in enumerate(dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *words]))}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab), "utf-8")
    tokenizer = M2M100Tokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "sentencepiece.bpe.model"))
    tokenizer.save_pretrained(tmp_path)
    tiny("m2m", tokenizer, max(tokenizer.lang_code_to_id.values()) + 9).save_pretrained(tmp_path)
    engine = open_engine(EngineSettings("transformers", str(tmp_path)))
    assert engine.token(ZH) == "__zh__"
    (ids,) = engine.encode(["What is the capital?"], ENGLISH, ZH)
    assert ids[0] == tokenizer.get_lang_id("en") and ids[-1] == tokenizer.eos_token_id
    (written,) = engine.generate([ids], ZH, {"num_beams": 1})
    assert written[:2] == [tokenizer.eos_token_id, tokenizer.get_lang_id("zh")]
    with pytest.raises(M3ITError, match=r"no token for as \(Assamese\)\. Of the 80 languages, 10 are missing: as, ky,"):
        engine.translate(["a"], ENGLISH, LANGUAGES["as"])


def test_madlad_gets_the_language_in_front_of_the_text(tmp_path):
    from transformers import T5Tokenizer

    train_sentencepiece(
        tmp_path / "spiece.model", [a for a, _ in pairs()], vocab_size=100, model_type="unigram", pad_id=1, eos_id=2,
        unk_id=0, bos_id=-1, user_defined_symbols=["<2en>", "<2zh>", "<2fil>"],
    )  # fmt: skip
    tokenizer = T5Tokenizer.from_pretrained(str(tmp_path), extra_ids=0)
    tokenizer.save_pretrained(tmp_path)
    tiny("t5", tokenizer).save_pretrained(tmp_path)
    engine = open_engine(EngineSettings("transformers", str(tmp_path), num_beams=2))
    assert [engine.token(LANGUAGES[code]) for code in ("zh", "tl", "de")] == ["<2zh>", "<2fil>", None]
    (ids,) = engine.encode(["What is the capital?"], ENGLISH, ZH)
    assert tokenizer.convert_tokens_to_ids("<2zh>") in ids[:2] and ids[-1] == tokenizer.eos_token_id
    assert len(engine.translate(["What is it?", "a"], ENGLISH, ZH)) == 2


def test_batches_are_of_like_length_and_hold_every_text_once():
    sizes = [5, 900, 5, 7, 800, 6, 1000, 4]
    batches = list(by_length(sizes, batch_tokens=2000))
    assert batches == [[6, 1], [4, 3], [5, 0, 2, 7]]
    assert sorted(place for batch in by_length([1] * 300) for place in batch) == list(range(300))


def test_a_model_that_there_is_not_is_refused(tmp_path):
    with pytest.raises(M3ITError, match="nowhere: there is no such folder"):
        open_engine(EngineSettings("transformers", str(tmp_path / "nowhere")))


def test_a_folder_without_weights_and_a_model_of_another_kind_are_told_from_translators(nllb, tmp_path):
    shutil.copytree(nllb, tmp_path / "empty", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(M3ITError, match="empty: cannot be loaded as a model that translates"):
        open_engine(EngineSettings("transformers", str(tmp_path / "empty")))
    shutil.copytree(nllb, tmp_path / "bert")
    config = json.loads((tmp_path / "bert/config.json").read_text("utf-8"))
    (tmp_path / "bert/config.json").write_text(json.dumps({**config, "model_type": "bert"}), "utf-8")
    with pytest.raises(M3ITError, match="bert: cannot be loaded as a model that translates"):
        open_engine(EngineSettings("transformers", str(tmp_path / "bert")))


@pytest.mark.parametrize(
    ("reply", "text", "bare"),
    [
        ("“Ein Hund.”", "A dog.", "Ein Hund."),
        ("「犬」", "a dog", "犬"),
        ('"Ein Hund"', '"A dog"', '"Ein Hund"'),  # as the text has them
        ("<think>dog, Hund</think>\nEin Hund", "A dog", "Ein Hund"),
        ('"', "A", '"'),
        ("dog is Hund\n</think>\n\n“Ein Hund”", "A dog", "Ein Hund"),  # the opening mark stands in the prompt
        ("<think>a</think>Hm <think>b</think>\nEin Hund", "A dog", "Ein Hund"),
        ("<thinking>dog, Hund</thinking>Ein Hund", "A dog", "Ein Hund"),
        ("[THINK]dog, Hund[/THINK]Ein Hund", "A dog", "Ein Hund"),
        ("<|channel|>analysis<|message|>dog<|end|><|channel|>final<|message|>Ein Hund", "A dog", "Ein Hund"),
        ("<think>dog, so it is", "A dog", None),
        ("<think>dog</think>\n<reasoning>Ein", "A dog", None),
    ],
)
def test_thoughts_and_quotes_that_a_server_adds_are_taken_off(reply, text, bare):
    assert without_added_quotes(reply, text) == bare


def test_a_server_is_asked_in_order_and_a_reply_that_was_cut_off_is_none(tmp_path):
    said = {"a dog": "ein Hund", "a cat": ("eine", "length"), "a car": Refuse(400, "no such text here")}
    with ChatServer(scripted(said, at_first=False)) as server:
        engine = open_engine(server_settings(server, tmp_path))
        engine.require(LANGUAGES["de"], find_language("sw=swh_Latn"))  # nothing: it shows in the checks
        assert engine.translate(["a car", "a dog", "a cat"], ENGLISH, LANGUAGES["de"]) == [None, "ein Hund", None]
        asked = server.asked[0]["messages"][0]["content"]
    assert asked.startswith("You translate from English to German (Deutsch).") and "[1]" in asked


def test_a_thought_before_a_translation_is_cut_off_and_one_without_an_end_is_no_translation(tmp_path):
    said = {"a dog": "<think>It is Hund.</think>\n\nein Hund", "a cat": "<think>Katze, or", "a car": "<x>ja</x>Wagen"}
    with ChatServer(scripted(said, at_first=False)) as server:
        engine = open_engine(server_settings(server, tmp_path))
        german = engine.translate(list(said), ENGLISH, LANGUAGES["de"])
        assert german == ["ein Hund", None, "<x>ja</x>Wagen"]
        other = open_engine(server_settings(server, tmp_path)._replace(reasoning_tags=("x",)))
        assert other.translate(["a car"], ENGLISH, LANGUAGES["de"]) == ["Wagen"]
        assert other.identity != engine.identity and len(server.asked) == 3  # the replies are kept as they came


def test_a_refusal_and_what_a_filter_leaves_are_no_translations(tmp_path):
    """Their words would pass every check: they are in the language that was asked for."""
    message = {"content": None, "refusal": "Das kann ich nicht übersetzen."}
    choices = {"a dog": {"message": message, "finish_reason": "stop"}}
    choices["a cat"] = {"message": {"content": "Eine"}, "finish_reason": "content_filter"}
    with ChatServer(lambda request: {"choices": [choices[request["messages"][-1]["content"]]]}) as server:
        engine = open_engine(server_settings(server, tmp_path))
        assert engine.translate(["a dog", "a cat"], ENGLISH, LANGUAGES["de"]) == [None, None]


def test_further_fields_go_to_the_server_and_make_another_engine(tmp_path):
    with ChatServer(scripted({"a dog": "ein Hund"}, at_first=False)) as server:
        settings = server_settings(server, tmp_path)
        engine = open_engine(settings._replace(extra_body='{"top_p": 0.5}'))
        assert engine.translate(["a dog"], ENGLISH, LANGUAGES["de"]) == ["ein Hund"]
        assert server.asked[0]["top_p"] == 0.5 and engine.identity != open_engine(settings).identity


def test_half_a_character_is_no_translation(tmp_path):
    with ChatServer(scripted({"a dog": "ein Hund \ud83d"}, at_first=False)) as server:
        engine = open_engine(server_settings(server, tmp_path))
        assert engine.translate(["a dog"], ENGLISH, LANGUAGES["de"]) == [None]


def test_another_server_is_another_engine_and_its_password_is_in_no_name():
    urls = ("http://ann:secret@one.example/v1?key=k", "http://two.example/v1")
    one, two = (open_engine(EngineSettings("openai", "m", base_url=url)).identity for url in urls)
    assert (one, two) == ("m behind http://one.example/v1", "m behind http://two.example/v1")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_model_never_runs_whatever_is_answered(file, nllb, tmp_path, monkeypatch):
    folder, ran = tmp_path / "evil", tmp_path / "ran"
    shutil.copytree(nllb, folder)
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w').close()\n", "utf-8")
    config = json.loads((folder / file).read_text("utf-8"))
    code = {"AutoConfig": "evil.Config", "AutoModelForSeq2SeqLM": "evil.Model", "AutoTokenizer": ["evil.T", None]}
    config |= {"auto_map": code, "tokenizer_class": "EvilTokenizer", "model_type": "evil"}
    (folder / file).write_text(json.dumps(config), "utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 20))
    told = {
        "config.json": "needs Python code that comes with it, and no remote code runs here",
        "tokenizer_config.json": "its tokenizer, TokenizersBackend, cannot say which language a text is in",
    }
    with pytest.raises(M3ITError, match=f"evil: {told[file]}") as raised:
        open_engine(EngineSettings("transformers", str(folder))).require(ENGLISH, ZH)
    assert not ran.exists() and "\n" not in str(raised.value)


def test_a_backend_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="backend='nllb': expected transformers, ctranslate2, openai"):
        open_engine(EngineSettings("nllb", "any"))
