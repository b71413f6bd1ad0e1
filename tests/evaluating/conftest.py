"""Shared by the tests of evaluating: a small model."""

from pathlib import Path

import pytest
from conftest import ROOT


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """The small model from scratch, with random weights."""
    pytest.importorskip("torch")
    import m3it.models.loading  # noqa: F401  (so that transformers knows its classes)
    from m3it.models.tiny import make_tiny

    folder = tmp_path_factory.mktemp("models") / "tiny"
    model, processor = make_tiny(["Answer the question. What is 1?", "answer 20"], 32, 32, 2)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def released(tmp_path_factory) -> Path:
    """A release of six datasets of the sample, each with a metric of its own."""
    from m3it.publishing.release import release

    folder = tmp_path_factory.mktemp("released") / "release"
    release(str(ROOT), folder, ["viquae", "docvqa", "okvqa", "science-qa", "multi30k", "coco"])
    return folder
