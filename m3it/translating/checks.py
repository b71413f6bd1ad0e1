"""Why a translation cannot stand.

In: a text and its translation, or the texts of a row and theirs.  Out: the reason, "" if it can stand; the reasons
stand as a table in docs/translate.md. Languages are told apart by their script and by py3langid
(https://pypi.org/project/py3langid), whose model lies in its wheel.
"""

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Any

from M3IT import Language
from m3it.catalogue import ENGLISH
from m3it.rows.scripts import script_of, script_share
from m3it.translating.lengths import reason_against_length
from m3it.translating.masks import PROTECTED, has_letters, option_texts, protected_spans

REPEATED = re.compile(r"(\S.{0,60}?)(?:\s*\1){3,}", re.DOTALL)
FEW_WORDS = 3
LITTLE_WORDS = re.compile(
    r"\b(?:a|an|the|of|and|is|are|was|with|on|at|it|they|his|her)\b", re.IGNORECASE
)  # English only
DENSE = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")  # a sign of these says about as much as two or three letters
FEW_LETTERS = 20  # below it a language cannot be told from its relatives
# The least probability of another language, and the most of the one asked for, as a share of it: docs/translate.md.
SURE, MAX_SHARE = 0.3, 0.3
SERBO_CROATIAN = {"bs", "hr", "sr"}  # no identifier tells these apart


def reason_against_translation(source: str, text: str, language: Language, source_language: Language = ENGLISH) -> str:
    """Why the text cannot stand as the translation of the source into the language; "" if it can."""
    if not text.strip():
        return "empty"
    if reason := _against_spans(source, text):
        return reason
    plain_source, plain = PROTECTED.sub(" ", source), PROTECTED.sub(" ", text)
    if not has_letters(plain_source):
        return ""
    named, num_words = _named(plain_source), len(plain_source.split())
    if _fold(plain) == _fold(plain_source):  # Paris, no and wind are the same words elsewhere, where the letters are
        few = num_words <= FEW_WORDS and not (num_words > 1 and LITTLE_WORDS.search(plain_source))
        shared = named or (few and script_share(plain_source, language.script) == 1)
        return "" if shared else "copy of the source"
    if repeats(plain) and not repeats(plain_source):
        return "repetition"
    if not named and script_share(plain, language.script) < 0.5:
        return "wrong script"
    if other_language(plain, language.code):
        return "wrong language"
    return reason_against_length(source, text, source_language, language)


def _against_spans(source: str, text: str) -> str:
    """Every protected span must be there as often as in the source, and every number in digits."""
    spans = Counter(span for _, span in protected_spans(source))
    if any(text.count(span) < number for span, number in spans.items()):
        return "protected text missing"
    loose, found = _digits(PROTECTED.sub(" ", source)), _digits(text)
    return "number changed" if loose - found else ""


def _digits(text: str) -> Counter[str]:
    """The numbers of a text in plain digits, with how often each is there."""
    plain = "".join(str(unicodedata.decimal(sign, sign)) for sign in text)
    return Counter(re.findall(r"\d+", plain))


def _fold(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .!?。！？")


def _named(text: str) -> bool:
    """Whether the text may well be the same in every language: a few words that each begin with a capital."""
    words = re.findall(r"[^\W\d_][\w'’-]*", text)
    return len(words) <= FEW_WORDS and all(word[0].isupper() for word in words)


def repeats(text: str) -> bool:
    """Whether something stands there four times in a row."""
    return any(has_letters(found[1]) for found in REPEATED.finditer(text[:4000]))


def _weight(text: str) -> float:
    """The length in letters, signs that say more counted as more."""
    return sum(2.5 if script_of(sign) in DENSE else 1.0 for sign in text if sign.isalpha())


def other_language(text: str, code: str) -> str:
    """The code of the language that the text is surely in instead; "" where it is in the right one, cannot be told, or
    no identifier is installed."""
    identifier = load_identifier()
    if identifier is None or _weight(text) < FEW_LETTERS:
        return ""
    probability = dict(identifier.rank(text))
    best = max(probability, key=lambda name: probability[name])
    known = code in probability  # of a language it does not know we only ask not to be English
    if best in (code, "zxx") or {best, code} <= SERBO_CROATIAN or not (known or best == "en"):
        return ""
    return best if probability[best] >= SURE and probability.get(code, 0.0) <= MAX_SHARE * probability[best] else ""


def reason_against_answer(inputs: str, outputs: str, said_inputs: str, said_outputs: str) -> str:
    """Why a row's translated answer cannot stand next to its translated question; "" if it can."""
    if said_inputs == said_outputs and inputs != outputs:
        return "answer equals the question"
    before, after = option_texts(inputs), option_texts(said_inputs)
    if _bare(outputs) not in map(_bare, before):
        return ""
    chosen = [_bare(text) for text in before].index(_bare(outputs))
    kept = len(after) == len(before) and _bare(said_outputs) == _bare(after[chosen])
    return "" if kept else "answer not among the options"


def _bare(text: str) -> str:
    """An option or an answer without its letter and its full stop."""
    return re.sub(r"^\s*(?:\([A-Z]\)|[A-Z][.):])\s*", "", text).strip().rstrip(".。।").casefold()


@lru_cache(1)
def load_identifier() -> Any:
    """py3langid's identifier with probabilities; None where it is not installed."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        return None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
