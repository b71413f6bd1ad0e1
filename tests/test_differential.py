"""One generator of odd files, read in every way that we offer and by a reader that shares no code with ours: the same
rows, or the same refusal with place and reason, and counts that agree.

`pytest -m slow` draws a hundred times as many as the fast run; what it finds becomes a named test beside its kind.
"""

import json
import os
import tempfile
from collections import Counter
from pathlib import Path

import datasets
import pytest
from dumb_reader import Refused, dumb_rows
from hypothesis import HealthCheck, Phase, given, settings
from odd_rows import files

from m3it import M3ITError, load_builder, load_dataset

NAME = "data/vqa/mine/train.jsonl"
TIMES = int(os.environ.get("M3IT_TIMES", "1"))  # of the examples: M3IT_TIMES=100 takes about an hour
usual = {
    "phases": [Phase.explicit, Phase.reuse, Phase.generate],
    "deadline": None,
    "derandomize": TIMES == 1,
    "suppress_health_check": list(HealthCheck),
}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    datasets.disable_progress_bars()


class Repository:
    """A repository of one file, with a cache of its own."""

    def __init__(self, data: bytes):
        self.held = tempfile.TemporaryDirectory()
        self.root = Path(self.held.name, "repo")
        (self.root / NAME).parent.mkdir(parents=True)
        (self.root / NAME).write_bytes(data)
        self.options = {"split": "train", "cache_dir": str(Path(self.held.name, "cache"))}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.held.cleanup()


def wanted(data: bytes, decode: bool = False):
    """(good rows, numbers of the broken lines) by the plain reader."""
    found = dumb_rows(data, NAME, decode)
    return [row for row in found if not isinstance(row, Refused)], [
        row.line for row in found if isinstance(row, Refused)
    ]


def plain(row, pictures="image_base64_str"):
    """A row of ours in the shape of the plain reader's."""
    images = [image["bytes"] for image in row["images"]] if pictures == "images" else row["image_base64_str"]
    texts = {name: row[name] for name in ("instruction", "inputs", "outputs")}
    return {"id": json.loads(row["meta"])["id"], **texts, "images": images}


def as_text(row):
    return json.dumps([row[name] for name in ("id", "instruction", "inputs", "outputs")]) + str(row["images"])


def undecoded(dataset):
    """The dataset with its pictures as bytes, not pixels."""
    return dataset.cast_column("images", [datasets.Image(decode=False)]) if "images" in dataset.features else dataset


@settings(max_examples=60 * TIMES, **usual)
@given(files())
def test_streamed_rows_are_those_of_the_plain_reader(data):
    rows, broken = wanted(data)
    with Repository(data) as repo:
        read = list(load_dataset(repo.root, "mine", streaming=True, meta=True, on_error="drop", **repo.options))
        assert [plain(row) for row in read] == rows
        builder = load_builder(repo.root, "mine", meta=True, on_error="drop", cache_dir=repo.options["cache_dir"])
        manifest = Path(builder.manifest)
        listed = manifest.read_text("utf-8").split("\n")[:-1] if manifest.exists() else []
        assert len(listed) == len(broken)


@settings(max_examples=60 * TIMES, **usual)
@given(files())
def test_the_first_broken_line_is_named(data):
    rows, broken = wanted(data)
    with Repository(data) as repo:
        stream = load_dataset(repo.root, "mine", streaming=True, meta=True, **repo.options)
        if not broken:
            assert [plain(row) for row in stream] == rows
            return
        with pytest.raises(M3ITError, match=rf"train\.jsonl:{broken[0]}\b"):
            list(stream)


@settings(max_examples=25 * TIMES, **usual)
@given(files())
def test_prepared_rows_are_those_of_the_plain_reader(data):
    rows, _ = wanted(data)
    with Repository(data) as repo:
        if rows:
            read = load_dataset(repo.root, "mine", meta=True, on_error="drop", **repo.options)
            assert [plain(row) for row in read] == rows


@settings(max_examples=25 * TIMES, **usual)
@given(files())
def test_pictures_are_those_of_the_plain_reader(data):
    rows, _ = wanted(data, decode=True)
    with Repository(data) as repo:
        stream = load_dataset(
            repo.root, "mine", images=True, streaming=True, meta=True, on_error="drop", **repo.options
        )
        assert [plain(row, "images") for row in undecoded(stream)] == rows


@settings(max_examples=3 * TIMES, **usual)
@given(files())
def test_two_processes_prepare_what_one_does(data):
    rows, _ = wanted(data)
    with Repository(data) as repo:
        if rows:
            read = load_dataset(repo.root, "mine", meta=True, on_error="drop", num_proc=2, **repo.options)
            assert [plain(row) for row in read] == rows


@settings(max_examples=30 * TIMES, **usual)
@given(files())
def test_check_finds_each_broken_line_and_reads_the_others(data):
    from M3IT import Repository as Files
    from m3it.publishing.check import check

    _, broken = wanted(data, decode=True)
    with Repository(data) as repo:
        found = {
            int(f.place.rpartition(":")[2]) for f in check(Files(repo.root)).findings if f.place.startswith(f"{NAME}:")
        }
        assert found >= set(broken)


@settings(max_examples=25 * TIMES, **usual)
@given(files())
def test_an_epoch_of_a_mixture_has_the_rows_of_the_plain_reader(data):
    pytest.importorskip("torch", reason="a mixture needs PyTorch, an extra")
    from m3it import Mixture

    rows, _ = wanted(data, decode=True)
    with Repository(data) as repo:
        if rows:
            options = {"on_error": "drop", "max_drops": 1000, "cache_dir": repo.options["cache_dir"]}
            mixture = Mixture(repo.root, ["mine"], batch_size=1, **options)
            read = [row for i in range(mixture.num_rows) if (row := mixture.row(i)) is not None]
            assert Counter(map(as_text, read)) == Counter(map(as_text, rows))


@settings(max_examples=10 * TIMES, **usual)
@given(files())
def test_a_release_holds_the_rows_of_the_plain_reader_and_gives_them_back(data):
    from m3it.publishing.release import release

    rows, _ = wanted(data, decode=True)
    with Repository(data) as repo:
        if not rows:
            return
        out = Path(repo.held.name, "release")
        release(str(repo.root), out, on_error="drop")
        back = load_dataset(out, "mine", images=True, meta=True, streaming=True, **repo.options)
        assert [plain(row, "images") for row in undecoded(back)] == rows
