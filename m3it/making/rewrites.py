"""Whether a rewritten answer says the same as the short one: its words, numbers, yes and no, in English and Chinese.

Each rule errs towards refusal: a row that is refused keeps its short answer.
"""

import re
import unicodedata
from itertools import pairwise

from m3it.rows.short_answers import normalize_answer

TEENS = ("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBERS = {word: 11 + i for i, word in enumerate(TEENS)} | {word: 20 + 10 * i for i, word in enumerate(TENS)}
NUMBERS |= {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 1_000_000}
UNSPACED = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u9fff\uf900-\ufaff])")  # Thai to Han: no blanks
CHINESE_DIGITS = {sign: number for number, sign in enumerate("零一二三四五六七八九")} | {"两": 2}
MEASURES = "个個只隻条條张張位名辆輛把本件块塊朵棵匹头頭双雙座台间間杯瓶碗盘盤人岁歲点點年月日"
CHINESE_NUMBER = re.compile(f"[一二两三四五六七八九十]+(?=[{MEASURES}])")
EDGES = "'\"“”‘«»‹›:·*#|、。「」『』《》"
YES, NO = ("yes", "是", "有", "对", "對"), ("no", "不", "没", "沒", "否")
NEGATIONS = {"no", "not", "never", "nobody", "nothing", "nowhere", "neither", "nor", "without", "cannot"}
NEGATIONS |= {*"不没沒無无非未"}


def words(text: str) -> list[str]:
    """The words by which answer and rewrite are compared: each normalised for itself, by the official rule, so that
    what stands next to it changes nothing; numbers as digits; in writing without blanks every character is a word."""
    text = unicodedata.normalize("NFKC", text).translate(str.maketrans("’–—⁄", "'- /"))
    text = UNSPACED.sub(r" \1 ", CHINESE_NUMBER.sub(lambda found: chinese_number(found[0]), text))
    plain = [word.strip(EDGES) for token in text.split() for word in normalize_answer(token.strip(EDGES)).split()]
    found: list[str] = []
    for before, word in pairwise(["", *filter(None, plain)]):
        if before in TENS and re.fullmatch("[1-9]", word):
            found[-1] = str(NUMBERS[before] + int(word))  # twenty-one
        else:
            found.append(str(NUMBERS.get(word, word)))
    return found


def chinese_number(signs: str) -> str:
    """十二 as 12; 一 alone stays, since before a measure word it is as often an article."""
    if signs == "一" or re.fullmatch("[^十]{2,}", signs):
        return signs
    tens, ten, ones = signs.rpartition("十")
    return str((CHINESE_DIGITS.get(tens, 1) * 10 if ten else 0) + CHINESE_DIGITS.get(ones, 0))


def numbers(found: list[str]) -> set[str]:
    """The numbers among words, the parts of 5:30 and 1940s too."""
    return {number for word in found for number in re.findall(r"\d*\.?\d+", word)}


def reason_against(rewrite: str, question: str, answer: str) -> str:
    """Why a rewrite cannot stand for its answer; "" if it can.

    It must hold the answer as whole words or, for yes and no, begin with it or have a negation or none as it should;
    and no number and no negation that neither question nor answer has. Negations are known in English and Chinese.
    """
    said, asked, short = words(rewrite), words(question), words(answer)
    if not said or not short:
        return "no words"
    if "\n" in rewrite:
        return "more than one line"
    if said == short:
        return "no sentence"
    if rewrite.endswith(("?", "？")):
        return "a question"
    if not numbers(said) <= numbers(asked) | numbers(short):
        return "another number"
    if polarity := yes_or_no(short):
        first = yes_or_no(said[:1])
        agrees = first == polarity if first else is_negated(said) == (polarity == "no")
        return "" if agrees else "yes or no differs"
    if not any(said[at : at + len(short)] == short for at in range(len(said) - len(short) + 1)):
        return "answer not in it"
    return "a negation" if is_negated(said) and not is_negated(asked) and not is_negated(short) else ""


def yes_or_no(found: list[str]) -> str:
    """ "yes" or "no" if that is all that the words say, as 是的 and 不是 do; else ""."""
    said = "".join(found)
    if said in YES or said in ("是的", "对的", "對的"):
        return "yes"
    return "no" if said in NO or said in ("不是", "没有", "沒有", "不对", "不對") else ""


def is_negated(found: list[str]) -> bool:
    """Whether a word among them negates, in English or Chinese."""
    return any(word in NEGATIONS or word.endswith("n't") for word in found)
