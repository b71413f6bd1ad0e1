"""m3it/evaluating/words.py: the tokens of languages with and without blanks, and of captions."""

import shutil

import pytest
from metric_cases import fixture, read_cases

from M3IT import CATALOGUE, LANGUAGES
from m3it.evaluating.words import caption_words, spaced, words


def test_words_of_languages_with_and_without_blanks():
    assert words("Café-bar, 2nd!", "fr") == ["café", "bar", "2nd"]
    assert words("हिन्दी में लिखा", "hi") == ["हिन्दी", "में", "लिखा"]  # vowel signs are marks, and stay
    assert words("می‌خواهم بروم", "ur") == ["میخواهم", "بروم"]  # a joiner that is not seen parts no words
    assert words("ＡＢＣ的T恤", "zh") == ["abc", "的", "t", "恤"]
    assert words("น้ำที่นี่", "th") == ["น\u0e49\u0e4d", "า", "ที่", "นี่"]  # NFKC parts sara am
    assert words("が行く", "ja") == ["が", "行", "く"]
    assert {code for code in LANGUAGES if not spaced(code)} == {"zh", "ja", "th", "lo", "km", "my"}


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [  # as PTBTokenizer 3.4.1 with pycocoevalcap's options gave them
        ('A man\'s t-shirt says "SALE 50%".', "a man 's t-shirt says sale 50 %"),
        ("Don't walk (2 dogs), it's 10:30 a.m.", "do n't walk -lrb- 2 dogs -rrb- it 's 10:30 a.m."),
        ("U.S. flag... a sign that says 'STOP'", "u.s. flag a sign that says stop"),
        ("two dogs' tails -- and dash - here – em—dash", "two dogs tails and dash here em dash"),
        ("1,000.50 people, mr. smith st. louis", "1,000.50 people mr. smith st. louis"),
        ("a man,holding a cat.The dog", "a man holding a cat.the dog"),
        ("it ’s “quoted” café naïve", "it 's quoted café naïve"),
        ("ok!!! what?! hmm;hello: a;b", "ok !!! what ?! hmm hello a b"),
    ],
)
def test_tokens_of_captions_are_those_of_coco_caption(caption, tokens):
    assert " ".join(caption_words(caption)) == tokens


@pytest.mark.skipif(not shutil.which("java"), reason="the official tokenizer needs Java")
def test_tokens_of_captions_differ_from_the_official_ones_in_one_of_a_hundred_texts_at_most():
    tokenizer = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer").PTBTokenizer()
    texts = [row["outputs"] for name in CATALOGUE for row in fixture(name) if CATALOGUE[name].language == "en"]
    texts += [case["prediction"].replace("\n", " ") for case in read_cases("texts")]
    official = tokenizer.tokenize({i: [{"caption": text}] for i, text in enumerate(texts)})
    differ = [text for i, text in enumerate(texts) if " ".join(caption_words(text)) != official[i][0]]
    assert len(texts) > 300 and len(differ) <= 0.01 * len(texts), differ
