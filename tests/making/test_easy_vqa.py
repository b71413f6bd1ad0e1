"""A third-party collection through the whole of Load: PyPI's `easy-vqa`, 5,000 pictures and 48,248 questions (MIT).

`pip install easy-vqa --no-deps`; its package data are the source files: data/{train,test}/questions.json, lists of
[question, answer, picture], and data/{train,test}/images/<picture>.png.
"""

import base64
import importlib.util
import json
import sys
from pathlib import Path

import datasets
import pytest
from conftest import ROOT, row_of, write_rows

import m3it
from M3IT import Repository
from m3it.cli import main
from m3it.publishing.check import check
from m3it.publishing.repository_card import card
from m3it.reading.load import load_builder
from m3it.rows.instance import Instance
from m3it.rows.jsonl import shard_names

FOUND = importlib.util.find_spec("easy_vqa")
PICTURES = Path(FOUND.submodule_search_locations[0]) / "data" if FOUND else Path()
pytestmark = pytest.mark.skipif(FOUND is None, reason="easy-vqa is not installed: pip install easy-vqa --no-deps")
CONVERTER = ROOT / "docs/examples/easy_vqa.py"
INSTRUCTION = "Answer the question in one word."
NUM_QUESTIONS = {"train": 38_575, "test": 9_673}  # 48,248


def read_source(split, limit=None):
    """The rows as the package has them, read without any code of ours: (id, question, picture, answer)."""
    questions = json.loads((PICTURES / split / "questions.json").read_text("utf-8"))
    for number, (question, answer, picture) in enumerate(questions[:limit]):
        yield f"{split}-{number}", question, (PICTURES / split / "images" / f"{picture}.png").read_bytes(), answer


def instances(split, limit=None):
    for row_id, question, picture, answer in read_source(split, limit):
        yield Instance(row_id, question, [picture], answer, INSTRUCTION)


def assert_all_rows_back(rows, split, limit=None):
    """The published fields and the id of every row, bit for bit, in order."""
    count = 0
    for row, (row_id, question, picture, answer) in zip(rows, read_source(split, limit), strict=True):
        assert json.loads(row["meta"])["id"] == row_id
        assert (row["instruction"], row["inputs"], row["outputs"]) == (INSTRUCTION, question, answer)
        assert [base64.b64decode(image, validate=True) for image in row["image_base64_str"]] == [picture]
        count += 1
    assert count == (limit or NUM_QUESTIONS[split])


@pytest.fixture(params=[1500, pytest.param(None, marks=pytest.mark.slow)], ids=["some", "all"])
def limit(request):
    return request.param


@pytest.fixture
def repository(tmp_path, limit):
    """A repository with the one config `easy-vqa`, which no table knows, in several shards."""
    for split in NUM_QUESTIONS:
        rows = [row_of(instance) for instance in instances(split, limit)]
        for number, name in enumerate(shard_names(split, 3)):
            start, stop = (len(rows) * bound // 3 for bound in (number, number + 1))
            write_rows(tmp_path / "data/vqa/easy-vqa" / name, rows[start:stop])
    return tmp_path


def test_every_row_comes_back_streamed(repository, limit):
    for split in NUM_QUESTIONS:
        assert_all_rows_back(
            m3it.load_dataset(repository, "easy-vqa", split=split, streaming=True, meta=True), split, limit
        )


def test_every_row_comes_back_prepared(repository, limit):
    loaded = m3it.load_dataset(repository, "easy-vqa", meta=True, num_proc=2)
    assert set(loaded) == set(NUM_QUESTIONS)
    for split in NUM_QUESTIONS:
        assert_all_rows_back(loaded[split], split, limit)


def test_pictures_come_back_as_they_are(repository, limit):
    builder = load_builder(repository, "easy-vqa", images=True)
    rows = (row for piece in builder.pieces("test") for _, row in builder.read(piece))
    for row, (_, _, picture, _) in zip(rows, read_source("test", limit), strict=True):
        assert [image["bytes"] for image in row["images"]] == [picture]
    first = m3it.load_dataset(repository, "easy-vqa", split="test", images=True)[0]["images"][0]
    assert first.size == (64, 64)


def test_plain_datasets_reads_it_by_the_card(repository, limit, tmp_path):
    card(repository)
    plain = datasets.load_dataset(str(repository), "easy-vqa", split="test", cache_dir=str(tmp_path / "cache"))
    assert_all_rows_back(plain, "test", limit)


def test_a_converter_of_ones_own_makes_the_same_rows(tmp_path, limit, monkeypatch, capsys):
    arguments = [
        "--converter",
        f"{CONVERTER}:convert",
        "--name",
        "easy-vqa",
        "--root",
        str(PICTURES),
        "--out",
        str(tmp_path),
    ]
    monkeypatch.setattr(
        sys, "argv", ["m3it", "convert", *arguments, "--workers", "2", *(["--limit", str(limit)] if limit else [])]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, capsys.readouterr().err
    for split in NUM_QUESTIONS:  # easy-vqa has no validation, and none is made
        assert_all_rows_back(
            m3it.load_dataset(tmp_path, "easy-vqa", split=split, streaming=True, meta=True), split, limit
        )
    assert sorted(path.name for path in (tmp_path / "data/vqa/easy-vqa").glob("*.json*")) == [
        "drops.jsonl",
        "run.json",
        "test.jsonl",
        "train.jsonl",
    ]
    report = check(Repository(tmp_path))
    assert {finding.rule for finding in report.findings} <= {"card-head-readable", "no-script"}  # no card yet
    assert report.counts == {("easy-vqa", split): limit or NUM_QUESTIONS[split] for split in ("test", "train")}


def test_the_package_holds_what_this_test_says():
    assert {
        split: len(json.loads((PICTURES / split / "questions.json").read_text("utf-8"))) for split in NUM_QUESTIONS
    } == NUM_QUESTIONS
    assert sum(len(list((PICTURES / split / "images").glob("*.png"))) for split in NUM_QUESTIONS) == 5000


def test_the_page_for_contributors_shows_the_example_as_it_is():
    code = CONVERTER.read_text("utf-8").partition('"""\n\n')[2]
    assert f"```python\n{code}```\n" in (ROOT / "CONTRIBUTING.md").read_text("utf-8")
