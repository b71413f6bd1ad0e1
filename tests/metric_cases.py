"""Texts with references, from tests/cases/metrics/ and drawn (seeded), that metrics are compared on; rows of fixtures.

`texts.jsonl` holds texts with their references, `accuracy.jsonl` and `vqa_accuracy.jsonl` expected scores that were
worked out by hand. 500 further cases are drawn, 200 of them in many scripts.
"""

import json
import random
import re

import numpy as np
from conftest import ROOT

from m3it.evaluating.metrics import METRICS

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


RANGES = {"bleu": 100, "chrf": 100, "cider": 10, "cider_d": 10}
LANGUAGE_SAMPLE = ["en", "zh", "th", "hi", "ar", "ru"]


def finished(name, predictions, references, language="en"):
    """A metric's score in its own range, of all rows."""
    found = METRICS[name].measure(predictions, references, language)
    return float((METRICS[name].finish or np.nanmean)(found.sum(axis=0) if found.ndim > 1 else found))


def fixture(dataset: str) -> list[dict]:
    """The rows that a converter makes of its fixture."""
    rows = map(json.loads, (FOLDER / f"fixtures/{dataset}/expected.jsonl").read_text("utf-8").splitlines())
    return [row for row in rows if "drop" not in row]
