"""One generator of odd repositories, read in every way that we offer and by a reader that shares no code with ours: the
same rows, or the same refusal with place and reason, and counts that agree.

`pytest -m slow` draws a hundred times as many as the fast run (M3IT_TIMES says how many times); what it finds becomes a
named test beside its kind.
"""

import json
import os
import re
import tempfile
from collections import Counter
from pathlib import Path

import datasets
import pytest
from dumb_reader import Refused, dumb_rows
from hypothesis import HealthCheck, Phase, given, settings
from odd_rows import packed, repositories

from m3it import M3ITError, load_builder, load_dataset

TIMES = int(os.environ.get("M3IT_TIMES", "100"))


def drawn(number):
    """A test of so many repositories, always the same; with `-m slow` of TIMES as many."""

    def as_test(check):
        @pytest.mark.parametrize("times", [1, pytest.param(TIMES, marks=pytest.mark.slow)], ids=["some", "many"])
        def test(times):
            phases = [Phase.explicit, Phase.generate] + [Phase.shrink] * (times > 1)
            options = {"phases": phases, "deadline": None, "suppress_health_check": list(HealthCheck)}
            settings(max_examples=number * times, derandomize=True, database=None, **options)(
                given(repositories())(check)
            )()

        return test

    return as_test


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


class Repository:
    """A repository of some files, with a cache of its own."""

    def __init__(self, files):
        self.held = tempfile.TemporaryDirectory()
        self.root = Path(self.held.name, "repo")
        for name, data in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_bytes(packed(data, name.partition(".")[2]))
        self.options = {"split": "train", "cache_dir": str(Path(self.held.name, "cache"))}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.held.cleanup()


def wanted(files, decode: bool = False):
    """(good rows, (file, number) of the broken lines) by the plain reader."""
    found = [(name, row) for name, data in files.items() for row in dumb_rows(data, name, decode)]
    good = [row for _, row in found if not isinstance(row, Refused)]
    return good, [(name, row.line) for name, row in found if isinstance(row, Refused)]


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


@drawn(60)
def test_streamed_rows_are_those_of_the_plain_reader(files):
    rows, broken = wanted(files)
    with Repository(files) as repo:
        read = list(load_dataset(repo.root, "mine", streaming=True, meta=True, on_error="drop", **repo.options))
        assert [plain(row) for row in read] == rows
        builder = load_builder(repo.root, "mine", meta=True, on_error="drop", cache_dir=repo.options["cache_dir"])
        manifest = Path(builder.manifest)
        listed = manifest.read_text("utf-8").split("\n")[:-1] if manifest.exists() else []
        assert len(listed) == len(broken)


@drawn(60)
def test_the_first_broken_line_is_named(files):
    rows, broken = wanted(files)
    with Repository(files) as repo:
        stream = load_dataset(repo.root, "mine", streaming=True, meta=True, **repo.options)
        if not broken:
            assert [plain(row) for row in stream] == rows
            return
        name, line = broken[0]
        place = rf"{re.escape(name)}:{line}\b" if name.endswith(".jsonl") else rf"{re.escape(name)}, byte \d"
        with pytest.raises(M3ITError, match=place):
            list(stream)


@drawn(25)
def test_prepared_rows_are_those_of_the_plain_reader(files):
    rows, _ = wanted(files)
    with Repository(files) as repo:
        if rows:
            read = load_dataset(repo.root, "mine", meta=True, on_error="drop", **repo.options)
            assert [plain(row) for row in read] == rows


@drawn(25)
def test_pictures_are_those_of_the_plain_reader(files):
    rows, _ = wanted(files, decode=True)
    with Repository(files) as repo:
        stream = load_dataset(
            repo.root, "mine", images=True, streaming=True, meta=True, on_error="drop", **repo.options
        )
        assert [plain(row, "images") for row in undecoded(stream)] == rows


@drawn(3)
def test_two_processes_prepare_what_one_does(files):
    rows, _ = wanted(files)
    with Repository(files) as repo:
        if rows:
            read = load_dataset(repo.root, "mine", meta=True, on_error="drop", num_proc=2, **repo.options)
            assert [plain(row) for row in read] == rows


@drawn(30)
def test_check_finds_each_broken_line_and_reads_the_others(files):
    from M3IT import Repository as Files
    from m3it.publishing.check import check

    _, broken = wanted(files, decode=True)
    with Repository(files) as repo:
        found = {f.where for f in check(Files(repo.root)).findings}
        assert found >= {f"{name}:{line}" for name, line in broken if name.endswith(".jsonl")}
        assert len(found) >= len(broken)


@drawn(25)
def test_an_epoch_of_a_mixture_has_the_rows_of_the_plain_reader(files):
    pytest.importorskip("torch", reason="a mixture needs PyTorch, an extra")
    from m3it import Mixture

    rows, _ = wanted(files, decode=True)
    with Repository(files) as repo:
        if rows:
            options = {"on_error": "drop", "max_drops": 1000, "cache_dir": repo.options["cache_dir"]}
            mixture = Mixture(repo.root, ["mine"], batch_size=1, **options)
            read = [row for i in range(mixture.num_rows) if (row := mixture.row(i)) is not None]
            assert Counter(map(as_text, read)) == Counter(map(as_text, rows))


@drawn(2)
def test_two_workers_of_a_mixture_give_the_rows_of_the_plain_reader(files):
    pytest.importorskip("torch", reason="a mixture needs PyTorch, an extra")
    from m3it import Mixture

    rows, _ = wanted(files, decode=True)
    with Repository(files) as repo:
        if rows:
            options = {"on_error": "drop", "max_drops": 1000, "cache_dir": repo.options["cache_dir"]}
            mixture = Mixture(repo.root, ["mine"], batch_size=1, **options)
            ours = [row for i in range(mixture.num_rows) if (row := mixture.row(i)) is not None]
            batches = iter(mixture.loader(num_workers=2))
            read = [row for _ in ours for row in next(batches)]
            assert list(map(as_text, read[: len(rows)])) == list(map(as_text, ours))


@drawn(10)
def test_a_release_holds_the_rows_of_the_plain_reader_and_gives_them_back(files):
    from m3it.publishing.release import release

    rows, _ = wanted(files, decode=True)
    with Repository(files) as repo:
        if not rows:
            return
        out = Path(repo.held.name, "release")
        release(str(repo.root), out, on_error="drop")
        back = load_dataset(out, "mine", images=True, meta=True, streaming=True, **repo.options)
        assert [plain(row, "images") for row in undecoded(back)] == rows


# ---- what the net has found, each by its kind


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_a_mark_of_byte_order_on_an_empty_line_is_no_row(ending):
    """Once a broken row of a packed file."""
    row = json.dumps({"instruction": "", "inputs": "", "image_base64_str": [], "outputs": "a", "meta": "{}"})
    files = {f"data/vqa/mine/train.{ending}": b"\xef\xbb\xbf\r\n" + row.encode()}
    with Repository(files) as repo:
        read = list(load_dataset(repo.root, "mine", streaming=True, meta=True, **repo.options))
        assert [plain(row) for row in read] == wanted(files)[0] and len(read) == 1


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_the_first_row_behind_a_mark_of_byte_order_has_one_id_in_every_way_of_reading(ending):
    """Once :0 of a packed file, and :3 in a mixture, which unpacks it first."""
    pytest.importorskip("torch", reason="a mixture needs PyTorch, an extra")
    from m3it import Mixture

    name = f"data/vqa/mine/train.{ending}"
    row = json.dumps({"instruction": "", "inputs": "", "image_base64_str": [], "outputs": "a", "meta": "{}"})
    with Repository({name: b"\xef\xbb\xbf" + row.encode()}) as repo:
        read = load_dataset(repo.root, "mine", streaming=True, meta=True, **repo.options)
        mixture = Mixture(repo.root, ["mine"], batch_size=1, cache_dir=repo.options["cache_dir"])
        assert [json.loads(row["meta"])["id"] for row in read] == [mixture.row(0)["id"]] == [f"{name}:3"]
