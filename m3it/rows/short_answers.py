"""Short answers, brought to one form for comparison: the rule of VQA's official evaluation.

Source: https://visualqa.org/evaluation.html and its code, https://github.com/GT-Vision-Lab/VQA, vqaEval.py at c4e6a0e:
tables of contractions, numbers and articles.
"""

import re

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
COMMA_IN_NUMBER = re.compile(r"\d,\d")
PERIOD = re.compile(r"\.(?!\d)")  # the official pattern, without its lookahead that is always true
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DIGITS = {"none": "0", **{word: str(number) for number, word in enumerate(NUMBER_WORDS)}}
ARTICLES = ("a", "an", "the")
CONTRACTED = re.findall(
    r"\S+",
    """ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't
    he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't
    must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've
    somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've
    something'll that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas
    wasn't we'd've we've weren't what'll what're what's what've when's where'd where's where've who'd who'd've
    who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd
    you'd've you'll you're you've""",
)
# What is written with one apostrophe too few gets it back; the official table has one line the other way round.
CONTRACTIONS = {
    word[:at] + word[at + 1 :]: word for word in CONTRACTED for at, letter in enumerate(word) if letter == "'"
} | {"somebody'd": "somebodyd"}


def normalize_answer(text: str) -> str:
    """The answer as the official VQA v2 scorer compares it: punctuation, case, articles, number words and contractions.

    Its quirks stand: a mark becomes a blank only where no blank is beside it anywhere in the text, all marks vanish
    where a number has a comma, "none" is "0", at most 32 periods go.
    """
    text = text.replace("\n", " ").replace("\t", " ").strip()
    squeezed, joined = text, COMMA_IN_NUMBER.search(text)
    for mark in PUNCTUATION:
        squeezed = squeezed.replace(mark, "" if joined or f"{mark} " in text or f" {mark}" in text else " ")
    words = [DIGITS.get(word, word) for word in PERIOD.sub("", squeezed, count=32).lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)
