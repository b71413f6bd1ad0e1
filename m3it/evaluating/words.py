"""The tokens that metrics compare, by language; `docs/metrics.md` says where other tool-kits have others."""

import re
import unicodedata
from collections.abc import Callable, Sequence

from M3IT import LANGUAGES
from m3it.rows.instance import M3ITError
from m3it.work.extras import install

Texts = Sequence[str]
References = Sequence[Sequence[str]]  # of each prediction, one or more


class _Table(dict):  # type: ignore[type-arg]
    """For str.translate: keeps letters, marks and numbers, drops what joins them unseen, makes all else a blank."""

    def __missing__(self, code: int) -> int | str | None:
        kind = unicodedata.category(chr(code))
        self[code] = value = code if kind[0] in "LMN" else None if kind == "Cf" else " "
        return value


WORDS = _Table()
LATIN = re.compile(r"[a-z0-9]+")
UNSPACED = re.compile(r"[a-z0-9]+|\S[\u0300-\u036f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece"
                      r"\u102b-\u103e\u1056-\u1060\u17b4-\u17d3\u3099\u309a]*")  # fmt: skip


def spaced(language: str) -> bool:
    """Whether blanks part the words of a language; those of zh, ja, th, lo, km, my they do not."""
    return language not in LANGUAGES or LANGUAGES[language].spaces


def words(text: str, language: str = "en") -> list[str]:
    """The words in lower case, without punctuation. English: runs of a-z and 0-9, as rouge-score has them. Languages
    with blanks: runs of letters, marks and numbers. Without: every letter with its marks, runs of a-z and 0-9."""
    if language == "en":
        return LATIN.findall(text.lower())
    plain = unicodedata.normalize("NFKC", text).casefold().translate(WORDS)
    return plain.split() if spaced(language) else UNSPACED.findall(plain)


# What PTBTokenizer 3.4.1 makes of captions, in lower case and without punctuation, as pycocoevalcap uses it. Brackets
# stay, as -lrb-: its list of punctuation has them in capitals.
SUFFIX = re.compile(r"(?<=\w)(n't|'(?:s|m|d|re|ve|ll))\b|(?<=\bcan)(not)\b|(?<=\b(?:gon|wan))(na)\b|(?<=\bgot)(ta)\b")
BRACKETS = {a: f" -{b}- " for a, b in zip("()[]{}", ("lrb", "rrb", "lsb", "rsb", "lcb", "rcb"), strict=True)}
CURLY = str.maketrans({"’": "'", "‘": "'", **BRACKETS})
CAPTION = re.compile(
    r"-[lr][rsc]b-|(?:\b[^\W\d_]\.)+|\b(?:mr|mrs|ms|dr|st|no|vs|etc|inc|jr|sr|prof|ave|mt|ft|co|corp)\."
    r"|\b(?:jan|feb|aug|sept|oct|nov|dec)\."
    r"|\d+(?:[.,:/]\d+)+|n't|'(?:s|m|d|re|ve|ll)\b|@?\w+(?:['.@/+*_-]+\w+)*|[?!]{2,}|[^\w\s.,;:?!'\"`“”…—–-]"
)


def caption_words(text: str, language: str = "en") -> list[str]:
    """The tokens of captions: in English coco-caption's, nearly (docs/metrics.md); else `words`."""
    if language != "en":
        return words(text, language)
    return CAPTION.findall(SUFFIX.sub(r" \g<0>", text.lower().translate(CURLY)))


def bleu_tokenizer(language: str) -> Callable[[str], list[str]]:
    """sacrebleu's: zh for Chinese, char for other languages without blanks, else 13a."""
    try:
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise M3ITError(f"BLEU needs sacrebleu: {install('eval')}") from error
    tokenizer = BLEU(tokenize="13a" if spaced(language) else "zh" if language == "zh" else "char").tokenizer
    return lambda text: tokenizer(text.rstrip()).split()
