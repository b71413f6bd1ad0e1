"""The metrics beside the implementations that the field uses, case by case; and what no other tool-kit has, by hand.

`cases/metrics/texts.jsonl` holds texts with their references, `accuracy.jsonl` and `vqa_accuracy.jsonl` expected scores
that were worked out by hand. 500 further cases are drawn (seeded), 200 of them in many scripts. Everything is compared
to 1e-6.
"""

import json
import random
import re
import shutil
from collections import Counter

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from M3IT import CATALOGUE, LANGUAGES
from m3it.catalogue import lookup
from m3it.evaluating import metrics, ngrams
from m3it.evaluating.metrics import METRICS, chosen
from m3it.evaluating.references import choices, reference_fields, short_answer
from m3it.evaluating.words import bleu_tokenizer, caption_words, spaced, words

FOLDER = ROOT / "tests"
WORDS = re.findall(
    r"\S+",
    """a an the man woman dog cat horse two 2 three on in of with and riding holding standing red blue big street beach
    wave ball don't it's man's T-shirt 1,000 10:30 $5 50% U.S. café Zürich (left) [sic] "hello" well-known hello, world.
    end! what? & / - ... 's n't the. a.b foo_bar 3.5 none zero""",
)


SCRIPTS = re.findall(
    r"\S+",
    """一只狗 在跑步 红色的T恤 犬が走る 강아지가 달린다 สุนัข สีแดง วิ่ง यह कुत्ता красная собака كلب أحمر כלב אדום Straße
    İstanbul ǆ ﬁsh Ａ１ é 😀 👩‍👩‍👧 。 ， “quoted” … — – don’t &amp; &lt;b&gt; (B) B. 2,000.5 5-6 '' `` \\\\""",
)
SCRIPTS += [
    "e\u0301",
    "no\u00a0break",
    "wide\u3000blank",
    "line\u2028end",
    "file\x1cend",
    "zero\u200bwidth",
    "\ufeffmark",
]


def read_cases(name: str) -> list[dict]:
    return [json.loads(line) for line in (FOLDER / f"cases/metrics/{name}.jsonl").read_text("utf-8").splitlines()]


def draw_cases(seed: int, num_cases: int = 300, pool: list[str] = WORDS) -> list[dict]:
    """Predictions that share much, little or nothing with their one to five references; some of them are empty."""
    rng = random.Random(seed)

    def text(low: int, high: int) -> str:
        return " ".join(rng.choices(pool, k=rng.randint(low, high)))

    cases = []
    for _ in range(num_cases):
        references = [text(1, 15) for _ in range(rng.randint(1, 5))]
        near = rng.choice(references).split()
        rng.shuffle(near)
        prediction = rng.choice([text(0, 15), references[-1], " ".join(near), references[0][3:] + " " + text(0, 3)])
        cases.append({"prediction": prediction, "references": references})
    return cases


CASES = read_cases("texts") + draw_cases(0) + draw_cases(1, 200, WORDS[:40] + 2 * SCRIPTS)
PREDICTIONS = [case["prediction"] for case in CASES]
REFERENCES = [case["references"] for case in CASES]


def close(ours, theirs):
    np.testing.assert_allclose(np.asarray(ours, float), np.asarray(theirs, float), rtol=0, atol=1e-6)


def columns(references):
    """References as sacrebleu takes them: the first of each row, the second, ..., None where a row has no more."""
    return [[row[i] if i < len(row) else None for row in references] for i in range(max(map(len, references)))]


# ---- parity


def test_there_are_enough_cases():
    assert len(read_cases("texts")) >= 50 and len(CASES) >= 250
    assert len(read_cases("accuracy")) >= 50 and len(read_cases("vqa_accuracy")) >= 50


def test_rouge_l_is_that_of_rouge_score():
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
    expected = [scorer.score_multi(r, p)["rougeL"].fmeasure for p, r in zip(PREDICTIONS, REFERENCES, strict=True)]
    close(metrics.rouge_l(PREDICTIONS, REFERENCES), expected)
    assert sum(0 < score < 1 for score in expected) > 50


@pytest.mark.parametrize(("language", "tokenize"), [("en", "13a"), ("de", "13a"), ("zh", "zh"), ("th", "char")])
def test_bleu_is_that_of_sacrebleu_for_the_corpus_and_for_rows(language, tokenize):
    sacrebleu = pytest.importorskip("sacrebleu.metrics")
    counts = metrics.bleu(PREDICTIONS, REFERENCES, language)
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
    close(ngrams.finish_bleu(metrics.bleu(PREDICTIONS, REFERENCES).sum(axis=0)), 100 * expected[3])


def test_chrf_is_that_of_sacrebleu_for_the_corpus_and_for_rows():
    chrf = pytest.importorskip("sacrebleu.metrics").CHRF()
    counts = metrics.chrf(PREDICTIONS, REFERENCES)
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
    close(metrics.cider_d(PREDICTIONS, REFERENCES, language), expected)
    assert expected.max() > 1 and (expected == 0).any()


def test_cider_d_of_more_rows_than_a_block_and_of_one():
    pytest.importorskip("pycocoevalcap")
    cases = draw_cases(1, ngrams.BLOCK_ROWS + 300)
    predictions, references = ([case[name] for case in cases] for name in ("prediction", "references"))
    close(metrics.cider_d(predictions, references), coco_caption_cider(predictions, references))
    close(metrics.cider_d(["a cat"], [["a cat"]]), [0.0])  # no other row, no idf


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
    close(metrics.cider(PREDICTIONS, REFERENCES), expected)


def test_exact_match_and_f1_are_those_of_squad():
    squad = pytest.importorskip("torchmetrics.functional.text").squad
    for i, (prediction, row) in enumerate(zip(PREDICTIONS, REFERENCES, strict=True)):
        gold = {"answers": {"text": row, "answer_start": [0] * len(row)}, "id": str(i)}
        theirs = squad([{"prediction_text": prediction, "id": str(i)}], [gold])
        close(100 * metrics.exact_match([prediction], [row])[0], theirs["exact_match"])
        close(metrics.f1([prediction], [row])[0], float(theirs["f1"]) / 100)


def test_anls_is_that_of_the_anls_package_but_at_exactly_a_half():
    # the paper's NL < 0.5 leaves out a similarity of exactly 0.5, the competition's script keeps it; so do we
    package = pytest.importorskip("anls.metrics")
    scored = metrics.anls(PREDICTIONS, REFERENCES)
    for prediction, row, score in zip(PREDICTIONS, REFERENCES, scored, strict=True):
        expected = package.anls_score(prediction, row, 0.5 + 1e-9)
        close(score, expected if prediction.strip() else 0.0)
    assert metrics.anls(["abcd"], [["abxy"]])[0] == 0.5
    assert metrics.anls(["abcd"], [["axyz"]])[0] == 0.0


def vqa_by_hand(prediction, answers):
    """https://visualqa.org/evaluation.html, written down once more, letter by letter, with what the official script
    does and the page does not say: a mark goes, if it has a blank beside it anywhere or a number of the text a comma,
    and becomes a blank else; a period goes unless a digit follows it."""
    named = ("none", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    numbers = dict(zip(named, [0, *range(11)], strict=True))

    def normal(text):
        text = "".join(" " if letter in "\n\t" else letter for letter in text).strip()
        places = range(len(text))
        comma = any(text[i] == "," and text[i - 1 : i].isdecimal() and text[i + 1 : i + 2].isdecimal() for i in places)
        vanish = {text[i] for i in places if comma or " " in (text[i - 1 : i], text[i + 1 : i + 2])}
        marks = {mark: "" if mark in vanish else " " for mark in ';/[]"{}()=+\\_-><@`,?!'}
        spelled = "".join(marks.get(letter, letter) for letter in text)
        without = [c for i, c in enumerate(spelled) if c != "." or spelled[i + 1 : i + 2].isdecimal()]
        kept = [str(numbers.get(word, word)) for word in "".join(without).lower().split()]
        kept = [word for word in kept if word not in ("a", "an", "the")]
        return " ".join({"dont": "don't", "cant": "can't", "oclock": "o'clock"}.get(word, word) for word in kept)

    said, given = normal(prediction), [normal(answer) for answer in answers]
    without_one = [given[:i] + given[i + 1 :] for i in range(len(given))]
    return sum(min(1, others.count(said) / 3) for others in without_one) / len(given)


def test_vqa_accuracy_is_the_rule_recomputed():
    rng = random.Random(2)
    pool = ["red", "blue", "the red", "Red.", "a dog", "dog", "dont walk", "don't walk", "two", "2", "none", "0"]
    pool += ["zero", "yes", "yes!", "no", "an o'clock", "oclock", "1,000", "1,000 (men)", "t-shirt", "t - shirt", "a/b"]
    pool += ["U.S.A.", "1.5", ".5", "5.", "x.y", "狗", "一 狗", "สุนัข", "(B)", "B.", "[b]"]
    pool += ["red\tdog", "yes,no", "the\nred"]
    predictions = [rng.choice(pool) for _ in range(600)]
    references = [[rng.choice(rng.sample(pool, rng.randint(2, 4)) + [said]) for _ in range(10)] for said in predictions]
    references = [row if i % 2 else [rng.choice(row[:3]) for _ in row] for i, row in enumerate(references)]
    expected = [vqa_by_hand(*case) for case in zip(predictions, references, strict=True)]
    close(metrics.vqa_accuracy(predictions, references), expected)
    assert {round(score, 1) for score in expected} >= {0, 0.3, 0.6, 0.9, 1}


@pytest.mark.parametrize("case", read_cases("vqa_accuracy"), ids=lambda case: case["why"])
def test_vqa_accuracy_of_cases_worked_out_by_hand(case):
    close(metrics.vqa_accuracy([case["prediction"]], [case["references"]]), [case["expected"]])


@pytest.mark.parametrize("case", read_cases("accuracy"), ids=lambda case: repr(case["prediction"]))
def test_accuracy_of_cases_worked_out_by_hand(case):
    found = metrics.accuracy([case["prediction"]], [case["references"]], options=[case.get("choices", [])])[0]
    assert np.isnan(found) if case["expected"] is None else found == case["expected"]


def test_accuracy_reads_every_form_of_a_letter_or_text():
    rng = random.Random(3)
    forms = ["({l}) {t}", "({l})", "{l}", "{l}.", "{l}) {t}", "{l}: {t}", "{t}", "{t}.", "The answer is ({l}) {t}."]
    options = ["red car", "blue boat", "green dog", "pink tree", "white cup"]
    for _ in range(300):
        listed = rng.sample(options, rng.randint(2, 5))
        right, said = rng.randrange(len(listed)), rng.randrange(len(listed))
        prediction = rng.choice(forms).format(l="ABCDE"[said], t=rng.choice([listed[said], listed[said].upper()]))
        gold = [f"({'ABCDE'[right]}) {listed[right]}"]
        assert metrics.accuracy([prediction], [gold], options=[listed])[0] == (right == said), prediction


# ---- texts of all kinds


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_the_edit_distance_of_any_two_texts(one, other):
    table = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, table[0] = table[0], i
        for j, seen in enumerate(other, 1):
            before, table[j] = table[j], min(table[j] + 1, table[j - 1] + 1, before + (letter != seen))
    assert metrics.edit_distance(one, other) == table[-1]


RANGES = {"bleu": 100, "chrf": 100, "cider": 10, "cider_d": 10}
LANGUAGE_SAMPLE = ["en", "zh", "th", "hi", "ar", "ru"]


def finished(name, predictions, references, language="en"):
    """A metric's score in its own range, of all rows."""
    found = METRICS[name].measure(predictions, references, language)
    return float((METRICS[name].finish or np.nanmean)(found.sum(axis=0) if found.ndim > 1 else found))


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=20), st.lists(st.text(max_size=20), min_size=1, max_size=3)), min_size=1),
    st.sampled_from(LANGUAGE_SAMPLE),
)
def test_every_metric_keeps_its_range_on_any_texts(name, rows, language):
    predictions, references = zip(*rows, strict=True)
    assert -1e-9 <= finished(name, list(predictions), list(references), language) <= RANGES.get(name, 1) + 1e-9


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("language", LANGUAGE_SAMPLE)
def test_an_empty_prediction_gets_nothing_and_a_perfect_one_everything(name, language):
    texts = {"en": "a red dog runs along the long street", "zh": "一只红色的狗在街上跑步", "th": "สุนัขสีแดงวิ่งบนถนน",
             "hi": "एक लाल कुत्ता लंबी सड़क पर दौड़ता है", "ar": "كلب أحمر يركض في الشارع الطويل اليوم",
             "ru": "красная собака бежит по длинной улице сегодня"}[language]  # fmt: skip
    others = ["x y z w v", "q r s t u"]  # CIDEr needs other rows
    references = [[texts], *([other] for other in others)]
    assert finished(name, ["", *others], references, language) < finished(name, [texts, *others], references, language)
    assert finished(name, ["", "", ""], references, language) == 0
    if name in ("cider", "cider_d"):
        assert METRICS[name].measure([texts, "", ""], references, language)[0] == pytest.approx(10)
    else:
        assert finished(name, [texts, *others], references, language) == pytest.approx(RANGES.get(name, 1))


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


# ---- tokens


def test_rouge_l_sees_scripts_that_rouge_score_drops():
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
    assert scorer.score("красная собака", "красная собака")["rougeL"].fmeasure == 0
    assert metrics.rouge_l(["красная собака"], [["красная кошка"]], "ru")[0] == 0.5
    # 一 只 狗 在 跑 / 一 只 猫 在 跑: four of five in order on both sides
    assert metrics.rouge_l(["一只狗在跑。"], [["一只猫在跑"]], "zh")[0] == pytest.approx(0.8)


def test_words_of_languages_with_and_without_blanks():
    assert words("Café-bar, 2nd!", "fr") == ["café", "bar", "2nd"]
    assert words("हिन्दी में लिखा", "hi") == ["हिन्दी", "में", "लिखा"]  # vowel signs are marks, and stay
    assert words("می‌خواهم بروم", "ur") == ["میخواهم", "بروم"]  # a joiner that is not seen parts no words
    assert words("ＡＢＣ的T恤", "zh") == ["abc", "的", "t", "恤"]
    assert words("น้ำที่นี่", "th") == ["น\u0e49\u0e4d", "า", "ที่", "นี่"]  # NFKC parts sara am
    assert words("が行く", "ja") == ["が", "行", "く"]
    assert {code for code in LANGUAGES if not spaced(code)} == {"zh", "ja", "th", "lo", "km", "my"}


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [  # as PTBTokenizer 3.4.1 with pycocoevalcap's options gave them
        ('A man\'s t-shirt says "SALE 50%".', "a man 's t-shirt says sale 50 %"),
        ("Don't walk (2 dogs), it's 10:30 a.m.", "do n't walk -lrb- 2 dogs -rrb- it 's 10:30 a.m."),
        ("U.S. flag... a sign that says 'STOP'", "u.s. flag a sign that says stop"),
        ("two dogs' tails -- and dash - here – em—dash", "two dogs tails and dash here em dash"),
        ("1,000.50 people, mr. smith st. louis", "1,000.50 people mr. smith st. louis"),
        ("a man,holding a cat.The dog", "a man holding a cat.the dog"),
        ("it ’s “quoted” café naïve", "it 's quoted café naïve"),
        ("ok!!! what?! hmm;hello: a;b", "ok !!! what ?! hmm hello a b"),
    ],
)
def test_tokens_of_captions_are_those_of_coco_caption(caption, tokens):
    assert " ".join(caption_words(caption)) == tokens


@pytest.mark.skipif(not shutil.which("java"), reason="the official tokenizer needs Java")
def test_tokens_of_captions_differ_from_the_official_ones_in_one_of_a_hundred_texts_at_most():
    tokenizer = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer").PTBTokenizer()
    texts = [row["outputs"] for name in CATALOGUE for row in fixture(name) if CATALOGUE[name].language == "en"]
    texts += [case["prediction"].replace("\n", " ") for case in read_cases("texts")]
    official = tokenizer.tokenize({i: [{"caption": text}] for i, text in enumerate(texts)})
    differ = [text for i, text in enumerate(texts) if " ".join(caption_words(text)) != official[i][0]]
    assert len(texts) > 300 and len(differ) <= 0.01 * len(texts), differ


# ---- what a row is compared with


def fixture(dataset: str) -> list[dict]:
    """The rows that a converter makes of its fixture."""
    rows = map(json.loads, (FOLDER / f"fixtures/{dataset}/expected.jsonl").read_text("utf-8").splitlines())
    return [row for row in rows if "drop" not in row]


def test_options_are_read_from_lines_and_from_one_line():
    assert choices("What?\nOptions:\n(A) red car\n(B) blue (dark) boat") == ["red car", "blue (dark) boat"]
    assert choices("Options: (A) True (B) False") == ["True", "False"]
    assert choices("As in figure (A).\nOptions:\n(A) x\n(B) y\n(C) z") == ["x", "y", "z"]
    assert choices("选项：\n(A) 炒饭\n(B) 饺子") == ["炒饭", "饺子"]
    assert choices("What is (A) here?") == choices("no options") == choices("(A) one (C) three") == []


def test_short_answers_are_what_stands_behind_the_last_the_answer_is():
    assert short_answer("The flag is blue. The answer is Paris.") == "Paris"
    assert short_answer("Answer: 14 March 1986") == "14 March 1986"
    assert short_answer("The answer is no. The answer is yes.") == "yes"
    assert short_answer("答案是宫保鸡丁。") == "宫保鸡丁"
    assert short_answer("Paris.") == "Paris."


def test_references_are_the_outputs_first_then_what_annotators_gave():
    okvqa = fixture("okvqa")[1]
    assert reference_fields("okvqa", okvqa)["references"] == [okvqa["outputs"], *okvqa["meta"]["answers"]]
    assert len(okvqa["meta"]["answers"]) == 10
    as_text = {**okvqa, "meta": json.dumps(okvqa["meta"])}
    assert reference_fields("okvqa", as_text) == reference_fields("okvqa", okvqa)
    assert reference_fields("okvqa-zh", {**okvqa, "outputs": "欧洲"}) == {"references": ["欧洲"]}  # answers are English
    captions = fixture("flickr8k-cn")[0]
    assert reference_fields("flickr8k-cn", captions)["references"][1:] == captions["meta"]["captions"]
    # the captions of an option's image are no references for its letter
    assert reference_fields("coco-itm", fixture("coco-itm")[0])["references"] == ["(B)"]
    assert reference_fields("my-own", {"inputs": "x", "outputs": "y"}) == {"references": ["y"]}
    short = {"inputs": "q", "outputs": "It is Paris.", "meta": {"short_answer": "Paris"}}
    assert reference_fields("viquae", short)["references"] == ["It is Paris.", "Paris"]


def test_captions_of_one_image_are_a_group_and_multi30k_rows_have_languages():
    groups = [reference_fields("coco", row)["group"] for row in fixture("coco")]
    assert len(set(groups)) < len(groups) and all(groups)
    spoken = {reference_fields("multi30k", row).get("language", "en") for row in fixture("multi30k")}
    assert spoken == {"en", "de", "fr", "cs"}


@pytest.mark.parametrize("dataset", CATALOGUE)
def test_a_rows_own_outputs_score_full_marks_by_its_datasets_metric(dataset):
    rows = [(row, reference_fields(dataset, row)) for row in fixture(dataset) if row["outputs"]]  # two tests have none
    assert len(rows) >= 4
    metric = {"cider": "rouge_l", "bleu": "rouge_l"}.get(CATALOGUE[dataset].metric, CATALOGUE[dataset].metric)
    for row, fields in rows:
        options = {"options": [fields.get("choices", [])]} if metric == "accuracy" else {}
        gold = fields["references"][1:] or fields["references"] if metric == "vqa_accuracy" else fields["references"]
        said, gold = row["outputs"], [short_answer(text) for text in gold]
        if METRICS[metric].short:
            said = short_answer(said)
        score = METRICS[metric].measure([said], [gold], fields.get("language", lookup(dataset)[1]), **options)[0]
        assert score == 1 or metric == "vqa_accuracy" and score >= 0.3, (row["id"], said, gold)
        if fields.get("choices"):
            assert chosen(short_answer(row["outputs"]), fields["choices"]) is not None
