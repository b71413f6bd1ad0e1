"""m3it/showing/standing.py: how a model stands to the majority answer, in words."""

import pytest
from conftest import write_rows

from m3it.evaluating.score import score
from m3it.showing.case_study import Found, gather
from m3it.showing.standing import counted, listed, majority_by_place, model_summary, stand, summary


@pytest.mark.parametrize(
    "low, high, same, said",
    [
        (90, 100, 63, ("above", "34.0")),
        (90, 100, 98, ("no different", "")),
        (90, 100, 100, ("no different", "")),  # an end of the interval is in it
        (90, 100, 100.5, ("below", "3.5")),
        (55.5556, 100, 500 / 9, ("no different", "")),  # scores.json has four digits
    ],
)
def test_the_interval_decides(low, high, same, said):
    assert stand({"score": 97, "low": low, "high": high}, same) == said


def test_numbers_and_names_in_a_sentence():
    assert [counted(number, "row") for number in (0, 1, 1024)] == ["0 rows", "1 row", "1,024 rows"]
    assert [listed(list(names)) for names in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]


def found_of(folder, *configs) -> Found:
    """A run of the model "tiny" on 60 rows of each config, scored: (config, right answers). 40 references are no."""
    lines = []
    for config, num_right in configs:
        for i in range(60):
            right, wrong = ("no", "yes") if i < 40 else ("yes", "no")
            lines.append(
                {"id": f"row-{i}", "config": config, "split": "test", "prompt": "Look.\nIs it?", "references": [right]}
                | {"prediction": right if i < num_right else wrong, "seconds": 0.1}
            )
    write_rows(folder / "tiny/predictions.jsonl", lines)
    score([folder / "tiny"], folder / "scores")
    return gather([folder])


@pytest.mark.parametrize(
    "num_right, said",
    [
        (60, "is above the majority answer by 33.3 points: accuracy 100.0 against 66.7"),
        (41, "is no different from the majority answer: accuracy 68.3 against 66.7"),
        (6, "is below the majority answer by 56.7 points: accuracy 10.0 against 66.7"),
    ],
)
def test_a_model_of_one_dataset_is_said_with_its_points(tmp_path, num_right, said):
    found = found_of(tmp_path, ("shapes", num_right))
    assert summary(found) == "1 model answered 60 rows of shapes/test."
    assert model_summary("tiny", found, majority_by_place(found)) == said
    assert model_summary("other", found, majority_by_place(found)) == ""


def test_of_several_datasets_it_is_said_where_the_model_is_above_or_below(tmp_path):
    found = found_of(tmp_path, ("shapes", 6), ("nlvr", 60), ("mine", 60), ("yours", 6))
    assert summary(found) == "1 model answered 240 rows of 4 datasets."
    told = model_summary("tiny", found, majority_by_place(found))
    assert told == "is above the majority answer in nlvr and mine, below in shapes and yours"


def test_of_many_datasets_it_is_said_how_many(tmp_path):
    found = found_of(tmp_path, *((name, 6) for name in ("shapes", "nlvr", "mine", "yours")))
    told = model_summary("tiny", found, majority_by_place(found))
    assert told == "is below the majority answer in 4 datasets"


def test_what_is_no_question_of_right_and_wrong_has_no_majority_answer(tmp_path):
    line = {"id": "r", "config": "coco", "split": "test", "prompt": "?", "prediction": "a dog", "references": ["a dog"]}
    write_rows(tmp_path / "tiny/predictions.jsonl", [{**line, "seconds": 0.1}])
    score([tmp_path / "tiny"], tmp_path / "scores")
    found = gather([tmp_path])
    assert majority_by_place(found) == {} and model_summary("tiny", found, {}) == ""


def test_a_judge_and_the_days_of_its_replies_are_said(runs):
    found = gather([runs])
    assert summary(found).endswith("A judge compared good and poor on 12 rows on 2023-11-14.")
