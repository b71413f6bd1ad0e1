"""Scores of 100,000 captions: time and peak memory of every metric, beside rouge-score, sacrebleu and pycocoevalcap.

    pip install -e '.[eval]' pycocoevalcap && python bench/evaluate.py --out bench/results/evaluate.md

Captions are drawn from a vocabulary with the word frequencies of English (Zipf), 5 to 20 words, five references each,
half of a prediction's words from one of them. Each measurement runs in a process of its own, one after another, and
counts seconds of CPU from texts to score (nothing here waits, and other work on the machine does not count);
pycocoevalcap is given our tokens before, since its own tokenizer needs Java. The last line is one process that computes
all metrics of ours with their 95 % intervals.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from m3it.evaluating.metrics import METRICS
from m3it.evaluating.words import caption_words

Texts, References = list[str], list[list[str]]


def make_captions(num_rows: int, num_references: int, seed: int = 0) -> tuple[Texts, References]:
    """Predictions and references, the same for every process."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmwfgypbvk"))
    vocabulary = ["".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(20_000)]
    predictions: Texts = []
    references: References = []
    for start in range(0, num_rows, 5000):  # a part at a time, so that making them needs little memory
        ends = np.cumsum(rng.integers(5, 21, min(5000, num_rows - start) * (num_references + 1))).tolist()
        drawn = [vocabulary[i] for i in np.minimum(rng.zipf(1.3, ends[-1]), len(vocabulary)) - 1]
        captions = [drawn[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        for at in range(0, len(captions), num_references + 1):
            said, first, *others = captions[at : at + num_references + 1]
            near = [first[i] if i < len(first) and i % 2 else word for i, word in enumerate(said)]
            predictions.append(" ".join(near).capitalize() + ".")
            references.append([" ".join(words).capitalize() + "." for words in (first, *others)])
    return predictions, references


def of_rouge_score(predictions: Texts, references: References) -> float:
    """The mean of rougeL."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    scores = [scorer.score_multi(r, p)["rougeL"].fmeasure for p, r in zip(predictions, references, strict=True)]
    return float(np.mean(scores))


def of_sacrebleu(name: str) -> Callable[[Texts, References], float]:
    """BLEU or chrF of the corpus."""

    def score(predictions: Texts, references: References) -> float:
        from sacrebleu.metrics import BLEU, CHRF

        columns = [list(column) for column in zip(*references, strict=True)]
        return (BLEU() if name == "bleu" else CHRF()).corpus_score(predictions, columns).score

    return score


def of_pycocoevalcap(predictions: Texts, references: References) -> float:
    """Its CIDEr, which is CIDEr-D, of tokens made before the clock starts."""
    from pycocoevalcap.cider.cider import Cider

    said = {i: [text] for i, text in enumerate(predictions)}
    return float(Cider().compute_score(dict(enumerate(references)), said)[0])


def of_ours(name: str) -> Callable[[Texts, References], float]:
    """The score of one metric, from texts."""

    def score(predictions: Texts, references: References) -> float:
        metric = METRICS[name]
        rows = metric.measure(predictions, references)
        return float(metric.finish(rows.sum(axis=0)) if metric.finish else np.nanmean(rows))

    return score


def all_of_ours(predictions: Texts, references: References) -> float:
    """Every metric with its interval, as row_scores.py makes them."""
    from m3it.evaluating.row_scores import interval, score_of, score_rows

    gold = zip(predictions, references, strict=True)
    rows = [{"id": str(i), "prediction": text, "references": texts} for i, (text, texts) in enumerate(gold)]
    scored = score_rows(rows, METRICS, "coco")
    for name in METRICS:
        found = interval(float(score_of(name, scored.sums[name])), score_of(name, scored.resampled[name]))
    return found["score"]


REFERENCES = {
    "rouge_l": ("rouge-score", of_rouge_score),
    "bleu": ("sacrebleu", of_sacrebleu("bleu")),
    "chrf": ("sacrebleu", of_sacrebleu("chrf")),
    "cider_d": ("pycocoevalcap", of_pycocoevalcap),
    "cider": ("pycocoevalcap", of_pycocoevalcap),  # the nearest there is: CIDEr-D, so that only the times compare
}


def run_one(case: str, num_rows: int, num_references: int) -> None:
    """Measure one case in this process and print it as JSON."""
    predictions, references = make_captions(num_rows, num_references)
    name, _, whose = case.partition("@")
    function = all_of_ours if name == "all" else REFERENCES[name][1] if whose else of_ours(name)
    if whose == "pycocoevalcap":
        predictions = [" ".join(caption_words(text)) for text in predictions]
        references = [[" ".join(caption_words(text)) for text in row] for row in references]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    score = function(predictions, references)
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "score": score, "peak_mb": peak / 1024, "texts_mb": before / 1024}))


def measure_apart(case: str, args: argparse.Namespace) -> dict[str, float]:
    """What a fresh process says of a case."""
    command = [sys.executable, __file__, "--case", case, "--rows", str(args.rows), "--references", str(args.references)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def measure(args: argparse.Namespace) -> Iterator[list[str]]:
    """Yield the lines of the table, each as soon as it is measured."""
    for name, metric in METRICS.items():
        ours = measure_apart(name, args)
        line = [metric.title, f"{ours['seconds']:.1f} s", f"{ours['peak_mb']:,.0f} MB", *[""] * 5]
        if name in REFERENCES:
            whose = REFERENCES[name][0]
            theirs = measure_apart(f"{name}@{whose}", args)
            line[3:6] = whose, f"{theirs['seconds']:.1f} s", f"{theirs['peak_mb']:,.0f} MB"
            ratio, apart = theirs["seconds"] / ours["seconds"], abs(theirs["score"] - ours["score"])
            line[6:] = f"{ratio:.1f} x", "its CIDEr-D" if name == "cider" else f"{apart:.0e}"
        yield line
    together = measure_apart("all", args)
    yield ["all, with intervals", f"{together['seconds']:.1f} s", f"{together['peak_mb']:,.0f} MB", *[""] * 5]


def main() -> None:
    """Measure, print the table, and write it where the card finds it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--references", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        run_one(args.case, args.rows, args.references)
        return
    lines = ["| metric | m3it | peak | reference | its time | its peak | ratio | difference |"]
    lines.append("|---|---:|---:|---|---:|---:|---:|---:|")
    print(*lines, sep="\n")
    for line in measure(args):
        lines.append(f"| {' | '.join(line)} |")
        print(lines[-1], flush=True)
    packages = ", ".join(f"{name} {version(name)}" for name in ("rouge-score", "sacrebleu", "pycocoevalcap"))
    rows = f"{args.rows:,} predictions, {args.references} references each; seconds of CPU, peak memory of the process"
    note = f"{rows} with its texts; Python {sys.version.split()[0]}, {packages}"
    lines += ["", f"{note}; made by `python bench/evaluate.py`.", ""]
    print(*lines[-2:], sep="\n")
    if args.out:
        args.out.write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main()
