"""What a prediction is compared with, and the metrics that compare: none needs Java or a network.

In: predictions, and the references of each.  Out: an array with a row for each prediction: its score, or counts;
`finish` of the rows' sum is the score of them all. That way one resampling serves every metric (score.py). The metrics
that count n-grams are in ngrams.py.
"""

import re
import string
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from m3it.evaluating.ngrams import bleu, chrf, cider, cider_d, finish_bleu, finish_chrf
from m3it.evaluating.words import WORDS, References, Texts, words
from m3it.reading.references import short_answer
from m3it.rows.short_answers import normalize_answer

# ---- one score for each prediction


def _each(score: Callable[..., float], *columns: Sequence[Any]) -> np.ndarray:
    return np.array([score(*case) for case in zip(*columns, strict=True)], dtype=float)


def plain(text: str) -> str:
    """The text for comparison with a label: NFKC, no case, no punctuation, one blank between words."""
    kept = unicodedata.normalize("NFKC", text).casefold().translate(WORDS).split()
    return " ".join(kept) or text.strip()


LETTER = re.compile(r"\(?([A-Za-z])\)?[.:)。]*|(?:\(([A-Za-z])\)|([A-Za-z])(?:\)|[.:](?=\s)))(.*)")
REASONED = re.compile(r"([A-Z])(?:\s*[,;]|\s+(?=(?:because|since|as|for|due to)\b)|\s*(?=因为))(.*)")


def chosen(text: str, options: Texts) -> int | None:
    """Which option a text names, in its first line: by letter, B, (B), b., "B) dog" or "B because it barks", or by the
    option's own text; None if by neither, or if letter and text contradict. Full width, and the stars and ticks of
    Markdown, count not."""
    said = re.sub(r"^(?:option|choice|选项)\s*", "", text.strip().partition("\n")[0].strip(), flags=re.IGNORECASE)
    plainly = re.sub(r"[*`$]", "", unicodedata.normalize("NFKC", said)).strip()
    letter, reasoned, by_text = LETTER.fullmatch(plainly), REASONED.fullmatch(plainly), _named(said, options)
    if letter:
        first, rest = letter[1] or letter[2] or letter[3], letter[4] or ""
        letters = {first.upper(), *re.findall(r"\(([A-Z])\)", plainly)}
    elif reasoned and not by_text:
        first, rest = reasoned[1], reasoned[2].rstrip(" .")
        letters = {first, *LONE_LETTER.findall(rest)}
    else:
        return by_text.pop() if len(by_text) == 1 else None
    answer = ord(first.upper()) - ord("A")
    agree = all(answer in numbers for numbers in (by_text, _named(rest, options)) if numbers)
    return answer if len(letters) == 1 and answer < len(options) and agree else None


LONE_LETTER = re.compile(r"(?<![^\W_])([A-Z])(?![^\W_'’])")


def named_anywhere(text: str, options: Texts) -> int | None:
    """As other harnesses read what is no clear answer: the one option whose letter stands alone anywhere in the text,
    else the one whose own text is part of it; None where there are several or none. A or I before a word is a word."""
    plainly = unicodedata.normalize("NFKC", text)
    letters = set(LONE_LETTER.findall(re.sub(r"\b[AI] (?=\w)", "", plainly)))
    numbers = {ord(letter) - ord("A") for letter in letters if ord(letter) - ord("A") < len(options)}
    if not numbers:
        said, texts = f" {plain(text)} ", [plain(option) for option in options]
        numbers = {i for i, t in enumerate(texts) if t and (f" {t} " if t.isascii() else t) in said}
    return numbers.pop() if len(numbers) == 1 else None


def _named(text: str, options: Texts) -> set[int]:
    """The options that have this text; those that differ in case or punctuation only where none is the same."""
    like = {i for i, option in enumerate(options) if plain(option) == plain(text)}
    return {i for i in like if options[i].strip() == text.strip()} or like


def accuracy(
    predictions: Texts,
    references: References,
    language: str = "en",
    *,
    options: References | None = None,
    lenient: bool = False,
) -> np.ndarray:
    """1 for the right label, else 0; nan where there are options and the prediction names none of them: unreadable.

    Range 0 to 1, higher is better; an empty prediction is unreadable with options, 0 without. Options are compared by
    letter or text (`chosen`; if `lenient`, what is unreadable by `named_anywhere`), labels as `plain` has their first
    lines. Both are ours: the sources state no rule.
    """

    def one(prediction: str, gold: Texts, listed: Texts) -> float:
        right = chosen(short_answer(gold[0]), listed) if listed else None
        if right is not None:
            answer = chosen(short_answer(prediction), listed)
            answer = named_anywhere(prediction, listed) if answer is None and lenient else answer
            return np.nan if answer is None else float(answer == right)
        said = plain(short_answer(prediction).strip().partition("\n")[0])
        return float(bool(said) and said in {plain(short_answer(label).strip().partition("\n")[0]) for label in gold})

    return _each(one, predictions, references, options or [()] * len(predictions))


def vqa_accuracy(predictions: Texts, references: References, language: str = "en") -> np.ndarray:
    """How far ten annotators agree with the answer: the mean over those who leave one out of min(1, matches / 3).

    Range 0 to 1, higher is better; an empty prediction gets 0. https://visualqa.org/evaluation.html. Both sides are
    normalised in full; the official script takes only punctuation out of the annotators' answers, which VQA v2 has in
    normal form. With fewer than four references, which cannot reach 1 by that rule, any match counts 1.
    """

    def one(prediction: str, gold: Texts) -> float:
        answer = normalize_answer(prediction)
        matches = sum(normalize_answer(reference) == answer for reference in gold) if answer else 0
        if len(gold) < 4:
            return float(matches > 0)
        without_own, others = min(1, max(0, matches - 1) / 3), min(1, matches / 3)
        return (matches * without_own + (len(gold) - matches) * others) / len(gold)

    return _each(one, predictions, references)


def anls(predictions: Texts, references: References, language: str = "en") -> np.ndarray:
    """1 less the edit distance over the longer length, of the nearest reference; below a half it counts 0.

    Range 0 to 1, higher is better; an empty prediction gets 0. https://arxiv.org/abs/1905.13648; case and blanks do
    not count, and exactly a half does, as in the competition's script.
    """

    def one(prediction: str, gold: Texts) -> float:
        answer, best = " ".join(prediction.lower().split()), 0.0
        for reference in {" ".join(reference.lower().split()) for reference in gold}:
            # The script takes the length of the text in capitals, where ß is two letters; we repeat it, to compare.
            longer, apart = max(len(answer.upper()), len(reference.upper())), abs(len(answer) - len(reference))
            if answer and reference and apart <= longer * (1 - max(best, 0.5)):  # else the lengths alone say no
                best = max(best, 1 - edit_distance(answer, reference) / longer)
        return best if best >= 0.5 else 0.0

    return _each(one, predictions, references)


def edit_distance(one: str, other: str) -> int:
    """Insertions, deletions and substitutions that lead from one text to the other: Myers' bit vectors, as Hyyrö wrote
    them down (2003), a column of the table in one integer."""
    if not one:
        return len(other)
    places: dict[str, int] = defaultdict(int)
    for i, letter in enumerate(one):
        places[letter] |= 1 << i
    mask, last, distance = (1 << len(one)) - 1, 1 << (len(one) - 1), len(one)
    up, down = mask, 0
    for letter in other:
        same = places.get(letter, 0)
        diagonal = (((same & up) + up) ^ up) | same | down
        rise, fall = down | ~(diagonal | up) & mask, up & diagonal
        distance += bool(rise & last) - bool(fall & last)
        rise, fall = rise << 1 | 1, fall << 1
        up, down = (fall | ~(diagonal | rise)) & mask, rise & diagonal & mask
    return distance


ARTICLES = re.compile(r"\b(?:a|an|the)\b")
ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)


def squad_words(text: str, language: str = "en") -> list[str]:
    """SQuAD's words: lower case, no ASCII punctuation, no articles. Other languages: `words`."""
    if language != "en":
        return words(text, language)
    return ARTICLES.sub(" ", text.lower().translate(ASCII_PUNCTUATION)).split()


def exact_match(predictions: Texts, references: References, language: str = "en") -> np.ndarray:
    """1 where the prediction has the words of a reference in their order, else 0.

    Range 0 to 1, higher is better; an empty prediction gets 0, unless a reference has no words either.
    https://rajpurkar.github.io/SQuAD-explorer/ (evaluate-v2.0.py).
    """

    def one(prediction: str, gold: Texts) -> float:
        answer = squad_words(prediction, language)
        return float(any(answer == squad_words(reference, language) for reference in gold))

    return _each(one, predictions, references)


def f1(predictions: Texts, references: References, language: str = "en") -> np.ndarray:
    """The harmonic mean of precision and recall of words, of the nearest reference.

    Range 0 to 1, higher is better; an empty prediction gets 0, unless a reference has no words either.
    https://rajpurkar.github.io/SQuAD-explorer/ (evaluate-v2.0.py).
    """

    def pair(answer: list[str], gold: list[str]) -> float:
        if not answer or not gold:
            return float(answer == gold)
        return 2 * (Counter(answer) & Counter(gold)).total() / (len(answer) + len(gold))

    def one(prediction: str, gold: Texts) -> float:
        answer = squad_words(prediction, language)
        return max(pair(answer, squad_words(reference, language)) for reference in gold)

    return _each(one, predictions, references)


def rouge_l(predictions: Texts, references: References, language: str = "en") -> np.ndarray:
    """The F-measure of the longest common subsequence of words, of the nearest reference.

    Range 0 to 1, higher is better; an empty prediction gets 0. https://aclanthology.org/W04-1013; rouge-score's rougeL
    without stemming, and for languages other than English the same on `words`, where rouge-score sees a-z and 0-9 only.
    """

    def one(prediction: str, gold: Texts) -> float:
        answer, best = words(prediction, language), 0.0
        places: dict[str, int] = defaultdict(int)
        for i, word in enumerate(answer):
            places[word] |= 1 << i
        for reference in gold:
            tokens = words(reference, language)
            # Hyyrö's bit vectors (2004): a zero bit for each word of the subsequence.
            open_places = mask = (1 << len(answer)) - 1
            for word in tokens:
                if match := open_places & places.get(word, 0):
                    open_places = (open_places + match) | (open_places - match)
            common = len(answer) - (open_places & mask).bit_count()
            best = max(best, 2 * common / (len(answer) + len(tokens)) if common else 0.0)
        return best

    return _each(one, predictions, references)


# ---- the table


def mean(sums: np.ndarray) -> np.ndarray:
    """The mean of rows, of sums of (number of rows, score), (..., 2)."""
    return sums[..., 1] / sums[..., 0]


class Metric(NamedTuple):
    """`measure` gives rows of scores or counts, `finish` the score of summed counts (None: the mean of the rows),
    `points` is what the score is multiplied by in tables, `short`: whether `short_answer` is applied first."""

    title: str
    measure: Callable[..., np.ndarray]
    finish: Callable[..., np.ndarray] | None = None
    points: int = 100
    short: bool = False


METRICS = {
    "accuracy": Metric("accuracy", accuracy),
    "vqa_accuracy": Metric("VQA accuracy", vqa_accuracy, short=True),
    "anls": Metric("ANLS", anls, short=True),
    "exact_match": Metric("exact match", exact_match, short=True),
    "f1": Metric("F1", f1, short=True),
    "rouge_l": Metric("ROUGE-L", rouge_l),
    "bleu": Metric("BLEU", bleu, finish_bleu, points=1),
    "chrf": Metric("chrF", chrf, finish_chrf, points=1),
    "cider": Metric("CIDEr", cider),
    "cider_d": Metric("CIDEr-D", cider_d),
}
