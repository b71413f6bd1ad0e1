"""What is odd about a row, by rules that need no model: pictures that show little, texts that do not fit each other.

In: a row.  Out: a `Flag` for each rule that finds something. A flag is a reason to look, not a verdict: nothing is
dropped because of it unless somebody says so.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from M3IT import LANGUAGES, image_bytes
from m3it.rows.images import ImageError, pixels, size
from m3it.rows.instance import ShardError
from m3it.rows.scripts import script_share
from m3it.rows.short_answers import normalize_answer

# Found on photographs that PyPI packages ship, on easy-vqa and on the sample: docs/curate.md has the table.
SMALL_PIXELS = 32  # of the shorter side
MOST_RATIO = 5.0  # of the longer side to the shorter
MOST_RANGE = 4  # of each colour from 0 to 255: what JPEG makes of one colour
LOOKED_AT_PIXELS = 384  # of the longer side, at which pictures are looked at
LEAST_EDGE = 25  # the strongest per mille of edges: in a blurred picture no edge is steep
LEAST_LIGHT = 64  # of 255, of the brightest colour of a pixel: photographs at a fifth of their light are below it
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


class Seen(NamedTuple):
    """A picture as rules look at it: its own size, what it shows in RGB, of LOOKED_AT_PIXELS at most, and the least and
    the most of each colour."""

    width: int
    height: int
    shown: Image.Image
    range_by_colour: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, file: bytes) -> "Seen":
        """What an image file shows; ImageError where it cannot be decoded."""
        width, height = size(file)
        shown = Image.fromarray(pixels(file, max_side_pixels=LOOKED_AT_PIXELS))
        extrema: Any = shown.getextrema()  # a pair for each band
        return cls(width, height, shown, extrema)

    @property
    def is_of_one_colour(self) -> bool:
        """Whether no colour varies by more than MOST_RANGE."""
        return all(high - low <= MOST_RANGE for low, high in self.range_by_colour)


def small_picture(seen: Seen) -> str:
    """A side that is shorter than SMALL_PIXELS."""
    return f"{seen.width} x {seen.height} pixels" if min(seen.width, seen.height) < SMALL_PIXELS else ""


def odd_ratio(seen: Seen) -> str:
    """A picture that is more than MOST_RATIO times as long as it is wide, or the other way round."""
    shorter, longer = sorted((seen.width, seen.height))
    return f"{seen.width} x {seen.height} pixels" if longer > MOST_RATIO * shorter else ""


def one_colour(seen: Seen) -> str:
    """A picture of one colour."""
    low = tuple(low for low, _ in seen.range_by_colour)
    return f"all of it is about {low}" if seen.is_of_one_colour else ""


def dark(seen: Seen) -> str:
    """A picture in which nothing is light, that is not of one colour."""
    if seen.is_of_one_colour:
        return ""
    lightest = most_of(brightest(seen.shown), 100)
    return f"99 of 100 pixels have at most {lightest} of 255" if lightest < LEAST_LIGHT else ""


def blurred(seen: Seen) -> str:
    """A picture without a steep edge, that is not of one colour."""
    if seen.is_of_one_colour or min(seen.shown.size) < SMALL_PIXELS:
        return ""
    strength = edge_strength(seen.shown)
    return f"its strongest edges have {strength}" if strength < LEAST_EDGE else ""


def edge_strength(shown: Image.Image) -> int:
    """How steep the steepest thousandth of the edges of a picture is, from 0 to 255, in the colour in which each is
    steepest: yellow is as light as a white ground."""
    edges = brightest(shown.filter(ImageFilter.FIND_EDGES))
    return most_of(edges.crop((1, 1, edges.width - 1, edges.height - 1)), 1000)


def brightest(shown: Image.Image) -> Image.Image:
    """The most of the three colours of each pixel, as gray."""
    red, green, blue = shown.split()
    return ImageChops.lighter(ImageChops.lighter(red, green), blue)


def most_of(gray: Image.Image, parts: int) -> int:
    """What the lightest of so many equal parts of the pixels have at least."""
    lighter = np.cumsum(gray.histogram()[::-1])  # number of pixels that have at least 255, 254, ...
    return 255 - int(np.argmax(lighter * parts >= lighter[-1]))


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


PICTURE_RULES: dict[str, Callable[[Seen], str]] = {
    rule.__name__: rule for rule in (small_picture, odd_ratio, one_colour, dark, blurred)
}
TEXT_RULES: dict[str, Callable[[dict[str, Any], str], str]] = {
    rule.__name__: rule for rule in (no_answer, repeats_question, other_language, absent_option, cut_off)
}
UNREADABLE = "unreadable_picture"
RULES = (*TEXT_RULES, *PICTURE_RULES, UNREADABLE)


def flags_of(row: dict[str, Any], language: str, is_video: bool = False) -> Iterator[Flag]:
    """The flags of a row, a rule at most once. `language`: the code of its config's language, `en` for English; the
    pictures of a video are flagged only where all of them are: what it shows may come late."""
    for name, rule in TEXT_RULES.items():
        if found := rule(row, language):
            yield Flag(name, found)
    try:
        files = image_bytes(row)
    except ShardError as error:  # no base64, or an empty text
        yield Flag(UNREADABLE, str(error))
        return
    looked_at = [_look(file) for file in files]
    for name in (*PICTURE_RULES, UNREADABLE):
        places = [f"picture {place}: {found[name]}" for place, found in enumerate(looked_at, 1) if name in found]
        if places and not (is_video and len(places) < len(looked_at)):
            yield Flag(name, "; ".join(places))


def _look(file: bytes) -> dict[str, str]:
    """Rule -> what it finds in a picture, of those that find something."""
    try:
        seen = Seen.of(file)
    except ImageError as error:
        return {UNREADABLE: str(error)}
    return {name: found for name, look in PICTURE_RULES.items() if (found := look(seen))}
