"""m3it/evaluating/row_scores.py: scores of rows, resamples and intervals."""

import numpy as np
import pytest
from prediction_files import dataset_line, line, write_run

from m3it.evaluating.ngrams import finish_bleu
from m3it.evaluating.row_scores import interval, majority_score, resample, score_rows
from m3it.evaluating.runs import usable
from m3it.evaluating.score import score
from m3it.rows.instance import hash_of


def test_captions_of_one_image_share_their_references_and_are_drawn_together(tmp_path):
    rows = [
        line(0, "a red dog", "a red dog", "coco", group="1.jpg"),
        line(1, "a red dog", "two boats", "coco", group="1.jpg"),
        line(2, "a cat", "a cat", "coco", group="2.jpg"),
    ]
    assert [row["references"] for row in usable(rows)] == [["a red dog", "two boats"]] * 2 + [["a cat"]]
    found = dataset_line(score([write_run(tmp_path / "a", rows)], tmp_path / "out"), "coco")
    assert list(found["scores"]) == ["cider_d", "cider", "rouge_l"] and found["scores"]["rouge_l"]["score"] == 100
    # rows of one image are not drawn apart: with one image there is nothing to draw
    alone = score_rows(usable(rows[:2]), ["rouge_l"], "coco")
    assert np.ptp(alone.resampled["rouge_l"]) == 0


def test_the_majority_answer_is_scored_by_the_datasets_own_metric():
    rows = [
        {"id": str(i), "prediction": "", "references": [answer], "choices": []}
        for i, answer in enumerate(["yes", "no", "yes", "no", "yes"])
    ]
    assert majority_score(rows, ("nlvr", "validation")) == ("yes", pytest.approx(60))  # 3 of 5
    assert majority_score(rows, ("vist", "test")) is None  # ROUGE-L knows no right and wrong


def test_a_resample_is_a_draw_of_rows_with_replacement():
    draws = resample(np.eye(50), seed=1)
    assert draws.shape == (1000, 50) and (draws.sum(axis=1) == 50).all()
    assert draws.var() == pytest.approx(1 - 1 / 50, abs=0.02)  # multinomial: n p (1 - p)
    assert (resample(np.eye(50), seed=1) == draws).all() and (resample(np.eye(50), seed=2) != draws).any()


def test_bleu_of_a_resample_is_that_of_the_rows_it_drew():
    bleu = pytest.importorskip("sacrebleu.metrics").BLEU()
    rng = np.random.default_rng(0)
    vocabulary = ["a", "red", "dog", "cat", "on", "the", "street", "runs"]
    texts = [" ".join(rng.choice(vocabulary, rng.integers(4, 9))) for _ in range(60)]
    rows = [line(i, texts[i], texts[i + 30], "multi30k") for i in range(30)]
    scored = score_rows(rows, ["bleu"], "multi30k")
    # the rows' order of units is that of their ids, sorted as texts
    order = np.argsort(np.unique([f"row {row['id']}" for row in rows], return_inverse=True)[1])
    draws = resample(np.eye(30), hash_of("multi30k", "resample", 0))
    for draw, sums in list(zip(draws, scored.resampled["bleu"], strict=True))[:5]:
        drawn = [rows[order[unit]] for unit, times in enumerate(draw) for _ in range(int(times))]
        expected = bleu.corpus_score([row["prediction"] for row in drawn], [[row["references"][0] for row in drawn]])
        assert finish_bleu(sums) == pytest.approx(expected.score, abs=1e-6)


def test_95_of_100_intervals_hold_the_true_accuracy():
    rng, held = np.random.default_rng(0), 0
    for seed in range(300):
        scores = (rng.random(200) < 0.3).astype(float)
        counts = np.stack([np.ones(200), scores], axis=1)
        drawn = resample(counts, seed)
        found = interval(float(scores.mean()), drawn[:, 1] / drawn[:, 0])
        held += found["low"] <= 0.3 <= found["high"]
    assert 0.91 <= held / 300 <= 0.98
