"""Which script the letters of a text are of.

In: a text, a script's code (ISO 15924).  Out: a share, or the names that Unicode gives its letters.
"""

import unicodedata
from functools import lru_cache

SCRIPTS = {
    "Arab": "ARABIC", "Armn": "ARMENIAN", "Beng": "BENGALI", "Cyrl": "CYRILLIC", "Deva": "DEVANAGARI",
    "Ethi": "ETHIOPIC", "Geor": "GEORGIAN", "Grek": "GREEK", "Gujr": "GUJARATI", "Guru": "GURMUKHI", "Hang": "HANGUL",
    "Hans": "CJK", "Hant": "CJK", "Hebr": "HEBREW", "Jpan": "CJK HIRAGANA KATAKANA", "Khmr": "KHMER",
    "Knda": "KANNADA", "Laoo": "LAO", "Latn": "LATIN", "Mlym": "MALAYALAM", "Mymr": "MYANMAR", "Taml": "TAMIL",
    "Telu": "TELUGU", "Thai": "THAI",
}  # fmt: skip


@lru_cache(1 << 16)
def script_of(letter: str) -> str:
    """The first word of the letter's name in Unicode, such as LATIN."""
    return unicodedata.name(letter, "?").split()[0]


def letters_of(text: str, script: str) -> tuple[int, int]:
    """How many letters of the text are of a script, and how many of others; all are of a script unknown here."""
    scripts, letters = SCRIPTS.get(script, "").split(), [letter for letter in text if letter.isalpha()]
    own = sum(script_of(letter) in scripts for letter in letters) if scripts else len(letters)
    return own, len(letters) - own


def script_share(text: str, script: str) -> float:
    """The share of the text's letters that are of a script; 1 for none, and for scripts unknown here."""
    own, others = letters_of(text, script)
    return own / (own + others) if own + others else 1.0
