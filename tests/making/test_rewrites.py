"""m3it/making/rewrites.py: which rewrites may stand for their short answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m3it.making.rewrites import chinese_number, is_negated, numbers, reason_against, words, yes_or_no
from m3it.rows.instance import text as nfc


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A T-shirt, or so -- red", ["t", "shirt", "or", "so", "red"]),  # each word for itself: no hyphen is lost
        ("twenty-one of twelve dozen", ["21", "of", "12", "12"]),
        ("20 5", ["20", "5"]),
        ("‘dogs’ … “cats”:", ["dogs", "cats"]),
        ("１２ ½", ["12", "1", "2"]),  # compatibility forms: 1⁄2
        ("图中有十二只狗。", ["图", "中", "有", "12", "只", "狗"]),
        ("一个三明治", ["一", "个", "三", "明", "治"]),  # no measure word follows 三
        ("二十只", ["20", "只"]),
        ("สุนัข dog", [*"สุนัข", "dog"]),
        ("", []),
    ],
)
def test_words_are_compared_one_by_one(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize(
    ("signs", "expected"),
    [("一", "一"), ("两", "2"), ("十", "10"), ("十二", "12"), ("二十", "20"), ("九十九", "99"), ("三四", "三四")],
)
def test_chinese_numbers_up_to_99_become_digits(signs, expected):
    assert chinese_number(signs) == expected


def test_numbers_are_found_inside_of_words_too():
    assert numbers(["5:30", "1940s", "3.5", ".5", "dog"]) == {"5", "30", "1940", "3.5", ".5"}


def test_yes_no_and_negations_are_known_in_two_languages():
    assert [yes_or_no(said) for said in (["yes"], ["是", "的"], ["没", "有"], ["no", "dog"], [])] == [
        "yes",
        "yes",
        "no",
        "",
        "",
    ]
    assert is_negated(["there", "is", "no", "dog"]) and is_negated(["isn't"]) and is_negated(["没", "有"])
    assert not is_negated(["a", "knot"])


# ---- which rewrites may stand

CASES = [
    # question, short answer, rewrite, reason ("" = kept)
    ("What animal is this?", "dog", "This animal is a dog.", ""),
    ("What animal is this?", "Dog", "The animal is DOG!", ""),
    ("What animal is this?", "dog", "It is a hot dog stand.", ""),  # the words are there: the rule sees no more
    ("What animal is this?", "dog", "This animal is a cat.", "answer not in it"),
    ("What animal is this?", "dog", "These are dogs.", "answer not in it"),  # plural
    ("What animals are these?", "dogs", "These animals are dogs.", ""),
    ("Whose bowl is it?", "dog", "It is the dog's bowl.", "answer not in it"),
    ("What is on the wall?", "art", "There was a party at the wall.", "answer not in it"),  # inside a longer word
    ("What is on the wall?", "art", "There is art on the wall.", ""),
    ("What is this?", "the cat", "This is a cat.", ""),  # articles
    ("What is he wearing?", "t-shirt", "He is wearing a t shirt.", ""),
    ("What is he wearing?", "t shirt", "He is wearing a T-shirt - it seems.", ""),
    ("What is he wearing?", "shirt", "He is wearing a t-shirt.", ""),  # a hyphen parts words
    ("What is he wearing?", "t-shirt", "He is wearing a tshirt.", "answer not in it"),
    ("What is it?", "fire hydrant", "It is a hydrant that looks like fire.", "answer not in it"),  # another order
    ("What is it?", "fire hydrant", "It is a fire, and a hydrant.", "answer not in it"),
    ("What colors are there?", "black and white", "The colors are black, and white.", ""),  # marks are no words
    ("What does the sign say?", "don't walk", "The sign says “Don’t walk”.", ""),
    ("What does the sign say?", "dont walk", "The sign says don't walk.", ""),
    ("What is this?", "dog", "This is not a dog.", "a negation"),
    ("What is this?", "dog", "This isn't a dog.", "a negation"),
    ("What can not be seen?", "dog", "A dog cannot be seen.", ""),  # the question negates too
    ("What is the sign?", "no parking", "The sign says no parking.", ""),
    ("Is he happy?", "not sure", "I am not sure if he is happy.", ""),
    ("How many cats are there?", "2", "There are two cats.", ""),
    ("How many cats are there?", "two", "There are 2 cats.", ""),
    ("How many cats are there?", "2", "There are 22 cats.", "another number"),
    ("How many cats are there?", "2", "There are 2 cats and 3 dogs.", "another number"),
    ("How many of the 3 cats sleep?", "2", "2 of the three cats sleep.", ""),  # the question's number
    ("How many cats are there?", "12", "There are twelve cats.", ""),
    ("How many cats are there?", "21", "There are twenty-one cats.", ""),
    ("How many cats are there?", "2", "There is a pair of cats.", "answer not in it"),
    ("How many cats are there?", "0", "There are none.", ""),  # none is 0 by the official rule
    ("How many cats are there?", "none", "There are zero cats.", ""),
    ("How many cats are there?", "0", "There are no cats.", "answer not in it"),
    ("What animal is this?", "dog", "None of them is a dog.", "another number"),
    ("What animal is on the left?", "dog", "The one on the left is a dog.", "another number"),  # "one" counts as 1
    ("How many seats?", "1,000", "It has 1000 seats.", ""),
    ("How much is it?", "3.5", "It costs 3.5 dollars.", ""),
    ("How much is it?", "3.5", "It costs 5 dollars.", "another number"),
    ("How much is it?", "$5", "It costs 5 dollars.", "answer not in it"),
    ("What time is it?", "5:30", "It is 5:30 now.", ""),
    ("What time is it?", "5:30", "It is 5:45 now.", "another number"),
    ("When was it taken?", "June 5, 2010", "It was taken on June 5, 2010.", ""),
    ("When was it taken?", "June 5, 2010", "It was taken on 5 June 2010.", "answer not in it"),
    ("When was it taken?", "1940", "It was taken in the 1940s.", "answer not in it"),
    ("When was it taken?", "1940", "It was taken in 1940.", ""),
    ("When was it taken?", "1940s", "It was taken in the 1950s.", "another number"),
    ("Is this a dog?", "yes", "Yes, this is a dog.", ""),
    ("Is this a dog?", "yes", "This is a dog.", ""),  # no negation, as it should
    ("Is this a dog?", "yes", "No, this is a cat.", "yes or no differs"),
    ("Is this a dog?", "yes", "This is not a dog.", "yes or no differs"),
    ("Is this a dog?", "no", "No, this is a cat.", ""),
    ("Is this a dog?", "no", "This isn’t a dog.", ""),
    ("Is this a dog?", "No.", "There is no dog.", ""),
    ("Is this a dog?", "no", "This is a dog.", "yes or no differs"),
    ("Is this a dog?", "no", "Nothing but a dog.", ""),  # the rule sees a negation, not its sense
    ("Is this a dog?", "no", "Yes, this is not a dog.", "yes or no differs"),  # the first word decides
    ("Is this a dog?", "yes", "Yes, these are 2 dogs.", "another number"),
    ("这是什么动物？", "狗", "这只动物是狗。", ""),
    ("这是什么动物？", "狗", "这只动物是猫。", "answer not in it"),
    ("这是什么动物？", "狗", "这不是狗。", "a negation"),
    ("这是什么动物？", "猫", "这是熊猫。", ""),  # without blanks a word inside a longer one is not seen
    ("有几只狗？", "2", "图中有两只狗。", ""),
    ("有几只狗？", "两只", "图中有2只狗。", ""),
    ("有几只狗？", "十二只", "图中有12只狗。", ""),
    ("这是什么动物？", "狗", "图中有三只狗。", "another number"),
    ("这是什么动物？", "狗", "图中有一只狗。", ""),  # 一 before a measure word is an article
    ("这是狗吗？", "是的", "是的，这是狗。", ""),
    ("这是狗吗？", "是", "这是一只狗。", ""),
    ("这是狗吗？", "是的", "不，这是猫。", "yes or no differs"),
    ("这是狗吗？", "不是", "这不是狗。", ""),
    ("这是狗吗？", "不是", "这是狗。", "yes or no differs"),
    ("有没有狗？", "有", "没有狗。", "yes or no differs"),
    ("有没有狗？", "没有", "图中没有狗。", ""),
    ("Quel animal ?", "chien", "Cet animal est un chien.", ""),
    ("これは何ですか？", "犬", "これは犬です。", ""),
    ("What animal is this?", "dog", "Dog.", "no sentence"),
    ("What animal is this?", "dog", "Is this animal a dog?", "a question"),
    ("What animal is this?", "dog", "", "no words"),
    ("What animal is this?", "dog", "...", "no words"),
    ("What is the letter?", "A", "The letter is A.", "no words"),  # the official rule drops it as an article
    ("What animal is this?", "dog", "Sure!\nThis animal is a dog.", "more than one line"),
    ("What animal is this?\nOptions:\n(A) cat\n(B) dog", "(B) dog", "The animal is (B) dog.", ""),
    ("What animal is this?\nOptions:\n(A) cat\n(B) dog", "(B) dog", "The animal is a dog.", "answer not in it"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "answer", "rewrite", "reason"), CASES)
def test_a_rewrite_is_kept_or_falls_back_for_its_reason(question, answer, rewrite, reason):
    assert reason_against(rewrite, question, answer) == reason


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=30))
def test_an_answer_put_into_a_sentence_as_it_is_is_kept(answer):
    """What we ask the model for always passes, whatever the script, but for yes, no, and what has no words."""
    assert reason_against(nfc(f"It says: {answer} ."), "What does it say?", answer) in (
        "",
        "no words",
        "yes or no differs",
    )
