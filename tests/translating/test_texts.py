"""Texts through an engine: put together again, checked, asked for anew."""

import json

import pytest
from chat_server import ChatServer
from scripted_translations import ENGLISH_TEXT, GERMAN, repository_of, scripted, server_settings

from m3it import LANGUAGES, load_dataset
from m3it.catalogue import ENGLISH
from m3it.translating.texts import Translator
from m3it.translating.translate import translate

ZH = LANGUAGES["zh"]


def test_a_text_longer_than_the_model_is_translated_in_parts(settings):
    translator = Translator(settings, ENGLISH, ZH)
    text = "What is the capital of the country with this flag? " * 40
    assert translator.engine.num_tokens(text) > translator.engine.max_tokens == 128
    translator.translate([text])
    assert (
        translator.counts["texts"] == 1 and translator.memory.num_asked == 1
    )  # the one sentence that stands there forty times


def test_a_lost_placeholder_is_fixed_by_translating_the_pieces_between(tmp_path):
    said = {"Is [1] in [2]?": "Ist das dort?", "Is": "Ist", "in": "in"}
    repo = repository_of(tmp_path, {"inputs": "Is B52 in <image>?", "outputs": ""})
    with ChatServer(scripted(said, at_first=False)) as server:
        run = translate("own", ["de"], server_settings(server, tmp_path), repo, tmp_path / "out")["de"]
    (row,) = load_dataset(str(tmp_path / "out"), "own-de", split="validation", meta=True)
    assert row["inputs"] == "Ist B52 in <image>?" and run["counts"]["by pieces"] == 1
    assert json.loads(row["meta"])["translation_notes"] == {"inputs": ["by pieces"]}


def test_a_placeholder_invented_between_the_protected_parts_is_no_translation(tmp_path):
    said = {"Is [1] here?": "Ist das hier?", "Is": "Ist [1]", "here?": "hier?"}
    repo = repository_of(tmp_path, {"inputs": "Is B52 here?", "outputs": ""})
    with ChatServer(scripted(said, at_first=False)) as server:
        run = translate("own", ["de"], server_settings(server, tmp_path), repo, tmp_path / "out")["de"]
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
        translator = Translator(server_settings(server, tmp_path), languages[source], languages[target])
        assert translator.translate([text])[text].text == expected


def test_what_was_asked_for_otherwise_for_one_row_is_not_taken_for_others(tmp_path):
    with ChatServer(scripted({"a dog": "ein Köter"})) as server:
        translator = Translator(server_settings(server, tmp_path), ENGLISH, LANGUAGES["de"])
        first = translator.translate(["a dog"])["a dog"]
        assert translator.translate(["a dog"], decoding=1)["a dog"] != first == translator.translate(["a dog"])["a dog"]


def test_a_long_protected_span_does_not_make_a_text_too_long(tmp_path):
    url = f"https://a.example/{'x' * 9000}"
    with ChatServer(lambda request: "Siehe [1], bitte.") as server:
        translator = Translator(server_settings(server, tmp_path), ENGLISH, LANGUAGES["de"])
        text = f"See {url}, please."
        assert translator.translate([text])[text].text == f"Siehe {url}, bitte."


def test_a_changed_number_is_caught(tmp_path):
    said = {"Who was born in the 1940s?": "Wer wurde in den 1950er-Jahren geboren?"}
    repo = repository_of(tmp_path, {"inputs": "Who was born in the 1940s?", "outputs": ""})
    with ChatServer(scripted(said, at_first=False)) as server:
        run = translate("own", ["de"], server_settings(server, tmp_path), repo, tmp_path / "out")["de"]
    assert run["files"]["validation.jsonl"]["drops"] == {"inputs: number changed": 1}


def test_line_breaks_stay(tmp_path):
    repo = repository_of(tmp_path, {"inputs": f"{ENGLISH_TEXT}\n\n  {ENGLISH_TEXT}", "outputs": ""})
    with ChatServer(lambda request: GERMAN) as server:
        translate("own", ["de"], server_settings(server, tmp_path), repo, tmp_path / "out")
        assert len(server.asked) == 1
    (row,) = load_dataset(str(tmp_path / "out"), "own-de", split="validation")
    assert row["inputs"] == f"{GERMAN}\n\n  {GERMAN}"


def test_half_a_sentence_among_whole_ones_is_seen(tmp_path):
    said = {
        "When the light turns red, all the cars stop at the line.": "Wenn die Ampel rot wird.",
        "The people on the other side of the road begin to walk.": "Die Leute auf der anderen Straßenseite gehen los.",
        "A small dog is waiting for them in front of the shop.": "Ein kleiner Hund wartet vor dem Laden auf sie.",
    }
    repo = repository_of(tmp_path, {"inputs": " ".join(said), "outputs": ""})
    with ChatServer(scripted(said, at_first=False)) as server:
        run = translate("own", ["de"], server_settings(server, tmp_path), repo, tmp_path / "out")["de"]
    assert run["files"]["validation.jsonl"]["drops"] == {"inputs: length ratio": 1}
