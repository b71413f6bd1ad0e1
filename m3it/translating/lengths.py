"""Whether a translation says all that its source says, and no more: by its length and its sentences.

In: a text and its translation, of two languages.  Out: the reason, "" if it can stand. Texts are compared by what they
weigh: the letters that the same text has in English, on average.
"""

import re

from M3IT import LANGUAGES, Language
from m3it.rows.scripts import letters_of
from m3it.translating.masks import PROTECTED, has_letters, split_text

# Letters of the language's script for 100 of the English text: the medians over the paragraphs of the Universal
# Declaration of Human Rights (https://unicode.org/udhr) and over the messages of Django 5.2, their geometric mean where
# both have the language; of as, li and sd, which neither has, those of bn, nl and ur.
LETTERS = {
    "af": 102, "am": 62, "ar": 76, "as": 63, "ast": 108, "be": 108, "bg": 108, "bn": 63, "bs": 100, "ca": 106,
    "ceb": 121, "cs": 100, "cy": 99, "da": 104, "de": 118, "el": 122, "es": 114, "et": 104, "fi": 108, "fr": 116,
    "fuv": 99, "gl": 109, "gu": 59, "ha": 103, "he": 69, "hi": 60, "hr": 99, "hu": 114, "hy": 106, "id": 115,
    "ig": 95, "is": 98, "it": 115, "ja": 51, "jv": 132, "ka": 114, "kk": 103, "km": 69, "kn": 66, "ko": 44, "ky": 104,
    "lb": 115, "lg": 123, "li": 117, "lij": 101, "ln": 101, "lo": 87, "lt": 108, "lv": 101, "mi": 138, "mk": 105,
    "ml": 71, "mr": 67, "mt": 104, "my": 72, "nl": 117, "ny": 107, "oc": 109, "pa": 57, "pl": 109, "pt": 108,
    "ro": 110, "ru": 116, "sd": 92, "sk": 101, "sn": 118, "so": 111, "sr": 97, "sv": 102, "ta": 77, "te": 65,
    "tg": 109, "th": 77, "tl": 118, "tr": 106, "uk": 105, "ur": 92, "vi": 94, "wo": 84, "zh": 33,
}  # fmt: skip
# The band: a translation weighs between so many times its source, less or more the slack, which short texts need. It is
# narrower at its lower end where there are other signs of a loss. Chosen on the same texts and on Sphinx 9's messages:
# docs/translate.md says how many right and halved ones it refuses.
LEAST, LEAST_WITH_FEWER_PAUSES, LEAST_WITHOUT_END, LEAST_SLACK = 0.65, 0.8, 0.85, 6
MOST, MOST_SLACK = 1.8, 20
PAUSE = re.compile(r"[,;:—–،؛、，；：፣፥፤]")
LONG_PAUSE = re.compile(r"[;:؛；：፥፤]")
# Looser than masks.SENTENCE_END: a full stop may lack its blank here, or be one of another script.
SENTENCE_MARK = re.compile(r"[.!?…؟。！？।॥۔။።։․৷|]+[\"”’'」』）»)\]]*(?![a-z\d])")
END = re.compile(r"[.!?…؟。！？।॥۔။።։․৷|՞՜;:；：][\"”’'」』）»)\]\s]*$")
WITHOUT_MARKS = ("Thai", "Laoo", "Khmr", "Mymr")  # their sentences end in a blank, or in a mark that many leave out


def reason_against_length(source: str, text: str, source_language: Language, language: Language) -> str:
    """Why the text is not the whole translation of the source; "" if it may be."""
    before, after = _weight(source, source_language), _weight(text, language)
    source, text = PROTECTED.sub(" ", source).strip(), PROTECTED.sub(" ", text).strip()
    least = LEAST_WITH_FEWER_PAUSES if len(PAUSE.findall(text)) < len(PAUSE.findall(source)) else LEAST
    if language.script not in WITHOUT_MARKS:
        if _sentence_missing(source, text):
            return "sentence missing"
        if END.search(source) and not END.search(text):
            least = LEAST_WITHOUT_END
    whole = least * before - LEAST_SLACK <= after <= MOST * before + MOST_SLACK
    return "" if whole else "length ratio"


def _weight(text: str, language: Language) -> float:
    """The letters that the text would have in English; those of another script, as in a name, count one."""
    own, others = letters_of(PROTECTED.sub(" ", text), language.script)
    return own * 100 / _letters(language) + others


def _letters(language: Language) -> float:
    """The number of the table; for a language beyond it, the mean of those in the same script, else English's."""
    if language.code in LETTERS or language.code == "en":
        return LETTERS.get(language.code, 100)
    kin = [LETTERS[code] for code, known in LANGUAGES.items() if known.script == language.script]
    return sum(kin) / len(kin) if kin else 100


def _sentence_missing(source: str, text: str) -> bool:
    """Whether the source has two sentences or more, and the text fewer, counting two that a colon or a semicolon joins
    as two."""
    before = sum(not part.keep for part in split_text(" ".join(source.split())))
    joined = max(0, len(LONG_PAUSE.findall(text)) - len(LONG_PAUSE.findall(source)))
    return before > 1 and sum(map(has_letters, SENTENCE_MARK.split(text))) + joined < before
