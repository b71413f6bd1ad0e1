"""What must not be translated, taken out of a text and put back; and where a long text is cut.

In: a text.  Out: it with option letters, numbers, URLs, placeholders, boxes, code-like tokens and quoted names as [1],
[2], ..., and its spans; the parts of a text, each about a sentence, whose texts together are the text.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

# Pieces of the patterns below.
SUFFIXES = "py|js|ts|cpp|java|html|css|json|jsonl|xml|csv|tsv|txt|md|pdf|png|jpe?g|gif|mp[34]|zip|exe|com|org|net"
NAME_WORD, SMALL_WORDS = r"[A-Z0-9][\w'’.&-]*", "of|the|and|a|an|in|on|for|to|de|la|le|du|von|&"
NUM = r"-?\d+(?:\.\d+)?"
BLANKLESS = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uff00-\uffef"  # a number may touch these
)
W, V = rf"[^\W{BLANKLESS}]", rf"[^\W_{BLANKLESS}]"  # what begins and ends a number or a name: \w of the other scripts

PROTECTED_KINDS = {
    "url": rf"(?:https?://|www\.)[^\s<>\"”{BLANKLESS}]*[^\s<>\"”.,;:!?)\]{BLANKLESS}]"
    r"|(?a:(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]*\w)",
    "box": rf"</?(?:box|ref|quad)>|<loc_?\d+>|[\[(]\s*{NUM}(?:\s*,\s*{NUM}){{3}}\s*[\])]",
    "placeholder": r"\{\{?\w*\}?\}|%\(\w+\)[sdif]|%[sd]\b|\$\{\w+\}|</?[A-Za-z_][\w-]*/?>|<\|\w+\|>"
    r"|\[[A-Z_]{2,}\]|\[\d+\]",
    "option letter": r"\([A-Z]\)",
    "quoted name": rf"(?<=[\"“]){NAME_WORD}(?: (?:{NAME_WORD}|{SMALL_WORDS}))*(?=[\"”])",
    "code": rf"`[^`\n]+`|(?<!{W})(?<!-){W}(?:{W}|-)*\.(?:{SUFFIXES})(?!{W})|(?<!{W}){V}+(?:_{V}+)+(?!{W})"
    rf"|(?<!{W}){W}+\(\)|(?<!{W})[a-z]+[A-Z]{W}*|(?<!\S)--[a-z][\w-]*|(?<!{W})[A-Za-z]+\d(?:-*{W})*|(?<!{W})[#@]{W}+",
    "number": rf"(?<!{W})(?<!\.)[-+]?[$€£¥]?\d+(?:[.,:/]\d+)*%?(?!{W})",
}  # in this order where two begin at one place; 2nd and 1940s are left to the translator, their digits are checked
PROTECTED = re.compile(
    "|".join(f"(?P<{name.replace(' ', '_')}>{pattern})" for name, pattern in PROTECTED_KINDS.items())
)
MASK = re.compile(r"[\[［【〔]\s*(\d+)\s*[\]］】〕]")  # in any brackets and digits that a translator may write

LINE_MARKER = re.compile(r"\s*(?:\([A-Z]\)\s*|[A-Z][.):]\s+|\d+[.)]\s+|[-*•]\s+)")
OPTION_LETTER = re.compile(r"\(([A-Z])\)\s*")
LINE_END = re.compile(r"([\n\r\v\f\x85\u2028\u2029]+)")
CLOSE, OPEN = r"[\"”’'」』）»)\]]*", r"[\"“‘「『（«(\[¿¡]?"
SENTENCE_END = re.compile(  # after a full stop that is never in a number or an abbreviation no blank is needed
    rf"(?<=[.!?…؟]){CLOSE}\s+(?={OPEN}[^\W_a-z])|(?<=[。！？।॥۔።။។։])(?![。！？।॥]){CLOSE}\s*"
)
CUTS = (r"[;:,]\s+|[、，；：،؛፣]\s*", r"\s+")  # where a sentence too long for a model is cut; inside a word at last
ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|No|vs|etc|e\.g|i\.e|U\.S)|\b[A-Z])\.[\"”')\]]*$")


class Masked(NamedTuple):
    """A text whose protected spans are numbered placeholders."""

    text: str
    spans: tuple[str, ...]


class TextPart(NamedTuple):
    """A stretch of a text: to translate, or to keep as it is."""

    text: str
    keep: bool


def protected_spans(text: str) -> list[tuple[str, str]]:
    """(kind, span) of all that is protected, in order."""
    return [(str(found.lastgroup).replace("_", " "), found[0]) for found in PROTECTED.finditer(text)]


def mask(text: str) -> Masked:
    """The text with its protected spans as [1], [2], ..."""
    spans: list[str] = []

    def number(found: re.Match[str]) -> str:
        spans.append(found[0])
        return f"[{len(spans)}]"

    return Masked(PROTECTED.sub(number, text), tuple(spans))


def restore(text: str, spans: tuple[str, ...]) -> str | None:
    """The text with its spans instead of their numbers; None if one of them is missing, or stands there twice."""
    if sorted(int(number) for number in MASK.findall(text)) != list(range(1, len(spans) + 1)):
        return None
    return MASK.sub(lambda found: spans[int(found[1]) - 1], text)


def has_letters(text: str) -> bool:
    """Whether there is anything to translate."""
    return any(letter.isalpha() for letter in MASK.sub("", text))


def split_text(text: str, fits: Callable[[str], bool] = lambda sentence: True) -> list[TextPart]:
    """The parts whose texts together are the text: lines, options and sentences, cut further where they do not fit;
    what has no letters, the letters of options and the blanks around are kept."""
    parts: list[TextPart] = []
    for line in LINE_END.split(text):
        for piece in _options(line):
            for sentence in _sentences(piece) if not OPTION_LETTER.fullmatch(piece) else [piece]:
                for cut in _cut(sentence, fits):
                    parts += _trim(cut)
    return [part for part in parts if part.text]


def _options(line: str) -> Iterator[str]:
    """The line cut at a marker that begins it, and at its options if they are (A), (B), ... in a row."""
    found = list(OPTION_LETTER.finditer(line))
    in_a_row = len(found) > 1 and [mark[1] for mark in found] == [chr(ord("A") + i) for i in range(len(found))]
    first = LINE_MARKER.match(line)
    marks = [(mark.start(), mark.end()) for mark in found] if in_a_row else [first.span()] if first else []
    at = 0
    for start, stop in marks:
        yield line[at:start]
        yield line[start:stop]
        at = stop
    yield line[at:]


def _sentences(text: str) -> Iterator[str]:
    """The sentences with the blanks after them."""
    at = 0
    for start, stop in _ends(SENTENCE_END, text):
        if not ABBREVIATION.search(text[at:start]):
            yield text[at:stop]
            at = stop
    yield text[at:]


def _ends(pattern: re.Pattern[str] | str, text: str) -> list[tuple[int, int]]:
    """Where the pattern is found, but not inside a protected span."""
    found = [end.span() for end in re.finditer(pattern, text)]
    spans = [span.span() for span in PROTECTED.finditer(text)] if found else []
    inside = {place for start, stop in spans for place in range(start + 1, stop)}
    return [(start, stop) for start, stop in found if stop not in inside]


def _cut(text: str, fits: Callable[[str], bool]) -> list[str]:
    """The text whole if it fits, else halved where it is best: after a comma, then after a blank, near its middle."""
    if len(text) < 2 or fits(text):
        return [text]
    middle = len(text) // 2
    for pattern in CUTS:
        ends = [stop for _, stop in _ends(pattern, text) if len(text) // 5 < stop < len(text)]
        if ends:
            at = min(ends, key=lambda end: abs(end - middle))
            return [*_cut(text[:at], fits), *_cut(text[at:], fits)]
    return [*_cut(text[:middle], fits), *_cut(text[middle:], fits)]


def _trim(text: str) -> list[TextPart]:
    """The text between the blanks around it; all of it kept where a marker or no letter is in it."""
    core = text.strip()
    if LINE_MARKER.fullmatch(text + " ") or not has_letters(mask(core).text):
        return [TextPart(text, True)]
    start = text.index(core)
    return [TextPart(text[:start], True), TextPart(core, False), TextPart(text[start + len(core) :], True)]


def option_texts(text: str) -> list[str]:
    """The texts after (A), (B), ...; [] where there are not two in a row."""
    texts = {
        found[1]: found[2].strip() for found in re.finditer(r"\(([A-Z])\)\s*([^\n(]*(?:\((?![A-Z]\))[^\n(]*)*)", text)
    }
    letters = [chr(ord("A") + i) for i in range(len(texts))]
    return [texts[letter] for letter in letters] if len(texts) > 1 and list(texts) == letters else []
