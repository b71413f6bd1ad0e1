"""Files of predictions, as `m3it predict` leaves them, written by hand; and what is read of them."""

import json
from pathlib import Path

import pytest
from conftest import make_row, write_rows

from m3it.evaluating.runs import ScoreError
from m3it.evaluating.score import score


def line(number: int, prediction: str | None, reference: str = "paris", config: str = "viquae", **more) -> dict:
    """The `number`-th line of predictions.jsonl."""
    row = {"id": f"row-{number}", "config": config, "split": "test", "prompt": "?", "prediction": prediction}
    return {**row, "references": [reference], "seconds": 0.1, **more}


def write_run(folder: Path, rows: list, model: str | None = None, **run) -> Path:
    """A folder as `m3it predict` leaves it."""
    write_rows(folder / "predictions.jsonl", rows)
    if model:
        (folder / "run.json").write_text(json.dumps({"command": "predict", "model": model, **run}), "utf-8")
    return folder


def dataset_line(found: dict, config: str) -> dict:
    return next(one for one in found["models"][0]["datasets"] if one["config"] == config)


def failure(paths, tmp_path, **options) -> str:
    """The sentence that scoring these ends in."""
    with pytest.raises(ScoreError) as raised:
        score(paths, tmp_path / "out", **options)
    return str(raised.value)


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text("utf-8").splitlines()]


def without_times(folder: Path) -> list[dict]:
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines_of(folder)]


def write_questions(repository: Path, lengths: tuple[int, ...]) -> Path:
    """Rows of very different lengths, with none to two pictures."""
    rows = [
        make_row(i, num_images=i % 3, inputs="word " * length + f"What is {i}?") for i, length in enumerate(lengths)
    ]
    write_rows(repository / "data/vqa/mine/test.jsonl", rows)
    return repository
