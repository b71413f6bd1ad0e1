"""m3it/evaluating/ngrams.py beside sacrebleu and coco-caption, to 1e-6."""

from collections import Counter

import numpy as np
import pytest
from metric_cases import PREDICTIONS, REFERENCES, close, columns, draw_cases

from m3it.evaluating import ngrams
from m3it.evaluating.metrics import METRICS
from m3it.evaluating.words import bleu_tokenizer, caption_words


@pytest.mark.parametrize(("language", "tokenize"), [("en", "13a"), ("de", "13a"), ("zh", "zh"), ("th", "char")])
def test_bleu_is_that_of_sacrebleu_for_the_corpus_and_for_rows(language, tokenize):
    sacrebleu = pytest.importorskip("sacrebleu.metrics")
    counts = ngrams.bleu(PREDICTIONS, REFERENCES, language)
    corpus = sacrebleu.BLEU(tokenize=tokenize).corpus_score(PREDICTIONS, columns(REFERENCES)).score
    close(ngrams.finish_bleu(counts.sum(axis=0)), corpus)
    by_row = sacrebleu.BLEU(tokenize=tokenize, effective_order=True)
    expected = [by_row.sentence_score(p, r).score for p, r in zip(PREDICTIONS, REFERENCES, strict=True)]
    close(ngrams.finish_bleu(counts, rows=True), expected)
    for size in (1, 2, 3, 10, 50):  # small corpora lack whole orders of n-grams
        corpus = [
            sacrebleu.BLEU(tokenize=tokenize).corpus_score(PREDICTIONS[i : i + size], columns(REFERENCES[i : i + size]))
            for i in range(0, 100, size)
        ]
        sums = [counts[i : i + size].sum(axis=0) for i in range(0, 100, size)]
        close(ngrams.finish_bleu(np.array(sums)), [found.score for found in corpus])


def test_bleu_is_that_of_coco_caption_on_the_same_tokens():
    # it adds 1e-15 to matches and 1e-9 to totals, and does not smooth: where all orders match it is the same figure
    scorer = pytest.importorskip("pycocoevalcap.bleu.bleu").Bleu(4)
    tokens = bleu_tokenizer("en")
    said = {i: [" ".join(tokens(text))] for i, text in enumerate(PREDICTIONS)}
    gold = {i: [" ".join(tokens(text)) for text in row] for i, row in enumerate(REFERENCES)}
    expected, _ = scorer.compute_score(gold, said, verbose=0)
    close(ngrams.finish_bleu(ngrams.bleu(PREDICTIONS, REFERENCES).sum(axis=0)), 100 * expected[3])


def test_chrf_is_that_of_sacrebleu_for_the_corpus_and_for_rows():
    chrf = pytest.importorskip("sacrebleu.metrics").CHRF()
    counts = ngrams.chrf(PREDICTIONS, REFERENCES)
    corpus = chrf.corpus_score(PREDICTIONS, columns(REFERENCES)).score
    close(ngrams.finish_chrf(counts.sum(axis=0)), corpus)
    expected = [chrf.sentence_score(p, r).score for p, r in zip(PREDICTIONS, REFERENCES, strict=True)]
    close(ngrams.finish_chrf(counts), expected)


def coco_caption_cider(predictions, references, language="en"):
    """pycocoevalcap's CIDEr of each row, on our tokens."""
    from pycocoevalcap.cider.cider import Cider

    def joined(text):
        return " ".join(caption_words(text, language))

    gold = {i: [joined(text) for text in row] for i, row in enumerate(references)}
    return Cider().compute_score(gold, {i: [joined(text)] for i, text in enumerate(predictions)})[1]


@pytest.mark.parametrize("language", ["en", "zh", "th", "ru"])
def test_cider_d_is_what_coco_caption_calls_cider(language):
    pytest.importorskip("pycocoevalcap")
    expected = coco_caption_cider(PREDICTIONS, REFERENCES, language)
    close(ngrams.cider_d(PREDICTIONS, REFERENCES, language), expected)
    assert expected.max() > 1 and (expected == 0).any()


def test_cider_d_of_more_rows_than_a_block_and_of_one():
    pytest.importorskip("pycocoevalcap")
    cases = draw_cases(1, ngrams.BLOCK_ROWS + 300)
    predictions, references = ([case[name] for case in cases] for name in ("prediction", "references"))
    close(ngrams.cider_d(predictions, references), coco_caption_cider(predictions, references))
    close(ngrams.cider_d(["a cat"], [["a cat"]]), [0.0])  # no other row, no idf


def test_cider_is_the_formula_of_its_paper():
    # the paper's section 4, written down once more with dictionaries: no clipping, no penalty for length
    def vectors(text):
        tokens = caption_words(text)
        return [Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)) for n in range(1, 5)]

    seen = Counter(gram for row in REFERENCES for gram in {g for text in row for v in vectors(text) for g in v})

    def cosine(one, other):
        weigh = [{g: c * np.log(len(REFERENCES) / max(1, seen[g])) for g, c in v.items()} for v in (one, other)]
        norms = [np.sqrt(sum(w * w for w in v.values())) for v in weigh]
        dot = sum(w * weigh[1].get(g, 0) for g, w in weigh[0].items())
        return dot / (norms[0] * norms[1]) if norms[0] * norms[1] else 0.0

    expected = []
    for prediction, row in zip(PREDICTIONS, REFERENCES, strict=True):
        of_references = [np.mean(list(map(cosine, vectors(prediction), vectors(text)))) for text in row]
        expected.append(10 * np.mean(of_references))
    close(ngrams.cider(PREDICTIONS, REFERENCES), expected)


def test_numbers_of_n_grams_that_would_not_fit_are_given_anew(monkeypatch):
    before = [METRICS[name].measure(PREDICTIONS, REFERENCES) for name in ("bleu", "chrf", "cider_d")]
    monkeypatch.setattr(ngrams, "LARGEST", 1 << 34)  # as if the vocabulary had millions of words
    called = []
    renumber = ngrams._renumber
    monkeypatch.setattr(ngrams, "_renumber", lambda gram: called.append(len(gram)) or renumber(gram))
    after = [METRICS[name].measure(PREDICTIONS, REFERENCES) for name in ("bleu", "chrf", "cider_d")]
    for one, other in zip(before, after, strict=True):
        close(one, other)
    assert len(called) >= 3
