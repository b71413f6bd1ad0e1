"""BLEU, chrF, CIDEr and CIDEr-D from one pass over the n-grams of all texts, as numbers in arrays.

In: predictions and the references of each.  Out: rows of scores (CIDEr), or rows of counts: `finish_bleu` and
`finish_chrf` make a score of their sum.
"""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from m3it.evaluating.words import References, Texts, bleu_tokenizer, caption_words

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

    @property
    def num_parts(self) -> int:
        """Of the row that has the most."""
        return int(self.parts.max()) + 1


class Numbered(NamedTuple):
    """The number of the n-gram that begins at each token, and a bound of the numbers."""

    n: int
    gram: np.ndarray
    size: int


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


def _numbered(documents: Documents, order: int) -> Iterator[Numbered]:
    """Number the n-grams, for n = 1 to `order`. A number is that of the n-gram before, times the vocabulary, plus a
    token; before the numbers of a block's rows, n-grams and parts outgrow an integer, the n-grams are numbered anew."""
    ids, vocabulary = documents.ids, int(documents.ids.max(initial=0)) + 1
    limit = LARGEST // BLOCK_ROWS // documents.num_parts
    gram, size = ids.astype(np.int64), vocabulary
    for n in range(1, order + 1):
        if n > 1:
            size = size if size * vocabulary < limit else _renumber(gram)
            gram, size = gram[:-1] * vocabulary, size * vocabulary
            gram += ids[n - 1 :]
        yield Numbered(n, gram, size)


def _renumber(gram: np.ndarray) -> int:
    """Put 0, 1, ... in the place of the numbers; returns how many there are."""
    distinct = np.unique(gram)
    for start in range(0, len(gram), 1 << 20):  # in steps, since they are many
        gram[start : start + (1 << 20)] = np.searchsorted(distinct, gram[start : start + (1 << 20)])
    return max(1, len(distinct))


def _keys(documents: Documents, numbered: Numbered, block: slice) -> np.ndarray:
    """Row (counted from the block's first), n-gram and part of every n-gram in a block of documents, as one integer."""
    lengths = documents.lengths[block]
    if not lengths.sum():
        return np.zeros(0, dtype=np.int64)
    start, stop = documents.starts[block][0], documents.starts[block][-1] + lengths[-1]
    left = np.repeat(documents.starts[block] + lengths, lengths) - np.arange(start, stop)  # to the end of the document
    here = np.flatnonzero(left >= numbered.n)
    row = np.repeat(documents.rows[block] - documents.rows[block][0], lengths)[here].astype(np.int64)
    row_and_gram = row * numbered.size + numbered.gram[start + here]
    return row_and_gram * documents.num_parts + np.repeat(documents.parts[block], lengths)[here]


def _grams(documents: Documents, numbered: Numbered, block: slice = slice(None)) -> Grams:
    """The n-grams of a block of documents, which holds whole rows."""
    key, counts = np.unique(_keys(documents, numbered, block), return_counts=True)
    key, part = np.divmod(key, documents.num_parts)
    new = np.diff(key, prepend=-1) != 0
    row, of_entry = np.divmod(key, numbered.size)
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
            grams = _grams(documents, numbered)
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
        for numbered in _numbered(documents, 6):
            grams = _grams(documents, numbered)
            both = np.minimum(grams.counts, grams.of_prediction(grams.counts)[grams.group])
            total = np.maximum(documents.lengths - numbered.n + 1, 0)
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


def _cider(predictions: Texts, references: References, language: str, *, clipped: bool) -> np.ndarray:
    documents = _documents(predictions, references, lambda text: caption_words(text, language))
    starts, num_documents = np.flatnonzero(documents.parts == 0), len(documents.lengths)
    cosines = np.zeros(num_documents)
    for numbered in _numbered(documents, 4):
        frequency = _frequency(documents, numbered)
        for block in _blocks(documents):
            grams = _grams(documents, numbered, block)
            cosines[block] += _cosines(
                grams, documents, block, log_rows=np.log(len(predictions)), frequency=frequency, clipped=clipped
            )
    if clipped:
        num_bigrams = np.maximum(documents.lengths - 1, 0)  # the official script takes them for the length; so do we
        cosines *= np.exp(-((num_bigrams - num_bigrams[starts[documents.rows]]) ** 2) / (2 * 6.0**2))
    cosines[starts] = 0
    num_references = np.diff(starts, append=num_documents) - 1
    return np.bincount(documents.rows, cosines, minlength=len(predictions)) / 4 / num_references * 10


def _frequency(documents: Documents, numbered: Numbered) -> tuple[np.ndarray, np.ndarray]:
    """The n-grams that several rows have in their references, sorted, and the number of these rows; one that is none
    ends them. All others count as in one row, whose logarithm is 0."""
    size, found = numbered.size, []
    for block in _blocks(documents):
        row_and_gram, part = np.divmod(_keys(documents, numbered, block), documents.num_parts)
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
    *,
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
