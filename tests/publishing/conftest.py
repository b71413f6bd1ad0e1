"""Fixtures of publishing: repositories to release, and releases of them. No test changes one: copy it first."""

import base64
import hashlib
import json
import shutil

import pytest
from conftest import make_row, picture, write_rows

from m3it.publishing.release import release
from publishing.releases import NUM_TRAIN, no_picture


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """Four configs: many rows, two pictures a row, rows without pictures, a translation; one file in two shards."""
    root = tmp_path_factory.mktemp("source") / "repo"
    rows = [make_row(i) for i in range(NUM_TRAIN)]
    del rows[7]["meta"]  # no id of its own
    rows[7]["meta"] = "{}"
    rows[8]["meta"] = json.dumps({"id": "own-8", "kilt_id": "qw_8", "words": ["ä", "字"]}, ensure_ascii=False)
    write_rows(root / "data/kvqa/viquae/train-00000-of-00002.jsonl", rows[:120])
    write_rows(root / "data/kvqa/viquae/train-00001-of-00002.jsonl", rows[120:])
    write_rows(root / "data/kvqa/viquae/test.jsonl", [make_row(i) for i in range(500, 503)])
    write_rows(root / "data/reasoning/nlvr/validation.jsonl", [make_row(i, 2) for i in range(600, 605)])
    write_rows(root / "data/kvqa/science-qa/test.jsonl", [make_row(700), no_picture(701), make_row(702)])
    write_rows(root / "data/kvqa/okvqa/zh/train.jsonl", [make_row(i, inputs=f"什么 {i}") for i in range(800, 804)])
    return root


@pytest.fixture(scope="session")
def made(source, tmp_path_factory):
    """(folder, run.json) of its release."""
    out = tmp_path_factory.mktemp("made") / "release"
    return out, release(str(source), out)


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """40 MB of rows of 100 kB: three pieces and more, for shards that take a while."""
    root, rows = tmp_path_factory.mktemp("large") / "repo", []
    for i in range(400):
        noise = base64.b64encode(picture(i) + hashlib.shake_256(b"%d" % i).digest(75_000)).decode()
        rows.append(make_row(i, image_base64_str=[noise]))
    write_rows(root / "data/kvqa/viquae/train.jsonl", rows)
    return root


@pytest.fixture(scope="session")
def clean(tmp_path_factory):
    """A small release that breaks no rule."""
    root = tmp_path_factory.mktemp("clean")
    rows = [make_row(i) for i in range(100, 112)]  # of one length: else the viewer's statistics would fail
    write_rows(root / "repo/data/kvqa/viquae/train.jsonl", rows)
    write_rows(root / "repo/data/reasoning/nlvr/validation.jsonl", [make_row(i, 2) for i in range(3)])
    release(str(root / "repo"), root / "release")
    return root / "release"


@pytest.fixture
def spoilable(clean, tmp_path):
    """A copy of it."""
    shutil.copytree(clean, tmp_path / "release")
    return tmp_path / "release"
