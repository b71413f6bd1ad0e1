"""Shared by the tests of evaluating: a release."""

from pathlib import Path

import pytest
from conftest import ROOT


@pytest.fixture(scope="session")
def released(tmp_path_factory) -> Path:
    """A release of six datasets of the sample, each with a metric of its own."""
    from m3it.publishing.release import release

    folder = tmp_path_factory.mktemp("released") / "release"
    release(str(ROOT), folder, ["viquae", "docvqa", "okvqa", "science-qa", "multi30k", "coco"])
    return folder
