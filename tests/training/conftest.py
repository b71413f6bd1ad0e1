"""Rows, a model and a run that tests of training share; none changes them."""

import pytest
from conftest import make_row, write_rows


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A repository of 30 rows of one image and 20 rows of 0, 1, 2, 5 or 8."""
    folder = tmp_path_factory.mktemp("repository")
    write_rows(folder / "data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(30)])
    several = [make_row(100 + i, (0, 1, 2, 5, 8)[i % 5]) for i in range(20)]
    write_rows(folder / "data/generation/vist/train.jsonl", several)
    return folder


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A folder with a small LLaVA of random weights."""
    folder = tmp_path_factory.mktemp("base")
    from small_models import small

    model, processor = small("llava")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def whole(data, base, tmp_path_factory):
    """A run of four steps that nobody stopped."""
    from training_runs import FAST, mixture_of

    from m3it.training.train import train

    out = tmp_path_factory.mktemp("whole") / "out"
    run = train(base, mixture_of(data), out, FAST, evaluation=[mixture_of(data).row(i) for i in range(6)])
    return out, run
