"""Each reason why a translation cannot stand."""

import json
import re

import pytest
from conftest import ROOT
from make_data import FIXTURES

from m3it import CATALOGUE, LANGUAGES
from m3it.catalogue import ENGLISH, instructions
from m3it.rows.scripts import SCRIPTS, script_share
from m3it.translating.checks import (
    load_identifier,
    other_language,
    reason_against_answer,
    reason_against_translation,
)
from m3it.translating.languages import find_language
from m3it.translating.lengths import LETTERS, reason_against_length

SAMPLE = ("ar", "de", "es", "fr", "ja", "zh")


SENTENCE = "How many people are sitting at the wooden table?"


@pytest.mark.parametrize(
    ("source", "text", "code", "reason"),
    [
        (SENTENCE, "Wie viele Menschen sitzen an dem hölzernen Tisch?", "de", ""),
        (SENTENCE, " ", "de", "empty"),
        (SENTENCE, "how many people are sitting at the wooden table", "de", "copy of the source"),
        (SENTENCE, "Tell me the number of persons who sit around this table.", "de", "wrong language"),
        (SENTENCE, "Hur många människor sitter vid träbordet i rummet?", "da", "wrong language"),
        (SENTENCE, "Wie viele Menschen sitzen an dem hölzernen Tisch?", "zh", "wrong script"),
        (SENTENCE, "Wie viele, wie viele, wie viele, wie viele, wie viele?", "de", "repetition"),
        ("A dog.", "Ein Hund, der dem Menschen seit langer Zeit treu zur Seite steht.", "de", "length ratio"),
        ("Look at B52 and 7 dogs", "Sieh die 7 Hunde an", "de", "protected text missing"),
        ("Who was born in the 1940s?", "Wer wurde in den 1950er-Jahren geboren?", "de", "number changed"),
        ("the 2nd of them", "الثاني ٢ منهم", "ar", ""),
        ("Paris", "Paris", "de", ""),
        ("paris", "paris", "de", ""),
        ("a red dog", "a red dog", "de", "copy of the source"),
        ("on the table", "On the table.", "fr", "copy of the source"),
        ("The Wire", "The Wire", "de", ""),
        ("blue", "blue", "zh", "copy of the source"),
        ("12", "12", "zh", ""),
    ],
)  # fmt: skip
def test_each_reason_why_a_translation_cannot_stand(source, text, code, reason):
    assert reason_against_translation(source, text, LANGUAGES[code]) == reason


TWO = "There is a dog on the sofa. It is asleep."
STOP = "When the light turns red, all the cars stop at the line."


@pytest.mark.parametrize(
    ("source", "text", "code", "reason"),
    [
        (TWO, "Auf dem Sofa liegt ein Hund. Er schläft.", "de", ""),
        (TWO, "Auf dem Sofa liegt ein Hund; er schläft.", "de", ""),  # joined by a semicolon
        (TWO, "Auf dem Sofa liegt ein Hund.", "de", "sentence missing"),
        (TWO, "沙发上有一只狗。", "zh", "sentence missing"),
        (TWO, "सोफे पर एक कुत्ता है।", "hi", "sentence missing"),
        (TWO, "على الأريكة كلب.", "ar", "sentence missing"),
        (STOP, "Quand le feu passe au rouge,", "fr", "length ratio"),
        (STOP, "Wenn die Ampel rot wird.", "de", "length ratio"),
        (STOP, "เมื่อไฟแดง", "th", "length ratio"),  # no full stops
        (STOP, "信号が赤になると、", "ja", "length ratio"),
        (STOP, "信号が赤になると、車はみな線で止まります。", "ja", ""),
        (STOP, "当灯变红时，所有的车都停下来。这是因为交通规则规定红灯时车辆必须停车等待，"
         "直到绿灯亮起才能继续前行。", "zh", "length ratio"),
    ],
)  # fmt: skip
def test_a_translation_that_says_half_or_more_than_its_source_cannot_stand(source, text, code, reason):
    assert reason_against_translation(source, text, LANGUAGES[code]) == reason


def test_a_text_from_chinese_is_weighed_as_chinese():
    zh = LANGUAGES["zh"]
    whole = "A man in a red coat is standing in front of the wooden house. He is waiting for his friends."
    chinese = "一个穿红色外套的男人站在木屋前面。他正在等他的朋友们。"
    assert reason_against_translation(chinese, whole, ENGLISH, zh) == ""
    assert reason_against_translation(chinese, whole.split(". ")[0] + ".", ENGLISH, zh) == "sentence missing"
    assert reason_against_translation(chinese[:17], "A man in a coat.", ENGLISH, zh) == "length ratio"


def test_every_language_has_its_length_and_one_beyond_the_80_that_of_its_script():
    assert set(LETTERS) == set(LANGUAGES)
    text = "All the cars have to stop at the line as soon as the light turns red."
    sw = find_language("sw=swh_Latn")
    assert reason_against_length(text, "Magari yote yanapaswa kusimama kwenye mstari mara tu taa inapokuwa nyekundu.",
                                 ENGLISH, sw) == ""  # fmt: skip
    assert reason_against_length(text, "Magari yote yanapaswa kusimama.", ENGLISH, sw) == "length ratio"


def hand_made():
    """(language, English, translation) of all that was translated by hand: instructions and the rows of the sample."""
    for dataset in (d.name for d in CATALOGUE.values() if d.translated):
        for code in SAMPLE:
            path = ROOT / "m3it" / "instructions" / f"{dataset}.{code}.txt"
            for pair in zip(instructions(dataset), path.read_text("utf-8").splitlines(), strict=True):
                yield code, *pair
        rows = (FIXTURES / dataset / "expected.jsonl").read_text("utf-8").splitlines()
        row_by_id = {row["id"]: row for row in map(json.loads, rows) if "drop" not in row}
        for row in map(json.loads, (FIXTURES / dataset / "translations.jsonl").read_text("utf-8").splitlines()):
            for name in ("inputs", "outputs"):
                if row[name]:
                    yield row["language"], row_by_id[row["id"]][name], row[name]


def test_translations_made_by_hand_pass_and_those_of_another_language_do_not():
    found = set(hand_made())
    assert len(found) > 700
    refused = {
        (code, said, why)
        for code, text, said in found
        if (why := reason_against_translation(text, said, LANGUAGES[code]))
    }
    assert len(refused) <= 0.005 * len(found), refused
    halves = [(text, f"{said[: len(said) // 2]}{said[-1]}", code) for code, text, said in found if 60 < len(text) < 300]
    seen = [reason_against_translation(text, half, LANGUAGES[code]) for text, half, code in halves]
    assert len(halves) > 300 and sum(map(bool, seen)) > 0.9 * len(halves)
    long = [(code, text, said) for code, text, said in found if len(text) > 40]
    for code, other in (("de", "fr"), ("fr", "es"), ("es", "de"), ("zh", "ja"), ("ja", "zh"), ("ar", "zh")):
        reasons = [
            reason_against_translation(text, said, LANGUAGES[other]) for told, text, said in long if told == code
        ]
        assert sum(map(bool, reasons)) > 0.9 * len(reasons), (code, other)


def test_english_is_seen_in_every_language_also_where_the_identifier_does_not_know_it():
    known = set(load_identifier().labels)
    assert {code for code in LANGUAGES if code not in known} == {"ast", "ceb", "li", "mi", "ny", "sd", "wo"}
    assert {other_language("This sentence was never translated at all.", code) for code in LANGUAGES} == {"en"}


def test_the_script_of_every_language_is_known_and_its_own_name_is_written_in_it():
    assert {language.script for language in LANGUAGES.values()} <= set(SCRIPTS)
    for language in LANGUAGES.values():
        assert script_share(language.own_name, language.script) == 1 and re.search(r"\w", language.own_name)


OPTIONS = "Options:\n(A) a dog\n(B) a cat"


@pytest.mark.parametrize(
    ("outputs", "said_inputs", "said_outputs", "reason"),
    [
        ("(B) a cat", "Optionen:\n(A) ein Hund\n(B) eine Katze", "(B) eine Katze", ""),
        ("a cat.", "Optionen:\n(A) ein Hund\n(B) eine Katze", "Eine Katze", ""),
        ("a cat", "Optionen:\n(A) ein Hund\n(B) eine Katze", "ein Hund", "answer not among the options"),
        ("a cat", "Optionen:\n(A) ein Hund", "ein Hund", "answer not among the options"),
        ("a bird", "Optionen:\n(A) ein Hund\n(B) eine Katze", "ein Vogel", ""),  # it was none of them before
        ("a cat", "eine Katze", "eine Katze", "answer equals the question"),
    ],
)
def test_each_reason_why_a_translated_answer_cannot_stand(outputs, said_inputs, said_outputs, reason):
    assert reason_against_answer(OPTIONS, outputs, said_inputs, said_outputs) == reason


def test_an_answer_that_was_the_question_before_may_be_so_after():
    assert reason_against_answer("Paris", "Paris", "Paris", "Paris") == ""
