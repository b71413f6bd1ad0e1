"""What a prediction is compared with, and the metrics that compare: none needs Java or a network.

In: predictions, and the references of each.  Out: an array with a row for each prediction: its score, or counts;
`finish` of the rows' sum is the score of them all. That way one resampling serves every metric (score.py), and one pass
over the n-grams BLEU, chrF and CIDEr. `docs/metrics.md` says where tokens differ from those of other tool-kits.
"""

import json
import re
import string
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from M3IT import CATALOGUE, LANGUAGES, Dataset
from m3it.instance import M3ITError
from m3it.rephrase import normalize_answer

Texts = Sequence[str]
References = Sequence[Sequence[str]]  # of each prediction, one or more

# ---- what a row is compared with


@lru_cache(1)
def _configs() -> dict[str, tuple[Dataset, str]]:
    own = {d.name: (d, d.language) for d in CATALOGUE.values()}
    return own | {f"{d.name}-{code}": (d, code) for d in CATALOGUE.values() if d.translated for code in LANGUAGES}


def lookup(config: str) -> tuple[Dataset | None, str]:
    """The dataset and language of a config; None and "en" for a config of one's own."""
    return _configs().get(config, (None, "en"))


def reference_fields(config: str, row: dict[str, Any]) -> dict[str, Any]:
    """What a line of predictions.jsonl says of the row's gold side: `references`, the row's own `outputs` first, then
    what the source's annotators gave, each as often as given; and, where there are such, `choices` (the texts of the
    lettered options), `group` (rows of one image or clip, whose captions are references of each other), `language`
    (where it is not the config's)."""
    dataset, language = lookup(config)
    meta = row.get("meta") or {}
    meta = json.loads(meta) if isinstance(meta, str) else meta
    captions = dataset is not None and dataset.task == "captioning"
    own_language = dataset is None or language == dataset.language  # a translation's meta is that of the English row
    further = meta.get("captions" if captions else "answers", []) if own_language else []
    short = [meta["short_answer"]] if "short_answer" in meta else []
    target = meta.get("target")  # multi30k translates into four languages
    fields = {
        "references": [row["outputs"], *(further or short)],
        "choices": choices(row["inputs"]),
        "group": str(meta.get("image") or meta.get("video") or "") if captions and not further else "",
        "language": target if target == "en" or target in LANGUAGES else language,
    }
    optional = {"choices": [], "group": "", "language": language}
    return {name: value for name, value in fields.items() if name not in optional or value != optional[name]}


def choices(inputs: str) -> list[str]:
    """The texts of the lettered options that end the inputs, (A) first, in lines or in one line; [] for none."""
    marks = list(re.finditer(r"\(([A-Z])\)\s*", inputs))
    start = max((i for i, mark in enumerate(marks) if mark[1] == "A"), default=len(marks))
    run = [mark for i, mark in enumerate(marks[start:]) if ord(mark[1]) == ord("A") + i]
    if len(run) < 2 or len(run) < len(marks) - start:
        return []
    ends = [*(mark.start() for mark in run[1:]), len(inputs)]
    return [inputs[mark.end() : end].strip() for mark, end in zip(run, ends, strict=True)]


ANSWER_IS = re.compile(r".*(?:\banswer(?: is|:)|答案[是为：:])\s*([^\n]+)", re.IGNORECASE | re.DOTALL)


def short_answer(text: str) -> str:
    """What stands behind the last "the answer is", as rewritten answers end, without its period; else the text."""
    said = ANSWER_IS.match(text)
    return said[1].strip().rstrip(".。") if said else text


# ---- tokens


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
        raise M3ITError("BLEU needs sacrebleu: pip install 'm3it[eval]'") from error
    tokenizer = BLEU(tokenize="13a" if spaced(language) else "zh" if language == "zh" else "char").tokenizer
    return lambda text: tokenizer(text.rstrip()).split()


# ---- one score for each prediction


def _each(score: Callable[..., float], *columns: Sequence[Any]) -> np.ndarray:
    return np.array([score(*case) for case in zip(*columns, strict=True)], dtype=float)


def plain(text: str) -> str:
    """The text for comparison with a label: NFKC, no case, no punctuation, one blank between words."""
    kept = unicodedata.normalize("NFKC", text).casefold().translate(WORDS).split()
    return " ".join(kept) or text.strip()


def chosen(text: str, options: Texts) -> int | None:
    """Which option a text names, in its first line: by letter, B, (B), B. or "(B) dog", or by the option's own text;
    None if by neither, or if letter and text contradict."""
    said = re.sub(r"^(?:option|choice|选项)\s*", "", text.strip().partition("\n")[0].strip(), flags=re.IGNORECASE)
    letter = re.fullmatch(r"\(?([A-Za-z])\)?[.:)。]*|\(([A-Z])\)(.*)|([A-Z])[.:)](?=\s)(.*)", said)
    by_text = _named(said, options)
    if not letter:
        return by_text.pop() if len(by_text) == 1 else None
    letters = {(letter[1] or letter[2] or letter[4]).upper(), *re.findall(r"\(([A-Z])\)", said)}
    answer = ord(letters.pop()) - ord("A")
    named = (by_text, _named(letter[3] or letter[5] or "", options))
    agree = all(answer in numbers for numbers in named if numbers)
    return answer if not letters and answer < len(options) and agree else None


def _named(text: str, options: Texts) -> set[int]:
    """The options that have this text; those that differ in case or punctuation only where none is the same."""
    like = {i for i, option in enumerate(options) if plain(option) == plain(text)}
    return {i for i in like if options[i].strip() == text.strip()} or like


def accuracy(
    predictions: Texts, references: References, language: str = "en", options: References | None = None
) -> np.ndarray:
    """1 for the right label, else 0; nan where there are options and the prediction names none of them: unreadable.

    Range 0 to 1, higher is better; an empty prediction is unreadable with options, 0 without. Options are compared by
    letter or text (`chosen`), labels as `plain` has their first lines. Both are ours: the sources state no rule.
    """

    def one(prediction: str, gold: Texts, listed: Texts) -> float:
        right = chosen(short_answer(gold[0]), listed) if listed else None
        if right is not None:
            answer = chosen(short_answer(prediction), listed)
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
            longer, shorter = sorted((len(answer), len(reference)), reverse=True)
            if shorter and shorter >= longer * max(best, 0.5):  # else the lengths alone say no
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


# ---- n-grams of all predictions at once

LARGEST = 1 << 62  # of the integers that n-grams are numbered with
BLOCK_ROWS = 2000  # that are counted at once, so that memory hardly grows with the number of rows


class Documents(NamedTuple):
    """Texts as numbers: `ids` of all tokens, one document after another; of each document where it starts, its length,
    its row, and its part: 0 for the prediction, which comes first, 1, 2, ... for the references of the row."""

    ids: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    rows: np.ndarray
    parts: np.ndarray


class Grams(NamedTuple):
    """The distinct n-grams of each document, sorted by row, n-gram, part, and how often it has them. `group` numbers
    the pairs of row and n-gram; `first` is the first entry of each group."""

    document: np.ndarray
    gram: np.ndarray
    part: np.ndarray
    counts: np.ndarray
    group: np.ndarray
    first: np.ndarray

    def of_prediction(self, values: np.ndarray) -> np.ndarray:
        """Of each group, the value that the prediction's entry has; 0 where it has not the n-gram."""
        return np.where(self.part[self.first] == 0, values[self.first], 0)


def _documents(predictions: Texts, references: References, tokens: Callable[[str], Iterable[str]]) -> Documents:
    numbers: defaultdict[str, int] = defaultdict()
    numbers.default_factory = numbers.__len__
    ids, lengths, rows, parts = array("i"), array("q"), array("q"), array("q")
    for row, (prediction, gold) in enumerate(zip(predictions, references, strict=True)):
        for part, text in enumerate((prediction, *gold)):
            before = len(ids)
            ids.extend(map(numbers.__getitem__, tokens(text)))
            lengths.append(len(ids) - before)
            rows.append(row)
            parts.append(part)
    starts = np.cumsum(lengths) - np.array(lengths)
    return Documents(np.array(ids), starts, *(np.array(column) for column in (lengths, rows, parts)))


def _numbered(documents: Documents, order: int) -> Iterator[tuple[int, np.ndarray, int]]:
    """Yield n, the number of the n-gram that begins at each token, and a bound of the numbers, for n = 1 to `order`.
    A number is that of the n-gram before times the vocabulary plus a token; before the numbers of a block's rows,
    n-grams and parts outgrow an integer, the n-grams are numbered anew."""
    ids, vocabulary = documents.ids, int(documents.ids.max(initial=0)) + 1
    limit = LARGEST // BLOCK_ROWS // (int(documents.parts.max()) + 1)
    gram, size = ids.astype(np.int64), vocabulary
    for n in range(1, order + 1):
        if n > 1:
            size = size if size * vocabulary < limit else _renumber(gram)
            gram, size = gram[:-1] * vocabulary, size * vocabulary
            gram += ids[n - 1 :]
        yield n, gram, size


def _renumber(gram: np.ndarray) -> int:
    """Put 0, 1, ... in the place of the numbers; returns how many there are."""
    distinct = np.unique(gram)
    for start in range(0, len(gram), 1 << 20):  # in steps, since they are many
        gram[start : start + (1 << 20)] = np.searchsorted(distinct, gram[start : start + (1 << 20)])
    return max(1, len(distinct))


def _keys(documents: Documents, n: int, gram: np.ndarray, size: int, block: slice, width: int) -> np.ndarray:
    """Row (counted from the block's first), n-gram and part of every n-gram in a block of documents, as one integer."""
    lengths = documents.lengths[block]
    if not lengths.sum():
        return np.zeros(0, dtype=np.int64)
    start, stop = documents.starts[block][0], documents.starts[block][-1] + lengths[-1]
    left = np.repeat(documents.starts[block] + lengths, lengths) - np.arange(start, stop)  # to the end of the document
    here = np.flatnonzero(left >= n)
    row = np.repeat(documents.rows[block] - documents.rows[block][0], lengths)[here].astype(np.int64)
    return (row * size + gram[start + here]) * width + np.repeat(documents.parts[block], lengths)[here]


def _grams(documents: Documents, n: int, gram: np.ndarray, size: int, block: slice = slice(None)) -> Grams:
    """The n-grams of a block of documents, which holds whole rows."""
    width = int(documents.parts.max()) + 1
    key, counts = np.unique(_keys(documents, n, gram, size, block, width), return_counts=True)
    key, part = np.divmod(key, width)
    new = np.diff(key, prepend=-1) != 0
    row, of_entry = np.divmod(key, size)
    predictions = np.flatnonzero(documents.parts[block] == 0) + (block.start or 0)
    return Grams(predictions[row] + part, of_entry, part, counts, np.cumsum(new) - 1, np.flatnonzero(new))


def _blocks(documents: Documents) -> list[slice]:
    bounds = [*np.flatnonzero(documents.parts == 0)[::BLOCK_ROWS], len(documents.parts)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def _in_blocks(
    counts: Callable[[Texts, References], np.ndarray], predictions: Texts, references: References
) -> np.ndarray:
    blocks = [slice(start, start + BLOCK_ROWS) for start in range(0, len(predictions), BLOCK_ROWS)]
    return np.concatenate([counts(predictions[block], references[block]) for block in blocks])


def bleu(predictions: Texts, references: References, language: str = "en") -> np.ndarray:
    """Counts for BLEU-4, (rows, 10): tokens, tokens of the reference nearest in length, and for n = 1 to 4 the n-grams
    that a reference has too (clipped), then all n-grams.

    `finish_bleu` of their sum: range 0 to 100, higher is better; all predictions empty: 0. A score of the corpus, not
    a mean over rows. https://aclanthology.org/P02-1040; sacrebleu's (smoothing exp), with its tokenizers.
    """
    tokens = bleu_tokenizer(language)

    def counts(predictions: Texts, references: References) -> np.ndarray:
        documents = _documents(predictions, references, tokens)
        starts, lengths = np.flatnonzero(documents.parts == 0), documents.lengths
        tokens_of = lengths[starts]
        apart = np.abs(lengths - tokens_of[documents.rows]) * (lengths.max() + 1) + lengths  # nearest, then shortest
        apart[starts] = np.iinfo(np.int64).max
        nearest = np.minimum.reduceat(apart, starts) % (lengths.max() + 1)
        correct = []
        for numbered in _numbered(documents, 4):
            grams = _grams(documents, *numbered)
            row = documents.rows[grams.document[grams.first]]
            of_references = np.maximum.reduceat(np.where(grams.part, grams.counts, 0), grams.first) if len(row) else row
            matches = np.minimum(of_references, grams.of_prediction(grams.counts))
            correct.append(np.bincount(row, matches, minlength=len(predictions)))
        totals = [np.maximum(tokens_of - n, 0) for n in range(4)]
        return np.stack([tokens_of, nearest, *correct, *totals], axis=1).astype(float)

    return _in_blocks(counts, predictions, references)


def finish_bleu(sums: np.ndarray, rows: bool = False) -> np.ndarray:
    """BLEU of sums of counts, (..., 10). `rows`: of single rows, where only the orders count that a row is long for."""
    length, nearest, correct, total = sums[..., 0], sums[..., 1], sums[..., 2:6], sums[..., 6:10]
    missed = np.cumsum((correct == 0) & (total > 0), axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(correct > 0, correct, 0.5**missed) / total
        logarithm = np.log(np.where(total > 0, precision, 1.0 if rows else 0.0)).sum(axis=-1)
        orders = np.maximum((total > 0).sum(axis=-1), 1) if rows else 4
        penalty = np.where(length < nearest, 1 - nearest / np.where(length > 0, length, 1), 0)
        score = 100 * np.exp(logarithm / orders + penalty)
    return np.where(correct.any(axis=-1), score, 0.0)


def chrf(predictions: Texts, references: References, language: str = "en") -> np.ndarray:
    """Counts for chrF, (rows, 18): for n = 1 to 6 the character n-grams of the prediction, of the reference that gives
    the highest chrF, and those in both.

    `finish_chrf` of their sum: range 0 to 100, higher is better; all predictions empty: 0. A score of the corpus, not
    a mean over rows. https://aclanthology.org/W15-3049; sacrebleu's chrF2: blanks do not count, case does.
    """

    def counts(predictions: Texts, references: References) -> np.ndarray:
        documents = _documents(predictions, references, lambda text: "".join(text.split()))
        starts, columns = np.flatnonzero(documents.parts == 0)[documents.rows], []
        for n, gram, size in _numbered(documents, 6):
            grams = _grams(documents, n, gram, size)
            both = np.minimum(grams.counts, grams.of_prediction(grams.counts)[grams.group])
            total = np.maximum(documents.lengths - n + 1, 0)
            matches = np.bincount(grams.document, both, minlength=len(total))
            columns += [np.where(total > 0, total[starts], 0), total, matches]
        of_documents = np.stack(columns, axis=1).astype(float)
        score = np.where(documents.parts > 0, finish_chrf(of_documents), -1)
        order = np.lexsort((documents.parts, -score, documents.rows))
        return of_documents[order[np.flatnonzero(documents.parts == 0)]]

    return _in_blocks(counts, predictions, references)


def finish_chrf(sums: np.ndarray) -> np.ndarray:
    """chrF of sums of counts, (..., 18): F2 of the means of precision and recall over the orders that both have."""
    predicted, referred, both = (sums[..., i::3] for i in range(3))
    known = (predicted > 0) & (referred > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        orders = np.maximum(known.sum(axis=-1), 1)
        precision = np.where(known, both / predicted, 0).sum(axis=-1) / orders
        recall = np.where(known, both / referred, 0).sum(axis=-1) / orders
        score = 100 * 5 * precision * recall / (4 * precision + recall)
    return np.where(precision + recall > 0, score, 0.0)


def cider(predictions: Texts, references: References, language: str = "en") -> np.ndarray:
    """How near a caption is to what people say of this picture and not of others: the cosine of tf-idf vectors of
    n-grams, n = 1 to 4, their mean, the mean over the references, times 10.

    Range 0 to 10, higher is better, papers print it times 100; an empty prediction gets 0. The documents of the idf are
    the rows given, so that scores of other rows do not compare; one row alone has none, and gets 0.
    https://arxiv.org/abs/1411.5726, section 4. Not what coco-caption calls CIDEr: that is `cider_d`.
    """
    return _cider(predictions, references, language, clipped=False)


def cider_d(predictions: Texts, references: References, language: str = "en") -> np.ndarray:
    """CIDEr-D: as `cider`, but a repeated word gains nothing, and a length unlike the reference's costs (sigma 6).

    Range 0 to 10, higher is better, papers print it times 100, as "CIDEr"; an empty prediction gets 0.
    https://arxiv.org/abs/1411.5726, section 4; what coco-caption and pycocoevalcap compute under the name of CIDEr.
    """
    return _cider(predictions, references, language, clipped=True)


def _cider(predictions: Texts, references: References, language: str, clipped: bool) -> np.ndarray:
    documents = _documents(predictions, references, lambda text: caption_words(text, language))
    starts, num_documents = np.flatnonzero(documents.parts == 0), len(documents.lengths)
    cosines = np.zeros(num_documents)
    for numbered in _numbered(documents, 4):
        frequency = _frequency(documents, *numbered)
        for block in _blocks(documents):
            grams = _grams(documents, *numbered, block)
            cosines[block] += _cosines(grams, documents, block, np.log(len(predictions)), frequency, clipped)
    if clipped:
        num_bigrams = np.maximum(documents.lengths - 1, 0)  # the official script takes them for the length; so do we
        cosines *= np.exp(-((num_bigrams - num_bigrams[starts[documents.rows]]) ** 2) / (2 * 6.0**2))
    cosines[starts] = 0
    num_references = np.diff(starts, append=num_documents) - 1
    return np.bincount(documents.rows, cosines, minlength=len(predictions)) / 4 / num_references * 10


def _frequency(documents: Documents, n: int, gram: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The n-grams that several rows have in their references, sorted, and the number of these rows; one that is none
    ends them. All others count as in one row, whose logarithm is 0."""
    width = int(documents.parts.max()) + 1
    found = []
    for block in _blocks(documents):
        row_and_gram, part = np.divmod(_keys(documents, n, gram, size, block, width), width)
        found.append(np.unique(row_and_gram[part > 0]) % size)
    together = np.concatenate(found)
    del found
    together.sort()
    distinct, further = np.unique(together[1:][together[1:] == together[:-1]], return_counts=True)
    return np.append(distinct, size), np.append(further + 1, 1)


def _cosines(
    grams: Grams,
    documents: Documents,
    block: slice,
    log_rows: float,
    frequency: tuple[np.ndarray, np.ndarray],
    clipped: bool,
) -> np.ndarray:
    """Of each document of a block, the cosine of its tf-idf vector and the prediction's."""
    distinct, rows = frequency
    at = np.searchsorted(distinct, grams.gram)
    weight = grams.counts * (log_rows - np.log(np.where(distinct[at] == grams.gram, rows[at], 1)))
    of_prediction = grams.of_prediction(weight)[grams.group]
    product = (np.minimum(weight, of_prediction) if clipped else of_prediction) * weight
    document, num_documents = grams.document - block.start, block.stop - block.start
    norm = np.sqrt(np.bincount(document, weight**2, minlength=num_documents))
    predictions = np.flatnonzero(documents.parts[block] == 0)
    both = norm * norm[predictions[documents.rows[block] - documents.rows[block.start]]]
    dot = np.bincount(document, product, minlength=num_documents)
    return np.divide(dot, both, out=np.zeros(num_documents), where=both > 0)


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
