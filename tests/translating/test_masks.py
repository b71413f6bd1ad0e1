"""What is masked and restored, and how a text is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m3it.translating.masks import PROTECTED_KINDS, mask, option_texts, protected_spans, restore, split_text


@pytest.mark.parametrize(
    ("kind", "text", "spans"),
    [
        ("option letter", "Is (A) or (B) right?", ["(A)", "(B)"]),
        ("number", "It costs $3.50, or 1,000 at 5:30, 12% off", ["$3.50", "1,000", "5:30", "12%"]),
        ("url", "See https://a.example/x?y=1. Or mail me@b.example!", ["https://a.example/x?y=1", "me@b.example"]),
        ("placeholder", "<image> {name}, %(count)d of %s, [MASK]", ["<image>", "{name}", "%(count)d", "%s", "[MASK]"]),
        ("box", "the dog at [0.1, 0.2, 0.3, 0.45] or (1, 2, 30, 40)", ["[0.1, 0.2, 0.3, 0.45]", "(1, 2, 30, 40)"]),
        ("code", "run `ls -l` on my_file.py, callMe, B52 and f()", ["`ls -l`", "my_file.py", "callMe", "B52", "f()"]),
        ("quoted name", "Who wrote “The Lord of the Rings” or \"Emma\"?", ["The Lord of the Rings", "Emma"]),
    ],
)  # fmt: skip
def test_each_kind_of_protected_text_is_found_masked_and_restored(kind, text, spans):
    assert protected_spans(text) == [(kind, span) for span in spans]
    masked = mask(text)
    assert masked.spans == tuple(spans) and not any(span in masked.text for span in spans)
    assert restore(masked.text, masked.spans) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("有7只狗和B52轰炸机，见https://a.example/x。", "有[1]只狗和[2]轰炸机，见[3]。"),
        ("大約３隻狗，佔12.5％", "大約[1]隻狗，佔[2]％"),
        ("ราคา100บาท ส่งme@b.exampleได้", "ราคา[1]บาท ส่ง[2]ได้"),
        ("これは<image>の(A)です", "これは[1]の[2]です"),
    ],
)
def test_protected_text_may_touch_the_words_of_a_language_without_blanks(text, masked):
    assert mask(text).text == masked and restore(*mask(text)) == text


def test_the_table_above_has_every_kind():
    marks = test_each_kind_of_protected_text_is_found_masked_and_restored.pytestmark[0]
    assert {row[0] for row in marks.args[1]} == set(PROTECTED_KINDS) and len(PROTECTED_KINDS) == 7


@pytest.mark.parametrize(
    "text", ["a quoted “little dog”", "plain words", "the 1940s and the 2nd", "don't", "Mr. Smith"]
)
def test_ordinary_words_are_left_to_the_translator(text):
    assert protected_spans(text) == []


def test_a_mask_is_restored_from_other_brackets_and_digits():
    masked = mask("7 dogs and 8 cats")
    assert masked.text == "[1] dogs and [2] cats"
    assert restore("[ 2 ] قطط و【١】كلاب", masked.spans) == "8 قطط و7كلاب"


@pytest.mark.parametrize(
    ("said", "restored"),
    [
        ("[1]只狗和[2]只猫", "7只狗和8只猫"),  # no blanks
        ("[2] Katzen und [1] Hunde", "8 Katzen und 7 Hunde"),  # in another order
        ("[ 1 ] chiens et [2 ] chats", "7 chiens et 8 chats"),  # blanks inside
        ("［１］犬と【２】猫", "7犬と8猫"),  # full-width
        ("[१] कुत्ते और [२] बिल्लियाँ", "7 कुत्ते और 8 बिल्लियाँ"),  # digits of the language
        ("[01] Hunde und [2] Katzen", "7 Hunde und 8 Katzen"),
    ],
)
def test_a_mask_is_restored_however_it_is_written(said, restored):
    assert restore(said, mask("7 dogs and 8 cats").spans) == restored


@pytest.mark.parametrize(
    "said",
    ["[1] Hunde", "[1] [2] [2]", "[1] [2] [3]", "Hunde", "[eins] und [zwei]", "(1) und [2]", "1 und 2", "[1, 2]",
     "[1 und [2]"],
)  # fmt: skip
def test_a_lost_doubled_or_invented_mask_is_seen(said):
    assert restore(said, mask("7 dogs and 8 cats").spans) is None


@given(st.text(alphabet="ab .,!?\n(AB)[]{}<>12\"'“”_`:/é中。", max_size=80))
def test_the_parts_of_any_text_are_the_text_and_masks_come_back(text):
    assert "".join(part.text for part in split_text(text)) == text
    masked = mask(text)
    assert restore(masked.text, masked.spans) == text


def test_lines_options_and_sentences_are_parts_of_their_own():
    said = [
        part.text for part in split_text("Options:\n(A) a red dog\n(B) 12\n\nMr. Smith left. Why?") if not part.keep
    ]
    assert said == ["Options:", "a red dog", "Mr. Smith left.", "Why?"]
    assert [p.text for p in split_text("Options: (A) cat (B) big dog") if not p.keep] == ["Options:", "cat", "big dog"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("他走了。“好。”他说：“来吧！”然后呢？！", ["他走了。", "“好。”", "他说：“来吧！”", "然后呢？！"]),
        ("यह एक वाक्य है। यह दूसरा है॥ तीसरा", ["यह एक वाक्य है।", "यह दूसरा है॥", "तीसरा"]),
        ("ما هذا؟ هذا كلب. نعم!", ["ما هذا؟", "هذا كلب.", "نعم!"]),
        ("یہ ایک ہے۔ یہ دو ہے۔", ["یہ ایک ہے۔", "یہ دو ہے۔"]),
        ("¿Qué es? ¡Hola! Un gato.", ["¿Qué es?", "¡Hola!", "Un gato."]),
        ("እንዴት። ደህና።", ["እንዴት።", "ደህና።"]),
        ("Dr. Who met J. Smith, e.g. in the U.S. House. So?", ["Dr. Who met J. Smith, e.g. in the U.S. House.", "So?"]),
        ('Who made "Mamma Mia. Here We Go"? I did.', ['Who made "Mamma Mia. Here We Go"?', "I did."]),
        ("one\r\ntwo\u2028three", ["one", "two", "three"]),
    ],
)  # fmt: skip
def test_sentences_end_as_their_language_ends_them_but_not_in_an_abbreviation_or_a_protected_name(text, sentences):
    parts = split_text(text)
    assert [part.text for part in parts if not part.keep] == sentences
    assert "".join(part.text for part in parts) == text


def test_a_long_text_without_full_stops_is_cut_at_blanks_and_never_in_a_number():
    thai = "ผู้ชายยืนอยู่ ผู้หญิงนั่งอยู่ เด็กกำลังเล่น"
    assert [p.text for p in split_text(thai, lambda part: len(part) <= 18) if not p.keep] == thai.split()
    said = [p.text for p in split_text("It costs 1,000,000 dollars or so", lambda part: len(part) <= 20) if not p.keep]
    assert said == ["It costs 1,000,000", "dollars or so"]


def test_a_long_text_without_blanks_takes_time_in_proportion():
    assert protected_spans("a" * 200_000) == protected_spans("a_" * 100_000) == []  # minutes, were each letter a start


def test_a_text_longer_than_the_model_is_cut_at_commas_and_blanks_and_no_part_is_too_long():
    text = "one two three, four five six, seven eight nine ten"
    said = [part.text for part in split_text(text, lambda part: len(part) <= 16) if not part.keep]
    assert said == ["one two three,", "four five six,", "seven eight", "nine ten"]
    assert max(len(part.text) for part in split_text("x" * 100, lambda part: len(part) <= 16)) <= 16


def test_the_texts_of_options():
    assert option_texts("Options:\n(A) a (red) dog\n(B) a cat") == ["a (red) dog", "a cat"]
    assert option_texts("Options: (A) dog (B) cat") == ["dog", "cat"]
    assert option_texts("What is (A)?") == []
