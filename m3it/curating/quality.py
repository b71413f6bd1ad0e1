"""What is odd about a row, by rules that need no model: pictures that show little, texts that do not fit each other.

In: a row.  Out: a `Flag` for each rule that finds something. A flag is a reason to look, not a verdict: nothing is
dropped because of it unless somebody says so.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from M3IT import LANGUAGES, image_bytes
from m3it.rows.images import ImageError, pixels, size
from m3it.rows.scripts import script_share
from m3it.rows.short_answers import normalize_answer

# Found on photographs that PyPI packages ship, on easy-vqa and on the sample: docs/curate.md has the table.
SMALL_PIXELS = 32  # of the shorter side
MOST_RATIO = 5.0  # of the longer side to the shorter
MOST_RANGE = 4  # of each colour from 0 to 255: what JPEG makes of one colour
LOOKED_AT_PIXELS = 384  # of the longer side, at which sharpness is measured
LEAST_EDGE = 20.0  # the strongest per mille of edges: in a blurred picture no edge is steep
MIN_LETTERS = 12  # of an answer, before its script says something: names and units are short
REPEATED_WORDS = 4  # of a question, before an answer that holds them all repeats it
LETTERED = re.compile(r"(?:^|[\s:])\(?([A-Z])[).:]\s")  # an option in a question: (A) red  A. red  A: red
ANSWER_LETTER = re.compile(r"\(?([A-Z])\)?[.:]?(?:\s|$)")
UNFINISHED = re.compile(r"(?:[,;(\[–—&+=]|\b(?:and|or|of|the|an?|in|on|to|with|is|are|und|et|y|de))\s*$", re.IGNORECASE)
PAIRS = (("(", ")"), ("[", "]"), ("“", "”"), ("「", "」"), ("«", "»"))


class Flag(NamedTuple):
    """A rule, and what it found in a row."""

    rule: str
    found: str


# ---- pictures


def small_picture(file: bytes) -> str:
    """A side that is shorter than SMALL_PIXELS."""
    width, height = size(file)
    return f"{width} x {height} pixels" if min(width, height) < SMALL_PIXELS else ""


def odd_ratio(file: bytes) -> str:
    """A picture that is more than MOST_RATIO times as long as it is wide, or the other way round."""
    width, height = size(file)
    return f"{width} x {height} pixels" if max(width, height) > MOST_RATIO * min(width, height) else ""


def one_colour(file: bytes) -> str:
    """A picture of one colour."""
    seen = pixels(file, max_side_pixels=LOOKED_AT_PIXELS)
    low, high = seen.min((0, 1)).astype(int), seen.max((0, 1)).astype(int)
    return f"all of it is about {tuple(map(int, low))}" if (high - low).max() <= MOST_RANGE else ""


def blurred(file: bytes) -> str:
    """A picture without a steep edge, that is not of one colour."""
    seen = pixels(file, max_side_pixels=LOOKED_AT_PIXELS)
    if (seen.max((0, 1)).astype(int) - seen.min((0, 1))).max() <= MOST_RANGE or min(seen.shape[:2]) < SMALL_PIXELS:
        return ""
    strength = edge_strength(seen)
    return f"its strongest edges have {strength:.1f}" if strength < LEAST_EDGE else ""


def unreadable_picture(file: bytes) -> str:
    """A picture that cannot be decoded."""
    pixels(file, max_side_pixels=LOOKED_AT_PIXELS)
    return ""


def edge_strength(seen: np.ndarray) -> float:
    """How steep the steepest thousandth of the edges of a picture (height, width, 3) is, from 0 to 255."""
    edges = np.asarray(Image.fromarray(seen).convert("L").filter(ImageFilter.FIND_EDGES))[1:-1, 1:-1]
    return float(np.quantile(edges, 0.999)) if edges.size else 0.0


# ---- texts


def no_answer(row: dict[str, Any], language: str) -> str:
    """An answer without a letter, a digit or a sign that means something."""
    answer = row["outputs"]
    return "" if any(letter.isalnum() or letter in "+-=<>%$€" for letter in answer) else f"the answer is {answer!r}"


def repeats_question(row: dict[str, Any], language: str) -> str:
    """An answer that holds the whole question."""
    question, answer = normalize_answer(row["inputs"]), normalize_answer(row["outputs"])
    is_long = len(question.split()) >= REPEATED_WORDS or len(question) >= 3 * REPEATED_WORDS
    repeated = is_long and question in answer
    return f"the answer begins {row['outputs'][:60]!r}" if repeated else ""


def other_language(row: dict[str, Any], language: str) -> str:
    """A longer answer in another script than the config's language; languages of one script are not told apart."""
    script = LANGUAGES[language].script if language in LANGUAGES else "Latn"
    answer = row["outputs"]
    is_long = sum(letter.isalpha() for letter in answer) >= MIN_LETTERS
    return f"the answer begins {answer[:60]!r}" if is_long and script_share(answer, script) < 0.1 else ""


def absent_option(row: dict[str, Any], language: str) -> str:
    """An answer that names an option which the question does not have."""
    options = LETTERED.findall(row["inputs"])
    named = ANSWER_LETTER.match(row["outputs"])
    if len(options) < 2 or options[0] != "A" or not named or named[1] in options:
        return ""
    # "A dog", "I think": a word, where no bracket or stop follows the letter
    is_word = named[1] in "AI" and re.match(r"[AI]\s", row["outputs"])
    return "" if is_word else f"the answer is {row['outputs'][:20]!r}, the options are {', '.join(options)}"


def cut_off(row: dict[str, Any], language: str) -> str:
    """A question that ends in the middle: after a comma or a small word, or within a bracket or quotation marks. An
    option may end as it likes."""
    question = row["inputs"].rstrip()
    is_option = LETTERED.match(question.rpartition("\n")[2])
    opened = [first for first, last in PAIRS if question.count(first) > question.count(last)]
    is_cut = opened or (not is_option and UNFINISHED.search(question))
    return f"the question ends {question[-40:]!r}" if is_cut else ""


PICTURE_RULES: dict[str, Callable[[bytes], str]] = {
    rule.__name__: rule for rule in (small_picture, odd_ratio, one_colour, blurred, unreadable_picture)
}
TEXT_RULES: dict[str, Callable[[dict[str, Any], str], str]] = {
    rule.__name__: rule for rule in (no_answer, repeats_question, other_language, absent_option, cut_off)
}
RULES = (*TEXT_RULES, *PICTURE_RULES)


def flags_of(row: dict[str, Any], language: str, is_video: bool = False) -> Iterator[Flag]:
    """The flags of a row, a rule at most once. `language`: the code of its config's language, `en` for English; the
    pictures of a video are flagged only where all of them are: what it shows may come late."""
    for name, rule in TEXT_RULES.items():
        if found := rule(row, language):
            yield Flag(name, found)
    files = image_bytes(row)
    for name, look in PICTURE_RULES.items():
        said = [_looked_at(look, file) for file in files]
        places = [f"picture {place}: {found}" for place, found in enumerate(said, 1) if found]
        if places and not (is_video and len(places) < len(files)):
            yield Flag(name, "; ".join(places))


def _looked_at(look: Callable[[bytes], str], file: bytes) -> str:
    """What a rule finds in a picture; nothing in one that cannot be read, which is a rule of its own."""
    try:
        return look(file)
    except ImageError as error:
        return str(error) if look is unreadable_picture else ""
